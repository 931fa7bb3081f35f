// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "PoolUnits.h"
#include "Kernels.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace unisparse;

LogicalResult unisparse::checkPooled(PoolOp op) {
  auto type = op.getComposites().getType();
  int64_t lanes = 128 / type.getElementType().getIntOrFloatBitWidth();
  // Of one thread a piece, as many as a CTA has.
  if (failed(checkHeadDim(op, "head_dim", op.getX().getType(), 256 * lanes)))
    return failure();
  if (type.getDimSize(3) % lanes == 0)
    return success();
  return op.emitOpError("expected composites of a multiple of ")
         << lanes << " columns at the tile level, got " << type.getDimSize(3);
}

SmallVector<Value> PoolUnits::zeros() {
  Value zero = arith::ConstantOp::create(p.b, p.b.getZeroAttr(f32Piece));
  return SmallVector<Value>(pieces, zero);
}

SmallVector<Value> PoolUnits::rowOfHead(Value batch, Value head, Value row,
                                        Value unit) {
  SmallVector<Value> loaded;
  for (int64_t n = 0; n < pieces; ++n) {
    Value v = vector::LoadOp::create(
        p.b, piece, x, p.indices({batch, head, row, column(unit, n)}));
    if (!element.isF32())
      v = arith::ExtFOp::create(p.b, f32Piece, v);
    loaded.push_back(v);
  }
  return loaded;
}

SmallVector<Value> PoolUnits::addRows(Value batch, Value head, Value first,
                                      Value rows, Value unit, ValueRange sums) {
  int64_t heads = op.getHeads();
  SmallVector<Value> total(sums);
  for (int64_t h = 0; h < heads; ++h) {
    Value of = p.add(p.mul(head, heads), h);
    auto add = [&](Value r, ValueRange c) -> SmallVector<Value> {
      SmallVector<Value> next;
      for (auto [sum, v] :
           llvm::zip_equal(c, rowOfHead(batch, of, p.add(first, r), unit)))
        next.push_back(arith::AddFOp::create(p.b, sum, v));
      return next;
    };
    total = p.forEach(p.i32(0), rows, 1, total, add);
  }
  return total;
}

SmallVector<Value> PoolUnits::row(Value batch, Value head, Value row,
                                  Value unit) {
  if (op.getHeads() == 1)
    return rowOfHead(batch, head, row, unit);
  return divide(addRows(batch, head, row, p.i32(1), unit, zeros()),
                p.i32(op.getHeads()));
}

SmallVector<Value> PoolUnits::divide(ValueRange pieces, Value n) {
  Value by = vector::BroadcastOp::create(p.b, f32Piece, p.toFloat(n));
  return llvm::map_to_vector(pieces, [&](Value x) -> Value {
    return arith::DivFOp::create(p.b, x, by);
  });
}

SmallVector<Value> PoolUnits::write(ValueRange pieces, ValueRange at,
                                    Value unit) {
  SmallVector<Value> written;
  for (auto [n, x] : llvm::enumerate(pieces)) {
    Value stored = element.isF32()
                       ? x
                       : arith::TruncFOp::create(p.b, piece, x).getResult();
    vector::StoreOp::create(p.b, stored, out,
                            p.indices({at[0], at[1], at[2], column(unit, n)}));
    written.push_back(
        element.isF32()
            ? x
            : arith::ExtFOp::create(p.b, f32Piece, stored).getResult());
  }
  return written;
}

/// The largest finite number of the type in the place of what is beyond it; a
/// NaN is beyond nothing.
static Value narrowSaturating(PageBuilder &p, Value x, Type element) {
  bool lossy = false;
  APFloat most =
      APFloat::getLargest(cast<FloatType>(element).getFloatSemantics());
  most.convert(APFloat::IEEEsingle(), APFloat::rmTowardZero, &lossy);
  auto bound = [&](float value) -> Value {
    TypedAttr number = p.b.getF32FloatAttr(value);
    if (auto vector = dyn_cast<VectorType>(x.getType()))
      number = DenseElementsAttr::get(vector, value);
    return arith::ConstantOp::create(p.b, number);
  };
  Value high = bound(most.convertToFloat()),
        low = bound(-most.convertToFloat());
  auto isBeyond = [&](arith::CmpFPredicate predicate, Value y) -> Value {
    return arith::CmpFOp::create(p.b, predicate, x, y);
  };
  Value above = isBeyond(arith::CmpFPredicate::OGT, high),
        below = isBeyond(arith::CmpFPredicate::OLT, low);
  x = p.select(below, low, p.select(above, high, x));
  if (element.isF32())
    return x;
  auto vector = dyn_cast<VectorType>(x.getType());
  return arith::TruncFOp::create(
      p.b, vector ? Type(vector.clone(element)) : element, x);
}

void PoolUnits::writeGroups(ValueRange ofDims, double factor, ValueRange at,
                            Value unit) {
  int64_t groups = dimsOfUnit / dims;
  Value first = p.add(p.mul(unit, groups), headDim);
  auto place = [&](int64_t n) {
    return p.indices({at[0], at[1], at[2], p.add(first, n)});
  };
  if (dims == 1) { // One piece of dims is one of columns.
    Value scale = vector::BroadcastOp::create(p.b, f32Piece, p.f32(factor));
    Value columns = arith::MulFOp::create(p.b, ofDims[0], scale);
    vector::StoreOp::create(p.b, narrowSaturating(p, columns, element), out,
                            place(0));
    return;
  }
  for (int64_t group = 0; group < groups; ++group) {
    Value sum = p.f32(0.0);
    for (int64_t d = group * dims; d < (group + 1) * dims; ++d) {
      Value x = vector::ExtractOp::create(p.b, ofDims[d / lanes], d % lanes);
      sum = arith::AddFOp::create(p.b, sum, x);
    }
    sum = arith::MulFOp::create(p.b, sum, p.f32(factor));
    p.write(narrowSaturating(p, sum, element), out,
            {at[0], at[1], at[2], p.add(first, group)});
  }
}

void PoolUnits::writeNorms(ValueRange written, ValueRange at, Value unit) {
  if (!op.getNorms())
    return;
  SmallVector<Value> squares =
      llvm::map_to_vector(written, [&](Value x) { return square(x); });
  writeGroups(squares, op.getFactor()->convertToDouble(), at, unit);
}
