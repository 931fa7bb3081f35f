// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.block_score: composite attention summed over key blocks (S1-S6, M1,
// M2, M6).
//
// One pass over the keys keeps, for each composite row and key block, the
// maximum and the sum of exponentials; the row's normaliser is known when the
// pass ends, and turns them into masses.
#include "Lowering.h"
#include "Tiles.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"

using namespace unisparse;
using namespace unisparse::loops;

namespace {

struct Score {
  Emit &e;
  BlockScoreOp op;
  Value q, k, rows;
  int64_t bq, cq, ck, group;
  int64_t rowsPerBlock, keysPerBlock; ///< Composites in a block.
  Reach reach;
  // Tiles and scratch, filled in before the first head.
  Strips queries = {};
  RowTile keys = {};
  ValueRange tables = {};      ///< M6
  Value batch = {}, head = {}; ///< At hand.
  Value logits = {};           ///< [roundUp8(keysPerBlock), strip]
  Value ends = {},
        starts = {}; ///< [strips, strip] i32, with representatives (P5)
  Value tops = {}, sums = {}; ///< [strips, J, strip]

  bool isMax() { return op.getAgg() == Agg::Max; }

  bool hasRepresentatives() { return static_cast<bool>(op.getRows()); }
  bool modifies() { return !op.getModification().empty(); }
  /// Whether a composite's first row is asked for (M2, M6).
  bool needsStarts() { return reach.left || modifies(); }

  /// One past the last row of every composite of the block (P5), 0 where there
  /// is none. `rows` [t] are the representatives'.
  void readEnds(const Sequence &s, Value rows);
  /// The same of a strip.
  Value endsOf(const Sequence &s, Value strip);
  /// The first row of every composite of a strip.
  Value startsOf(const Sequence &s, Value strip);
  /// Composite rows of the query block: i32 lanes of local composite numbers.
  Value rowNumbers(const Sequence &s, Value strip);
  /// Composite keys, from the first on, that each row may see (S2).
  Value visibleKeys(const Sequence &s, Value strip);
  /// The first composite key that each row may see (M2); null for the first.
  Value firstVisible(const Sequence &s, Value strip);
  /// Rows in each composite of `rows`: 0 for lanes without one (P1).
  Value rowCounts(const Sequence &s, Value rows);

