// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Composite attention in one pass over the composite keys. A row's normaliser
// is known at its end only, so the pass keeps, for every row, the sum of
// exponentials of each key block and the maximum that they are relative to, in
// memory of a block of threads; what that comes to in the end are the masses.
// The memory grows with the length, not with its square: blocks of threads are
// few and take one tile of rows after another.
#include "ScorePage.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

/// Maxima and sums of exponentials, over columns 8 apart, with one more tile
/// (S3), and its exponentials, relative to the maxima.
SmallVector<Value> ScorePage::step(Value logits, ValueRange state) {
  ImplicitLocOpBuilder &b = p.b;
  Powers x = powersOf(logits, state[0]);
  Value factor =
      p.map(p.rows(tq), {state[0], x.scaledTop},
            [&](ValueRange e) -> Value { return shrink(e[0], e[1]); });
  // Across the columns of a row at its end only.
  Value parts = FoldOp::create(b, partsType(), Combine::Add, x.powers);
  parts =
      p.map(partsType(), {state[1], factor, parts}, [&](ValueRange e) -> Value {
        return math::FmaOp::create(b, e[0], e[1], e[2]);
      });
  return {x.top, parts, x.powers};
}

void ScorePage::onePass(Value accumulate) {
  ImplicitLocOpBuilder &b = p.b;
  Value zero = p.i32(0);
  SmallVector<Value> normaliser = p.forEach(
      zero, tiles, 1, {p.fill(lowest(), p.rows(tq)), p.fill(0.0, partsType())},
      [&](Value tile, ValueRange state) -> SmallVector<Value> {
        Value stage = p.rem(tile, 2);
        WaitOp::create(b, 0);
        BarrierOp::create(b);
        // One tile ahead; the last step's copy is of no use, and waited for.
        copyKeys(p.min(p.add(tile, 1), p.sub(tiles, 1)),
                 p.sub(p.i32(1), stage));
        SmallVector<Value> next = step(multiply(tile, stage), state);
        StoreBlocksOp::create(b, Combine::Add, next[2], /*block_rows=*/1,
                              kRows.padded, sums, zero, p.i32(tq),
                              p.mul(tile, kBlocks), keyBlocks, p.i64(keyBlocks),
                              Value(), Value());
        storeRows(next[0], topsOf(tile));
        return {next[0], next[1]};
      });
  WaitOp::create(b, 0);
  normaliser[1] =
      ReduceOp::create(b, Combine::Add, normaliser[1], p.fill(0.0, p.rows(tq)));
  storeRows(rowBias(normaliser), topsOf(tiles));
  BarrierOp::create(b);
  storeMasses(accumulate);
}

void ScorePage::storeRows(Value rows, Value target) {
  StoreOp::create(p.b, rows, target, p.i32(0), p.i32(tq), p.i64(int64_t(1)),
                  IntegerAttr());
}

/// The mass of query block `block` of the tile in key block `j`: over its rows,
/// the largest share or their sum (S5).
Value ScorePage::massOf(Value block, Value j) {
  ImplicitLocOpBuilder &b = p.b;
  Type f32 = b.getF32Type();
  Value top = topsOf(p.div(j, kBlocks)), bias = topsOf(tiles);
  Value first = p.mul(block, qRows.padded);
  auto withRow = [&](Value row, Value best) -> Value {
    Value at = arith::AddIOp::create(
        b, arith::MulIOp::create(b, p.i64(row), p.i64(keyBlocks)), p.i64(j));
    Value factor = math::Exp2Op::create(
        b, math::FmaOp::create(b, p.load(top, f32, row), p.f32(unit()),
                               p.load(bias, f32, row)));
    Value share = arith::MulFOp::create(b, p.load(sums, f32, at), factor);
    if (op.getAgg() == Agg::Max)
      return arith::MaxNumFOp::create(b, best, share);
    return arith::AddFOp::create(b, best, share);
  };
  // Eight rows at a time, whose loads are under way together.
  int64_t rows = qRows.composites, together = rows % 8 ? 1 : 8;
  return p.forEach(p.i32(0), p.i32(rows), together, {p.f32(0.0)},
                   [&](Value r, ValueRange best) -> SmallVector<Value> {
                     Value x = best[0];
                     for (int64_t i = 0; i < together; ++i)
                       x = withRow(p.add(first, p.add(r, i)), x);
                     return {x};
                   })[0];
}

void ScorePage::storeMasses(Value accumulate) {
  ImplicitLocOpBuilder &b = p.b;
  Value seen = p.min(p.mul(tiles, kBlocks), keyBlocks);
  p.forEach(p.i32(0), blockRows, 1, {},
            [&](Value block, ValueRange) -> SmallVector<Value> {
              Value row = p.at(
                  massRow, b.getF32Type(),
                  arith::MulIOp::create(b, p.i64(block), p.i64(keyBlocks)));
              p.forEach(p.threadId(), seen, 32 * p.warps(), {},
                        [&](Value j, ValueRange) -> SmallVector<Value> {
                          Value x = massOf(block, j);
                          if (accumulate) {
                            Value old = p.ifElse(
                                accumulate,
                                [&]() -> SmallVector<Value> {
                                  return {p.load(row, b.getF32Type(), j)};
                                },
                                [&]() -> SmallVector<Value> {
                                  return {p.f32(0.0)};
                                })[0];
                            x = arith::AddFOp::create(b, old, x);
                          }
                          p.store(x, row, j);
                          return {};
                        });
              return {};
            });
}

/// Items are tiles of rows, of a head of a batch entry; a head's come one after
/// another.
void ScorePage::scoreItems() {
  ImplicitLocOpBuilder &b = p.b;
  Value own = p.blockId(gpu::Dimension::x);
  Value blocks = arith::IndexCastOp::create(
      b, b.getI32Type(), gpu::GridDimOp::create(b, gpu::Dimension::x));
  Value rows = p.i64(p.mul(own, tq));
  sums = p.at(allSums, b.getF32Type(),
              arith::MulIOp::create(b, rows, p.i64(keyBlocks)));
  Value topRows = p.add(p.ceilDiv(keyBlocks, kBlocks), 1);
  tops = p.at(allTops, b.getF32Type(),
              arith::MulIOp::create(b, rows, p.i64(topRows)));
  int64_t heads = op.getMass().getType().getDimSize(1);
  p.whileLoop(
      own, [&](ValueRange item) { return p.less(item[0], items); },
      [&](ValueRange item) -> SmallVector<Value> {
        Value batchHead = arith::DivUIOp::create(b, item[0], rowTiles);
        massHead = p.rem(batchHead, heads), batch = p.div(batchHead, heads);
        scoreTile(p.sub(item[0], p.mul(batchHead, rowTiles)));
        return {p.add(item[0], blocks)};
      });
}
