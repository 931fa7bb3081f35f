// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The consumers: each warpgroup has 64 query rows of every work item and takes
// the tiles of all items as one stream.
#include "SpecialisedKernel.h"

using namespace unisparse;

//===----------------------------------------------------------------------===//
// What is carried
//===----------------------------------------------------------------------===//

SmallVector<Value> SpecialisedKernel::valuesOf(const Item &item) {
  SmallVector<Value> x{item.x, item.batchHead, item.count, item.masked,
                       item.firstKey};
  if (hasFront())
    x.push_back(item.behind);
  llvm::append_range(x, item.leaves);
  return x;
}

Item SpecialisedKernel::itemFrom(ValueRange x) {
  Item item{x[0], x[1], x[2], x[3], x[4], {}, {}, {}};
  if (hasFront())
    item.behind = x[5];
  llvm::append_range(item.leaves, x.drop_front(5 + hasFront()));
  return item;
}

SmallVector<Value> SpecialisedKernel::pack(const Stream &x) {
  SmallVector<Value> values{x.output,     x.probabilities, x.queries,
                            x.reference,  x.sum,           x.now.slot,
                            x.now.parity, x.behind.slot,   x.behind.parity,
                            x.ready,      x.adds,          x.parityQ};
  if (carriesItems())
    llvm::append_range(values, valuesOf(x.item));
  return values;
}

SpecialisedKernel::Stream SpecialisedKernel::unpack(ValueRange x) {
  Item item;
  if (carriesItems())
    item = itemFrom(x.slice(12, words()));
  return {x[0],         x[1], x[2],  x[3],  x[4], {x[5], x[6]},
          {x[7], x[8]}, x[9], x[10], x[11], item};
}

Item SpecialisedKernel::readItem(Value parity) {
  SmallVector<Value> x;
  for (int64_t i = 0; i < words(); ++i)
    x.push_back(LLVM::LoadOp::create(b, b.getI32Type(), wordOf(parity, i)));
  named("x", x[0]), named("head", x[1]), named("count", x[2]);
  named("masked", x[3]), named("first_key", x[4]);
  return itemFrom(x);
}

Value SpecialisedKernel::isItem(const Item &item) {
  return compare(arith::CmpIPredicate::sgt, item.count, i32(0));
}

Cursor SpecialisedKernel::next(Cursor c) {
  Value slot = add(c.slot, i32(1));
  Value wraps =
      compare(arith::CmpIPredicate::eq, slot, i32(schedule.getStages()));
  Value turn = arith::ExtUIOp::create(b, b.getI32Type(), wraps);
  return {select(wraps, i32(0), slot),
          arith::XOrIOp::create(b, c.parity, turn)};
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

/// All tiles of an item but its first.
SpecialisedKernel::Stream SpecialisedKernel::remainingTiles(Stream x) {
  Item item = currentItem(x);
  auto loop = [&](Step kind, Value from, Value to) {
    // What does not change in an item is not carried.
    Stream outer = x;
    auto carried = [](const Stream &y) {
      return SmallVector<Value>{
          y.output,     y.probabilities, y.reference,     y.sum,   y.now.slot,
          y.now.parity, y.behind.slot,   y.behind.parity, y.ready, y.adds};
    };
    auto restore = [&](ValueRange v) {
      Stream y = outer;
      y.output = v[0], y.probabilities = v[1], y.reference = v[2], y.sum = v[3];
      y.now = {v[4], v[5]}, y.behind = {v[6], v[7]};
      y.ready = v[8], y.adds = v[9];
      return y;
    };
    SmallVector<Value> tiles =
        forEach(from, to, 1, carried(x), [&](Value n, ValueRange v) {
          Value key;
          // Tiles with keys to hide go down in either order.
          if (kind == Step::Masked || usesKeys)
            key = keyOf(
                item,
                place(n, item, usesKeys ? descending(item) : behindOf(item)));
          return carried(step(kind, restore(v), item, key));
        });
    x = restore(tiles);
  };
  loop(Step::Masked, i32(1), item.masked);
  loop(Step::Plain, max(item.masked, i32(1)), item.count);
  return x;
}

void SpecialisedKernel::consume() {
  if (!parts.hasValues())
    countItems();
  else if (holdsQueries())
    consumeStream();
  else
    consumeItems();
}

/// One item behind the other: Q's buffer is in use from an item's first tile to
/// its output.
void SpecialisedKernel::consumeItems() {
  Value zero = i32(0);
  SmallVector<Type> onward(3 + carriedWords(), b.getI32Type());
  OpBuilder::InsertionGuard guard(b);
  scf::WhileOp::create(
      b, onward, ValueRange{zero, zero, zero},
      [&](OpBuilder &, Location, ValueRange v) {
        awaitQ(v[2]);
        Item item = readItem(v[2]);
        SmallVector<Value> values(v);
        if (carriesItems())
          llvm::append_range(values, valuesOf(item));
        scf::ConditionOp::create(b, isItem(item), values);
      },
      [&](OpBuilder &, Location, ValueRange v) {
        Item item = carriesItems() ? itemFrom(v.drop_front(3)) : readItem(v[2]);
        Stream x = remainingTiles(firstTile(item, {v[0], v[1]}, v[2]));
        lastOutput(x);
        TensorStoreWaitOp::create(b, /*written=*/false);
        ArriveOp::create(b, emptyQ, zero, /*by_thread=*/true, IntegerAttr());
        scf::YieldOp::create(b,
                             ValueRange{x.now.slot, x.now.parity, x.parityQ});
      });
  TensorStoreWaitOp::create(b, /*written=*/true);
}

/// All items as one stream: the first tile of an item goes beside the last
/// output of the item before.
void SpecialisedKernel::consumeStream() {
  Value zero = i32(0);
  awaitQ(zero);
  Item item = readItem(zero);
  ifThen(isItem(item), [&] {
    if (schedule.getPingPong())
      TakeTurnOp::create(b, /*first=*/true);
    SmallVector<Value> state = pack(firstTile(item, start(), zero));
    SmallVector<Type> onward(ValueRange(state).getTypes());
    onward.append(carriedWords(), b.getI32Type());
    auto items = scf::WhileOp::create(
        b, onward, state,
        [&](OpBuilder &, Location, ValueRange v) {
          Stream y = remainingTiles(unpack(v));
          awaitQ(y.parityQ);
          Item next = readItem(y.parityQ);
          SmallVector<Value> values = pack(y);
          if (carriesItems())
            llvm::append_range(values, valuesOf(next));
          scf::ConditionOp::create(b, isItem(next), values);
        },
        [&](OpBuilder &, Location, ValueRange v) {
          Stream y = unpack(v);
          y.queries = LoadOp::create(b, fragment(blockQ, headDim, element),
                                     queries, zero);
          Item next = carriesItems() ? itemFrom(v.take_back(carriedWords()))
                                     : readItem(y.parityQ);
          scf::YieldOp::create(
              b, pack(step(Step::NewItem, y, next, next.firstKey)));
        });
    lastOutput(unpack(items.getResults()));
    TensorStoreWaitOp::create(b, /*written=*/true);
  });
}
