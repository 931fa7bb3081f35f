// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Tiles that stay bf16, for targets whose dot products take pairs of it: two
// neighbours along what is summed over lie side by side.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_PAIRS_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_PAIRS_H

#include "Tiles.h"

namespace unisparse::loops {

/// Q^T in strips of pairs: [strips, roundUp8(D) / 2, strip, 2].
Strips stripsOfPairs(Emit &e, int64_t rows, int64_t headDim, int64_t width);
/// As packStrips, without a factor: bf16 would round it.
void packStripsOfPairs(Emit &e, const Strips &to, Value from, Value first,
                       Value rows);

/// A buffer [r, c] as pairs of neighbours in its rows: [r, c / 2, 2].
Value pairsOf(Emit &e, Value rows);

/// One block of values, rows t and t + 1 interleaved:
/// [roundUp8(capacity) / 2, 2 * roundUp8(columns)].
RowTile interleavedTileFor(Emit &e, int64_t capacity, int64_t columns);
/// As packRows.
void packInterleaved(Emit &e, const RowTile &to, Value from, Value first,
                     Value rows);

/// P^T of f32 [keys, strip] as bf16, rows interleaved: [keys / 2, 2 * strip].
void interleaveRows(Emit &e, Value from, Value to);

/// logits *= factor.
void scaleLogits(Emit &e, Value logits, double factor);

/// C[m, n] += A[m, k, p] * B[k, n, p], or A[k, m, p], in f32.
void multiplyPairs(Emit &e, Value a, Value b, Value c, bool transposedA);

} // namespace unisparse::loops

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_PAIRS_H
