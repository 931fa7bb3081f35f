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
/// An op that reserves shared memory.
struct Piece {
  Operation *op;
  StringAttr name; ///< Of its offset.
  std::optional<uint64_t> offset;
  int64_t bytes, alignment;
};

struct AllocateShared
    : unisparse::impl::UniTileAllocateSharedBase<AllocateShared> {
  using Base::Base;

  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<gpu::GPUFuncOp>())
      if (failed(allocate(kernel)))
        return signalPassFailure();
  }

  LogicalResult allocate(gpu::GPUFuncOp kernel) {
    SmallVector<Piece> pieces;
    // Tiles first: what is small fills the end.
    kernel.walk([&](AllocOp op) {
      pieces.push_back({op, op.getOffsetAttrName(), op.getOffset(),
                        op.getTile().getType().getBytes(), 1024});
    });
    kernel.walk([&](BarriersOp op) {
      pieces.push_back({op, op.getOffsetAttrName(), op.getOffset(),
                        op.getBarriers().getType().getBytes(), 8});
    });
    kernel.walk([&](WordsOp op) {
      pieces.push_back({op, op.getOffsetAttrName(), op.getOffset(),
                        4 * static_cast<int64_t>(op.getCount()), 16});
    });
    if (pieces.empty())
      return success();
    Builder b(&getContext());
    int64_t end = 0;
    for (const Piece &piece : pieces)
      if (piece.offset)
        end = std::max<int64_t>(end, *piece.offset + piece.bytes);
    for (const Piece &piece : pieces) {
      if (piece.offset)
        continue;
      int64_t start = llvm::alignTo(end, piece.alignment);
      piece.op->setAttr(piece.name, b.getI64IntegerAttr(start));
      end = start + piece.bytes;
    }
    if (end > limit)
      return kernel.emitOpError("expected tiles of at most ")
             << static_cast<int64_t>(limit) << " bytes of shared memory, got "
             << end;
    kernel->setAttr(kSharedBytesAttr, b.getI64IntegerAttr(end));
    return success();
  }
};
} // namespace
