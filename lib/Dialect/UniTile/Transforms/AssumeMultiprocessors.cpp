// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEASSUMEMULTIPROCESSORS
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {
struct AssumeMultiprocessors
    : unisparse::impl::UniTileAssumeMultiprocessorsBase<AssumeMultiprocessors> {
  using Base::Base;

  void runOnOperation() override {
    if (count < 1) {
      // Of its location: the whole module would follow the op's.
      emitError(getOperation()->getLoc(),
                "multiprocessors: expected a count of at least 1, got ")
          << count.getValue();
      return signalPassFailure();
    }
    getOperation()->walk([&](unitile::MultiprocessorsOp op) {
      OpBuilder b(op);
      op.replaceAllUsesWith(
          arith::ConstantIndexOp::create(b, op.getLoc(), count).getResult());
      op.erase();
    });
  }
};
} // namespace
