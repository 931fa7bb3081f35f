// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What the stages share: where a query block stands in its sequence,
// and the tiles that score and attend work on.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_TILES_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_TILES_H

#include "Emit.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "unisparse/Dialect/UniSparse/IR/Reach.h"

namespace unisparse::loops {

/// The two ends of packed sequences as buffers, or null for a padded batch.
struct Packing {
  Value cuQ, cuK;
  explicit operator bool() const { return static_cast<bool>(cuQ); }
};

/// The sequence that a slot belongs to, and the slot's place in it. All values
/// are of index type and count tokens.
struct Sequence {
  Value number;          ///< Among packed sequences; null in a padded batch.
  Value qStart, qLength; ///< In the tensor's length dim.
  Value kStart, kLength;
  Value unit; ///< The slot's number within the sequence.

  /// First slot of this sequence at a granularity, for queries and for keys.
  Value firstQuerySlot(Emit &e, int64_t granularity) const;
  Value firstKeySlot(Emit &e, int64_t granularity) const;
  /// kLength - qLength: query i stands at position i + delta (causal).
  Value delta(Emit &e) const { return e.sub(kLength, qLength); }
};

/// Slots of the tensor's length at a granularity: those of a packed batch, or
/// units of a padded one.
Value slotCount(Emit &e, Packing packing, Value length, int64_t granularity);

/// Lq and Lk of an op that has them mixed, static and dynamic.
template <typename OpTy>
std::pair<Value, Value> lengthsOf(Emit &e, OpTy op) {
  SmallVector<OpFoldResult> mixed =
      getMixedValues(op.getStaticLengths(), op.getLengths(), e.b);
  return {getValueOrCreateConstantIndexOp(e.b, op.getLoc(), mixed[0]),
          getValueOrCreateConstantIndexOp(e.b, op.getLoc(), mixed[1])};
}

/// Emits `body` for the sequence that owns `slot`, where any does: a packed
/// batch has spare slots. `lq`, `lk` are the tensors' lengths.
void withSequence(Emit &e, Packing packing, Value lq, Value lk, Value slot,
                  int64_t granularity, function_ref<void(Sequence)> body);

/// L1: the key blocks [first, end) that query block `unit` may see.
struct Candidates {
  Value first, end;
};
Candidates candidateBlocks(Emit &e, const Sequence &s, int64_t blockQ,
                           int64_t blockK, Reach reach);

/// Q^T of up to `rows` rows in strips: [strips, roundUp8(D), strip] f32.
struct Strips {
  Value buffer;
  int64_t count, width, depth;
};
Strips stripsFor(Emit &e, int64_t rows, int64_t headDim, int64_t width);
/// Copies rows [first, first + rows) of the matrix `from` [length, D], times
/// `factor`, into strips; lanes without a row are zero.
void packStrips(Emit &e, const Strips &to, Value from, Value first, Value rows,
                double factor);

/// Calls `body(offset, lanes)` for pieces of at most 64 of `columns`: long
/// vectors cost registers, short ones instructions. Powers of two, as LLVM 22
/// cannot copy 9, 17 or 33 bf16 at once for AVX512-BF16.
void forPieces(int64_t columns, function_ref<void(int64_t, int64_t)> body);

/// One block of `capacity` rows of keys or values, zero behind its end.
struct RowTile {
  Value buffer; ///< [roundUp8(capacity), roundUp8(columns)], rows strided.
  int64_t capacity, columns;
};
RowTile rowTileFor(Emit &e, int64_t capacity, int64_t columns, Type element);
/// Copies rows [first, first + rows) of the matrix `from` [length, columns], to
/// a tile of f32 or of its own element.
void packRows(Emit &e, const RowTile &to, Value from, Value first, Value rows);

/// S^T = K Q^T of one strip: overwrites `logits` [keys' rows, strip].
void multiplyKeys(Emit &e, const RowTile &keys, Value strip, Value logits);

/// M1: cap * tanh(logits), which were divided by the cap.
void capLogits(Emit &e, Value logits, double cap);

/// M5, M6: what a modification makes of a strip's logits. `queries` are the
/// positions of its lanes, a vector of i32; `keyOf` that of a row, of index
/// type.
void modifyLogits(Emit &e, Value logits, Region &modification,
                  ValueRange tables, Value batch, Value head, Value queries,
                  function_ref<Value(Value)> keyOf);

/// -inf where row `t` of `logits` is at or past `visible` of its lane, an
/// i32 vector, or, where that is given, before `from`.
void maskLogits(Emit &e, Value logits, Value visible, Value from = Value());

/// Column maxima of `logits`, started from the vector `init`.
Value columnMax(Emit &e, Value logits, Value init);

/// logits = exp(logits - top), and their column sums.
Value exponentiate(Emit &e, Value logits, Value top);

/// The first place of the largest number of `vectors` vectors of `row` from
/// vector `first` on, and the number. `least` is below every one that may be
/// asked for, of which there must be one.
std::pair<Value, Value> largestOf(Emit &e, Value row, Value first,
                                  Value vectors, int64_t lanes, Value least);

/// The lowest finite f32: a maximum that starts here never makes
/// exp(-inf - maximum) a NaN.
double lowestLogit();

} // namespace unisparse::loops

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_TILES_H
