// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.block_score as one page of tile code, the same for every chip:
// composite attention in one walk over the composite keys. A row's normaliser is
// known at its end only, so the walk keeps, for every row, the sum of
// exponentials of each key block and what they are relative to, in memory that
// is this CTA's own; what that comes to in the end are the masses.
//
// A tile holds whole query blocks by whole key blocks. Blocks are padded to the
// rows and columns that fragments come in; padding is masked.
#include "KernelPage.h"
#include "Kernels.h"
#include "ModifiedLogits.h"
#include "Schedule.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include <cmath>
#include <limits>

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// What the online softmax begins with: finite, so that -inf minus it is -inf.
constexpr double kLowest = -1e30;

struct ScorePage {
  ScorePage(BlockScoreOp op, int64_t rows, int64_t keys, KernelPage &page)
      : op(op), p(page), b(page.b),
        element(op.getQ().getType().getElementType()),
        bq(op.getBlock().getQuery()), bk(op.getBlock().getKey()),
        cq(op.getPooling().getQuery()), ck(op.getPooling().getKey()),
        means(bq / cq),
        qRows(means + op.getPooling().getRepresentatives()), kRows(bk / ck),
        tq(rows), tk(keys),
        qBlocks(tq / qRows.padded), kBlocks(tk / kRows.padded),
        heads(op.getQ().getType().getDimSize(1)),
        kvGroup(heads / op.getK().getType().getDimSize(1)),
        massGroup(heads / op.getMass().getType().getDimSize(1)),
        depth(tileColumns(op.getQ().getType().getDimSize(3))),
        scale(op.getLogitScale() * op.getAlpha().convertToDouble()),
        reach(reachOf(op)),
        modification(op.getModification(), element,
                     op.getSoftcap() || isMaximum()) {
    if (op.getSoftcap())
      cap = op.getSoftcap()->convertToDouble();
  }

  // The kernel's arguments.
  Value q, k, mass, sums, tops, slots, tiles;
  Value rows; ///< Of the representatives (P5), where there are any.
  SmallVector<Value> tables; ///< M6

  void build();

private:
  void locate(Value tile);
  void scoreHead(Value h);
  void writeBlock(Block &block);
  void writeScore(Block &block);
  void writeMask(Block &block);
  void writeUpdate(Block &block);
  void writeFinish(Block &block);
  void writeMasses();
  Value massOf(Value block, Value j);

  Value at(Value i) {
    return arith::IndexCastOp::create(b, b.getIndexType(), i);
  }
  FetchOp fetch(int64_t rows, Value source, Value head, Value row, Value limit,
                const BlockRows &blocks);
  Value keysVisible(Value token);
  Value firstVisible(Value token);
  Value tokenOf(Value i);
  Value firstTokenOf(Value i);
  Value representative(Value i);
  Value blockEnd(Value block);
  Value composite(Value first, Value i, const BlockRows &blocks);
  Value lastShare();
  Value modified(Value scores, Value key);
  Value maskedPadded(Value scores, Value key);
  Value maskedFront(Value scores, Value key);
  Value rowBias(Value reference, Value sum);
  Value keyBlocks() {
    return arith::IndexCastOp::create(
        b, b.getI32Type(), memref::DimOp::create(b, mass, 3));
  }
  /// A maximum of S is one of scale * S only where the scale is above 0.
  bool isMaximum() const { return scale > 1e-6; }
  bool scalesFirst() const {
    return modification.wantsLogits() || !isMaximum();
  }
  /// What a score is times, before the exponential.
  double unit() const {
    return modification.wantsLogits() ? 1.0
           : cap                      ? *cap
           : scalesFirst()            ? 1.0
                                      : scale;
  }
  /// One past the walk's last tile.
  Value endTile() { return windowStart ? p.add(windowStart, count) : count; }

