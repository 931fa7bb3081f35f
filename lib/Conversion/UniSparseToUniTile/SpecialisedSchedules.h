// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The schedule of a warp-specialised attend kernel, for chips with wgmma and
// TMA.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SPECIALISEDSCHEDULES_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SPECIALISEDSCHEDULES_H

#include "HostSide.h"
#include "Reason.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse {

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
struct AttendSchedule {
  /// Query rows of a warpgroup: wgmma's M. A CTA has blockQ / 64 of them.
  static constexpr int64_t rowsPerGroup = 64;
  unitile::ScheduleAttr attr;
  /// Threads of a CTA: the producer's warpgroup and the consumers'.
  static int64_t threads(const AttendSpec &spec) {
    return 128 * (1 + spec.blockQ / rowsPerGroup);
  }
};

/// `asked`, or the best schedule known where that is null, with its numbers
/// decided; `why` says why this kernel cannot have it. `sharedBytes` is what a
/// block may have.
mlir::FailureOr<AttendSchedule> attendScheduleOf(const AttendSpec &spec,
                                                 unitile::ScheduleAttr asked,
                                                 int64_t sharedBytes,
                                                 Reason &why);

struct ScoreSchedule {
  /// Composite rows of a tile.
  static constexpr int64_t rows = 128;
};

/// The same for scoring: a walk without values.
mlir::FailureOr<unitile::ScheduleAttr>
scoreScheduleOf(BlockScoreOp op, unitile::ScheduleAttr asked,
                int64_t sharedBytes, Reason &why);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SPECIALISEDSCHEDULES_H
