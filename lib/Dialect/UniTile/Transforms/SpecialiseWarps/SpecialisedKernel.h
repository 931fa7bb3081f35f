// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A page on its way to a producer that copies and consumers that multiply: what
// the two partitions share, and the words to write them in.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_SPECIALISEWARPS_SPECIALISEDKERNEL_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_SPECIALISEWARPS_SPECIALISEDKERNEL_H

#include "../KernelViews.h"
#include "../WalkParts.h"

namespace unisparse {
using namespace mlir;
using namespace unisparse::unitile;

/// A place in a ring of buffers and the parity that its barrier completes next.
/// Both i32.
struct Cursor {
  Value slot, parity;
};

/// A work item: a query tile of one head, and what the producer tells the
/// consumers about it.
struct Item {
  static constexpr int64_t countWord = 2;
  Value x;         ///< Of the page's grid.
  Value batchHead; ///< Of the page's grid: z * heads + y.
  Value count;     ///< Key tiles, at least 1; -1: no item is left.
  Value masked;    ///< How many of them have keys to hide; they go first.
  Value firstKey;  ///< Of the tile that goes first.
  /// Under a mask with a front (M2): how many of the masked, from the last tile
  /// down, have them behind what is seen. Null elsewhere: all have.
  Value behind;
  /// What the page reads from memory in front of the walk and consumers use.
  SmallVector<Value> leaves;
  /// The page's values that the producer has of this item. Consumers compute
  /// theirs from the words where they use them: computed once, they would be
  /// alive through the item's tiles, where registers are short.
  std::optional<IRMapping> page;
};

class SpecialisedKernel : public PageBuilder {
public:
  SpecialisedKernel(KernelViews &views, WalkParts &parts,
                    ScheduleAttr schedule);

  /// What a page has that this cannot do, in words.
  LogicalResult verify();
  /// Writes the partitions behind the page, which then may go.
  void build();

private:
  void takeArguments();
  void reserveShared();
  LogicalResult verifyWhole();
  void collectLeaves();
  Value takeMap(Value memref, int64_t rows);

  //===--------------------------------------------------------------------===//
  // The page's own values, for an item
  //===--------------------------------------------------------------------===//

  /// The kernel: a page and what is made of it.
  Region &front() { return views.kernel.getBody(); }
  /// The page's grid coordinates are x and batchHead.
  IRMapping pageAt(Value x, Value batchHead, ValueRange leaves = {});
  /// `value` of the page, from what the item has given.
  Value from(const IRMapping &page, Value value);
  Value from(const Item &item, Value value) {
    return from(pageOf(item), value);
  }
  IRMapping pageOf(const Item &item) {
    return item.page ? *item.page : pageAt(item.x, item.batchHead, item.leaves);
  }
  /// What `page` gives in a region of the walk for the tile that begins at
  /// `key`: the arguments behind the scores, where it takes any.
  IRMapping inRegion(const Item &item, Region &region, Value key,
                     Value scores = Value());
  /// First row, in memory, of what `fetch` takes of the tile at `key`.
  Value rowOf(FetchOp fetch, const Item &item, Value key);
  /// Which matrix of a map: head and batch.
  SmallVector<Value> matrixOf(FetchOp fetch, Value batchHead);
  /// Where the item's visible keys end.
  Value limitOf(const Item &item) { return from(item, limit()); }
  Value limit() {
    return parts.walk.getBlock().front().getTerminator()->getOperand(1);
  }
  /// The first key of tile `n`.
  Value keyOf(const Item &item, Value n);

  // Clusters: two CTAs do the same query tile for two neighbouring heads. The
  // first one's producer copies every K and V into both, and each its Q; the
  // other one's only passes on that its Q has been read.
  bool inCluster() const { return schedule.getCluster() > 1; }
  /// Of the first CTA of a cluster, for what all arrive at.
  IntegerAttr firstCtaOnly() {
    return inCluster() ? b.getI32IntegerAttr(0) : IntegerAttr();
  }
  /// A tile's buffer may be filled again, for all that this warp knows.
  void leave(Value empty, Value slot) {
    ArriveOp::create(b, empty, slot, /*by_thread=*/false, firstCtaOnly());
  }
  void awaitQ(Value parity) {
    AwaitOp::create(b, fullQ, i32(0), parity, inCluster());
  }

