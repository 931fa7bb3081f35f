// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A kernel under construction: its arguments, its tiles, and where a sequence's
// tokens lie.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_KERNELPAGE_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_KERNELPAGE_H

#include "HostSide.h"
#include "unisparse/Dialect/UniSparse/IR/Reach.h"
#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"
#include <array>
#include <functional>

namespace unisparse {
using namespace mlir;

/// One sequence, in tokens of the packed or padded tensors. i32.
struct Span {
  Value qStart, qLength, kStart, kLength;
  Value number; ///< Of the sequence in its batch.
  Value unit;   ///< The slot's place in the sequence.

  bool isPacked = false;
};

/// An empty module for kernels of the host code in `module`.
gpu::GPUModuleOp newKernelModule(ModuleOp module);

/// Key blocks [first, end). i32.
struct KeyBlocks {
  Value first, end;
};

/// A kernel under construction. What it takes from the host is named once:
/// every `take` adds an argument to the kernel and its value to the launch.
class KernelPage : public PageBuilder {
public:
  /// A kernel in `module`, the builder inside it.
  KernelPage(gpu::GPUModuleOp module, Location loc, StringRef name);

  gpu::GPUFuncOp kernel() { return function; }
  ArrayRef<Value> launchOperands() const { return operands; }
  /// Closes the kernel.
  void finish();

  // Arguments
  Value take(Value host);
  /// The same, under a name for who prints them (--mlir-use-nameloc-as-prefix).
  Value take(StringRef name, Value host);
  /// The tokens' sequences: lengths are index values, `cuQ` and `cuK` their
  /// ends where packed, or null.
  void takeSequences(HostSide &host, Value lq, Value lk, Value cuQ, Value cuK);

  // Sequences
  bool isPacked() const { return static_cast<bool>(cuQ); }
  /// The sequence that owns slot `slot` of units of `by` tokens of q.
  Span locate(Value slot, int64_t by);
  /// Slots of composites of `by` tokens before the span's own.
  Value firstSlot(const Span &span, Value start, int64_t by);
  /// The key blocks that any row of query block span.unit may see (L1).
  KeyBlocks candidates(const Span &span, int64_t bq, int64_t bk, Reach reach);
  /// The causal offset of the span's queries.
  Value delta(const Span &span) { return sub(span.kLength, span.qLength); }

  /// A place in a sequence moved by one in a tile: below 2^31, as lengths are.
  Value addPlaces(Value begin, Value offset) {
    return arith::AddIOp::create(b, begin, offset,
                                 arith::IntegerOverflowFlags::nsw);
  }

  Value lq, lk, cuQ, cuK, sequences;

  /// A walk over `count` key tiles of such scores; the regions block, score,
  /// mask, update and finish are written in this order.
  void walk(Value count, ValueRange state, unitile::FragmentType scores,
            std::array<std::function<void(Block &)>, 5> regions,
            int64_t group = 1);

private:
  gpu::GPUFuncOp function;
  SmallVector<Value> operands;
};

/// The candidates of a row of block_select; a spare slot of a packed batch has
/// none (L1).
KeyBlocks candidatesOf(KernelPage &p, BlockSelectOp op, const Span &span);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_KERNELPAGE_H
