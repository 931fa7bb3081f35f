// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Threads for a page's data-parallel loops: strides, shuffles and ballots.
#include "KernelViews.h"
#include "LaneLoops.h"
#include "PageRules.h"
#include "ScratchBarriers.h"
#include "SharedLayout.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEDISTRIBUTETHREADS
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

class Distribution {
public:
  Distribution(KernelViews &page, ThreadsAttr how)
      : page(page), how(how),
        p(page.kernel.getLoc(),
          OpBuilder::atBlockBegin(&page.kernel.getBody().front())) {}

  LogicalResult run();

private:
  int64_t threads() const {
    return llvm::alignTo(how.getLanes() * how.getItems(), kWarp);
  }
  LogicalResult check();
  void placeItems();
  void guardStores();
  void setLaunch();

  KernelViews &page;
  ThreadsAttr how;
  PageBuilder p;
  SmallVector<ParallelLoop> loops;
  Value lane; ///< i32.
};

} // namespace

/// Lanes of a warp exchange values; of other groups, nobody does. A CTA's
/// threads wait for each other where they use memory of the kernel's own;
/// nobody waits for what another writes elsewhere.
LogicalResult Distribution::check() {
  FailureOr<SmallVector<ParallelLoop>> found =
      parallelLoopsOf(page.kernel, /*all=*/true);
  if (failed(found) || failed(verifyPlace(page.kernel)) ||
      failed(verifyMemory(page.kernel, /*scratch=*/true)))
    return failure();
  loops = *found;
  for (ParallelLoop &loop : loops) {
    if (how.getLanes() != kWarp &&
        (loop.op.getNumResults() || !loop.ranks.empty()))
      return loop.op.emitOpError("expected ")
             << kWarp << " lanes where iterations exchange values, got "
             << how.getLanes();
    for (unsigned i = 0; i < loop.op.getNumResults(); ++i)
      if (!loop.combiner(i) || !arith::getNeutralElement(loop.combiner(i)))
        return loop.op.emitOpError("expected reduction #")
               << i << " to be one op of arith with a neutral element";
    bool ranked = false;
    for (Operation &op : loop.op.getBody()->without_terminator()) {
      if (ranked && isa<memref::LoadOp, vector::LoadOp>(op))
        return op.emitOpError("expected loads in front of unitile.rank, which "
                              "is no place of lanes without an iteration");
      if (!loop.ranks.empty() && op.getNumResults() && mayWrite(&op))
        return op.emitOpError(
            "expected what writes beside a unitile.rank to give nothing");
      ranked |= isa<RankOp>(op);
    }
  }
  SmallVector<memref::AllocaOp> scratch = scratchOf(page.kernel);
  if (!scratch.empty() && (how.getItems() != 1 || how.getLanes() % kWarp))
    return scratch.front()->emitOpError("expected a schedule of one item of "
                                        "whole warps for a kernel with memory "
                                        "of its own, got ")
           << how;
  llvm::DenseSet<Value> written;
  page.kernel.walk([&](Operation *op) { written.insert(writtenBy(op)); });
  WalkResult result = page.kernel.walk([&](Operation *op) {
    Value memref = readBy(op);
    if (!memref || isScratch(memref) || !written.contains(memref))
      return WalkResult::advance();
    op->emitOpError("expected a page that reads no buffer it writes, as "
                    "threads do not wait for each other");
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

/// The point of the grid that this thread works on, and which of its lanes it
/// is. A CTA has several along x; behind the last, and in lanes that make no
/// whole item, threads have nothing to do.
void Distribution::placeItems() {
  Block &entry = page.kernel.getBody().front();
  Operation *first = &entry.front();
  int64_t lanes = how.getLanes(), items = how.getItems();
  Value id = p.threadId();
  lane = id;
  if (items == 1 && threads() == lanes)
    return;
  Value count = page.take(
      p.b.getI32Type(), [](PageBuilder &host, gpu::LaunchFuncOp launch, Value) {
        return host.b.createOrFold<arith::IndexCastOp>(host.b.getI32Type(),
                                                       launch.getGridSizeX());
      });
  lane = p.rem(id, lanes);
  Value item =
      p.add(p.mul(p.blockId(gpu::Dimension::x), items), p.div(id, lanes));
  Value works = p.less(item, count);
  if (lanes * items != threads())
    works = p.both(works, p.less(id, p.i32(lanes * items)));
  auto inside = scf::IfOp::create(p.b, works, /*withElseRegion=*/false);
  inside.thenBlock()->getOperations().splice(
      inside.thenBlock()->begin(), entry.getOperations(), first->getIterator(),
      entry.getTerminator()->getIterator());
  p.b.setInsertionPointToStart(inside.thenBlock());
  Value place = p.index(item), end = p.index(count);
  inside.walk([&](gpu::BlockIdOp op) {
    if (op.getDimension() == gpu::Dimension::x)
      op.replaceAllUsesWith(place);
  });
  inside.walk([&](gpu::GridDimOp op) {
    if (op.getDimension() == gpu::Dimension::x)
      op.replaceAllUsesWith(end);
  });
}

/// What stands outside of the loops is written once.
void Distribution::guardStores() {
  SmallVector<Operation *> stores;
  page.kernel.walk([&](Operation *op) {
    if (writtenBy(op) && !op->getParentOfType<scf::ParallelOp>())
      stores.push_back(op);
  });
  for (Operation *store : stores) {
    p.b.setInsertionPoint(store);
    Value is = p.compare(arith::CmpIPredicate::eq, lane, p.i32(0));
    auto once = scf::IfOp::create(p.b, is, /*withElseRegion=*/false);
    store->moveBefore(once.thenBlock()->getTerminator());
  }
}

void Distribution::setLaunch() {
  page.kernel.setKnownBlockSize(
      ArrayRef<int32_t>{static_cast<int32_t>(threads()), 1, 1});
  if (how.getCtas())
    page.kernel->setAttr("nvvm.minctasm", p.b.getI32IntegerAttr(how.getCtas()));
  page.kernel->removeAttr(kScheduleAttr);
  int64_t shared = sharedBytesOf(page.kernel);
  for (gpu::LaunchFuncOp launch : page.launches) {
    PageBuilder host(launch.getLoc(), OpBuilder(launch));
    auto index = [&](int64_t n) {
      return arith::ConstantIndexOp::create(host.b, n);
    };
    launch.getGridSizeXMutable().assign(host.b.createOrFold<arith::CeilDivUIOp>(
        launch.getGridSizeX(), index(how.getItems())));
    launch.getBlockSizeXMutable().assign(index(threads()));
    if (shared)
      launch.getDynamicSharedMemorySizeMutable().assign(host.i32(shared));
    launch->removeAttr(kScheduleAttr);
  }
}

LogicalResult Distribution::run() {
  if (failed(check()))
    return failure();
  placeItems();
  if (failed(insertScratchBarriers(page.kernel)))
    return failure();
  guardStores();
  for (ParallelLoop &loop : loops)
    lowerToLanes(loop, lane, how.getLanes());
  foldLoneRanks(page.kernel);
  // Shuffles move 32 bits.
  RewritePatternSet patterns(page.kernel.getContext());
  populateGpuShufflePatterns(patterns);
  walkAndApplyPatterns(page.kernel, std::move(patterns));
  if (failed(page.lowerAccesses()) || failed(page.finish()))
    return failure();
  setLaunch();
  return success();
}

namespace {
struct DistributeThreads
    : unisparse::impl::UniTileDistributeThreadsBase<DistributeThreads> {
  void runOnOperation() override {
    auto pages = pagesScheduledBy(getOperation(),
                                  [](gpu::GPUFuncOp, Attribute schedule) {
                                    return isa<ThreadsAttr>(schedule);
                                  });
    for (KernelViews &page : pages) {
      auto how = cast<ThreadsAttr>(page.kernel->getAttr(kScheduleAttr));
      if (failed(Distribution(page, how).run()))
        return signalPassFailure();
    }
  }
};
} // namespace
