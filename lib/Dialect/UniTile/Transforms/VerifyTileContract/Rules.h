// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The rules of the tile contract, a file each kind. A check that fails has said
// so.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_VERIFYTILECONTRACT_RULES_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_VERIFYTILECONTRACT_RULES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse::unitile {

/// What is read has been filled, and not overwritten too early [U7, U8, U9,
/// U32].
llvm::LogicalResult checkCopies(mlir::gpu::GPUFuncOp kernel);
/// Nothing but what a chip without wgmma and TMA has [U18].
llvm::LogicalResult checkPortable(mlir::gpu::GPUFuncOp kernel);
/// What reaches other CTAs stands in a large enough cluster [U19], whose CTAs
/// have all started and not ended [U20].
llvm::LogicalResult checkCluster(mlir::gpu::GPUFuncOp kernel);
/// A product is waited for before it is a fragment [U34].
llvm::LogicalResult checkProducts(mlir::gpu::GPUFuncOp kernel);
/// Threads that have to execute an op together come by together [U33].
llvm::LogicalResult checkTogether(mlir::gpu::GPUFuncOp kernel);

} // namespace unisparse::unitile

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_VERIFYTILECONTRACT_RULES_H
