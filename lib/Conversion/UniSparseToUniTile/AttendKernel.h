// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The attend kernel as a page of tile code.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_ATTENDKERNEL_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_ATTENDKERNEL_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/Builders.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

namespace unisparse {

/// What a kernel is compiled for; the rest are its arguments.
struct AttendSpec {
  int64_t blockQ, blockK, headDim, valueDim;
  int64_t heads;          ///< Of q.
  int64_t group;          ///< Query heads of a KV head.
  int64_t selectionGroup; ///< Query heads that share a selection.
  mlir::Type element;     ///< f16, bf16 or f32
  double scale;
  bool causal, hasLse, hasSelection, packed;

  int64_t warps() const { return blockQ / 16; }
  /// What a launch asks for: Q, K and V, as unitile-allocate-shared places
  /// them.
  int64_t sharedBytes() const;
};

/// The spec of an op, or a diagnostic that says what the tile level has no
/// kernel for.
mlir::FailureOr<AttendSpec> attendSpecOf(BlockSparseAttentionOp op);

/// Arguments of the kernel, in order: pointers to q, k, v, o, then lse, then
/// counts and indices, then cu_seqlens of q and k, each where the spec has it;
/// then i32 Lq, Lk, query block slots, key blocks, sequences. One block of
/// threads for each (slot, query head, batch).
mlir::gpu::GPUFuncOp buildAttendKernel(mlir::OpBuilder &builder,
                                       mlir::Location loc,
                                       mlir::StringRef name,
                                       const AttendSpec &spec);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_ATTENDKERNEL_H
