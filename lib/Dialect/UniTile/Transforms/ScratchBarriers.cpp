// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ScratchBarriers.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;
using namespace unisparse;

Value unisparse::writtenBy(Operation *op) {
  return isa<memref::StoreOp, vector::StoreOp>(op) ? op->getOperand(1)
                                                   : Value();
}

Value unisparse::readBy(Operation *op) {
  return isa<memref::LoadOp, vector::LoadOp>(op) ? op->getOperand(0) : Value();
}

SmallVector<memref::AllocaOp> unisparse::scratchOf(gpu::GPUFuncOp kernel) {
  SmallVector<memref::AllocaOp> scratch;
  kernel.walk([&](memref::AllocaOp op) { scratch.push_back(op); });
  return scratch;
}

namespace {

using Buffers = llvm::SmallPtrSet<Value, 4>;

/// What an op and those inside it do with the kernel's own memory.
struct Uses {
  Buffers reads, writes;

  explicit Uses(Operation *op) {
    op->walk([&](Operation *inner) {
      auto add = [](Value memref, Buffers &buffers) {
        if (memref && memref.getDefiningOp<memref::AllocaOp>())
          buffers.insert(memref);
      };
      add(readBy(inner), reads);
      add(writtenBy(inner), writes);
    });
  }
};

bool meet(const Buffers &some, const Buffers &others) {
  return llvm::any_of(some, [&](Value x) { return others.contains(x); });
}

/// The innermost block that all uses stand in, themselves or what holds them;
/// data-parallel loops are whole.
FailureOr<Block *> blockOfUses(ArrayRef<memref::AllocaOp> scratch) {
  Block *block = nullptr;
  for (memref::AllocaOp buffer : scratch)
    for (Operation *user : buffer->getUsers()) {
      auto loop = user->getParentOfType<scf::ParallelOp>();
      if (!block)
        block = (loop ? loop.getOperation() : user)->getBlock();
      while (!block->findAncestorOpInBlock(*user))
        block = block->getParentOp()->getBlock();
    }
  for (Operation *parent = block ? block->getParentOp() : nullptr;
       parent && !isa<gpu::GPUFuncOp>(parent); parent = parent->getParentOp())
    if (!isa<scf::IfOp>(parent))
      return parent->emitOpError("expected no loop around uses of the kernel's "
                                 "own memory");
  return block;
}

} // namespace

LogicalResult unisparse::insertScratchBarriers(gpu::GPUFuncOp kernel) {
  FailureOr<Block *> block = blockOfUses(scratchOf(kernel));
  if (failed(block))
    return failure();
  if (!*block)
    return success();
  // Since the last barrier.
  Buffers read, written;
  for (Operation &op : **block) {
    Uses uses(&op);
    if (meet(uses.reads, uses.writes))
      return op.emitOpError("expected no memory of the kernel's own that is "
                            "both read and written here");
    if (meet(uses.reads, written) || meet(uses.writes, written) ||
        meet(uses.writes, read)) {
      OpBuilder b(&op);
      gpu::BarrierOp::create(b, op.getLoc());
      read.clear();
      written.clear();
    }
    read.insert_range(uses.reads);
    written.insert_range(uses.writes);
  }
  return success();
}
