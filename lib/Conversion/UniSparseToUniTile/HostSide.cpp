// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "HostSide.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "unisparse/Dialect/UniSparse/Transforms/LengthRules.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

using namespace unisparse;

Value HostSide::index(int64_t i) {
  return arith::ConstantIndexOp::create(b, i);
}
Value HostSide::ceilDiv(Value x, int64_t y) {
  return b.createOrFold<arith::CeilDivUIOp>(x, index(y));
}
Value HostSide::add(Value x, Value y) {
  return b.createOrFold<arith::AddIOp>(x, y);
}
Value HostSide::sub(Value x, Value y) {
  return b.createOrFold<arith::SubIOp>(x, y);
}

/// What a tensor was before it was cast to a type that says more or less.
static Value withoutCasts(Value tensor) {
  while (auto cast = tensor.getDefiningOp<tensor::CastOp>()) {
    if (!isa<RankedTensorType>(cast.getSource().getType()))
      break;
    tensor = cast.getSource();
  }
  return tensor;
}

/// The contiguous buffer that a tensor stands for, as each of our own results
/// does; null for other tensors.
static Value ownBuffer(Value tensor) {
  auto op = withoutCasts(tensor).getDefiningOp<bufferization::ToTensorOp>();
  auto type =
      op ? dyn_cast<MemRefType>(op.getBuffer().getType()) : MemRefType();
  return type && type.getLayout().isIdentity() ? op.getBuffer() : Value();
}

Value HostSide::dim(Value tensor, int64_t i) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(i))
    return index(type.getDimSize(i));
  tensor = withoutCasts(tensor);
  if (auto empty = tensor.getDefiningOp<tensor::EmptyOp>())
    if (empty.getType().isDynamicDim(i))
      return empty.getDynamicSize(i);
  if (Value memref = ownBuffer(tensor))
    return b.createOrFold<memref::DimOp>(memref, i);
  return b.createOrFold<tensor::DimOp>(tensor, i);
}

Value HostSide::slots(Value length, Value cuSeqlens, int64_t by) {
  return countUnitsOrSlots(b, b.getLoc(), length,
                           cuSeqlens ? dim(cuSeqlens, 0) : Value(), by);
}

Value HostSide::i32(Value index) {
  return b.createOrFold<arith::IndexCastOp>(b.getI32Type(), index);
}

/// The tensor that a slice with contiguous rows is a part of; the tensor itself
/// where it is no such slice.
static Value originOf(Value tensor) {
  for (;;) {
    tensor = withoutCasts(tensor);
    auto slice = tensor.getDefiningOp<tensor::ExtractSliceOp>();
    if (!slice ||
        slice.getType().getRank() != slice.getSourceType().getRank() ||
        !isConstantIntValue(slice.getMixedStrides().back(), 1))
      return tensor;
    tensor = slice.getSource();
  }
}

/// The layout of rows that are contiguous, other strides free; or that of a
/// tensor without gaps.
static MemRefLayoutAttrInterface layoutOf(Value tensor, bool strided) {
  MLIRContext *context = tensor.getContext();
  int64_t rank = cast<RankedTensorType>(tensor.getType()).getRank();
  if (!strided)
    return AffineMapAttr::get(AffineMap::getMultiDimIdentityMap(rank, context));
  SmallVector<int64_t> strides(rank, ShapedType::kDynamic);
  strides.back() = 1;
  return StridedLayoutAttr::get(context, ShapedType::kDynamic, strides);
}

/// The function whose argument a tensor is.
static FunctionOpInterface functionOf(Value tensor) {
  auto argument = dyn_cast<BlockArgument>(tensor);
  if (!argument || !argument.getOwner()->isEntryBlock())
    return {};
  return dyn_cast<FunctionOpInterface>(argument.getOwner()->getParentOp());
}

/// Whether the program has the same elements with other dims, too: no strides
/// of a caller's let every dim be a part of another.
static bool isReshaped(Value tensor) {
  return llvm::any_of(
      tensor.getUsers(),
      llvm::IsaPred<tensor::CollapseShapeOp, tensor::ExpandShapeOp>);
}

