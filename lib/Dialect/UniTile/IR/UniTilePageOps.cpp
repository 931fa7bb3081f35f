// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The rules of a page's words: U21, U23, U24. (U22 is beside those of other
// products.)
#include "mlir/IR/Builders.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "llvm/Support/MathExtras.h"

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
  return verifyMatrix(*this, target, fragment.getColumns(),
                      fragment.getElementType());
}

LogicalResult SoftmaxOp::verify() { // [U23]
  FragmentType scores = getScores().getType(),
               p = getProbabilities().getType();
  if (!getScale().isNormal() || getScale().isNegative())
    return emitOpError("[U23] expected a scale above 0, got ")
           << getScale().convertToDouble();
  if (p.getRows() != scores.getRows() || p.getColumns() != scores.getColumns())
    return emitOpError("[U23] expected probabilities of the shape of ")
           << scores << ", got " << p;
  if (getSpeculative() && isa<RowsType>(getSum().getType()))
    return emitOpError("[U23] expected a sum of 8 columns for a speculative "
                       "reference, whose check is on them, got ")
           << getSum().getType();
  auto rowsOf = [](Type type) {
    if (auto fragment = dyn_cast<FragmentType>(type))
      return fragment.getRows();
    return cast<RowsType>(type).getRows();
  };
  for (Value state : {Value(getReference()), Value(getSum()),
                      Value(getOutput())})
    if (rowsOf(state.getType()) != scores.getRows())
      return emitOpError("[U23] expected a state of ")
             << scores.getRows() << " rows, got " << state.getType();
  if (auto sum = dyn_cast<FragmentType>(getSum().getType()))
    if (sum.getColumns() != 8)
      return emitOpError("[U23] expected sums in rows or 8 columns, got ")
             << sum;
  return success();
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
