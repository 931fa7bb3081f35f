// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// From matched attention to the op: [batch, heads, length, head_dim] of what
// the operands hold.
#ifndef UNISPARSE_CONVERSION_LINALGTOUNISPARSE_BUILD_H
#define UNISPARSE_CONVERSION_LINALGTOUNISPARSE_BUILD_H

#include "Match.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

namespace unisparse::raise {

/// Replaces the attention's last product. Fails where its operands are not
/// those of the op; says why. What it wrote in front of the product is then of
/// no use.
mlir::LogicalResult buildAttention(mlir::RewriterBase &rewriter, Tracer &tracer,
                                   Attention &attention, std::string &why);

/// o of dense attention over [batch, heads, length, head_dim], widened or
/// narrowed to `element`. Without a scale it is D ** -0.5. Fails where that is
/// no valid op; says why.
mlir::FailureOr<mlir::Value>
createDenseAttention(mlir::OpBuilder &b, mlir::Location loc, mlir::Value q,
                     mlir::Value k, mlir::Value v, bool causal,
                     std::optional<double> scale, mlir::Type element,
                     std::string &why);

/// The tensor with its elements widened or narrowed.
mlir::Value convertElements(mlir::OpBuilder &b, mlir::Location loc,
                            mlir::Value tensor, mlir::Type element);

} // namespace unisparse::raise

#endif // UNISPARSE_CONVERSION_LINALGTOUNISPARSE_BUILD_H