  /// The middle token's position of every composite of a strip (M6).
  Value middles(const Sequence &s, Value strip);
  /// The same of composite key `b` of the sequence.
  Value keyMiddle(const Sequence &s, Value b);
  void scoreKeyBlock(const Sequence &s, Value j, Value kc, Value firstKey);
  Value coefficients(const Sequence &s, Value strip, Candidates blocks,
                     Value &rowTop);
  void addHead(const Sequence &s, Value slot, Value batch, Value queryHead,
               Value massRow, Value headMass, Candidates blocks);
};

Value Score::rowNumbers(const Sequence &s, Value strip) {
  Value first = e.add(e.mul(s.unit, rowsPerBlock), e.mul(strip, queries.width));
  return arith::AddIOp::create(e.b, e.splat(e.toI32(first), queries.width),
                               e.iota(queries.width));
}

void Score::readEnds(const Sequence &s, Value rows) {
  int64_t means = bq / cq, w = queries.width;
  Value start = e.mul(s.unit, bq);
  e.fill(ends, 0.0);
  if (needsStarts())
    e.fill(starts, 0.0);
  auto store = [&](Value a, Value first, Value end) {
    SmallVector<Value> lane{e.floorDiv(a, w), e.rem(a, w)};
    e.store(end, ends, lane);
    if (needsStarts())
      e.store(first, starts, lane);
  };
  e.forEach(e.index(0), e.index(means), [&](Value a) {
    Value first = e.add(start, e.mul(a, cq)), end = e.add(first, cq);
    // Means that a short block has not repeat its last one (P5).
    Value last = e.mul(e.floorDiv(e.sub(s.qLength, e.index(1)), cq), cq);
    store(a, e.toI32(e.min(first, last)), e.toI32(e.min(end, s.qLength)));
  });
  e.forEach(e.index(0), e.dim(rows, 0), [&](Value n) {
    Value one = arith::ConstantIntOp::create(e.b, 1, 32);
    Value row = e.load(rows, {n});
    Value end = arith::AddIOp::create(e.b, row, one);
    store(e.add(n, means), row, end);
  });
}

Value Score::endsOf(const Sequence &s, Value strip) {
  int64_t w = queries.width;
  if (hasRepresentatives())
    return e.loadVector(ends, {strip, e.index(0)}, w);
  auto splat = [&](Value index) { return e.splat(e.toI32(index), w); };
  Value end = arith::MulIOp::create(
      e.b, arith::AddIOp::create(e.b, rowNumbers(s, strip), splat(e.index(1))),
      splat(e.index(cq)));
  return arith::MinSIOp::create(e.b, end, splat(s.qLength));
}

Value Score::startsOf(const Sequence &s, Value strip) {
  int64_t w = queries.width;
  if (hasRepresentatives())
    return e.loadVector(starts, {strip, e.index(0)}, w);
  return arith::MulIOp::create(e.b, rowNumbers(s, strip),
                               e.splat(e.toI32(e.index(cq)), w));
}

Value Score::middles(const Sequence &s, Value strip) {
  int64_t w = queries.width;
  auto splat = [&](Value index) { return e.splat(e.toI32(index), w); };
  // One past the last: minus one of twice the middle.
  Value twice =
      arith::AddIOp::create(e.b, startsOf(s, strip), endsOf(s, strip));
  twice = arith::SubIOp::create(e.b, twice, splat(e.index(1)));
  Value middle = arith::DivSIOp::create(e.b, twice, splat(e.index(2)));
  return arith::AddIOp::create(e.b, middle, splat(s.delta(e)));
}

Value Score::keyMiddle(const Sequence &s, Value b) {
  Value start = e.mul(b, ck);
  // Padding has no tokens, and is masked.
  Value tokens = e.max(e.min(e.index(ck), e.sub(s.kLength, start)), e.index(1));
  return e.add(start, e.floorDiv(e.sub(tokens, e.index(1)), 2));
}

/// Its last token, b * ck + ck - 1, is at or behind delta + start - left.
Value Score::firstVisible(const Sequence &s, Value strip) {
  if (!reach.left)
    return {};
  int64_t w = queries.width;
  auto splat = [&](Value index) { return e.splat(e.toI32(index), w); };
  Value back = e.sub(s.delta(e), e.index(*reach.left));
  Value first = arith::AddIOp::create(e.b, startsOf(s, strip), splat(back));
  first = arith::MaxSIOp::create(e.b, first, splat(e.index(0)));
  return arith::DivSIOp::create(e.b, first, splat(e.index(ck)));
}

/// 32-bit lanes hold tokens: lengths stay below 2^31, as cu_seqlens demands.
Value Score::visibleKeys(const Sequence &s, Value strip) {
  int64_t w = queries.width;
  auto splat = [&](Value index) { return e.splat(e.toI32(index), w); };
  Value all = splat(e.ceilDiv(s.kLength, ck));
  if (!reach.right)
    return all;
  Value end = endsOf(s, strip), ahead = s.delta(e);
  // b * ck <= delta + end - 1 + right
  if (*reach.right)
    ahead = e.add(ahead, *reach.right);
  Value position = arith::AddIOp::create(e.b, end, splat(ahead));
  Value seen = arith::DivSIOp::create(
      e.b, arith::AddIOp::create(e.b, position, splat(e.index(ck - 1))),
      splat(e.index(ck)));
  return arith::MinSIOp::create(e.b, seen, all);
}

Value Score::rowCounts(const Sequence &s, Value rows) {
  int64_t w = queries.width;
  auto splat = [&](Value index) { return e.splat(e.toI32(index), w); };
  Value left = arith::SubIOp::create(
      e.b, splat(s.qLength),
      arith::MulIOp::create(e.b, rows, splat(e.index(cq))));
  Value n = arith::MinSIOp::create(e.b, left, splat(e.index(cq)));
  n = arith::MaxSIOp::create(e.b, n, splat(e.index(0)));
  if (hasRepresentatives()) // Every block has as many; only a maximum is made.
    n = splat(e.index(1));
  // Lanes behind the block belong to the next block, not to this one.
  Value end = splat(e.mul(e.add(s.unit, 1), rowsPerBlock));
  Value inBlock =
      arith::CmpIOp::create(e.b, arith::CmpIPredicate::slt, rows, end);
  n = e.select(inBlock, n, splat(e.index(0)));
  return arith::SIToFPOp::create(e.b, VectorType::get({w}, e.b.getF32Type()),
                                 n);
}

/// Maxima and sums of exponentials of all rows against key block `j`; `kc` is
/// the head's composites [C, D], `firstKey` the sequence's first.
void Score::scoreKeyBlock(const Sequence &s, Value j, Value kc,
                          Value firstKey) {
  Value first = e.mul(j, keysPerBlock), all = e.ceilDiv(s.kLength, ck);
  Value rows = e.min(e.index(keysPerBlock), e.sub(all, first));
  packRows(e, keys, kc, e.add(firstKey, first), rows);
  Value zero = e.index(0);
  // The key composite that holds fewer tokens than ck, if any is in this block.
  Value tail = e.rem(s.kLength, ck),
        lastKey = e.sub(e.sub(all, e.index(1)), first);
  Value hasTail = arith::AndIOp::create(e.b, e.less(zero, tail),
                                        e.less(lastKey, e.index(keysPerBlock)));
  e.forEach(zero, e.index(queries.count), [&](Value strip) {
    multiplyKeys(e, keys, e.part(queries.buffer, {strip}), logits);
    if (op.getSoftcap()) // M1
      capLogits(e, logits, op.getSoftcap()->convertToDouble());
    if (modifies()) // M6
      modifyLogits(e, logits, op.getModification().front(), tables, batch, head,
                   middles(s, strip),
                   [&](Value t) { return keyMiddle(s, e.add(first, t)); });
    e.ifThen(hasTail, [&] { // S1: + ln(n_b / ck)
      Value n = arith::UIToFPOp::create(e.b, e.b.getF32Type(), e.toI32(tail));
      Value bias = e.log(e.divF(n, e.f32(static_cast<double>(ck))));
      Value x = e.loadVector(logits, {lastKey, zero}, queries.width);
      e.storeVector(e.addF(x, e.splat(bias, queries.width)), logits,
                    {lastKey, zero});
    });
    Value visible = visibleKeys(s, strip);
    Value relative = arith::SubIOp::create(
        e.b, visible, e.splat(e.toI32(first), queries.width));
    // Columns of padding are masked as keys behind the block's end.
    relative = arith::MinSIOp::create(
        e.b, relative, e.splat(e.toI32(e.index(keysPerBlock)), queries.width));
    Value from = firstVisible(s, strip);
    if (from)
      from = arith::SubIOp::create(e.b, from,
                                   e.splat(e.toI32(first), queries.width));
    maskLogits(e, logits, relative, from);
    Value top = columnMax(e, logits, e.splat(lowestLogit(), queries.width));
    Value sum = exponentiate(e, logits, top);
    e.storeVector(top, tops, {strip, j, zero});
    e.storeVector(sum, sums, {strip, j, zero});
  });
}

/// What a row's block sums are multiplied with: one over its normaliser (S3),
/// times its weight in the block's mass (S5) and in the group's mean (S6).
Value Score::coefficients(const Sequence &s, Value strip, Candidates blocks,
                          Value &rowTop) {
  Value zero = e.index(0);
  int64_t w = queries.width;
  rowTop =
      e.fold(blocks.first, blocks.end, e.splat(lowestLogit(), w),
             [&](Value j, ValueRange top) -> SmallVector<Value> {
               return {e.maxF(e.loadVector(tops, {strip, j, zero}, w), top[0])};
             })[0];
  Value norm = e.fold(blocks.first, blocks.end, e.splat(0.0, w),
                      [&](Value j, ValueRange sum) -> SmallVector<Value> {
                        Value top = e.loadVector(tops, {strip, j, zero}, w);
                        Value part =
                            e.mulF(e.loadVector(sums, {strip, j, zero}, w),
                                   e.exp(e.subF(top, rowTop)));
                        return {e.addF(sum[0], part)};
                      })[0];
  Value n = rowCounts(s, rowNumbers(s, strip));
  auto isZero = [&](Value x) -> Value {
    return arith::CmpFOp::create(e.b, arith::CmpFPredicate::OEQ, x,
                                 e.splat(0.0, w));
  };
  Value none = isZero(n);
  if (modifies()) // M6: where nothing but -inf is left, nothing is shared out.
    none = arith::OrIOp::create(e.b, none, isZero(norm));
  Value weight = e.splat(1.0, w);
  if (!isMax()) {
    Value start = e.mul(s.unit, bq);
    Value rows = e.min(e.index(bq), e.sub(s.qLength, start));
    Value total = arith::UIToFPOp::create(e.b, e.b.getF32Type(), e.toI32(rows));
    weight = e.divF(n, e.splat(total, w));
  }
  weight = e.mulF(weight, e.splat(1.0 / static_cast<double>(group), w));
  return e.select(none, e.splat(0.0, w), e.divF(weight, norm));
}

/// Adds the masses of one query head to `massRow`; `headMass` [J] is scratch.
void Score::addHead(const Sequence &s, Value slot, Value batch, Value queryHead,
                    Value massRow, Value headMass, Candidates blocks) {
  this->batch = batch, head = queryHead;
  Value zero = e.index(0), composites = e.ceilDiv(s.qLength, cq);
  Value first = e.mul(s.unit, rowsPerBlock);
  Value count = e.min(e.index(rowsPerBlock), e.sub(composites, first));
  first = e.add(s.firstQuerySlot(e, cq), first);
  if (hasRepresentatives()) { // Composites by query blocks.
    first = e.mul(slot, rowsPerBlock), count = e.index(rowsPerBlock);
    if (op.hasPositions() || modifies())
      readEnds(s, e.part(rows, {batch, queryHead, slot}));
  }
  int64_t heads = op.getQ().getType().getDimSize(1),
          kvHeads = op.getK().getType().getDimSize(1);
  double scale = op.getLogitScale() * op.getAlpha().convertToDouble();
  if (op.getSoftcap())
    scale /= op.getSoftcap()->convertToDouble();
  packStrips(e, queries, e.part(q, {batch, queryHead}), first, count, scale);
  Value kc = e.part(k, {batch, e.floorDiv(queryHead, heads / kvHeads)});
  Value firstKey = s.firstKeySlot(e, ck);
  auto forBlocks = [&](function_ref<void(Value)> body) {
    e.forEach(blocks.first, blocks.end, body);
  };
  forBlocks([&](Value j) { scoreKeyBlock(s, j, kc, firstKey); });
  forBlocks([&](Value j) { e.store(e.f32(0.0), headMass, {j}); });
  e.forEach(zero, e.index(queries.count), [&](Value strip) {
    Value rowTop;
    Value coefficient = coefficients(s, strip, blocks, rowTop);
    forBlocks([&](Value j) {
      Value top = e.loadVector(tops, {strip, j, zero}, queries.width);
      Value w = e.mulF(e.loadVector(sums, {strip, j, zero}, queries.width),
                       e.exp(e.subF(top, rowTop)));
      w = e.mulF(w, coefficient);
      if (modifies()) { // Of lanes without a row it may be no number.
        Value nothing = e.splat(0.0, queries.width);
        Value none = arith::CmpFOp::create(e.b, arith::CmpFPredicate::OEQ,
                                           coefficient, nothing);
        w = e.select(none, nothing, w);
      }
      Value all = vector::ReductionOp::create(
          e.b,
          isMax() ? vector::CombiningKind::MAXNUMF : vector::CombiningKind::ADD,
          w);
      Value old = e.load(headMass, {j});
      e.store(isMax() ? e.maxF(all, old) : e.addF(all, old), headMass, {j});
    });
  });
  forBlocks([&](Value j) {
    Value sum = e.addF(e.load(massRow, {j}), e.load(headMass, {j}));
    e.store(sum, massRow, {j});
  });
}

} // namespace

