// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.block_score as one page of tile code, the same for every chip:
// composite attention in one walk over the composite keys. A row's normaliser
// is known at its end only, so the walk keeps, for every row, the sum of
// exponentials of each key block and what they are relative to, in memory that
// is this CTA's own; what that comes to in the end are the masses.
//
// A tile holds whole query blocks by whole key blocks. Blocks are padded to the
// rows and columns that fragments come in; padding is masked.
#include "ScorePage.h"
#include "Kernels.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include <cmath>
#include <limits>

using namespace unisparse;
using namespace unisparse::unitile;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// What the online softmax begins with: finite, so that -inf minus it is -inf.
static constexpr double kLowest = -1e30;

FetchOp ScorePage::fetch(int64_t rows, Value source, Value head, Value row,
                         Value limit, const BlockRows &blocks) {
  auto tile = TileType::get(b.getContext(), rows, depth, element);
  bool padded = blocks.composites != blocks.padded;
  return FetchOp::create(
      b, tile, source, batch, head, row, limit,
      padded ? b.getI64IntegerAttr(blocks.composites) : IntegerAttr(),
      padded ? b.getI64IntegerAttr(blocks.padded) : IntegerAttr());
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
  Value keys =
      fetch(tk, k, p.div(head, kvGroup), p.add(firstK, body.getArgument(0)),
            p.add(firstK, body.getArgument(1)), kRows);
  auto type = p.fragment(tq, tk, b.getF32Type());
  Value scores =
      DotOp::create(b, type, queries, keys, Value(), /*by_rows=*/false);
  scores = modification.scaled(p, scores);
  unitile::YieldOp::create(b, scores);
}

/// S3, and what W (S4) will come from: a row's exponentials summed over each
/// key block.
void ScorePage::writeUpdate(Block &body) {
  Value scores = body.getArgument(0), key = body.getArgument(1),
        reference = body.getArgument(3), sum = body.getArgument(4);
  auto columns = llvm::alignTo(kBlocks, 8);
  auto step =
      SoftmaxSumsOp::create(b,
                            TypeRange{p.fragment(tq, columns, b.getF32Type()),
                                      reference.getType(), sum.getType()},
                            scores, b.getI64IntegerAttr(kRows.padded),
                            b.getF64FloatAttr(modification.unit()), reference,
                            sum, /*speculative=*/UnitAttr());
  Value tile = p.div(key, kBlocks * kRows.composites);
  PutOp::create(b, step.getSums(), sums, worker, tile, p.i32(0), p.i32(tq));
  PutOp::create(b, step.getReference(), tops, worker, tile, p.i32(0),
                p.i32(tq));
  unitile::YieldOp::create(b, ValueRange{step.getReference(), step.getSum()});
}

/// What turns log2 of a sum of exponentials, relative to a reference, into that
/// of the row's share of its block's mass: minus the normaliser, and the
/// weights of S5 and S6. -inf for rows that are not there.
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
          there =
              p.both(there, arith::CmpFOp::create(b, arith::CmpFPredicate::ONE,
                                                  e[2], p.f32(0.0)));
        Value normaliser =
            arith::AddFOp::create(b, e[1], math::Log2Op::create(b, e[2]));
        Value bias =
            arith::SubFOp::create(b, p.f32(-std::log2(massGroup)), normaliser);
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
    isSeen =
        p.both(isSeen, p.compare(arith::CmpIPredicate::sge, tile, windowStart));
  Value seen = p.select(isSeen, p.i32(qRows.composites), p.i32(0));
  return p.forEach(
      p.i32(0), seen, 1, {p.f32(0.0)},
      [&](Value r, ValueRange best) -> SmallVector<Value> {
        Value row = at(p.add(p.mul(block, qRows.padded), r)), w = at(worker);
        Value top =
                  memref::LoadOp::create(b, tops, ValueRange{w, at(tile), row}),
              bias = memref::LoadOp::create(b, tops,
                                            ValueRange{w, at(endTile()), row}),
              sum = memref::LoadOp::create(
                  b, sums, ValueRange{w, at(tile), row, at(p.rem(j, kBlocks))});
        Value factor =
            math::Exp2Op::create(b, arith::AddFOp::create(b, top, bias));
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
  Value block = i32(all.getInductionVars()[0]), j = all.getInductionVars()[1];
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
/// into tiles as tokens are into blocks. Spare slots between sequences belong
/// to the one in front of them.
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
    span = {start,
            found.getQLength(),
            found.getKStart(),
            found.getKLength(),
            number,
            p.mul(found.getBlock(), qBlocks),
            /*isPacked=*/true};
    slot = p.add(p.firstSlot(span, start, bq), span.unit);
    Value next = p.add(p.add(p.div(p.add(start, span.qLength), bq), number), 1);
    Value isLast =
        p.compare(arith::CmpIPredicate::eq, number, p.sub(p.sequences, 1));
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
  Value slots = host.slots(lq, cuQ, bq),
        tiles = host.slots(lq, cuQ, qBlocks * bq);
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
