// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Folds and canonicalisations: what is dense is said to be dense, what nobody
// reads is not computed, what is known of the lengths is in the types.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/PatternMatch.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

using namespace mlir;
using namespace unisparse;

/// Composites of one token and one head are the tokens (P1). Slots of a packed
/// batch are not its tokens.
LogicalResult PoolOp::fold(FoldAdaptor,
                           SmallVectorImpl<OpFoldResult> &results) {
  if (getBy() == 1 && getHeads() == 1 && !getCuSeqlens() &&
      !getRepresentatives() && !groupDims()) {
    results.push_back(getX());
    return success();
  }
  return failure();
}

namespace {

/// The rule `all` where `rule` cannot leave a candidate out. A packed sequence
/// has at most the queries and keys of its batch. Null where nothing changes.
RuleAttr denseRule(RuleAttr rule, int64_t lq, int64_t lk, BlockAttr block) {
  RuleAttr effective = rule.forLengths(lq, lk, block.getQuery());
  return effective == rule ? RuleAttr() : effective;
}

/// LSE that nobody reads is not computed.
template <typename OpTy>
struct DropUnusedLse : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    if (!op.getLse() || !op.getLse().use_empty())
      return rewriter.notifyMatchFailure(op, "lse is absent or read");
    typename OpTy::Properties properties = op.getProperties();
    properties.return_lse = nullptr;
    auto bare = OpTy::create(
        rewriter, op.getLoc(), op->getOperands(), properties,
        op->getDiscardableAttrDictionary().getValue(), op->getNumRegions());
    for (auto [from, to] :
         llvm::zip_equal(op->getRegions(), bare->getRegions()))
      rewriter.inlineRegionBefore(from, to, to.end());
    SmallVector<Value> results;
    auto next = bare->result_begin();
    for (OpResult result : op->getResults())
      results.push_back(result == op.getLse() ? Value() : Value(*next++));
    rewriter.replaceOp(op, results);
    return success();
  }
};

/// attention rule <top_p = 1.0> -> attention rule <all>.
struct DenseAttention : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AttentionOp op,
                                PatternRewriter &rewriter) const override {
    RuleAttr all = denseRule(op.getRule(), op.getQ().getType().getDimSize(2),
                             op.getK().getType().getDimSize(2), op.getBlock());
    if (!all)
      return rewriter.notifyMatchFailure(op, "the rule may leave blocks out");
    // Shares of more heads than there are composites name the selection's
    // heads, so the results' types keep the operand alive.
    if (op.getTopP())
      return rewriter.notifyMatchFailure(op, "top_p names the heads");
    rewriter.modifyOpInPlace(op, [&] { op.setRuleAttr(all); });
    return success();
  }
};

/// A mass that is only a shape already, with or without a cast that tensor's
/// own patterns put behind it.
bool isShape(Value mass) {
  if (auto cast = mass.getDefiningOp<tensor::CastOp>())
    mass = cast.getSource();
  return mass.getDefiningOp<tensor::EmptyOp>() != nullptr;
}

/// The sizes of `mass` without reading it: from its type, and what is dynamic
/// from the operands of the op that makes it, so that the op itself can go.
SmallVector<OpFoldResult> sizesWithout(OpBuilder &b, Location loc, Value mass) {
  auto type = cast<RankedTensorType>(mass.getType());
  if (type.hasStaticShape())
    return getAsIndexOpFoldResult(b.getContext(), type.getShape());
  auto result = dyn_cast<OpResult>(mass);
  auto reify = mass.getDefiningOp<ReifyRankedShapedTypeOpInterface>();
  ReifiedRankedShapedTypeDims shapes;
  if (!result || !reify || failed(reify.reifyResultShapes(b, shapes)))
    return tensor::getMixedSizes(b, loc, mass);
  SmallVector<OpFoldResult> sizes = shapes[result.getResultNumber()];
  for (auto [i, size] : llvm::enumerate(type.getShape()))
    if (!ShapedType::isDynamic(size))
      sizes[i] = b.getIndexAttr(size);
  return sizes;
}

/// attention pooling <8x1, spread = 4> -> attention pooling <8x1>: what changes
/// no composite is not asked for.
struct SimplifyPooling : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AttentionOp op,
                                PatternRewriter &rewriter) const override {
    PoolingAttr simple = op.getPooling().simplified(op.getBlock().getQuery());
    if (simple == op.getPooling())
      return rewriter.notifyMatchFailure(op, "every option counts");
    rewriter.modifyOpInPlace(op, [&] { op.setPoolingAttr(simple); });
    return success();
  }
};

