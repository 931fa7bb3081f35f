// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The attend kernel for chips with wgmma and a copy engine: the same
// arithmetic as AttendKernel's, on another schedule.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERATTENDKERNEL_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERATTENDKERNEL_H

#include "AttendKernel.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse {

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
/// decided; a diagnostic that says why this kernel cannot have it.
/// `sharedBytes` is what a block may have.
mlir::FailureOr<HopperSchedule>
hopperScheduleOf(const AttendSpec &spec, unitile::ScheduleAttr asked,
                 int64_t sharedBytes,
                 llvm::function_ref<mlir::InFlightDiagnostic()> emitError);

/// Arguments of the kernel, in order: tensor maps of q, k, v and o (128 bytes
/// by value each; [head_dim, length, batch * heads], boxes of 64 columns and,
/// for q blockQ, k and v blockK, o 64 rows, 128-byte swizzle); pointers to o
/// where the batch is packed, to lse, counts and indices, cu_seqlens of q and
/// k, where the spec has them, and to one i32 that is 0 when the kernel starts;
/// then i32 Lq, Lk, query block slots, key blocks, and batch or, where it is
/// packed, sequences. Any number of blocks of threads along x; the schedule's
/// `blocks` for each multiprocessor are best.
mlir::gpu::GPUFuncOp buildHopperAttendKernel(mlir::OpBuilder &builder,
                                             mlir::Location loc,
                                             mlir::StringRef name,
                                             const AttendSpec &spec,
                                             const HopperSchedule &schedule);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERATTENDKERNEL_H
