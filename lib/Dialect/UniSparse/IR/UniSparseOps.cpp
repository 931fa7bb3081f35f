// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Result types and shapes, names of results. The constraints are in
// UniSparseVerify.cpp, the rewrites in UniSparseFolds.cpp.
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include <cmath>

using namespace mlir;
using namespace unisparse;

using ResultTypes = SmallVectorImpl<Type>;
using ResultDims = SmallVector<OpFoldResult>;

#define GET_OP_CLASSES
#include "unisparse/Dialect/UniSparse/IR/UniSparseOps.cpp.inc"

namespace {
/// One dim of a value, static or as IR.
OpFoldResult dim(OpBuilder &b, Location loc, Value v, int64_t i) {
  return tensor::getMixedSize(b, loc, v, i);
}

int64_t dim(Value v, int64_t i) {
  return cast<ShapedType>(v.getType()).getDimSize(i);
}

OpFoldResult divide(OpBuilder &b, Location loc, OpFoldResult x, int64_t by) {
  return affine::makeComposedFoldedAffineApply(
      b, loc, b.getAffineDimExpr(0).floorDiv(by), {x});
}

int64_t divide(int64_t x, int64_t by) {
  return ShapedType::isDynamic(x) ? x : x / by;
}

RankedTensorType f32Tensor(MLIRContext *context, ArrayRef<int64_t> shape) {
  return RankedTensorType::get(shape, Float32Type::get(context));
}

RankedTensorType i32Tensor(MLIRContext *context, ArrayRef<int64_t> shape) {
  return RankedTensorType::get(shape, IntegerType::get(context, 32));
}

/// Type inference runs before the verifier and meets operands of any type; an
/// op whose operands are not ranked as ODS demands gets a diagnostic here.
LogicalResult expectRanks(std::optional<Location> loc, ValueRange values,
                          ArrayRef<int64_t> ranks) {
  for (auto [i, value, rank] : llvm::enumerate(values, ranks)) {
    auto type =
        dyn_cast_if_present<RankedTensorType>(value ? value.getType() : Type());
    if (!type || type.getRank() != rank)
      return emitOptionalError(loc, "operand #", i,
                               " must be a ranked tensor of rank ", rank,
                               ", got ", value ? value.getType() : Type());
  }
  return success();
}

/// Whether an op may run where it would not have: not if it relies on the
/// values of some operand, nor on dynamic lengths, which may turn out not to
/// agree with one another (I4, S4, L6) or with causality (I7).
Speculation::Speculatability speculatability(ArrayRef<Value> promises,
                                             int64_t lq, int64_t lk) {
  bool mayFail = ShapedType::isDynamic(lq) || ShapedType::isDynamic(lk);
  bool relies = llvm::any_of(promises, [](Value v) { return bool(v); });
  return mayFail || relies ? Speculation::NotSpeculatable
                           : Speculation::Speculatable;
}
} // namespace

//===----------------------------------------------------------------------===//
// PoolOp
//===----------------------------------------------------------------------===//

void PoolOp::build(OpBuilder &builder, OperationState &state, Value x,
                   Value cuSeqlens, int64_t by, int64_t heads) {
  build(builder, state, x, cuSeqlens, by, heads, /*representatives=*/0,
        /*block=*/0, /*spread=*/0, /*norms=*/0, /*factor=*/FloatAttr());
}

