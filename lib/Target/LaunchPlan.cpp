// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Walks the host function once, op by op; whatever is not in the contract of
// docs/Artifact.md's launch plan is refused at the op.
#include "unisparse/Target/LaunchPlan.h"
#include "HostValues.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "unisparse/Target/Nvidia.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Config/llvm-config.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::artifact;

namespace {

std::optional<Element> elementOf(Type type) {
  if (type.isF32())
    return Element::F32;
  if (type.isF16())
    return Element::F16;
  if (type.isBF16())
    return Element::BF16;
  if (type.isSignlessInteger(32))
    return Element::I32;
  return std::nullopt;
}

class PlanBuilder {
public:
  PlanBuilder(func::FuncOp function, gpu::BinaryOp binary)
      : function(function), binary(binary) {}

  FailureOr<Artifact> build();

private:
  LogicalResult addInputs();
  LogicalResult addInput(BlockArgument argument);
  LogicalResult findOutputs();
  LogicalResult addImage();
  LogicalResult visit(Operation *op);
  LogicalResult visitAlloc(gpu::AllocOp op);
  LogicalResult visitMemset(gpu::MemsetOp op);
  LogicalResult visitAssert(cf::AssertOp op);
  LogicalResult visitLaunch(gpu::LaunchFuncOp op);
  FailureOr<Argument> argumentOf(Value value, Operation *op);
  LogicalResult setThreads(gpu::LaunchFuncOp op, Step &step);
  LogicalResult checkKernel(gpu::LaunchFuncOp op);

