// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A walk as a loop in which copies run beside arithmetic: V arrives while S is
// multiplied, the next K while the softmax runs. K and V have one stage each; K
// alone has two.
#include "KernelViews.h"
#include "PageRules.h"
#include "ParallelToThreads.h"
#include "SharedLayout.h"
#include "WalkParts.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEPIPELINE
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// A key tile: its first key, and where visible keys end.
struct KeyTile {
  Value key, limit;
};

struct PipelinedWalk {
  PipelinedWalk(KernelViews &views, WalkParts &parts)
      : views(views), x(parts), walk(x.walk),
        p(walk->getLoc(), OpBuilder(walk)) {}

  void lower();

private:
  Value tile(FetchOp fetch, int64_t stages = 1);
  void copy(FetchOp fetch, Region *region, KeyTile at, Value tile,
            Value stage = Value());
  KeyTile firstTile();
  void weigh();
  void count();
  KeyTile keyTile(Value n);
  Value scores(KeyTile now, Value stage);
  Value maskedScores(Value scores, KeyTile now);
  void loadQueries();
  SmallVector<Value> update(Value scores, KeyTile now, ValueRange state);
  void finish(ValueRange state);
  void put(PutOp op, Region &region, RegionCloner &cloner);

  KernelViews &views;
  WalkParts &x;
  WalkOp walk;
  PageBuilder p;
  Value queryTile, keys, values; ///< Shared.
  Value queries;                 ///< A fragment, where it has room.
};

/// Whether a row's queries stay in registers. Longer ones are read again from
/// their tile with every key block; so are f32, whose parts LLVM would hoist
/// out of the loop, twice the registers.
bool holdsQueries(TileType type) {
  return !type.getElementType().isF32() && type.getColumns() <= 128;
}

} // namespace

Value PipelinedWalk::tile(FetchOp fetch, int64_t stages) {
  TileType type = fetch.getTile().getType();
  auto sharedType =
      SharedType::get(type.getContext(), type.getRows(), type.getColumns(),
                      type.getElementType(), stages);
  return AllocOp::create(p.b, sharedType, IntegerAttr());
}

/// Starts the copy of what `fetch` of `region` takes for a key tile.
void PipelinedWalk::copy(FetchOp fetch, Region *region, KeyTile at, Value tile,
                         Value stage) {
  RegionCloner cloner(p);
  SmallVector<Value> operands(fetch.getOperands());
  if (region) {
    // The update's key and limit stand behind the scores.
    unsigned key = region == &walk.getUpdate() ? 1 : 0;
    cloner.mapping.map(region->getArgument(key), at.key);
    cloner.mapping.map(region->getArgument(key + 1), at.limit);
    operands = cloner.slice(fetch->getOperands().drop_front(), *region);
    operands.insert(operands.begin(), fetch.getSource());
  }
  const View &view = views.of(fetch.getSource());
  Value matrix = views.matrix(p, view, operands[1], operands[2]);
  CopyAsyncOp::create(p.b, matrix, operands[3], operands[4], view.rowStride(),
                      tile, stage ? stage : p.i32(0),
                      p.b.getI64IntegerAttr(view.type.getDimSize(3)),
                      fetch.getTakeAttr(), fetch.getOfAttr());
}

KeyTile PipelinedWalk::keyTile(Value n) {
  RegionCloner cloner(p);
  cloner.map(walk.getBlock(), n);
  auto made = cloner.body(walk.getBlock(), [](Operation *) { return false; });
  return {made[0], made[1]};
}

/// The score region; the tile of keys may be overwritten once it has been
/// multiplied with.
Value PipelinedWalk::scores(KeyTile now, Value stage) {
  RegionCloner cloner(p);
  cloner.map(walk.getScore(), {now.key, now.limit});
  return cloner.body(walk.getScore(), [&](Operation *op) {
    if (op == x.keys)
      return true;
    if (op != x.scores)
      return false;
    auto type = x.scores.getResult().getType();
    TileType q = x.queries.getTile().getType();
    Value a = queries ? queries
                      : LoadOp::create(p.b,
                                       p.fragment(q.getRows(), q.getColumns(),
                                                  q.getElementType()),
                                       queryTile, p.i32(0));
    cloner.mapping.map(x.scores.getResult(),
                       MmaOp::create(p.b, type, a, keys, stage,
                                     p.fill(0.0, type), /*by_rows=*/false,
                                     /*atom=*/{})
                           .getResult());
    return true;
  })[0];
}

