// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "LaneLoops.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace unisparse;
using namespace unisparse::unitile;

bool unisparse::mayWrite(Operation *op) {
  auto effects = getEffectsRecursively(op);
  return !effects || llvm::any_of(*effects, [](auto &effect) {
    return isa<MemoryEffects::Write>(effect.getEffect());
  });
}

namespace {

struct LaneLoop {
  ParallelLoop &loop;
  PageBuilder p;
  Value lane;
  int64_t lanes;

  void lower();

private:
  Value start(unsigned i);
  SmallVector<Value> lowerAlone(ValueRange starts);
  SmallVector<Value> lowerRanked(ValueRange starts);
  Value overWarp(unsigned i, Value x);
  Value i32Of(Value index) {
    return p.b.createOrFold<arith::IndexCastOp>(p.b.getI32Type(), index);
  }
};

} // namespace

/// What each lane begins with: nothing. An initial zero of a sum is that too.
Value LaneLoop::start(unsigned i) {
  Value init = loop.op.getInitVals()[i];
  Operation *combiner = loop.combiner(i);
  bool isSum = isa<arith::AddFOp, arith::AddIOp>(combiner);
  if (isSum &&
      (matchPattern(init, m_Zero()) || matchPattern(init, m_PosZeroFloat())))
    return init;
  return arith::ConstantOp::create(p.b, *arith::getNeutralElement(combiner));
}

/// Lanes take turns: iterations lane, lane + lanes, ...
SmallVector<Value> LaneLoop::lowerAlone(ValueRange starts) {
  Block &body = *loop.op.getBody();
  auto iteration = [&](Value j, ValueRange carried) {
    IRMapping mapping;
    mapping.map(loop.op.getInductionVars()[0], p.index(j));
    for (Operation &op : body.without_terminator())
      p.b.clone(op, mapping);
    SmallVector<Value> next;
    for (auto [i, value] : llvm::enumerate(loop.reduce.getOperands()))
      next.push_back(
          loop.combine(p.b, i, carried[i], mapping.lookupOrDefault(value)));
    return next;
  };
  Value lower = i32Of(loop.lower()), upper = i32Of(loop.upper());
  APInt lo, hi;
  if (matchPattern(lower, m_ConstantInt(&lo)) &&
      matchPattern(upper, m_ConstantInt(&hi)) &&
      hi - lo == static_cast<uint64_t>(lanes))
    return iteration(p.add(lower, lane), starts);
  return p.forEach(p.add(lower, lane), upper, lanes, starts, iteration);
}

/// Lanes go on together, so that a ballot finds all of them; where the last few
/// have no iteration left they repeat the last, of which nothing counts.
SmallVector<Value> LaneLoop::lowerRanked(ValueRange starts) {
  Value lower = i32Of(loop.lower()), upper = i32Of(loop.upper());
  Value last = p.sub(upper, 1);
  Value one = p.i32(1);
  Value earlier = p.sub(arith::ShLIOp::create(p.b, one, lane), 1);
  auto population = [&](Value mask) -> Value {
    return math::CtPopOp::create(p.b, mask);
  };
  SmallVector<Value> inits(starts);
  inits.append(loop.ranks.size(), p.i32(0));
  auto iterations = [&](Value first, ValueRange carried) {
    Value j = p.add(first, lane), exists = p.less(j, upper);
    IRMapping mapping;
    mapping.map(loop.op.getInductionVars()[0], p.index(p.min(j, last)));
    SmallVector<Value> next(carried);
    for (Operation &op : loop.op.getBody()->without_terminator()) {
      if (auto rank = dyn_cast<RankOp>(op)) {
        size_t i = starts.size() + loop.place(rank);
        Value yes = p.both(exists, mapping.lookupOrDefault(rank.getYes()));
        Value mask = BallotOp::create(p.b, yes);
        mapping.map(rank.getRank(),
                    p.add(carried[i], population(p.both(mask, earlier))));
        next[i] = p.add(carried[i], population(mask));
      } else if (mayWrite(&op)) {
        p.ifThen(exists, [&] { p.b.clone(op, mapping); });
      } else {
        p.b.clone(op, mapping);
      }
    }
    for (auto [i, value] : llvm::enumerate(loop.reduce.getOperands())) {
      Value sum =
          loop.combine(p.b, i, carried[i], mapping.lookupOrDefault(value));
      next[i] = p.select(exists, sum, carried[i]);
    }
    return next;
  };
  SmallVector<Value> results =
      p.forEach(lower, upper, lanes, inits, iterations);
  results.resize(starts.size());
  return results;
}

/// A reduction over the lanes, from the distant to the near: one fixed order of
/// additions, so that runs agree. Sums of integers have an instruction.
Value LaneLoop::overWarp(unsigned i, Value x) {
  if (isa<arith::AddIOp>(loop.combiner(i)) && x.getType().isInteger(32))
    return gpu::SubgroupReduceOp::create(p.b, x, gpu::AllReduceOperation::ADD,
                                         /*uniform=*/true);
  for (int64_t distance = kWarp / 2; distance; distance /= 2) {
    auto other =
        gpu::ShuffleOp::create(p.b, x, distance, kWarp, gpu::ShuffleMode::XOR);
    x = loop.combine(p.b, i, x, other.getShuffleResult());
  }
  return x;
}

void LaneLoop::lower() {
  SmallVector<Value> starts;
  for (unsigned i = 0; i < loop.op.getNumResults(); ++i)
    starts.push_back(start(i));
  SmallVector<Value> results =
      loop.ranks.empty() ? lowerAlone(starts) : lowerRanked(starts);
  for (auto [i, result] : llvm::enumerate(results)) {
    if (loop.op.getResult(i).use_empty())
      continue;
    result = overWarp(i, result);
    if (Value init = loop.op.getInitVals()[i]; init != starts[i])
      result = loop.combine(p.b, i, init, result);
  }
  loop.op.replaceAllUsesWith(results);
  loop.op.erase();
}

void unisparse::lowerToLanes(ParallelLoop &loop, Value lane, int64_t lanes) {
  PageBuilder p(loop.op.getLoc(), OpBuilder(loop.op));
  LaneLoop{loop, p, lane, lanes}.lower();
}
