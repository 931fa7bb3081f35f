// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The consumers of a walk without values: scores, exponentials and their sums.
// A warpgroup takes exponentials while the others' scores are multiplied.
#include "../ParallelToThreads.h"
#include "SpecialisedKernel.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

using namespace unisparse;

/// What is carried from tile to tile.
struct SpecialisedKernel::Counted {
  Value reference, sum;
  Cursor now;
  SmallVector<Value> values() const {
    return {reference, sum, now.slot, now.parity};
  }
  static Counted from(ValueRange x) { return {x[0], x[1], {x[2], x[3]}}; }
};

/// The update region, sums kept by columns.
SpecialisedKernel::Counted SpecialisedKernel::countTile(Step kind, Counted x,
                                                        const Item &item,
                                                        Value key, Value held) {
  AwaitOp::create(b, fullK, x.now.slot, x.now.parity);
  if (schedule.getPingPong())
    TakeTurnOp::create(b, /*first=*/false);
  MmaFenceOp::create(b);
  auto product = PendingType::of(parts.scores.getResult().getType());
  Value scores =
      named("scores", MmaStartOp::create(b, product, held, keys, x.now.slot,
                                         Value(), Value(),
                                         /*by_rows=*/false, /*atom=*/{}));
  if (schedule.getPingPong())
    PassTurnOp::create(b);
  scores = named("scores", MmaWaitOp::create(b, 0, scores, Value()));
  leave(emptyK, x.now.slot);
  x.now = next(x.now);
  scores = mask(kind, finishScores(scores, item, key), item, key);

  Region &update = parts.walk.getUpdate();
  RegionCloner cloner(*this);
  cloner.mapping = inRegion(item, update, key, scores);
  cloner.mapping.map(update.getArgument(3 + parts.reference), x.reference);
  cloner.mapping.map(update.getArgument(3 + parts.sum), x.sum);
  SoftmaxSumsOp step = parts.sums;
  scores = cloner.slice(step.getScores(), front());
  Value sums;
  if (kind == Step::NewItem) {
    x.reference =
        named("reference",
              ReferenceOp::create(b, rowsType(), scores, step.getScaleAttr(),
                                  /*settled=*/FloatAttr()));
    auto eight = fragment(blockQ, 8, b.getF32Type());
    auto first =
        ExponentialsOp::create(b, TypeRange{scores.getType(), eight}, scores,
                               step.getScaleAttr(), x.reference);
    sums = SumGroupsOp::create(b, step.getSums().getType(),
                               first.getProbabilities(), step.getColumns());
    x.sum = sums.getType() == eight
                ? sums
                : FoldOp::create(b, eight, Combine::Add, sums);
  } else {
    UnitAttr speculative;
    if (schedule.getReference() == Reference::Speculative)
      speculative = b.getUnitAttr();
    auto next = SoftmaxSumsOp::create(
        b,
        TypeRange{step.getSums().getType(), x.reference.getType(),
                  x.sum.getType()},
        scores, step.getColumnsAttr(), step.getScaleAttr(), x.reference, x.sum,
        speculative);
    sums = next.getSums(), x.reference = next.getReference();
    x.sum = next.getSum();
  }
  cloner.mapping.map(step.getSums(), sums);
  cloner.mapping.map(step.getReference(), x.reference);
  for (PutOp put : update.getOps<PutOp>())
    putRows(put, cloner);
  return x;
}

/// The finish region: its parallel loops by all consumers, which see what each
/// other has put.
void SpecialisedKernel::finishCounted(const Item &item, const Counted &x) {
  Value total = ReduceOp::create(b, Combine::Add, x.sum, fill(0.0, rowsType()));
  Region &finish = parts.walk.getFinish();
  RegionCloner page(*this);
  page.mapping = pageOf(item);
  page.mapping.map(finish.getArgument(parts.reference), x.reference);
  page.mapping.map(finish.getArgument(parts.sum), total);
  auto meet = [&] { BarrierOp::create(b, false, /*consumers=*/true); };
  for (Operation &op : finish.front().without_terminator()) {
    if (auto put = dyn_cast<PutOp>(op)) {
      putRows(put, page);
    } else if (auto loop = dyn_cast<scf::ParallelOp>(op)) {
      llvm::SetVector<Value> used(loop.getUpperBound().begin(),
                                  loop.getUpperBound().end());
      getUsedValuesDefinedAbove(loop.getRegion(), used);
      for (Value value : used)
        page.slice(value, front());
      meet();
      auto copy = cast<scf::ParallelOp>(b.clone(op, page.mapping));
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(copy);
      Value consumer = sub(threadId(), i32(threads() - 2 * blockQ));
      distributeOver(copy, consumer, 2 * blockQ);
    }
  }
  meet();
}

void SpecialisedKernel::countItem(const Item &item, Cursor &now) {
  Value held =
      LoadOp::create(b, fragment(blockQ, depth(), element), queries, i32(0));
  ArriveOp::create(b, emptyQ, i32(0), /*by_thread=*/true, IntegerAttr());
  Counted x = countTile(Step::NewItem, {Value(), Value(), now}, item,
                        item.firstKey, held);
  auto loop = [&](Step kind, Value first, Value last) {
    x = Counted::from(
        forEach(first, last, 1, x.values(), [&](Value n, ValueRange v) {
          Value key = keyOf(item, place(n, item, behindOf(item)));
          return countTile(kind, Counted::from(v), item, key, held).values();
        }));
  };
  loop(Step::Masked, i32(1), item.masked);
  loop(Step::Plain, max(item.masked, i32(1)), item.count);
  finishCounted(item, x);
  now = x.now;
}

void SpecialisedKernel::countItems() {
  Value zero = i32(0);
  if (schedule.getPingPong())
    TakeTurnOp::create(b, /*first=*/true);
  OpBuilder::InsertionGuard guard(b);
  scf::WhileOp::create(
      b, SmallVector<Type>(3, b.getI32Type()), ValueRange{zero, zero, zero},
      [&](OpBuilder &, Location, ValueRange v) {
        awaitQ(v[2]);
        scf::ConditionOp::create(b, isItem(readItem(v[2])), v);
      },
      [&](OpBuilder &, Location, ValueRange v) {
        Cursor now{v[0], v[1]};
        countItem(readItem(v[2]), now);
        scf::YieldOp::create(b, ValueRange{now.slot, now.parity, other(v[2])});
      });
}
