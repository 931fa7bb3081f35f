// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a level demands of the ops that leave it, for the contract pass and for
// the conversions that rely on it.
#ifndef UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_CONTRACTS_H
#define UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_CONTRACTS_H

#include "mlir/IR/Operation.h"

namespace unisparse {

/// What is static of a stage is not beyond all bounds. Other ops pass.
mlir::LogicalResult verifyBounds(mlir::Operation *op);

/// The same, and heads and head_dim of a stage are static, as its tiles are
/// laid out for them, and no unisparse.attention is left whole.
mlir::LogicalResult verifyStaticTiles(mlir::Operation *op);

/// The same of every op under `root`, in which no module lies, with an index of
/// 64 bits; one diagnostic, of the first that fails.
mlir::LogicalResult verifyTensorContract(mlir::Operation *root);

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_CONTRACTS_H
