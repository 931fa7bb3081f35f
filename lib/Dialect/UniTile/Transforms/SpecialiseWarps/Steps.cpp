// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// One step of the consumers' stream: the page's regions, put where the tensor
// cores and the exponentials run side by side. A step issues this tile's scores
// and the latest tile's output, and takes exponentials while they run.
#include "SpecialisedKernel.h"

using namespace unisparse;

Value SpecialisedKernel::startScores(const Stream &x) {
  return named(
      "scores",
      MmaStartOp::create(b, PendingType::of(parts.scores.getResult().getType()),
                         x.queries, keys, x.now.slot, Value(), Value(),
                         /*by_rows=*/false, /*atom=*/{}));
}

Value SpecialisedKernel::startOutput(const Stream &x) {
  auto sums = cast<FragmentType>(x.output.getType());
  return named("output",
               MmaStartOp::create(b, PendingType::of(sums), x.probabilities,
                                  values, x.behind.slot, x.output, x.adds,
                                  /*by_rows=*/true, /*atom=*/{}));
}

Value SpecialisedKernel::finishScores(Value product, const Item &item,
                                      Value key) {
  Region &region = parts.walk.getScore();
  IRMapping page = inRegion(item, region, key);
  page.map(parts.scores.getResult(), product);
  return from(page, region.front().getTerminator()->getOperand(0));
}

/// The mask region: what it hides costs nothing where there is nothing to hide.
Value SpecialisedKernel::mask(Step kind, Value scores, const Item &item,
                              Value key) {
  Region &region = parts.walk.getMask();
  IRMapping page = inRegion(item, region, key, scores);
  if (MaskOp mask = parts.mask) {
    Value masked = from(page, mask.getScores());
    if (kind != Step::Plain) {
      Value when;
      if (kind == Step::NewItem)
        when = compare(arith::CmpIPredicate::sgt, item.masked, i32(0));
      auto of = [&](Value value) {
        return value ? from(page, value) : Value();
      };
      masked =
          MaskOp::create(b, masked.getType(), masked, key, of(mask.getLimit()),
                         of(mask.getPosition()), of(mask.getBounds()),
                         of(mask.getLast()), when, of(mask.getFrom()));
    }
    page.map(mask.getResult(), masked);
  }
  return from(page, region.front().getTerminator()->getOperand(0));
}

/// P of this tile and its part of the sum.
void SpecialisedKernel::takeExponentials(Step kind, Stream &x, Value scores) {
  SoftmaxOp softmax = parts.softmax;
  FragmentType p = softmax.getProbabilities().getType();
  if (kind == Step::NewItem) {
    auto first = ExponentialsOp::create(
        b, TypeRange{p, fragment(blockQ, 8, b.getF32Type())}, scores,
        softmax.getScaleAttr(), x.reference);
    x.probabilities = named("p", first.getProbabilities());
    x.sum = named("sum", first.getSum());
    return;
  }
  UnitAttr speculative;
  if (schedule.getReference() == Reference::Speculative)
    speculative = b.getUnitAttr();
  auto step = SoftmaxOp::create(
      b,
      TypeRange{p, x.reference.getType(), x.sum.getType(), x.output.getType()},
      scores, softmax.getScaleAttr(), x.reference, x.sum, x.output, speculative,
      /*settled=*/FloatAttr());
  x.probabilities = step.getProbabilities(), x.reference = step.getReference();
  x.sum = step.getSum(), x.output = step.getOutput();
}

/// The same of a reference that is settled, which waits for no output: beside
/// the product of the latest probabilities. Not rounded yet, as a product's
/// registers are not to be written while another one is running (ptxas would
/// put one behind the other, C7513).
Value SpecialisedKernel::takeSettled(Step kind, Stream &x, Value scores) {
  auto own = ExponentialsOp::create(
      b, TypeRange{scores.getType(), fragment(blockQ, 8, b.getF32Type())},
      scores, parts.softmax.getScaleAttr(), x.reference);
  Value sum = own.getSum();
  if (kind != Step::NewItem)
    sum = map(sum.getType(), {x.sum, sum}, [&](ValueRange e) -> Value {
      return arith::AddFOp::create(b, e[0], e[1]);
    });
  x.sum = named("sum", sum);
  return own.getProbabilities();
}

