// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Workers.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace unisparse;
using namespace unisparse::unitile;

FailureOr<BlockArgument> unisparse::workersMemory(gpu::GPUFuncOp kernel) {
  BlockArgument memory;
  WalkResult result = kernel.walk([&](WorkerOp worker) {
    auto own = dyn_cast<BlockArgument>(worker.getMemory());
    if (!own || own.getOwner() != &kernel.getBody().front()) {
      worker.emitOpError("expected memory that is the kernel's argument, got ")
          << worker.getMemory().getType();
      return WalkResult::interrupt();
    }
    if (memory && memory != own) {
      worker.emitOpError("expected parts of one memory in a kernel, got "
                         "arguments #")
          << memory.getArgNumber() << " and #" << own.getArgNumber();
      return WalkResult::interrupt();
    }
    memory = own;
    return WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  return memory;
}

Value unisparse::partsOf(PageBuilder &p, gpu::LaunchFuncOp launch,
                         BlockArgument memory) {
  return p.b.createOrFold<memref::DimOp>(
      launch.getKernelOperand(memory.getArgNumber()), 0);
}
