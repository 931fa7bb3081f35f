// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

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
  return length / granularity + sequences;
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
  return packedSlots(length, ShapedType::isDynamic(ends) ? ends : ends - 1,
                     granularity);
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