  BlockScoreOp op;
  KernelPage &p;
  ImplicitLocOpBuilder &b;
  Type element;
  int64_t bq, bk, cq, ck;
  int64_t means;          ///< Composites of a query block that are means.
  BlockRows qRows, kRows; ///< Of a block, in composites.
  int64_t tq, tk;         ///< A tile.
  int64_t qBlocks, kBlocks;
  int64_t heads;
  int64_t kvGroup;   ///< Query heads of a KV head.
  int64_t massGroup; ///< Query heads that share a mass (S6).
  int64_t depth;
  double scale;
  Reach reach;
  ModifiedLogits modification; ///< M6
  std::optional<double> cap;   ///< M1

  // Of the query blocks at hand.
  Span span;
  Value x, batch, massHead, head, worker;
  Value slot, blockRows; ///< Of the first block; how many blocks there are.
  Value firstComposite;  ///< In the sequence.
  Value firstQ, firstK;  ///< Composites in front of the sequence's.
  Value blocks;          ///< The sequence's query blocks.
  Value allQ, allK;      ///< The sequence's composites.
  Value count, queries;
  Value windowStart; ///< The first tile with a visible key, under a window.
  Value accumulate; ///< Not the first head of a mass.
};

} // namespace

FetchOp ScorePage::fetch(int64_t rows, Value source, Value head, Value row,
                         Value limit, const BlockRows &blocks) {
  auto tile = TileType::get(b.getContext(), rows, depth, element);
  bool padded = blocks.composites != blocks.padded;
  return FetchOp::create(
      b, tile, source, batch, head, row, limit,
      padded ? b.getI64IntegerAttr(blocks.composites) : IntegerAttr(),
      padded ? b.getI64IntegerAttr(blocks.padded) : IntegerAttr());
}

/// One past the last token of the tile's block `block`, in its sequence.
Value ScorePage::blockEnd(Value block) {
  Value next = p.add(p.add(span.unit, block), 1);
  return p.min(p.mul(next, bq), span.qLength);
}

/// The token of the representative in row `i` of the tile (P5).
Value ScorePage::representative(Value i) {
  Value block = p.div(i, qRows.padded), within = p.rem(i, qRows.padded);
  // Rows that are there, also for means and behind the sequence's last block.
  Value last = p.sub(p.sub(blocks, span.unit), 1);
  Value n = p.max(p.sub(within, means), p.i32(0)),
        own = p.add(slot, p.min(block, last));
  n = p.min(n, p.i32(qRows.composites - means - 1));
  return memref::LoadOp::create(
      b, rows, ValueRange{at(batch), at(head), at(own), at(n)});
}

/// The first token of the composite in row `i` of the tile (M2).
Value ScorePage::firstTokenOf(Value i) {
  if (!rows)
    return p.mul(composite(firstComposite, i, qRows), cq);
  Value block = p.div(i, qRows.padded), within = p.rem(i, qRows.padded);
  Value start = p.mul(p.add(span.unit, block), bq);
  // Means that a short block has not repeat its last one (P5).
  Value last = p.mul(p.div(p.sub(span.qLength, 1), cq), cq);
  Value mean = p.min(p.add(start, p.mul(within, cq)), last);
  return p.select(p.less(within, p.i32(means)), mean, representative(i));
}

/// The last token of the composite in row `i` of the tile, in its sequence: a
/// representative's own (P5, S2).
Value ScorePage::tokenOf(Value i) {
  Value end;
  if (!rows) {
    Value row = p.add(composite(firstComposite, i, qRows), 1);
    end = p.min(p.mul(row, cq), span.qLength);
    return p.sub(end, 1);
  }
  Value block = p.div(i, qRows.padded), within = p.rem(i, qRows.padded);
  Value start = p.mul(p.add(span.unit, block), bq);
  end = p.min(p.add(start, p.mul(p.add(within, 1), cq)), span.qLength);
  Value row = representative(i);
  return p.select(p.less(within, p.i32(means)), p.sub(end, 1), row);
}

/// How many composite keys, from the sequence's first on, a token sees (S2, M2).
Value ScorePage::keysVisible(Value token) {
  Value position = p.add(p.add(p.delta(span), token), *reach.right);
  return p.min(p.add(p.div(position, ck), 1), allK);
}

