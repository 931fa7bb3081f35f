// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.block_sparse_attention: exact attention over selected blocks, one
// key block at a time with a running maximum (A1-A4, M1-M5).
#include "Lowering.h"
#include "Pairs.h"
#include "Tiles.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include <cmath>
#include <limits>

using namespace unisparse;
using namespace unisparse::loops;

namespace {

struct Attend {
  Emit &e;
  BlockSparseAttentionOp op;
  int64_t bq, bk, headDim, valueDim;
  Reach reach;
  Value batch, head;
  ValueRange tables; ///< M5
  double scale;
  bool paired; ///< Tiles are bf16, in pairs.
  // allocate() makes these.
  Strips queries = {};
  RowTile keys = {}, values = {};
  Value weights = {};         ///< P^T in pairs: [roundUp8(Bk) / 2, 2 * strip]
  Value logits = {};          ///< [roundUp8(Bk), strip]
  Value output = {};          ///< O^T: [strips, roundUp8(Dv), strip]
  Value tops = {}, sums = {}; ///< [strips, strip]

  void allocate(int64_t strip);
  Value visibleKeys(const Sequence &s, Value strip, Value firstKey);
  Value firstVisible(const Sequence &s, Value strip, Value firstKey);
  Value keyAt(const Sequence &s, Value strip, Value firstKey, int64_t distance);
  void modify(const Sequence &s, Value strip, Value firstKey);
  void attendStrip(const Sequence &s, Value strip, Value firstKey,
                   Value needsMask);
  void attendBlock(const Sequence &s, Value k, Value v, Value j);
  void writeRows(const Sequence &s, Value rows, Value o, Value lse, Value sink);
};

void Attend::allocate(int64_t strip) {
  Type f32 = e.b.getF32Type(), bf16 = e.b.getBF16Type();
  queries = paired ? stripsOfPairs(e, bq, headDim, strip)
                   : stripsFor(e, bq, headDim, strip);
  keys = rowTileFor(e, bk, headDim, paired ? bf16 : f32);
  values = paired ? interleavedTileFor(e, bk, valueDim)
                  : rowTileFor(e, bk, valueDim, f32);
  if (paired)
    weights = e.buffer({roundUp8(bk) / 2, 2 * strip}, bf16);
  logits = e.buffer({roundUp8(bk), strip}, e.b.getF32Type());
  output =
      e.buffer({queries.count, roundUp8(valueDim), strip}, e.b.getF32Type());
  tops = e.buffer({queries.count, strip}, e.b.getF32Type());
  sums = e.buffer({queries.count, strip}, e.b.getF32Type());
  e.fill(output, 0.0);
  e.fill(tops, lowestLogit());
  e.fill(sums, 0.0);
}

/// The key `distance` behind the position of each query of the strip, counted
/// within the block that starts at `firstKey`.
Value Attend::keyAt(const Sequence &s, Value strip, Value firstKey,
                    int64_t distance) {
  int64_t w = queries.width;
  Value i = e.add(e.mul(s.unit, bq), e.mul(strip, w));
  Value key = e.sub(e.add(e.add(i, s.delta(e)), distance), firstKey);
  return arith::AddIOp::create(e.b, e.splat(e.toI32(key), w), e.iota(w));
}

/// Keys of the block that starts at `firstKey` which each query of the strip
/// sees: t <= i + delta + right (A1, M2) and t < Lk (P3), counted within the
/// block.
Value Attend::visibleKeys(const Sequence &s, Value strip, Value firstKey) {
  int64_t w = queries.width;
  Value end =
      e.splat(e.toI32(e.min(e.sub(s.kLength, firstKey), e.index(bk))), w);
  if (!reach.right)
    return end;
  return arith::MinSIOp::create(
      e.b, keyAt(s, strip, firstKey, *reach.right + 1), end);
}

/// The first of them, t >= i + delta - left (M2); null where all are.
Value Attend::firstVisible(const Sequence &s, Value strip, Value firstKey) {
  return reach.left ? keyAt(s, strip, firstKey, -*reach.left) : Value();
}

/// M5
void Attend::modify(const Sequence &s, Value strip, Value firstKey) {
  modifyLogits(e, logits, op.getModification().front(), tables, batch, head,
               keyAt(s, strip, e.index(0), 0),
               [&](Value t) { return e.add(firstKey, t); });
}

void Attend::attendStrip(const Sequence &s, Value strip, Value firstKey,
                         Value needsMask) {
  int64_t w = queries.width;
  Value zero = e.index(0);
  Value part = e.part(queries.buffer, {strip});
  if (paired) {
    e.fill(logits, 0.0);
    multiplyPairs(e, pairsOf(e, keys.buffer), part, logits,
                  /*transposedA=*/false);
    scaleLogits(e, logits, scale);
  } else {
    multiplyKeys(e, keys, part, logits);
  }
  if (op.getSoftcap())
    capLogits(e, logits, op.getSoftcap()->convertToDouble());
  if (!op.getModification().empty())
    modify(s, strip, firstKey);
  e.ifThen(needsMask, [&] {
    maskLogits(e, logits, visibleKeys(s, strip, firstKey),
               firstVisible(s, strip, firstKey));
  });
  Value oldTop = e.loadVector(tops, {strip, zero}, w);
  Value top = columnMax(e, logits, oldTop);
  Value shrink = e.exp(e.subF(oldTop, top));
  Value sum = exponentiate(e, logits, top);
  Value oldSum = e.loadVector(sums, {strip, zero}, w);
  e.storeVector(e.addF(e.mulF(oldSum, shrink), sum), sums, {strip, zero});
  e.storeVector(top, tops, {strip, zero});
  Value out = e.part(output, {strip});
  e.forEach(zero, e.dim(out, 0), [&](Value d) {
    Value x = e.loadVector(out, {d, zero}, w);
    e.storeVector(e.mulF(x, shrink), out, {d, zero});
  });
  // O^T += V^T P^T: V lies rows of keys first, so A is read transposed.
  if (paired) {
    interleaveRows(e, logits, weights);
    multiplyPairs(e, pairsOf(e, values.buffer), pairsOf(e, weights), out,
                  /*transposedA=*/true);
    return;
  }
  AffineExpr m, n, k;
  bindDims(e.b.getContext(), m, n, k);
  auto map = [&](AffineExpr row, AffineExpr column) {
    return AffineMap::get(3, 0, {row, column}, e.b.getContext());
  };
  SmallVector<AffineMap> maps{map(k, m), map(k, n), map(m, n)};
  linalg::MatmulOp::create(
      e.b, TypeRange{}, ValueRange{values.buffer, logits}, ValueRange{out},
      ArrayRef<NamedAttribute>{
          e.b.getNamedAttr("indexing_maps", e.b.getAffineMapArrayAttr(maps))});
}

void Attend::attendBlock(const Sequence &s, Value k, Value v, Value j) {
  Value firstKey = e.mul(j, bk);
  Value rows = e.min(e.index(bk), e.sub(s.kLength, firstKey));
  Value start = e.add(s.kStart, firstKey);
  packRows(e, keys, k, start, rows);
  if (paired)
    packInterleaved(e, values, v, start, rows);
  else
    packRows(e, values, v, start, rows);
  // Only the blocks at the end and at an edge of what is seen have keys to
  // hide; padding rows of an odd block size always have.
  Value needsMask = arith::ConstantIntOp::create(e.b, roundUp8(bk) != bk, 1);
  needsMask = arith::OrIOp::create(e.b, needsMask, e.less(rows, e.index(bk)));
  if (reach.right) {
    Value lastKey = e.add(e.mul(s.unit, bq), s.delta(e));
    if (*reach.right)
      lastKey = e.add(lastKey, *reach.right);
    Value diagonal = e.less(lastKey, e.add(firstKey, bk - 1));
    needsMask = arith::OrIOp::create(e.b, needsMask, diagonal);
  }
  if (reach.left) {
    Value lastQuery = e.add(e.add(e.mul(s.unit, bq), s.delta(e)), bq - 1);
    Value edge = e.less(e.add(firstKey, *reach.left), lastQuery);
    needsMask = arith::OrIOp::create(e.b, needsMask, edge);
  }
  e.forEach(e.index(0), e.index(queries.count),
            [&](Value strip) { attendStrip(s, strip, firstKey, needsMask); });
}

/// o = O / sum, lse = top + ln(sum); 0 and -inf where nothing was seen (A2),
/// chosen, not multiplied: O may hold 0 * NaN of values that no row sees (A5).
/// The head's `sink`, where it has one, joins the sum alone (M3). `o` is the
/// head's [Lq, Dv], `lse` its [Lq] or null.
void Attend::writeRows(const Sequence &s, Value rows, Value o, Value lse,
                       Value sink) {
  Type element = op.getO().getType().getElementType();
  Value first = e.add(s.qStart, e.mul(s.unit, bq));
  e.forEach(e.index(0), rows, [&](Value i) {
    Value strip = e.floorDiv(i, queries.width), lane = e.rem(i, queries.width);
    Value row = e.add(first, i);
    Value sum = e.load(sums, {strip, lane});
    Value blind =
        arith::CmpFOp::create(e.b, arith::CmpFPredicate::OEQ, sum, e.f32(0.0));
    Value inverse, zero = e.f32(0.0), top = e.load(tops, {strip, lane});
    if (sink) {
      Value own = top;
      top = e.maxF(own, sink);
      // The polynomial's error is common to all keys of a row, and cancels but
      // here, against the sink.
      auto exp = [&](Value x) -> Value {
        return math::Exp2Op::create(e.b, e.mulF(x, e.f32(M_LOG2E)));
      };
      Value shrink = exp(e.subF(own, top));
      sum = e.addF(e.mulF(sum, shrink), exp(e.subF(sink, top)));
      inverse = e.divF(shrink, sum);
    } else {
      inverse = e.divF(e.f32(1.0), sum);
    }
    e.forEach(e.index(0), e.index(valueDim), [&](Value d) {
      Value x = e.mulF(e.load(output, {strip, d, lane}), inverse);
      e.store(e.narrow(e.select(blind, zero, x), element), o, {row, d});
    });
    if (!lse)
      return;
    Value l = e.addF(top, e.log(sum));
    Value none = e.f32(-std::numeric_limits<double>::infinity());
    if (sink)
      blind = arith::CmpFOp::create(e.b, arith::CmpFPredicate::OEQ, sum, zero);
    e.store(e.select(blind, none, l), lse, {row});
  });
}

/// M3: rows that see nothing have the head's sink alone.
void fillWithSinks(Emit &e, Value lse, Value sinks) {
  Value zero = e.index(0);
  e.forEach(zero, e.dim(lse, 0), [&](Value b) {
    e.forEach(zero, e.dim(lse, 1), [&](Value h) {
      Value sink = e.load(sinks, {h});
      e.forEach(zero, e.dim(lse, 2),
                [&](Value i) { e.store(sink, lse, {b, h, i}); });
    });
  });
}

} // namespace

