// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_LIB_PIPELINES_STRIDERESULTS_H
#define UNISPARSE_LIB_PIPELINES_STRIDERESULTS_H

#include "mlir/IR/Value.h"

namespace unisparse {

/// Whether rows of a buffer may lie apart: all that uses it, but for returning
/// it, goes by strides. What describes a program and what changes its types ask
/// this alike.
bool canHaveStrides(mlir::Value buffer);

} // namespace unisparse

#endif // UNISPARSE_LIB_PIPELINES_STRIDERESULTS_H
