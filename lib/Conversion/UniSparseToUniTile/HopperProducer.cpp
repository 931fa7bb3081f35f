// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The producer: one thread walks rows of query blocks and their key blocks, and
// starts the copies. The order is K0 K1 V0 K2 V1 ..., across rows too where
// they form one stream: that in which the consumers free the buffers.
#include "HopperPage.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

/// What the producer carries from row to row, all i32.
struct HopperPage::Walk {
  Value item;    ///< The row to do next.
  Cursor k;      ///< The buffer to fill next.
  Value parityQ; ///< Of the phase in which the query buffer fills.
  Owed v;        ///< The V that is still to come,
  Value pending; ///< unless this is 0.
  static constexpr size_t size = 11;
  explicit Walk(ValueRange x)
      : item(x[0]), k{x[1], x[2]},
        parityQ(x[3]), v{x[4], x[5], x[6], {x[7], x[8]}, x[9]}, pending(x[10]) {
  }
  SmallVector<Value> values() const {
    return {item,    k.slot,    k.parity,    parityQ,  v.key,  v.matrix,
            v.valid, v.to.slot, v.to.parity, v.parity, pending};
  }
};

Cursor HopperPage::copyK(Value key, Value matrix, Cursor to) {
  AwaitOp::create(b, emptyK, to.slot, other(to.parity));
  copy(mapK, key, matrix, keys, to.slot, fullK, to.slot);
  return next(to);
}

