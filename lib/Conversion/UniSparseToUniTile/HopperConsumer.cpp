// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The consumers: each warpgroup has 64 query rows of every row of query blocks
// and takes the blocks as one stream. A step issues this block's scores and the
// latest block's output, and takes exponentials while the tensor cores work.
#include "HopperPage.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

SmallVector<Value> HopperPage::valuesOf(const RowInfo &row) const {
  SmallVector<Value> x{row.unit, row.batchHead, row.count, row.masked,
                       row.firstBlock};
  if (s.packed)
    x.append({row.slot, row.qStart, row.qLength, row.kLength});
  return x;
}

RowInfo HopperPage::rowFrom(ValueRange x) {
  if (s.packed)
    return {x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], {}, {}};
  return {x[0], x[1], x[2], x[3], x[4], x[0], i32(0), lq, lk, {}, {}};
}

SmallVector<Value> HopperPage::pack(const Stream &x) const {
  SmallVector<Value> values{x.output,     x.probabilities, x.queries,
                            x.reference,  x.sum,           x.now.slot,
                            x.now.parity, x.behind.slot,   x.behind.parity,
                            x.ready,      x.adds,          x.parityQ};
  if (carriesRows())
    llvm::append_range(values, valuesOf(x.row));
  return values;
}

HopperPage::Stream HopperPage::unpack(ValueRange x) {
  RowInfo row;
  if (carriesRows())
    row = rowFrom(x.slice(12, rowWords()));
  return {x[0],         x[1], x[2],  x[3],  x[4], {x[5], x[6]},
          {x[7], x[8]}, x[9], x[10], x[11], row};
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

RowInfo HopperPage::readRow(Value parity) {
  SmallVector<Value> x;
  for (int64_t i = 0; i < rowWords(); ++i)
    x.push_back(LLVM::LoadOp::create(b, b.getI32Type(), wordOf(parity, i)));
  RowInfo row = rowFrom(x);
  named("unit", row.unit), named("head", row.batchHead);
  named("count", row.count), named("masked", row.masked);
  named("first_block", row.firstBlock);
  return row;
}

Value HopperPage::startScores(const Stream &x) {
  return named("scores",
               MmaStartOp::create(b, scoresType(), x.queries, keys, x.now.slot,
                                  Value(), Value(), /*by_rows=*/false));
}

Value HopperPage::startOutput(const Stream &x) {
  return named("output",
               MmaStartOp::create(b, x.output.getType(), x.probabilities,
                                  values, x.behind.slot, x.output, x.adds,
                                  /*by_rows=*/true));
}

HopperPage::Stream HopperPage::step(Step kind, Stream x, const RowInfo &row,
                                    Value firstKey) {
  bool overlap = schedule.getOverlap();
  auto missing = scf::IfOp::create(
      b, arith::XOrIOp::create(b, x.ready, flag(true)), false);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(missing.thenBlock());
    AwaitOp::create(b, fullK, x.now.slot, x.now.parity);
    AwaitOp::create(b, fullV, x.behind.slot, x.behind.parity);
  }
  if (schedule.getTurns())
    TakeTurnOp::create(b, false);
  MmaFenceOp::create(b);
  Value scores = startScores(x);
  Value output = startOutput(x);
  if (schedule.getTurns())
    PassTurnOp::create(b);
  scores =
      named("scores", MmaWaitOp::create(b, overlap ? 1 : 0, scores, Value()));
  leave(emptyK, x.now.slot);

  Value reference = x.reference, sum = x.sum;
  if (kind == Step::NewRow) {
    scores = maskWhereNeeded(scores, row);
    x.reference = firstReference(scores);
  } else if (kind == Step::Masked) {
    scores = mask(scores, row, firstKey);
  }
  // Asked here, the answer is there when the next step wants it.
  Cursor behind = x.behind;
  x.behind = x.now, x.now = next(x.now);
  x.ready = both(TestOp::create(b, fullK, x.now.slot, x.now.parity),
                 TestOp::create(b, fullV, x.behind.slot, x.behind.parity));

  x.output = named("output", MmaWaitOp::create(b, 0, output, x.probabilities));
  leave(emptyV, behind.slot);
  if (kind == Step::NewRow)
    storeRow(currentRow(x), x.output, reference, sum);
  x.adds = flag(kind != Step::NewRow);
  takeExponentials(kind, x, scores);
  if (kind == Step::NewRow) {
    // The buffer's next Q may come once O has left it.
    SendWaitOp::create(b, false);
    ArriveOp::create(b, emptyQ, i32(0), /*by_thread=*/true, IntegerAttr());
    x.row = row, x.parityQ = other(x.parityQ);
  }
  return x;
}

