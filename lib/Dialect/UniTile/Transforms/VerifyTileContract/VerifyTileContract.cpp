// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Rules.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEVERIFYTILECONTRACT
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// [U30] Nothing of a page is left that a schedule expands.
LogicalResult checkScheduled(gpu::GPUFuncOp kernel) {
  WalkResult result = kernel.walk([](Operation *op) {
    if (isa<WalkOp, FetchOp, DotOp>(op)) {
      op->emitOpError("[U30] expected to have its copies and steps by now; run "
                      "unitile-pipeline or unitile-specialise-warps");
      return WalkResult::interrupt();
    }
    if (!isa<RankOp, scf::ParallelOp>(op))
      return WalkResult::advance();
    op->emitOpError("[U30] expected to have its threads by now; run "
                    "unitile-distribute-threads");
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

struct VerifyTileContract
    : unisparse::impl::UniTileVerifyTileContractBase<VerifyTileContract> {
  using Base::Base;

  void runOnOperation() override {
    bool wrong = false;
    for (auto kernel : getOperation().getOps<gpu::GPUFuncOp>())
      wrong |= failed(checkScheduled(kernel)) ||
               (!hopper && failed(checkPortable(kernel))) ||
               failed(checkCluster(kernel)) || failed(checkTogether(kernel)) ||
               failed(checkProducts(kernel)) || failed(checkCopies(kernel));
    if (wrong)
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};

} // namespace
