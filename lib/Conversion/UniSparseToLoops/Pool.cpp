// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.pool without representatives: means of rows and heads (P1-P4), and
// what a group of dims adds (P6).
#include "Groups.h"
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
  return e.fold(firstHead, e.add(firstHead, heads), e.splat(0.0, lanes),
                [&](Value head, ValueRange sum) -> SmallVector<Value> {
                  return e.fold(
                      first, end, sum,
                      [&](Value row, ValueRange acc) -> SmallVector<Value> {
                        Value v = e.loadVector(
                            x, {batch, head, row, e.index(at)}, lanes);
                        return {e.addF(acc[0], e.widen(v))};
                      });
                })[0];
}

/// P6: the sum over rows of squared distances from the heads' mean row `mean`,
/// for the columns [at, at + lanes).
static Value sumSquares(Emit &e, Value x, Value batch, Value firstHead,
                        int64_t heads, Value first, Value end, int64_t at,
                        int64_t lanes, Value mean) {
  return e.fold(first, end, e.splat(0.0, lanes),
                [&](Value row, ValueRange acc) -> SmallVector<Value> {
                  Value sum = sumRows(e, x, batch, firstHead, heads, row,
                                      e.add(row, 1), at, lanes);
                  double part = 1.0 / static_cast<double>(heads);
                  Value difference =
                      e.subF(e.mulF(sum, e.splat(part, lanes)), mean);
                  return {e.addF(acc[0], e.mulF(difference, difference))};
                })[0];
}

SmallVector<Value> loops::lowerPool(OpBuilder &builder, PoolOp op,
                                    ValueRange buffers) {
  if (op.getRepresentatives())
    return lowerPoolOfBlocks(builder, op, buffers);
  Emit e(builder, op.getLoc());
  Value x = buffers[0];
  int64_t by = op.getBy(), heads = op.getHeads();
  auto type = op.getComposites().getType();
  int64_t headDim = op.getX().getType().getDimSize(3);
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

  Groups groups(e, op, out);
  auto makeComposite = [&](Value batch, Value head, Value slot, Sequence s) {
    Value first = e.mul(s.unit, by);
    Value end = e.min(e.add(first, by), s.qLength);
    Value rows = e.sub(end, first);
    auto toFloat = [&](Value n) {
      return arith::UIToFPOp::create(e.b, e.b.getF32Type(), e.toI32(n));
    };
    Value n = toFloat(e.mul(rows, heads)), existing;
    if (op.getSpread())
      existing = toFloat(rows);
    Value firstHead = e.mul(head, heads);
    first = e.add(s.qStart, first), end = e.add(s.qStart, end);
    for (int64_t at = 0; at < headDim; at += kPiece) {
      int64_t lanes = std::min<int64_t>(kPiece, headDim - at);
      Value sum = sumRows(e, x, batch, firstHead, heads, first, end, at, lanes);
      Value mean = e.divF(sum, e.splat(n, lanes));
      Value stored = e.narrow(mean, type.getElementType());
      e.storeVector(stored, out, {batch, head, slot, e.index(at)});
      if (op.getSpread()) {
        Value squares = sumSquares(e, x, batch, firstHead, heads, first, end,
                                   at, lanes, mean);
        Value variance = e.divF(squares, e.splat(existing, lanes));
        groups.take(variance, at, {batch, head, slot});
      } else if (op.getNorms()) {
        Value q = e.widen(stored);
        groups.take(e.mulF(q, q), at, {batch, head, slot});
      }
    }
    groups.finish({batch, head, slot});
  };
  e.parallel({e.dim(out, 0), e.dim(out, 1), e.ceilDiv(slots, kChunk)},
             [&](ValueRange at) {
               Value first = e.mul(at[2], kChunk);
               Value end = e.min(e.add(first, kChunk), slots);
               groups.allocate();
               e.forEach(first, end, [&](Value slot) {
                 withSequence(
                     e, packing, length, length, slot, by,
                     [&](Sequence s) { makeComposite(at[0], at[1], slot, s); });
               });
             });
  return {out};
}
