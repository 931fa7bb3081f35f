// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <cmath>
#include <limits>

using namespace mlir;

/// What an int64_t can say of a number: types have no other sizes, and no one's
/// memory has that many elements.
static int64_t clamp(uint64_t number) {
  return std::min<uint64_t>(number, std::numeric_limits<int64_t>::max());
}

int64_t unisparse::addSizes(int64_t a, int64_t b) {
  if (ShapedType::isDynamic(a) || ShapedType::isDynamic(b))
    return ShapedType::kDynamic;
  return clamp(llvm::SaturatingAdd<uint64_t>(a, b));
}

int64_t unisparse::multiplySizes(int64_t a, int64_t b) {
  if (ShapedType::isDynamic(a) || ShapedType::isDynamic(b))
    return ShapedType::kDynamic;
  return clamp(llvm::SaturatingMultiply<uint64_t>(a, b));
}

int64_t unisparse::ceilUnits(int64_t length, int64_t granularity) {
  return ShapedType::isDynamic(length)
             ? length
             : static_cast<int64_t>(llvm::divideCeil(length, granularity));
}

OpFoldResult unisparse::ceilUnits(OpBuilder &b, Location loc,
                                  OpFoldResult length, int64_t granularity) {
  return affine::makeComposedFoldedAffineApply(
      b, loc, b.getAffineDimExpr(0).ceilDiv(granularity), {length});
}

int64_t unisparse::packedSlots(int64_t length, int64_t sequences,
                               int64_t granularity) {
  if (ShapedType::isDynamic(length) || ShapedType::isDynamic(sequences))
    return ShapedType::kDynamic;
  return addSizes(length / granularity, sequences);
}

OpFoldResult unisparse::packedSlots(OpBuilder &b, Location loc,
                                    OpFoldResult length, OpFoldResult sequences,
                                    int64_t granularity) {
  return affine::makeComposedFoldedAffineApply(
      b, loc,
      b.getAffineDimExpr(0).floorDiv(granularity) + b.getAffineDimExpr(1),
      {length, sequences});
}

int64_t unisparse::unitsOrSlots(int64_t length, Value cuSeqlens,
                                int64_t granularity) {
  if (!cuSeqlens)
    return ceilUnits(length, granularity);
  int64_t ends = cast<ShapedType>(cuSeqlens.getType()).getDimSize(0);
  // Types are inferred before I8 refuses a tensor without entries.
  int64_t sequences =
      ShapedType::isDynamic(ends) ? ends : std::max<int64_t>(ends, 1) - 1;
  return packedSlots(length, sequences, granularity);
}

OpFoldResult unisparse::unitsOrSlots(OpBuilder &b, Location loc,
                                     OpFoldResult length, Value cuSeqlens,
                                     int64_t granularity) {
  if (!cuSeqlens)
    return ceilUnits(b, loc, length, granularity);
  OpFoldResult ends = tensor::getMixedSize(b, loc, cuSeqlens, 0);
  OpFoldResult sequences = affine::makeComposedFoldedAffineApply(
      b, loc, b.getAffineDimExpr(0) - 1, {ends});
  return packedSlots(b, loc, length, sequences, granularity);
}

double unisparse::logitScale(std::optional<llvm::APFloat> scale,
                             int64_t headDim) {
  return scale ? scale->convertToDouble()
               : 1.0 / std::sqrt(static_cast<double>(headDim));
}
