// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Composite attention in two passes over the composite keys: the first finds
// every row's normaliser, the second multiplies again and sums probabilities
// over key blocks; or in one (ScoreOnePass.cpp). Logits live in fragments only.
//
// A tile holds whole query blocks by whole key blocks. Blocks are padded to the
// rows and columns that fragments come in; padding is masked.
#include "Kernels.h"
#include "ScorePage.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>
#include <limits>

using namespace unisparse;
using namespace unisparse::unitile;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// 1 KiB, for one number a warp and column of blocks.
static constexpr int64_t kScratchRows = 8, kScratchColumns = 64;

/// Blocks of threads in one pass, each with memory of its own: two for each
/// multiprocessor of a large chip.
static constexpr int64_t kThreadBlocks = 264;

ScorePage::ScorePage(BlockScoreOp op, TilesAttr schedule, KernelPage &page)
    : op(op), p(page), element(op.getQ().getType().getElementType()),
      cq(op.getPooling().getQuery()), ck(op.getPooling().getKey()),
      qRows(op.getBlock().getQuery() / cq), kRows(op.getBlock().getKey() / ck),
      tq(schedule.getRows()), tk(schedule.getKeys()),
      qBlocks(tq / qRows.padded), kBlocks(tk / kRows.padded),
      passes(schedule.getPasses()), headDim(op.getQ().getType().getDimSize(3)),
      depth(tileColumns(headDim)), group(op.getQ().getType().getDimSize(1) /
                                         op.getMass().getType().getDimSize(1)),
      scale(scaleInBase2(op.getScale(), op.getAlpha().convertToDouble(),
                         headDim)),
      causal(op.getCausal()) {
  // A maximum over S is one over scale * S only for a positive scale.
  scaleFirst = !(scale > 1e-6);
}

/// Composite keys visible from token `position` (S2), of those there are.
Value ScorePage::keysVisible(Value position) {
  return p.min(p.add(p.div(position, ck), 1), allKeys);
}

/// Starts the copy of a tile of composite keys.
Value ScorePage::copyKeys(Value tile, Value stage) {
  ImplicitLocOpBuilder &b = p.b;
  Value row = p.add(firstKeySlot, p.mul(tile, kBlocks * kRows.composites));
  bool padded = kRows.composites != kRows.padded;
  CopyAsyncOp::create(b, keyRows, row, keySlotEnd, k.rowStride, keyTile, stage,
                      b.getI64IntegerAttr(headDim),
                      padded ? b.getI64IntegerAttr(kRows.composites) : nullptr,
                      padded ? b.getI64IntegerAttr(kRows.padded) : nullptr);
  CommitOp::create(b);
  return row;
}

Value ScorePage::multiply(Value tile, Value stage) {
  ImplicitLocOpBuilder &b = p.b;
  FragmentType type = p.fragment(tq, tk, b.getF32Type());
  Value zero = p.i32(0);
  Value a = queries ? queries
                    : LoadOp::create(b, p.fragment(tq, depth, element),
                                     queryTile, zero);
  Value logits = MmaOp::create(b, type, a, keyTile, stage, p.fill(0.0, type),
                               /*by_rows=*/false);
  if (scaleFirst)
    logits = p.map(type, logits, [&](ValueRange e) -> Value {
      return arith::MulFOp::create(b, e[0], p.f32(scale));
    });
  return maskedLogits(logits, tile);
}

