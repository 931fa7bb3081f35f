// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ContractionLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "unisparse/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEVECTORIZECONTRACTIONS
#include "unisparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

/// Strips are at most this wide; wider rows of a program's own matmul would
/// leave the registers.
constexpr int64_t kMaxLanes = 64;

/// C[m, n] += A[m, k] * B[k, n], or A[k, m].
struct Contraction {
  Value a, b, c;
  int64_t m, n, k;
  bool transposedA;
};

/// Reads `op` as such a contraction of static f32 buffers.
FailureOr<Contraction> matchContraction(linalg::LinalgOp op,
                                        PatternRewriter &rewriter) {
  if (!isa<linalg::MatmulOp>(op.getOperation()))
    return rewriter.notifyMatchFailure(op, "not a linalg.matmul");
  if (!op.hasPureBufferSemantics())
    return rewriter.notifyMatchFailure(op, "works on tensors; bufferize first");
  Contraction x{op.getDpsInputs()[0],
                op.getDpsInputs()[1],
                op.getDpsInits()[0],
                0,
                0,
                0,
                false};
  for (Value v : {x.a, x.b, x.c}) {
    auto type = cast<MemRefType>(v.getType());
    if (!type.hasStaticShape() || !type.getElementType().isF32() ||
        !type.isLastDimUnitStride())
      return rewriter.notifyMatchFailure(
          op, "expected static f32 buffers with contiguous rows");
  }
  AffineExpr m, n, k;
  bindDims(op.getContext(), m, n, k);
  auto maps = op.getIndexingMapsArray();
  auto is = [&](AffineMap map, AffineExpr row, AffineExpr column) {
    return map.getNumResults() == 2 && map.getResult(0) == row &&
           map.getResult(1) == column;
  };
  x.transposedA = is(maps[0], k, m);
  if ((!x.transposedA && !is(maps[0], m, k)) || !is(maps[1], k, n) ||
      !is(maps[2], m, n))
    return rewriter.notifyMatchFailure(op, "expected A[m, k] or A[k, m], "
                                           "B[k, n] and C[m, n]");
  auto b = cast<MemRefType>(x.b.getType()), c = cast<MemRefType>(x.c.getType());
  x.m = c.getDimSize(0);
  x.n = c.getDimSize(1);
  x.k = b.getDimSize(0);
  if (x.n > kMaxLanes)
    return rewriter.notifyMatchFailure(op, "rows of C are no strip");
  return x;
}

/// At 32 a chunk costs one load and store of C beside 32 multiplications.
constexpr int64_t kSumLength = 32;

struct VectorizeContraction : OpInterfaceRewritePattern<linalg::LinalgOp> {
  VectorizeContraction(MLIRContext *context, int64_t rows)
      : OpInterfaceRewritePattern(context), rows(rows) {}

  LogicalResult matchAndRewrite(linalg::LinalgOp op,
                                PatternRewriter &rewriter) const override {
    FailureOr<Contraction> x = matchContraction(op, rewriter);
    if (failed(x))
      return failure();
    if (x->m % rows != 0)
      return rewriter.notifyMatchFailure(op, "register-rows must divide m");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    emitContraction(
        b, {x->c, x->m, x->k, rows, /*lanes=*/x->n, /*parts=*/1, kSumLength},
        [&](ArrayRef<Value> at, Value k, ValueRange sums) {
          return multiplyAdd(b, *x, at, k, sums);
        });
    rewriter.eraseOp(op);
    return success();
  }

  static SmallVector<Value> multiplyAdd(ImplicitLocOpBuilder &b,
                                        const Contraction &x,
                                        ArrayRef<Value> at, Value k,
                                        ValueRange sums) {
    auto vector = VectorType::get({x.n}, b.getF32Type());
    Value zero = arith::ConstantIndexOp::create(b, 0);
    Value row = vector::LoadOp::create(b, vector, x.b, ValueRange{k, zero});
    SmallVector<Value> next;
    for (auto [m, sum] : llvm::zip_equal(at, sums)) {
      SmallVector<Value, 2> indices{m, k};
      if (x.transposedA)
        std::swap(indices[0], indices[1]);
      Value a = vector::BroadcastOp::create(
          b, vector, memref::LoadOp::create(b, x.a, indices));
      next.push_back(vector::FMAOp::create(b, a, row, sum));
    }
    return next;
  }

  int64_t rows;
};

struct VectorizeContractions
    : unisparse::impl::UniSparseVectorizeContractionsBase<
          VectorizeContractions> {
  using Base::Base;

  LogicalResult initialize(MLIRContext *context) override {
    return verifyRegisterRows(context, getArgument(), registerRows);
  }

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<VectorizeContraction>(&getContext(), registerRows);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
