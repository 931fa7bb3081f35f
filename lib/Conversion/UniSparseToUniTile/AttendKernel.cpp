// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The kernel walks its row's key blocks in FlashAttention's way: S = Q K^T,
// online softmax in base 2, O += P V. K and V have one stage each; V arrives
// while S is multiplied, the next K while the softmax runs. Blocks larger than
// a tile are walked tile by tile.
#include "KernelPage.h"
#include "Kernels.h"
#include "Schedule.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>
#include <limits>

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Attend {
  Attend(BlockSparseAttentionOp op, TilesAttr schedule, KernelPage &page);

  void build();

private:
  Value keyTiles(const Span &span);
  Value firstKeyOf(Value n);
  Value maskedLogits(Value logits, Value firstKey, Value keyEnd);
  SmallVector<Value> step(Value n, ValueRange state);
  void writeResults(ValueRange state);
  void attendTile();

  BlockSparseAttentionOp op;
  KernelPage &p;
  Type element;
  int64_t bq, bk; ///< A block.
  int64_t tq, tk; ///< A tile.
  int64_t rowTiles, keyTilesOfBlock;
  int64_t headDim, valueDim, depth, width;
  double scale; ///< Base 2; applied to S, or with the exponent.
  bool scaleFirst, causal;

public:
  // Arguments, filled in by the host side.
  TokensArgument q, k, v;
  Value o, lse, counts, indices, slots, keyBlocks;

private:
  // Of the tile at hand.
  Span span;
  Value head, batch, batchHead, selectionRow, tiles;
  Value firstRow, rowEnd; ///< In the sequence.
  Value queryTile, queries, keys, values, keyRows, valueRows;
};

} // namespace

Attend::Attend(BlockSparseAttentionOp op, TilesAttr schedule, KernelPage &page)
    : op(op), p(page), element(op.getQ().getType().getElementType()),
      bq(op.getBlock().getQuery()), bk(op.getBlock().getKey()),
      tq(schedule.getRows()), tk(schedule.getKeys()),
      rowTiles(llvm::divideCeil(bq, tq)),
      keyTilesOfBlock(llvm::divideCeil(bk, tk)),
      headDim(op.getQ().getType().getDimSize(3)),
      valueDim(op.getV().getType().getDimSize(3)), depth(tileColumns(headDim)),
      width(tileColumns(valueDim)),
      scale(scaleInBase2(op.getScale(), 1.0, headDim)), causal(op.getCausal()) {
  // A maximum over S is one over scale * S only for a positive scale.
  scaleFirst = !(scale > 1e-6);
}

/// How many key tiles the row walks: those of its selection's blocks, or of its
/// candidates (L1).
Value Attend::keyTiles(const Span &span) {
  Value blocks = counts ? p.loadI32(counts, selectionRow)
                        : p.candidates(span, bq, bk, causal);
  return p.mul(blocks, keyTilesOfBlock);
}

/// The first key of tile `n` of the row.
Value Attend::firstKeyOf(Value n) {
  Value block = p.div(n, keyTilesOfBlock);
  if (indices) {
    Value row = arith::MulIOp::create(p.b, selectionRow, p.i64(keyBlocks));
    block = p.loadI32(indices, arith::AddIOp::create(p.b, row, p.i64(block)));
  }
  return p.add(p.mul(block, bk), p.mul(p.rem(n, keyTilesOfBlock), tk));
}

/// -inf where a key is behind the query's position (A1), its block's end or the
/// sequence's (P3). Only tiles on the diagonal and at an end have such keys.
Value Attend::maskedLogits(Value logits, Value firstKey, Value keyEnd) {
  Value firstQuery = p.add(firstRow, p.delta(span));
  Value tileEnd = p.add(firstKey, tk);
  Value needed = p.less(keyEnd, tileEnd);
  if (causal)
    needed = p.either(needed, p.less(p.add(firstQuery, 1), tileEnd));
  auto mask = [&]() -> SmallVector<Value> {
    return {p.map(
        logits.getType(), logits,
        [&](ValueRange e) {
          Value key = p.add(firstKey, e[1]);
          Value seen = p.less(key, keyEnd);
          if (causal)
            seen = p.both(seen, p.compare(arith::CmpIPredicate::sle, key,
                                          p.add(firstQuery, e[0])));
          return p.select(seen, e[2], p.f32(-kInfinity));
        },
        /*indices=*/true)};
  };
  return p.ifElse(needed, mask,
                  [&]() -> SmallVector<Value> { return {logits}; })[0];
}