/// The first of them, whose last token is not before delta + token - left (M2).
Value ScorePage::firstVisible(Value token) {
  Value key = p.sub(p.add(p.delta(span), token), *reach.left);
  return p.div(p.max(key, p.i32(0)), ck);
}

/// Which composite row or column `i` of a tile is.
Value ScorePage::composite(Value first, Value i, const BlockRows &blocks) {
  if (blocks.composites == blocks.padded)
    return p.add(first, i);
  return p.add(first, p.add(p.mul(p.div(i, blocks.padded), blocks.composites),
                            p.rem(i, blocks.padded)));
}

/// ln(n_b / ck) of the sequence's last composite (S1), in units of a score.
Value ScorePage::lastShare() {
  Value tokens = p.toFloat(p.sub(span.kLength, p.mul(p.sub(allK, 1), ck)));
  Value share = arith::MulFOp::create(b, tokens, p.f32(1.0 / ck));
  return arith::MulFOp::create(b, math::Log2Op::create(b, share),
                               p.f32(M_LN2 / unit()));
}

//===----------------------------------------------------------------------===//
// The walk
//===----------------------------------------------------------------------===//

/// Tile n has whole key blocks; keys are composites.
void ScorePage::writeBlock(Block &body) {
  Value tile = body.getArgument(0);
  if (windowStart)
    tile = p.add(tile, windowStart);
  Value key = p.mul(tile, kBlocks * kRows.composites);
  unitile::YieldOp::create(b, ValueRange{key, allK});
}

void ScorePage::writeScore(Block &body) {
  Value keys = fetch(tk, k, p.div(head, kvGroup),
                     p.add(firstK, body.getArgument(0)),
                     p.add(firstK, body.getArgument(1)), kRows);
  auto type = p.fragment(tq, tk, b.getF32Type());
  Value scores =
      DotOp::create(b, type, queries, keys, Value(), /*by_rows=*/false);
  if (cap) // M1; the cap itself is left to the softmax's scale.
    scores = p.map(type, scores, [&](ValueRange e) -> Value {
      Value x = arith::MulFOp::create(b, e[0], p.f32(scale / *cap));
      Value y = math::TanhOp::create(b, x, tanhFlags(element));
      if (modification.wantsLogits())
        y = arith::MulFOp::create(b, y, p.f32(*cap));
      return y;
    });
  else if (scalesFirst())
    scores = p.map(type, scores, [&](ValueRange e) -> Value {
      return arith::MulFOp::create(b, e[0], p.f32(scale));
    });
  unitile::YieldOp::create(b, scores);
}

/// M6: composites stand where their middle tokens do. Of keys only the last one
/// may have fewer tokens, and no other's middle is behind its own.
Value ScorePage::modified(Value scores, Value firstKey) {
  Value lastStart = p.mul(p.sub(allK, 1), ck);
  Value lastKey = p.div(p.sub(p.add(lastStart, span.kLength), 1), 2);
  return p.map(
      scores.getType(), scores,
      [&](ValueRange e) -> Value {
        Value query = p.div(p.add(firstTokenOf(e[0]), tokenOf(e[0])), 2);
        Value start = p.mul(composite(firstKey, e[1], kRows), ck);
        Value key = p.min(p.add(start, (ck - 1) / 2), lastKey);
        return modification.write(p, tables, e[2], batch, head,
                                  p.addPlaces(query, p.delta(span)), key,
                                  unit());
      },
      /*indices=*/true);
}

/// A composite key is behind all tokens of a row's composite (S2) or not there;
/// the last one may have fewer tokens than others (S1).
void ScorePage::writeMask(Block &body) {
  Value scores = body.getArgument(0), key = body.getArgument(1);
  if (modification)
    scores = modified(scores, key);
  if (kRows.composites != kRows.padded) {
    unitile::YieldOp::create(b, maskedPadded(scores, key));
    return;
  }
  Value position, bounds;
  if (reach.right) {
    // No row's token is before the first block's first.
    position = p.sub(keysVisible(p.mul(span.unit, bq)), 1);
    bounds = p.map(
        p.rows(tq), {},
        [&](ValueRange e) -> Value {
          return p.toFloat(keysVisible(tokenOf(e[0])));
        },
        /*indices=*/true);
  }
  scores = MaskOp::create(b, scores.getType(), scores, key, body.getArgument(2),
                          position, bounds, lastShare(), /*when=*/Value(),
                          /*from=*/Value());
  unitile::YieldOp::create(b, reach.left ? maskedFront(scores, key) : scores);
}

