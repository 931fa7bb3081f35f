// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The stages' kernels as pages of tile code.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_KERNELS_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_KERNELS_H

#include "HostSide.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse {

/// Each builds the op's kernel in `kernels`, emits what the host does in front
/// of the op and returns tensors for its results; or a diagnostic that says
/// what the tile level has no kernel for.
mlir::FailureOr<mlir::SmallVector<mlir::Value>>
lowerToKernel(HostSide &host, mlir::gpu::GPUModuleOp kernels, PoolOp op);
/// The same of a pool with representatives.
mlir::FailureOr<mlir::SmallVector<mlir::Value>>
lowerPoolOfBlocks(HostSide &host, mlir::gpu::GPUModuleOp kernels, PoolOp op);
mlir::FailureOr<mlir::SmallVector<mlir::Value>>
lowerToKernel(HostSide &host, mlir::gpu::GPUModuleOp kernels, BlockSelectOp op);
/// The part of block_select that gives `density` from its `counts`.
void lowerDensity(HostSide &host, mlir::gpu::GPUModuleOp kernels,
                  BlockSelectOp op, mlir::Value counts, mlir::Value density);

/// Attention as a page with query tiles of `rows` and key tiles of `keys`, for
/// `schedule` to be put into effect by unitile-pipeline or
/// unitile-specialise-warps.
mlir::SmallVector<mlir::Value> lowerToPage(HostSide &host,
                                           mlir::gpu::GPUModuleOp kernels,
                                           BlockSparseAttentionOp op,
                                           int64_t rows, int64_t keys,
                                           mlir::Attribute schedule);
/// The masses of blocks, likewise; `ctas` of them are at work at once on a
/// multiprocessor.
mlir::FailureOr<mlir::SmallVector<mlir::Value>>
lowerToPage(HostSide &host, mlir::gpu::GPUModuleOp kernels, BlockScoreOp op,
            int64_t rows, int64_t keys, int64_t ctas, mlir::Attribute schedule);

/// Rows of head_dim elements are copied in pieces of 16 bytes, and a row's
/// fragments stay in registers.
mlir::LogicalResult checkHeadDim(mlir::Operation *op, mlir::StringRef what,
                                 mlir::RankedTensorType type, int64_t most);
/// Composites have up to as many columns: 256 dims and one for each (P6), or
/// what a program makes of several tokens. Shared memory has room for fewer on
/// some chips.
constexpr int64_t kMostColumns = 1024;
mlir::LogicalResult checkHeadDims(BlockScoreOp op);
mlir::LogicalResult checkHeadDims(BlockSparseAttentionOp op);

/// The op's scale times log2(e): exponentials are powers of two.
double scaleInBase2(std::optional<mlir::APFloat> scale, double alpha,
                    int64_t headDim);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_KERNELS_H
