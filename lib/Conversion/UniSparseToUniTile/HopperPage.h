// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What the producer's and the consumers' half of the Hopper attend page share:
// the kernel's arguments, its tiles and barriers, and the words to write it in.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERPAGE_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERPAGE_H

#include "HopperAttendKernel.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
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
  Value unit;       ///< Query block in its sequence.
  Value batchHead;  ///< Which matrix of q.
  Value count;      ///< Key blocks, at least 1; -1: no row is left.
  Value masked;     ///< How many of them, from the last, have keys to hide.
  Value firstBlock; ///< The block that goes first.
  // Of a packed batch; else the unit, 0, Lq and Lk.
  Value slot;            ///< Query block among those of all sequences.
  Value qStart, qLength; ///< Its sequence's queries.
  Value kLength;         ///< Its sequence's keys.
  Value kStart;          ///< For the producer alone.
};

class HopperPage {
public:
  HopperPage(OpBuilder &builder, Location loc, const AttendSpec &spec,
             ScheduleAttr schedule)
      : b(loc, builder), s(spec), schedule(schedule) {}

  gpu::GPUFuncOp build(StringRef name);

private:
  void takeArguments(gpu::GPUFuncOp kernel);
  void reserveShared();

  // The producer's half: HopperProducer.cpp.
  void produce();
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
    return add(row.kStart, mul(block, s.blockK));
  }
  Value validKeysOf(const RowInfo &row, Value block);
  Value findSequence(Value slot);
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
    Value parityQ;       ///< Of the next row's Q; the row's own has the other.
    RowInfo row;         ///< Where rows are carried.
  };
  void consume();
  int64_t rowWords() const { return s.packed ? 9 : 5; }
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
  Value wordOf(Value parity, int64_t i) {
    Value word = i32(i);
    if (!carriesRows())
      word = add(mul(parity, rowWords()), word);
    return at(words, b.getI32Type(), word);
  }
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
  Value firstRow(const RowInfo &row);
  void sendRows(const RowInfo &row, Value output, Value inverse);

  // Tiles
  FragmentType fragment(int64_t columns, Type element) {
    return FragmentType::get(b.getContext(), s.blockQ, columns, element);
  }
  FragmentType scoresType() { return fragment(s.blockK, b.getF32Type()); }
  RowsType rows() {
    return RowsType::get(b.getContext(), s.blockQ, b.getF32Type());
  }
  Value fill(double v, Type type) { return FillOp::create(b, type, f32(v)); }
  Value map(Type type, ValueRange inputs, function_ref<Value(ValueRange)> body,
            bool indices = false);
  Value times(Value x, Value y); ///< A fragment or rows, and rows.
  Value plus(Value x, Value y);
  Value logScale() { return f32(s.scale * M_LOG2E); }

  // i32 arithmetic
  Value i32(int64_t v) { return arith::ConstantIntOp::create(b, v, 32); }
  Value i64(Value v) { return arith::ExtSIOp::create(b, b.getI64Type(), v); }
  Value i64(int64_t v) { return arith::ConstantIntOp::create(b, v, 64); }
  Value f32(double v) {
    return arith::ConstantOp::create(b, b.getF32FloatAttr(v));
  }
  Value flag(bool v) { return arith::ConstantIntOp::create(b, v, 1); }
  Value add(Value x, Value y) { return b.createOrFold<arith::AddIOp>(x, y); }
  Value sub(Value x, Value y) { return b.createOrFold<arith::SubIOp>(x, y); }
  Value mul(Value x, Value y) { return b.createOrFold<arith::MulIOp>(x, y); }
  Value mul(Value x, int64_t y) { return mul(x, i32(y)); }
  Value div(Value x, Value y) { return b.createOrFold<arith::DivUIOp>(x, y); }
  Value rem(Value x, Value y) { return b.createOrFold<arith::RemUIOp>(x, y); }
  Value min(Value x, Value y) { return arith::MinSIOp::create(b, x, y); }
  Value max(Value x, Value y) { return arith::MaxSIOp::create(b, x, y); }
  Value compare(arith::CmpIPredicate p, Value x, Value y) {
    return arith::CmpIOp::create(b, p, x, y);
  }
  Value less(Value x, Value y) {
    return compare(arith::CmpIPredicate::slt, x, y);
  }
  Value select(Value c, Value x, Value y) {
    return arith::SelectOp::create(b, c, x, y);
  }
  Value both(Value x, Value y) { return arith::AndIOp::create(b, x, y); }

  /// The name that `value` is printed under, where a person asks for names
  /// (--mlir-use-nameloc-as-prefix).
  Value named(StringRef name, Value value) {
    value.setLoc(NameLoc::get(b.getStringAttr(name), b.getLoc()));
    return value;
  }

  // Memory
  Value at(Value pointer, Type element, Value index) {
    return LLVM::GEPOp::create(b, pointer.getType(), element, pointer,
                               ArrayRef<LLVM::GEPArg>{index});
  }
  Value loadI32(Value pointer, Value index) {
    return LLVM::LoadOp::create(b, b.getI32Type(),
                                at(pointer, b.getI32Type(), index));
  }

  // Rings
  Cursor start() { return {i32(0), i32(0)}; }
  Cursor next(Cursor c);
  Value other(Value parity) { return arith::XOrIOp::create(b, parity, i32(1)); }

  // What a row of query blocks attends to.
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

  ImplicitLocOpBuilder b;
  const AttendSpec &s;
  ScheduleAttr schedule;
  Value mapQ, mapK, mapV, mapO, o, lse, counts, indices, cuQ, cuK, counter;
  Value lq, lk, slots, keyBlocks, batch, sequences;
  Value queries, keys, values, outputs; ///< Tiles.
  Value fullK, fullV, fullQ, emptyK, emptyV, emptyQ, fullTail, words;
};

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERPAGE_H