/// -inf for composite keys before those that a row sees (M2), which stand in no
/// line.
Value ScorePage::maskedFront(Value scores, Value key) {
  Value rowBounds = p.map(
      p.rows(tq), {},
      [&](ValueRange e) -> Value {
        return p.toFloat(p.sub(firstVisible(firstTokenOf(e[0])), key));
      },
      /*indices=*/true);
  return p.map(
      scores.getType(), {scores, rowBounds},
      [&](ValueRange e) {
        Value seen = arith::CmpFOp::create(b, arith::CmpFPredicate::OGE,
                                           p.toFloat(e[1]), e[3]);
        return p.select(seen, e[2], p.f32(-kInfinity));
      },
      /*indices=*/true);
}

/// The same where the tile has columns between blocks that are no composites.
Value ScorePage::maskedPadded(Value scores, Value firstKey) {
  Value share = lastShare(), last = p.sub(allK, 1);
  return p.map(
      scores.getType(), scores,
      [&](ValueRange e) {
        Value key = composite(firstKey, e[1], kRows);
        Value seen = p.both(p.less(key, allK), p.less(p.rem(e[1], kRows.padded),
                                                      p.i32(kRows.composites)));
        if (reach.right)
          seen = p.both(seen, p.less(key, keysVisible(tokenOf(e[0]))));
        if (reach.left)
          seen = p.both(seen, p.compare(arith::CmpIPredicate::sge, key,
                                        firstVisible(firstTokenOf(e[0]))));
        Value biased = arith::AddFOp::create(b, e[2], share);
        Value x = p.select(p.compare(arith::CmpIPredicate::eq, key, last),
                           biased, e[2]);
        return p.select(seen, x, p.f32(-kInfinity));
      },
      /*indices=*/true);
}

/// S3, and what W (S4) will come from: a row's exponentials summed over each
/// key block.
void ScorePage::writeUpdate(Block &body) {
  Value scores = body.getArgument(0), key = body.getArgument(1),
        reference = body.getArgument(3), sum = body.getArgument(4);
  auto columns = llvm::alignTo(kBlocks, 8);
  auto step = SoftmaxSumsOp::create(
      b,
      TypeRange{p.fragment(tq, columns, b.getF32Type()), reference.getType(),
                sum.getType()},
      scores, b.getI64IntegerAttr(kRows.padded), b.getF64FloatAttr(unit()),
      reference, sum, /*speculative=*/UnitAttr());
  Value tile = p.div(key, kBlocks * kRows.composites);
  PutOp::create(b, step.getSums(), sums, worker, tile, p.i32(0), p.i32(tq));
  PutOp::create(b, step.getReference(), tops, worker, tile, p.i32(0),
                p.i32(tq));
  unitile::YieldOp::create(b, ValueRange{step.getReference(), step.getSum()});
}

