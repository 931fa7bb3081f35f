// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.pool: means of rows and heads (P1-P4).
#include "Lowering.h"
#include "Tiles.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"

using namespace unisparse;
using namespace unisparse::loops;

/// Composites that one iteration of the parallel loop makes: enough rows to
/// outweigh handing the iteration out.
static constexpr int64_t kChunk = 32;

/// Rows from `first` to `end` of all pooled heads, summed in f32 (P2), for the
/// columns [at, at + lanes).
static Value sumRows(Emit &e, Value x, Value batch, Value firstHead,
                     int64_t heads, Value first, Value end, int64_t at,
                     int64_t lanes) {
  return e.fold(
      firstHead, e.add(firstHead, heads), e.splat(0.0, lanes),
      [&](Value head, ValueRange sum) -> SmallVector<Value> {
        return e.fold(
            first, end, sum,
            [&](Value row, ValueRange acc) -> SmallVector<Value> {
              Value v = e.loadVector(x, {batch, head, row, e.index(at)}, lanes);
              return {e.addF(acc[0], e.widen(v))};
            });
      })[0];
}

SmallVector<Value> loops::lowerPool(OpBuilder &builder, PoolOp op,
                                    ValueRange buffers) {
  Emit e(builder, op.getLoc());
  Value x = buffers[0];
  int64_t by = op.getBy(), heads = op.getHeads();
  auto type = op.getComposites().getType();
  int64_t columns = type.getDimSize(3);
  Value length = e.dim(x, 2);
  Packing packing{buffers[1], buffers[1]};
  Value slots = slotCount(e, packing, length, by);
  SmallVector<Value> sizes;
  if (type.isDynamicDim(0))
    sizes.push_back(e.dim(x, 0));
  if (type.isDynamicDim(2))
    sizes.push_back(slots);
  Value out = e.buffer(type.getShape(), type.getElementType(), sizes);
  if (isEmpty(op)) // Spare slots of a packed batch are nobody's.
    return {out};

  auto makeComposite = [&](Value batch, Value head, Value slot, Sequence s) {
    Value first = e.mul(s.unit, by);
    Value end = e.min(e.add(first, by), s.qLength);
    Value count = e.mul(e.sub(end, first), heads);
    Value n = arith::UIToFPOp::create(e.b, e.b.getF32Type(), e.toI32(count));
    for (int64_t at = 0; at < columns; at += 64) {
      int64_t lanes = std::min<int64_t>(64, columns - at);
      Value sum =
          sumRows(e, x, batch, e.mul(head, heads), heads,
                  e.add(s.qStart, first), e.add(s.qStart, end), at, lanes);
      Value mean = e.divF(sum, e.splat(n, lanes));
      e.storeVector(e.narrow(mean, type.getElementType()), out,
                    {batch, head, slot, e.index(at)});
    }
  };
  e.parallel({e.dim(out, 0), e.dim(out, 1), e.ceilDiv(slots, kChunk)},
             [&](ValueRange at) {
               Value first = e.mul(at[2], kChunk);
               Value end = e.min(e.add(first, kChunk), slots);
               e.forEach(first, end, [&](Value slot) {
                 withSequence(
                     e, packing, length, length, slot, by,
                     [&](Sequence s) { makeComposite(at[0], at[1], slot, s); });
               });
             });
  return {out};
}