/// The stream's first block has no output beside it. `parityQ` is that of the
/// row's Q.
HopperPage::Stream HopperPage::firstBlock(const RowInfo &row, Cursor now,
                                          Value parityQ) {
  Stream x;
  x.row = row, x.now = now, x.parityQ = other(parityQ), x.queries = queries;
  if (s.holdsQueries()) {
    x.queries =
        LoadOp::create(b, fragment(s.headDim, s.element), queries, i32(0));
    ArriveOp::create(b, emptyQ, i32(0), /*by_thread=*/true, IntegerAttr());
  }
  AwaitOp::create(b, fullK, x.now.slot, x.now.parity);
  MmaFenceOp::create(b);
  Value scores = startScores(x);
  scores = MmaWaitOp::create(b, 0, scores, Value());
  leave(emptyK, x.now.slot);
  scores = maskWhereNeeded(scores, row);
  x.reference = firstReference(scores);
  takeExponentials(Step::NewRow, x, scores);
  x.behind = x.now, x.now = next(x.now);
  x.ready = x.adds = flag(false);
  x.output = named("output", fill(0.0, fragment(s.valueDim, b.getF32Type())));
  return x;
}

/// All blocks of a row but its first.
HopperPage::Stream HopperPage::remainingBlocks(Stream x) {
  RowInfo row = currentRow(x);
  Value list = selectionRow(row);
  auto loop = [&](Step kind, Value from, Value to) {
    // What does not change in a row is not carried.
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
    auto blocks = scf::ForOp::create(
        b, from, to, i32(1), carried(x),
        [&](OpBuilder &, Location, Value n, ValueRange v) {
          Value firstKey;
          if (kind == Step::Masked)
            firstKey =
                mul(blockNumber(list, place(n, row, row.masked)), keyRows());
          Stream y = step(kind, restore(v), row, firstKey);
          scf::YieldOp::create(b, carried(y));
        });
    x = restore(blocks.getResults());
  };
  loop(Step::Masked, i32(1), row.masked);
  loop(Step::Plain, max(row.masked, i32(1)), row.count);
  return x;
}

/// O and LSE: O = O / sum, LSE = (reference + log2 sum) ln 2; 0 and -inf where
/// nothing was seen (A2).
void HopperPage::storeRow(const RowInfo &row, Value output, Value reference,
                          Value sum) {
  Value total = ReduceOp::create(b, Combine::Add, sum, fill(0.0, rows()));
  auto fast = arith::FastMathFlags::arcp | arith::FastMathFlags::afn;
  Value inverse = map(rows(), total, [&](ValueRange e) -> Value {
    return select(isZero(e[0]), f32(0.0),
                  arith::DivFOp::create(b, f32(1.0), e[0], fast));
  });
  Value first = mul(row.unit, s.blockQ);
  sendRows(row, output, inverse);
  if (!lse)
    return;
  Value l = map(rows(), {reference, total}, [&](ValueRange e) -> Value {
    Value log = arith::AddFOp::create(b, e[0], math::Log2Op::create(b, e[1]));
    return arith::MulFOp::create(b, log, f32(M_LN2));
  });
  StoreOp::create(b, l, at(lse, b.getF32Type(), firstRow(row)), first,
                  row.qLength, i64(int64_t(1)), IntegerAttr());
}

/// The sequence's first row among the rows of all heads.
Value HopperPage::firstRow(const RowInfo &row) {
  Value matrix = arith::MulIOp::create(b, i64(row.batchHead), i64(lq));
  return arith::AddIOp::create(b, matrix, i64(row.qStart));
}

