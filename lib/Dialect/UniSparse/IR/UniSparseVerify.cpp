// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What SPEC.md demands of the ops and ODS cannot say; each check carries the
// label that its message, its test in invalid.mlir and docs/SPEC.md share.
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "unisparse/Dialect/UniSparse/IR/Modification.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include <cmath>

using namespace mlir;
using namespace unisparse;

namespace {

ShapedType shaped(Value v) { return cast<ShapedType>(v.getType()); }
int64_t dim(Value v, int64_t i) { return shaped(v).getDimSize(i); }

/// Static and not a multiple.
bool failsToDivide(int64_t divisor, int64_t of) {
  return !ShapedType::isDynamic(divisor) && !ShapedType::isDynamic(of) &&
         (divisor == 0 || of % divisor != 0);
}

LogicalResult expectEqualDims(Operation *op, StringRef label, StringRef what,
                              int64_t expected, int64_t got) {
  if (mayEqual(expected, got))
    return success();
  return op->emitOpError() << label << " expected " << what << " " << expected
                           << ", got " << got;
}

/// [I1] one element type.
LogicalResult verifyElementTypes(Operation *op, Value q, StringRef name,
                                 Value other) {
  Type expected = shaped(q).getElementType(),
       got = shaped(other).getElementType();
  if (expected == got)
    return success();
  return op->emitOpError() << "[I1] expected " << name
                           << " with q's element type " << expected << ", got "
                           << got;
}

/// [I2] batch and head_dim, [I3] head counts, of q and k or of composites.
LogicalResult verifyQueryAndKey(Operation *op, Value q, Value k) {
  if (failed(verifyElementTypes(op, q, "k", k)) ||
      failed(expectEqualDims(op, "[I2]", "k with q's batch", dim(q, 0),
                             dim(k, 0))) ||
      failed(expectEqualDims(op, "[I2]", "k with q's head_dim", dim(q, 3),
                             dim(k, 3))))
    return failure();
  if (failsToDivide(dim(k, 1), dim(q, 1)))
    return op->emitOpError() << "[I3] expected the heads of k to divide the "
                             << dim(q, 1) << " heads of q, got " << dim(k, 1);
  return success();
}

/// [I1], [I2], [I4] v beside q and k.
LogicalResult verifyValueOperand(Operation *op, Value q, Value k, Value v) {
  if (failed(verifyElementTypes(op, q, "v", v)) ||
      failed(expectEqualDims(op, "[I2]", "v with q's batch", dim(q, 0),
                             dim(v, 0))) ||
      failed(expectEqualDims(op, "[I4]", "v with k's number of heads",
                             dim(k, 1), dim(v, 1))))
    return failure();
  return expectEqualDims(op, "[I4]", "v with k's length", dim(k, 2), dim(v, 2));
}

/// [I7] bottom-right alignment needs a key for every query. Lengths of a
/// packed batch are sums, so nothing is known of its sequences here.
template <typename OpTy>
LogicalResult verifyPositions(OpTy op, int64_t lq, int64_t lk) {
  if (!op.hasPositions() || ShapedType::isDynamic(lq) ||
      ShapedType::isDynamic(lk) || lq <= lk)
    return success();
  StringRef what = op.getCausal() ? "causal" : "a window";
  return op->emitOpError() << "[I7] expected Lq <= Lk under " << what
                           << ", got Lq = " << lq << " and Lk = " << lk
                           << "; drop "
                           << (op.getCausal() ? what : "the window")
                           << " or pass the earlier keys";
}

/// [I8] both ends or none, one batch, one number of sequences.
LogicalResult verifyCuSeqlens(Operation *op, Value batched, Value cuQ,
                              Value cuK) {
  if (!cuQ && !cuK)
    return success();
  if (!cuQ || !cuK)
    return op->emitOpError()
           << "[I8] expected both cu_seqlens or none, got "
           << (cuQ ? "cu_seqlens_q" : "cu_seqlens_k") << " alone";
  if (failed(expectEqualDims(op, "[I8]", "a packed batch with batch", 1,
                             dim(batched, 0))))
    return failure();
  if (dim(cuQ, 0) == 0)
    return op->emitOpError() << "[I8] expected at least one entry in "
                                "cu_seqlens_q, got 0";
  return expectEqualDims(op, "[I8]",
                         "cu_seqlens_k with as many entries as "
                         "cu_seqlens_q,",
                         dim(cuQ, 0), dim(cuK, 0));
}

/// [S1], [A1] factors of the logits.
LogicalResult verifyFinite(Operation *op, StringRef label, StringRef name,
                           std::optional<APFloat> value) {
  // Logits are f32: what is infinite there is no factor.
  if (!value || std::isfinite(static_cast<float>(value->convertToDouble())))
    return success();
  return op->emitOpError() << label << " expected a finite " << name << ", got "
                           << value->convertToDouble();
}

/// [S1] the product is a factor too.
template <typename OpTy>
LogicalResult verifyEstimateFactor(OpTy op) {
  double scale = op.getScale() ? op.getScale()->convertToDouble() : 1.0;
  double product = scale * op.getAlpha().convertToDouble();
  return verifyFinite(op, "[S1]", "alpha * scale", APFloat(product));
}

/// [I5] composites do not straddle blocks.
LogicalResult verifyPooling(Operation *op, BlockAttr block,
                            PoolingAttr pooling) {
  if (block.getQuery() % pooling.getQuery() != 0)
    return op->emitOpError()
           << "[I5] expected the query pooling factor to divide the query "
              "block "
           << block.getQuery() << ", got " << pooling.getQuery();
  if (block.getKey() % pooling.getKey() != 0)
    return op->emitOpError()
           << "[I5] expected the key pooling factor to divide the key block "
           << block.getKey() << ", got " << pooling.getKey();
  return success();
}

template <typename OpTy>
LogicalResult verifyLengths(OpTy op) {
  ArrayRef<int64_t> lengths = op.getStaticLengths();
  ValueRange dynamic = op.getLengths();
  if (lengths.size() != 2)
    return op->emitOpError()
           << "expected lengths [Lq, Lk], got " << lengths.size() << " values";
  size_t expected = llvm::count_if(lengths, ShapedType::isDynamic);
  if (dynamic.size() != expected)
    return op->emitOpError() << "expected " << expected
                             << " dynamic lengths, got " << dynamic.size();
  for (int64_t length : lengths)
    if (!ShapedType::isDynamic(length) && length < 0)
      return op->emitOpError() << "expected lengths >= 0, got " << length;
  return verifyPositions(op, lengths[0], lengths[1]);
}

/// [M1] a cap that a logit can be divided by and a score multiplied with.
template <typename OpTy>
LogicalResult verifySoftcap(OpTy op) {
  if (!op.getSoftcap())
    return success();
  double cap = op.getSoftcap()->convertToDouble();
  auto isNormal = [](double x) { return std::isnormal(static_cast<float>(x)); };
  if (cap > 0 && isNormal(cap) && isNormal(1 / cap) && isNormal(cap * M_LOG2E))
    return success();
  return op->emitOpError() << "[M1] expected a finite softcap above 0, got "
                           << cap;
}

/// [M3] one sink logit a query head.
template <typename OpTy>
LogicalResult verifySinks(OpTy op) {
  if (!op.getSinkLogits())
    return success();
  return expectEqualDims(op, "[M3]", "sink_logits of one value a query head,",
                         dim(op.getQ(), 1), dim(op.getSinkLogits(), 0));
}

/// [L5] shares from the operand belong to `rule <top_p>`.
LogicalResult verifyShares(Operation *op, Value topP, RuleAttr rule) {
  bool wanted = rule.getKind() == RuleKind::TopP && !rule.getP();
  if (wanted == static_cast<bool>(topP))
    return success();
  return op->emitOpError()
         << (wanted ? "[L5] expected a top_p operand or a value in rule "
                      "<top_p>, got neither"
                    : "[L5] expected rule <top_p> beside the operand top_p, "
                      "got a rule that needs no operand");
}

} // namespace

