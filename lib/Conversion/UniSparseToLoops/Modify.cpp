// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// M5 and M6: a modification of logits, a vector of queries at a time.
#include "Tiles.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "unisparse/Dialect/UniSparse/IR/Modification.h"

using namespace unisparse;
using namespace unisparse::loops;

/// Of each lane the nearest entry, for indices outside of the table.
static Value readLanes(Emit &e, Value table, ValueRange indices, int64_t w) {
  Value zero = e.index(0);
  Type type = cast<MemRefType>(table.getType()).getElementType();
  SmallVector<Value> inside;
  for (auto [i, index] : llvm::enumerate(indices)) {
    Value last = e.sub(e.dim(table, i), e.index(1));
    Value low = arith::MaxSIOp::create(e.b, index, e.splat(zero, w));
    inside.push_back(arith::MinSIOp::create(e.b, low, e.splat(last, w)));
  }
  Value none = arith::ConstantOp::create(
      e.b, e.b.getZeroAttr(VectorType::get({w}, type)));
  auto readLane = [&](Value lane, ValueRange all) -> SmallVector<Value> {
    SmallVector<Value> at = llvm::map_to_vector(inside, [&](Value index) {
      return Value(vector::ExtractOp::create(e.b, index, lane));
    });
    return {vector::InsertOp::create(e.b, e.load(table, at), all[0], lane)};
  };
  return e.fold(zero, e.index(w), none, readLane)[0];
}

void loops::modifyLogits(Emit &e, Value logits, Region &modification,
                         ValueRange tables, Value batch, Value head,
                         Value queries, function_ref<Value(Value)> keyOf) {
  int64_t w = cast<VectorType>(queries.getType()).getDimSize(0);
  Value zero = e.index(0);
  auto splat = [&](Value index) { return e.splat(e.toI32(index), w); };
  auto vectorOf = [&](Type type) -> Type { return VectorType::get({w}, type); };
  auto constant = [&](Value scalar) { return e.splat(scalar, w); };
  auto read = [&](unsigned table, ValueRange indices) {
    return readLanes(e, tables[table], indices, w);
  };
  e.forEach(zero, e.dim(logits, 0), [&](Value t) {
    SmallVector<Value> arguments{e.loadVector(logits, {t, zero}, w),
                                 splat(batch), splat(head), queries,
                                 splat(keyOf(t))};
    Value y = copyModification(e.b, modification, arguments,
                               {vectorOf, constant, read});
    e.storeVector(y, logits, {t, zero});
  });
}
