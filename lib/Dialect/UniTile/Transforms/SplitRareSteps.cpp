// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a loop hardly ever does stands behind it, in a loop around it. ptxas
// puts both sides of a branch where the branch is: a step that moves the
// reference of a softmax is as long as one that does not, and with it in the
// middle the loop's usual instructions are not in one piece, at a cost of up to
// a quarter that moves with the addresses where the loop happens to lie
// (benchmarks/NOTES.md, "Where a loop lies").
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "llvm/ADT/SetVector.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILESPLITRARESTEPS
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;

namespace {

/// A loop whose body is: what every step does, a branch that hardly any step
/// takes, and what follows from it.
class RareStep {
public:
  static std::optional<RareStep> of(scf::ForOp loop);
  void split();

private:
  RareStep(scf::ForOp loop, scf::IfOp branch) : loop(loop), branch(branch) {}

  /// The steps up to one that is the last or a rare one, from a step number and
  /// a state. Gives the next step's number, its state as a usual step leaves
  /// it, whether it was usual, and what the rare branch takes of it.
  scf::WhileOp usualSteps(OpBuilder &b, ValueRange from);
  /// The state as the rare branch leaves it.
  SmallVector<Value> rareStep(OpBuilder &b, scf::WhileOp usual);

  Block *body() { return loop.getBody(); }
  Operation *yield() { return body()->getTerminator(); }

  scf::ForOp loop;
  scf::IfOp branch;
  /// Ops and results of the body that follow from the branch.
  SmallVector<Operation *> behind;
  llvm::SmallPtrSet<Value, 16> follow;
  /// Values of the step that the rare branch and what is behind it take.
  llvm::SetVector<Value> taken;
};

} // namespace

/// Whether a condition says of itself that it nearly always holds.
static bool isExpected(Value condition) {
  auto expect = condition.getDefiningOp<LLVM::ExpectOp>();
  return expect && matchPattern(expect.getExpected(), m_One());
}

std::optional<RareStep> RareStep::of(scf::ForOp loop) {
  scf::IfOp branch;
  for (Operation &op : *loop.getBody())
    if (auto found = dyn_cast<scf::IfOp>(op);
        found && found.elseBlock() && isExpected(found.getCondition()) &&
        found.getCondition().getParentBlock() == loop.getBody())
      branch = found; // What is known in front of the loop is no step's.
  if (!branch || loop.getUnsignedCmp())
    return std::nullopt;
  // Whatever is done before it is known that a step is usual can be left
  // undone.
  for (Operation &op : branch.thenBlock()->without_terminator())
    if (!isPure(&op))
      return std::nullopt;
  RareStep step(loop, branch);
  step.follow.insert_range(branch.getResults());
  for (Operation *op = branch->getNextNode(); op != step.yield();
       op = op->getNextNode()) {
    if (!isPure(op) || op->getNumRegions())
      return std::nullopt;
    if (llvm::any_of(op->getOperands(),
                     [&](Value v) { return step.follow.contains(v); })) {
      step.behind.push_back(op);
      step.follow.insert_range(op->getResults());
    }
  }
  // A value of the step itself, not of what is around the loop or in the
  // branch.
  auto take = [&](Value v) {
    if (v.getParentBlock() == step.body() && !step.follow.contains(v))
      step.taken.insert(v);
  };
  branch.getElseRegion().walk([&](Operation *op) {
    for (Value v : op->getOperands())
      take(v);
  });
  for (Operation *op : step.behind)
    for (Value v : op->getOperands())
      take(v);
  return step;
}

static void cloneAll(OpBuilder &b, Block::iterator from, Block::iterator to,
                     IRMapping &map) {
  for (Operation &op : llvm::make_range(from, to))
    b.clone(op, map);
}

static SmallVector<Value> mapped(IRMapping &map, ValueRange values) {
  return llvm::map_to_vector(values,
                             [&](Value v) { return map.lookupOrDefault(v); });
}

