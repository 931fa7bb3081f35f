// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Short words for the IR that the stages' lowerings build: index arithmetic,
// loops, vectors of f32, buffers. Nothing here knows of attention.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_EMIT_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_EMIT_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace unisparse::loops {
using namespace mlir;

struct Emit {
  Emit(OpBuilder &builder, Location loc) : b(loc, builder) {}
  ImplicitLocOpBuilder b;

  // Index arithmetic. Sizes are never negative, divisors are constants.
  Value index(int64_t value);
  Value add(Value x, Value y);
  Value add(Value x, int64_t y) { return add(x, index(y)); }
  Value sub(Value x, Value y);
  Value mul(Value x, Value y);
  Value mul(Value x, int64_t y) { return mul(x, index(y)); }
  Value floorDiv(Value x, int64_t y);
  Value ceilDiv(Value x, int64_t y);
  Value rem(Value x, int64_t y);
  Value min(Value x, Value y);
  Value max(Value x, Value y);
  Value less(Value x, Value y);
  Value toI32(Value index);
  Value fromI32(Value i32);

  // Control flow. The callbacks emit at `b`.
  void forEach(Value lo, Value hi, function_ref<void(Value)> body);
  SmallVector<Value>
  fold(Value lo, Value hi, ValueRange inits,
       function_ref<SmallVector<Value>(Value, ValueRange)> body);
  void parallel(ArrayRef<Value> sizes, function_ref<void(ValueRange)> body);
  void ifThen(Value condition, function_ref<void()> body);

  // Scalars and vectors of f32.
  Value f32(double value);
  Value splat(Value scalar, int64_t lanes);
  Value splat(double value, int64_t lanes) { return splat(f32(value), lanes); }
  /// 0, 1, ... lanes - 1 as i32.
  Value iota(int64_t lanes);
  Value addF(Value x, Value y);
  Value subF(Value x, Value y);
  Value mulF(Value x, Value y);
  Value divF(Value x, Value y);
  /// The larger one, one instruction: `y` where either is NaN.
  Value maxF(Value x, Value y);
  Value exp(Value x);
  Value log(Value x);
  Value select(Value condition, Value x, Value y);
  /// To f32, and to `element`; scalars and vectors alike.
  Value widen(Value x);
  Value narrow(Value x, Type element);
  /// As narrow, with the largest finite number in the place of what is beyond
  /// it.
  Value narrowSaturating(Value x, Type element);
  /// The sum of a vector's lanes, in the order that is fastest.
  Value sumLanes(Value vector);

  // Buffers.
  Value buffer(ArrayRef<int64_t> shape, Type element,
               ValueRange dynamicSizes = {});
  Value dim(Value buffer, int64_t i);
  Value load(Value buffer, ValueRange at);
  void store(Value x, Value buffer, ValueRange at);
  Value loadVector(Value buffer, ValueRange at, int64_t lanes);
  void storeVector(Value x, Value buffer, ValueRange at);
  /// With a number of the buffer's element type.
  void fill(Value buffer, double value);
  /// `buffer[at, 0 .., 0 ..]`, with the leading dims that `at` fixes dropped.
  Value part(Value buffer, ValueRange at);
  /// The first `sizes` of a buffer.
  Value corner(Value buffer, ArrayRef<int64_t> sizes);
};

/// `n` rounded up to a multiple of 8: register tiles of contractions divide 8,
/// so that every tile has a static shape.
inline int64_t roundUp8(int64_t n) { return (n + 7) / 8 * 8; }

} // namespace unisparse::loops

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_EMIT_H
