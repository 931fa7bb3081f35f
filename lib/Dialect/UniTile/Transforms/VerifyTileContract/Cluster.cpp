// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What not every chip has, clusters above all.
#include "Rules.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace unisparse::unitile;

/// The least size of a cluster with every block that the op reaches; 0: it
/// stays in its own.
static int64_t clusterOf(Operation *op) {
  return llvm::TypeSwitch<Operation *, int64_t>(op)
      .Case([](TensorCopyOp op) -> int64_t {
        return op.getCtas() ? llvm::Log2_32(*op.getCtas()) + 1 : 0;
      })
      .Case([](ArriveOp op) -> int64_t {
        return op.getBlock() ? *op.getBlock() + 1 : 0;
      })
      .Case<AwaitOp, BarrierOp>(
          [](auto op) -> int64_t { return op.getCluster(); })
      .Default([](Operation *) -> int64_t { return 0; });
}

static LogicalResult checkReach(gpu::GPUFuncOp kernel) { // [U19]
  std::optional<ArrayRef<int32_t>> size = kernel.getKnownClusterSize();
  int64_t cluster = size && !size->empty() ? (*size)[0] : 0;
  WalkResult result = kernel.walk([&](Operation *op) {
    if (auto copy = dyn_cast<TensorCopyOp>(op))
      if (copy.getAfterWrites() && !copy.getCtas()) {
        op->emitOpError("[U19] expected after_writes with ctas only");
        return WalkResult::interrupt();
      }
    int64_t needed = clusterOf(op);
    if (needed <= cluster)
      return WalkResult::advance();
    op->emitOpError("[U19] expected a kernel with a known_cluster_size of at "
                    "least ")
        << std::max<int64_t>(needed, 2) << ", got " << cluster;
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

static LogicalResult checkClusterBarriers(gpu::GPUFuncOp kernel) { // [U20]
  bool met = false;              // Since the latest unitile.barriers.
  Operation *reaching = nullptr; // Since the latest meeting.
  for (Operation &op : kernel.getBody().front()) {
    if (auto barrier = dyn_cast<BarrierOp>(op); barrier && barrier.getCluster())
      met = true, reaching = nullptr;
    else if (isa<BarriersOp>(op))
      met = false;
    WalkResult result = op.walk([&](Operation *inner) {
      if (isa<BarrierOp>(inner)) {
        if (inner == &op || !clusterOf(inner))
          return WalkResult::advance();
        inner->emitOpError("[U20] expected a barrier of a cluster in the "
                           "kernel's own block");
        return WalkResult::interrupt();
      }
      if (!clusterOf(inner))
        return WalkResult::advance();
      reaching = inner;
      if (met)
        return WalkResult::advance();
      inner->emitOpError("[U20] reaches other CTAs, whose barriers "
                         "may not have started; put a unitile.barrier cluster "
                         "behind the kernel's barriers");
      return WalkResult::interrupt();
    });
    if (result.wasInterrupted())
      return failure();
  }
  if (reaching)
    return reaching->emitOpError(
        "[U20] reaches other CTAs, which may have ended; put a "
        "unitile.barrier cluster before the kernel's end");
  return success();
}

LogicalResult unisparse::unitile::checkCluster(gpu::GPUFuncOp kernel) {
  return success(succeeded(checkReach(kernel)) &&
                 succeeded(checkClusterBarriers(kernel)));
}

// [U18]
LogicalResult unisparse::unitile::checkPortable(gpu::GPUFuncOp kernel) {
  WalkResult result = kernel.walk([](Operation *op) {
    if (!op->hasTrait<NeedsHopper>() && !clusterOf(op))
      return WalkResult::advance();
    op->emitOpError("[U18] expected a chip with wgmma and TMA, as "
                    "sm_90a");
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}
