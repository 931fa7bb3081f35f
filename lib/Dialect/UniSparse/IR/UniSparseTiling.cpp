// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// TilingInterface of the ops whose tiles are the op itself on a slice.
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

using namespace mlir;
using namespace unisparse;

namespace {
using Dims = SmallVector<OpFoldResult>;

bool isEmpty(Value v) {
  return llvm::is_contained(cast<ShapedType>(v.getType()).getShape(), 0);
}

/// Slices of what holds nothing are out of its bounds to upstream's verifier,
/// of operands and, where tiles are put together, of results.
LogicalResult expectElements(Operation *op) {
  for (Value result : op->getResults())
    if (isEmpty(result))
      return op->emitOpError("cannot be tiled: expected a result with "
                             "elements, got ")
             << result.getType();
  return success();
}

Value slice(OpBuilder &b, Location loc, Value from, Dims offsets, Dims sizes,
            SmallVectorImpl<Operation *> &slices) {
  if (isEmpty(from)) // A part of nothing.
    return tensor::EmptyOp::create(
        b, loc, sizes, cast<ShapedType>(from.getType()).getElementType());
  Dims strides(offsets.size(), b.getIndexAttr(1));
  auto op =
      tensor::ExtractSliceOp::create(b, loc, from, offsets, sizes, strides);
  slices.push_back(op);
  return op;
}

OpFoldResult apply(OpBuilder &b, Location loc, AffineExpr e, Dims operands) {
  return affine::makeComposedFoldedAffineApply(b, loc, e, operands);
}

SmallVector<Range> ranges(OpBuilder &b, const Dims &sizes) {
  SmallVector<Range> domain;
  for (OpFoldResult size : sizes)
    domain.push_back({b.getIndexAttr(0), size, b.getIndexAttr(1)});
  return domain;
}
} // namespace

//===----------------------------------------------------------------------===//
// PoolOp: batch, heads and composites are independent; head_dim is not tiled.
//===----------------------------------------------------------------------===//

SmallVector<utils::IteratorType> PoolOp::getLoopIteratorTypes() {
  return SmallVector<utils::IteratorType>(3, utils::IteratorType::parallel);
}

SmallVector<Range> PoolOp::getIterationDomain(OpBuilder &b) {
  ReifiedRankedShapedTypeDims shapes;
  (void)reifyResultShapes(b, shapes);
  shapes[0].pop_back();
  return ranges(b, shapes[0]);
}

FailureOr<TilingResult>
PoolOp::getTiledImplementation(OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                               ArrayRef<OpFoldResult> sizes) {
  if (getCuSeqlens())
    return emitOpError("cannot be tiled over packed sequences, whose slots do "
                       "not start at multiples of the pooling factor");
  if (getRepresentatives())
    return emitOpError("cannot be tiled with representatives, whose "
                       "composites come by query blocks");
  if (failed(expectElements(*this)))
    return failure();
  Location loc = getLoc();
  Value x = getX();
  AffineExpr d0 = b.getAffineDimExpr(0), d1 = b.getAffineDimExpr(1),
             d2 = b.getAffineDimExpr(2);
  int64_t by = getBy(), heads = getHeads();
  // The last composite may hold fewer rows (P1).
  OpFoldResult length = tensor::getMixedSize(b, loc, x, 2);
  OpFoldResult first = apply(b, loc, d0 * by, {offsets[2]});
  OpFoldResult rows = affine::makeComposedFoldedAffineMin(
      b, loc, AffineMap::get(3, 0, {d0 * by, d1 - d2}, getContext()),
      {sizes[2], length, first});
  SmallVector<Operation *> slices;
  Value part = slice(b, loc, x,
                     {offsets[0], apply(b, loc, d0 * heads, {offsets[1]}),
                      first, b.getIndexAttr(0)},
                     {sizes[0], apply(b, loc, d0 * heads, {sizes[1]}), rows,
                      tensor::getMixedSize(b, loc, x, 3)},
                     slices);
  auto tile = PoolOp::create(b, loc, part, Value(), by, heads,
                             /*representatives=*/0, /*block=*/0, getSpread(),
                             getNorms(), getFactorAttr());
  // The rows of the slice are a minimum, dynamic to the type system; the tile
  // has the composites that were asked for.
  Value composites = tile.getComposites();
  SmallVector<int64_t> shape(tile.getComposites().getType().getShape());
  for (auto [i, size] : llvm::enumerate(sizes))
    shape[i] = getConstantIntValue(size).value_or(ShapedType::kDynamic);
  auto type = tile.getComposites().getType().clone(shape);
  if (type != composites.getType())
    composites = tensor::CastOp::create(b, loc, type, composites);
  return TilingResult{{tile}, {composites}, slices};
}

LogicalResult PoolOp::getResultTilePosition(OpBuilder &b, unsigned resultNumber,
                                            ArrayRef<OpFoldResult> offsets,
                                            ArrayRef<OpFoldResult> sizes,
                                            Dims &resultOffsets,
                                            Dims &resultSizes) {
  resultOffsets.assign(offsets.begin(), offsets.end());
  resultSizes.assign(sizes.begin(), sizes.end());
  resultOffsets.push_back(b.getIndexAttr(0));
  OpFoldResult columns = tensor::getMixedSize(b, getLoc(), getX(), 3);
  AffineExpr d0 = b.getAffineDimExpr(0);
  if (groupDims()) // [P6]
    columns = apply(b, getLoc(), d0 + d0.floorDiv(groupDims()), {columns});
  resultSizes.push_back(columns);
  return success();
}

