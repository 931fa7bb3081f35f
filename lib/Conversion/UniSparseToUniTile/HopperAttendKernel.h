// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The attend kernel for chips with wgmma and a copy engine: the same
// arithmetic as AttendKernel's, on another schedule.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERATTENDKERNEL_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERATTENDKERNEL_H

#include "HostSide.h"
#include "Reason.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse {

/// Of H100 SXM and H200. Blocks beyond the rows of query blocks end at once,
/// blocks beyond the multiprocessors come late and find nothing left.
constexpr int64_t kMultiprocessors = 132;

/// What the kernel is compiled for; the rest are its arguments.
struct AttendSpec {
  int64_t blockQ, blockK, headDim, valueDim;
  int64_t heads;          ///< Of q.
  int64_t group;          ///< Query heads of a KV head.
  int64_t selectionGroup; ///< Query heads that share a selection.
  mlir::Type element;
  double scale;
  bool causal, hasSelection, packed;

  /// Q is multiplied from registers where O leaves room for it. Where not, it
  /// stays in shared memory.
  bool holdsQueries() const { return headDim <= 128 && valueDim <= 128; }
};

/// The spec of an op with static heads and head_dims.
AttendSpec attendSpecOf(BlockSparseAttentionOp op);

/// A schedule whose numbers are all decided.
struct HopperSchedule {
  /// Query rows of a warpgroup: wgmma's M. A block has blockQ / 64 of them.
  static constexpr int64_t rowsPerGroup = 64;
  unitile::ScheduleAttr attr;

  /// What a launch asks for, as unitile-allocate-shared places it.
  int64_t sharedBytes(const AttendSpec &spec) const;
  /// Threads of a block: the producer's warpgroup and the consumers'.
  static int64_t threads(const AttendSpec &spec) {
    return 128 * (1 + spec.blockQ / rowsPerGroup);
  }
};

/// `asked`, or the best schedule known where that is null, with its numbers
/// decided; `why` says why this kernel cannot have it. `sharedBytes` is what a
/// block may have.
mlir::FailureOr<HopperSchedule> hopperScheduleOf(const AttendSpec &spec,
                                                 unitile::ScheduleAttr asked,
                                                 int64_t sharedBytes,
                                                 Reason &why);

/// Builds the op's kernel, emits its launch in front of the op and returns its
/// results. q, k, v and o are passed as tensor maps [head_dim, length, heads,
/// batch]; rows of query blocks are handed out by a counter that the launch
/// clears, to the schedule's `blocks` blocks of threads for each
/// multiprocessor.
mlir::SmallVector<mlir::Value>
lowerToHopperKernel(HostSide &host, mlir::gpu::GPUModuleOp kernels,
                    BlockSparseAttentionOp op, const HopperSchedule &schedule);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERATTENDKERNEL_H
