// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "SharedLayout.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Utils/SpecialisedMemory.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

SmallVector<SharedPiece> unisparse::layOutShared(gpu::GPUFuncOp kernel,
                                                 int64_t &bytes) {
  SmallVector<SharedPiece> pieces;
  auto add = [&](auto op, int64_t size, int64_t alignment) {
    std::optional<uint64_t> offset = op.getOffset();
    pieces.push_back({op, op.getOffsetAttrName(), offset.has_value(), size,
                      alignment, static_cast<int64_t>(offset.value_or(0))});
  };
  // Tiles first: what is small fills the end.
  kernel.walk([&](AllocOp op) {
    add(op, op.getTile().getType().getBytes(), kTileAlignment);
  });
  kernel.walk([&](BarriersOp op) {
    add(op, op.getBarriers().getType().getBytes(), kBarrierAlignment);
  });
  kernel.walk([&](WordsOp op) { add(op, 4 * op.getCount(), kWordsAlignment); });
  bytes = 0;
  for (const SharedPiece &piece : pieces)
    if (piece.placed)
      bytes = std::max(bytes, piece.offset + piece.bytes);
  for (SharedPiece &piece : pieces) {
    if (piece.placed)
      continue;
    piece.offset = llvm::alignTo(bytes, piece.alignment);
    bytes = piece.offset + piece.bytes;
  }
  return pieces;
}