/// What the arithmetic of shapes relies on, and the verifier comes too late to
/// say.
static LogicalResult expectFactors(std::optional<Location> loc,
                                   PoolOp::Adaptor op) {
  auto signedOf = [](uint64_t value) { return static_cast<int64_t>(value); };
  int64_t by = signedOf(op.getBy()), heads = signedOf(op.getHeads()),
          representatives = signedOf(op.getRepresentatives()),
          block = signedOf(op.getBlock());
  if (by < 1) // [P1]
    return emitOptionalError(loc, "[P1] expected by >= 1, got ", by);
  if (heads < 1) // [P4]
    return emitOptionalError(loc, "[P4] expected heads >= 1, got ", heads);
  if (representatives < 0) // [P5]
    return emitOptionalError(loc, "[P5] expected representatives >= 0, got ",
                             representatives);
  if (representatives > 0 && (block < 1 || block % by != 0)) // [P5]
    return emitOptionalError(loc,
                             "[P5] expected representatives of a block that is "
                             "a multiple of the factor ",
                             by, ", got ", block);
  for (auto [name, dims] : {std::pair("spread", signedOf(op.getSpread())),
                            {"norms", signedOf(op.getNorms())}})
    if (dims < 0) // [P6]
      return emitOptionalError(loc, "[P6] expected ", name, " >= 0, got ",
                               dims);
  return success();
}

LogicalResult
PoolOp::inferReturnTypes(MLIRContext *context, std::optional<Location> loc,
                         ValueRange operands, DictionaryAttr attributes,
                         OpaqueProperties properties, RegionRange regions,
                         ResultTypes &types) {
  PoolOp::Adaptor op(operands, attributes, properties, regions);
  if (failed(expectRanks(loc, {op.getX()}, {4})) ||
      failed(expectFactors(loc, op)))
    return failure();
  int64_t by = op.getBy(), heads = op.getHeads(),
          representatives = op.getRepresentatives(), block = op.getBlock(),
          dims = op.getSpread() ? op.getSpread() : op.getNorms();
  Value x = op.getX();
  int64_t composites = unitsOrSlots(dim(x, 2), op.getCuSeqlens(), by), rows = 0,
          columns = dim(x, 3);
  if (representatives) { // [P5]
    rows = unitsOrSlots(dim(x, 2), op.getCuSeqlens(), block);
    composites = multiplySizes(rows, addSizes(block / by, representatives));
  }
  if (dims && !ShapedType::isDynamic(columns)) // [P6]
    columns = addSizes(columns, columns / dims);
  int64_t batch = dim(x, 0), outHeads = divide(dim(x, 1), heads);
  types.push_back(
      RankedTensorType::get({batch, outHeads, composites, columns},
                            cast<ShapedType>(x.getType()).getElementType()));
  if (representatives)
    types.push_back(
        i32Tensor(context, {batch, outHeads, rows, representatives}));
  return success();
}

LogicalResult PoolOp::reifyResultShapes(OpBuilder &b,
                                        ReifiedRankedShapedTypeDims &shapes) {
  Location loc = getLoc();
  Value x = getX();
  auto apply = [&](AffineExpr e, OpFoldResult of) {
    return affine::makeComposedFoldedAffineApply(b, loc, e, {of});
  };
  AffineExpr d0 = b.getAffineDimExpr(0);
  OpFoldResult batch = dim(b, loc, x, 0), length = dim(b, loc, x, 2),
               columns = dim(b, loc, x, 3),
               heads = divide(b, loc, dim(b, loc, x, 1), getHeads());
  OpFoldResult composites =
      unitsOrSlots(b, loc, length, getCuSeqlens(), getBy());
  OpFoldResult rows;
  if (getRepresentatives()) {
    rows = unitsOrSlots(b, loc, length, getCuSeqlens(), getBlock());
    composites = apply(d0 * rowsOfBlock(), rows);
  }
  if (groupDims())
    columns = apply(d0 + d0.floorDiv(groupDims()), columns);
  shapes.push_back({batch, heads, composites, columns});
  if (getRepresentatives())
    shapes.push_back(
        {batch, heads, rows, b.getIndexAttr(getRepresentatives())});
  return success();
}

Speculation::Speculatability PoolOp::getSpeculatability() {
  return speculatability({getCuSeqlens()}, 0, 0);
}

void PoolOp::getAsmResultNames(OpAsmSetValueNameFn setName) {
  setName(getComposites(), "composites");
  if (getRows())
    setName(getRows(), "rows");
}

