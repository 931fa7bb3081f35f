// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "KernelLaunches.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEOVERLAPLAUNCHES
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

/// Whether the stream goes on behind an op as it was: host code that computes
/// sizes and addresses, or makes room.
static bool enqueuesNothing(Operation *op) {
  return isMemoryEffectFree(op) || isa<gpu::AllocOp>(op) ||
         op->getName().getStringRef() == "cf.assert";
}

namespace {
struct OverlapLaunches
    : unisparse::impl::UniTileOverlapLaunchesBase<OverlapLaunches> {
  void runOnOperation() override {
    KernelLaunches launches(getOperation());
    // Kernels that others are launched behind, and those that wait for others.
    llvm::SetVector<Operation *> leaders, followers;
    getOperation().walk([&](Block *block) {
      gpu::LaunchFuncOp before;
      for (Operation &op : *block) {
        auto launch = dyn_cast<gpu::LaunchFuncOp>(op);
        if (!launch) {
          if (!enqueuesNothing(&op))
            before = {};
          continue;
        }
        gpu::GPUFuncOp leader = before ? launches.kernelOf(before) : nullptr,
                       follower = launches.kernelOf(launch);
        bool synchronous = !launch.getAsyncToken() &&
                           launch.getAsyncDependencies().empty() &&
                           !launch.getAsyncObject();
        if (leader && follower && synchronous) {
          launch->setAttr(unitile::kOverlapsAttr,
                          UnitAttr::get(&getContext()));
          leaders.insert(leader);
          followers.insert(follower);
        }
        before = synchronous ? launch : gpu::LaunchFuncOp();
      }
    });
    auto control = [](Operation *kernel, NVVM::GridDepActionKind kind) {
      auto function = cast<gpu::GPUFuncOp>(kernel);
      OpBuilder b = OpBuilder::atBlockBegin(&function.getBody().front());
      NVVM::GriddepcontrolOp::create(b, function.getLoc(), kind);
    };
    // All CTAs of a kernel have begun before the next one's may: nobody waits
    // for room that a waiting one has.
    for (Operation *kernel : followers)
      control(kernel, NVVM::GridDepActionKind::wait);
    for (Operation *kernel : leaders)
      control(kernel, NVVM::GridDepActionKind::launch_dependents);
  }
};
} // namespace