/// What turns log2 of a sum of exponentials, relative to a reference, into that
/// of the row's share of its block's mass: minus the normaliser, and the weights
/// of S5 and S6. -inf for rows that are not there.
Value ScorePage::rowBias(Value reference, Value sum) {
  return p.map(
      p.rows(tq), {reference, sum},
      [&](ValueRange e) -> Value {
        Value block = p.div(e[0], qRows.padded),
              within = p.rem(e[0], qRows.padded);
        Value row = composite(firstComposite, e[0], qRows);
        Value left = p.sub(span.qLength, p.mul(row, cq));
        Value there = rows ? p.less(p.add(span.unit, block), blocks)
                           : p.less(p.i32(0), left);
        if (qRows.composites != qRows.padded)
          there = p.both(there, p.less(within, p.i32(qRows.composites)));
        if (modification) // M6: it may leave a row nothing but -inf.
          there = p.both(there,
                         arith::CmpFOp::create(b, arith::CmpFPredicate::ONE,
                                               e[2], p.f32(0.0)));
        Value normaliser =
            arith::AddFOp::create(b, e[1], math::Log2Op::create(b, e[2]));
        Value bias = arith::SubFOp::create(b, p.f32(-std::log2(massGroup)),
                                           normaliser);
        if (op.getAgg() == Agg::Sum) { // n_a of the block's rows.
          Value token = p.mul(p.add(span.unit, block), bq);
          Value all = p.min(p.sub(span.qLength, token), p.i32(bq));
          Value share =
              arith::DivFOp::create(b, p.toFloat(p.min(left, p.i32(cq))),
                                    p.toFloat(p.max(all, p.i32(1))));
          bias = arith::AddFOp::create(b, bias, math::Log2Op::create(b, share));
        }
        return p.select(there, bias, p.f32(-kInfinity));
      },
      /*indices=*/true);
}

void ScorePage::writeFinish(Block &body) {
  Value bias = rowBias(body.getArgument(0), body.getArgument(1));
  // Behind the last tile's.
  PutOp::create(b, bias, tops, worker, endTile(), p.i32(0), p.i32(tq));
  writeMasses();
  unitile::YieldOp::create(b);
}

/// The mass of query block `block` of the tile in key block `j`: over its rows,
/// the largest share or their sum (S5). Blocks that no row sees have none.
Value ScorePage::massOf(Value block, Value j) {
  Value tile = p.div(j, kBlocks);
  Value isSeen = p.less(tile, endTile());
  if (windowStart)
    isSeen = p.both(isSeen, p.compare(arith::CmpIPredicate::sge, tile,
                                      windowStart));
  Value seen = p.select(isSeen, p.i32(qRows.composites), p.i32(0));
  return p.forEach(
      p.i32(0), seen, 1, {p.f32(0.0)},
      [&](Value r, ValueRange best) -> SmallVector<Value> {
        Value row = at(p.add(p.mul(block, qRows.padded), r)), w = at(worker);
        Value top = memref::LoadOp::create(b, tops, ValueRange{w, at(tile), row}),
              bias =
                  memref::LoadOp::create(b, tops,
                                         ValueRange{w, at(endTile()), row}),
              sum = memref::LoadOp::create(
                  b, sums, ValueRange{w, at(tile), row, at(p.rem(j, kBlocks))});
        Value factor = math::Exp2Op::create(
            b, arith::AddFOp::create(b, top, bias));
        Value share = arith::MulFOp::create(b, sum, factor);
        if (modification) { // Of rows that are not there it may be no number.
          Value there = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT,
                                              bias, p.f32(-kInfinity));
          share = p.select(there, share, p.f32(0.0));
        }
        if (op.getAgg() == Agg::Max)
          return {arith::MaxNumFOp::create(b, best[0], share)};
        return {arith::AddFOp::create(b, best[0], share)};
      })[0];
}

void ScorePage::writeMasses() {
  Value zero = at(p.i32(0)), one = at(p.i32(1));
  auto all = scf::ParallelOp::create(b, ValueRange{zero, zero},
                                     ValueRange{at(blockRows), at(keyBlocks())},
                                     ValueRange{one, one});
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(all.getBody());
  auto i32 = [&](Value index) -> Value {
    return arith::IndexCastOp::create(b, b.getI32Type(), index);
  };
  Value block = i32(all.getInductionVars()[0]),
        j = all.getInductionVars()[1];
  Value m = massOf(block, i32(j));
  SmallVector<Value> place{at(batch), at(massHead), at(p.add(slot, block)), j};
  if (accumulate) {
    Value old = p.ifElse(
        accumulate,
        [&]() -> SmallVector<Value> {
          return {memref::LoadOp::create(b, mass, place)};
        },
        [&]() -> SmallVector<Value> { return {p.f32(0.0)}; })[0];
    m = arith::AddFOp::create(b, old, m);
  }
  memref::StoreOp::create(b, m, mass, place);
}