/// O, through Q's buffer. A row that saw nothing has no inverse: 0 is chosen for
/// it, as its O may hold 0 * NaN (A2, A5). Behind the end of a sequence of a packed batch stand
/// another's rows, which the copy engine would write.
void HopperPage::sendRows(const RowInfo &row, Value output, Value inverse) {
  // Rounded on each way: as 16-bit values they would be alive in pairs of
  // registers.
  auto rounded = [&] {
    return map(fragment(s.valueDim, s.element), {output, inverse},
               [&](ValueRange e) -> Value {
                 Value x = arith::MulFOp::create(b, e[0], e[1]);
                 x = select(isZero(e[1]), f32(0.0), x);
                 return arith::TruncFOp::create(b, s.element, x);
               });
  };
  Value first = mul(row.unit, s.blockQ);
  OpBuilder::InsertionGuard guard(b);
  if (s.packed) {
    Value end = add(first, i32(s.blockQ));
    auto whole = scf::IfOp::create(
        b, compare(arith::CmpIPredicate::sle, end, row.qLength), true);
    b.setInsertionPointToStart(whole.elseBlock());
    Value place = arith::MulIOp::create(b, firstRow(row), i64(s.valueDim));
    StoreOp::create(b, rounded(), at(o, s.element, place), first, row.qLength,
                    i64(s.valueDim), IntegerAttr());
    b.setInsertionPointToStart(whole.thenBlock());
  }
  WriteOp::create(b, rounded(), outputs, i32(0));
  // Q's buffer may be wider.
  IntegerAttr columns;
  if (s.valueDim < s.headDim)
    columns = b.getI64IntegerAttr(s.valueDim);
  SendOp::create(b, outputs, i32(0), mapO, add(row.qStart, first),
                 matrixOf(row.batchHead, s.heads), columns);
}

/// Behind the last block of the stream only its output is left.
void HopperPage::lastOutput(Stream x) {
  AwaitOp::create(b, fullV, x.behind.slot, x.behind.parity);
  MmaFenceOp::create(b);
  Value output = startOutput(x);
  output = MmaWaitOp::create(b, 0, output, x.probabilities);
  leave(emptyV, x.behind.slot);
  storeRow(currentRow(x), output, x.reference, x.sum);
}

Value HopperPage::isRow(const RowInfo &row) {
  return compare(arith::CmpIPredicate::sgt, row.count, i32(0));
}

void HopperPage::consume() {
  if (s.holdsQueries())
    consumeStream();
  else
    consumeRows();
}

/// One row behind the other: Q's buffer is in use from a row's first block to
/// its output.
void HopperPage::consumeRows() {
  Value zero = i32(0);
  SmallVector<Type> onward(3 + carriedWords(), b.getI32Type());
  scf::WhileOp::create(
      b, onward, ValueRange{zero, zero, zero},
      [&](OpBuilder &, Location, ValueRange v) {
        awaitQ(v[2]);
        RowInfo row = readRow(v[2]);
        SmallVector<Value> values(v);
        if (carriesRows())
          llvm::append_range(values, valuesOf(row));
        scf::ConditionOp::create(b, isRow(row), values);
      },
      [&](OpBuilder &, Location, ValueRange v) {
        RowInfo row = carriesRows() ? rowFrom(v.drop_front(3)) : readRow(v[2]);
        Stream x = remainingBlocks(firstBlock(row, {v[0], v[1]}, v[2]));
        lastOutput(x);
        SendWaitOp::create(b, /*written=*/false);
        ArriveOp::create(b, emptyQ, zero, /*by_thread=*/true, IntegerAttr());
        scf::YieldOp::create(b,
                             ValueRange{x.now.slot, x.now.parity, x.parityQ});
      });
  SendWaitOp::create(b, /*written=*/true);
}

/// All rows as one stream: the first block of a row goes beside the last output
/// of the row before.
void HopperPage::consumeStream() {
  Value zero = i32(0);
  awaitQ(zero);
  RowInfo row = readRow(zero);
  auto some = scf::IfOp::create(b, isRow(row), false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(some.thenBlock());
  if (schedule.getTurns())
    TakeTurnOp::create(b, /*first=*/true);
  SmallVector<Value> state = pack(firstBlock(row, start(), zero));
  SmallVector<Type> onward(ValueRange(state).getTypes());
  onward.append(carriedWords(), b.getI32Type());
  auto rowsLoop = scf::WhileOp::create(
      b, onward, state,
      [&](OpBuilder &, Location, ValueRange v) {
        Stream y = remainingBlocks(unpack(v));
        awaitQ(y.parityQ);
        RowInfo next = readRow(y.parityQ);
        SmallVector<Value> values = pack(y);
        if (carriesRows())
          llvm::append_range(values, valuesOf(next));
        scf::ConditionOp::create(b, isRow(next), values);
      },
      [&](OpBuilder &, Location, ValueRange v) {
        Stream y = unpack(v);
        y.queries =
            LoadOp::create(b, fragment(s.headDim, s.element), queries, zero);
        RowInfo next = carriesRows() ? rowFrom(v.take_back(carriedWords()))
                                     : readRow(y.parityQ);
        scf::YieldOp::create(b, pack(step(Step::NewRow, y, next, Value())));
      });
  lastOutput(unpack(rowsLoop.getResults()));
  SendWaitOp::create(b, /*written=*/true);
}