/// One key tile; the state is O, the maxima, the sums, the tile's first key.
SmallVector<Value> Attend::step(Value n, ValueRange state) {
  ImplicitLocOpBuilder &b = p.b;
  Value output = state[0], oldTop = state[1], oldSum = state[2];
  Value firstKey = state[3], zero = p.i32(0);
  auto keyEnd = [&](Value first) {
    if (bk % tk == 0)
      return span.kLength;
    // Tiles of a block that they do not divide stop at its end.
    Value blockEnd = p.mul(p.add(p.div(first, bk), 1), bk);
    return p.min(span.kLength, blockEnd);
  };
  // V arrives while S is multiplied.
  CopyAsyncOp::create(b, valueRows, firstKey, keyEnd(firstKey), v.rowStride,
                      values, zero, b.getI64IntegerAttr(valueDim), nullptr,
                      nullptr);
  CommitOp::create(b);
  WaitOp::create(b, 1);
  BarrierOp::create(b);
  FragmentType logitsType = p.fragment(tq, tk, b.getF32Type());
  Value a = queries ? queries
                    : LoadOp::create(b, p.fragment(tq, depth, element),
                                     queryTile, zero);
  Value logits = MmaOp::create(b, logitsType, a, keys, zero,
                               p.fill(0.0, logitsType), /*by_rows=*/false);
  BarrierOp::create(b);
  // The next K, while the softmax runs; behind the last tile, the last again.
  Value next = p.min(p.add(n, 1), p.sub(tiles, 1));
  Value nextKey = firstKeyOf(next);
  CopyAsyncOp::create(b, keyRows, nextKey, keyEnd(nextKey), k.rowStride, keys,
                      zero, b.getI64IntegerAttr(headDim), nullptr, nullptr);
  CommitOp::create(b);

  double inExponent = scaleFirst ? 1.0 : scale;
  auto times = [&](Value x) -> Value {
    return arith::MulFOp::create(b, x, p.f32(inExponent));
  };
  if (scaleFirst)
    logits = p.map(logitsType, logits, [&](ValueRange e) -> Value {
      return arith::MulFOp::create(b, e[0], p.f32(scale));
    });
  logits = maskedLogits(logits, firstKey, keyEnd(firstKey));
  Value top = ReduceOp::create(b, Combine::Max, logits, oldTop);
  Value scaledTop =
      p.map(p.rows(tq), top, [&](ValueRange e) { return times(e[0]); });
  Value shrink =
      p.map(p.rows(tq), {oldTop, scaledTop}, [&](ValueRange e) -> Value {
        return math::Exp2Op::create(
            b, arith::SubFOp::create(b, times(e[0]), e[1]));
      });
  Value powers =
      p.map(logitsType, {logits, scaledTop}, [&](ValueRange e) -> Value {
        Value down = arith::NegFOp::create(b, e[1]);
        return math::Exp2Op::create(
            b, math::FmaOp::create(b, e[0], p.f32(inExponent), down));
      });
  auto product = [&](ValueRange e) -> Value {
    return arith::MulFOp::create(b, e[0], e[1]);
  };
  Value sum = ReduceOp::create(b, Combine::Add, powers,
                               p.map(p.rows(tq), {oldSum, shrink}, product));
  output = p.map(output.getType(), {output, shrink}, product);
  Value rounded = powers;
  if (!element.isF32())
    rounded =
        p.map(p.fragment(tq, tk, element), powers, [&](ValueRange e) -> Value {
          return arith::TruncFOp::create(b, element, e[0]);
        });
  WaitOp::create(b, 1);
  BarrierOp::create(b);
  output = MmaOp::create(b, output.getType(), rounded, values, zero, output,
                         /*by_rows=*/true);
  BarrierOp::create(b);
  return {output, top, sum, nextKey};
}