/// [P5] no more representatives than rows; a block only beside them.
static LogicalResult verifyRepresentatives(PoolOp op) {
  int64_t representatives = op.getRepresentatives(), block = op.getBlock();
  if (!representatives && block)
    return op.emitOpError()
           << "[P5] expected a block beside representatives only, got "
           << block;
  if (representatives > block)
    return op.emitOpError()
           << "[P5] expected at most the " << block
           << " rows of a block as representatives, got " << representatives;
  return success();
}

/// [P6] groups of whole dims, of keys or of queries.
static LogicalResult verifyGroups(PoolOp op) {
  if (op.getSpread() && op.getNorms())
    return op.emitOpError("[P6] expected spread or norms, got both");
  if (static_cast<bool>(op.getNorms()) != op.getFactor().has_value())
    return op.emitOpError()
           << "[P6] expected a factor beside norms and only there, got "
           << (op.getNorms() ? "none" : "one");
  if (op.groupDims() && failsToDivide(op.groupDims(), dim(op.getX(), 3)))
    return op.emitOpError()
           << "[P6] expected " << (op.getSpread() ? "spread" : "norms")
           << " to divide the " << dim(op.getX(), 3) << " columns of x, got "
           << op.groupDims();
  return verifyFinite(op, "[P6]", "factor", op.getFactor());
}

