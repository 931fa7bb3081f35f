// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A walk as it reads: one loop over its tiles, one thing after another.
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEWALKTOFOR
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace unisparse;
using namespace unisparse::unitile;

/// Moves a region's ops to where the builder is; what they yield.
static SmallVector<Value> inlineRegion(RewriterBase &rewriter, Region &region,
                                       ValueRange arguments) {
  Block &body = region.front();
  auto yield = cast<YieldOp>(body.getTerminator());
  SmallVector<Value> values(yield.getValues());
  // Arguments that are yielded as they are.
  for (Value &value : values)
    if (auto argument = dyn_cast<BlockArgument>(value))
      if (argument.getOwner() == &body)
        value = arguments[argument.getArgNumber()];
  rewriter.eraseOp(yield);
  rewriter.inlineBlockBefore(&body, rewriter.getInsertionBlock(),
                             rewriter.getInsertionPoint(), arguments);
  return values;
}

static void lower(RewriterBase &rewriter, WalkOp walk, bool descending) {
  rewriter.setInsertionPoint(walk);
  PageBuilder p(walk.getLoc(), rewriter);
  Value count = walk.getCount();
  Value last = descending ? p.sub(count, 1) : Value();
  auto loop =
      scf::ForOp::create(p.b, p.i32(0), count, p.i32(1), walk.getInits());
  rewriter.setInsertionPointToStart(loop.getBody());
  Value n = loop.getInductionVar();
  if (descending)
    n = arith::SubIOp::create(rewriter, walk.getLoc(), last, n);
  SmallVector<Value> tile = inlineRegion(rewriter, walk.getBlock(), n);
  SmallVector<Value> scores = inlineRegion(rewriter, walk.getScore(), tile);
  scores.append(tile);
  scores = inlineRegion(rewriter, walk.getMask(), scores);
  scores.append(tile);
  llvm::append_range(scores, loop.getRegionIterArgs());
  SmallVector<Value> state = inlineRegion(rewriter, walk.getUpdate(), scores);
  // A loop that carries nothing has its end already.
  if (!state.empty())
    scf::YieldOp::create(rewriter, walk.getLoc(), state);
  rewriter.setInsertionPoint(walk);
  inlineRegion(rewriter, walk.getFinish(), loop.getResults());
  rewriter.eraseOp(walk);
}

namespace {
struct WalkToFor : unisparse::impl::UniTileWalkToForBase<WalkToFor> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<WalkOp> walks;
    getOperation()->walk([&](WalkOp walk) { walks.push_back(walk); });
    IRRewriter rewriter(&getContext());
    for (WalkOp walk : walks)
      lower(rewriter, walk, descending);
  }
};
} // namespace
