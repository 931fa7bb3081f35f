// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "unisparse/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEDECOMPOSELINALG
#include "unisparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;

namespace {

/// Pieces are made on tensors; buffers are left to who made them.
bool isOnTensors(Operation *op) {
  return op->getNumResults() &&
         llvm::all_of(op->getResultTypes(), llvm::IsaPred<RankedTensorType>);
}

struct DecomposeLinalg
    : unisparse::impl::UniSparseDecomposeLinalgBase<DecomposeLinalg> {
  void runOnOperation() override {
    SmallVector<linalg::AggregatedOpInterface> ops;
    getOperation()->walk([&](linalg::AggregatedOpInterface op) {
      if (isa<linalg::LinalgDialect>(op->getDialect()) && isOnTensors(op))
        ops.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (linalg::AggregatedOpInterface op : ops) {
      rewriter.setInsertionPoint(op);
      FailureOr<SmallVector<Value>> values = op.decomposeOperation(rewriter);
      if (failed(values)) {
        op->emitOpError("expected to be made of simpler linalg ops, got an op "
                        "that has no decomposition");
        return signalPassFailure();
      }
      rewriter.replaceOp(op, *values);
    }
  }
};

} // namespace