/// block_select with a rule that takes all -> rule <all>, whose mass is only a
/// shape, as is that of rule <random>: nothing is pooled or scored for it.
struct UnreadMass : OpRewritePattern<BlockSelectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(BlockSelectOp op,
                                PatternRewriter &rewriter) const override {
    // Shares may name more heads than the mass has: the types need them.
    if (op.getTopP())
      return rewriter.notifyMatchFailure(op, "top_p names the heads");
    ArrayRef<int64_t> lengths = op.getStaticLengths();
    RuleAttr all =
        denseRule(op.getRule(), lengths[0], lengths[1], op.getBlock());
    bool shape = isShape(op.getMass());
    bool unread = all || !op.getRule().readsMass();
    if (!unread || (shape && !all))
      return rewriter.notifyMatchFailure(op, "the mass counts, or is a shape "
                                             "already");
    if (op.getMass().getType().getEncoding())
      return rewriter.notifyMatchFailure(op, "the mass has an encoding");
    Value mass = op.getMass();
    if (!shape) {
      SmallVector<OpFoldResult> sizes =
          sizesWithout(rewriter, op.getLoc(), mass);
      Value empty = tensor::EmptyOp::create(rewriter, op.getLoc(), sizes,
                                            rewriter.getF32Type());
      // Sizes may be better known than the type says.
      if (empty.getType() != mass.getType())
        empty = tensor::CastOp::create(rewriter, op.getLoc(), mass.getType(),
                                       empty);
      mass = empty;
    }
    rewriter.modifyOpInPlace(op, [&] {
      op.getMassMutable().assign(mass);
      if (all)
        op.setRuleAttr(all);
    });
    return success();
  }
};

/// Whether `length`, static or a value, is surely the length of `tokens`.
bool isLengthOf(OpFoldResult length, Value tokens) {
  int64_t known = cast<ShapedType>(tokens.getType()).getDimSize(2);
  if (std::optional<int64_t> constant = getConstantIntValue(length))
    return *constant == known;
  auto dim = cast<Value>(length).getDefiningOp<tensor::DimOp>();
  return dim && dim.getSource() == tokens && dim.getConstantIndex() == 2;
}

/// Whether `select` is of the very sequences that `op` attends over.
bool selectsFor(BlockSelectOp select, BlockSparseAttentionOp op) {
  Builder b(op.getContext());
  SmallVector<OpFoldResult> lengths =
      getMixedValues(select.getStaticLengths(), select.getLengths(), b);
  return select.getCausal() == op.getCausal() &&
         select.getWindow() == op.getWindow() &&
         select.getBlock() == op.getBlock() &&
         select.getCuSeqlensQ() == op.getCuSeqlensQ() &&
         select.getCuSeqlensK() == op.getCuSeqlensK() &&
         isLengthOf(lengths[0], op.getQ()) && isLengthOf(lengths[1], op.getK());
}

/// Attention over a selection that holds every candidate needs none.
struct DropFullSelection : OpRewritePattern<BlockSparseAttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(BlockSparseAttentionOp op,
                                PatternRewriter &rewriter) const override {
    auto select = op.getCounts() ? op.getCounts().getDefiningOp<BlockSelectOp>()
                                 : BlockSelectOp();
    if (!select || op.getIndices() != select.getIndices() ||
        select.getRule().getKind() != RuleKind::All || !selectsFor(select, op))
      return rewriter.notifyMatchFailure(op, "not all candidates, as it seems");
    rewriter.modifyOpInPlace(op, [&] {
      op.getCountsMutable().clear();
      op.getIndicesMutable().clear();
    });
    return success();
  }
};

/// Lq and Lk of an op's sequences, of a packed batch in all.
std::pair<int64_t, int64_t> lengthsOf(BlockScoreOp op) {
  return {op.getStaticLengths()[0], op.getStaticLengths()[1]};
}
std::pair<int64_t, int64_t> lengthsOf(BlockSelectOp op) {
  return {op.getStaticLengths()[0], op.getStaticLengths()[1]};
}
template <typename OpTy>
std::pair<int64_t, int64_t> lengthsOf(OpTy op) {
  return {op.getQ().getType().getDimSize(2), op.getK().getType().getDimSize(2)};
}

/// window <left = 4095> of sequences of at most 4096 keys -> no window: it
/// hides nothing (M2). I7, which it asks for, has to be known to hold without
/// it.
template <typename OpTy>
struct DropWideWindow : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    WindowAttr window = op.getWindowAttr();
    auto [lq, lk] = lengthsOf(op);
    if (!window || ShapedType::isDynamic(lk))
      return rewriter.notifyMatchFailure(op, "no window, or of any length");
    bool known =
        op.getCausal() || (!ShapedType::isDynamic(lq) && !op.getCuSeqlensQ());
    auto isWide = [lk = lk](int64_t side) {
      return side < 0 || side >= lk - 1;
    };
    if (!known || !isWide(window.getLeft()) ||
        !(op.getCausal() || isWide(window.getRight())))
      return rewriter.notifyMatchFailure(op, "the window may hide keys");
    rewriter.modifyOpInPlace(op, [&] { op.removeWindowAttr(); });
    return success();
  }
};

