// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "llvm/Support/MathExtras.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEALLOCATESHARED
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
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
    SmallVector<AllocOp> allocs;
    kernel.walk([&](AllocOp op) { allocs.push_back(op); });
    if (allocs.empty())
      return success();
    int64_t end = 0;
    for (AllocOp op : allocs)
      if (op.getOffset())
        end = std::max<int64_t>(end, *op.getOffset() +
                                         op.getTile().getType().getBytes());
    for (AllocOp op : allocs) {
      if (op.getOffset())
        continue;
      int64_t start = llvm::alignTo(end, 1024);
      op.setOffset(start);
      end = start + op.getTile().getType().getBytes();
    }
    if (end > limit)
      return kernel.emitOpError("expected tiles of at most ")
             << static_cast<int64_t>(limit) << " bytes of shared memory, got "
             << end;
    kernel->setAttr("unitile.shared_bytes",
                    Builder(&getContext()).getI64IntegerAttr(end));
    return success();
  }
};
} // namespace