scf::WhileOp RareStep::usualSteps(OpBuilder &b, ValueRange from) {
  Location loc = loop.getLoc();
  SmallVector<Type> types(from.getTypes());
  types.push_back(b.getI1Type());
  for (Value v : taken)
    types.push_back(v.getType());
  auto step = [&](OpBuilder &b, Location, ValueRange state) {
    IRMapping map;
    map.map(body()->getArguments(), state);
    cloneAll(b, body()->begin(), branch->getIterator(), map);
    Block *then = branch.thenBlock();
    cloneAll(b, then->begin(), then->getTerminator()->getIterator(), map);
    map.map(branch.getResults(),
            mapped(map, then->getTerminator()->getOperands()));
    cloneAll(b, std::next(branch->getIterator()), yield()->getIterator(), map);
    Value next = arith::AddIOp::create(b, loc, state.front(), loop.getStep());
    Value more = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, next,
                                       loop.getUpperBound());
    Value usual = map.lookup(branch.getCondition());
    SmallVector<Value> given{next};
    llvm::append_range(given, mapped(map, yield()->getOperands()));
    given.push_back(usual);
    llvm::append_range(given, mapped(map, taken.getArrayRef()));
    scf::ConditionOp::create(b, loc, arith::AndIOp::create(b, loc, usual, more),
                             given);
  };
  auto goOn = [&](OpBuilder &b, Location, ValueRange given) {
    scf::YieldOp::create(b, loc, given.take_front(from.size()));
  };
  return scf::WhileOp::create(b, loc, types, from, step, goOn);
}

SmallVector<Value> RareStep::rareStep(OpBuilder &b, scf::WhileOp usual) {
  IRMapping map;
  ValueRange given = usual.getResults();
  size_t states = loop.getNumRegionIterArgs();
  map.map(taken.getArrayRef(), given.drop_front(states + 2));
  Block *rare = branch.elseBlock();
  cloneAll(b, rare->begin(), rare->getTerminator()->getIterator(), map);
  map.map(branch.getResults(),
          mapped(map, rare->getTerminator()->getOperands()));
  for (Operation *op : behind)
    b.clone(*op, map);
  // What does not follow from the branch is what a usual step leaves.
  SmallVector<Value> state;
  for (auto [v, left] :
       llvm::zip_equal(yield()->getOperands(), given.slice(1, states)))
    state.push_back(follow.contains(v) ? map.lookup(v) : left);
  return state;
}

void RareStep::split() {
  OpBuilder b(loop);
  Location loc = loop.getLoc();
  SmallVector<Value> from{loop.getLowerBound()};
  llvm::append_range(from, loop.getInitArgs());
  auto goesOn = [&](OpBuilder &b, Location, ValueRange state) {
    Value more = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                       state.front(), loop.getUpperBound());
    scf::ConditionOp::create(b, loc, more, state);
  };
  auto step = [&](OpBuilder &b, Location, ValueRange state) {
    scf::WhileOp usual = usualSteps(b, state);
    size_t states = loop.getNumRegionIterArgs();
    auto done = scf::IfOp::create(
        b, loc, usual.getResult(states + 1),
        [&](OpBuilder &b, Location) {
          scf::YieldOp::create(b, loc, usual.getResults().slice(1, states));
        },
        [&](OpBuilder &b, Location) {
          scf::YieldOp::create(b, loc, rareStep(b, usual));
        });
    SmallVector<Value> next{usual.getResult(0)};
    llvm::append_range(next, done.getResults());
    scf::YieldOp::create(b, loc, next);
  };
  auto all = scf::WhileOp::create(b, loc, TypeRange(ValueRange(from)), from,
                                  goesOn, step);
  loop.replaceAllUsesWith(all.getResults().drop_front());
  loop.erase();
}

namespace {
struct SplitRareSteps
    : unisparse::impl::UniTileSplitRareStepsBase<SplitRareSteps> {
  void runOnOperation() override {
    SmallVector<scf::ForOp> loops;
    getOperation().walk([&](scf::ForOp loop) { loops.push_back(loop); });
    for (scf::ForOp loop : loops)
      if (std::optional<RareStep> step = RareStep::of(loop))
        step->split();
  }
};
} // namespace
