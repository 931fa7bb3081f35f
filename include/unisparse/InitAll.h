// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Everything that a tool, a plugin or an embedding compiler registers.
#ifndef UNISPARSE_INITALL_H
#define UNISPARSE_INITALL_H

#include "mlir/IR/DialectRegistry.h"

namespace unisparse {

/// The project's own dialects, and the interface models and translations to
/// LLVM IR of other dialects that its pipelines need: a context with these and
/// the dialects of the input runs each of them.
void registerDialects(mlir::DialectRegistry &registry);

/// The project's own passes and pipelines.
void registerPasses();

/// The above, and those of upstream MLIR.
void registerAllDialects(mlir::DialectRegistry &registry);
void registerAllPasses();

} // namespace unisparse

#endif // UNISPARSE_INITALL_H