//===----------------------------------------------------------------------===//
// BlockScoreOp
//===----------------------------------------------------------------------===//

LogicalResult BlockScoreOp::inferReturnTypes(
    MLIRContext *context, std::optional<Location> loc, ValueRange operands,
    DictionaryAttr attributes, OpaqueProperties properties, RegionRange regions,
    ResultTypes &types) {
  BlockScoreOp::Adaptor op(operands, attributes, properties, regions);
  if (failed(expectRanks(loc, {op.getQ(), op.getK()}, {4, 4})))
    return failure();
  ArrayRef<int64_t> lengths = op.getStaticLengths();
  if (lengths.size() != 2)
    return emitOptionalError(loc, "expected lengths [Lq, Lk], got ",
                             lengths.size(), " values");
  Value heads = op.getShare() == Share::Group ? op.getK() : op.getQ();
  types.push_back(f32Tensor(
      context,
      {dim(op.getQ(), 0), dim(heads, 1),
       unitsOrSlots(lengths[0], op.getCuSeqlensQ(), op.getBlock().getQuery()),
       ceilUnits(lengths[1], op.getBlock().getKey())}));
  return success();
}

LogicalResult
BlockScoreOp::reifyResultShapes(OpBuilder &b,
                                ReifiedRankedShapedTypeDims &shapes) {
  Location loc = getLoc();
  SmallVector<OpFoldResult> lengths =
      getMixedValues(getStaticLengths(), getLengths(), b);
  Value heads = getShare() == Share::Group ? getK() : getQ();
  shapes.push_back(
      {dim(b, loc, getQ(), 0), dim(b, loc, heads, 1),
       unitsOrSlots(b, loc, lengths[0], getCuSeqlensQ(), getBlock().getQuery()),
       ceilUnits(b, loc, lengths[1], getBlock().getKey())});
  return success();
}

Speculation::Speculatability BlockScoreOp::getSpeculatability() {
  return speculatability({getCuSeqlensQ(), getCuSeqlensK()},
                         getStaticLengths()[0], getStaticLengths()[1]);
}

int64_t BlockScoreOp::getHeadDim() {
  int64_t columns = dim(getQ(), 3), spread = getPooling().getSpread();
  return !spread || ShapedType::isDynamic(columns)
             ? columns
             : columns / (spread + 1) * spread;
}

double BlockScoreOp::getLogitScale() {
  return logitScale(getScale(), getHeadDim());
}

void BlockScoreOp::getAsmResultNames(OpAsmSetValueNameFn setName) {
  setName(getMass(), "mass");
}

//===----------------------------------------------------------------------===//
// BlockSelectOp
//===----------------------------------------------------------------------===//

/// The heads of a selection: those of the masses, or of the shares where these
/// name more [L5].
static int64_t selectionHeads(Value mass, Value topP) {
  int64_t heads = dim(mass, 1);
  if (!topP)
    return heads;
  int64_t named = dim(topP, 0);
  return ShapedType::isDynamic(heads) || ShapedType::isDynamic(named)
             ? ShapedType::kDynamic
             : std::max(heads, named);
}

LogicalResult BlockSelectOp::inferReturnTypes(
    MLIRContext *context, std::optional<Location> loc, ValueRange operands,
    DictionaryAttr attributes, OpaqueProperties properties, RegionRange regions,
    ResultTypes &types) {
  BlockSelectOp::Adaptor op(operands, attributes, properties, regions);
  if (failed(expectRanks(loc, {op.getMass()}, {4})))
    return failure();
  Value mass = op.getMass();
  int64_t b = dim(mass, 0), h = selectionHeads(mass, op.getTopP()),
          r = dim(mass, 2), j = dim(mass, 3);
  types.push_back(i32Tensor(context, {b, h, r}));
  types.push_back(i32Tensor(context, {b, h, r, j}));
  types.push_back(f32Tensor(context, {b, h}));
  return success();
}

