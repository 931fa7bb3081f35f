// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Moves elements between tensors that hold the same digits in another order.
#ifndef UNISPARSE_CONVERSION_LINALGTOUNISPARSE_LAYOUT_H
#define UNISPARSE_CONVERSION_LINALGTOUNISPARSE_LAYOUT_H

#include "Digits.h"
#include "mlir/IR/Builders.h"

namespace unisparse::raise {

/// True where the indices of a tensor name each digit once and cover every
/// dimension.
bool coversAll(const Digits &digits, mlir::Value tensor,
               llvm::ArrayRef<Index> index);

/// `tensor`, whose dimensions are indexed by `from`, with dimensions indexed by
/// `to`: the same digits. Expands, transposes and collapses what it has to.
mlir::Value relayout(mlir::OpBuilder &b, mlir::Location loc,
                     const Digits &digits, mlir::Value tensor,
                     llvm::ArrayRef<Index> from, llvm::ArrayRef<Index> to);

} // namespace unisparse::raise

#endif // UNISPARSE_CONVERSION_LINALGTOUNISPARSE_LAYOUT_H