Value SpecialisedKernel::rounded(Value exact) {
  FragmentType p = parts.softmax.getProbabilities().getType();
  return map(p, exact, [&](ValueRange e) -> Value {
    return arith::TruncFOp::create(b, p.getElementType(), e[0]);
  });
}

SpecialisedKernel::Stream SpecialisedKernel::step(Step kind, Stream x,
                                                  const Item &item, Value key) {
  bool overlap = schedule.getOverlap();
  ifThen(arith::XOrIOp::create(b, x.ready, flag(true)), [&] {
    AwaitOp::create(b, fullK, x.now.slot, x.now.parity);
    AwaitOp::create(b, fullV, x.behind.slot, x.behind.parity);
  });
  if (schedule.getPingPong())
    TakeTurnOp::create(b, false);
  MmaFenceOp::create(b);
  Value scores = startScores(x);
  Value output = startOutput(x);
  if (schedule.getPingPong())
    PassTurnOp::create(b);
  scores =
      named("scores", MmaWaitOp::create(b, overlap ? 1 : 0, scores, Value()));
  leave(emptyK, x.now.slot);

  Value reference = x.reference, sum = x.sum;
  scores = mask(kind, finishScores(scores, item, key), item, key);
  if (kind == Step::NewItem)
    x.reference = firstReference(scores);
  // Asked here, the answer is there when the next step wants it.
  Cursor behind = x.behind;
  x.behind = x.now, x.now = next(x.now);
  x.ready = both(TestOp::create(b, fullK, x.now.slot, x.now.parity),
                 TestOp::create(b, fullV, x.behind.slot, x.behind.parity));

  bool settled = parts.softmax.getSettled().has_value();
  Value exact;
  if (settled)
    exact = takeSettled(kind, x, scores);
  x.output = named("output", MmaWaitOp::create(b, 0, output, x.probabilities));
  leave(emptyV, behind.slot);
  if (kind == Step::NewItem)
    finishItem(currentItem(x), x.output, reference, sum);
  x.adds = flag(kind != Step::NewItem);
  if (settled)
    x.probabilities = named("p", rounded(exact));
  else
    takeExponentials(kind, x, scores);
  if (kind == Step::NewItem) {
    // The buffer's next Q may come once O has left it.
    TensorStoreWaitOp::create(b, false);
    ArriveOp::create(b, emptyQ, i32(0), /*by_thread=*/true, IntegerAttr());
    x.item = item, x.parityQ = other(x.parityQ);
  }
  return x;
}

/// The stream's first tile has no output beside it. `parityQ` is that of the
/// item's Q.
SpecialisedKernel::Stream
SpecialisedKernel::firstTile(const Item &item, Cursor now, Value parityQ) {
  Stream x;
  x.item = item, x.now = now, x.parityQ = other(parityQ), x.queries = queries;
  if (holdsQueries()) {
    x.queries =
        LoadOp::create(b, fragment(blockQ, headDim, element), queries, i32(0));
    ArriveOp::create(b, emptyQ, i32(0), /*by_thread=*/true, IntegerAttr());
  }
  AwaitOp::create(b, fullK, x.now.slot, x.now.parity);
  MmaFenceOp::create(b);
  Value scores = startScores(x);
  scores = MmaWaitOp::create(b, 0, scores, Value());
  leave(emptyK, x.now.slot);
  scores = mask(Step::NewItem, finishScores(scores, item, item.firstKey), item,
                item.firstKey);
  x.reference = firstReference(scores);
  takeExponentials(Step::NewItem, x, scores);
  x.behind = x.now, x.now = next(x.now);
  x.ready = x.adds = flag(false);
  x.output =
      named("output", fill(0.0, fragment(blockQ, valueDim, b.getF32Type())));
  return x;
}

