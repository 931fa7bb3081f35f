// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_PASSES_H
#define UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_PASSES_H

#include "mlir/Pass/Pass.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

namespace unisparse {
#define GEN_PASS_DECL
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h.inc"
} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNISPARSE_TRANSFORMS_PASSES_H