LogicalResult
BlockSelectOp::reifyResultShapes(OpBuilder &builder,
                                 ReifiedRankedShapedTypeDims &shapes) {
  Location loc = getLoc();
  Value mass = getMass();
  OpFoldResult h = dim(builder, loc, mass, 1);
  if (getTopP())
    h = affine::makeComposedFoldedAffineMax(
        builder, loc, AffineMap::getMultiDimIdentityMap(2, getContext()),
        {h, dim(builder, loc, getTopP(), 0)});
  OpFoldResult b = dim(builder, loc, mass, 0), r = dim(builder, loc, mass, 2),
               j = dim(builder, loc, mass, 3);
  shapes.push_back({b, h, r});
  shapes.push_back({b, h, r, j});
  shapes.push_back({b, h});
  return success();
}

Speculation::Speculatability BlockSelectOp::getSpeculatability() {
  return speculatability({getTopP(), getCuSeqlensQ(), getCuSeqlensK()},
                         getStaticLengths()[0], getStaticLengths()[1]);
}

void BlockSelectOp::getAsmResultNames(OpAsmSetValueNameFn setName) {
  setName(getCounts(), "counts");
  setName(getIndices(), "indices");
  setName(getDensity(), "density");
}

//===----------------------------------------------------------------------===//
// BlockSparseAttentionOp
//===----------------------------------------------------------------------===//

/// Types of `o` and, where asked for, `lse` [A2].
static void inferOutputs(MLIRContext *context, Value q, Value v, bool lse,
                         ResultTypes &types) {
  int64_t b = dim(q, 0), h = dim(q, 1), l = dim(q, 2);
  types.push_back(RankedTensorType::get(
      {b, h, l, dim(v, 3)}, cast<ShapedType>(q.getType()).getElementType()));
  if (lse)
    types.push_back(f32Tensor(context, {b, h, l}));
}

static void reifyOutputs(OpBuilder &builder, Location loc, Value q, Value v,
                         bool lse, ReifiedRankedShapedTypeDims &shapes) {
  OpFoldResult b = dim(builder, loc, q, 0), h = dim(builder, loc, q, 1),
               l = dim(builder, loc, q, 2);
  shapes.push_back({b, h, l, dim(builder, loc, v, 3)});
  if (lse)
    shapes.push_back({b, h, l});
}

LogicalResult BlockSparseAttentionOp::inferReturnTypes(
    MLIRContext *context, std::optional<Location> loc, ValueRange operands,
    DictionaryAttr attributes, OpaqueProperties properties, RegionRange regions,
    ResultTypes &types) {
  BlockSparseAttentionOp::Adaptor op(operands, attributes, properties, regions);
  if (failed(expectRanks(loc, {op.getQ(), op.getK(), op.getV()}, {4, 4, 4})))
    return failure();
  inferOutputs(context, op.getQ(), op.getV(), op.getReturnLse(), types);
  return success();
}

LogicalResult
BlockSparseAttentionOp::reifyResultShapes(OpBuilder &b,
                                          ReifiedRankedShapedTypeDims &shapes) {
  reifyOutputs(b, getLoc(), getQ(), getV(), getReturnLse(), shapes);
  return success();
}

Speculation::Speculatability BlockSparseAttentionOp::getSpeculatability() {
  return speculatability({getCounts(), getCuSeqlensQ(), getCuSeqlensK()},
                         dim(getQ(), 2), dim(getK(), 2));
}

void BlockSparseAttentionOp::getAsmResultNames(OpAsmSetValueNameFn setName) {
  setName(getO(), "o");
  if (getLse())
    setName(getLse(), "lse");
}

//===----------------------------------------------------------------------===//
// AttentionOp
//===----------------------------------------------------------------------===//

