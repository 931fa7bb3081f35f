// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The rules of SPEC.md about sizes of a stage's operands, for every lowering.
#ifndef UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_LENGTHRULES_H
#define UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_LENGTHRULES_H

#include "mlir/IR/Builders.h"

namespace unisparse {

/// Asserts in front of a stage what types could not say of dynamic sizes: I2,
/// I4, I7 of one sequence, I8's sizes, P5, S4, L6, A4, M3. `sizeOf` gives a
/// size of an operand as an index, as the lowering finds it. What cu_seqlens
/// hold is no size.
void createLengthChecks(
    mlir::OpBuilder &b, mlir::Operation *stage,
    llvm::function_ref<mlir::Value(mlir::Value, int64_t)> sizeOf);

/// unitsOrSlots of Shapes.h of index values, in arith, as launch plans and
/// loops have it; `ends` is the size of cu_seqlens, null where there is none.
mlir::Value countUnitsOrSlots(mlir::OpBuilder &b, mlir::Location loc,
                              mlir::Value length, mlir::Value ends,
                              int64_t granularity);

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_LENGTHRULES_H