//===----------------------------------------------------------------------===//
// The query blocks
//===----------------------------------------------------------------------===//

/// One query head.
void ScorePage::scoreHead(Value h) {
  head = h;
  queries = fetch(tq, q, head, p.add(firstQ, firstComposite),
                  p.add(firstQ, allQ), qRows);
  SmallVector<Value> state{p.fill(kLowest, p.rows(tq)),
                           p.fill(0.0, p.rows(tq))};
  auto write = [this](void (ScorePage::*region)(Block &)) {
    return [this, region](Block &body) { (this->*region)(body); };
  };
  p.walk(count, state, p.fragment(tq, tk, b.getF32Type()),
         {write(&ScorePage::writeBlock), write(&ScorePage::writeScore),
          write(&ScorePage::writeMask), write(&ScorePage::writeUpdate),
          write(&ScorePage::writeFinish)});
}

/// A tile's query blocks are one sequence's: those of a packed batch are cut
/// into tiles as tokens are into blocks. Spare slots between sequences belong to
/// the one in front of them.
void ScorePage::locate(Value tile) {
  Value zero = p.i32(0);
  if (!p.isPacked()) {
    slot = p.mul(tile, qBlocks);
    span = {zero, p.lq, zero, p.lk, zero, slot};
    firstQ = firstK = zero;
    blockRows = p.min(p.sub(slots, slot), p.i32(qBlocks));
  } else {
    int64_t tokens = qBlocks * bq;
    auto found = LocateOp::create(b, tile, tokens, p.cuQ, p.cuK, p.sequences);
    Value start = found.getQStart();
    Value number = p.sub(p.sub(tile, found.getBlock()), p.div(start, tokens));
    span = {start, found.getQLength(), found.getKStart(), found.getKLength(),
            number, p.mul(found.getBlock(), qBlocks), /*isPacked=*/true};
    slot = p.add(p.firstSlot(span, start, bq), span.unit);
    Value next = p.add(
        p.add(p.div(p.add(start, span.qLength), bq), number), 1);
    Value isLast = p.compare(arith::CmpIPredicate::eq, number,
                             p.sub(p.sequences, 1));
    next = p.select(isLast, slots, next);
    blockRows = p.min(p.sub(next, slot), p.i32(qBlocks));
    firstQ = p.firstSlot(span, start, cq);
    firstK = p.firstSlot(span, span.kStart, ck);
  }
  blocks = p.ceilDiv(span.qLength, bq), allK = p.ceilDiv(span.kLength, ck);
  allQ = p.ceilDiv(span.qLength, cq);
  if (rows) { // Composites come by query blocks.
    allQ = p.mul(blocks, qRows.composites);
    firstQ = p.mul(p.sub(slot, span.unit), qRows.composites);
  }
  firstComposite = p.mul(span.unit, qRows.composites);
  Value last = p.sub(blockEnd(p.i32(qBlocks - 1)), 1);
  Value seen = reach.right ? keysVisible(last) : allK;
  count = p.ceilDiv(p.ceilDiv(seen, kRows.composites), kBlocks);
  Value first; // M2
  if (reach.left)
    first = p.div(p.div(firstVisible(p.mul(span.unit, bq)), kRows.composites),
                  kBlocks);
  if (p.isPacked()) { // Nothing stands in spare slots.
    Value exists = p.less(span.unit, blocks);
    count = p.select(exists, count, zero);
    if (first)
      first = p.select(exists, first, zero);
  }
  windowStart = first;
  if (first)
    count = p.sub(count, first);
}

void ScorePage::build() {
  x = p.blockId(gpu::Dimension::x);
  massHead = p.blockId(gpu::Dimension::y);
  batch = p.blockId(gpu::Dimension::z);
  worker = WorkerOp::create(b, sums);
  // The last query blocks see the most keys: longest first.
  locate(op.getCausal() ? p.sub(p.sub(tiles, 1), x) : x);
  if (massGroup == 1)
    return scoreHead(massHead);
  Value first = p.mul(massHead, massGroup);
  p.forEach(p.i32(0), p.i32(massGroup), 1, {},
            [&](Value h, ValueRange) -> SmallVector<Value> {
              accumulate = p.less(p.i32(0), h);
              scoreHead(p.add(first, h));
              return {};
            });
}

