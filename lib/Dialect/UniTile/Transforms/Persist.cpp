// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Persistent CTAs: as many as have memory of their own, one item of the page's
// grid after the other.
#include "Workers.h"
#include "mlir/IR/IRMapping.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEPERSIST
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace unisparse;
using namespace unisparse::unitile;

/// An i32 argument that is a size of the launch's grid.
static Value takeGrid(KernelViews &page, gpu::Dimension dimension) {
  Type type = IntegerType::get(page.kernel.getContext(), 32);
  return page.take(type, [&](PageBuilder &p, gpu::LaunchFuncOp launch, Value) {
    gpu::KernelDim3 grid = launch.getGridSizeOperandValues();
    Value size = dimension == gpu::Dimension::x   ? grid.x
                 : dimension == gpu::Dimension::y ? grid.y
                                                  : grid.z;
    return p.b.createOrFold<arith::IndexCastOp>(p.b.getI32Type(), size);
  });
}

/// The body of the page in a loop over items: neighbours along x come one after
/// the other.
static void loopOverItems(KernelViews &page) {
  Block &entry = page.kernel.getBody().front();
  SmallVector<Operation *> body;
  for (Operation &op : entry.without_terminator())
    body.push_back(&op);
  Value gridX = takeGrid(page, gpu::Dimension::x),
        gridY = takeGrid(page, gpu::Dimension::y),
        gridZ = takeGrid(page, gpu::Dimension::z);
  PageBuilder p(page.kernel.getLoc(), OpBuilder(entry.getTerminator()));
  ImplicitLocOpBuilder &b = p.b;
  Value own = p.blockId(gpu::Dimension::x);
  Value ctas = arith::IndexCastOp::create(
      b, b.getI32Type(), gpu::GridDimOp::create(b, gpu::Dimension::x));
  Value items = p.mul(p.mul(gridX, gridY), gridZ);
  auto loop = scf::ForOp::create(b, own, items, ctas);
  b.setInsertionPointToStart(loop.getBody());
  auto div = [&](Value x, Value y) -> Value {
    return arith::DivUIOp::create(b, x, y);
  };
  Value item = loop.getInductionVar(), yz = div(item, gridX);
  Value x = p.sub(item, p.mul(yz, gridX)), z = div(yz, gridY);
  Value place[] = {x, p.sub(yz, p.mul(z, gridY)), z};
  for (Value &i : place)
    i = arith::IndexCastOp::create(b, b.getIndexType(), i);
  for (Operation *op : body)
    op->moveBefore(loop.getBody()->getTerminator());
  loop.walk([&](Operation *op) {
    if (auto id = dyn_cast<gpu::BlockIdOp>(op)) {
      id.replaceAllUsesWith(place[static_cast<unsigned>(id.getDimension())]);
      id->erase();
    } else if (auto worker = dyn_cast<WorkerOp>(op)) {
      worker.replaceAllUsesWith(own);
      worker->erase();
    }
  });
}

namespace {
struct Persist : unisparse::impl::UniTilePersistBase<Persist> {
  using Base::Base;

  void runOnOperation() override {
    auto pages = pagesScheduledBy(
        getOperation(), [&](gpu::GPUFuncOp kernel, Attribute schedule) {
          return hasWalk(kernel) && (specialised || isa<TilesAttr>(schedule));
        });
    for (KernelViews &page : pages)
      if (failed(lower(page)))
        return signalPassFailure();
  }

  LogicalResult lower(KernelViews &page) {
    FailureOr<BlockArgument> memory = workersMemory(page.kernel);
    if (failed(memory))
      return failure();
    if (!*memory)
      return success();
    loopOverItems(page);
    page.kernel.setFunctionType(FunctionType::get(
        page.kernel.getContext(),
        page.kernel.getBody().front().getArgumentTypes(), TypeRange{}));
    for (gpu::LaunchFuncOp launch : page.launches) {
      PageBuilder p(launch.getLoc(), OpBuilder(launch));
      Value one = arith::ConstantIndexOp::create(p.b, 1);
      launch.getGridSizeXMutable().assign(partsOf(p, launch, *memory));
      launch.getGridSizeYMutable().assign(one);
      launch.getGridSizeZMutable().assign(one);
    }
    return success();
  }
};
} // namespace
