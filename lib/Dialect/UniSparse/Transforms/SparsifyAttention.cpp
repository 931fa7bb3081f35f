// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"
#include "unisparse/Dialect/UniSparse/Transforms/Policy.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSESPARSIFYATTENTION
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {
struct SparsifyAttention
    : unisparse::impl::UniSparseSparsifyAttentionBase<SparsifyAttention> {
  using UniSparseSparsifyAttentionBase::UniSparseSparsifyAttentionBase;

  LogicalResult initialize(MLIRContext *context) override {
    auto parse = [&](StringRef option, auto parser, StringRef text,
                     auto &attr) -> LogicalResult {
      if constexpr (!std::is_same_v<decltype(attr), BlockAttr &>)
        if (text == measured::kName)
          return success(); // By what the attention is.
      std::string why;
      attr = parser(context, text, why);
      if (!attr)
        return emitError(UnknownLoc::get(context))
               << getArgument() << ": " << option << ": " << why;
      return success();
    };
    if (minLength < 0)
      return emitError(UnknownLoc::get(context))
             << getArgument() << ": expected min-length >= 0, got "
             << int64_t(minLength);
    options.agg = AggAttr::get(context, agg);
    options.share = ShareAttr::get(context, share);
    options.minLength = minLength;
    options.estimateWithRegion = BoolAttr::get(context, estimateWithRegion);
    return success(
        succeeded(parse("rule", parseRule, rule, options.rule)) &&
        succeeded(parse("block", parseBlock, block, options.block)) &&
        succeeded(parse("pooling", parsePooling, pooling, options.pooling)));
  }

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<BlockSparseAttentionOp> ops;
    bool hasOther = false;
    WalkResult walked = getOperation()->walk([&](Operation *op) {
      if (auto attend = dyn_cast<BlockSparseAttentionOp>(op);
          attend && !attend.getCounts())
        ops.push_back(attend);
      hasOther |= isa<AttentionOp, BlockSparseAttentionOp>(op);
      // A wrong policy is said even where nothing reads it.
      return isa<FunctionOpInterface>(op) && failed(policyOf(op))
                 ? WalkResult::interrupt()
                 : WalkResult::advance();
    });
    if (walked.wasInterrupted())
      return signalPassFailure();
    for (BlockSparseAttentionOp op : ops)
      if (failed(sparsify(rewriter, op)))
        return signalPassFailure();
    if (!hasOther)
      emitRemark(getOperation()->getLoc())
          << "expected unisparse.block_sparse_attention without a selection, "
             "found none; "
             "unisparse-raise-attention makes it of linalg";
  }

private:
  LogicalResult sparsify(IRRewriter &rewriter, BlockSparseAttentionOp op) {
    FailureOr<Policy> policy = policyOf(op);
    if (failed(policy))
      return failure();
    // Who asks it of this very attention is told where nothing modifies it.
    bool estimatesModified =
        policy->estimateWithRegion && policy->estimateWithRegion.getValue();
    for (Operation *around = op->getParentOp(); around;
         around = around->getParentOp())
      if (isa<FunctionOpInterface>(around)) {
        FailureOr<Policy> outer = policyOf(around);
        if (failed(outer))
          return failure();
        policy->fillFrom(*outer);
      }
    policy->fillFrom(options);
    if (!op.getModification().empty())
      estimatesModified = policy->estimateWithRegion.getValue();
    MLIRContext *context = op.getContext();
    RuleAttr rule =
        policy->rule ? policy->rule : measured::rule(context, op.getCausal());
    PoolingAttr pooling =
        policy->pooling ? policy->pooling
                        : measured::pooling(context, policy->agg.getValue(),
                                            op.getQ().getType().getDimSize(3));
    // Known lengths are decided here, others when the program runs.
    int64_t length = op.getK().getType().getDimSize(2),
            least = *policy->minLength;
    if (op.getCuSeqlensK() || ShapedType::isDynamic(length)) {
      rule = rule.withDenseBelow(std::max(rule.getDenseBelow(), least - 1));
    } else if (length < least) {
      emitRemark(op.getLoc()) << "attention stays dense: expected at least "
                              << least << " keys, got " << length;
      removePolicy(op);
      return success();
    }
    NamedAttrList kept(op->getDiscardableAttrDictionary());
    rewriter.setInsertionPoint(op);
    auto sparse = AttentionOp::create(
        rewriter, op.getLoc(), op.getQ(), op.getK(), op.getV(), /*top_p=*/{},
        op.getCuSeqlensQ(), op.getCuSeqlensK(), policy->block, pooling, rule,
        policy->agg, policy->share, op.getCausalAttr(), op.getReturnLseAttr(),
        op.getScaleAttr(), rewriter.getF64FloatAttr(1.0), op.getSoftcapAttr(),
        op.getWindowAttr(), op.getSinkLogits(), op.getTables(),
        estimatesModified ? rewriter.getUnitAttr() : UnitAttr(),
        op.getModification().size());
    for (auto [from, to] :
         llvm::zip_equal(op.getModification(), sparse.getModification()))
      rewriter.inlineRegionBefore(from, to, to.end());
    sparse->setDiscardableAttrs(kept.getDictionary(op.getContext()));
    removePolicy(sparse);
    // [I5], [I6], [M6]: what the policy asks of this attention.
    if (failed(sparse.verify()) || failed(sparse.verifyRegions()))
      return failure();
    rewriter.replaceOp(op,
                       sparse->getResults().take_front(op->getNumResults()));
    return success();
  }

  Policy options;
};
} // namespace