LogicalResult PoolOp::verify() {
  if (failsToDivide(getHeads(), dim(getX(), 1))) // [P4]
    return emitOpError() << "[P4] expected heads to divide the "
                         << dim(getX(), 1) << " heads of x, got " << getHeads();
  if (failed(verifyRepresentatives(*this)) || failed(verifyGroups(*this)))
    return failure();
  if (!getCuSeqlens())
    return success();
  if (dim(getCuSeqlens(), 0) == 0) // [I8]
    return emitOpError()
           << "[I8] expected at least one entry in cu_seqlens, got 0";
  return expectEqualDims(*this, "[I8]", "a packed batch with batch", 1,
                         dim(getX(), 0));
}

/// [P5] a mean over rows would count some twice.
static LogicalResult verifyAgg(Operation *op, PoolingAttr pooling, Agg agg) {
  if (!pooling.getRepresentatives() || agg == Agg::Max)
    return success();
  return op->emitOpError("[P5] expected agg max beside representatives, got ")
         << stringifyAgg(agg);
}

/// [P5] the rows that q's last composites of each block are.
static LogicalResult verifyRows(BlockScoreOp op) {
  int64_t representatives = op.getPooling().getRepresentatives();
  Value rows = op.getRows();
  if (static_cast<bool>(rows) != (representatives > 0))
    return op.emitOpError()
           << "[P5] expected the operand rows beside representatives and only "
              "there, got "
           << (rows ? "no representatives" : "no rows");
  if (!rows)
    return success();
  int64_t blocks = unitsOrSlots(op.getStaticLengths()[0], op.getCuSeqlensQ(),
                                op.getBlock().getQuery());
  for (auto [what, expected, got] :
       {std::tuple("rows with q's batch", dim(op.getQ(), 0), dim(rows, 0)),
        {"rows with q's number of heads", dim(op.getQ(), 1), dim(rows, 1)},
        {"rows of query blocks", blocks, dim(rows, 2)},
        {"rows with representatives", representatives, dim(rows, 3)}})
    if (failed(expectEqualDims(op, "[P5]", what, expected, got)))
      return failure();
  return success();
}

/// [P6] D columns and one for each group of dims.
static LogicalResult verifySpreadColumns(BlockScoreOp op) {
  int64_t spread = op.getPooling().getSpread(), columns = dim(op.getQ(), 3);
  if (!spread || !failsToDivide(addSizes(spread, 1), columns))
    return success();
  return op.emitOpError() << "[P6] expected composites of D + D / " << spread
                          << " columns, got " << columns;
}

/// [S4] q's composites: those of its length, or of whole query blocks where
/// these have representatives [P5].
static int64_t queryComposites(BlockScoreOp op) {
  PoolingAttr pooling = op.getPooling();
  int64_t length = op.getStaticLengths()[0], block = op.getBlock().getQuery();
  if (!pooling.getRepresentatives())
    return unitsOrSlots(length, op.getCuSeqlensQ(), pooling.getQuery());
  int64_t blocks = unitsOrSlots(length, op.getCuSeqlensQ(), block);
  return multiplySizes(blocks, pooling.rowsOfBlock(block));
}