  //===--------------------------------------------------------------------===//
  // The producer: Producer.cpp, Cluster.cpp
  //===--------------------------------------------------------------------===//

  void produce();
  void produceItems();
  void passOnEmptyQ();
  void awaitEmptyQ(Value parity);
  void copyItem(const Item &item, Value parity);
  Value wordsIn(int64_t cta);
  /// Into all CTAs of the cluster.
  void copy(Value map, Value row, ValueRange matrix, Value tile, Value slot,
            Value full, Value index);
  struct Walk;
  SmallVector<Value> produceNext(Value nextItem, ValueRange walk);
  void produceTiles(Item item, Walk &w);
  void produceRest(const Item &item, Value down, Walk &w);
  void produceKeys(const Item &item, Value down, Walk &w);
  void payV(Walk &w);
  /// V tiles that are still to be copied, and where they go.
  struct Owed {
    Value row;       ///< First row in memory.
    Value batchHead; ///< Of the item.
    Value valid;     ///< Rows that are the sequence's.
    Cursor to;
    Value parity; ///< Of the barrier for tiles that need clearing.
  };
  Cursor copyK(Value row, Value batchHead, Cursor to);
  void copyV(Owed &v);
  Value validKeys(const Item &item, Value key);
  Item itemOf(Value number);
  Value hiddenTiles(const Item &item);
  Value hiddenInFront(const Item &item);
  Value turnsBack(const Item &item);
  Value descending(const Item &item);
  /// The tile that goes `n`-th: those with keys to hide from the last down,
  /// the others from the first up, or all of them down (`turnsBack`). Under a
  /// mask with a front those that it hides are the first of the others.
  Value place(Value n, const Item &item, Value down) {
    return select(less(n, down), sub(sub(item.count, i32(1)), n),
                  sub(n, behindOf(item)));
  }
  Value behindOf(const Item &item) {
    return hasFront() ? item.behind : item.masked;
  }
  /// Whether every second wave of items walks from the last tile down. A
  /// window's neighbours share keys whatever the order is.
  bool turns() const { return parts.hasValues() && !hasFront(); }
  /// Whether keys are hidden before what is seen (M2).
  bool hasFront() const { return parts.mask && parts.mask.getFrom(); }

  //===--------------------------------------------------------------------===//
  // The consumers: Consumers.cpp, Steps.cpp
  //===--------------------------------------------------------------------===//

  /// Which steps differ in what.
  enum class Step {
    NewItem, ///< The first tile of an item: closes the item before it.
    Masked,  ///< A later tile with keys to hide.
    Plain,   ///< All others.
  };
  /// What the consumers carry from tile to tile.
  struct Stream {
    Value output;        ///< O, of all tiles but the latest.
    Value probabilities; ///< P of the latest, 16-bit.
    Value queries;       ///< Q, 16-bit, in registers or its tile.
    Value reference;     ///< Of the softmax, in units of log2.
    Value sum;           ///< Of P, not yet across the columns of a row.
    Cursor now, behind;  ///< This tile's K, the latest tile's V.
    Value ready;         ///< Both have arrived; where not set, ask.
    Value adds;          ///< The latest tile is not the first of its item.
    Value parityQ; ///< Of the next item's Q; the item's own has the other.
    Item item;     ///< Where items are carried.
  };
  void consume();
  void consumeStream();
  void consumeItems();
  int64_t words() const { return 5 + hasFront() + leaves.size(); }
  SmallVector<Value> valuesOf(const Item &item);
  Item itemFrom(ValueRange values);
  SmallVector<Value> pack(const Stream &x);
  Stream unpack(ValueRange values);
  /// A packed batch has so many words that they would spill: they are read
  /// where they are needed, and stay until the item behind the next one comes.
  bool carriesItems() const { return leaves.empty(); }
  int64_t places() const { return carriesItems() ? 1 : 2; }
  int64_t carriedWords() const { return carriesItems() ? words() : 0; }
  Item readItem(Value parity);
  /// The item of the latest tile.
  Item currentItem(const Stream &x) {
    return carriesItems() ? x.item : readItem(other(x.parityQ));
  }
  /// Where the two sides write and read; items that are not carried have two
  /// places in turns, by the parity of their Q's phase.
  Value wordOf(Value parity, int64_t i) { return wordOf(itemWords, parity, i); }
  Value wordOf(Value base, Value parity, int64_t i) {
    Value word = i32(i);
    if (!carriesItems())
      word = add(mul(parity, words()), word);
    return PageBuilder::at(base, b.getI32Type(), word);
  }
  // A walk without values: Sums.cpp.
  struct Counted;
  void countItems();
  void countItem(const Item &item, Cursor &now);
  Counted countTile(Step kind, Counted x, const Item &item, Value key,
                    Value held);
  void finishCounted(const Item &item, const Counted &x);
  Stream firstTile(const Item &item, Cursor now, Value parityQ);
  Stream remainingTiles(Stream x);
  Stream step(Step kind, Stream x, const Item &item, Value key);
  void lastOutput(Stream x);
  Value isItem(const Item &item);
  Value startScores(const Stream &x);
  Value startOutput(const Stream &x);
  /// The rest of the score region, and the mask region; `key` where needed.
  Value finishScores(Value product, const Item &item, Value key);
  Value mask(Step kind, Value scores, const Item &item, Value key);
  Value takeSettled(Step kind, Stream &x, Value scores);
  Value rounded(Value exact);
  void takeExponentials(Step kind, Stream &x, Value scores);
  void finishItem(const Item &item, Value output, Value reference, Value sum);
  void put(PutOp op, RegionCloner &page);
  void putRows(PutOp op, RegionCloner &page);
  void sendRows(PutOp op, RegionCloner &page);
  Value firstReference(Value scores) {
    return named("reference",
                 ReferenceOp::create(b, rowsType(), scores,
                                     parts.softmax.getScaleAttr(),
                                     parts.softmax.getSettledAttr()));
  }

