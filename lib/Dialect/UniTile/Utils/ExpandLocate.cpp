// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Dialect/UniTile/Utils/ExpandLocate.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace unisparse;
using namespace unisparse::unitile;

/// The last sequence whose first slot is at or before the op's.
SmallVector<Value> unisparse::expandLocate(PageBuilder &p, LocateOp op) {
  auto load = [&](Value ends, Value n) -> Value {
    Value at = arith::IndexCastOp::create(p.b, p.b.getIndexType(), n);
    return memref::LoadOp::create(p.b, ends, at);
  };
  auto start = [&](Value n) {
    return p.add(p.div(load(op.getCuQ(), n), op.getBy()), n);
  };
  Value n = p.whileLoop(
      {p.i32(0), p.sub(op.getSequences(), 1)},
      [&](ValueRange range) { return p.less(range[0], range[1]); },
      [&](ValueRange range) -> SmallVector<Value> {
        Value middle = p.ceilDiv(p.add(range[0], range[1]), 2);
        Value behind = p.less(op.getSlot(), start(middle));
        return {p.select(behind, range[0], middle),
                p.select(behind, p.sub(middle, 1), range[1])};
      })[0];
  Value next = p.add(n, 1);
  Value qStart = load(op.getCuQ(), n);
  Value qLength = p.sub(load(op.getCuQ(), next), qStart);
  Value kStart = load(op.getCuK(), n);
  Value kLength = p.sub(load(op.getCuK(), next), kStart);
  return {p.sub(op.getSlot(), start(n)), qStart, qLength, kStart, kLength};
}
