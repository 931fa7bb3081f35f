// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/SCF/Utils/Utils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEUNROLLBOUNDEDLOOPS
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace unisparse;

namespace {

/// A loop to min(most, other).
struct Bounded {
  scf::ForOp loop;
  Value other;
  Value most; ///< A constant.
  int64_t trips;
};

std::optional<Bounded> boundedBy(scf::ForOp loop) {
  auto min = loop.getUpperBound().getDefiningOp<arith::MinSIOp>();
  APInt lower, step, most;
  if (!min || !matchPattern(loop.getLowerBound(), m_ConstantInt(&lower)) ||
      !matchPattern(loop.getStep(), m_ConstantInt(&step)))
    return std::nullopt;
  for (auto [constant, other] :
       {std::pair(min.getLhs(), min.getRhs()), {min.getRhs(), min.getLhs()}}) {
    if (!matchPattern(constant, m_ConstantInt(&most)) || most.sle(lower))
      continue;
    int64_t trips =
        llvm::divideCeil((most - lower).getZExtValue(), step.getZExtValue());
    return Bounded{loop, other, constant, trips};
  }
  return std::nullopt;
}

bool isInnermost(scf::ForOp loop) {
  auto found = [](LoopLikeOpInterface) { return WalkResult::interrupt(); };
  return !loop.getBody()->walk(found).wasInterrupted();
}

struct UnrollBoundedLoops
    : unisparse::impl::UniTileUnrollBoundedLoopsBase<UnrollBoundedLoops> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<Bounded> loops;
    getOperation()->walk([&](scf::ForOp loop) {
      std::optional<Bounded> bounded =
          isInnermost(loop) ? boundedBy(loop) : std::nullopt;
      if (bounded)
        loops.push_back(*bounded);
    });
    for (Bounded &bounded : loops)
      if (failed(unroll(bounded)))
        return signalPassFailure();
  }

  LogicalResult unroll(Bounded bounded) {
    scf::ForOp loop = bounded.loop;
    PageBuilder p(loop.getLoc(), OpBuilder(loop));
    Value whole =
        p.compare(arith::CmpIPredicate::sge, bounded.other, bounded.most);
    scf::ForOp full;
    auto copy = [&](Value end) -> SmallVector<Value> {
      full = cast<scf::ForOp>(p.b.clone(*loop));
      full.setUpperBound(end);
      return full.getResults();
    };
    scf::ForOp unrolled;
    SmallVector<Value> results = p.ifElse(
        whole,
        [&] {
          SmallVector<Value> results = copy(bounded.most);
          unrolled = full;
          return results;
        },
        [&] { return copy(bounded.other); });
    loop.replaceAllUsesWith(results);
    loop.erase();
    if (succeeded(loopUnrollByFactor(unrolled,
                                     std::min<int64_t>(bounded.trips, factor))))
      return success();
    return unrolled.emitOpError("expected a loop that can be unrolled");
  }
};
} // namespace
