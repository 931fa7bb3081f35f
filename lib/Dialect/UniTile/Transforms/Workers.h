// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// CTAs that have memory of their own.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_WORKERS_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_WORKERS_H

#include "KernelViews.h"

namespace unisparse {

/// The argument that a kernel's unitile.worker ops are parts of; null where it
/// has none, a diagnostic where they are of no argument or of several.
mlir::FailureOr<mlir::BlockArgument> workersMemory(mlir::gpu::GPUFuncOp kernel);

/// How many parts the memory has that a launch passes for `memory` (index), on
/// the host: as many CTAs may run.
mlir::Value partsOf(PageBuilder &p, mlir::gpu::LaunchFuncOp launch,
                    mlir::BlockArgument memory);

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_WORKERS_H
