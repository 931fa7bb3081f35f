// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Short words for writing tile code: i32 arithmetic, control flow, addresses
// and elementwise lines over fragments.
#ifndef UNISPARSE_DIALECT_UNITILE_UTILS_PAGEBUILDER_H
#define UNISPARSE_DIALECT_UNITILE_UTILS_PAGEBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse {
using namespace mlir;

class PageBuilder {
public:
  explicit PageBuilder(ImplicitLocOpBuilder builder) : b(std::move(builder)) {}
  PageBuilder(Location loc, OpBuilder builder) : b(loc, builder) {}

  ImplicitLocOpBuilder b;

  // i32 arithmetic. Divisors are above 0; what is divided is not negative.
  Value i32(int64_t v) { return arith::ConstantIntOp::create(b, v, 32); }
  Value i64(Value v) { return arith::ExtSIOp::create(b, b.getI64Type(), v); }
  Value i64(int64_t v) { return arith::ConstantIntOp::create(b, v, 64); }
  Value add(Value x, Value y) { return b.createOrFold<arith::AddIOp>(x, y); }
  Value add(Value x, int64_t y) { return y ? add(x, i32(y)) : x; }
  Value sub(Value x, Value y) { return b.createOrFold<arith::SubIOp>(x, y); }
  Value sub(Value x, int64_t y) { return sub(x, i32(y)); }
  Value mul(Value x, int64_t y) {
    return b.createOrFold<arith::MulIOp>(x, i32(y));
  }
  Value mul(Value x, Value y) { return b.createOrFold<arith::MulIOp>(x, y); }
  Value div(Value x, int64_t y) {
    return b.createOrFold<arith::DivUIOp>(x, i32(y));
  }
  Value div(Value x, Value y) { return b.createOrFold<arith::DivUIOp>(x, y); }
  Value rem(Value x, int64_t y) {
    return b.createOrFold<arith::RemUIOp>(x, i32(y));
  }
  Value ceilDiv(Value x, int64_t y) { return div(add(x, y - 1), y); }
  Value min(Value x, Value y) { return b.createOrFold<arith::MinSIOp>(x, y); }
  Value max(Value x, Value y) { return b.createOrFold<arith::MaxSIOp>(x, y); }
  Value compare(arith::CmpIPredicate p, Value x, Value y) {
    return b.createOrFold<arith::CmpIOp>(p, x, y);
  }
  Value less(Value x, Value y) {
    return compare(arith::CmpIPredicate::slt, x, y);
  }
  Value both(Value x, Value y) { return b.createOrFold<arith::AndIOp>(x, y); }
  Value either(Value x, Value y) { return b.createOrFold<arith::OrIOp>(x, y); }
  Value select(Value c, Value x, Value y) {
    return b.createOrFold<arith::SelectOp>(c, x, y);
  }
  Value isTrue(bool v) { return arith::ConstantIntOp::create(b, v, 1); }

  // Floats
  Value f32(double v) {
    return arith::ConstantOp::create(b, b.getF32FloatAttr(v));
  }
  Value toFloat(Value i32) {
    return arith::SIToFPOp::create(b, b.getF32Type(), i32);
  }

  // Where this thread is. i32.
  Value blockId(gpu::Dimension dimension);
  Value threadId();

  // Control flow. The callbacks emit at `b`.
  void ifThen(Value condition, function_ref<void()> body);
  SmallVector<Value> ifElse(Value condition,
                            function_ref<SmallVector<Value>()> yes,
                            function_ref<SmallVector<Value>()> no);
  SmallVector<Value>
  forEach(Value lo, Value hi, int64_t step, ValueRange inits,
          function_ref<SmallVector<Value>(Value, ValueRange)> body);
  SmallVector<Value>
  whileLoop(ValueRange inits, function_ref<Value(ValueRange)> condition,
            function_ref<SmallVector<Value>(ValueRange)> body);

  // Data-parallel loops
  /// For each i32 in [lo, hi), in no order: `inits` and what the body gives,
  /// added up.
  SmallVector<Value> parallel(Value lo, Value hi, ValueRange inits,
                              function_ref<SmallVector<Value>(Value)> body);
  /// The largest of `init` and what the body gives, as unsigned numbers.
  Value largest(Value lo, Value hi, Value init,
                function_ref<Value(Value)> body);
  Value rank(Value yes) { return unitile::RankOp::create(b, yes); }

  // Memory of a page, by i32 indices
  Value index(Value i) {
    return b.createOrFold<arith::IndexCastOp>(b.getIndexType(), i);
  }
  SmallVector<Value> indices(ValueRange i);
  Value read(Value memref, ValueRange i);
  void write(Value x, Value memref, ValueRange i);
  /// Memory of the page's own, that every point of the grid has anew.
  Value scratch(ArrayRef<int64_t> shape, Type element);

  // Global memory
  Value at(Value pointer, Type element, Value index) {
    return LLVM::GEPOp::create(b, pointer.getType(), element, pointer,
                               ArrayRef<LLVM::GEPArg>{index});
  }
  Value load(Value pointer, Type element, Value index) {
    return LLVM::LoadOp::create(b, element, at(pointer, element, index));
  }
  void store(Value x, Value pointer, Value index) {
    LLVM::StoreOp::create(b, x, at(pointer, x.getType(), index));
  }
  Value loadI32(Value pointer, Value index) {
    return load(pointer, b.getI32Type(), index);
  }
  // Tiles
  unitile::FragmentType fragment(int64_t rows, int64_t columns, Type element);
  unitile::RowsType rows(int64_t rows);
  Value fill(double v, Type type) {
    return unitile::FillOp::create(b, type, f32(v));
  }
  /// An elementwise line: `body` on scalars, row and column first where asked.
  Value map(Type type, ValueRange inputs, function_ref<Value(ValueRange)> body,
            bool indices = false);
};

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNITILE_UTILS_PAGEBUILDER_H