/// -inf where a composite key is not visible (S2) or not there; the last
/// composite of a sequence gets its ln(n_b / ck) (S1).
Value ScorePage::maskedLogits(Value logits, Value tile) {
  ImplicitLocOpBuilder &b = p.b;
  Value firstKey = p.mul(tile, kBlocks * kRows.composites);
  Value tileEnd = p.add(firstKey, kBlocks * kRows.composites);
  // The last token of the tile's first composite row sees the fewest keys.
  Value lastToken =
      p.sub(p.min(p.mul(p.add(firstComposite, 1), cq), span.qLength), 1);
  Value fewest =
      causal ? keysVisible(p.add(p.delta(span), lastToken)) : allKeys;
  Value needed = p.compare(arith::CmpIPredicate::sle, fewest, tileEnd);
  bool keysPadded = kRows.composites != kRows.padded;
  if (keysPadded)
    needed = p.isTrue(true);
  auto mask = [&]() -> SmallVector<Value> {
    Value last = p.sub(allKeys, 1);
    Value tail = p.toFloat(p.sub(span.kLength, p.mul(last, ck)));
    Value share = arith::MulFOp::create(b, tail, p.f32(1.0 / ck));
    Value bias = arith::MulFOp::create(b, math::Log2Op::create(b, share),
                                       p.f32(1.0 / unit()));
    return {p.map(
        logits.getType(), logits,
        [&](ValueRange e) {
          auto composite = [&](Value first, Value i, const BlockRows &rows) {
            return p.add(first,
                         p.add(p.mul(p.div(i, rows.padded), rows.composites),
                               p.rem(i, rows.padded)));
          };
          Value key = composite(firstKey, e[1], kRows);
          Value seen = p.less(key, allKeys);
          if (keysPadded)
            seen = p.both(seen, p.less(p.rem(e[1], kRows.padded),
                                       p.i32(kRows.composites)));
          if (causal) {
            Value row = composite(firstComposite, e[0], qRows);
            Value token =
                p.sub(p.min(p.mul(p.add(row, 1), cq), span.qLength), 1);
            seen = p.both(seen,
                          p.compare(arith::CmpIPredicate::sle, p.mul(key, ck),
                                    p.add(p.delta(span), token)));
          }
          Value biased = arith::AddFOp::create(b, e[2], bias);
          Value x = p.select(p.compare(arith::CmpIPredicate::eq, key, last),
                             biased, e[2]);
          return p.select(seen, x, p.f32(-kInfinity));
        },
        /*indices=*/true)};
  };
  return p.ifElse(needed, mask,
                  [&]() -> SmallVector<Value> { return {logits}; })[0];
}

/// A logit, or a maximum of some, in units of log2.
Value ScorePage::scaled(Value x) {
  return arith::MulFOp::create(p.b, x, p.f32(unit()));
}

/// Maxima with one more tile, and the tile's exponentials relative to them
/// (S3).
ScorePage::Powers ScorePage::powersOf(Value logits, Value oldTop) {
  ImplicitLocOpBuilder &b = p.b;
  Powers x;
  x.top = ReduceOp::create(b, Combine::Max, logits, oldTop);
  x.scaledTop =
      p.map(p.rows(tq), x.top, [&](ValueRange e) { return scaled(e[0]); });
  x.powers = p.map(
      logits.getType(), {logits, x.scaledTop}, [&](ValueRange e) -> Value {
        return math::Exp2Op::create(
            b, math::FmaOp::create(b, e[0], p.f32(unit()),
                                   arith::NegFOp::create(b, e[1])));
      });
  return x;
}

/// The factor of a sum relative to maximum `top` that makes it one relative to
/// `scaledTop`.
Value ScorePage::shrink(Value top, Value scaledTop) {
  return math::Exp2Op::create(
      p.b, arith::SubFOp::create(p.b, scaled(top), scaledTop));
}

/// Maxima and sums of exponentials with one more tile (S3).
SmallVector<Value> ScorePage::normaliserStep(Value logits, ValueRange state) {
  ImplicitLocOpBuilder &b = p.b;
  Powers x = powersOf(logits, state[0]);
  Value shrunk =
      p.map(p.rows(tq), {state[0], x.scaledTop, state[1]},
            [&](ValueRange e) -> Value {
              return arith::MulFOp::create(b, e[2], shrink(e[0], e[1]));
            });
  return {x.top, ReduceOp::create(b, Combine::Add, x.powers, shrunk)};
}