  func::FuncOp function;
  gpu::BinaryOp binary;
  Artifact plan;
  Variant variant;
  HostValues values;
  /// The allocations that are returned, and as which result.
  DenseMap<Value, uint32_t> outputs;
};

//===----------------------------------------------------------------------===//
// Signature
//===----------------------------------------------------------------------===//

std::string nameOf(DictionaryAttr attrs, StringRef what, uint32_t index) {
  if (attrs)
    if (auto name = attrs.getAs<StringAttr>(kNameAttr))
      return name.str();
  return (what + " " + Twine(index)).str();
}

LogicalResult PlanBuilder::addInput(BlockArgument argument) {
  uint32_t index = argument.getArgNumber();
  auto type = dyn_cast<MemRefType>(argument.getType());
  std::optional<Element> element =
      type ? elementOf(type.getElementType()) : std::nullopt;
  if (!element || type.getRank() > int64_t(kMaxRank))
    return function.emitOpError("expected argument ")
           << index << " to be a buffer of f32, f16, bf16 or i32 of at most "
           << kMaxRank << " dimensions, got " << argument.getType();
  Input input;
  input.name = nameOf(function.getArgAttrDict(index), "input", index);
  input.element = *element;
  SmallVector<Expr> sizes;
  for (auto [i, size] : llvm::enumerate(type.getShape())) {
    if (!ShapedType::isDynamic(size)) {
      input.dims.push_back(size);
      sizes.push_back(constant(size));
      continue;
    }
    int64_t symbol = plan.symbols.size();
    plan.symbols.push_back(
        (Twine(input.name) + ".size(" + Twine(i) + ")").str());
    input.dims.push_back(-1 - symbol);
    sizes.push_back({{TermOp::Symbol, symbol}});
  }
  plan.inputs.push_back(std::move(input));
  return values.defineInput(argument, index, sizes);
}

LogicalResult PlanBuilder::addInputs() {
  for (BlockArgument argument : function.getArguments())
    if (failed(addInput(argument)))
      return failure();
  return success();
}

/// What is returned has to be allocated here, once.
LogicalResult PlanBuilder::findOutputs() {
  auto ret = cast<func::ReturnOp>(function.getBody().front().getTerminator());
  for (auto [i, result] : llvm::enumerate(ret.getOperands())) {
    Value source = result;
    while (auto cast = source.getDefiningOp<memref::CastOp>())
      source = cast.getSource();
    auto alloc = source.getDefiningOp<gpu::AllocOp>();
    if (!alloc)
      return ret.emitOpError("expected result ")
             << i << " to be allocated by gpu.alloc, got "
             << (source.getDefiningOp()
                     ? "the result of '" +
                           source.getDefiningOp()->getName().getStringRef() +
                           "'"
                     : Twine("an argument"));
    if (!outputs.try_emplace(source, i).second)
      return ret.emitOpError("expected result ")
             << i << " to be a buffer of its own, got that of result "
             << outputs[source];
    auto type = cast<MemRefType>(source.getType());
    std::optional<Element> element = elementOf(type.getElementType());
    if (!element || type.getRank() > int64_t(kMaxRank))
      return alloc.emitOpError("expected result ")
             << i << " to be a buffer of f32, f16, bf16 or i32 of at most "
             << kMaxRank << " dimensions, got " << type;
    Output output;
    output.name = nameOf(function.getResultAttrDict(i), "output", i);
    output.element = *element;
    plan.outputs.push_back(std::move(output));
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Image
//===----------------------------------------------------------------------===//

/// 10 * major + minor of the first "<prefix>M.N" in an image, or 0.
int64_t versionBehind(StringRef image, StringRef prefix) {
  size_t at = image.find(prefix);
  if (at == StringRef::npos)
    return 0;
  StringRef text = image.substr(at + prefix.size()).ltrim();
  unsigned major, minor;
  if (text.consumeInteger(10, major) || !text.consume_front(".") ||
      text.consumeInteger(10, minor))
    return 0;
  return 10 * major + minor;
}

/// PTX says which version it is. Machine code runs on any driver of the major
/// version of the tools that made it, which leave their name in it.
int64_t leastDriverFor(ImageKind kind, StringRef image,
                       const NvidiaChip &chip) {
  if (kind == ImageKind::PTX)
    return leastDriverOf(versionBehind(image, ".version"));
  if (int64_t tools = versionBehind(image, "compilation tools, release "))
    return tools / 10 * 1000;
  int64_t ptx = 0;
  chip.ptx.drop_front(StringRef("+ptx").size()).getAsInteger(10, ptx);
  return leastDriverOf(ptx);
}

LogicalResult PlanBuilder::addImage() {
  auto object = binary.getObjects().size() == 1
                    ? dyn_cast<gpu::ObjectAttr>(binary.getObjects()[0])
                    : gpu::ObjectAttr();
  auto target = object ? dyn_cast<NVVM::NVVMTargetAttr>(object.getTarget())
                       : NVVM::NVVMTargetAttr();
  if (!target || (object.getFormat() != gpu::CompilationTarget::Assembly &&
                  object.getFormat() != gpu::CompilationTarget::Binary))
    return binary.emitOpError(
        "expected one object of PTX or machine code for an NVIDIA chip");
  const NvidiaChip *chip = findNvidiaChip(target.getChip());
  if (!chip)
    return binary.emitOpError("expected a chip of the table, got '")
           << target.getChip() << "'";
  variant.chip = chip->name.str();
  variant.capability = chip->capability();
  variant.exact = chip->isExact();
  variant.kind = object.getFormat() == gpu::CompilationTarget::Assembly
                     ? ImageKind::PTX
                     : ImageKind::MachineCode;
  variant.image = object.getObject().getValue().str();
  variant.leastDriver = leastDriverFor(variant.kind, variant.image, *chip);
  if (!variant.leastDriver)
    return binary.emitOpError("expected PTX with a known .version");
  return success();
}

//===----------------------------------------------------------------------===//
// Buffers and checks
//===----------------------------------------------------------------------===//

/// What is constant comes first, as one factor.
Expr productOf(ArrayRef<Expr> sizes, int64_t factor = 1) {
  Expr product = constant(factor);
  for (bool isConstant : {true, false})
    for (const Expr &size : sizes)
      if (constantOf(size).has_value() == isConstant)
        product = combine(TermOp::Mul, product, size);
  return product;
}

LogicalResult PlanBuilder::visitAlloc(gpu::AllocOp op) {
  auto type = op.getType();
  if (op.getAsyncToken() || op.getHostShared() ||
      !type.getLayout().isIdentity() || !type.getElementType().isIntOrFloat() ||
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
  if (auto output = outputs.find(op.getMemref()); output != outputs.end()) {
    buffer = {BufferKind::Output, output->second};
    plan.outputs[output->second].sizes.assign(sizes.begin(), sizes.end());
  } else {
    variant.workspace.push_back(std::move(bytes));
  }
  values.defineBuffer(op.getMemref(), buffer, sizes);
  return success();
}

/// The bits of a constant of 32 bits.
std::optional<uint32_t> wordOf(Value value) {
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
  step.words = productOf(values.sizesOf(op.getDst()));
  if (step.words.size() > kMaxTerms)
    return op.emitOpError("expected a formula of at most ")
           << kMaxTerms << " terms, got " << step.words.size();
  variant.steps.push_back(std::move(step));
  return success();
}

/// What an assertion compares, with the right hand side known to be the bound.
struct Comparison {
  Relation relation;
  Value left, right;
};

std::optional<Comparison> comparisonOf(Value condition) {
  using arith::CmpIPredicate;
  auto compare = condition.getDefiningOp<arith::CmpIOp>();
  if (!compare)
    return std::nullopt;
  Value left = compare.getLhs(), right = compare.getRhs();
  switch (compare.getPredicate()) {
  case CmpIPredicate::sle:
  case CmpIPredicate::ule:
    return Comparison{Relation::LessEqual, left, right};
  case CmpIPredicate::sge: // Canonicalization moves constants to the right.
  case CmpIPredicate::uge:
    return Comparison{Relation::LessEqual, right, left};
  case CmpIPredicate::eq: {
    Operation *rest = left.getDefiningOp();
    if (isa_and_nonnull<arith::RemUIOp, arith::RemSIOp>(rest) &&
        matchPattern(right, m_Zero()))
      return Comparison{Relation::MultipleOf, rest->getOperand(0),
                        rest->getOperand(1)};
    return Comparison{Relation::Equal, left, right};
  }
  default:
    return std::nullopt;
  }
}

LogicalResult PlanBuilder::visitAssert(cf::AssertOp op) {
  std::optional<Comparison> comparison = comparisonOf(op.getArg());
  if (!comparison)
    return op.emitOpError("expected a length rule: a comparison by eq, sle or "
                          "ule, or of a remainder with 0");
  static constexpr StringLiteral words[] = {" == ", " <= ", " multiple of "};
  StringRef word = words[static_cast<uint32_t>(comparison->relation)];
  auto [label, rule] = op.getMsg().split(": ");
  auto [left, right] = rule.split(word);
  if (label.empty() || left.empty() || right.empty())
    return op.emitOpError("expected a message like 'LABEL: LEFT")
           << word << "RIGHT', got '" << op.getMsg() << "'";
  FailureOr<Expr> leftExpr = values.exprOf(comparison->left, op);
  FailureOr<Expr> rightExpr = values.exprOf(comparison->right, op);
  if (failed(leftExpr) || failed(rightExpr))
    return failure();
  plan.checks.push_back({label.str(), *leftExpr, comparison->relation,
                         *rightExpr, left.str(), right.str()});
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

FailureOr<Argument> PlanBuilder::argumentOf(Value value, Operation *op) {
  Argument argument;
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
                    "i32, i64 or constant f32, got ")
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

LogicalResult PlanBuilder::visit(Operation *op) {
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](gpu::AllocOp op) { return visitAlloc(op); })
      .Case([&](gpu::MemsetOp op) { return visitMemset(op); })
      .Case([&](gpu::LaunchFuncOp op) { return visitLaunch(op); })
      .Case([&](cf::AssertOp op) { return visitAssert(op); })
      // The runtime frees nothing: outputs and workspace are the caller's.
      // Comparisons and remainders are read by the assertion they belong to.
      .Case<gpu::DeallocOp, func::ReturnOp, arith::CmpIOp, arith::RemUIOp,
            arith::RemSIOp>([](auto) { return success(); })
      .Default([&](Operation *op) { return values.visit(op); });
}

FailureOr<Artifact> PlanBuilder::build() {
  if (!function.getBody().hasOneBlock())
    return function.emitOpError(
               "expected straight-line code in one block, got ")
           << function.getBody().getBlocks().size() << " blocks";
  plan.producer = "UniSparse with LLVM " LLVM_VERSION_STRING;
  plan.entry = function.getName().str();
  if (failed(addInputs()) || failed(findOutputs()) || failed(addImage()))
    return failure();
  for (Operation &op : function.getBody().front())
    if (failed(visit(&op)))
      return failure();
  for (auto [i, input] : llvm::enumerate(plan.inputs))
    if (values.readsStrides(i))
      input.layout = Layout::Rows;
  plan.variants.push_back(std::move(variant));
  return std::move(plan);
}

//===----------------------------------------------------------------------===//
// Modules
//===----------------------------------------------------------------------===//

FailureOr<func::FuncOp> entryOf(ModuleOp module, StringRef name) {
  SmallVector<func::FuncOp> found;
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isExternal() &&
        (name.empty() ? function.isPublic() : function.getName() == name))
      found.push_back(function);
  if (found.size() == 1)
    return found.front();
  InFlightDiagnostic error = module.emitError("expected ");
  if (name.empty())
    return error << "one public function, got " << found.size();
  return error << "a function @" << name << ", got none";
}

} // namespace

FailureOr<Artifact> unisparse::translateToArtifact(ModuleOp module,
                                                   StringRef entry) {
  FailureOr<func::FuncOp> function = entryOf(module, entry);
  if (failed(function))
    return failure();
  auto binaries = llvm::to_vector(module.getOps<gpu::BinaryOp>());
  if (binaries.size() != 1)
    return module.emitError("expected one gpu.binary, got ") << binaries.size();
  return PlanBuilder(*function, binaries.front()).build();
}
