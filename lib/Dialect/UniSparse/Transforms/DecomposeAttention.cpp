// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEDECOMPOSEATTENTION
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {
struct DecomposeAttention
    : unisparse::impl::UniSparseDecomposeAttentionBase<DecomposeAttention> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<AttentionOp> ops;
    getOperation()->walk([&](AttentionOp op) { ops.push_back(op); });
    for (AttentionOp op : ops) {
      rewriter.setInsertionPoint(op);
      FailureOr<SmallVector<Value>> values = op.decomposeOperation(rewriter);
      if (failed(values))
        return signalPassFailure();
      rewriter.replaceOp(op, *values);
    }
  }
};
} // namespace