FailureOr<SmallVector<Value>>
unisparse::lowerToPage(HostSide &host, gpu::GPUModuleOp kernels,
                       BlockScoreOp op, int64_t rows, int64_t keys,
                       int64_t ctas, Attribute schedule) {
  BlockRows qRows(op.getBlock().getQuery() / op.getPooling().getQuery() +
                  op.getPooling().getRepresentatives()),
      kRows(op.getBlock().getKey() / op.getPooling().getKey());
  if (rows % qRows.padded || keys % kRows.padded)
    return op.emitOpError("expected a schedule of whole blocks, of ")
           << qRows.padded << " rows and " << kRows.padded << " keys, got "
           << schedule;
  KernelPage page(kernels, op.getLoc(), "score");
  page.kernel()->setAttr(kScheduleAttr, schedule);
  ScorePage score(op, rows, keys, page);
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey();
  int64_t qBlocks = rows / qRows.padded, kBlocks = keys / kRows.padded;
  Value lq = host.length(op.getStaticLengths(), op.getLengths(), 0),
        lk = host.length(op.getStaticLengths(), op.getLengths(), 1);
  Value cuQ = op.getCuSeqlensQ(), cuK = op.getCuSeqlensK();
  Value slots = host.slots(lq, cuQ, bq), tiles = host.slots(lq, cuQ, qBlocks * bq);
  Value keyBlocks = host.ceilDiv(lk, bk);
  Value batch = host.dim(op.getQ(), 0);
  Value result =
      host.result(op.getMass().getType(), {batch, {}, slots, keyBlocks});
  // A part for each CTA at work: no more than there is to do.
  int64_t heads = op.getMass().getType().getDimSize(1);
  auto mul = [&](Value x, Value y) {
    return host.b.createOrFold<arith::MulIOp>(x, y);
  };
  Value items = mul(mul(tiles, batch), host.index(heads));
  Value parts = host.b.createOrFold<arith::MinUIOp>(
      items, mul(MultiprocessorsOp::create(host.b), host.index(ctas)));
  auto memory = [&](ArrayRef<int64_t> shape, ArrayRef<Value> sizes) {
    auto type = RankedTensorType::get(shape, host.b.getF32Type());
    return host.contiguousBuffer(host.result(type, sizes));
  };
  constexpr int64_t kDynamic = ShapedType::kDynamic;
  score.q = page.take("q", host.stridedBuffer(op.getQ()));
  score.k = page.take("k", host.stridedBuffer(op.getK()));
  if (op.getRows())
    score.rows = page.take("rows", host.contiguousBuffer(op.getRows()));
  for (Value table : op.getTables())
    score.tables.push_back(page.take("table", host.contiguousBuffer(table)));
  score.mass = page.take("mass", host.contiguousBuffer(result));
  // Key tiles, and one for the bias; columns in pairs.
  Value keyTiles = host.add(host.ceilDiv(keyBlocks, kBlocks), host.index(1));
  int64_t columns = llvm::alignTo(kBlocks, 2);
  score.sums = page.take("sums", memory({kDynamic, kDynamic, rows, columns},
                                        {parts, keyTiles, {}, {}}));
  score.tops = page.take(
      "tops", memory({kDynamic, kDynamic, rows}, {parts, keyTiles, {}}));
  page.takeSequences(host, lq, lk, cuQ, cuK);
  score.slots = page.take("slots", host.i32(slots));
  score.tiles = page.take("tiles", host.i32(tiles));
  score.build();
  page.finish();
  // What a launch takes beyond the grid is decided with the schedule.
  host.launch(page.kernel(), {tiles, host.index(heads), batch}, /*threads=*/1,
              /*sharedBytes=*/0, page.launchOperands());
  return SmallVector<Value>{result};
}