/// o = O / sum and lse = (top + log2 sum) ln 2; 0 and -inf where nothing was
/// seen (A2), chosen, not multiplied: O may hold 0 * NaN then (A5).
void Attend::writeResults(ValueRange state) {
  ImplicitLocOpBuilder &b = p.b;
  auto isBlind = [&](Value sum) {
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, sum, p.f32(0.0));
  };
  Value out = p.map(p.fragment(tq, width, element), {state[0], state[2]},
                    [&](ValueRange e) -> Value {
                      Value x = arith::DivFOp::create(b, e[0], e[1]);
                      x = p.select(isBlind(e[1]), p.f32(0.0), x);
                      if (element.isF32())
                        return x;
                      return arith::TruncFOp::create(b, element, x);
                    });
  Value firstToken = p.flatRow(batchHead, p.lq, span.qStart);
  Value target =
      p.at(o, element, arith::MulIOp::create(b, firstToken, p.i64(valueDim)));
  StoreOp::create(b, out, target, firstRow, rowEnd, p.i64(valueDim),
                  b.getI64IntegerAttr(valueDim));
  if (!lse)
    return;
  double inExponent = scaleFirst ? 1.0 : scale;
  Value l = p.map(p.rows(tq), {state[1], state[2]}, [&](ValueRange e) -> Value {
    Value top = arith::MulFOp::create(b, e[0], p.f32(inExponent));
    Value log = arith::AddFOp::create(b, top, math::Log2Op::create(b, e[1]));
    Value natural = arith::MulFOp::create(b, log, p.f32(M_LN2));
    return p.select(isBlind(e[1]), p.f32(-kInfinity), natural);
  });
  StoreOp::create(b, l, p.at(lse, b.getF32Type(), firstToken), firstRow, rowEnd,
                  p.i64(1), nullptr);
}

void Attend::attendTile() {
  ImplicitLocOpBuilder &b = p.b;
  Value zero = p.i32(0);
  int64_t heads = op.getQ().getType().getDimSize(1);
  Value kvHead = p.div(head, heads / op.getK().getType().getDimSize(1));
  if (counts) {
    int64_t selections =
        cast<ShapedType>(op.getCounts().getType()).getDimSize(1);
    selectionRow =
        p.flatRow(p.div(batchHead, heads / selections), slots,
                  p.add(span.unit, p.firstSlot(span, span.qStart, bq)));
  }
  tiles = keyTiles(span);
  keyRows = p.row(k, element, batch, kvHead, span.kStart);
  valueRows = p.row(v, element, batch, kvHead, span.kStart);
  Value queryRows = p.row(q, element, batch, head, span.qStart);
  queryTile = p.tile(tq, depth, element);
  keys = p.tile(tk, depth, element);
  values = p.tile(tk, width, element);
  auto headWidth = b.getI64IntegerAttr(headDim);
  CopyAsyncOp::create(b, queryRows, firstRow, rowEnd, q.rowStride, queryTile,
                      zero, headWidth, nullptr, nullptr);
  // A row that selects nothing has no first tile to load: key 0, not waited
  // upon by anything.
  Value firstKey = p.ifElse(
      p.less(zero, tiles),
      [&]() -> SmallVector<Value> { return {firstKeyOf(zero)}; },
      [&]() -> SmallVector<Value> { return {zero}; })[0];
  CopyAsyncOp::create(
      b, keyRows, firstKey,
      bk % tk ? p.min(span.kLength, p.mul(p.add(p.div(firstKey, bk), 1), bk))
              : span.kLength,
      k.rowStride, keys, zero, headWidth, nullptr, nullptr);
  CommitOp::create(b);
  WaitOp::create(b, 0);
  BarrierOp::create(b);
  if (holdsQueries(op.getQ().getType()))
    queries =
        LoadOp::create(b, p.fragment(tq, depth, element), queryTile, zero);
  // Finite, also once scaled: rows that see nothing of a tile stay at it.
  double lowest = -std::numeric_limits<float>::max() /
                  std::max(1.0, scaleFirst ? 1.0 : scale);
  SmallVector<Value> state{p.fill(0.0, p.fragment(tq, width, b.getF32Type())),
                           p.fill(lowest, p.rows(tq)), p.fill(0.0, p.rows(tq)),
                           firstKey};
  state = p.forEach(zero, tiles, 1, state, [&](Value n, ValueRange carried) {
    return step(n, carried);
  });
  // No copy may be in flight when the block ends.
  WaitOp::create(b, 0);
  writeResults(state);
}

