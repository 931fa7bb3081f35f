// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What the producer's and the consumers' half of the Hopper attend page share:
// the kernel's arguments, its tiles and barriers, and the words to write it in.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERPAGE_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERPAGE_H

#include "HopperAttendKernel.h"
#include "KernelPage.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

namespace unisparse {
using namespace mlir;
using namespace unisparse::unitile;

/// A place in a ring of buffers and the parity that its barrier completes next.
/// Both i32.
struct Cursor {
  Value slot, parity;
};

/// What the producer tells the consumers about a row of query blocks.
struct RowInfo {
  static constexpr int64_t countWord = 2;
  /// How many of these cross shared memory; of a packed batch all but kStart.
  static constexpr int64_t wordsOf(bool packed) { return packed ? 9 : 5; }
  /// Rows of a packed batch have two places in turns.
  static constexpr int64_t placesOf(bool packed) { return packed ? 2 : 1; }
  Value unit;       ///< Query block in its sequence.
  Value batchHead;  ///< Which matrix of q.
  Value count;      ///< Key blocks, at least 1; -1: no row is left.
  Value masked;     ///< How many of them, from the last, have keys to hide.
  Value firstBlock; ///< The block that goes first.
  // Of a packed batch; else the unit, 0, Lq and Lk.
  Value slot;            ///< Query block among those of all sequences.
  Value qStart, qLength; ///< Its sequence's queries.
  Value kLength;         ///< Its sequence's keys.
  // For the producer alone.
  Value kStart; ///< Its sequence's first key.
  Value down;   ///< How many of the blocks go from the last down.
};

class HopperPage : public KernelPage {
public:
  HopperPage(gpu::GPUModuleOp module, Location loc, const AttendSpec &spec,
             ScheduleAttr schedule)
      : KernelPage(module, loc, "attend", HopperSchedule::threads(spec) / 32),
        s(spec), schedule(schedule) {}

  /// What the kernel takes, in this order, from values of the host.
  struct Host {
    Value q, k, v, o; ///< Tensor maps.
    Value output;     ///< o's address, of a packed batch.
    Value lse, counts, indices, counter;
    Value lq, lk, slots, keyBlocks; ///< i32
    Value batch;                    ///< i32; of a packed batch:
    HostPacking packing;
  };
  void build(const Host &host);

private:
  void takeArguments(const Host &host);
  void reserveShared();

  // Clusters: two blocks of threads do the same row of query blocks for two
  // neighbouring heads. The first one's producer copies every K and V into
  // both, and each its Q; the other one's only passes on that its Q has been
  // read.
  bool inCluster() const { return schedule.getCluster() > 1; }
  /// Of the first block of a cluster, for what all arrive at.
  IntegerAttr firstBlockOnly() {
    return inCluster() ? b.getI32IntegerAttr(0) : IntegerAttr();
  }
  /// A tile's buffer may be filled again, for all that this warp knows.
  void leave(Value empty, Value slot) {
    ArriveOp::create(b, empty, slot, /*by_thread=*/false, firstBlockOnly());
  }
  void awaitQ(Value parity) {
    AwaitOp::create(b, fullQ, i32(0), parity, inCluster());
  }

  // The producer's half: HopperProducer.cpp.
  void produce();
  void produceRows();
  void passOnEmptyQ();
  void awaitEmptyQ(Value parity);
  void copyRow(const RowInfo &row, Value parity);
  Value wordsIn(int64_t block);
  /// Into all blocks of the cluster.
  void copy(Value map, Value row, Value matrix, Value tile, Value slot,
            Value full, Value index);
  struct Walk;
  SmallVector<Value> produceItem(Value nextItem, ValueRange walk);
  void produceRow(RowInfo row, Walk &w);
  void produceBlocks(const RowInfo &row, Value selectionRow, Walk &w);
  void payV(Walk &w);
  /// V tiles that are still to be copied, and where they go.
  struct Owed {
    Value key, matrix; ///< First row.
    Value valid;       ///< Rows that are the sequence's.
    Cursor to;
    Value parity; ///< Of the barrier for tiles that need clearing.
  };
  Cursor copyK(Value key, Value matrix, Cursor to);
  void copyV(Owed &v);
  /// First row of a block of the row's keys, and how many of its rows are.
  Value firstKeyOf(const RowInfo &row, Value block) {
    return add(row.kStart, mul(block, keyRows()));
  }
  Value validKeysOf(const RowInfo &row, Value block);
  RowInfo rowOfItem(Value item);
  Value hiddenBlocks(const RowInfo &row, Value selectionRow);
  Value turnsBack(const RowInfo &row);
  /// The block that goes `n`-th: those with keys to hide from the last down,
  /// the others from the first up, or all of them down (`turnsBack`).
  Value place(Value n, const RowInfo &row, Value down) {
    return select(less(n, down), sub(sub(row.count, i32(1)), n),
                  sub(n, row.masked));
  }

