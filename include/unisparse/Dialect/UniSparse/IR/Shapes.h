// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// How many blocks, composites and slots a length has: the arithmetic that type
// inference, reification, verifiers and every lowering share.
#ifndef UNISPARSE_DIALECT_UNISPARSE_IR_SHAPES_H
#define UNISPARSE_DIALECT_UNISPARSE_IR_SHAPES_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"

namespace unisparse {

/// Sums and products of sizes of types; dynamic where one is, and no larger
/// than a size can be: a type is inferred of sizes that no verifier has looked
/// at.
int64_t addSizes(int64_t a, int64_t b);
int64_t multiplySizes(int64_t a, int64_t b);

/// Units of `granularity` tokens in `length` tokens: ceil(length /
/// granularity). Dynamic lengths give dynamic results.
int64_t ceilUnits(int64_t length, int64_t granularity);
mlir::OpFoldResult ceilUnits(mlir::OpBuilder &b, mlir::Location loc,
                             mlir::OpFoldResult length, int64_t granularity);

/// Slots of a batch packed from `sequences` sequences, `length` tokens in all:
/// floor(length / granularity) + sequences. Sequence s owns those from
/// floor(cu[s] / granularity) + s on; ceil(n / granularity) of them are in use.
int64_t packedSlots(int64_t length, int64_t sequences, int64_t granularity);
mlir::OpFoldResult packedSlots(mlir::OpBuilder &b, mlir::Location loc,
                               mlir::OpFoldResult length,
                               mlir::OpFoldResult sequences,
                               int64_t granularity);

/// ceilUnits, or packedSlots where `cuSeqlens` is present.
int64_t unitsOrSlots(int64_t length, mlir::Value cuSeqlens,
                     int64_t granularity);
mlir::OpFoldResult unitsOrSlots(mlir::OpBuilder &b, mlir::Location loc,
                                mlir::OpFoldResult length,
                                mlir::Value cuSeqlens, int64_t granularity);

/// The factor of the logits: `scale`, or D ** -0.5 [S1, A1].
double logitScale(std::optional<llvm::APFloat> scale, int64_t headDim);

/// True unless both are static and differ.
inline bool mayEqual(int64_t a, int64_t b) {
  return mlir::ShapedType::isDynamic(a) || mlir::ShapedType::isDynamic(b) ||
         a == b;
}

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNISPARSE_IR_SHAPES_H
