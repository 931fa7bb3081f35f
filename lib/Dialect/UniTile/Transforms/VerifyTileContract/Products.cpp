// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// That a wait waits for what it gives: waits count products from the latest.
#include "Rules.h"

using namespace mlir;
using namespace unisparse::unitile;

/// Products that are sure to have been started between `start` and `wait`:
/// those in regions are not.
static uint64_t startedBetween(MmaStartOp start, MmaWaitOp wait) {
  uint64_t count = 0;
  for (Operation *op = start->getNextNode(); op && op != wait;
       op = op->getNextNode())
    count += isa<MmaStartOp>(op);
  return count;
}

// [U34]
LogicalResult unisparse::unitile::checkProducts(gpu::GPUFuncOp kernel) {
  WalkResult result = kernel.walk([](MmaWaitOp wait) {
    // Waits for all.
    if (!wait.getGroups())
      return WalkResult::advance();
    auto start = wait.getValue().getDefiningOp<MmaStartOp>();
    if (!start || start->getBlock() != wait->getBlock()) {
      wait.emitOpError("[U34] expected no products in flight behind the wait "
                       "for one that was not started in its block, got ")
          << wait.getGroups();
      return WalkResult::interrupt();
    }
    uint64_t behind = startedBetween(start, wait);
    if (wait.getGroups() <= behind)
      return WalkResult::advance();
    wait.emitOpError("[U34] expected at most ")
        << behind << " products in flight, as many as were started behind that "
        << "which is waited for, got " << wait.getGroups();
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}