  // The consumers' half: HopperConsumer.cpp.
  /// Which steps differ in what.
  enum class Step {
    NewRow, ///< The first block of a row: closes the row before it.
    Masked, ///< A later block with keys to hide.
    Plain,  ///< All others.
  };
  /// What the consumers carry from block to block.
  struct Stream {
    Value output;        ///< O, of all blocks but the latest.
    Value probabilities; ///< P of the latest, 16-bit.
    Value queries;       ///< Q, 16-bit, in registers or its tile.
    Value reference;     ///< Of the softmax, in units of log2.
    Value sum;           ///< Of P, not yet across the columns of a row.
    Cursor now, behind;  ///< This block's K, the latest block's V.
    Value ready;         ///< Both have arrived; where not set, ask.
    Value adds;          ///< The latest block is not the first of its row.
    Value parityQ;       ///< Of the next row's Q; the row's own has the other.
    RowInfo row;         ///< Where rows are carried.
  };
  void consume();
  void consumeStream();
  void consumeRows();
  int64_t rowWords() const { return RowInfo::wordsOf(s.packed); }
  SmallVector<Value> valuesOf(const RowInfo &row) const;
  RowInfo rowFrom(ValueRange values);
  SmallVector<Value> pack(const Stream &x) const;
  Stream unpack(ValueRange values);
  /// A packed batch has so many words that they would spill: they are read
  /// where they are needed, and stay until the row behind the next one comes.
  bool carriesRows() const { return !s.packed; }
  int64_t carriedWords() const { return carriesRows() ? rowWords() : 0; }
  RowInfo readRow(Value parity);
  /// The row of the latest block.
  RowInfo currentRow(const Stream &x) {
    return carriesRows() ? x.row : readRow(other(x.parityQ));
  }
  /// Where the two sides write and read; rows that are not carried have two
  /// places in turns, by the parity of their Q's phase.
  Value wordOf(Value parity, int64_t i) { return wordOf(words, parity, i); }
  Value wordOf(Value words, Value parity, int64_t i) {
    Value word = i32(i);
    if (!carriesRows())
      word = add(mul(parity, rowWords()), word);
    return at(words, b.getI32Type(), word);
  }
  Stream firstBlock(const RowInfo &row, Cursor now, Value parityQ);
  Stream remainingBlocks(Stream x);
  Stream step(Step kind, Stream x, const RowInfo &row, Value firstKey);
  void lastOutput(Stream x);
  Value isRow(const RowInfo &row);
  Value startScores(const Stream &x);
  Value startOutput(const Stream &x);
  Value mask(Value scores, const RowInfo &row, Value firstKey);
  Value maskWhereNeeded(Value scores, const RowInfo &row);
  Value firstReference(Value scores);
  std::pair<Value, Value> exponentials(Value scores, Value reference);
  void follow(Stream &x, Value scores, Value sums);
  void takeExponentials(Step kind, Stream &x, Value scores);
  void storeRow(const RowInfo &row, Value output, Value reference, Value sum);
  Value firstRow(const RowInfo &row);
  void sendRows(const RowInfo &row, Value output, Value inverse);

  // Tiles
  using KernelPage::fragment;
  FragmentType fragment(int64_t columns, Type element) {
    return fragment(s.blockQ, columns, element);
  }
  FragmentType scoresType() { return fragment(keyRows(), b.getF32Type()); }
  RowsType rows() { return KernelPage::rows(s.blockQ); }
  Value times(Value x, Value y); ///< A fragment or rows, and rows.
  Value plus(Value x, Value y);
  Value logScale() { return f32(s.scale * M_LOG2E); }

  using KernelPage::div;
  Value div(Value x, Value y) { return b.createOrFold<arith::DivUIOp>(x, y); }
  using KernelPage::rem;
  Value rem(Value x, Value y) { return b.createOrFold<arith::RemUIOp>(x, y); }
  Value flag(bool v) { return isTrue(v); }
  Value isZero(Value x) {
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, x, f32(0.0));
  }

  /// The name that `value` is printed under, where a person asks for names
  /// (--mlir-use-nameloc-as-prefix).
  Value named(StringRef name, Value value) {
    value.setLoc(NameLoc::get(b.getStringAttr(name), b.getLoc()));
    return value;
  }

  // Rings
  Cursor start() { return {i32(0), i32(0)}; }
  Cursor next(Cursor c);
  Value other(Value parity) { return arith::XOrIOp::create(b, parity, i32(1)); }

  // What a row of query blocks attends to. Its blocks are counted and numbered
  // in tiles: a key block is one or some.
  int64_t keyRows() const { return schedule.getKeys(); }
  int64_t tilesOfBlock() const { return s.blockK / keyRows(); }
  /// The row's selection among those of all heads.
  Value selectionRow(const RowInfo &row);
  /// How many key blocks it selects, or sees (L1).
  Value blockCount(const RowInfo &row, Value selectionRow);
  /// Key block `n` of it.
  Value blockNumber(Value selectionRow, Value n);
  /// The position of its first query among the keys.
  Value firstPosition(const RowInfo &row) {
    return add(mul(row.unit, s.blockQ), sub(row.kLength, row.qLength));
  }

  /// Which matrix of a map: head and batch.
  SmallVector<Value> matrixOf(Value number, int64_t heads) {
    return {rem(number, heads), div(number, heads)};
  }

  const AttendSpec &s;
  ScheduleAttr schedule;
  Value mapQ, mapK, mapV, mapO, o, lse, counts, indices, counter;
  Value slots, keyBlocks, batch;
  Value queries, keys, values, outputs; ///< Tiles.
  Value fullK, fullV, fullQ, emptyK, emptyV, emptyQ, fullTail, words;
  Value emptyOtherQ; ///< At the first block: the other one's Q.
};

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERPAGE_H
