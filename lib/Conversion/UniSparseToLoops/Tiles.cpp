// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Tiles.h"
#include "unisparse/Dialect/UniSparse/Transforms/LengthRules.h"
#include <limits>

using namespace unisparse::loops;

double unisparse::loops::lowestLogit() {
  return std::numeric_limits<float>::lowest();
}

//===----------------------------------------------------------------------===//
// Sequences
//===----------------------------------------------------------------------===//

static Value loadEnd(Emit &e, Value cu, Value i) {
  return e.fromI32(e.load(cu, i));
}

static Value firstSlot(Emit &e, Value number, Value start,
                       int64_t granularity) {
  if (!number)
    return e.index(0);
  return e.add(e.floorDiv(start, granularity), number);
}

Value Sequence::firstQuerySlot(Emit &e, int64_t granularity) const {
  return firstSlot(e, number, qStart, granularity);
}

Value Sequence::firstKeySlot(Emit &e, int64_t granularity) const {
  return firstSlot(e, number, kStart, granularity);
}

Value unisparse::loops::slotCount(Emit &e, Packing packing, Value length,
                                  int64_t granularity) {
  return countUnitsOrSlots(e.b, e.b.getLoc(), length,
                           packing ? e.dim(packing.cuQ, 0) : Value(),
                           granularity);
}

/// The last sequence whose first slot is at or before `slot`, by bisection:
/// first slots ascend.
static Value findSequence(Emit &e, Value cu, Value slot, int64_t granularity) {
  Value last = e.sub(e.dim(cu, 0), e.index(2));
  auto loop = scf::WhileOp::create(
      e.b, TypeRange{e.b.getIndexType(), e.b.getIndexType()},
      ValueRange{e.index(0), last},
      [&](OpBuilder &, Location, ValueRange range) {
        scf::ConditionOp::create(e.b, e.less(range[0], range[1]), range);
      },
      [&](OpBuilder &, Location, ValueRange range) {
        Value middle = e.ceilDiv(e.add(range[0], range[1]), 2);
        Value start =
            e.add(e.floorDiv(loadEnd(e, cu, middle), granularity), middle);
        Value behind = e.less(slot, start);
        Value low = e.select(behind, range[0], middle);
        Value high = e.select(behind, e.sub(middle, e.index(1)), range[1]);
        scf::YieldOp::create(e.b, ValueRange{low, high});
      });
  return loop.getResult(0);
}

void unisparse::loops::withSequence(Emit &e, Packing packing, Value lq,
                                    Value lk, Value slot, int64_t granularity,
                                    function_ref<void(Sequence)> body) {
  if (!packing) {
    Value zero = e.index(0);
    body({Value(), zero, lq, zero, lk, slot});
    return;
  }
  // A batch of no sequences has slots only by its length, which is then 0.
  Value any = e.less(e.index(1), e.dim(packing.cuQ, 0));
  e.ifThen(any, [&] {
    Value n = findSequence(e, packing.cuQ, slot, granularity);
    Value next = e.add(n, 1);
    Sequence s;
    s.number = n;
    s.qStart = loadEnd(e, packing.cuQ, n);
    s.qLength = e.sub(loadEnd(e, packing.cuQ, next), s.qStart);
    s.kStart = loadEnd(e, packing.cuK, n);
    s.kLength = e.sub(loadEnd(e, packing.cuK, next), s.kStart);
    s.unit = e.sub(slot, s.firstQuerySlot(e, granularity));
    e.ifThen(e.less(e.mul(s.unit, granularity), s.qLength), [&] { body(s); });
  });
}

