// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A grid without threads as a parallel loop on the host.
#include "PageRules.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILELAUNCHTOPARALLEL
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

static LogicalResult checkLaunch(gpu::LaunchFuncOp launch,
                                 gpu::GPUFuncOp kernel) {
  if (!kernel)
    return launch.emitOpError("expected a gpu.func as kernel");
  if (launch.getAsyncToken() || !launch.getAsyncDependencies().empty() ||
      launch.hasClusterSize())
    return launch.emitOpError("expected a launch without tokens and clusters");
  return verifyPlace(kernel);
}

/// Memory of a kernel's own is each point's, and ends with it; on the heap, as
/// branches may not be made in a scope of the stack's.
static void replaceOwn(memref::AllocaOp op) {
  OpBuilder b(op);
  MemRefType type = MemRefType::Builder(op.getType()).setMemorySpace({});
  op.replaceAllUsesWith(
      memref::AllocOp::create(b, op.getLoc(), type).getMemref());
  op.erase();
}

static void inlineKernel(gpu::LaunchFuncOp launch, gpu::GPUFuncOp kernel) {
  ImplicitLocOpBuilder b(launch.getLoc(), launch);
  gpu::KernelDim3 grid = launch.getGridSizeOperandValues();
  Value zero = arith::ConstantIndexOp::create(b, 0),
        one = arith::ConstantIndexOp::create(b, 1);
  // Neighbours along x are neighbours in time, as on a GPU.
  Value sizes[] = {grid.z, grid.y, grid.x};
  auto loop = scf::ParallelOp::create(b, ValueRange{zero, zero, zero}, sizes,
                                      ValueRange{one, one, one});
  auto along = [](gpu::Dimension dimension) {
    return 2 - static_cast<unsigned>(dimension);
  };
  b.setInsertionPointToStart(loop.getBody());
  IRMapping mapping;
  mapping.map(kernel.getBody().getArguments(), launch.getKernelOperands());
  for (Operation &op : kernel.getBody().front().without_terminator())
    b.clone(op, mapping);
  loop.walk([](memref::AllocaOp op) { replaceOwn(op); });
  loop.walk([&](Operation *op) {
    Value value;
    if (auto id = dyn_cast<gpu::BlockIdOp>(op))
      value = loop.getInductionVars()[along(id.getDimension())];
    if (auto dim = dyn_cast<gpu::GridDimOp>(op))
      value = sizes[along(dim.getDimension())];
    if (!value)
      return;
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
  });
  launch.erase();
}

/// Memory of the device is the host's.
static void replaceAllocation(gpu::AllocOp op) {
  OpBuilder b(op);
  auto alloc = memref::AllocOp::create(
      b, op.getLoc(), cast<MemRefType>(op.getMemref().getType()),
      op.getDynamicSizes(), op.getSymbolOperands(), IntegerAttr());
  op.getMemref().replaceAllUsesWith(alloc);
  op.erase();
}

namespace {
struct LaunchToParallel
    : unisparse::impl::UniTileLaunchToParallelBase<LaunchToParallel> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTableCollection symbols;
    SmallVector<gpu::LaunchFuncOp> launches;
    module.walk([&](gpu::LaunchFuncOp op) { launches.push_back(op); });
    for (gpu::LaunchFuncOp launch : launches) {
      auto kernel = symbols.lookupNearestSymbolFrom<gpu::GPUFuncOp>(
          launch, launch.getKernel());
      if (failed(checkLaunch(launch, kernel)))
        return signalPassFailure();
      inlineKernel(launch, kernel);
    }
    module.walk([](gpu::AllocOp op) {
      if (!op.getAsyncToken())
        replaceAllocation(op);
    });
    module.walk([](gpu::DeallocOp op) {
      if (op.getAsyncToken() || !op.getAsyncDependencies().empty())
        return;
      OpBuilder b(op);
      memref::DeallocOp::create(b, op.getLoc(), op.getMemref());
      op.erase();
    });
    // No launch is left, and nothing else calls a kernel.
    for (auto kernels :
         llvm::make_early_inc_range(module.getOps<gpu::GPUModuleOp>()))
      kernels.erase();
    module->removeAttr(gpu::GPUDialect::getContainerModuleAttrName());
  }
};
} // namespace
