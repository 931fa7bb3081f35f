// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "unisparse/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEEXPANDMATH
#include "unisparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;

namespace {
struct ExpandMath : unisparse::impl::UniSparseExpandMathBase<ExpandMath> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateMathPolynomialApproximationPatterns(patterns, [](StringRef name) {
      return name == math::ExpOp::getOperationName() ||
             name == math::LogOp::getOperationName();
    });
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    // Vectors of tanh are soft caps' (M1); a scalar is a program's own.
    SmallVector<Operation *> caps;
    getOperation()->walk([&](math::TanhOp op) {
      if (isa<VectorType>(op.getType()))
        caps.push_back(op);
    });
    RewritePatternSet tanh(&getContext());
    populatePolynomialApproximateTanhPattern(tanh);
    GreedyRewriteConfig own;
    own.setStrictness(GreedyRewriteStrictness::ExistingOps);
    if (failed(applyOpPatternsGreedily(caps, std::move(tanh), own)))
      signalPassFailure();
  }
};
} // namespace