/// What turns a logit into log2 of the row's share of its block's mass: minus
/// the normaliser, and the weights of S5 and S6. -inf for rows that are not
/// there.
Value ScorePage::rowBias(ValueRange normaliser) {
  ImplicitLocOpBuilder &b = p.b;
  return p.map(
      p.rows(tq), normaliser,
      [&](ValueRange e) -> Value {
        Value block = p.div(e[0], qRows.padded),
              within = p.rem(e[0], qRows.padded);
        Value composite = p.add(p.mul(block, qRows.composites), within);
        Value token = p.mul(p.add(firstComposite, composite), cq);
        Value left = p.sub(span.qLength, token);
        Value there = p.both(p.less(within, p.i32(qRows.composites)),
                             p.less(p.i32(0), left));
        Value bias = arith::NegFOp::create(
            b, math::FmaOp::create(b, e[1], p.f32(unit()),
                                   math::Log2Op::create(b, e[2])));
        bias = arith::SubFOp::create(b, bias, p.f32(std::log2(group)));
        if (op.getAgg() == Agg::Sum) { // n_a of the block's rows.
          int64_t bq = op.getBlock().getQuery();
          Value blockToken = p.mul(p.add(span.unit, block), bq);
          Value all = p.min(p.sub(span.qLength, blockToken), p.i32(bq));
          Value share =
              arith::DivFOp::create(b, p.toFloat(p.min(left, p.i32(cq))),
                                    p.toFloat(p.max(all, p.i32(1))));
          bias = arith::AddFOp::create(b, bias, math::Log2Op::create(b, share));
        }
        return p.select(there, bias, p.f32(-kInfinity));
      },
      /*indices=*/true);
}

/// One query head.
void ScorePage::scoreHead(Value head, Value accumulate) {
  ImplicitLocOpBuilder &b = p.b;
  Value zero = p.i32(0);
  int64_t heads = op.getQ().getType().getDimSize(1);
  Value kvHead = p.div(head, heads / op.getK().getType().getDimSize(1));
  keyRows = p.row(k, element, batch, kvHead, zero);
  Value queryRows = p.row(q, element, batch, head, zero);
  Value firstSlot = p.firstSlot(span, span.qStart, cq);
  Value row = p.add(firstSlot, firstComposite);
  Value rowEnd = p.add(firstSlot, p.ceilDiv(span.qLength, cq));
  bool padded = qRows.composites != qRows.padded;
  // The last head's products are done with the tiles.
  BarrierOp::create(b);
  CopyAsyncOp::create(b, queryRows, row, rowEnd, q.rowStride, queryTile, zero,
                      b.getI64IntegerAttr(headDim),
                      padded ? b.getI64IntegerAttr(qRows.composites) : nullptr,
                      padded ? b.getI64IntegerAttr(qRows.padded) : nullptr);
  copyKeys(zero, zero);
  WaitOp::create(b, 0);
  BarrierOp::create(b);
  queries = Value();
  if (holdsQueries(op.getQ().getType()))
    queries =
        LoadOp::create(b, p.fragment(tq, depth, element), queryTile, zero);

  if (passes == 1)
    onePass(accumulate);
  else
    twoPasses(accumulate);
}

void ScorePage::twoPasses(Value accumulate) {
  ImplicitLocOpBuilder &b = p.b;
  Value zero = p.i32(0);
  // Both passes walk the same tiles; the copies run one ahead, around the end.
  auto walk =
      [&](Value firstStep, ValueRange state,
          function_ref<SmallVector<Value>(Value, Value, ValueRange)> use) {
        return p.forEach(zero, tiles, 1, state,
                         [&](Value tile, ValueRange carried) {
                           Value number = p.add(firstStep, tile);
                           Value stage = p.rem(number, 2);
                           WaitOp::create(b, 0);
                           BarrierOp::create(b);
                           Value next = p.add(tile, 1);
                           next = p.select(p.less(next, tiles), next, zero);
                           copyKeys(next, p.sub(p.i32(1), stage));
                           return use(tile, multiply(tile, stage), carried);
                         });
      };
  SmallVector<Value> normaliser =
      walk(zero, {p.fill(lowest(), p.rows(tq)), p.fill(0.0, p.rows(tq))},
           [&](Value, Value logits, ValueRange state) {
             return normaliserStep(logits, state);
           });
  Value bias = rowBias(normaliser);
  walk(tiles, {}, [&](Value tile, Value logits, ValueRange) {
    Value shares =
        p.map(logits.getType(), {logits, bias}, [&](ValueRange e) -> Value {
          return math::Exp2Op::create(
              b, math::FmaOp::create(b, e[0], p.f32(unit()), e[1]));
        });
    Combine combine = op.getAgg() == Agg::Max ? Combine::Max : Combine::Add;
    StoreBlocksOp::create(b, combine, shares, qRows.padded, kRows.padded,
                          massRow, zero, blockRows, p.mul(tile, kBlocks),
                          keyBlocks, p.i64(keyBlocks), accumulate, scratch);
    return SmallVector<Value>{};
  });
  WaitOp::create(b, 0);
}