FailureOr<TilingResult>
PoolOp::generateResultTileValue(OpBuilder &b, unsigned resultNumber,
                                ArrayRef<OpFoldResult> offsets,
                                ArrayRef<OpFoldResult> sizes) {
  // A row is pooled whole: part of head_dim is no tile.
  if (!isConstantIntValue(offsets[3], 0) ||
      getConstantIntValue(sizes[3]) != getComposites().getType().getDimSize(3))
    return failure();
  return getTiledImplementation(b, offsets.take_front(3), sizes.take_front(3));
}

//===----------------------------------------------------------------------===//
// BlockSparseAttentionOp: batch and KV heads (with their group) are
// independent. Query rows are not tiled: where a row stands follows from the
// lengths of the whole (A1).
//===----------------------------------------------------------------------===//

SmallVector<utils::IteratorType>
BlockSparseAttentionOp::getLoopIteratorTypes() {
  return SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel);
}

SmallVector<Range> BlockSparseAttentionOp::getIterationDomain(OpBuilder &b) {
  return ranges(b, {tensor::getMixedSize(b, getLoc(), getK(), 0),
                    tensor::getMixedSize(b, getLoc(), getK(), 1)});
}

namespace {
/// Heads of `v` for each KV head, which must be known to slice by groups; 0
/// where they are not.
int64_t perKvHead(BlockSparseAttentionOp op, int64_t heads) {
  int64_t hkv = op.getK().getType().getDimSize(1);
  if (ShapedType::isDynamic(heads) || ShapedType::isDynamic(hkv) || hkv == 0 ||
      heads % hkv != 0)
    return 0;
  return heads / hkv;
}
} // namespace

FailureOr<TilingResult>
BlockSparseAttentionOp::getTiledImplementation(OpBuilder &b,
                                               ArrayRef<OpFoldResult> offsets,
                                               ArrayRef<OpFoldResult> sizes) {
  if (failed(expectElements(*this)))
    return failure();
  if (!getModification().empty()) // [M5]
    return emitOpError("cannot be tiled: expected no modification, whose heads "
                       "and batch are those of the whole");
  Location loc = getLoc();
  SmallVector<Operation *> slices;
  auto take = [&](Value from) -> Value {
    if (!from)
      return {};
    auto type = cast<RankedTensorType>(from.getType());
    int64_t heads = perKvHead(*this, type.getDimSize(1));
    if (heads == 0)
      return {};
    AffineExpr d0 = b.getAffineDimExpr(0);
    Dims at{offsets[0], apply(b, loc, d0 * heads, {offsets[1]})},
        size{sizes[0], apply(b, loc, d0 * heads, {sizes[1]})};
    for (int64_t i = 2; i < type.getRank(); ++i) {
      at.push_back(b.getIndexAttr(0));
      size.push_back(tensor::getMixedSize(b, loc, from, i));
    }
    return slice(b, loc, from, at, size, slices);
  };
  Value q = take(getQ()), k = take(getK()), v = take(getV()),
        counts = take(getCounts()), indices = take(getIndices());
  if (!q || !k || !v || (getCounts() && (!counts || !indices)))
    return emitOpError("cannot be tiled by KV heads: expected static numbers "
                       "of heads, each a multiple of k's");
  Value sinks = getSinkLogits(); // [M3] one a query head.
  if (sinks) {
    AffineExpr d0 = b.getAffineDimExpr(0);
    int64_t group = perKvHead(*this, getQ().getType().getDimSize(1));
    sinks = slice(b, loc, sinks, {apply(b, loc, d0 * group, {offsets[1]})},
                  {apply(b, loc, d0 * group, {sizes[1]})}, slices);
  }
  auto tile = BlockSparseAttentionOp::create(
      b, loc, q, k, v, counts, indices, getCuSeqlensQ(), getCuSeqlensK(),
      getBlock(), getCausal(), getReturnLse(), getScaleAttr(), getSoftcapAttr(),
      getWindowAttr(), sinks, /*tables=*/ValueRange(),
      /*modificationCount=*/0);
  return TilingResult{{tile}, SmallVector<Value>(tile->getResults()), slices};
}

LogicalResult BlockSparseAttentionOp::getResultTilePosition(
    OpBuilder &b, unsigned resultNumber, ArrayRef<OpFoldResult> offsets,
    ArrayRef<OpFoldResult> sizes, Dims &resultOffsets, Dims &resultSizes) {
  Location loc = getLoc();
  int64_t group = perKvHead(*this, getQ().getType().getDimSize(1));
  if (group == 0)
    return failure();
  AffineExpr d0 = b.getAffineDimExpr(0);
  resultOffsets = {offsets[0], apply(b, loc, d0 * group, {offsets[1]}),
                   b.getIndexAttr(0)};
  resultSizes = {sizes[0], apply(b, loc, d0 * group, {sizes[1]}),
                 tensor::getMixedSize(b, loc, getQ(), 2)};
  if (resultNumber == 0) {
    resultOffsets.push_back(b.getIndexAttr(0));
    resultSizes.push_back(tensor::getMixedSize(b, loc, getV(), 3));
  }
  return success();
}