/// Behind a packed sequence's last key stand another's: V's rows there are
/// factors of 0, which only what is finite forgives, so they are cleared.
void HopperPage::copyV(Owed &v) {
  AwaitOp::create(b, emptyV, v.to.slot, other(v.to.parity));
  auto copyTo = [&](Value full, Value index) {
    copy(mapV, v.key, v.matrix, values, v.to.slot, full, index);
  };
  if (!s.packed) {
    copyTo(fullV, v.to.slot);
  } else {
    Value zero = i32(0);
    auto whole = scf::IfOp::create(
        b, TypeRange{b.getI32Type()},
        compare(arith::CmpIPredicate::sge, v.valid, i32(keyRows())), true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(whole.thenBlock());
    copyTo(fullV, v.to.slot);
    scf::YieldOp::create(b, v.parity);
    b.setInsertionPointToStart(whole.elseBlock());
    copyTo(fullTail, zero);
    AwaitOp::create(b, fullTail, zero, v.parity);
    ClearOp::create(b, values, v.to.slot, v.valid);
    ArriveOp::create(b, fullV, v.to.slot, /*by_thread=*/true, IntegerAttr());
    scf::YieldOp::create(b, other(v.parity));
    v.parity = whole.getResult(0);
  }
  v.to = next(v.to);
}

Value HopperPage::validKeysOf(const RowInfo &row, Value block) {
  if (!s.packed) // The map's end is the sequence's.
    return i32(keyRows());
  // A part of the last block may be behind the sequence as a whole.
  return arith::MaxSIOp::create(b, sub(row.kLength, mul(block, keyRows())),
                                i32(0));
}

/// Rows that share keys lie next to each other, the longest first: KV heads
/// outermost, in them query blocks from the last, in them the group's heads. An
/// item has a head for each block of a cluster; the row is the first one's.
RowInfo HopperPage::rowOfItem(Value item) {
  int64_t cluster = schedule.getCluster(), heads = s.group / cluster;
  Value perMatrix = mul(slots, heads);
  Value matrix = div(item, perMatrix), inMatrix = rem(item, perMatrix);
  RowInfo row;
  row.slot = div(inMatrix, i32(heads));
  if (s.causal)
    row.slot = sub(sub(slots, i32(1)), row.slot);
  row.batchHead =
      add(mul(matrix, s.group), mul(rem(inMatrix, i32(heads)), cluster));
  if (!s.packed) {
    row.unit = row.slot, row.qStart = row.kStart = i32(0);
    row.qLength = lq, row.kLength = lk;
    return row;
  }
  Span span = locate(row.slot, s.blockQ);
  row.qStart = span.qStart, row.qLength = span.qLength;
  row.kStart = span.kStart, row.kLength = span.kLength;
  row.unit = span.unit;
  return row;
}

/// How many blocks, from the row's last, have keys behind a query's position
/// (A1) or the sequence's end (P3).
Value HopperPage::hiddenBlocks(const RowInfo &row, Value selectionRow) {
  Value end = row.kLength;
  if (s.causal)
    end = min(end, add(firstPosition(row), i32(1)));
  auto loop = scf::WhileOp::create(
      b, TypeRange{b.getI32Type()}, ValueRange{i32(0)},
      [&](OpBuilder &, Location, ValueRange n) {
        Value left = sub(sub(row.count, i32(1)), n[0]);
        Value some = compare(arith::CmpIPredicate::sge, left, i32(0));
        // Reads the first entry where none is left.
        Value block = blockNumber(selectionRow, max(left, i32(0)));
        Value last = add(mul(block, keyRows()), i32(keyRows()));
        Value hides = compare(arith::CmpIPredicate::sgt, last, end);
        scf::ConditionOp::create(b, both(some, hides), n);
      },
      [&](OpBuilder &, Location, ValueRange n) {
        scf::YieldOp::create(b, ValueRange{add(n[0], i32(1))});
      });
  return loop.getResult(0);
}

/// Every second wave of rows goes through its blocks from the last down: it
/// begins with the keys that the wave before it ended with, which are still in
/// the cache where a KV head does not fit whole.
Value HopperPage::turnsBack(const RowInfo &row) {
  int64_t rowsOfWave = std::max<int64_t>(1, kMultiprocessors / s.group);
  Value wave = div(row.slot, i32(rowsOfWave));
  return compare(arith::CmpIPredicate::ne, rem(wave, i32(2)), i32(0));
}

void HopperPage::produceRow(RowInfo row, Walk &w) {
  Value list = selectionRow(row);
  Value selected = blockCount(row, list);
  // A row that attends to nothing gets one block behind all keys: zeros,
  // wholly hidden.
  Value none = compare(arith::CmpIPredicate::sle, selected, i32(0));
  row.count = select(none, i32(1), selected);
  SmallVector<Type> types(3, b.getI32Type());
  auto first = scf::IfOp::create(b, types, none, true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(first.thenBlock());
    Value behind = mul(add(keyBlocks, i32(1)), tilesOfBlock());
    scf::YieldOp::create(b, ValueRange{i32(1), i32(1), behind});
    b.setInsertionPointToStart(first.elseBlock());
    row.masked = hiddenBlocks(row, list);
    row.down = select(turnsBack(row), row.count, row.masked);
    Value block = blockNumber(list, place(i32(0), row, row.down));
    scf::YieldOp::create(b, ValueRange{row.masked, row.down, block});
  }
  row.masked = first.getResult(0), row.down = first.getResult(1);
  row.firstBlock = first.getResult(2);

  produceBlocks(row, list, w);
}

/// The row's Q, K and V, the V of each block behind the K of the next.
void HopperPage::produceBlocks(const RowInfo &row, Value list, Walk &w) {
  Value matrix = div(row.batchHead, i32(s.group));
  Value key = firstKeyOf(row, row.firstBlock);
  if (s.holdsQueries()) {
    copyRow(row, w.parityQ);
    w.k = copyK(key, matrix, w.k);
    payV(w);
  } else {
    // Q's buffer is handed back at the end of a row, for which the row's last V
    // has to be there.
    payV(w);
    w.k = copyK(key, matrix, w.k);
    copyRow(row, w.parityQ);
  }
  w.parityQ = other(w.parityQ);
  w.v.key = key, w.v.matrix = matrix;
  w.v.valid = validKeysOf(row, row.firstBlock);
  auto rest = scf::ForOp::create(
      b, i32(1), row.count, i32(1),
      ValueRange{w.k.slot, w.k.parity, w.v.key, w.v.valid, w.v.to.slot,
                 w.v.to.parity, w.v.parity},
      [&](OpBuilder &, Location, Value n, ValueRange x) {
        Value block = blockNumber(list, place(n, row, row.down));
        Value key = firstKeyOf(row, block);
        Cursor k = copyK(key, matrix, {x[0], x[1]});
        Owed v{x[2], matrix, x[3], {x[4], x[5]}, x[6]};
        copyV(v);
        scf::YieldOp::create(b, ValueRange{k.slot, k.parity, key,
                                           validKeysOf(row, block), v.to.slot,
                                           v.to.parity, v.parity});
      });
  w.k = {rest.getResult(0), rest.getResult(1)};
  w.v.key = rest.getResult(2), w.v.valid = rest.getResult(3);
  w.v.to = {rest.getResult(4), rest.getResult(5)};
  w.v.parity = rest.getResult(6);
  w.pending = i32(1);
}

/// The last V of the row before.
void HopperPage::payV(Walk &w) {
  auto owed = scf::IfOp::create(
      b, SmallVector<Type>(3, b.getI32Type()),
      compare(arith::CmpIPredicate::ne, w.pending, i32(0)), true);
  Owed v = w.v;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(owed.thenBlock());
  copyV(v);
  scf::YieldOp::create(b, ValueRange{v.to.slot, v.to.parity, v.parity});
  b.setInsertionPointToStart(owed.elseBlock());
  scf::YieldOp::create(b, ValueRange{w.v.to.slot, w.v.to.parity, w.v.parity});
  w.v.to = {owed.getResult(0), owed.getResult(1)};
  w.v.parity = owed.getResult(2);
}

/// Takes one item; spare slots of a packed batch have no rows.
SmallVector<Value> HopperPage::produceItem(Value nextItem, ValueRange state) {
  Walk w(state);
  RowInfo row = rowOfItem(w.item);
  if (!s.packed) {
    produceRow(row, w);
    w.item = nextItem;
    return w.values();
  }
  Value used = less(mul(row.unit, s.blockQ), row.qLength);
  auto some = scf::IfOp::create(b, state.getTypes(), used, true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(some.thenBlock());
  produceRow(row, w);
  w.item = nextItem;
  scf::YieldOp::create(b, w.values());
  b.setInsertionPointToStart(some.elseBlock());
  Walk same(state);
  same.item = nextItem;
  scf::YieldOp::create(b, same.values());
  return SmallVector<Value>(some.getResults());
}

void HopperPage::produceRows() {
  Value zero = i32(0);
  int64_t cluster = schedule.getCluster();
  Value items = mul(s.packed ? slots : mul(slots, batch), s.heads / cluster);
  auto blockId = arith::IndexCastOp::create(
      b, b.getI32Type(), gpu::BlockIdOp::create(b, gpu::Dimension::x));
  auto blocks = arith::IndexCastOp::create(
      b, b.getI32Type(), gpu::GridDimOp::create(b, gpu::Dimension::x));
  SmallVector<Value> start(Walk::size, zero);
  start[0] = div(blockId, cluster);
  Value clusters = div(blocks, cluster);
  auto walk = scf::WhileOp::create(
      b, SmallVector<Type>(Walk::size, b.getI32Type()), start,
      [&](OpBuilder &, Location, ValueRange state) {
        scf::ConditionOp::create(b, less(state[0], items), state);
      },
      [&](OpBuilder &, Location, ValueRange state) {
        // Asked for one row ahead: the answer takes a while.
        Value taken = LLVM::AtomicRMWOp::create(
            b, LLVM::AtomicBinOp::add, counter, i32(1),
            LLVM::AtomicOrdering::monotonic, "device");
        scf::YieldOp::create(b, produceItem(add(clusters, taken), state));
      });
  Walk end(walk.getResults());
  payV(end);
  awaitEmptyQ(other(end.parityQ));
  for (int64_t block = 0; block < cluster; ++block) {
    LLVM::StoreOp::create(
        b, i32(-1), wordOf(wordsIn(block), end.parityQ, RowInfo::countWord));
    ArriveOp::create(b, fullQ, zero, /*by_thread=*/true,
                     block ? b.getI32IntegerAttr(block) : IntegerAttr());
  }
}
