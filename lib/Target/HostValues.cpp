// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "HostValues.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace unisparse;
using artifact::Buffer;
using artifact::Expr;
using artifact::Term;
using artifact::TermOp;

//===----------------------------------------------------------------------===//
// Looking up
//===----------------------------------------------------------------------===//

static StringRef nameOfDef(Value value) {
  Operation *op = value.getDefiningOp();
  return op ? op->getName().getStringRef() : "an argument";
}

FailureOr<Expr> HostValues::exprOf(Value value, Operation *user) const {
  if (auto found = exprs.find(value); found != exprs.end())
    return found->second;
  user->emitOpError("expected operands that are formulas of sizes, got the "
                    "result of '")
      << nameOfDef(value) << "'";
  return failure();
}

FailureOr<Buffer> HostValues::bufferOf(Value memref, Operation *user) const {
  if (auto found = memrefs.find(memref); found != memrefs.end())
    return found->second.buffer;
  user->emitOpError("expected a whole buffer, got the result of '")
      << nameOfDef(memref) << "'";
  return failure();
}

const Buffer *HostValues::addressOf(Value value) const {
  auto found = addresses.find(value);
  return found == addresses.end() ? nullptr : &found->second;
}

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

/// Strides of a contiguous buffer.
static SmallVector<Expr> contiguousStrides(ArrayRef<Expr> sizes) {
  SmallVector<Expr> strides(sizes.size());
  Expr stride = artifact::constant(1);
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    stride = artifact::combine(TermOp::Mul, stride, sizes[i]);
  }
  return strides;
}

void HostValues::defineBuffer(Value memref, Buffer buffer,
                              ArrayRef<Expr> sizes) {
  memrefs[memref] = {buffer, SmallVector<Expr>(sizes),
                     contiguousStrides(sizes)};
}

/// Strides that a caller gives, but for the last: that one is always 1.
void HostValues::setStrides(Value memref, int64_t tensor) {
  Memref &entry = memrefs[memref];
  entry.hasOwnStrides = true;
  for (size_t i = 0; i + 1 < entry.strides.size(); ++i)
    entry.strides[i] = {
        {TermOp::Stride, artifact::kStrideBase * tensor + int64_t(i)}};
}

void HostValues::defineStridedOutput(Value memref, uint32_t index,
                                     ArrayRef<Expr> sizes) {
  defineBuffer(memref, {artifact::BufferKind::Output, index}, sizes);
  setStrides(memref, artifact::kMaxTensors + index);
}

LogicalResult HostValues::defineInput(BlockArgument memref, uint32_t index,
                                      ArrayRef<Expr> sizes) {
  auto type = cast<MemRefType>(memref.getType());
  defineBuffer(memref, {artifact::BufferKind::Input, index}, sizes);
  int64_t offset;
  SmallVector<int64_t> strides;
  if (type.getLayout().isIdentity() || type.getRank() == 0)
    return success();
  if (failed(type.getStridesAndOffset(strides, offset)))
    return emitError(memref.getLoc(), "expected a strided layout, got ")
           << type;
  bool isOwn = ShapedType::isDynamic(strides.back()) || strides.back() == 1;
  for (int64_t stride : ArrayRef(strides).drop_back())
    isOwn &= ShapedType::isDynamic(stride);
  if (!isOwn && !type.areTrailingDimsContiguous(type.getRank()))
    return emitError(memref.getLoc(),
                     "expected contiguous rows and otherwise dynamic strides, "
                     "or a contiguous layout, got ")
           << type;
  if (!isOwn)
    return success();
  setStrides(memref, index);
  return success();
}

LogicalResult HostValues::visitDim(Operation *op) {
  auto dim = cast<memref::DimOp>(op);
  if (failed(bufferOf(dim.getSource(), op)))
    return failure();
  std::optional<int64_t> index = dim.getConstantIndex();
  ArrayRef<Expr> sizes = sizesOf(dim.getSource());
  if (!index || *index < 0 || *index >= int64_t(sizes.size()))
    return op->emitOpError("expected a constant dimension of the buffer");
  return define(dim.getResult(), sizes[*index]);
}

