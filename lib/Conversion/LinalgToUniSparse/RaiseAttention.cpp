// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The pass alone: Match says what is attention, Build and NamedAttention make
// it the op.
#include "Build.h"
#include "NamedAttention.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"
#include "unisparse/Conversion/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSERAISEATTENTION
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;
using namespace unisparse::raise;

namespace {
/// The ops that are still to be looked at and those that the present attempt
/// has made. An op that is erased leaves both at once: its memory may be
/// another op's in the next moment, so a list of what is gone would soon name
/// living ones.
struct Changes : RewriterBase::Listener {
  SmallPtrSet<Operation *, 16> pending;
  SetVector<Operation *> made;
  void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override {
    made.insert(op);
  }
  void notifyOperationErased(Operation *op) override {
    pending.erase(op);
    made.remove(op);
  }
};

struct RaiseAttention
    : unisparse::impl::UniSparseRaiseAttentionBase<RaiseAttention> {
  void runOnOperation() override {
    Operation *top = getOperation();
    Changes changes;
    IRRewriter rewriter(&getContext(), &changes);
    SmallVector<Operation *> ops;
    bool hasAttention = false;
    top->walk([&](Operation *op) {
      if (isa<linalg::LinalgOp>(op) || isNamedAttention(op))
        ops.push_back(op);
      hasAttention |= isa<BlockSparseAttentionOp, AttentionOp>(op);
    });
    int64_t refused = 0;
    // An attention may end with an op behind the one that it was found by, and
    // takes that along.
    changes.pending.insert(ops.begin(), ops.end());
    for (Operation *op : ops) {
      if (!changes.pending.erase(op))
        continue;
      std::string why;
      changes.made.clear();
      if (raise(rewriter, op, why)) {
        hasAttention = true;
        continue;
      }
      // What was made before something turned out not to fit.
      while (!changes.made.empty())
        rewriter.eraseOp(changes.made.back());
      if (!why.empty()) {
        emitRemark(op->getLoc()) << "attention stays as it is: " << why;
        ++refused;
      }
    }
    // What the attentions' logits and probabilities were computed by.
    (void)runRegionDCE(rewriter, top->getRegions());
    if (!hasAttention && refused == 0)
      emitRemark(top->getLoc())
          << "expected dense attention as linalg on tensors, found none";
  }

  /// True where the op was attention; says `why` it seemed so and was not.
  bool raise(IRRewriter &rewriter, Operation *op, std::string &why) {
    if (isNamedAttention(op))
      return succeeded(raiseNamedAttention(rewriter, op, why));
    Tracer tracer;
    MatchResult match = matchAttention(tracer, cast<linalg::LinalgOp>(op));
    why = match.why;
    return match.attention &&
           succeeded(buildAttention(rewriter, tracer, *match.attention, why));
  }
};
} // namespace