void Attend::build() {
  Value x = p.blockId(gpu::Dimension::x);
  head = p.blockId(gpu::Dimension::y);
  batch = p.blockId(gpu::Dimension::z);
  batchHead = p.add(p.mul(batch, op.getQ().getType().getDimSize(1)), head);
  Value slot = p.div(x, rowTiles);
  // The last rows see the most keys: longest first.
  if (causal)
    slot = p.sub(p.sub(slots, 1), slot);
  span = p.locate(slot, bq);
  Value blockStart = p.mul(span.unit, bq);
  firstRow = p.add(blockStart, p.mul(p.rem(x, rowTiles), tq));
  rowEnd = span.qLength;
  if (bq % tq)
    rowEnd = p.min(rowEnd, p.add(blockStart, bq));
  // Spare slots of a packed batch, and tiles behind a ragged end, have no rows.
  if (p.isPacked() || rowTiles > 1)
    p.ifThen(p.less(firstRow, rowEnd), [&] { attendTile(); });
  else
    attendTile();
}

FailureOr<SmallVector<Value>>
unisparse::lowerToKernel(HostSide &host, gpu::GPUModuleOp kernels,
                         BlockSparseAttentionOp op, TilesAttr schedule) {
  KernelPage page(kernels, op.getLoc(), "attend", schedule.getRows() / 16);
  // One block an SM is enough to ask for: left to itself, ptxas would spill to
  // fit more.
  page.kernel()->setAttr("nvvm.minctasm", page.b.getI32IntegerAttr(1));
  page.kernel()->setAttr(kScheduleAttr, schedule);
  Attend attend(op, schedule, page);
  Value lq = host.dim(op.getQ(), 2), lk = host.dim(op.getK(), 2);
  Value batch = host.dim(op.getQ(), 0);
  auto resultOf = [&](Type type) {
    return host.result(type, {batch, {}, lq, {}});
  };
  attend.q = page.take(host.tokens(op.getQ()));
  attend.k = page.take(host.tokens(op.getK()));
  attend.v = page.take(host.tokens(op.getV()));
  SmallVector<Value> results{resultOf(op.getO().getType())};
  attend.o = page.take(host.address(results[0]));
  if (op.getLse()) {
    results.push_back(resultOf(op.getLse().getType()));
    attend.lse = page.take(host.address(results[1]));
  }
  page.takeLengths(host.i32(lq), host.i32(lk),
                   host.packing(op.getCuSeqlensQ(), op.getCuSeqlensK()));
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey();
  Value slots = host.slots(lq, op.getCuSeqlensQ(), bq);
  attend.slots = page.take(host.i32(slots));
  if (op.getCounts()) {
    attend.counts = page.take(host.address(op.getCounts()));
    attend.indices = page.take(host.address(op.getIndices()));
    attend.keyBlocks = page.take(host.i32(host.ceilDiv(lk, bk)));
  }
  attend.build();
  page.finish();
  int64_t rowTiles = llvm::divideCeil(bq, schedule.getRows());
  Value x = host.b.createOrFold<arith::MulIOp>(slots, host.index(rowTiles));
  int64_t heads = op.getQ().getType().getDimSize(1);
  host.launch(page.kernel(), {x, host.index(heads), batch}, 32 * page.warps(),
              page.sharedBytes(), page.launchOperands());
  return results;
}
