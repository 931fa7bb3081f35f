// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The producer: one thread walks rows of query blocks and their key blocks, and
// starts the copies. The order is K0 K1 V0 K2 V1 ..., across rows too: that in
// which the consumers free the buffers.
#include "HopperPage.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

/// What the producer carries from row to row, all i32.
namespace {
struct Walk {
  Value item;          ///< The row to do next.
  Cursor k, v;         ///< Buffers to fill next.
  Value parityQ;       ///< Of the phase in which the query buffer fills.
  Value block, matrix; ///< The V that is still to come,
  Value pending;       ///< unless this is 0.
  explicit Walk(ValueRange x)
      : item(x[0]), k{x[1], x[2]}, v{x[3], x[4]}, parityQ(x[5]), block(x[6]),
        matrix(x[7]), pending(x[8]) {}
  SmallVector<Value> values() const {
    return {item,    k.slot, k.parity, v.slot, v.parity,
            parityQ, block,  matrix,   pending};
  }
};
} // namespace

Cursor HopperPage::copy(Value map, Value block, Value matrix, Value tile,
                        Value full, Value empty, Cursor to) {
  AwaitOp::create(b, empty, to.slot, other(to.parity));
  TensorCopyOp::create(b, map, mul(block, s.blockK),
                       matrixOf(matrix, s.heads / s.group), tile, to.slot, full,
                       to.slot);
  return next(to);
}

/// Rows that share keys lie next to each other, the longest first: KV heads
/// outermost, in them query blocks from the last, in them the group's heads.
RowInfo HopperPage::rowOfItem(Value item) {
  Value perMatrix = mul(slots, s.group);
  Value matrix = div(item, perMatrix), inMatrix = rem(item, perMatrix);
  Value unit = div(inMatrix, i32(s.group));
  if (s.causal)
    unit = sub(sub(slots, i32(1)), unit);
  Value head = add(mul(matrix, s.group), rem(inMatrix, i32(s.group)));
  return {unit, head, Value(), Value(), Value()};
}

/// How many blocks, from the row's last, have keys behind a query's position
/// (A1) or the sequence's end (P3).
Value HopperPage::hiddenBlocks(const RowInfo &row, Value selectionRow) {
  Value end = lk;
  if (s.causal)
    end = min(end, add(firstPosition(row.unit), i32(1)));
  auto loop = scf::WhileOp::create(
      b, TypeRange{b.getI32Type()}, ValueRange{i32(0)},
      [&](OpBuilder &, Location, ValueRange n) {
        Value left = sub(sub(row.count, i32(1)), n[0]);
        Value some = compare(arith::CmpIPredicate::sge, left, i32(0));
        // Reads the first entry where none is left.
        Value block = blockNumber(selectionRow, max(left, i32(0)));
        Value last = add(mul(block, s.blockK), i32(s.blockK));
        Value hides = compare(arith::CmpIPredicate::sgt, last, end);
        scf::ConditionOp::create(b, both(some, hides), n);
      },
      [&](OpBuilder &, Location, ValueRange n) {
        scf::YieldOp::create(b, ValueRange{add(n[0], i32(1))});
      });
  return loop.getResult(0);
}