/// Mass 0 for the key blocks from `blocks` on, which no row here sees.
void ScorePage::zeroBehind(Value blocks) {
  Value thread = p.threadId();
  p.forEach(
      p.i32(0), blockRows, 1, {},
      [&](Value row, ValueRange) -> SmallVector<Value> {
        Value at = arith::MulIOp::create(p.b, p.i64(row), p.i64(keyBlocks));
        p.forEach(p.add(blocks, thread), keyBlocks, 32 * p.warps(), {},
                  [&](Value j, ValueRange) -> SmallVector<Value> {
                    p.store(p.f32(0.0), p.at(massRow, p.b.getF32Type(), at), j);
                    return {};
                  });
        return {};
      });
}

/// Masses of the query blocks from slot `slot` on that belong to one sequence;
/// the slot behind them.
Value ScorePage::scoreSlots(Value slot, Value end) {
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey();
  span = p.locate(slot, bq);
  allKeys = p.ceilDiv(span.kLength, ck);
  firstComposite = p.mul(span.unit, qRows.composites);
  Value left = p.sub(p.ceilDiv(span.qLength, bq), span.unit);
  // A spare slot of a packed batch: one row of zeros.
  Value exists = p.less(p.i32(0), left);
  blockRows = p.min(p.sub(end, slot), p.max(left, p.i32(1)));
  int64_t massHeads = op.getMass().getType().getDimSize(1);
  Value row = p.flatRow(p.add(p.mul(batch, massHeads), massHead), slots, slot);
  massRow = p.at(mass, p.b.getF32Type(),
                 arith::MulIOp::create(p.b, row, p.i64(keyBlocks)));
  Value lastToken =
      p.sub(p.min(p.mul(p.add(span.unit, blockRows), bq), span.qLength), 1);
  Value seen = causal ? keysVisible(p.add(p.delta(span), lastToken)) : allKeys;
  seen = p.select(exists, seen, p.i32(0));
  Value blocks = p.ceilDiv(seen, bk / ck);
  tiles = p.ceilDiv(blocks, kBlocks);
  zeroBehind(p.min(p.mul(tiles, kBlocks), keyBlocks));
  firstKeySlot = p.firstSlot(span, span.kStart, ck);
  keySlotEnd = p.add(firstKeySlot, allKeys);
  p.ifThen(p.less(p.i32(0), tiles), [&] {
    Value first = p.mul(massHead, group);
    p.forEach(p.i32(0), p.i32(group), 1, {},
              [&](Value h, ValueRange) -> SmallVector<Value> {
                Value later = group > 1 ? p.less(p.i32(0), h) : Value();
                scoreHead(p.add(first, h), later);
                return {};
              });
  });
  return p.add(slot, blockRows);
}

/// The masses of tile `x` of query blocks.
void ScorePage::scoreTile(Value x) {
  // The last rows see the most keys: longest first.
  if (causal)
    x = p.sub(p.sub(p.ceilDiv(slots, qBlocks), 1), x);
  Value slot = p.mul(x, qBlocks);
  Value end = p.min(p.add(slot, qBlocks), slots);
  if (!p.isPacked()) {
    scoreSlots(slot, end);
    return;
  }
  p.whileLoop(
      slot, [&](ValueRange s) { return p.less(s[0], end); },
      [&](ValueRange s) -> SmallVector<Value> {
        return {scoreSlots(s[0], end)};
      });
}