  // Rings
  Cursor start() { return {i32(0), i32(0)}; }
  Cursor next(Cursor c);
  Value other(Value parity) { return arith::XOrIOp::create(b, parity, i32(1)); }

  // Types and small words
  using PageBuilder::at;
  using PageBuilder::div;
  Value div(Value x, Value y) { return b.createOrFold<arith::DivUIOp>(x, y); }
  using PageBuilder::rem;
  Value rem(Value x, Value y) { return b.createOrFold<arith::RemUIOp>(x, y); }
  RowsType rowsType() { return PageBuilder::rows(blockQ); }
  Value flag(bool v) { return isTrue(v); }
  /// The name that `value` is printed under, where a person asks for names
  /// (--mlir-use-nameloc-as-prefix).
  Value named(StringRef name, Value value) {
    value.setLoc(NameLoc::get(b.getStringAttr(name), b.getLoc()));
    return value;
  }
  /// Q is multiplied from registers where O leaves room for it. Where not, it
  /// stays in shared memory.
  bool holdsQueries() const {
    return !parts.hasValues() || (headDim <= 128 && valueDim <= 128);
  }
  /// Columns of a tile of queries or keys.
  int64_t depth() const { return llvm::alignTo(headDim, 16); }
  /// Sequences end in the middle of memory.
  bool isPacked() const { return locate != nullptr; }

  KernelViews &views;
  WalkParts &parts;
  ScheduleAttr schedule;
  LocateOp locate;
  scf::IfOp guard; ///< Around the walk, where not all items have rows.
  PutOp result;    ///< O's; null where a walk has no values.
  int64_t blockQ, keyRows, headDim, valueDim, heads, group;
  Type element;
  bool usesKeys = false;
  SmallVector<Value> leaves; ///< The page's.

  Value mapQ, mapK, mapV, mapO, counter, gridX, gridZ, allKeys;
  Value itemsOfWave; ///< Null where every item walks the same way.
  Value queries, keys, values, outputs; ///< Tiles.
  Value fullK, fullV, fullQ, emptyK, emptyV, emptyQ, fullTail, itemWords;
  Value emptyOtherQ; ///< At the first CTA: the other one's Q.

public:
  /// The arguments that are tensor maps.
  SmallVector<Value> maps() const {
    if (!parts.hasValues())
      return {mapQ, mapK};
    return {mapQ, mapK, mapV, mapO};
  }
  int64_t threads() const { return 128 * (1 + blockQ / 64); }
};

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_SPECIALISEWARPS_SPECIALISEDKERNEL_H