/// Whether an op with these lengths would be valid: what was dynamic and wrong
/// stays dynamic, for the op to fail where it runs.
bool lengthsFit(BlockScoreOp op, ArrayRef<int64_t> lengths) {
  PoolingAttr pooling = op.getPooling();
  int64_t block = op.getBlock().getQuery();
  if (op.getRows()) { // [P5] composites come by query blocks.
    int64_t blocks = unitsOrSlots(lengths[0], op.getCuSeqlensQ(), block);
    if (!mayEqual(blocks, op.getRows().getType().getDimSize(2)) ||
        !mayEqual(multiplySizes(blocks, pooling.rowsOfBlock(block)),
                  op.getQ().getType().getDimSize(2)))
      return false;
  } else if (!mayEqual(unitsOrSlots(lengths[0], op.getCuSeqlensQ(),
                                    pooling.getQuery()),
                       op.getQ().getType().getDimSize(2))) {
    return false;
  }
  return mayEqual(
      unitsOrSlots(lengths[1], op.getCuSeqlensK(), pooling.getKey()),
      op.getK().getType().getDimSize(2));
}

bool lengthsFit(BlockSelectOp op, ArrayRef<int64_t> lengths) {
  auto mass = op.getMass().getType();
  return mayEqual(unitsOrSlots(lengths[0], op.getCuSeqlensQ(),
                               op.getBlock().getQuery()),
                  mass.getDimSize(2)) &&
         mayEqual(ceilUnits(lengths[1], op.getBlock().getKey()),
                  mass.getDimSize(3));
}

/// Lengths that became constants move into the attribute; types that follow
/// from them become static, behind a cast.
template <typename OpTy>
struct StaticLengths : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    SmallVector<OpFoldResult> lengths =
        getMixedValues(op.getStaticLengths(), op.getLengths(), rewriter);
    if (failed(foldDynamicIndexList(lengths, /*onlyNonNegative=*/true)))
      return rewriter.notifyMatchFailure(op, "no length became constant");
    SmallVector<Value> dynamic;
    SmallVector<int64_t> fixed;
    dispatchIndexOpFoldResults(lengths, dynamic, fixed);
    bool positionsFit = !op.hasPositions() || ShapedType::isDynamic(fixed[0]) ||
                        ShapedType::isDynamic(fixed[1]) || fixed[0] <= fixed[1];
    if (!positionsFit || !lengthsFit(op, fixed))
      return rewriter.notifyMatchFailure(op, "the constants do not fit");
    IRMapping mapping;
    auto clone = cast<OpTy>(rewriter.clone(*op, mapping));
    clone.getLengthsMutable().assign(dynamic);
    clone.setStaticLengths(fixed);
    SmallVector<Type> types;
    if (failed(OpTy::inferReturnTypes(
            op.getContext(), op.getLoc(), clone->getOperands(),
            clone->getDiscardableAttrDictionary(),
            clone->getPropertiesStorage(), {}, types)))
      return failure();
    SmallVector<Value> results;
    for (auto [result, type, old] :
         llvm::zip_equal(clone->getResults(), types, op->getResultTypes())) {
      result.setType(type);
      results.push_back(type == old ? Value(result)
                                    : tensor::CastOp::create(
                                          rewriter, op.getLoc(), old, result));
    }
    rewriter.replaceOp(op, results);
    return success();
  }
};

} // namespace

void BlockScoreOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                               MLIRContext *context) {
  patterns.add<StaticLengths<BlockScoreOp>, DropWideWindow<BlockScoreOp>>(
      context);
}

void BlockSelectOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                                MLIRContext *context) {
  patterns.add<StaticLengths<BlockSelectOp>, UnreadMass,
               DropWideWindow<BlockSelectOp>>(context);
}

void BlockSparseAttentionOp::getCanonicalizationPatterns(
    RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<DropUnusedLse<BlockSparseAttentionOp>, DropFullSelection,
               DropWideWindow<BlockSparseAttentionOp>>(context);
}

void AttentionOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                              MLIRContext *context) {
  patterns.add<DropUnusedLse<AttentionOp>, DenseAttention, SimplifyPooling,
               DropWideWindow<AttentionOp>>(context);
}
