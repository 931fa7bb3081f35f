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
  static constexpr int64_t words = 5;
  Value unit;       ///< Query block in its sequence.
  Value batchHead;  ///< Which matrix of q.
  Value count;      ///< Key blocks, at least 1; -1: no row is left.
  Value masked;     ///< How many of them, from the last, have keys to hide.
  Value firstBlock; ///< The block that goes first.
  SmallVector<Value> values() const {
    return {unit, batchHead, count, masked, firstBlock};
  }
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
    Value lse, counts, indices, counter;
    Value lq, lk, slots, keyBlocks, batch; ///< i32
  };
  void build(const Host &host);

private:
  // The producer's half: HopperProducer.cpp.
  void produce();
  SmallVector<Value> produceRow(Value item, ValueRange walk);
  Cursor copy(Value map, Value block, Value matrix, Value tile, Value full,
              Value empty, Cursor to);
  Cursor copyK(Value block, Value matrix, Cursor to) {
    return copy(mapK, block, matrix, keys, fullK, emptyK, to);
  }
  Cursor copyV(Value block, Value matrix, Cursor to) {
    return copy(mapV, block, matrix, values, fullV, emptyV, to);
  }
  RowInfo rowOfItem(Value item);
  Value hiddenBlocks(const RowInfo &row, Value selectionRow);
  /// The block that goes `n`-th: those with keys to hide from the last down,
  /// the others from the first up.
  Value place(Value n, const RowInfo &row) {
    return select(less(n, row.masked), sub(sub(row.count, i32(1)), n),
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
    Value queries;       ///< Q, 16-bit.
    Value reference;     ///< Of the softmax, in units of log2.
    Value sum;           ///< Of P, not yet across the columns of a row.
    Cursor now, behind;  ///< This block's K, the latest block's V.
    Value ready;         ///< Both have arrived; where not set, ask.
    Value adds;          ///< The latest block is not the first of its row.
    Value parityQ;
    RowInfo row;
    SmallVector<Value> pack() const;
    static Stream unpack(ValueRange x);
  };
  void consume();
  RowInfo awaitRow(Value parity);
  Stream firstBlock(const RowInfo &row);
  Stream remainingBlocks(Stream x);
  Stream step(Step kind, Stream x, const RowInfo &row, Value firstKey);
  void lastOutput(Stream x);
  Value startScores(const Stream &x);
  Value startOutput(const Stream &x);
  Value mask(Value scores, const RowInfo &row, Value firstKey);
  Value maskWhereNeeded(Value scores, const RowInfo &row);
  Value firstReference(Value scores);
  std::pair<Value, Value> exponentials(Value scores, Value reference);
  void follow(Stream &x, Value scores);
  void takeExponentials(Step kind, Stream &x, Value scores);
  void storeRow(const RowInfo &row, Value output, Value reference, Value sum);

  // Tiles
  using KernelPage::fragment;
  FragmentType fragment(int64_t columns, Type element) {
    return fragment(s.blockQ, columns, element);
  }
  FragmentType scoresType() { return fragment(s.blockK, b.getF32Type()); }
  RowsType rows() { return KernelPage::rows(s.blockQ); }
  Value times(Value x, Value y); ///< A fragment or rows, and rows.
  Value plus(Value x, Value y);
  Value logScale() { return f32(s.scale * M_LOG2E); }

  using KernelPage::div;
  Value div(Value x, Value y) { return b.createOrFold<arith::DivUIOp>(x, y); }
  using KernelPage::rem;
  Value rem(Value x, Value y) { return b.createOrFold<arith::RemUIOp>(x, y); }
  Value flag(bool v) { return isTrue(v); }

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

  // What a row of query blocks attends to.
  /// The row's selection among those of all heads.
  Value selectionRow(Value unit, Value batchHead);
  /// How many key blocks it selects, or sees (L1).
  Value blockCount(Value unit, Value selectionRow);
  /// Key block `n` of it.
  Value blockNumber(Value selectionRow, Value n);
  /// The position of its first query among the keys.
  Value firstPosition(Value unit) {
    return add(mul(unit, s.blockQ), sub(lk, lq));
  }

  /// Which matrix of a map: head and batch.
  SmallVector<Value> matrixOf(Value number, int64_t heads) {
    return {rem(number, heads), div(number, heads)};
  }

  const AttendSpec &s;
  ScheduleAttr schedule;
  Value mapQ, mapK, mapV, mapO, lse, counts, indices, counter;
  Value slots, keyBlocks, batch;
  Value queries, keys, values, outputs; ///< Tiles.
  Value fullK, fullV, fullQ, emptyK, emptyV, emptyQ, words;
};

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERPAGE_H