/// Behind the last tile of the stream only its output is left.
void SpecialisedKernel::lastOutput(Stream x) {
  AwaitOp::create(b, fullV, x.behind.slot, x.behind.parity);
  MmaFenceOp::create(b);
  Value output = startOutput(x);
  output = MmaWaitOp::create(b, 0, output, x.probabilities);
  leave(emptyV, x.behind.slot);
  finishItem(currentItem(x), output, x.reference, x.sum);
}

//===----------------------------------------------------------------------===//
// The end of an item
//===----------------------------------------------------------------------===//

/// The finish region, each of its writes with what it needs.
void SpecialisedKernel::finishItem(const Item &item, Value output,
                                   Value reference, Value sum) {
  Value total = ReduceOp::create(b, Combine::Add, sum, fill(0.0, rowsType()));
  Region &finish = parts.walk.getFinish();
  RegionCloner page(*this);
  page.mapping = pageOf(item);
  page.mapping.map(finish.getArgument(parts.output), output);
  page.mapping.map(finish.getArgument(parts.reference), reference);
  page.mapping.map(finish.getArgument(parts.sum), total);
  for (PutOp op : finish.getOps<PutOp>())
    put(op, page);
}

void SpecialisedKernel::put(PutOp op, RegionCloner &page) {
  if (op == result)
    return sendRows(op, page);
  putRows(op, page);
}

/// By threads, to a vector or a matrix.
void SpecialisedKernel::putRows(PutOp op, RegionCloner &page) {
  auto of = [&](Value value) { return page.slice(value, front()); };
  const View &view = views.of(op.getTarget());
  Value value = of(op.getValue());
  Value base = views.matrix(*this, view, of(op.getBatch()), of(op.getHead()));
  bool isVector = view.type.getRank() == 3;
  StoreOp::create(b, value, base, of(op.getRow()), of(op.getLimit()),
                  isVector ? i64(int64_t(1)) : view.rowStride(),
                  isVector ? IntegerAttr()
                           : b.getI64IntegerAttr(view.type.getDimSize(3)));
}

/// O, through Q's buffer. Behind the end of a sequence of a packed batch stand
/// another's rows, which a TMA store would write.
void SpecialisedKernel::sendRows(PutOp op, RegionCloner &page) {
  auto of = [&](Value value) { return page.slice(value, front()); };
  // Rounded on each way: as 16-bit values they would be alive in pairs of
  // registers.
  Operation *rounding = op.getValue().getDefiningOp();
  if (rounding && isa<MapOp>(rounding))
    for (Value operand : rounding->getOperands())
      of(operand);
  auto rounded = [&] {
    RegionCloner own = page;
    return own.slice(op.getValue(), front());
  };
  Value row = of(op.getRow());
  SmallVector<Value> matrix{of(op.getHead()), of(op.getBatch())};
  auto send = [&] {
    WriteOp::create(b, rounded(), outputs, i32(0));
    // Q's buffer may be wider.
    IntegerAttr columns;
    if (valueDim < headDim)
      columns = b.getI64IntegerAttr(valueDim);
    TensorStoreOp::create(b, outputs, i32(0), mapO, row, matrix, columns);
  };
  if (!isPacked())
    return send();
  Value limit = of(op.getLimit());
  const View &view = views.of(op.getTarget());
  ifElse(
      compare(arith::CmpIPredicate::sle, add(row, i32(blockQ)), limit),
      [&]() -> SmallVector<Value> {
        send();
        return {};
      },
      [&]() -> SmallVector<Value> {
        Value base = views.matrix(*this, view, matrix[1], matrix[0]);
        StoreOp::create(b, rounded(), base, row, limit, view.rowStride(),
                        IntegerAttr());
        return {};
      });
}
