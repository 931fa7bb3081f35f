// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Emit.h"

using namespace unisparse::loops;

//===----------------------------------------------------------------------===//
// Index arithmetic
//===----------------------------------------------------------------------===//

Value Emit::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}
Value Emit::add(Value x, Value y) {
  return b.createOrFold<arith::AddIOp>(x, y);
}
Value Emit::sub(Value x, Value y) {
  return b.createOrFold<arith::SubIOp>(x, y);
}
Value Emit::mul(Value x, Value y) {
  return b.createOrFold<arith::MulIOp>(x, y);
}
Value Emit::floorDiv(Value x, int64_t y) {
  return b.createOrFold<arith::DivUIOp>(x, index(y));
}
Value Emit::ceilDiv(Value x, int64_t y) {
  return b.createOrFold<arith::DivUIOp>(add(x, y - 1), index(y));
}
Value Emit::rem(Value x, int64_t y) {
  return b.createOrFold<arith::RemUIOp>(x, index(y));
}
Value Emit::min(Value x, Value y) {
  return b.createOrFold<arith::MinSIOp>(x, y);
}
Value Emit::max(Value x, Value y) {
  return b.createOrFold<arith::MaxSIOp>(x, y);
}
Value Emit::less(Value x, Value y) {
  return b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::slt, x, y);
}
Value Emit::toI32(Value index) {
  return b.createOrFold<arith::IndexCastOp>(b.getI32Type(), index);
}
Value Emit::fromI32(Value i32) {
  return b.createOrFold<arith::IndexCastOp>(b.getIndexType(), i32);
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

void Emit::forEach(Value lo, Value hi, function_ref<void(Value)> body) {
  scf::ForOp::create(b, lo, hi, index(1), ValueRange{},
                     [&](OpBuilder &, Location, Value i, ValueRange) {
                       body(i);
                       scf::YieldOp::create(b);
                     });
}

SmallVector<Value>
Emit::fold(Value lo, Value hi, ValueRange inits,
           function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(
      b, lo, hi, index(1), inits,
      [&](OpBuilder &, Location, Value i, ValueRange carried) {
        scf::YieldOp::create(b, body(i, carried));
      });
  return SmallVector<Value>(loop.getResults());
}

void Emit::parallel(ArrayRef<Value> sizes,
                    function_ref<void(ValueRange)> body) {
  SmallVector<Value> zeros(sizes.size(), index(0)),
      ones(sizes.size(), index(1));
  scf::ParallelOp::create(
      b, zeros, sizes, ones,
      [&](OpBuilder &, Location, ValueRange at) { body(at); });
}

void Emit::ifThen(Value condition, function_ref<void()> body) {
  scf::IfOp::create(b, condition, [&](OpBuilder &, Location) {
    body();
    scf::YieldOp::create(b);
  });
}

//===----------------------------------------------------------------------===//
// Scalars and vectors of f32
//===----------------------------------------------------------------------===//

Value Emit::f32(double value) {
  return arith::ConstantOp::create(b, b.getF32FloatAttr(value));
}
Value Emit::splat(Value scalar, int64_t lanes) {
  return b.createOrFold<vector::BroadcastOp>(
      VectorType::get({lanes}, scalar.getType()), scalar);
}
Value Emit::iota(int64_t lanes) {
  auto values = llvm::to_vector(llvm::seq<int32_t>(0, lanes));
  return arith::ConstantOp::create(
      b, DenseIntElementsAttr::get(VectorType::get({lanes}, b.getI32Type()),
                                   values));
}
Value Emit::addF(Value x, Value y) { return arith::AddFOp::create(b, x, y); }
Value Emit::subF(Value x, Value y) { return arith::SubFOp::create(b, x, y); }
Value Emit::mulF(Value x, Value y) { return arith::MulFOp::create(b, x, y); }
Value Emit::divF(Value x, Value y) { return arith::DivFOp::create(b, x, y); }
Value Emit::maxF(Value x, Value y) {
  return select(arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, x, y), x,
                y);
}
Value Emit::exp(Value x) { return math::ExpOp::create(b, x); }
Value Emit::log(Value x) { return math::LogOp::create(b, x); }
Value Emit::select(Value condition, Value x, Value y) {
  return arith::SelectOp::create(b, condition, x, y);
}

/// The type of `x` with another element type.
static Type withElement(Value x, Type element) {
  auto vector = dyn_cast<VectorType>(x.getType());
  return vector ? Type(vector.clone(element)) : element;
}

Value Emit::widen(Value x) {
  if (getElementTypeOrSelf(x).isF32())
    return x;
  return arith::ExtFOp::create(b, withElement(x, b.getF32Type()), x);
}

Value Emit::narrow(Value x, Type element) {
  if (element.isF32())
    return x;
  return arith::TruncFOp::create(b, withElement(x, element), x);
}