Value HostSide::buffer(Value tensor, bool strided) {
  if (Value memref = ownBuffer(tensor))
    return memref;
  tensor = withoutCasts(tensor);
  Value origin = originOf(tensor);
  FunctionOpInterface function = functionOf(origin);
  auto given = origin.getDefiningOp<bufferization::ToTensorOp>();
  auto memref =
      given ? dyn_cast<MemRefType>(given.getBuffer().getType()) : MemRefType();
  // Bufferization is told to pass an argument as it is. What an op computed
  // that is not ours has no layout yet, and is copied where it has gaps.
  if (isReshaped(origin) ||
      (!function && !(memref && memref.isLastDimUnitStride())))
    strided = false;
  MemRefLayoutAttrInterface layout = layoutOf(tensor, strided);
  if (function)
    function.setArgAttr(
        cast<BlockArgument>(origin).getArgNumber(),
        bufferization::BufferizationDialect::kBufferLayoutAttrName,
        layoutOf(origin, strided));
  auto type = cast<RankedTensorType>(tensor.getType());
  return bufferization::ToBufferOp::create(
      b, MemRefType::get(type.getShape(), type.getElementType(), layout),
      tensor, /*read_only=*/true);
}

Value HostSide::givenBuffer(Value tensor) {
  Value origin = originOf(tensor);
  bool strided = false;
  if (FunctionOpInterface function = functionOf(origin))
    strided = isa_and_nonnull<StridedLayoutAttr>(function.getArgAttr(
        cast<BlockArgument>(origin).getArgNumber(),
        bufferization::BufferizationDialect::kBufferLayoutAttrName));
  return typedBuffer(tensor, strided);
}

Value HostSide::typedBuffer(Value tensor, bool strided) {
  Value memref = buffer(tensor, strided);
  auto is = cast<MemRefType>(memref.getType());
  auto shape = cast<RankedTensorType>(tensor.getType()).getShape();
  if (is.getShape() == shape)
    return memref;
  auto type = MemRefType::get(shape, is.getElementType(), is.getLayout(),
                              is.getMemorySpace());
  return memref::CastOp::create(b, type, memref);
}

Value HostSide::length(ArrayRef<int64_t> statics, ValueRange dynamics,
                       size_t i) {
  return getValueOrCreateConstantIndexOp(
      b, b.getLoc(), getMixedValues(statics, dynamics, b)[i]);
}

Value HostSide::result(Type resultType, ArrayRef<Value> sizes) {
  auto type = cast<RankedTensorType>(resultType);
  SmallVector<Value> dynamic;
  for (int64_t i = 0; i < type.getRank(); ++i)
    if (type.isDynamicDim(i))
      dynamic.push_back(sizes[i]);
  auto memref = MemRefType::get(type.getShape(), type.getElementType());
  Value buffer = gpu::AllocOp::create(b, memref, /*asyncToken=*/Type(),
                                      ValueRange{}, dynamic, ValueRange{})
                     .getMemref();
  return bufferization::ToTensorOp::create(b, type, buffer, /*restrict=*/true);
}

void HostSide::require(StringRef label, Value x, StringRef xName,
                       CheckRelation relation, Value y, StringRef yName) {
  createCheck(b, b.getLoc(), label, {x, xName.str()}, relation,
              {y, yName.str()});
}

void HostSide::launch(gpu::GPUFuncOp kernel, std::array<Value, 3> grid,
                      int64_t threads, int64_t sharedBytes,
                      ValueRange operands) {
  Value one = index(1);
  Value shared = arith::ConstantIntOp::create(b, sharedBytes, 32);
  auto launch = gpu::LaunchFuncOp::create(
      b, kernel, gpu::KernelDim3{grid[0], grid[1], grid[2]},
      gpu::KernelDim3{index(threads), one, one}, shared, operands);
  // Outlives the kernel, which becomes a part of an image: reports name it.
  if (Attribute schedule = kernel->getAttr(unitile::kScheduleAttr))
    launch->setAttr(unitile::kScheduleAttr, schedule);
}
