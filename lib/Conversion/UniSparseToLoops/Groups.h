// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The columns behind a composite's own: one for each group of dims (P6).
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_GROUPS_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_GROUPS_H

#include "Emit.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

namespace unisparse::loops {

/// Dims that are worked on at once: long vectors cost registers, short ones
/// instructions.
constexpr int64_t kPiece = 64;

/// What lies behind column D of a composite.
struct Groups {
  Emit &e;
  Value out; ///< The composites, [B, H, A, D + D / dims].
  int64_t headDim, dims;
  double factor;
  Value perDim = {}; ///< f32 [D], where a group has several dims.

  Groups(Emit &e, PoolOp op, Value out);
  explicit operator bool() const { return dims > 0; }
  /// Scratch, once an iteration of the parallel loop.
  void allocate();
  /// Takes an f32 vector of something of the dims from `at` on.
  void take(Value ofDims, int64_t at, ValueRange row);
  /// Writes the columns of composite `row` = [b, h, a] once all dims are taken.
  void finish(ValueRange row);
};

} // namespace unisparse::loops

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_GROUPS_H