Value Emit::narrowSaturating(Value x, Type element) {
  bool lossy = false;
  APFloat most =
      APFloat::getLargest(cast<FloatType>(element).getFloatSemantics());
  most.convert(APFloat::IEEEsingle(), APFloat::rmTowardZero, &lossy);
  auto bound = [&](float value) -> Value {
    Type type = withElement(x, b.getF32Type());
    TypedAttr number = b.getF32FloatAttr(value);
    if (auto vector = dyn_cast<VectorType>(type))
      number = DenseElementsAttr::get(vector, value);
    return arith::ConstantOp::create(b, number);
  };
  Value high = bound(most.convertToFloat()),
        low = bound(-most.convertToFloat());
  auto isBeyond = [&](arith::CmpFPredicate predicate, Value y) {
    return arith::CmpFOp::create(b, predicate, x, y).getResult();
  };
  // A NaN is beyond nothing and stays.
  Value above = isBeyond(arith::CmpFPredicate::OGT, high),
        below = isBeyond(arith::CmpFPredicate::OLT, low);
  return narrow(select(below, low, select(above, high, x)), element);
}

Value Emit::sumLanes(Value vector) {
  return vector::ReductionOp::create(b, vector::CombiningKind::ADD, vector,
                                     arith::FastMathFlags::reassoc);
}

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

Value Emit::buffer(ArrayRef<int64_t> shape, Type element,
                   ValueRange dynamicSizes) {
  // A cache line, so that no vector straddles two.
  return memref::AllocOp::create(b, MemRefType::get(shape, element),
                                 dynamicSizes, b.getI64IntegerAttr(64));
}
Value Emit::dim(Value buffer, int64_t i) {
  auto type = cast<MemRefType>(buffer.getType());
  return type.isDynamicDim(i) ? Value(memref::DimOp::create(b, buffer, i))
                              : index(type.getDimSize(i));
}
Value Emit::load(Value buffer, ValueRange at) {
  return memref::LoadOp::create(b, buffer, at);
}
void Emit::store(Value x, Value buffer, ValueRange at) {
  memref::StoreOp::create(b, x, buffer, at);
}
Value Emit::loadVector(Value buffer, ValueRange at, int64_t lanes) {
  Type element = cast<MemRefType>(buffer.getType()).getElementType();
  return vector::LoadOp::create(b, VectorType::get({lanes}, element), buffer,
                                at);
}
void Emit::storeVector(Value x, Value buffer, ValueRange at) {
  vector::StoreOp::create(b, x, buffer, at);
}
void Emit::fill(Value buffer, double value) {
  Type element = cast<MemRefType>(buffer.getType()).getElementType();
  TypedAttr number = isa<FloatType>(element)
                         ? TypedAttr(b.getFloatAttr(element, value))
                         : b.getIntegerAttr(element, int64_t(value));
  linalg::FillOp::create(b, ValueRange{arith::ConstantOp::create(b, number)},
                         ValueRange{buffer});
}

static Value subview(ImplicitLocOpBuilder &b, Value buffer,
                     SmallVector<OpFoldResult> offsets,
                     SmallVector<OpFoldResult> sizes, int64_t dropped) {
  auto type = cast<MemRefType>(buffer.getType());
  SmallVector<OpFoldResult> strides(offsets.size(), b.getIndexAttr(1));
  SmallVector<int64_t> kept;
  for (OpFoldResult size : ArrayRef(sizes).drop_front(dropped))
    kept.push_back(getConstantIntValue(size).value_or(ShapedType::kDynamic));
  auto result = memref::SubViewOp::inferRankReducedResultType(
      kept, type, offsets, sizes, strides);
  return memref::SubViewOp::create(b, cast<MemRefType>(result), buffer, offsets,
                                   sizes, strides);
}

Value Emit::part(Value buffer, ValueRange at) {
  auto type = cast<MemRefType>(buffer.getType());
  SmallVector<OpFoldResult> offsets, sizes;
  for (int64_t i = 0; i < type.getRank(); ++i) {
    bool fixed = i < static_cast<int64_t>(at.size());
    offsets.push_back(fixed ? OpFoldResult(at[i]) : b.getIndexAttr(0));
    sizes.push_back(fixed ? OpFoldResult(b.getIndexAttr(1))
                          : getAsOpFoldResult(dim(buffer, i)));
  }
  return subview(b, buffer, offsets, sizes, at.size());
}

Value Emit::corner(Value buffer, ArrayRef<int64_t> sizes) {
  SmallVector<OpFoldResult> offsets(sizes.size(), b.getIndexAttr(0)), extents;
  for (int64_t size : sizes)
    extents.push_back(b.getIndexAttr(size));
  return subview(b, buffer, offsets, extents, 0);
}