SmallVector<Value> HopperPage::produceRow(Value nextItem, ValueRange state) {
  Walk w(state);
  RowInfo row = rowOfItem(w.item);
  Value list = selectionRow(row.unit, row.batchHead);
  Value selected = blockCount(row.unit, list);
  // A row that attends to nothing gets one block behind all keys: zeros,
  // wholly hidden.
  Value none = compare(arith::CmpIPredicate::sle, selected, i32(0));
  row.count = select(none, i32(1), selected);
  auto first = scf::IfOp::create(b, TypeRange{b.getI32Type(), b.getI32Type()},
                                 none, true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(first.thenBlock());
    scf::YieldOp::create(b, ValueRange{i32(1), add(keyBlocks, i32(1))});
    b.setInsertionPointToStart(first.elseBlock());
    row.masked = hiddenBlocks(row, list);
    Value block = blockNumber(list, place(i32(0), row));
    scf::YieldOp::create(b, ValueRange{row.masked, block});
  }
  row.masked = first.getResult(0), row.firstBlock = first.getResult(1);

  AwaitOp::create(b, emptyQ, i32(0), other(w.parityQ));
  for (auto [i, value] : llvm::enumerate(row.values()))
    LLVM::StoreOp::create(b, value, at(words, b.getI32Type(), i32(i)));
  TensorCopyOp::create(b, mapQ, mul(row.unit, s.blockQ),
                       matrixOf(row.batchHead, s.heads), queries, i32(0), fullQ,
                       i32(0));
  Value matrix = div(row.batchHead, i32(s.group));
  w.k = copyK(row.firstBlock, matrix, w.k);
  // The last V of the row before.
  auto owed = scf::IfOp::create(
      b, TypeRange{b.getI32Type(), b.getI32Type()},
      compare(arith::CmpIPredicate::ne, w.pending, i32(0)), true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(owed.thenBlock());
    Cursor v = copyV(w.block, w.matrix, w.v);
    scf::YieldOp::create(b, ValueRange{v.slot, v.parity});
    b.setInsertionPointToStart(owed.elseBlock());
    scf::YieldOp::create(b, ValueRange{w.v.slot, w.v.parity});
  }
  auto rest = scf::ForOp::create(
      b, i32(1), row.count, i32(1),
      ValueRange{w.k.slot, w.k.parity, owed.getResult(0), owed.getResult(1),
                 row.firstBlock},
      [&](OpBuilder &, Location, Value n, ValueRange x) {
        Value block = blockNumber(list, place(n, row));
        Cursor k = copyK(block, matrix, {x[0], x[1]});
        Cursor v = copyV(x[4], matrix, {x[2], x[3]});
        scf::YieldOp::create(
            b, ValueRange{k.slot, k.parity, v.slot, v.parity, block});
      });
  w.item = nextItem;
  w.k = {rest.getResult(0), rest.getResult(1)};
  w.v = {rest.getResult(2), rest.getResult(3)};
  w.parityQ = other(w.parityQ);
  w.block = rest.getResult(4), w.matrix = matrix, w.pending = i32(1);
  return w.values();
}

void HopperPage::produce() {
  Value zero = i32(0);
  Value items = mul(mul(slots, batch), s.heads);
  auto blockId = arith::IndexCastOp::create(
      b, b.getI32Type(), gpu::BlockIdOp::create(b, gpu::Dimension::x));
  auto blocks = arith::IndexCastOp::create(
      b, b.getI32Type(), gpu::GridDimOp::create(b, gpu::Dimension::x));
  SmallVector<Value> start(9, zero);
  start[0] = blockId;
  auto walk = scf::WhileOp::create(
      b, SmallVector<Type>(9, b.getI32Type()), start,
      [&](OpBuilder &, Location, ValueRange state) {
        scf::ConditionOp::create(b, less(state[0], items), state);
      },
      [&](OpBuilder &, Location, ValueRange state) {
        // Asked for one row ahead: the answer takes a while.
        Value taken = LLVM::AtomicRMWOp::create(
            b, LLVM::AtomicBinOp::add, counter, i32(1),
            LLVM::AtomicOrdering::monotonic, "device");
        scf::YieldOp::create(b, produceRow(add(blocks, taken), state));
      });
  Walk end(walk.getResults());
  auto owed = scf::IfOp::create(
      b, compare(arith::CmpIPredicate::ne, end.pending, zero), false);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(owed.thenBlock());
    copyV(end.block, end.matrix, end.v);
  }
  AwaitOp::create(b, emptyQ, zero, other(end.parityQ));
  LLVM::StoreOp::create(b, i32(-1), at(words, b.getI32Type(), i32(2)));
  ArriveOp::create(b, fullQ, zero, /*by_thread=*/true, false);
}