/// The mask region. Only tiles on the diagonal and at an end have keys to hide.
Value PipelinedWalk::maskedScores(Value scores, KeyTile now) {
  RegionCloner cloner(p);
  cloner.map(walk.getMask(), {scores, now.key, now.limit});
  return cloner.body(walk.getMask(), [&](Operation *op) {
    auto mask = dyn_cast<MaskOp>(op);
    if (!mask)
      return false;
    auto of = [&](Value v) {
      return v ? cloner.slice(v, walk.getMask()) : Value();
    };
    Value key = of(mask.getKey()), limit = of(mask.getLimit()),
          position = of(mask.getPosition()), bounds = of(mask.getBounds()),
          last = of(mask.getLast()), from = of(mask.getFrom());
    Value end = p.add(key, x.keyRows());
    // The last key has its own weight.
    Value needed =
        p.compare(last ? arith::CmpIPredicate::sle : arith::CmpIPredicate::slt,
                  limit, end);
    if (position)
      needed = p.either(needed, p.less(p.add(position, 1), end));
    if (from) // Of the last row.
      needed = p.either(needed, p.less(key, p.add(from, x.rows() - 1)));
    cloner.mapping.map(mask.getResult(),
                       MaskOp::create(p.b, mask.getResult().getType(),
                                      of(mask.getScores()), key, limit,
                                      position, bounds, last, needed, from)
                           .getResult());
    return true;
  })[0];
}

/// The update region, sums kept by columns; V has to be there for the product
/// alone.
SmallVector<Value> PipelinedWalk::update(Value scores, KeyTile now,
                                         ValueRange state) {
  RegionCloner cloner(p);
  SmallVector<Value> arguments{scores, now.key, now.limit};
  llvm::append_range(arguments, state);
  cloner.map(walk.getUpdate(), arguments);
  return cloner.body(walk.getUpdate(), [&](Operation *op) {
    auto of = [&](Value v) { return cloner.slice(v, walk.getUpdate()); };
    if (op == x.values)
      return true;
    if (op == x.softmax) {
      Value sum = of(x.softmax.getOldSum());
      auto step = SoftmaxOp::create(
          p.b,
          TypeRange{x.softmax.getProbabilities().getType(),
                    x.softmax.getReference().getType(), sum.getType(),
                    x.softmax.getOutput().getType()},
          of(x.softmax.getScores()), x.softmax.getScaleAttr(),
          of(x.softmax.getOldReference()), sum, of(x.softmax.getOldOutput()),
          /*speculative=*/UnitAttr(), x.softmax.getSettledAttr());
      cloner.mapping.map(x.softmax->getResults(), step.getResults());
      return true;
    }
    if (op == x.sums) {
      Value sum = of(x.sums.getOldSum());
      auto step = SoftmaxSumsOp::create(
          p.b,
          TypeRange{x.sums.getSums().getType(), x.sums.getReference().getType(),
                    sum.getType()},
          of(x.sums.getScores()), x.sums.getColumnsAttr(),
          x.sums.getScaleAttr(), of(x.sums.getOldReference()), sum,
          p.b.getUnitAttr());
      cloner.mapping.map(x.sums->getResults(), step.getResults());
      return true;
    }
    if (auto target = dyn_cast<PutOp>(op)) {
      put(target, walk.getUpdate(), cloner);
      return true;
    }
    if (op != x.products)
      return false;
    WaitOp::create(p.b, 1);
    BarrierOp::create(p.b);
    cloner.mapping.map(x.products.getResult(),
                       MmaOp::create(p.b, x.products.getResult().getType(),
                                     of(x.products.getA()), values, p.i32(0),
                                     of(x.products.getAcc()), /*by_rows=*/true,
                                     /*atom=*/{})
                           .getResult());
    BarrierOp::create(p.b);
    return true;
  });
}