SmallVector<Value> loops::lowerBlockSparseAttention(OpBuilder &builder,
                                                    BlockSparseAttentionOp op,
                                                    ValueRange buffers,
                                                    const Tiling &tiling) {
  Emit e(builder, op.getLoc());
  Value q = buffers[0], k = buffers[1], v = buffers[2], counts = buffers[3],
        indices = buffers[4];
  Packing packing{buffers[5], buffers[6]};
  Value sinks = buffers[7];
  ValueRange tables = buffers.drop_front(8);
  Reach reach = reachOf(op);
  auto type = op.getO().getType();
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey(),
          headDim = op.getQ().getType().getDimSize(3),
          heads = type.getDimSize(1),
          group = heads / op.getK().getType().getDimSize(1);
  Value lq = e.dim(q, 2), lk = e.dim(k, 2);
  SmallVector<Value> sizes;
  for (int64_t i : {0, 2})
    if (type.isDynamicDim(i))
      sizes.push_back(e.dim(q, i));
  SmallVector<Value> results{
      e.buffer(type.getShape(), type.getElementType(), sizes)};
  if (op.getLse())
    results.push_back(
        e.buffer(cast<ShapedType>(op.getLse().getType()).getShape(),
                 e.b.getF32Type(), sizes));
  if (isEmpty(op)) { // A2: who sees nothing.
    e.fill(results[0], 0.0);
    if (op.getLse())
      e.fill(results[1], -std::numeric_limits<double>::infinity());
    if (op.getLse() && sinks && !isEmpty(op.getLse().getType()))
      fillWithSinks(e, results[1], sinks); // M3
    return results;
  }
  int64_t strip = tiling.strip;
  bool paired =
      tiling.bf16Pairs && op.getQ().getType().getElementType().isBF16();
  Value slots = slotCount(e, packing, lq, bq);
  double scale = logitScale(op.getScale(), headDim);
  if (op.getSoftcap()) // M1
    scale /= op.getSoftcap()->convertToDouble();

  e.parallel({e.dim(q, 0), e.index(heads), slots}, [&](ValueRange at) {
    // The last rows see the most keys: longest first leaves no straggler.
    Value slot =
        op.getCausal() ? e.sub(e.sub(slots, e.index(1)), at[2]) : Value(at[2]);
    withSequence(e, packing, lq, lk, slot, bq, [&](Sequence s) {
      Attend attend{e,     op,    bq,    bk,     headDim, type.getDimSize(3),
                    reach, at[0], at[1], tables, scale,   paired};
      attend.allocate(strip);
      Value first = e.mul(s.unit, bq);
      Value rows = e.min(e.index(bq), e.sub(s.qLength, first));
      Value queries = e.part(q, {at[0], at[1]}), start = e.add(s.qStart, first);
      if (paired)
        packStripsOfPairs(e, attend.queries, queries, start, rows);
      else
        packStrips(e, attend.queries, queries, start, rows, scale);
      Value kvHead = e.floorDiv(at[1], group);
      Value keys = e.part(k, {at[0], kvHead}),
            vals = e.part(v, {at[0], kvHead});
      if (!counts) {
        Candidates all = candidateBlocks(e, s, bq, bk, reach);
        e.forEach(all.first, all.end,
                  [&](Value j) { attend.attendBlock(s, keys, vals, j); });
      } else {
        int64_t selections = op.getCounts().getType().getDimSize(1);
        Value h = e.floorDiv(at[1], heads / selections);
        Value count = e.fromI32(e.load(counts, {at[0], h, slot}));
        e.forEach(e.index(0), count, [&](Value n) {
          Value j = e.fromI32(e.load(indices, {at[0], h, slot, n}));
          attend.attendBlock(s, keys, vals, j);
        });
      }
      attend.writeRows(s, rows, e.part(results[0], {at[0], at[1]}),
                       results.size() > 1 ? e.part(results[1], {at[0], at[1]})
                                          : Value(),
                       sinks ? e.load(sinks, {at[1]}) : Value());
    });
  });
  return results;
}