LogicalResult HostValues::visitMetadata(Operation *op) {
  auto metadata = cast<memref::ExtractStridedMetadataOp>(op);
  FailureOr<Buffer> buffer = bufferOf(metadata.getSource(), op);
  if (failed(buffer))
    return failure();
  Memref source = memrefs[metadata.getSource()];
  defineBuffer(metadata.getBaseBuffer(), *buffer, {});
  // Addresses that a caller gives point at the first element.
  if (failed(define(metadata.getOffset(), artifact::constant(0))))
    return failure();
  for (auto [value, size] : llvm::zip_equal(metadata.getSizes(), source.sizes))
    if (failed(define(value, size)))
      return failure();
  for (auto [value, stride] :
       llvm::zip_equal(metadata.getStrides(), source.strides)) {
    if (failed(define(value, stride)))
      return failure();
    if (source.hasOwnStrides && !value.use_empty())
      strided.push_back({buffer->kind, buffer->index});
  }
  return success();
}

/// A cast may forget what is known, and say what is known anyway. What a caller
/// would have to keep is a check's business, not a cast's.
LogicalResult HostValues::visitMemrefCast(Operation *op) {
  auto cast = llvm::cast<memref::CastOp>(op);
  if (failed(bufferOf(cast.getSource(), op)))
    return failure();
  Memref source = memrefs[cast.getSource()];
  auto type = dyn_cast<MemRefType>(cast.getType());
  int64_t offset;
  SmallVector<int64_t> strides;
  if (!type || failed(type.getStridesAndOffset(strides, offset)))
    return op->emitOpError("expected a ranked memref with strides");
  auto claims = [](int64_t said, const Expr &known) {
    return !ShapedType::isDynamic(said) && artifact::constantOf(known) != said;
  };
  for (auto [said, known] : llvm::zip_equal(type.getShape(), source.sizes))
    if (claims(said, known))
      return op->emitOpError("expected sizes that the buffer is known to have, "
                             "got ")
             << said << " for a dynamic one";
  for (auto [said, known] : llvm::zip_equal(strides, source.strides))
    if (source.hasOwnStrides && claims(said, known))
      return op->emitOpError("expected strides that stay the caller's, got ")
             << said << " for a dynamic one";
  memrefs[cast.getResult()] = source;
  return success();
}

FailureOr<SmallVector<Expr>>
HostValues::reshapedSizes(Operation *op, ArrayRef<Expr> source) const {
  SmallVector<Expr> sizes;
  if (auto collapse = dyn_cast<memref::CollapseShapeOp>(op)) {
    for (const ReassociationIndices &group :
         collapse.getReassociationIndices()) {
      Expr size = artifact::constant(1);
      for (int64_t i : group)
        size = artifact::combine(TermOp::Mul, size, source[i]);
      sizes.push_back(std::move(size));
    }
    return sizes;
  }
  auto expand = cast<memref::ExpandShapeOp>(op);
  for (OpFoldResult size : expand.getMixedOutputShape()) {
    if (std::optional<int64_t> constant = getConstantIntValue(size)) {
      sizes.push_back(artifact::constant(*constant));
      continue;
    }
    FailureOr<Expr> expr = exprOf(cast<Value>(size), op);
    if (failed(expr))
      return failure();
    sizes.push_back(std::move(*expr));
  }
  return sizes;
}

/// Other dimensions of the same elements.
LogicalResult HostValues::visitReshape(Operation *op) {
  Value from = op->getOperand(0), to = op->getResult(0);
  FailureOr<Buffer> buffer = bufferOf(from, op);
  if (failed(buffer))
    return failure();
  Memref source = memrefs[from];
  if (source.hasOwnStrides ||
      !cast<MemRefType>(to.getType()).getLayout().isIdentity())
    return op->emitOpError("expected a contiguous buffer, got ")
           << from.getType();
  FailureOr<SmallVector<Expr>> sizes = reshapedSizes(op, source.sizes);
  if (failed(sizes))
    return failure();
  defineBuffer(to, *buffer, *sizes);
  return success();
}

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

LogicalResult HostValues::define(Value value, Expr expr) {
  if (expr.size() > artifact::kMaxTerms)
    return value.getDefiningOp()->emitOpError("expected a formula of at most ")
           << artifact::kMaxTerms << " terms, got " << expr.size();
  exprs[value] = std::move(expr);
  return success();
}

/// Sizes, strides and facts of a device are never negative; of what is computed
/// from them only differences may be.
static bool isNeverNegative(const Expr &expr) {
  SmallVector<bool> stack;
  for (const Term &t : expr) {
    if (artifact::isLeaf(t.op)) {
      stack.push_back(t.op != TermOp::Constant || t.value >= 0);
      continue;
    }
    bool right = stack.pop_back_val(), left = stack.pop_back_val();
    stack.push_back(t.op == TermOp::Max   ? left || right
                    : t.op == TermOp::Sub ? false
                                          : left && right);
  }
  return stack.back();
}

