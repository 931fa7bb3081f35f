// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The producer: one thread walks work items and their key tiles, and starts the
// copies. The order is K0 K1 V0 K2 V1 ..., across items too where they form one
// stream: that in which the consumers free the buffers.
#include "SpecialisedKernel.h"

using namespace unisparse;

/// What the producer carries from item to item, all i32.
struct SpecialisedKernel::Walk {
  Value number;  ///< Of the item to do next.
  Cursor k;      ///< The buffer to fill next.
  Value parityQ; ///< Of the phase in which the query buffer fills.
  Owed v;        ///< The V that is still to come,
  Value pending; ///< unless this is 0.
  static constexpr size_t size = 11;
  explicit Walk(ValueRange x)
      : number(x[0]), k{x[1], x[2]}, parityQ(x[3]),
        v{x[4], x[5], x[6], {x[7], x[8]}, x[9]}, pending(x[10]) {}
  SmallVector<Value> values() const {
    return {number,  k.slot,    k.parity,    parityQ,  v.row,  v.batchHead,
            v.valid, v.to.slot, v.to.parity, v.parity, pending};
  }
};

Cursor SpecialisedKernel::copyK(Value row, Value batchHead, Cursor to) {
  AwaitOp::create(b, emptyK, to.slot, other(to.parity));
  copy(mapK, row, matrixOf(parts.keys, batchHead), keys, to.slot, fullK,
       to.slot);
  return next(to);
}

/// Behind a packed sequence's last key stand another's: V's rows there are
/// factors of 0, which only what is finite forgives, so they are cleared.
void SpecialisedKernel::copyV(Owed &v) {
  AwaitOp::create(b, emptyV, v.to.slot, other(v.to.parity));
  auto copyTo = [&](Value full, Value index) {
    copy(mapV, v.row, matrixOf(parts.values, v.batchHead), values, v.to.slot,
         full, index);
  };
  if (!isPacked()) {
    copyTo(fullV, v.to.slot);
  } else {
    Value zero = i32(0);
    v.parity = ifElse(
        compare(arith::CmpIPredicate::sge, v.valid, i32(keyRows)),
        [&]() -> SmallVector<Value> {
          copyTo(fullV, v.to.slot);
          return {v.parity};
        },
        [&]() -> SmallVector<Value> {
          copyTo(fullTail, zero);
          AwaitOp::create(b, fullTail, zero, v.parity);
          ClearOp::create(b, values, v.to.slot, v.valid);
          ArriveOp::create(b, fullV, v.to.slot, /*by_thread=*/true,
                           IntegerAttr());
          return {other(v.parity)};
        })[0];
  }
  v.to = next(v.to);
}

/// How many of a tile's rows are the sequence's: a part of the last block may
/// be behind it as a whole. Elsewhere the map's end is the sequence's.
Value SpecialisedKernel::validKeys(const Item &item, Value key) {
  if (!isPacked())
    return i32(keyRows);
  return arith::MaxSIOp::create(b, sub(limitOf(item), key), i32(0));
}

/// Items that share keys lie next to each other, in the page's order: KV heads
/// outermost, in them the page's x, in them the group's heads. A number has a
/// head for each CTA of a cluster; the item is the first one's.
Item SpecialisedKernel::itemOf(Value number) {
  int64_t cluster = schedule.getCluster(), perItem = group / cluster;
  Value perMatrix = mul(gridX, perItem);
  Value matrix = div(number, perMatrix), inMatrix = rem(number, perMatrix);
  Item item;
  item.x = div(inMatrix, i32(perItem));
  item.batchHead =
      add(mul(matrix, group), mul(rem(inMatrix, i32(perItem)), cluster));
  item.page = pageAt(item.x, item.batchHead);
  // What is read is read once.
  RegionCloner cloner(*this);
  cloner.mapping = *item.page;
  if (locate)
    cloner.slice(locate.getBlock(), front());
  item.page = cloner.mapping;
  for (Value leaf : leaves)
    item.leaves.push_back(cloner.slice(leaf, front()));
  return item;
}