SmallVector<Value> loops::lowerBlockScore(OpBuilder &builder, BlockScoreOp op,
                                          ValueRange buffers, int64_t strip) {
  Emit e(builder, op.getLoc());
  Value q = buffers[0], k = buffers[1], rows = buffers[4];
  Packing packing{buffers[2], buffers[3]};
  ValueRange tables = buffers.drop_front(5);
  std::pair<Value, Value> lengths = lengthsOf(e, op);
  Value lq = lengths.first, lk = lengths.second;
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey(),
          cq = op.getPooling().getQuery(), ck = op.getPooling().getKey();
  auto type = op.getMass().getType();
  int64_t columns = op.getQ().getType().getDimSize(3),
          rowsPerBlock = op.getPooling().rowsOfBlock(bq);
  int64_t massHeads = type.getDimSize(1);
  int64_t group = op.getQ().getType().getDimSize(1) / massHeads;
  Value slots = slotCount(e, packing, lq, bq);
  Value keyBlocks = e.ceilDiv(lk, bk);
  SmallVector<Value> sizes;
  if (type.isDynamicDim(0))
    sizes.push_back(e.dim(q, 0));
  if (type.isDynamicDim(2))
    sizes.push_back(slots);
  if (type.isDynamicDim(3))
    sizes.push_back(keyBlocks);
  Value mass = e.buffer(type.getShape(), type.getElementType(), sizes);
  if (isEmpty(op)) {
    e.fill(mass, 0.0);
    return {mass};
  }

  e.parallel({e.dim(mass, 0), e.dim(mass, 1), slots}, [&](ValueRange at) {
    Value massRow = e.part(mass, at);
    e.forEach(e.index(0), keyBlocks,
              [&](Value j) { e.store(e.f32(0.0), massRow, {j}); });
    withSequence(e, packing, lq, lk, at[2], bq, [&](Sequence s) {
      Score score{e,     op,           q,       k,          rows, bq, cq, ck,
                  group, rowsPerBlock, bk / ck, reachOf(op)};
      score.tables = tables;
      score.queries = stripsFor(e, rowsPerBlock, columns, strip);
      score.keys = rowTileFor(e, bk / ck, columns, e.b.getF32Type());
      score.logits = e.buffer({roundUp8(bk / ck), strip}, e.b.getF32Type());
      int64_t dynamic = ShapedType::kDynamic, strips = score.queries.count;
      if (rows)
        score.ends = e.buffer({strips, strip}, e.b.getI32Type());
      if (rows && score.needsStarts())
        score.starts = e.buffer({strips, strip}, e.b.getI32Type());
      Value headMass = e.buffer({dynamic}, e.b.getF32Type(), keyBlocks);
      score.tops =
          e.buffer({strips, dynamic, strip}, e.b.getF32Type(), keyBlocks);
      score.sums =
          e.buffer({strips, dynamic, strip}, e.b.getF32Type(), keyBlocks);
      Candidates blocks = candidateBlocks(e, s, bq, bk, score.reach);
      Value first = e.mul(at[1], group);
      e.forEach(first, e.add(first, group), [&](Value head) {
        score.addHead(s, at[2], at[0], head, massRow, headMass, blocks);
      });
    });
  });
  return {mass};
}
