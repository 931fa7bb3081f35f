// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The rules of a page's words: U21, U23, U24. (U22 is beside those of other
// products.)
#include "mlir/IR/Builders.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace mlir;
using namespace unisparse::unitile;

/// A matrix of `element`s with `columns` columns, and what `memory` holds for a
/// head. [U21]
static LogicalResult verifyMatrix(Operation *op, MemRefType memory,
                                  int64_t columns, Type element) {
  if (memory.getElementType() != element)
    return op->emitOpError("[U21] expected elements of the memory's type ")
           << memory.getElementType() << ", got " << element;
  if (memory.isDynamicDim(3))
    return op->emitOpError("[U21] expected memory of a static head_dim, got ")
           << memory;
  int64_t expected = llvm::alignTo(memory.getDimSize(3), 16);
  if (columns != expected)
    return op->emitOpError("[U21] expected ")
           << expected << " columns for " << memory << ", got " << columns;
  return success();
}

LogicalResult FetchOp::verify() {
  TileType tile = getTile().getType();
  if (getTake() && (*getTake() <= 0 || *getOf() < *getTake() ||
                    tile.getRows() % *getOf())) // [U21]
    return emitOpError("[U21] expected 0 < take <= of, with `of` a divisor of "
                       "the tile's ")
           << tile.getRows() << " rows, got take " << *getTake() << " of "
           << *getOf();
  return verifyMatrix(*this, getSource().getType(), tile.getColumns(),
                      tile.getElementType());
}

LogicalResult PutOp::verify() {
  MemRefType target = getTarget().getType();
  auto fragment = dyn_cast<FragmentType>(getValue().getType());
  if (!fragment) { // [U21]
    if (target.getRank() == 3 && target.getElementType().isF32())
      return success();
    return emitOpError("[U21] expected a vector of f32 for rows, got ")
           << target;
  }
  if (target.getRank() != 4) // [U21]
    return emitOpError("[U21] expected a matrix for a fragment, got ")
           << target;
  // Few columns take as many as a fragment has at least.
  int64_t columns = fragment.getColumns();
  if (!target.isDynamicDim(3) && target.getDimSize(3) <= columns &&
      target.getDimSize(3) % 2 == 0 &&
      columns == static_cast<int64_t>(llvm::alignTo(target.getDimSize(3), 8)))
    columns = llvm::alignTo(target.getDimSize(3), 16);
  return verifyMatrix(*this, target, columns, fragment.getElementType());
}

LogicalResult WorkerOp::verify() { // [U31]
  if (cast<MemRefType>(getMemory().getType()).getRank())
    return success();
  return emitOpError("[U31] expected memory of rank 1 at least, got ")
         << getMemory().getType();
}

LogicalResult MaskOp::verify() { // [U26]
  if (getBounds() && !getPosition())
    return emitOpError("[U26] expected a position with bounds: where no bound "
                       "is at or below");
  return success();
}

void MaskOp::build(OpBuilder &b, OperationState &state, Type result,
                   Value scores, Value key, Value limit, Value position,
                   Value when) {
  build(b, state, result, scores, key, limit, position, Value(), Value(), when,
        Value());
}

/// A column for each group, up to a multiple of 8. [U28]
static LogicalResult verifyGroups(Operation *op, FragmentType value,
                                  int64_t columns, FragmentType result,
                                  StringRef label) {
  if (columns % 8 || value.getColumns() % columns)
    return op->emitOpError(label)
           << " expected groups of a multiple of 8 columns that divide "
           << value.getColumns() << ", got " << columns;
  auto expected =
      FragmentType::get(op->getContext(), value.getRows(),
                        llvm::alignTo(value.getColumns() / columns, 8),
                        Float32Type::get(op->getContext()), value.getLayout());
  if (!value.getElementType().isF32() || result != expected)
    return op->emitOpError(label) << " expected f32 and sums as " << expected
                                  << ", got " << value << " and " << result;
  return success();
}

LogicalResult SumGroupsOp::verify() {
  return verifyGroups(*this, getValue().getType(), getColumns(),
                      getResult().getType(), "[U28]");
}

static int64_t rowsOf(Type type) {
  if (auto fragment = dyn_cast<FragmentType>(type))
    return fragment.getRows();
  return cast<RowsType>(type).getRows();
}

