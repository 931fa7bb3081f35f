// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Utils/Utils.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEUNROLLLOOPS
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

uint64_t stagesIn(scf::ForOp loop) {
  uint64_t stages = 0;
  loop.walk([&](Operation *op) {
    stages += isa_and_nonnull<UniSparseDialect>(op->getDialect());
  });
  return stages;
}

struct UnrollLoops : unisparse::impl::UniSparseUnrollLoopsBase<UnrollLoops> {
  using Base::Base;

  void runOnOperation() override {
    // Innermost first: what an outer loop repeats is straight by then.
    SmallVector<scf::ForOp> loops;
    getOperation()->walk([&](scf::ForOp loop) { loops.push_back(loop); });
    for (scf::ForOp loop : loops) {
      std::optional<APInt> trips = loop.getStaticTripCount();
      uint64_t stages = stagesIn(loop);
      if (!trips || !stages || trips->ugt(most / stages))
        continue;
      if (failed(loopUnrollFull(loop))) {
        loop.emitOpError("expected a loop that can be unrolled, got one that "
                         "upstream's unrolling does not take");
        return signalPassFailure();
      }
    }
  }
};

} // namespace
