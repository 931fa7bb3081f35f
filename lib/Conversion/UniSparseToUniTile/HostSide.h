// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The host's part of a kernel: buffers, addresses, sizes and strides as launch
// operands, and the length rules that hold before anything is launched.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOSTSIDE_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOSTSIDE_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "llvm/ADT/SetVector.h"

namespace unisparse {
using namespace mlir;

/// Emits host code in front of one op.
class HostSide {
public:
  HostSide(OpBuilder &builder, Location loc) : b(loc, builder) {}
  ImplicitLocOpBuilder b;

  // Sizes, as index values.
  Value index(int64_t i);
  Value dim(Value tensor, int64_t i);
  Value ceilDiv(Value x, int64_t y);
  Value add(Value x, Value y);
  Value sub(Value x, Value y);
  /// Length `i` of an op's mixed `lengths`.
  Value length(ArrayRef<int64_t> statics, ValueRange dynamics, size_t i);
  /// countUnitsOrSlots of LengthRules.h.
  Value slots(Value length, Value cuSeqlens, int64_t by);

  // Launch operands.
  Value i32(Value index);
  /// The buffers that a page takes: with rows of neighbours and any strides
  /// (q, k, v), or contiguous.
  Value stridedBuffer(Value tensor) { return typedBuffer(tensor, true); }
  Value contiguousBuffer(Value tensor) { return typedBuffer(tensor, false); }
  /// An argument's as its other users have it, contiguous where it has none.
  Value givenBuffer(Value tensor);

  /// A new device buffer as a tensor; `sizes` are its sizes where dynamic, null
  /// ones known to be static.
  Value result(Type type, ArrayRef<Value> sizes);

  /// Asserts a rule about lengths, index values both.
  void require(StringRef label, Value x, StringRef xName,
               CheckRelation relation, Value y, StringRef yName);

  void launch(gpu::GPUFuncOp kernel, std::array<Value, 3> grid, int64_t threads,
              int64_t sharedBytes, ValueRange operands);

private:
  Value buffer(Value tensor, bool strided);
  /// The same, of the tensor's own shape where a cast stands between.
  Value typedBuffer(Value tensor, bool strided);
};

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOSTSIDE_H