/// unitile.put as unitile.store, which is by address.
void PipelinedWalk::put(PutOp op, Region &region, RegionCloner &cloner) {
  auto of = [&](Value v) { return cloner.slice(v, region); };
  const View &view = views.of(op.getTarget());
  Value matrix = views.matrix(p, view, of(op.getBatch()), of(op.getHead()));
  bool isVector = view.type.getRank() == 3;
  StoreOp::create(p.b, of(op.getValue()), matrix, of(op.getRow()),
                  of(op.getLimit()),
                  isVector ? p.i64(int64_t(1)) : view.rowStride(),
                  isVector ? IntegerAttr()
                           : p.b.getI64IntegerAttr(view.type.getDimSize(3)));
}

void PipelinedWalk::finish(ValueRange state) {
  SmallVector<Value> whole(state);
  whole[x.sum] =
      ReduceOp::create(p.b, Combine::Add, state[x.sum],
                       p.fill(0.0, walk.getInits()[x.sum].getType()));
  RegionCloner cloner(p);
  cloner.map(walk.getFinish(), whole);
  cloner.body(walk.getFinish(), [&](Operation *op) {
    auto target = dyn_cast<PutOp>(op);
    if (target)
      put(target, walk.getFinish(), cloner);
    return static_cast<bool>(target);
  });
}

void PipelinedWalk::loadQueries() {
  TileType q = x.queries.getTile().getType();
  if (holdsQueries(q))
    queries = LoadOp::create(
        p.b, p.fragment(q.getRows(), q.getColumns(), q.getElementType()),
        queryTile, p.i32(0));
}

/// A row that selects nothing has no first tile to load: no row of it is read.
KeyTile PipelinedWalk::firstTile() {
  Value zero = p.i32(0);
  auto first = p.ifElse(
      p.less(zero, walk.getCount()),
      [&]() -> SmallVector<Value> {
        KeyTile tile = keyTile(zero);
        return {tile.key, tile.limit};
      },
      [&]() -> SmallVector<Value> { return {zero, zero}; });
  return {first[0], first[1]};
}

void PipelinedWalk::lower() {
  if (x.hasValues())
    weigh();
  else
    count();
}

/// A walk without values: the next keys arrive while this tile's are multiplied
/// and its exponentials taken.
void PipelinedWalk::count() {
  Value zero = p.i32(0), count = walk.getCount();
  queryTile = tile(x.queries), keys = tile(x.keys, /*stages=*/2);
  // A loop around the walk may have left threads at the tiles of its last turn,
  // unless they have met since.
  if (isa<scf::ForOp>(walk->getParentOp()) &&
      walk.getFinish().getOps<scf::ParallelOp>().empty())
    BarrierOp::create(p.b);
  copy(x.queries, nullptr, {}, queryTile);
  KeyTile first = firstTile();
  copy(x.keys, &walk.getScore(), first, keys, zero);
  CommitOp::create(p.b);
  WaitOp::create(p.b, 0);
  BarrierOp::create(p.b);
  loadQueries();
  SmallVector<Value> state(walk.getInits());
  state[x.sum] = p.fill(0.0, p.fragment(x.rows(), 8, p.b.getF32Type()));
  state = p.forEach(zero, count, 1, state, [&](Value n, ValueRange carried) {
    Value stage = p.rem(n, 2);
    WaitOp::create(p.b, 0);
    BarrierOp::create(p.b);
    // Behind the last tile, the last again.
    KeyTile next = keyTile(p.min(p.add(n, 1), p.sub(count, 1)));
    copy(x.keys, &walk.getScore(), next, keys, p.sub(p.i32(1), stage));
    CommitOp::create(p.b);
    KeyTile now = keyTile(n);
    Value s = maskedScores(scores(now, stage), now);
    return update(s, now, carried);
  });
  // No copy may be in flight when the CTA ends.
  WaitOp::create(p.b, 0);
  finish(state);
}

