// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The loops of a contraction whose sums stay in registers, for whatever
// multiplies.
#ifndef UNISPARSE_LIB_TRANSFORMS_CONTRACTIONLOOPS_H
#define UNISPARSE_LIB_TRANSFORMS_CONTRACTIONLOOPS_H

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace unisparse {

/// C[m, n] += sums over k, `rows` rows of C at a time, which divide m.
struct ContractionLoops {
  mlir::Value c; ///< f32 [m, parts * lanes].
  int64_t m, k;
  int64_t rows;
  int64_t lanes, parts; ///< Of a row of C, in vectors.
  /// Steps of k summed before they are added to C. Short sums keep rounding
  /// errors small: error grows with the length of a chain, and the sums of
  /// chunks are a second, short chain.
  int64_t sumLength;
};

/// The sums of the rows `at`, part by part, behind step `k`.
using ContractionStep = llvm::function_ref<llvm::SmallVector<mlir::Value>(
    llvm::ArrayRef<mlir::Value> at, mlir::Value k, mlir::ValueRange sums)>;

void emitContraction(mlir::ImplicitLocOpBuilder &b, const ContractionLoops &x,
                     ContractionStep step);

/// Fails, after a diagnostic, for rows that tiles of a multiple of 8 rows would
/// not hold.
mlir::LogicalResult verifyRegisterRows(mlir::MLIRContext *context,
                                       llvm::StringRef pass, int64_t rows);

} // namespace unisparse

#endif // UNISPARSE_LIB_TRANSFORMS_CONTRACTIONLOOPS_H