LogicalResult HostValues::visitConstant(Operation *op) {
  auto value = dyn_cast<IntegerAttr>(cast<arith::ConstantOp>(op).getValue());
  // Constants of other types have a meaning where a launch or a fill takes
  // them.
  if (!value || value.getValue().getBitWidth() > 64)
    return success();
  return define(op->getResult(0),
                artifact::constant(value.getValue().getSExtValue()));
}

/// Index casts, extensions and truncations: formulas are evaluated in 64 bits,
/// and an i32 argument that does not fit is refused when it is passed.
LogicalResult HostValues::visitCast(Operation *op) {
  if (const Buffer *address = addressOf(op->getOperand(0))) {
    Buffer buffer = *address;
    addresses[op->getResult(0)] = buffer;
    return success();
  }
  FailureOr<Expr> expr = exprOf(op->getOperand(0), op);
  return failed(expr) ? failure() : define(op->getResult(0), *expr);
}

LogicalResult HostValues::visitBinary(Operation *op, TermOp kind) {
  const Buffer *left = addressOf(op->getOperand(0)),
               *right = addressOf(op->getOperand(1));
  if (left || right) {
    // An address may be moved by an offset, which is 0 (see visitMetadata).
    Value offset = op->getOperand(left ? 1 : 0);
    auto found = exprs.find(offset);
    if (kind != TermOp::Add || found == exprs.end() ||
        artifact::constantOf(found->second) != 0)
      return op->emitOpError("expected the address of a whole buffer, got one "
                             "that is computed");
    Buffer buffer = left ? *left : *right;
    addresses[op->getResult(0)] = buffer;
    return success();
  }
  FailureOr<Expr> a = exprOf(op->getOperand(0), op);
  FailureOr<Expr> b = failed(a) ? a : exprOf(op->getOperand(1), op);
  if (failed(b))
    return failure();
  bool isDivision = kind == TermOp::FloorDiv || kind == TermOp::CeilDiv;
  if (std::optional<int64_t> divisor = artifact::constantOf(*b);
      isDivision && divisor && *divisor < 1)
    return op->emitOpError("expected a divisor above 0, got ") << *divisor;
  return define(op->getResult(0), artifact::combine(kind, *a, *b));
}

/// Towards zero: floored and ceiled, whichever is nearer, where the dividend
/// may be negative. Unsigned divisions promise by their name that it is not.
LogicalResult HostValues::visitDivSI(Operation *op) {
  if (failed(visitBinary(op, TermOp::FloorDiv)))
    return failure();
  FailureOr<Expr> dividend = exprOf(op->getOperand(0), op);
  if (failed(dividend) || isNeverNegative(*dividend))
    return success(succeeded(dividend));
  Expr floored = exprs[op->getResult(0)], zero = artifact::constant(0);
  if (failed(visitBinary(op, TermOp::CeilDiv)))
    return failure();
  Expr ceiled = exprs[op->getResult(0)];
  return define(op->getResult(0),
                artifact::combine(
                    TermOp::Add, artifact::combine(TermOp::Max, floored, zero),
                    artifact::combine(TermOp::Min, ceiled, zero)));
}

