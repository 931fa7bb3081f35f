// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ParallelLoops.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace unisparse;
using namespace unisparse::unitile;

Value ParallelLoop::combine(OpBuilder &b, unsigned i, Value x, Value y) {
  Block &block = reduce.getReductions()[i].front();
  IRMapping mapping;
  mapping.map(block.getArguments(), ValueRange{x, y});
  for (Operation &inner : block.without_terminator())
    b.clone(inner, mapping);
  return mapping.lookupOrDefault(block.getTerminator()->getOperand(0));
}

Operation *ParallelLoop::combiner(unsigned i) {
  Block &block = reduce.getReductions()[i].front();
  Operation *op = block.getTerminator()->getOperand(0).getDefiningOp();
  bool alone = op && &block.front() == op && op->getNextNode() &&
               op->getNextNode() == block.getTerminator();
  return alone ? op : nullptr;
}

static LogicalResult verifyLoop(scf::ParallelOp loop) {
  if (loop.getNumLoops() != 1)
    return loop.emitOpError("expected a loop of one dim in a page, got ")
           << loop.getNumLoops();
  if (!matchPattern(loop.getStep()[0], m_One()))
    return loop.emitOpError("expected a step of 1 in a page");
  if (loop->getParentOfType<scf::ParallelOp>())
    return loop.emitOpError("expected no data-parallel loop around it: what a "
                            "thread has is its own, scf.for");
  return success();
}

FailureOr<SmallVector<ParallelLoop>> unisparse::parallelLoopsOf(Operation *root,
                                                                bool all) {
  SmallVector<ParallelLoop> loops;
  WalkResult result = root->walk([&](Operation *op) {
    auto loop = dyn_cast<scf::ParallelOp>(op);
    if (loop && !all && !loop.getNumResults() &&
        loop.getBody()->getOps<RankOp>().empty())
      return WalkResult::advance();
    if (loop && failed(verifyLoop(loop)))
      return WalkResult::interrupt();
    if (loop)
      loops.emplace_back(loop);
    if (!isa<RankOp>(op) || !op->getParentOfType<scf::ParallelOp>() ||
        isa<scf::ParallelOp>(op->getParentOp()))
      return WalkResult::advance();
    op->emitOpError("expected to stand directly in its loop, where every "
                    "iteration comes by, got one in a '")
        << op->getParentOp()->getName() << "'";
    return WalkResult::interrupt();
  });
  if (result.wasInterrupted())
    return failure();
  return loops;
}

void unisparse::foldLoneRanks(Operation *root) {
  root->walk([](RankOp op) {
    if (op->getParentOfType<scf::ParallelOp>())
      return;
    OpBuilder b(op);
    op.replaceAllUsesWith(
        arith::ConstantIntOp::create(b, op.getLoc(), 0, 32).getResult());
    op->erase();
  });
}