/// Attention's walk.
void PipelinedWalk::weigh() {
  Value zero = p.i32(0), count = walk.getCount();
  queryTile = tile(x.queries), keys = tile(x.keys), values = tile(x.values);
  copy(x.queries, nullptr, {}, queryTile);
  KeyTile first = firstTile();
  copy(x.keys, &walk.getScore(), first, keys);
  CommitOp::create(p.b);
  WaitOp::create(p.b, 0);
  BarrierOp::create(p.b);
  loadQueries();
  SmallVector<Value> state(walk.getInits());
  state[x.sum] = p.fill(0.0, p.fragment(x.rows(), 8, p.b.getF32Type()));
  // Where all tiles end alike, the end is not carried.
  Value limit =
      cast<YieldOp>(walk.getBlock().front().getTerminator()).getOperand(1);
  bool alike = !walk.getBlock().isAncestor(limit.getParentRegion());
  state.push_back(first.key);
  if (!alike)
    state.push_back(first.limit);
  size_t size = walk.getInits().size();
  state = p.forEach(zero, count, 1, state, [&](Value n, ValueRange carried) {
    KeyTile now{carried[size], alike ? limit : carried[size + 1]};
    copy(x.values, &walk.getUpdate(), now, values);
    CommitOp::create(p.b);
    WaitOp::create(p.b, 1);
    BarrierOp::create(p.b);
    Value s = scores(now, zero);
    BarrierOp::create(p.b);
    // Behind the last tile, the last again.
    KeyTile next = keyTile(p.min(p.add(n, 1), p.sub(count, 1)));
    copy(x.keys, &walk.getScore(), next, keys);
    CommitOp::create(p.b);
    s = maskedScores(s, now);
    SmallVector<Value> updated = update(s, now, carried.take_front(size));
    updated.push_back(next.key);
    if (!alike)
      updated.push_back(next.limit);
    return updated;
  });
  // No copy may be in flight when the CTA ends.
  WaitOp::create(p.b, 0);
  finish(ValueRange(state).take_front(size));
}

namespace {
struct Pipeline : unisparse::impl::UniTilePipelineBase<Pipeline> {
  void runOnOperation() override {
    auto pages = pagesScheduledBy(
        getOperation(), [](gpu::GPUFuncOp kernel, Attribute schedule) {
          return isa<TilesAttr>(schedule) && hasWalk(kernel);
        });
    for (KernelViews &page : pages)
      if (failed(lower(page)))
        return signalPassFailure();
  }

  LogicalResult lower(KernelViews &page) {
    if (failed(verifyPlace(page.kernel)) || failed(verifyMemory(page.kernel)))
      return failure();
    WalkResult left = page.kernel.walk([](WorkerOp worker) {
      worker.emitOpError("expected a loop over items by now; run "
                         "unitile-persist first");
      return WalkResult::interrupt();
    });
    if (left.wasInterrupted())
      return failure();
    SmallVector<WalkOp> walks;
    page.kernel.walk([&](WalkOp walk) { walks.push_back(walk); });
    int64_t rows = 0;
    for (WalkOp walk : walks) {
      FailureOr<WalkParts> parts = WalkParts::of(walk);
      if (failed(parts))
        return failure();
      PipelinedWalk pipelined(page, *parts);
      pipelined.lower();
      rows = parts->rows();
      FetchOp queries = parts->queries;
      walk->erase();
      if (queries->use_empty())
        queries->erase();
    }
    distributeLoops(page, 2 * rows);
    if (failed(page.lowerAccesses()) || failed(page.finish()))
      return failure();
    setLaunch(page, 2 * rows, sharedBytesOf(page.kernel));
    return success();
  }

  /// What the page has written is there when a parallel loop begins.
  void distributeLoops(KernelViews &page, int64_t threads) {
    SmallVector<scf::ParallelOp> loops;
    page.kernel.walk([&](scf::ParallelOp loop) { loops.push_back(loop); });
    for (scf::ParallelOp loop : loops) {
      PageBuilder p(loop.getLoc(), OpBuilder(loop));
      BarrierOp::create(p.b);
      distributeOver(loop, p.threadId(), threads);
    }
  }

  /// A warp for 16 rows of queries. One CTA an SM is enough to ask for: left to
  /// itself, ptxas would spill to fit more.
  void setLaunch(KernelViews &page, int64_t threads, int64_t bytes) {
    Builder b(&getContext());
    page.kernel.setKnownBlockSize(
        ArrayRef<int32_t>{static_cast<int32_t>(threads), 1, 1});
    page.kernel->setAttr("nvvm.minctasm", b.getI32IntegerAttr(1));
    for (gpu::LaunchFuncOp launch : page.launches) {
      PageBuilder p(launch.getLoc(), OpBuilder(launch));
      launch.getBlockSizeXMutable().assign(
          arith::ConstantIndexOp::create(p.b, threads));
      launch.getDynamicSharedMemorySizeMutable().assign(p.i32(bytes));
    }
  }
};
} // namespace
