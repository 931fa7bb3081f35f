// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What the pages of unisparse.pool share: composites in units of their dims,
// each made of whole pieces of 16 bytes and of whole groups (P6), so that no
// unit needs another.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_POOLUNITS_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_POOLUNITS_H

#include "KernelPage.h"
#include <numeric>

namespace unisparse {

/// Units of a row.
inline int64_t unitsOf(PoolOp op) {
  RankedTensorType type = op.getX().getType();
  int64_t lanes = 128 / type.getElementTypeBitWidth(), dims = op.groupDims();
  return type.getDimSize(3) / (dims ? std::lcm(lanes, dims) : lanes);
}

struct PoolUnits {
  PoolOp op;
  KernelPage &p;
  Value x = {}, out = {};

  RankedTensorType type = op.getX().getType();
  Type element = type.getElementType();
  int64_t headDim = type.getDimSize(3), dims = op.groupDims();
  int64_t lanes = 128 / element.getIntOrFloatBitWidth();
  int64_t count = unitsOf(op), dimsOfUnit = headDim / count,
          pieces = dimsOfUnit / lanes;
  VectorType f32Piece =
      VectorType::get({lanes}, Float32Type::get(op.getContext()));
  VectorType piece = VectorType::get({lanes}, element);

  /// A piece of each of the unit's, all zero.
  SmallVector<Value> zeros();
  Value column(Value unit, int64_t n) {
    return p.add(p.mul(unit, dimsOfUnit), n * lanes);
  }
  /// A row of x in f32.
  SmallVector<Value> rowOfHead(Value batch, Value head, Value row, Value unit);
  /// `sums` and the rows [first, first + rows) of the pooled heads of `head`.
  SmallVector<Value> addRows(Value batch, Value head, Value first, Value rows,
                             Value unit, ValueRange sums);
  /// The pooled heads' mean row.
  SmallVector<Value> row(Value batch, Value head, Value row, Value unit);
  /// f32 pieces times 1 / n, an i32.
  SmallVector<Value> divide(ValueRange pieces, Value n);
  Value square(Value x) { return arith::MulFOp::create(p.b, x, x); }
  /// Rounds pieces once (P2), writes them as the unit of composite `at` =
  /// (b, h, a), and gives what was written in f32.
  SmallVector<Value> write(ValueRange pieces, ValueRange at, Value unit);
  /// The unit's columns behind D, from what its dims have.
  void writeGroups(ValueRange ofDims, double factor, ValueRange at, Value unit);
  /// The norms of a composite of queries, where they are asked for.
  void writeNorms(ValueRange written, ValueRange at, Value unit);
};

/// Rows of composites are written in pieces of 16 bytes.
LogicalResult checkPooled(PoolOp op);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_POOLUNITS_H
