// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A page's data-parallel loops, one iteration after another.
#include "ParallelLoops.h"
#include "mlir/IR/IRMapping.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEPARALLELTOFOR
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace unisparse;
using namespace unisparse::unitile;

static void lower(ParallelLoop &loop) {
  PageBuilder p(loop.op.getLoc(), OpBuilder(loop.op));
  SmallVector<Value> inits(loop.op.getInitVals());
  size_t sums = inits.size();
  inits.append(loop.ranks.size(), loop.ranks.empty() ? Value() : p.i32(0));
  auto body = [&](OpBuilder &b, Location loc, Value iv, ValueRange carried) {
    IRMapping mapping;
    mapping.map(loop.op.getInductionVars()[0], iv);
    SmallVector<Value> next(carried);
    for (Operation &op : loop.op.getBody()->without_terminator()) {
      auto rank = dyn_cast<RankOp>(op);
      if (!rank) {
        b.clone(op, mapping);
        continue;
      }
      size_t i = sums + loop.place(rank);
      Value yes = arith::ExtUIOp::create(
          b, loc, b.getI32Type(), mapping.lookupOrDefault(rank.getYes()));
      mapping.map(rank.getRank(), carried[i]);
      next[i] = arith::AddIOp::create(b, loc, carried[i], yes);
    }
    for (auto [i, value] : llvm::enumerate(loop.reduce.getOperands()))
      next[i] = loop.combine(b, i, carried[i], mapping.lookupOrDefault(value));
    scf::YieldOp::create(b, loc, next);
  };
  auto sequential = scf::ForOp::create(p.b, loop.lower(), loop.upper(),
                                       loop.op.getStep()[0], inits, body);
  loop.op.replaceAllUsesWith(sequential.getResults().take_front(sums));
  loop.op.erase();
}

namespace {
struct ParallelToFor
    : unisparse::impl::UniTileParallelToForBase<ParallelToFor> {
  void runOnOperation() override {
    FailureOr<SmallVector<ParallelLoop>> loops =
        parallelLoopsOf(getOperation(), /*all=*/false);
    if (failed(loops))
      return signalPassFailure();
    for (ParallelLoop &loop : *loops)
      lower(loop);
    foldLoneRanks(getOperation());
  }
};
} // namespace