/// How many tiles, from the item's last, have keys behind a query's position
/// (A1) or the sequence's end (P3).
Value SpecialisedKernel::hiddenTiles(const Item &item) {
  if (!parts.mask)
    return i32(0);
  IRMapping page = inRegion(item, parts.walk.getMask(), Value());
  Value end = from(page, parts.mask.getLimit());
  if (parts.mask.getLast()) // Which has its own weight.
    end = sub(end, i32(1));
  if (parts.mask.getPosition())
    end = min(end, add(from(page, parts.mask.getPosition()), i32(1)));
  return whileLoop(
      i32(0),
      [&](ValueRange n) {
        Value left = sub(sub(item.count, i32(1)), n[0]);
        Value some = compare(arith::CmpIPredicate::sge, left, i32(0));
        // Reads the first entry where none is left.
        Value last = add(keyOf(item, max(left, i32(0))), i32(keyRows));
        return both(some, compare(arith::CmpIPredicate::sgt, last, end));
      },
      [&](ValueRange n) -> SmallVector<Value> {
        return {add(n[0], i32(1))};
      })[0];
}

/// How many tiles, from the item's first, have keys before what the query
/// tile's last row sees (M2).
Value SpecialisedKernel::hiddenInFront(const Item &item) {
  IRMapping page = inRegion(item, parts.walk.getMask(), Value());
  Value begin = add(from(page, parts.mask.getFrom()), i32(blockQ - 1));
  return whileLoop(
      i32(0),
      [&](ValueRange n) {
        Value some = less(n[0], item.count);
        // Reads the last entry where none is left.
        Value first = keyOf(item, min(n[0], sub(item.count, i32(1))));
        return both(some, less(first, begin));
      },
      [&](ValueRange n) -> SmallVector<Value> {
        return {add(n[0], i32(1))};
      })[0];
}

/// Serpentine order: every second wave of items goes through its tiles from the
/// last down. It begins with the keys that the wave before it ended with, which
/// are still in the L2 where a KV head does not fit whole. Under a diagonal
/// waves are counted from the page's last items, the shortest: 2% over counting
/// from the first, dense, on an H200.
Value SpecialisedKernel::turnsBack(const Item &item) {
  Value x = item.x;
  if (parts.mask && parts.mask.getPosition())
    x = sub(sub(gridX, 1), x);
  Value wave = div(x, itemsOfWave);
  return compare(arith::CmpIPredicate::ne, rem(wave, i32(2)), i32(0));
}

/// How many tiles, the first to go, are taken from the last down.
Value SpecialisedKernel::descending(const Item &item) {
  if (!turns())
    return behindOf(item);
  return select(turnsBack(item), item.count, item.masked);
}

void SpecialisedKernel::produceTiles(Item item, Walk &w) {
  Value selected = from(item, parts.walk.getCount());
  // An item that attends to nothing gets one tile behind all keys: zeros,
  // wholly hidden.
  Value none = compare(arith::CmpIPredicate::sle, selected, i32(0));
  item.count = select(none, i32(1), selected);
  SmallVector<Value> first = ifElse(
      none, [&]() -> SmallVector<Value> { return {i32(1), i32(1), allKeys}; },
      [&]() -> SmallVector<Value> {
        item.masked = hiddenTiles(item);
        if (hasFront()) {
          item.behind = item.masked;
          item.masked = min(add(item.behind, hiddenInFront(item)), item.count);
        }
        Value down = descending(item);
        return {item.masked, down, keyOf(item, place(i32(0), item, down))};
      });
  item.masked = first[0], item.firstKey = first[2];
  if (hasFront())
    item.behind = first[1];
  produceRest(item, first[1], w);
}

