// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Pairs.h"

using namespace unisparse;
using namespace unisparse::loops;

Strips loops::stripsOfPairs(Emit &e, int64_t rows, int64_t headDim,
                            int64_t width) {
  int64_t count = (rows + width - 1) / width, depth = roundUp8(headDim);
  return {e.buffer({count, depth / 2, width, 2}, e.b.getBF16Type()), count,
          width, depth};
}

void loops::packStripsOfPairs(Emit &e, const Strips &to, Value from,
                              Value first, Value rows) {
  // Lanes without a row and padding of D are zero.
  e.fill(to.buffer, 0.0);
  e.forEach(e.index(0), rows, [&](Value i) {
    Value strip = e.floorDiv(i, to.width), lane = e.rem(i, to.width),
          row = e.add(first, i);
    e.forEach(e.index(0), e.dim(from, 1), [&](Value d) {
      e.store(e.load(from, {row, d}), to.buffer,
              {strip, e.floorDiv(d, 2), lane, e.rem(d, 2)});
    });
  });
}

Value loops::pairsOf(Emit &e, Value rows) {
  auto type = cast<MemRefType>(rows.getType());
  SmallVector<int64_t> shape{type.getDimSize(0), type.getDimSize(1) / 2, 2};
  SmallVector<ReassociationIndices> dims{{0}, {1, 2}};
  return memref::ExpandShapeOp::create(e.b, shape, rows, dims);
}

RowTile loops::interleavedTileFor(Emit &e, int64_t capacity, int64_t columns) {
  int64_t rows = roundUp8(capacity) / 2, width = 2 * roundUp8(columns);
  // A cache line more a row, as in rowTileFor.
  Value wide = e.buffer({rows, width + 32}, e.b.getBF16Type());
  if (2 * rows != capacity || width != 2 * columns)
    e.fill(wide, 0.0);
  return {e.corner(wide, {rows, width}), capacity, columns};
}

static Value zeros(Emit &e, int64_t lanes) {
  auto type = VectorType::get({lanes}, e.b.getBF16Type());
  return arith::ConstantOp::create(e.b, e.b.getZeroAttr(type));
}

void loops::packInterleaved(Emit &e, const RowTile &to, Value from, Value first,
                            Value rows) {
  auto load = [&](Value row, int64_t at, int64_t lanes) {
    return e.loadVector(from, {e.add(first, row), e.index(at)}, lanes);
  };
  auto put = [&](Value x, Value y, Value pair, int64_t at) {
    Value both = vector::InterleaveOp::create(e.b, x, y);
    e.storeVector(both, to.buffer, {pair, e.index(2 * at)});
  };
  Value whole = e.floorDiv(rows, 2), all = e.ceilDiv(rows, 2);
  e.forEach(e.index(0), whole, [&](Value pair) {
    Value row = e.mul(pair, 2);
    forPieces(to.columns, [&](int64_t at, int64_t lanes) {
      put(load(row, at, lanes), load(e.add(row, 1), at, lanes), pair, at);
    });
  });
  e.forEach(whole, all, [&](Value pair) { // The last of an odd number.
    forPieces(to.columns, [&](int64_t at, int64_t lanes) {
      put(load(e.mul(pair, 2), at, lanes), zeros(e, lanes), pair, at);
    });
  });
  e.forEach(all, e.dim(to.buffer, 0), [&](Value pair) {
    forPieces(to.columns, [&](int64_t at, int64_t lanes) {
      e.storeVector(zeros(e, 2 * lanes), to.buffer, {pair, e.index(2 * at)});
    });
  });
}

static int64_t lanesOf(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getDimSize(1);
}

void loops::interleaveRows(Emit &e, Value from, Value to) {
  int64_t lanes = lanesOf(from);
  Value zero = e.index(0);
  Type bf16 = e.b.getBF16Type();
  e.forEach(zero, e.dim(to, 0), [&](Value pair) {
    Value row = e.mul(pair, 2);
    Value x = e.narrow(e.loadVector(from, {row, zero}, lanes), bf16);
    Value y = e.narrow(e.loadVector(from, {e.add(row, 1), zero}, lanes), bf16);
    e.storeVector(vector::InterleaveOp::create(e.b, x, y), to, {pair, zero});
  });
}

void loops::scaleLogits(Emit &e, Value logits, double factor) {
  int64_t lanes = lanesOf(logits);
  Value zero = e.index(0), by = e.splat(factor, lanes);
  e.forEach(zero, e.dim(logits, 0), [&](Value t) {
    Value x = e.loadVector(logits, {t, zero}, lanes);
    e.storeVector(e.mulF(x, by), logits, {t, zero});
  });
}

void loops::multiplyPairs(Emit &e, Value a, Value b, Value c,
                          bool transposedA) {
  using utils::IteratorType;
  AffineExpr m, n, k, p;
  bindDims(e.b.getContext(), m, n, k, p);
  auto map = [&](ArrayRef<AffineExpr> results) {
    return AffineMap::get(4, 0, results, e.b.getContext());
  };
  SmallVector<AffineMap> maps{transposedA ? map({k, m, p}) : map({m, k, p}),
                              map({k, n, p}), map({m, n})};
  SmallVector<IteratorType> kinds{
      IteratorType::parallel, IteratorType::parallel, IteratorType::reduction,
      IteratorType::reduction};
  linalg::GenericOp::create(
      e.b, TypeRange{}, ValueRange{a, b}, ValueRange{c}, maps, kinds,
      [&](OpBuilder &builder, Location loc, ValueRange x) {
        Type f32 = builder.getF32Type();
        Value left = arith::ExtFOp::create(builder, loc, f32, x[0]);
        Value right = arith::ExtFOp::create(builder, loc, f32, x[1]);
        Value product = arith::MulFOp::create(builder, loc, left, right);
        Value sum = arith::AddFOp::create(builder, loc, x[2], product);
        linalg::YieldOp::create(builder, loc, sum);
      });
}