LogicalResult BlockScoreOp::verify() {
  Operation *op = *this;
  ArrayRef<int64_t> lengths = getStaticLengths();
  if (failed(verifyQueryAndKey(op, getQ(), getK())) ||
      failed(verifyPooling(op, getBlock(), getPooling())) ||
      failed(verifyLengths(*this)) ||
      failed(verifyCuSeqlens(op, getQ(), getCuSeqlensQ(), getCuSeqlensK())) ||
      failed(verifyFinite(op, "[S1]", "scale", getScale())) ||
      failed(verifyFinite(op, "[S1]", "alpha", getAlpha())) ||
      failed(verifyEstimateFactor(*this)) || failed(verifySoftcap(*this)) ||
      failed(verifyAgg(op, getPooling(), getAgg())) ||
      failed(verifyRows(*this)) || failed(verifySpreadColumns(*this)))
    return failure();
  // [S4]
  if (failed(expectEqualDims(op, "[S4]", "the composites of q to number",
                             queryComposites(*this), dim(getQ(), 2))))
    return failure();
  return expectEqualDims(
      op, "[S4]", "the composites of k to number",
      unitsOrSlots(lengths[1], getCuSeqlensK(), getPooling().getKey()),
      dim(getK(), 2));
}

LogicalResult BlockSelectOp::verify() {
  Operation *op = *this;
  ArrayRef<int64_t> lengths = getStaticLengths();
  if (failed(verifyLengths(*this)) ||
      failed(
          verifyCuSeqlens(op, getMass(), getCuSeqlensQ(), getCuSeqlensK())) ||
      failed(verifyShares(op, getTopP(), getRule())))
    return failure();
  if (getTopP() && failsToDivide(dim(getTopP(), 0), dim(getMass(), 1)) &&
      failsToDivide(dim(getMass(), 1), dim(getTopP(), 0))) // [L5]
    return emitOpError() << "[L5] expected the heads of top_p and of mass to "
                            "divide one another, got "
                         << dim(getTopP(), 0) << " and " << dim(getMass(), 1);
  // [L6]
  if (failed(expectEqualDims(
          op, "[L6]", "mass with query blocks",
          unitsOrSlots(lengths[0], getCuSeqlensQ(), getBlock().getQuery()),
          dim(getMass(), 2))))
    return failure();
  return expectEqualDims(op, "[L6]", "mass with key blocks",
                         ceilUnits(lengths[1], getBlock().getKey()),
                         dim(getMass(), 3));
}

/// [A4] a selection's shape beside the attention it goes with. Rows of indices
/// are as long as the largest count needs, or longer.
static LogicalResult verifySelection(BlockSparseAttentionOp op) {
  Value counts = op.getCounts(), indices = op.getIndices();
  if (!counts && !indices)
    return success();
  if (!counts || !indices)
    return op.emitOpError() << "[A4] expected counts and indices or neither, "
                               "got one of them";
  for (int64_t i : {0, 1, 2})
    if (!mayEqual(dim(counts, i), dim(indices, i)))
      return op.emitOpError()
             << "[A4] expected indices that start with the "
                "shape of counts, got "
             << indices.getType() << " beside " << counts.getType();
  if (failed(expectEqualDims(op, "[A4]", "a selection with q's batch",
                             dim(op.getQ(), 0), dim(counts, 0))))
    return failure();
  if (failsToDivide(dim(counts, 1), dim(op.getQ(), 1)))
    return op.emitOpError()
           << "[A4] expected the heads of the selection to divide the "
           << dim(op.getQ(), 1) << " heads of q, got " << dim(counts, 1);
  return expectEqualDims(op, "[A4]", "a selection with query blocks",
                         unitsOrSlots(dim(op.getQ(), 2), op.getCuSeqlensQ(),
                                      op.getBlock().getQuery()),
                         dim(counts, 2));
}

LogicalResult BlockSparseAttentionOp::verify() {
  Operation *op = *this;
  if (failed(verifyQueryAndKey(op, getQ(), getK())) ||
      failed(verifyValueOperand(op, getQ(), getK(), getV())) ||
      failed(verifyPositions(*this, dim(getQ(), 2), dim(getK(), 2))) ||
      failed(verifyCuSeqlens(op, getQ(), getCuSeqlensQ(), getCuSeqlensK())) ||
      failed(verifyFinite(op, "[A1]", "scale", getScale())) ||
      failed(verifySoftcap(*this)) || failed(verifySinks(*this)))
    return failure();
  return verifySelection(*this);
}