/// The item's Q, K and V, the V of each tile behind the K of the next.
void SpecialisedKernel::produceRest(const Item &item, Value down, Walk &w) {
  Value row = rowOf(parts.keys, item, item.firstKey);
  if (holdsQueries()) {
    copyItem(item, w.parityQ);
    w.k = copyK(row, item.batchHead, w.k);
    if (!parts.hasValues())
      return produceKeys(item, down, w);
    payV(w);
  } else {
    // Q's buffer is handed back at the end of an item, for which the item's
    // last V has to be there.
    payV(w);
    w.k = copyK(row, item.batchHead, w.k);
    copyItem(item, w.parityQ);
  }
  w.parityQ = other(w.parityQ);
  w.v.row = rowOf(parts.values, item, item.firstKey);
  w.v.batchHead = item.batchHead;
  w.v.valid = validKeys(item, item.firstKey);
  SmallVector<Value> rest =
      forEach(i32(1), item.count, 1,
              {w.k.slot, w.k.parity, w.v.row, w.v.valid, w.v.to.slot,
               w.v.to.parity, w.v.parity},
              [&](Value n, ValueRange x) -> SmallVector<Value> {
                Value key = keyOf(item, place(n, item, down));
                Cursor k = copyK(rowOf(parts.keys, item, key), item.batchHead,
                                 {x[0], x[1]});
                Owed v{x[2], item.batchHead, x[3], {x[4], x[5]}, x[6]};
                copyV(v);
                return {k.slot,
                        k.parity,
                        rowOf(parts.values, item, key),
                        validKeys(item, key),
                        v.to.slot,
                        v.to.parity,
                        v.parity};
              });
  w.k = {rest[0], rest[1]};
  w.v.row = rest[2], w.v.valid = rest[3];
  w.v.to = {rest[4], rest[5]};
  w.v.parity = rest[6];
  w.pending = i32(1);
}

/// The item's keys but the first, for a walk without values.
void SpecialisedKernel::produceKeys(const Item &item, Value down, Walk &w) {
  w.parityQ = other(w.parityQ);
  SmallVector<Value> rest =
      forEach(i32(1), item.count, 1, {w.k.slot, w.k.parity},
              [&](Value n, ValueRange x) -> SmallVector<Value> {
                Value key = keyOf(item, place(n, item, down));
                Cursor k = copyK(rowOf(parts.keys, item, key), item.batchHead,
                                 {x[0], x[1]});
                return {k.slot, k.parity};
              });
  w.k = {rest[0], rest[1]};
}

/// The last V of the item before.
void SpecialisedKernel::payV(Walk &w) {
  SmallVector<Value> owed = ifElse(
      compare(arith::CmpIPredicate::ne, w.pending, i32(0)),
      [&]() -> SmallVector<Value> {
        Owed v = w.v;
        copyV(v);
        return {v.to.slot, v.to.parity, v.parity};
      },
      [&]() -> SmallVector<Value> {
        return {w.v.to.slot, w.v.to.parity, w.v.parity};
      });
  w.v.to = {owed[0], owed[1]};
  w.v.parity = owed[2];
}

/// Takes one item; some of a page's guarded ones have no rows.
SmallVector<Value> SpecialisedKernel::produceNext(Value nextItem,
                                                  ValueRange state) {
  Walk w(state);
  Item item = itemOf(w.number);
  auto produced = [&]() -> SmallVector<Value> {
    produceTiles(item, w);
    w.number = nextItem;
    return w.values();
  };
  if (!guard)
    return produced();
  return ifElse(from(item, guard.getCondition()), produced,
                [&]() -> SmallVector<Value> {
                  Walk same(state);
                  same.number = nextItem;
                  return same.values();
                });
}

void SpecialisedKernel::produceItems() {
  Value zero = i32(0);
  int64_t cluster = schedule.getCluster();
  Value items = mul(gridZ ? mul(gridX, gridZ) : gridX, heads / cluster);
  Value cta = blockId(gpu::Dimension::x);
  Value ctas = arith::IndexCastOp::create(
      b, b.getI32Type(), gpu::GridDimOp::create(b, gpu::Dimension::x));
  SmallVector<Value> start(Walk::size, zero);
  start[0] = div(cta, cluster);
  Value clusters = div(ctas, cluster);
  SmallVector<Value> walk = whileLoop(
      start, [&](ValueRange state) { return less(state[0], items); },
      [&](ValueRange state) {
        // Asked for one item ahead: the answer takes a while.
        Value taken = LLVM::AtomicRMWOp::create(
            b, LLVM::AtomicBinOp::add, counter, i32(1),
            LLVM::AtomicOrdering::monotonic, "device");
        return produceNext(add(clusters, taken), state);
      });
  Walk end(walk);
  if (parts.hasValues())
    payV(end);
  awaitEmptyQ(other(end.parityQ));
  for (int64_t i = 0; i < cluster; ++i) {
    LLVM::StoreOp::create(b, i32(-1),
                          wordOf(wordsIn(i), end.parityQ, Item::countWord));
    ArriveOp::create(b, fullQ, zero, /*by_thread=*/true,
                     i ? b.getI32IntegerAttr(i) : IntegerAttr());
  }
}
