// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Where threads wait for each other's values.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_SCRATCHBARRIERS_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_SCRATCHBARRIERS_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse {

/// The buffer that an op writes to, or reads from; null of other ops.
mlir::Value writtenBy(mlir::Operation *op);
mlir::Value readBy(mlir::Operation *op);

/// The memory of a kernel's own.
llvm::SmallVector<mlir::memref::AllocaOp>
scratchOf(mlir::gpu::GPUFuncOp kernel);

/// A barrier of the CTA in front of each op that reads what an earlier one has
/// written to the kernel's own memory, or writes what an earlier one uses.
/// Refuses ops that threads would not come to together, and loops whose
/// iterations exchange values by it.
llvm::LogicalResult insertScratchBarriers(mlir::gpu::GPUFuncOp kernel);

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_SCRATCHBARRIERS_H
