// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The stages as loops over buffers, for the conversion pass and for
// one-shot-bufferize.
#ifndef UNISPARSE_CONVERSION_UNISPARSETOLOOPS_H
#define UNISPARSE_CONVERSION_UNISPARSETOLOOPS_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/Operation.h"

namespace unisparse {

/// The op's tensor operands in the op's order, null where one is absent.
mlir::SmallVector<mlir::Value> tensorOperandSlots(mlir::Operation *op);

/// How loops are cut for a target.
struct Tiling {
  int64_t strip = 16;     ///< Queries side by side.
  bool bf16Pairs = false; ///< bf16 is multiplied in pairs.
};

/// Emits a stage on `buffers` (as tensorOperandSlots orders them) and returns
/// new buffers for its results. Heads and head_dim must be static.
mlir::FailureOr<mlir::SmallVector<mlir::Value>>
lowerToLoops(mlir::OpBuilder &b, mlir::Operation *op, mlir::ValueRange buffers,
             const Tiling &tiling = {});

/// BufferizableOpInterface for every stage.
void registerBufferizableOpInterfaceModels(mlir::DialectRegistry &registry);

} // namespace unisparse

#endif // UNISPARSE_CONVERSION_UNISPARSETOLOOPS_H