LogicalResult BlockSparseAttentionOp::verifyRegions() {
  return verifyModification(*this, getModification(), getTables());
}

LogicalResult BlockScoreOp::verifyRegions() {
  return verifyModification(*this, getModification(), getTables());
}

/// [M6] of a modification, and of composites that have one head each.
static LogicalResult verifyEstimatedRegion(AttentionOp op) {
  if (!op.getEstimateWithRegion())
    return success();
  if (op.getModification().empty())
    return op.emitOpError("[M6] expected a modification beside "
                          "estimate_with_region, got none");
  if (int64_t heads = op.getPooling().getHeads(); heads != 1)
    return op.emitOpError("[M6] expected composites of one head beside "
                          "estimate_with_region, got pooling of ")
           << heads << " heads";
  return success();
}

LogicalResult AttentionOp::verifyRegions() {
  if (failed(verifyEstimatedRegion(*this)))
    return failure();
  return verifyModification(*this, getModification(), getTables());
}

/// [I6] pooled heads beside the KV groups.
static LogicalResult verifyPooledHeads(AttentionOp op) {
  int64_t ch = op.getPooling().getHeads(), hq = dim(op.getQ(), 1),
          hkv = dim(op.getK(), 1);
  if (failsToDivide(ch, hq))
    return op.emitOpError() << "[I6] expected pooled heads to divide the " << hq
                            << " heads of q, got " << ch;
  if (ShapedType::isDynamic(hq) || ShapedType::isDynamic(hkv) || hkv == 0)
    return success();
  int64_t group = hq / hkv;
  if (group % ch != 0 && ch % group != 0)
    return op.emitOpError() << "[I6] expected pooled heads to divide or be a "
                               "multiple of the "
                            << group << " query heads of a KV head, got " << ch;
  return success();
}

/// [P6]
static LogicalResult verifySpread(AttentionOp op) {
  int64_t spread = op.getPooling().getSpread(), columns = dim(op.getQ(), 3);
  if (!spread || !failsToDivide(spread, columns))
    return success();
  return op.emitOpError() << "[P6] expected spread to divide the " << columns
                          << " columns of q, got " << spread;
}

RuleAttr AttentionOp::effectiveRule() {
  return getRule().forLengths(dim(getQ(), 2), dim(getK(), 2),
                              getBlock().getQuery());
}

bool AttentionOp::pools() {
  // Shares may name more heads than there are composites, which then count.
  return getTopP() || effectiveRule().readsMass();
}

LogicalResult AttentionOp::verify() {
  Operation *op = *this;
  if (failed(verifyQueryAndKey(op, getQ(), getK())) ||
      failed(verifyValueOperand(op, getQ(), getK(), getV())) ||
      (pools() && (failed(verifyPooling(op, getBlock(), getPooling())) ||
                   failed(verifyAgg(op, getPooling(), getAgg())) ||
                   failed(verifySpread(*this)))) ||
      failed(verifyPooledHeads(*this)) ||
      failed(verifyPositions(*this, dim(getQ(), 2), dim(getK(), 2))) ||
      failed(verifyCuSeqlens(op, getQ(), getCuSeqlensQ(), getCuSeqlensK())) ||
      failed(verifyFinite(op, "[S1]", "scale", getScale())) ||
      failed(verifyFinite(op, "[S1]", "alpha", getAlpha())) ||
      failed(verifyEstimateFactor(*this)) || failed(verifySoftcap(*this)) ||
      failed(verifySinks(*this)) ||
      failed(verifyShares(op, getTopP(), getRule())))
    return failure();
  if (!getTopP())
    return success();
  bool shared = getShare() == Share::Group; // [L5]
  return expectEqualDims(op, "[L5]",
                         shared ? "top_p of one value a KV head,"
                                : "top_p of one value a query head,",
                         dim(shared ? getK() : getQ(), 1), dim(getTopP(), 0));
}
