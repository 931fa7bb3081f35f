// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a kernel may not do that passes take for a page of tile code.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_PAGERULES_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_PAGERULES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse {

/// That a kernel is one block, has no buffers of its own, and knows of its
/// place in the grid and of nothing else that a GPU has: which threads there
/// are is for a schedule to say.
llvm::LogicalResult verifyPlace(mlir::gpu::GPUFuncOp kernel);

/// Memory of a kernel's own, of which each point of the grid has its part.
bool isScratch(mlir::Value memref);

/// That all memory is the kernel's arguments, whose rows are contiguous: they
/// become addresses and strides; or, where a pass places it, the kernel's own.
llvm::LogicalResult verifyMemory(mlir::gpu::GPUFuncOp kernel,
                                 bool scratch = false);

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_PAGERULES_H
