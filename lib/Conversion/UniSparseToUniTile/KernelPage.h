// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A kernel under construction: its arguments, its tiles, and where a sequence's
// tokens lie.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_KERNELPAGE_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_KERNELPAGE_H

#include "HostSide.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"

namespace unisparse {
using namespace mlir;

/// One sequence, in tokens of the packed or padded tensors. i32.
struct Span {
  Value qStart, qLength, kStart, kLength;
  Value number; ///< Of the sequence in its batch.
  Value unit;   ///< The slot's place in the sequence.

  bool isPacked = false;
};

/// A [B, H, L, D] operand inside a kernel.
struct TokensArgument {
  Value pointer;
  Value batchStride, headStride, rowStride; ///< i64, in elements.
};

/// A kernel under construction. What it takes from the host is named once:
/// every `take` adds an argument to the kernel and its value to the launch.
class KernelPage : public PageBuilder {
public:
  /// A kernel of `warps` warps in `module`, the builder inside it; 0 leaves
  /// their number to a later pass.
  KernelPage(gpu::GPUModuleOp module, Location loc, StringRef name,
             int64_t warps = 0);

  gpu::GPUFuncOp kernel() { return function; }
  ArrayRef<Value> launchOperands() const { return operands; }
  int64_t warps() const { return warpCount; }
  /// Bytes of the tiles that `tile` reserved, as unitile-allocate-shared places
  /// them.
  int64_t sharedBytes() const { return shared; }
  /// Closes the kernel.
  void finish();

  // Arguments
  Value take(Value host);
  /// The same, under a name for who prints them (--mlir-use-nameloc-as-prefix).
  Value take(StringRef name, Value host);
  TokensArgument take(const HostTokens &host);
  /// The tokens' sequences: `cuQ` and `cuK` where the host has them.
  void takeLengths(Value lq, Value lk, HostPacking packing);
  /// The same for a page, whose ends of sequences are memrefs; lengths are
  /// index values, `cuQ` and `cuK` tensors or null.
  void takeSequences(HostSide &host, Value lq, Value lk, Value cuQ, Value cuK);

  /// Row `row` of head `head`.
  Value row(const TokensArgument &x, Type element, Value batch, Value head,
            Value row);
  /// ((batch * heads + head) * slots + slot), i64.
  Value flatRow(Value batchHead, Value slots, Value slot);

  // Tiles
  Value tile(int64_t rows, int64_t columns, Type element, int64_t stages = 1);
  // Sequences
  bool isPacked() const { return static_cast<bool>(cuQ); }
  /// The sequence that owns slot `slot` of units of `by` tokens of q (of k
  /// where `ofKeys`).
  Span locate(Value slot, int64_t by, bool ofKeys = false);
  /// Slots of composites of `by` tokens before the span's own.
  Value firstSlot(const Span &span, Value start, int64_t by);
  /// How many key blocks any row of query block span.unit may see (L1).
  Value candidates(const Span &span, int64_t bq, int64_t bk, bool causal);
  /// The causal offset of the span's queries.
  Value delta(const Span &span) { return sub(span.kLength, span.qLength); }

  Value lq, lk, cuQ, cuK, sequences;

private:
  gpu::GPUFuncOp function;
  SmallVector<Value> operands;
  int64_t warpCount, shared = 0;
};

/// The candidates of a row of block_select; a spare slot of a packed batch has
/// none (L1).
Value candidatesOf(KernelPage &p, BlockSelectOp op, const Span &span);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_KERNELPAGE_H