/// Sums, products and quotients of sizes, as upstream's shapes have them.
LogicalResult HostValues::visitApply(Operation *op) {
  auto apply = cast<affine::AffineApplyOp>(op);
  SmallVector<Expr> operands;
  for (Value operand : apply.getMapOperands()) {
    FailureOr<Expr> expr = exprOf(operand, op);
    if (failed(expr))
      return failure();
    operands.push_back(std::move(*expr));
  }
  unsigned dims = apply.getAffineMap().getNumDims();
  std::function<FailureOr<Expr>(AffineExpr)> evaluate =
      [&](AffineExpr e) -> FailureOr<Expr> {
    if (auto constant = dyn_cast<AffineConstantExpr>(e))
      return artifact::constant(constant.getValue());
    if (auto dim = dyn_cast<AffineDimExpr>(e))
      return operands[dim.getPosition()];
    if (auto symbol = dyn_cast<AffineSymbolExpr>(e))
      return operands[dims + symbol.getPosition()];
    auto binary = cast<AffineBinaryOpExpr>(e);
    FailureOr<Expr> left = evaluate(binary.getLHS());
    FailureOr<Expr> right = failed(left) ? left : evaluate(binary.getRHS());
    if (failed(right))
      return failure();
    std::optional<int64_t> divisor = artifact::constantOf(*right);
    switch (e.getKind()) {
    case AffineExprKind::Add:
      return artifact::combine(TermOp::Add, *left, *right);
    case AffineExprKind::Mul:
      return artifact::combine(TermOp::Mul, *left, *right);
    case AffineExprKind::FloorDiv:
    case AffineExprKind::CeilDiv:
      if (!divisor || *divisor >= 1)
        return artifact::combine(e.getKind() == AffineExprKind::FloorDiv
                                     ? TermOp::FloorDiv
                                     : TermOp::CeilDiv,
                                 *left, *right);
      [[fallthrough]];
    default:
      return op->emitOpError("expected sums, products and quotients by "
                             "divisors above 0, got ")
             << apply.getMapAttr();
    }
  };
  FailureOr<Expr> result = evaluate(apply.getAffineMap().getResult(0));
  return failed(result) ? failure() : define(op->getResult(0), *result);
}

/// Host memory is there for the sake of a program's op, which says more.
static Operation *reasonFor(Operation *op) {
  Operation *reason = op;
  if (isa<memref::AllocOp>(op))
    for (Operation *user : op->getUsers())
      if (!isa<memref::MemRefDialect>(user->getDialect()) &&
          user->getBlock() == op->getBlock() &&
          (reason == op || user->isBeforeInBlock(reason)))
        reason = user;
  return reason;
}

LogicalResult HostValues::visit(Operation *op) {
  auto binary = [&](TermOp kind) {
    return [this, op, kind](auto) { return visitBinary(op, kind); };
  };
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](memref::DimOp) { return visitDim(op); })
      .Case([&](memref::ExtractStridedMetadataOp) { return visitMetadata(op); })
      .Case([&](memref::CastOp) { return visitMemrefCast(op); })
      .Case<memref::CollapseShapeOp, memref::ExpandShapeOp>(
          [&](auto) { return visitReshape(op); })
      .Case([&](memref::ExtractAlignedPointerAsIndexOp pointer) {
        FailureOr<Buffer> buffer = bufferOf(pointer.getSource(), op);
        if (succeeded(buffer))
          addresses[pointer.getResult()] = *buffer;
        return success(succeeded(buffer));
      })
      .Case([&](LLVM::IntToPtrOp pointer) -> LogicalResult {
        const Buffer *address = addressOf(pointer.getArg());
        if (!address)
          return op->emitOpError("expected a buffer's address, got the result "
                                 "of '")
                 << nameOfDef(pointer.getArg()) << "'";
        Buffer buffer = *address;
        addresses[pointer.getResult()] = buffer;
        return success();
      })
      .Case([&](unitile::MultiprocessorsOp device) {
        return define(device.getCount(), {{TermOp::Device, 0}});
      })
      .Case([&](arith::ConstantOp) { return visitConstant(op); })
      .Case([&](affine::AffineApplyOp) { return visitApply(op); })
      .Case<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtSIOp,
            arith::ExtUIOp, arith::TruncIOp>(
          [&](auto) { return visitCast(op); })
      .Case<arith::AddIOp>(binary(TermOp::Add))
      .Case<arith::SubIOp>(binary(TermOp::Sub))
      .Case<arith::MulIOp>(binary(TermOp::Mul))
      .Case<arith::DivUIOp, arith::FloorDivSIOp>(binary(TermOp::FloorDiv))
      .Case<arith::CeilDivUIOp, arith::CeilDivSIOp>(binary(TermOp::CeilDiv))
      .Case<arith::MinSIOp, arith::MinUIOp>(binary(TermOp::Min))
      .Case<arith::MaxSIOp, arith::MaxUIOp>(binary(TermOp::Max))
      .Case([&](arith::DivSIOp) { return visitDivSI(op); })
      .Default([](Operation *op) -> LogicalResult {
        op = reasonFor(op);
        InFlightDiagnostic error =
            op->emitError("expected sizes, buffers, fills and launches in a "
                          "compiled program, got '")
            << op->getName() << "', which would need code on the host";
        if (op->getNumRegions() || isa<CallOpInterface>(op))
          error << "; unisparse-outline compiles the attention of such a "
                   "program alone";
        return error;
      });
}
