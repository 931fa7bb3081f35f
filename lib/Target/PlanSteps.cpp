// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "PlanBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "unisparse/Target/Nvidia.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::artifact;

//===----------------------------------------------------------------------===//
// Buffers and checks
//===----------------------------------------------------------------------===//

/// What is constant comes first, as one factor.
static Expr productOf(ArrayRef<Expr> sizes, int64_t factor = 1) {
  Expr product = constant(factor);
  for (bool isConstant : {true, false})
    for (const Expr &size : sizes)
      if (constantOf(size).has_value() == isConstant)
        product = combine(TermOp::Mul, product, size);
  return product;
}

/// Of a result whose strides are the caller's (unisparse-stride-allocations).
static bool hasDynamicStrides(MemRefType type) {
  int64_t offset;
  SmallVector<int64_t> strides;
  return type.getRank() > 1 &&
         succeeded(type.getStridesAndOffset(strides, offset)) && offset == 0 &&
         strides.back() == 1 &&
         llvm::all_of(ArrayRef(strides).drop_back(), ShapedType::isDynamic);
}

LogicalResult PlanBuilder::visitAlloc(gpu::AllocOp op) {
  auto type = op.getType();
  auto output = outputs.find(op.getMemref());
  bool isOutput = output != outputs.end();
  bool isStrided =
      isOutput && !type.getLayout().isIdentity() && hasDynamicStrides(type);
  if (op.getAsyncToken() || op.getHostShared() ||
      !(isStrided || type.getLayout().isIdentity()) ||
      !type.getElementType().isIntOrFloat() ||
      type.getElementTypeBitWidth() % 8)
    return op.emitOpError("expected a synchronous allocation of contiguous "
                          "device memory");
  SmallVector<Expr> sizes;
  auto dynamic = op.getDynamicSizes().begin();
  for (int64_t size : type.getShape()) {
    if (!ShapedType::isDynamic(size)) {
      sizes.push_back(constant(size));
      continue;
    }
    FailureOr<Expr> expr = values.exprOf(*dynamic++, op);
    if (failed(expr))
      return failure();
    sizes.push_back(std::move(*expr));
  }
  Expr bytes = productOf(sizes, type.getElementTypeBitWidth() / 8);
  if (bytes.size() > kMaxTerms)
    return op.emitOpError("expected a formula of at most ")
           << kMaxTerms << " terms for its bytes, got " << bytes.size();
  Buffer buffer{BufferKind::Workspace, uint32_t(variant.workspace.size())};
  if (isStrided) {
    values.defineStridedOutput(op.getMemref(), output->second, sizes);
    return success();
  }
  if (isOutput) {
    buffer = {BufferKind::Output, output->second};
  } else {
    variant.workspace.push_back(std::move(bytes));
  }
  values.defineBuffer(op.getMemref(), buffer, sizes);
  return success();
}

/// A result may be a reshape of what was allocated.
LogicalResult PlanBuilder::visitReturn(func::ReturnOp op) {
  for (auto [output, result] : llvm::zip_equal(plan.outputs, op.getOperands()))
    output.sizes.assign(values.sizesOf(result).begin(),
                        values.sizesOf(result).end());
  return success();
}

/// The bits of a constant of 32 bits.
static std::optional<uint32_t> wordOf(Value value) {
  Attribute constant;
  if (!value.getType().isIntOrFloat() ||
      value.getType().getIntOrFloatBitWidth() != 32 ||
      !matchPattern(value, m_Constant(&constant)))
    return std::nullopt;
  if (auto number = dyn_cast<FloatAttr>(constant))
    return number.getValue().bitcastToAPInt().getZExtValue();
  if (auto number = dyn_cast<IntegerAttr>(constant))
    return number.getValue().getZExtValue();
  return std::nullopt;
}