void ScorePage::build() {
  if (passes == 2) {
    massHead = p.blockId(gpu::Dimension::y);
    batch = p.blockId(gpu::Dimension::z);
  }
  queryTile = p.tile(tq, depth, element);
  keyTile = p.tile(tk, depth, element, /*stages=*/2);
  if (qRows.padded > 16 && passes == 2)
    scratch = p.tile(kScratchRows, kScratchColumns, element);
  if (passes == 2)
    scoreTile(p.blockId(gpu::Dimension::x));
  else
    scoreItems();
}

/// What blocks of threads keep for the tile of rows that they are at, in one
/// pass: a sum for each row and key block, and for each row a maximum for each
/// tile of keys and the bias. The grid: fewer blocks than tiles.
static std::array<Value, 3> takeMemory(HostSide &host, KernelPage &page,
                                       ScorePage &score, TilesAttr schedule,
                                       Value keyBlocks,
                                       std::array<Value, 3> tiles,
                                       int64_t kBlocks) {
  auto mul = [&](Value x, Value y) {
    return host.b.createOrFold<arith::MulIOp>(x, y);
  };
  Value items = mul(mul(tiles[0], tiles[2]), tiles[1]);
  Value blocks =
      host.b.createOrFold<arith::MinUIOp>(items, host.index(kThreadBlocks));
  Value rows = mul(blocks, host.index(schedule.getRows()));
  auto memory = [&](Value size) {
    auto type =
        RankedTensorType::get({ShapedType::kDynamic}, host.b.getF32Type());
    return page.take(host.address(host.result(type, {size})));
  };
  score.allSums = memory(mul(rows, keyBlocks));
  score.allTops = memory(
      mul(rows, host.add(host.ceilDiv(keyBlocks, kBlocks), host.index(1))));
  score.rowTiles = page.take(host.i32(tiles[0]));
  score.items = page.take(host.i32(items));
  return {blocks, host.index(1), host.index(1)};
}

FailureOr<SmallVector<Value>> unisparse::lowerToKernel(HostSide &host,
                                                       gpu::GPUModuleOp kernels,
                                                       BlockScoreOp op,
                                                       TilesAttr schedule) {
  BlockRows q(op.getBlock().getQuery() / op.getPooling().getQuery()),
      k(op.getBlock().getKey() / op.getPooling().getKey());
  if (schedule.getRows() % q.padded || schedule.getKeys() % k.padded)
    return op.emitOpError("expected a schedule of whole blocks, of ")
           << q.padded << " rows and " << k.padded << " keys, got " << schedule;
  KernelPage page(kernels, op.getLoc(), "score", schedule.getRows() / 16);
  page.kernel()->setAttr("nvvm.minctasm", page.b.getI32IntegerAttr(1));
  page.kernel()->setAttr(kScheduleAttr, schedule);
  ScorePage score(op, schedule, page);
  Value lq = host.length(op.getStaticLengths(), op.getLengths(), 0),
        lk = host.length(op.getStaticLengths(), op.getLengths(), 1);
  Value slots = host.slots(lq, op.getCuSeqlensQ(), op.getBlock().getQuery());
  Value keyBlocks = host.ceilDiv(lk, op.getBlock().getKey());
  Value batch = host.dim(op.getQ(), 0);
  score.q = page.take(host.tokens(op.getQ()));
  score.k = page.take(host.tokens(op.getK()));
  Value result =
      host.result(op.getMass().getType(), {batch, {}, slots, keyBlocks});
  score.mass = page.take(host.address(result));
  page.takeLengths(host.i32(lq), host.i32(lk),
                   host.packing(op.getCuSeqlensQ(), op.getCuSeqlensK()));
  score.slots = page.take(host.i32(slots));
  score.keyBlocks = page.take(host.i32(keyBlocks));
  int64_t heads = op.getMass().getType().getDimSize(1),
          qBlocks = schedule.getRows() / q.padded;
  Value rowTiles = host.ceilDiv(slots, qBlocks);
  std::array<Value, 3> grid{rowTiles, host.index(heads), batch};
  if (schedule.getPasses() == 1)
    grid = takeMemory(host, page, score, schedule, keyBlocks, grid,
                      schedule.getKeys() / k.padded);
  score.build();
  page.finish();
  host.launch(page.kernel(), grid, 32 * page.warps(), page.sharedBytes(),
              page.launchOperands());
  return SmallVector<Value>{result};
}
