// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Which tiles a kernel works on, from the facts of a chip.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SCHEDULE_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SCHEDULE_H

#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Target/Nvidia.h"

namespace unisparse {

/// Name of the attribute that carries a schedule on an op of the tensor level.
inline constexpr llvm::StringLiteral kScheduleName = "unitile.schedule";

/// Composites of a block and the tile rows they take: fragments have rows in
/// eights, warps in sixteens.
struct BlockRows {
  explicit BlockRows(int64_t composites)
      : composites(composites),
        padded(composites <= 8 ? 8 : llvm::alignTo(composites, 16)) {}
  int64_t composites, padded;
};

/// The op's own schedule, or the best for the chip; a diagnostic where nothing
/// fits.
mlir::FailureOr<unitile::ScheduleAttr> scheduleOf(BlockSparseAttentionOp op,
                                                  const NvidiaChip &chip);
mlir::FailureOr<unitile::ScheduleAttr> scheduleOf(BlockScoreOp op,
                                                  const NvidiaChip &chip);

/// Whether a row's queries stay in registers. Longer ones are read again from
/// their tile with every key block; so are f32, whose parts LLVM would hoist out
/// of the loop, twice the registers.
inline bool holdsQueries(mlir::RankedTensorType type) {
  return !type.getElementType().isF32() && type.getDimSize(3) <= 128;
}

/// Columns of a shared tile for rows of `width` elements: a product takes 16 at
/// a time.
inline int64_t tileColumns(int64_t width) { return llvm::alignTo(width, 16); }

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SCHEDULE_H
