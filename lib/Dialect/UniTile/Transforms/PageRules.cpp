// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "PageRules.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace unisparse;

LogicalResult unisparse::verifyPlace(gpu::GPUFuncOp kernel) {
  if (!kernel.getBody().hasOneBlock())
    return kernel.emitOpError("expected a kernel of one block, got ")
           << kernel.getBody().getBlocks().size();
  if (kernel.getNumWorkgroupAttributions() ||
      kernel.getNumPrivateAttributions())
    return kernel.emitOpError("expected a kernel without buffers of its own");
  WalkResult result = kernel.getBody().walk([&](Operation *op) {
    if (!isa_and_nonnull<gpu::GPUDialect>(op->getDialect()) ||
        isa<gpu::BlockIdOp, gpu::GridDimOp, gpu::ReturnOp>(op))
      return WalkResult::advance();
    op->emitOpError("expected a kernel that knows its place in the grid alone, "
                    "as a page of unitile words does");
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

bool unisparse::isScratch(Value memref) {
  return isa_and_nonnull<memref::AllocaOp>(memref.getDefiningOp()) &&
         gpu::GPUDialect::hasWorkgroupMemoryAddressSpace(
             cast<MemRefType>(memref.getType()));
}

/// That an op's operand is an argument of the kernel, or memory of its own,
/// with contiguous rows.
static LogicalResult verifyOperand(Operation *op, Value memory,
                                   gpu::GPUFuncOp kernel, bool scratch) {
  auto type = cast<MemRefType>(memory.getType());
  if (scratch && isScratch(memory) && type.hasStaticShape() &&
      type.getLayout().isIdentity())
    return success();
  auto argument = dyn_cast<BlockArgument>(memory);
  if (!argument || argument.getOwner() != &kernel.getBody().front())
    return op->emitOpError("expected a memref that is the kernel's argument, "
                           "got ")
           << type;
  SmallVector<int64_t> strides;
  int64_t offset;
  if (!type.getRank() || failed(type.getStridesAndOffset(strides, offset)) ||
      strides.back() != 1)
    return op->emitOpError("expected a memref whose last dim is contiguous, "
                           "got ")
           << type;
  return success();
}

LogicalResult unisparse::verifyMemory(gpu::GPUFuncOp kernel, bool scratch) {
  WalkResult result = kernel.getBody().walk([&](Operation *op) {
    for (Value operand : op->getOperands())
      if (isa<MemRefType>(operand.getType()) &&
          failed(verifyOperand(op, operand, kernel, scratch)))
        return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}
