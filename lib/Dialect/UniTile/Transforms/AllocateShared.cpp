// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "SharedLayout.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEALLOCATESHARED
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

namespace {
struct AllocateShared
    : unisparse::impl::UniTileAllocateSharedBase<AllocateShared> {
  using Base::Base;

  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<gpu::GPUFuncOp>())
      if (failed(allocate(kernel)))
        return signalPassFailure();
  }

  LogicalResult allocate(gpu::GPUFuncOp kernel) {
    int64_t end = 0;
    SmallVector<SharedPiece> pieces = layOutShared(kernel, end);
    if (pieces.empty())
      return success();
    Builder b(&getContext());
    for (const SharedPiece &piece : pieces)
      piece.op->setAttr(piece.name, b.getI64IntegerAttr(piece.offset));
    if (end > limit)
      return kernel.emitOpError("expected tiles of at most ")
             << static_cast<int64_t>(limit) << " bytes of shared memory, got "
             << end;
    kernel->setAttr(kSharedBytesAttr, b.getI64IntegerAttr(end));
    return success();
  }
};
} // namespace
