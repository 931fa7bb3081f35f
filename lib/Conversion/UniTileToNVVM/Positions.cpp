// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// sitofp(place + c) = sitofp(place) + c: exact where both and their sum are
// below 2^24 in magnitude, as f32 has all of these integers; beyond, one more
// rounding. Left to LLVM, each element has a conversion and a register with its
// position.
#include "Positions.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace unisparse::unitile;

ConvertedPositions::ConvertedPositions(MapOp op) : body(op.getBody().front()) {
  if (!op.getIndices())
    return;
  sums[body.getArgument(0)] = {1, 0};
  if (isa<FragmentType>(op.getResult().getType()))
    sums[body.getArgument(1)] = {0, 1};
  for (Operation &inner : body.without_terminator()) {
    if (std::optional<Sum> sum = sumOf(inner))
      sums[inner.getResult(0)] = *sum;
    auto convert = dyn_cast<arith::SIToFPOp>(inner);
    if (!convert || !convert.getType().isF32())
      continue;
    Value operand = convert.getIn();
    auto magnitude = operand.getDefiningOp<math::AbsIOp>();
    if (magnitude)
      operand = magnitude.getOperand();
    // An index alone is left to LLVM, which knows how small it is.
    Sum sum = sums.lookup(operand);
    if (operand.getDefiningOp() && (sum.row || sum.column))
      conversions[convert] = {sum, operand, bool(magnitude), Value()};
  }
}

/// Of an op that gives an i32; none where it is no such sum.
std::optional<ConvertedPositions::Sum>
ConvertedPositions::sumOf(Operation &op) const {
  if (op.getNumResults() != 1 || !op.getResult(0).getType().isInteger(32))
    return {};
  // The same for all elements?
  bool isFixed = llvm::all_of(op.getOperands(), [&](Value operand) {
    if (operand.getParentBlock() != &body)
      return true;
    Operation *from = operand.getDefiningOp();
    return from && sums.contains(operand) && !sums.lookup(operand).row &&
           !sums.lookup(operand).column;
  });
  if (isFixed && isPure(&op))
    return Sum{};
  auto flags = dyn_cast<arith::ArithIntegerOverflowFlagsInterface>(op);
  if (!isa<arith::AddIOp, arith::SubIOp>(op) || !flags ||
      !flags.hasNoSignedWrap())
    return {};
  int64_t sign = isa<arith::SubIOp>(op) ? -1 : 1;
  auto known = [&](Value x) {
    return x.getParentBlock() != &body || sums.contains(x);
  };
  Value x = op.getOperand(0), y = op.getOperand(1);
  if (!known(x) || !known(y))
    return {};
  Sum a = sums.lookup(x), c = sums.lookup(y);
  return Sum{a.row + sign * c.row, a.column + sign * c.column};
}

Value ConvertedPositions::copy(OpBuilder &b, Value value,
                               IRMapping &mapping) const {
  if (value.getParentBlock() != &body || mapping.contains(value))
    return mapping.lookupOrDefault(value);
  Operation *op = value.getDefiningOp();
  for (Value operand : op->getOperands())
    copy(b, operand, mapping);
  b.clone(*op, mapping);
  return mapping.lookup(value);
}

void ConvertedPositions::convert(OpBuilder &b, ValueRange indices) {
  IRMapping mapping;
  mapping.map(body.getArguments().take_front(indices.size()), indices);
  for (auto &[op, conversion] : conversions)
    conversion.first = arith::SIToFPOp::create(
        b, op->getLoc(), b.getF32Type(), copy(b, conversion.operand, mapping));
}

Value ConvertedPositions::at(OpBuilder &b, Operation &op, Position away) const {
  auto found = conversions.find(&op);
  if (found == conversions.end())
    return {};
  const Conversion &conversion = found->second;
  Location loc = op.getLoc();
  Value place = conversion.first;
  if (int64_t distance =
          conversion.sum.row * away.row + conversion.sum.column * away.column) {
    Value by = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(distance));
    place = arith::AddFOp::create(b, loc, place, by);
  }
  return conversion.isMagnitude ? math::AbsFOp::create(b, loc, place) : place;
}