namespace {
/// Distinct selections of an attention: composite heads, KV heads where groups
/// share [S6] and several composite heads make a group, or what `top_p` names.
int64_t attentionSelections(AttentionOp::Adaptor op) {
  int64_t composites = divide(dim(op.getQ(), 1), op.getPooling().getHeads());
  int64_t kvHeads = dim(op.getK(), 1);
  int64_t heads = composites;
  if (op.getShare() == Share::Group)
    heads = ShapedType::isDynamic(kvHeads) || ShapedType::isDynamic(composites)
                ? ShapedType::kDynamic
                : std::min(kvHeads, composites);
  if (!op.getTopP())
    return heads;
  int64_t named = dim(op.getTopP(), 0);
  return ShapedType::isDynamic(named) || ShapedType::isDynamic(heads)
             ? ShapedType::kDynamic
             : std::max(named, heads);
}
} // namespace

LogicalResult
AttentionOp::inferReturnTypes(MLIRContext *context, std::optional<Location> loc,
                              ValueRange operands, DictionaryAttr attributes,
                              OpaqueProperties properties, RegionRange regions,
                              ResultTypes &types) {
  AttentionOp::Adaptor op(operands, attributes, properties, regions);
  if (failed(expectRanks(loc, {op.getQ(), op.getK(), op.getV()}, {4, 4, 4})))
    return failure();
  inferOutputs(context, op.getQ(), op.getV(), op.getReturnLse(), types);
  int64_t b = dim(op.getQ(), 0), h = attentionSelections(op),
          r = unitsOrSlots(dim(op.getQ(), 2), op.getCuSeqlensQ(),
                           op.getBlock().getQuery()),
          j = ceilUnits(dim(op.getK(), 2), op.getBlock().getKey());
  types.push_back(i32Tensor(context, {b, h, r}));
  types.push_back(i32Tensor(context, {b, h, r, j}));
  types.push_back(f32Tensor(context, {b, h}));
  return success();
}

LogicalResult
AttentionOp::reifyResultShapes(OpBuilder &builder,
                               ReifiedRankedShapedTypeDims &shapes) {
  Location loc = getLoc();
  reifyOutputs(builder, loc, getQ(), getV(), getReturnLse(), shapes);
  auto minMax = [&](OpFoldResult x, OpFoldResult y, bool max) {
    AffineMap map = AffineMap::getMultiDimIdentityMap(2, getContext());
    return max ? affine::makeComposedFoldedAffineMax(builder, loc, map, {x, y})
               : affine::makeComposedFoldedAffineMin(builder, loc, map, {x, y});
  };
  OpFoldResult h = divide(builder, loc, dim(builder, loc, getQ(), 1),
                          getPooling().getHeads());
  if (getShare() == Share::Group)
    h = minMax(dim(builder, loc, getK(), 1), h, /*max=*/false);
  if (getTopP())
    h = minMax(dim(builder, loc, getTopP(), 0), h, /*max=*/true);
  OpFoldResult b = dim(builder, loc, getQ(), 0),
               r = unitsOrSlots(builder, loc, dim(builder, loc, getQ(), 2),
                                getCuSeqlensQ(), getBlock().getQuery()),
               j = ceilUnits(builder, loc, dim(builder, loc, getK(), 2),
                             getBlock().getKey());
  shapes.push_back({b, h, r});
  shapes.push_back({b, h, r, j});
  shapes.push_back({b, h});
  return success();
}

Speculation::Speculatability AttentionOp::getSpeculatability() {
  return speculatability({getTopP(), getCuSeqlensQ(), getCuSeqlensK()},
                         dim(getQ(), 2), dim(getK(), 2));
}

void AttentionOp::getAsmResultNames(OpAsmSetValueNameFn setName) {
  setName(getO(), "o");
  if (getLse())
    setName(getLse(), "lse");
  setName(getCounts(), "counts");
  setName(getIndices(), "indices");
  setName(getDensity(), "density");
}