/// What holds of every step of a softmax: its scale and its state.
template <typename OpTy>
static LogicalResult verifyStep(OpTy op, StringRef label) {
  FragmentType scores = op.getScores().getType();
  if (!op.getScale().isNormal() || op.getScale().isNegative())
    return op.emitOpError(label) << " expected a scale above 0, got "
                                 << op.getScale().convertToDouble();
  Type sum = op.getSum().getType();
  if (op.getSpeculative() && isa<RowsType>(sum))
    return op.emitOpError(label)
           << " expected a sum of 8 columns for a speculative reference, whose "
              "check is on them, got "
           << sum;
  SmallVector<Type> state{op.getReference().getType(), sum};
  if constexpr (std::is_same_v<OpTy, SoftmaxOp>)
    state.push_back(op.getOutput().getType());
  for (Type type : state)
    if (rowsOf(type) != scores.getRows())
      return op.emitOpError(label) << " expected a state of "
                                   << scores.getRows() << " rows, got " << type;
  if (auto fragment = dyn_cast<FragmentType>(sum))
    if (fragment.getColumns() != 8)
      return op.emitOpError(label)
             << " expected sums in rows or 8 columns, got " << fragment;
  return success();
}

template <typename OpTy> static LogicalResult verifySettled(OpTy op) {
  std::optional<APFloat> settled = op.getSettled();
  // In f32, with digits left behind the point.
  if (!settled || (settled->isFinite() &&
                   std::abs(settled->convertToDouble()) <= 0x1p20))
    return success();
  return op.emitOpError(
             "[U23] expected a settled reference of at most 2^20 in size, got ")
         << settled->convertToDouble();
}

LogicalResult ReferenceOp::verify() { return verifySettled(*this); } // [U23]

LogicalResult SoftmaxOp::verify() { // [U23]
  FragmentType scores = getScores().getType(), p = getProbabilities().getType();
  if (failed(verifyStep(*this, "[U23]")))
    return failure();
  if (getSpeculative() && getSettled())
    return emitOpError("[U23] expected a reference that is speculative or "
                       "settled, got both");
  if (failed(verifySettled(*this)))
    return failure();
  if (p.getRows() != scores.getRows() || p.getColumns() != scores.getColumns())
    return emitOpError("[U23] expected probabilities of the shape of ")
           << scores << ", got " << p;
  return success();
}

LogicalResult SoftmaxSumsOp::verify() { // [U27]
  if (failed(verifyStep(*this, "[U27]")))
    return failure();
  return verifyGroups(*this, getScores().getType(), getColumns(),
                      getSums().getType(), "[U27]");
}

/// That a region takes and yields these types. [U24]
static LogicalResult verifyRegion(WalkOp op, StringRef name, Region &region,
                                  ArrayRef<Type> takes, ArrayRef<Type> gives) {
  Block &block = region.front();
  if (TypeRange(block.getArgumentTypes()) != TypeRange(takes))
    return op.emitOpError("[U24] expected ")
           << name << " to take (" << TypeRange(takes) << "), got ("
           << block.getArgumentTypes() << ")";
  auto yield = cast<YieldOp>(block.getTerminator());
  if (yield.getOperandTypes() != TypeRange(gives))
    return op.emitOpError("[U24] expected ")
           << name << " to yield (" << TypeRange(gives) << "), got ("
           << yield.getOperandTypes() << ")";
  return success();
}

LogicalResult WalkOp::verify() { // [U24]
  Type i32 = IntegerType::get(getContext(), 32);
  auto yield = cast<YieldOp>(getScore().front().getTerminator());
  if (yield.getNumOperands() != 1 ||
      !isa<FragmentType>(yield.getOperand(0).getType()))
    return emitOpError("[U24] expected score to yield a fragment, got (")
           << yield.getOperandTypes() << ")";
  Type scores = yield.getOperand(0).getType();
  SmallVector<Type> state(getInits().getTypes()), update{scores, i32, i32};
  llvm::append_range(update, state);
  if (failed(verifyRegion(*this, "block", getBlock(), {i32}, {i32, i32})) ||
      failed(verifyRegion(*this, "score", getScore(), {i32, i32}, {scores})) ||
      failed(verifyRegion(*this, "mask", getMask(), {scores, i32, i32},
                          {scores})) ||
      failed(verifyRegion(*this, "update", getUpdate(), update, state)))
    return failure();
  return verifyRegion(*this, "finish", getFinish(), state, {});
}
