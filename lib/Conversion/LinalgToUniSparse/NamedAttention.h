// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Attention that other dialects name. Their ops are read in generic form, so
// that this compiler need not know the dialects.
#ifndef UNISPARSE_CONVERSION_LINALGTOUNISPARSE_NAMEDATTENTION_H
#define UNISPARSE_CONVERSION_LINALGTOUNISPARSE_NAMEDATTENTION_H

#include "mlir/IR/PatternMatch.h"

namespace unisparse::raise {

bool isNamedAttention(mlir::Operation *op);

/// Replaces the op. Fails, and changes nothing, with `why`.
mlir::LogicalResult raiseNamedAttention(mlir::RewriterBase &rewriter,
                                        mlir::Operation *op, std::string &why);

} // namespace unisparse::raise

#endif // UNISPARSE_CONVERSION_LINALGTOUNISPARSE_NAMEDATTENTION_H