Candidates unisparse::loops::candidateBlocks(Emit &e, const Sequence &s,
                                             int64_t blockQ, int64_t blockK,
                                             Reach reach) {
  Value zero = e.index(0), first = zero, end = e.ceilDiv(s.kLength, blockK);
  if (reach.right) {
    Value rows = e.min(e.mul(e.add(s.unit, 1), blockQ), s.qLength);
    Value keys = e.add(s.delta(e), rows);
    if (*reach.right)
      keys = e.add(keys, *reach.right);
    end = e.min(e.ceilDiv(keys, blockK), end);
  }
  if (reach.left) {
    Value position = e.add(e.mul(s.unit, blockQ), s.delta(e));
    Value key = e.max(e.sub(position, e.index(*reach.left)), zero);
    first = e.floorDiv(key, blockK);
  }
  return {first, end};
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

void unisparse::loops::forPieces(int64_t columns,
                                 function_ref<void(int64_t, int64_t)> body) {
  for (int64_t at = 0; at < columns;) {
    auto lanes = static_cast<int64_t>(
        llvm::bit_floor<uint64_t>(std::min<int64_t>(64, columns - at)));
    body(at, lanes);
    at += lanes;
  }
}

Strips unisparse::loops::stripsFor(Emit &e, int64_t rows, int64_t headDim,
                                   int64_t width) {
  int64_t count = (rows + width - 1) / width, depth = roundUp8(headDim);
  return {e.buffer({count, depth, width}, e.b.getF32Type()), count, width,
          depth};
}

void unisparse::loops::packStrips(Emit &e, const Strips &to, Value from,
                                  Value first, Value rows, double factor) {
  Value columns = e.dim(from, 1), scale = e.f32(factor);
  // Lanes without a row and padding of D must be zero; a full strip has
  // neither.
  int64_t lanes = to.count * to.width;
  bool padded = cast<MemRefType>(from.getType()).getDimSize(1) != to.depth;
  Value needsZeros = arith::ConstantIntOp::create(e.b, padded, 1);
  needsZeros =
      arith::OrIOp::create(e.b, needsZeros, e.less(rows, e.index(lanes)));
  e.ifThen(needsZeros, [&] { e.fill(to.buffer, 0.0); });
  e.forEach(e.index(0), rows, [&](Value i) {
    Value strip = e.floorDiv(i, to.width), lane = e.rem(i, to.width),
          row = e.add(first, i);
    e.forEach(e.index(0), columns, [&](Value d) {
      Value x = e.mulF(e.widen(e.load(from, {row, d})), scale);
      e.store(x, to.buffer, {strip, d, lane});
    });
  });
}

RowTile unisparse::loops::rowTileFor(Emit &e, int64_t capacity, int64_t columns,
                                     Type element) {
  int64_t rows = roundUp8(capacity), width = roundUp8(columns);
  // One cache line more a row: with a power of two all rows of a column would
  // share a few sets of the cache.
  int64_t line = 512 / element.getIntOrFloatBitWidth();
  Value wide = e.buffer({rows, width + line}, element);
  // packRows writes all but the padding.
  if (rows != capacity || width != columns)
    e.fill(wide, 0.0);
  return {e.corner(wide, {rows, width}), capacity, columns};
}

void unisparse::loops::packRows(Emit &e, const RowTile &to, Value from,
                                Value first, Value rows) {
  Type element = cast<MemRefType>(to.buffer.getType()).getElementType();
  e.forEach(e.index(0), rows, [&](Value t) {
    Value row = e.add(first, t);
    forPieces(to.columns, [&](int64_t at, int64_t lanes) {
      Value x = e.loadVector(from, {row, e.index(at)}, lanes);
      if (element.isF32())
        x = e.widen(x);
      e.storeVector(x, to.buffer, {t, e.index(at)});
    });
  });
  e.forEach(rows, e.index(to.capacity), [&](Value t) {
    forPieces(to.columns, [&](int64_t at, int64_t lanes) {
      auto type = VectorType::get({lanes}, element);
      Value zeros = arith::ConstantOp::create(e.b, e.b.getZeroAttr(type));
      e.storeVector(zeros, to.buffer, {t, e.index(at)});
    });
  });
}

void unisparse::loops::multiplyKeys(Emit &e, const RowTile &keys, Value strip,
                                    Value logits) {
  e.fill(logits, 0.0);
  linalg::MatmulOp::create(e.b, ValueRange{keys.buffer, strip},
                           ValueRange{logits});
}

static int64_t rowsOf(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getDimSize(0);
}
static int64_t lanesOf(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getDimSize(1);
}

void unisparse::loops::capLogits(Emit &e, Value logits, double cap) {
  int64_t lanes = lanesOf(logits);
  Value zero = e.index(0), factor = e.splat(cap, lanes);
  e.forEach(zero, e.index(rowsOf(logits)), [&](Value t) {
    Value x = e.loadVector(logits, {t, zero}, lanes);
    Value y = math::TanhOp::create(e.b, x);
    e.storeVector(e.mulF(y, factor), logits, {t, zero});
  });
}

void unisparse::loops::maskLogits(Emit &e, Value logits, Value visible,
                                  Value from) {
  int64_t lanes = lanesOf(logits);
  Value zero = e.index(0);
  Value masked = e.splat(-std::numeric_limits<double>::infinity(), lanes);
  e.forEach(zero, e.index(rowsOf(logits)), [&](Value t) {
    Value key = e.splat(e.toI32(t), lanes);
    Value sees =
        arith::CmpIOp::create(e.b, arith::CmpIPredicate::slt, key, visible);
    if (from)
      sees = arith::AndIOp::create(
          e.b, sees,
          arith::CmpIOp::create(e.b, arith::CmpIPredicate::sge, key, from));
    Value x = e.loadVector(logits, {t, zero}, lanes);
    e.storeVector(e.select(sees, x, masked), logits, {t, zero});
  });
}

Value unisparse::loops::columnMax(Emit &e, Value logits, Value init) {
  Value zero = e.index(0);
  return e.fold(zero, e.index(rowsOf(logits)), init,
                [&](Value t, ValueRange top) -> SmallVector<Value> {
                  Value x = e.loadVector(logits, {t, zero}, lanesOf(logits));
                  return {e.maxF(x, top[0])};
                })[0];
}

Value unisparse::loops::exponentiate(Emit &e, Value logits, Value top) {
  Value zero = e.index(0);
  int64_t lanes = lanesOf(logits);
  return e.fold(zero, e.index(rowsOf(logits)), e.splat(0.0, lanes),
                [&](Value t, ValueRange sum) -> SmallVector<Value> {
                  Value x = e.loadVector(logits, {t, zero}, lanes);
                  Value p = e.exp(e.subF(x, top));
                  e.storeVector(p, logits, {t, zero});
                  return {e.addF(sum[0], p)};
                })[0];
}

std::pair<Value, Value> unisparse::loops::largestOf(Emit &e, Value row,
                                                    Value first, Value vectors,
                                                    int64_t lanes,
                                                    Value least) {
  auto load = [&](Value v) {
    return e.loadVector(row, {e.mul(v, lanes)}, lanes);
  };
  Value tops = e.fold(first, vectors, e.splat(least, lanes),
                      [&](Value v, ValueRange top) -> SmallVector<Value> {
                        return {e.maxF(load(v), top[0])};
                      })[0];
  Value top =
      vector::ReductionOp::create(e.b, vector::CombiningKind::MAXNUMF, tops);
  Value none = arith::ConstantIntOp::create(e.b, INT32_MAX, 32);
  Value firsts = e.fold(
      first, vectors, e.splat(none, lanes),
      [&](Value v, ValueRange best) -> SmallVector<Value> {
        Value isTop = arith::CmpFOp::create(e.b, arith::CmpFPredicate::OEQ,
                                            load(v), e.splat(top, lanes));
        Value j = arith::AddIOp::create(
            e.b, e.splat(e.toI32(e.mul(v, lanes)), lanes), e.iota(lanes));
        Value here = e.select(isTop, j, e.splat(none, lanes));
        return {arith::MinSIOp::create(e.b, here, best[0])};
      })[0];
  Value place =
      vector::ReductionOp::create(e.b, vector::CombiningKind::MINSI, firsts);
  return {e.fromI32(place), top};
}
