// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_CONVERSION_PASSES_H
#define UNISPARSE_CONVERSION_PASSES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Pass/Pass.h"

namespace unisparse {
#define GEN_PASS_DECL
#include "unisparse/Conversion/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

#endif // UNISPARSE_CONVERSION_PASSES_H
