// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.attention as the four stages. A rule that takes every candidate
// needs no estimate.
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include <cmath>

using namespace mlir;
using namespace unisparse;

namespace {
struct Lengths {
  SmallVector<Value> dynamic;
  SmallVector<int64_t> fixed;
};

Lengths lengthsOf(OpBuilder &b, Location loc, Value q, Value k) {
  Lengths lengths;
  dispatchIndexOpFoldResults(
      {tensor::getMixedSize(b, loc, q, 2), tensor::getMixedSize(b, loc, k, 2)},
      lengths.dynamic, lengths.fixed);
  return lengths;
}
} // namespace

/// Composites of the queries, with their representatives [P5] and, in front of
/// the keys' spread, half of alpha * scale times their norms [P6, S1].
static FailureOr<PoolOp> poolQueries(AttentionOp op, OpBuilder &b,
                                     PoolingAttr pooling) {
  int64_t representatives = pooling.getRepresentatives(),
          spread = pooling.getSpread(),
          headDim = op.getQ().getType().getDimSize(3);
  FloatAttr factor;
  if (spread) {
    if (!op.getScale() && ShapedType::isDynamic(headDim))
      return op.emitOpError("[P6] expected a static head_dim or a scale beside "
                            "spread, got ")
             << op.getQ().getType();
    factor = b.getF64FloatAttr(0.5 * op.getAlpha().convertToDouble() *
                               logitScale(op.getScale(), headDim));
  }
  return PoolOp::create(b, op.getLoc(), op.getQ(), op.getCuSeqlensQ(),
                        pooling.getQuery(), pooling.getHeads(), representatives,
                        representatives ? op.getBlock().getQuery() : 0,
                        /*spread=*/0, /*norms=*/spread, factor);
}

static void copyRegions(OpBuilder &b, RegionRange from,
                        MutableArrayRef<Region> to) {
  for (auto [region, copy] : llvm::zip_equal(from, to)) {
    IRMapping mapping;
    b.cloneRegionBefore(*region, copy, copy.end(), mapping);
  }
}

/// Block masses of an attention: pooled and scored, or a bare shape where
/// nothing is.
static FailureOr<Value> estimate(AttentionOp op, OpBuilder &b) {
  Location loc = op.getLoc();
  PoolingAttr pooling = op.getPooling();
  if (!op.pools()) {
    ReifiedRankedShapedTypeDims shapes;
    if (failed(op.reifyResultShapes(b, shapes)))
      return failure();
    return Value(tensor::EmptyOp::create(b, loc, shapes[shapes.size() - 2],
                                         b.getF32Type()));
  }
  int64_t hq = op.getQ().getType().getDimSize(1),
          hkv = op.getK().getType().getDimSize(1), ch = pooling.getHeads();
  if (ch > 1 && (ShapedType::isDynamic(hq) || ShapedType::isDynamic(hkv)))
    return op.emitOpError("[P4] expected static numbers of heads to pool over "
                          "heads, got ")
           << op.getQ().getType() << " and " << op.getK().getType();
  // P4: heads of a KV group share a KV head; more than a group pools KV heads.
  int64_t kvHeads = ch > 1 ? std::max<int64_t>(1, ch / (hq / hkv)) : 1;
  pooling = pooling.simplified(op.getBlock().getQuery());
  FailureOr<PoolOp> q = poolQueries(op, b, pooling);
  if (failed(q))
    return failure();
  auto k = PoolOp::create(b, loc, op.getK(), op.getCuSeqlensK(),
                          pooling.getKey(), kvHeads, /*representatives=*/0,
                          /*block=*/0, pooling.getSpread(), /*norms=*/0,
                          /*factor=*/FloatAttr());
  Lengths lengths = lengthsOf(b, loc, op.getQ(), op.getK());
  bool modifies = op.getEstimateWithRegion(); // M6
  auto score = BlockScoreOp::create(
      b, loc, q->getComposites(), k.getComposites(), lengths.dynamic,
      lengths.fixed, op.getCuSeqlensQ(), op.getCuSeqlensK(), op.getBlock(),
      pooling, op.getAgg(), op.getShare(), op.getCausal(), op.getScaleAttr(),
      op.getAlpha(), q->getRows(), op.getSoftcapAttr(), op.getWindowAttr(),
      modifies ? ValueRange(op.getTables()) : ValueRange(),
      modifies ? op.getModification().size() : 0);
  if (modifies)
    copyRegions(b, op.getModification(), score.getModification());
  return Value(score);
}

FailureOr<SmallVector<Value>> AttentionOp::decomposeOperation(OpBuilder &b) {
  Location loc = getLoc();
  FailureOr<Value> mass = estimate(*this, b);
  if (failed(mass))
    return failure();
  Lengths lengths = lengthsOf(b, loc, getQ(), getK());
  RuleAttr rule = getTopP() ? getRule() : effectiveRule();
  bool dense = rule.getKind() == RuleKind::All;
  auto select = BlockSelectOp::create(
      b, loc, *mass, getTopP(), lengths.dynamic, lengths.fixed, getCuSeqlensQ(),
      getCuSeqlensK(), getBlock(), rule, getCausal(), getWindowAttr());
  auto attend = BlockSparseAttentionOp::create(
      b, loc, getQ(), getK(), getV(), dense ? Value() : select.getCounts(),
      dense ? Value() : select.getIndices(), getCuSeqlensQ(), getCuSeqlensK(),
      getBlock(), getCausal(), getReturnLse(), getScaleAttr(), getSoftcapAttr(),
      getWindowAttr(), getSinkLogits(), getTables(), getModification().size());
  copyRegions(b, getModification(), attend.getModification());
  SmallVector<Value> results(attend->getResults());
  llvm::append_range(results, select->getResults());
  // Sizes that the stages know as constants may be dynamic in the op's types.
  for (auto [value, type] : llvm::zip_equal(results, getResultTypes()))
    if (value.getType() != type)
      value = tensor::CastOp::create(b, loc, type, value);
  return results;
}