LogicalResult PlanBuilder::visitMemset(gpu::MemsetOp op) {
  FailureOr<Buffer> buffer = values.bufferOf(op.getDst(), op);
  if (failed(buffer))
    return failure();
  std::optional<uint32_t> word = wordOf(op.getValue());
  if (op.getAsyncToken() || !word || buffer->kind == BufferKind::Input)
    return op.emitOpError("expected to set an allocated buffer to a constant "
                          "i32 or f32, synchronously");
  Step step;
  step.kind = Step::Kind::Fill;
  step.buffer = *buffer;
  step.word = *word;
  // Shorter than the formula of the buffer's bytes, which fits.
  step.words = productOf(values.sizesOf(op.getDst()));
  variant.steps.push_back(std::move(step));
  return success();
}

static Relation relationOf(CheckRelation relation) {
  switch (relation) {
  case CheckRelation::Equal:
    return Relation::Equal;
  case CheckRelation::AtMost:
    return Relation::LessEqual;
  case CheckRelation::MultipleOf:
    return Relation::MultipleOf;
  }
  llvm_unreachable("all relations are named");
}

LogicalResult PlanBuilder::visitAssert(cf::AssertOp op) {
  auto check = op->getAttrOfType<CheckAttr>(kCheckAttr);
  if (!check)
    return op.emitOpError("expected an assertion about sizes that says so in "
                          "its attribute ")
           << kCheckAttr << ", got none";
  std::optional<Comparison> comparison = comparisonOf(op);
  if (!comparison)
    return op.emitOpError("expected a length rule: a comparison by eq, sle or "
                          "ule, or of a remainder with 0");
  if (failed(verifyRelation(op, check, *comparison)))
    return failure();
  FailureOr<Expr> left = values.exprOf(comparison->left, op);
  FailureOr<Expr> right = values.exprOf(comparison->right, op);
  if (failed(left) || failed(right))
    return failure();
  // Stages that share operands repeat each other's rules.
  Relation relation = relationOf(check.getRelation());
  bool known = llvm::any_of(plan.checks, [&](const Check &c) {
    return c.label == check.getLabel() && c.relation == relation &&
           c.left == *left && c.right == *right;
  });
  if (!known)
    plan.checks.push_back({check.getLabel().str(), *left, relation, *right,
                           check.getLeft().str(), check.getRight().str()});
  return success();
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

LogicalResult PlanBuilder::checkKernel(gpu::LaunchFuncOp op) {
  if (op.getKernelModuleName() != binary.getSymNameAttr())
    return op.emitOpError("expected a kernel of @")
           << binary.getSymName() << ", got " << op.getKernel();
  // PTX is text; machine code is looked into when it is loaded.
  std::string entry = (".entry " + op.getKernelName().getValue() + "(").str();
  if (variant.kind == ImageKind::PTX &&
      !StringRef(variant.image).contains(entry))
    return op.emitOpError(
        "expected a kernel of that name in the PTX, got none");
  return success();
}

FailureOr<TensorMap> PlanBuilder::mapOf(unitile::TensorMapOp op) {
  TensorMap map;
  const Buffer *buffer = values.addressOf(op.getSource());
  std::optional<Element> element = elementOf(op.getElement());
  if (!buffer || !element) {
    op.emitOpError("expected the address of a buffer of f32, f16, bf16 or i32");
    return failure();
  }
  map.buffer = *buffer;
  map.element = *element;
  // The shared layout of unitile.
  map.swizzle = Swizzle::B128;
  for (auto [values, exprs] :
       {std::pair{op.getSizes(), &map.sizes}, {op.getStrides(), &map.strides}})
    for (Value value : values) {
      FailureOr<Expr> expr = this->values.exprOf(value, op);
      if (failed(expr))
        return failure();
      exprs->push_back(*expr);
    }
  for (int64_t size : op.getBox())
    map.box.push_back(static_cast<uint32_t>(size));
  return map;
}

/// What a kernel takes.
FailureOr<Argument> PlanBuilder::argumentOf(Value value, Operation *op) {
  Argument argument;
  if (auto map = value.getDefiningOp<unitile::TensorMapOp>()) {
    FailureOr<TensorMap> made = mapOf(map);
    if (failed(made))
      return failure();
    argument.kind = Argument::Kind::Map;
    argument.map = *made;
    return argument;
  }
  if (const Buffer *buffer = values.addressOf(value)) {
    argument.kind = Argument::Kind::Address;
    argument.buffer = *buffer;
    return argument;
  }
  if (std::optional<uint32_t> bits = wordOf(value);
      bits && value.getType().isF32()) {
    argument.kind = Argument::Kind::F32;
    argument.bits = *bits;
    return argument;
  }
  bool isI32 = value.getType().isInteger(32);
  if (!isI32 && !value.getType().isInteger(64)) {
    op->emitOpError("expected kernel arguments that are addresses of buffers, "
                    "tensor maps, i32, i64 or constant f32, got ")
        << value.getType();
    return failure();
  }
  argument.kind = isI32 ? Argument::Kind::I32 : Argument::Kind::I64;
  FailureOr<Expr> expr = values.exprOf(value, op);
  if (failed(expr))
    return failure();
  argument.expr = *expr;
  return argument;
}

LogicalResult PlanBuilder::setThreads(gpu::LaunchFuncOp op, Step &step) {
  gpu::KernelDim3 threads = op.getBlockSizeOperandValues();
  const Value sizes[] = {threads.x, threads.y, threads.z};
  uint64_t all = 1;
  for (auto [size, value] : llvm::zip_equal(step.block, sizes)) {
    APInt number;
    if (!matchPattern(value, m_ConstantInt(&number)) || number.isZero() ||
        number.ugt(kMaxThreads))
      return op.emitOpError("expected constant numbers of threads, 1 to ")
             << kMaxThreads;
    size = number.getZExtValue();
    all *= size;
  }
  if (all > kMaxThreads || step.block[2] > kMaxThreadsZ)
    return op.emitOpError("expected at most ")
           << kMaxThreads << " threads in a block, and " << kMaxThreadsZ
           << " in its third dimension, got " << step.block[0] << 'x'
           << step.block[1] << 'x' << step.block[2];
  Value shared = op.getDynamicSharedMemorySize();
  if (!shared)
    return success();
  APInt bytes;
  int64_t limit = findNvidiaChip(variant.chip)->sharedBytes;
  if (!matchPattern(shared, m_ConstantInt(&bytes)) || bytes.ugt(limit))
    return op.emitOpError("expected a constant size of dynamic shared memory "
                          "of at most ")
           << limit << " bytes on " << variant.chip;
  step.sharedBytes = bytes.getZExtValue();
  return success();
}

LogicalResult PlanBuilder::visitLaunch(gpu::LaunchFuncOp op) {
  if (failed(checkKernel(op)))
    return failure();
  if (op.getAsyncToken() || !op.getAsyncDependencies().empty() ||
      op.getAsyncObject() || op.hasClusterSize())
    return op.emitOpError("expected a synchronous launch without clusters");
  Step step;
  step.kind = Step::Kind::Launch;
  step.kernel = op.getKernelName().str();
  if (Attribute schedule = op->getAttr(unitile::kScheduleAttr))
    llvm::raw_string_ostream(step.schedule) << schedule;
  step.overlaps = op->hasAttr(unitile::kOverlapsAttr);
  gpu::KernelDim3 grid = op.getGridSizeOperandValues();
  const Value sizes[] = {grid.x, grid.y, grid.z};
  for (auto [expr, value] : llvm::zip_equal(step.grid, sizes)) {
    FailureOr<Expr> size = values.exprOf(value, op);
    if (failed(size))
      return failure();
    expr = *size;
  }
  if (failed(setThreads(op, step)))
    return failure();
  if (op.getKernelOperands().size() > kMaxArguments)
    return op.emitOpError("expected at most ")
           << kMaxArguments << " arguments, got "
           << op.getKernelOperands().size();
  for (Value value : op.getKernelOperands()) {
    FailureOr<Argument> argument = argumentOf(value, op);
    if (failed(argument))
      return failure();
    step.arguments.push_back(std::move(*argument));
  }
  variant.steps.push_back(std::move(step));
  return success();
}
