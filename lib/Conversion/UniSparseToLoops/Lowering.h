// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The stages on buffers. Each function takes the op's tensor operands as
// buffers, in the op's order with null for absent ones, emits loops at the
// builder's insertion point and returns new buffers, one a result.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_LOWERING_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_LOWERING_H

#include "unisparse/Conversion/UniSparseToLoops.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

namespace unisparse::loops {

/// Whether an operand or a result is known to hold nothing: no batch, no
/// queries, no keys.
/// Such an op computes nothing, and slices of what is empty are not valid.
bool isEmpty(mlir::Operation *op);
bool isEmpty(mlir::Type type);

/// Asserts what the op's lowering relies on and its types leave open.
void assertRequirements(mlir::OpBuilder &b, mlir::Operation *op,
                        mlir::ValueRange buffers);

llvm::SmallVector<mlir::Value> lowerPool(mlir::OpBuilder &b, PoolOp op,
                                         mlir::ValueRange buffers);
/// The same of a pool with representatives.
llvm::SmallVector<mlir::Value> lowerPoolOfBlocks(mlir::OpBuilder &b, PoolOp op,
                                                 mlir::ValueRange buffers);
llvm::SmallVector<mlir::Value> lowerBlockScore(mlir::OpBuilder &b,
                                               BlockScoreOp op,
                                               mlir::ValueRange buffers,
                                               int64_t strip);
llvm::SmallVector<mlir::Value> lowerBlockSelect(mlir::OpBuilder &b,
                                                BlockSelectOp op,
                                                mlir::ValueRange buffers);
llvm::SmallVector<mlir::Value>
lowerBlockSparseAttention(mlir::OpBuilder &b, BlockSparseAttentionOp op,
                          mlir::ValueRange buffers, const Tiling &tiling);

} // namespace unisparse::loops

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_LOWERING_H
