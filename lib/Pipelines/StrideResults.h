// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_LIB_PIPELINES_STRIDERESULTS_H
#define UNISPARSE_LIB_PIPELINES_STRIDERESULTS_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"

namespace unisparse {

/// Whether rows of a buffer may lie apart: all that uses it, but for returning
/// it, goes by strides. What describes a program and what changes its types ask
/// this alike.
bool canHaveStrides(mlir::Value buffer);

/// The type of such a buffer, with strides that only a call knows. Rows stay
/// whole.
mlir::MemRefType withStrides(mlir::MemRefType type);

} // namespace unisparse

#endif // UNISPARSE_LIB_PIPELINES_STRIDERESULTS_H
