// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

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

/// Products summed before they are added to C. Short sums keep rounding errors
/// small: error grows with the length of a chain, and the sums of chunks are a
/// second, short chain. At 32 a chunk costs one load and store of C beside 32
/// multiplications.
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
    Value zero = arith::ConstantIndexOp::create(b, 0);
    auto index = [&](int64_t i) {
      return arith::ConstantIndexOp::create(b, i);
    };
    scf::ForOp::create(b, zero, index(x->m), index(rows), ValueRange{},
                       [&](OpBuilder &, Location, Value m, ValueRange) {
                         emitRows(b, *x, m, zero);
                         scf::YieldOp::create(b);
                       });
    rewriter.eraseOp(op);
    return success();
  }

  /// Rows [m, m + rows) of C, `kSumLength` steps of k after another.
  void emitRows(ImplicitLocOpBuilder &b, const Contraction &x, Value m,
                Value zero) const {
    SmallVector<Value> at;
    for (int64_t i = 0; i < rows; ++i)
      at.push_back(b.createOrFold<arith::AddIOp>(
          m, arith::ConstantIndexOp::create(b, i)));
    int64_t whole = x.k - x.k % kSumLength;
    Value end = arith::ConstantIndexOp::create(b, whole);
    Value step = arith::ConstantIndexOp::create(b, kSumLength);
    if (whole)
      scf::ForOp::create(b, zero, end, step, ValueRange{},
                         [&](OpBuilder &, Location, Value k, ValueRange) {
                           Value next = arith::AddIOp::create(b, k, step);
                           emitSums(b, x, at, zero, k, next);
                           scf::YieldOp::create(b);
                         });
    if (whole != x.k)
      emitSums(b, x, at, zero, end, arith::ConstantIndexOp::create(b, x.k));
  }

  /// C += A * B over [begin, end) of k, from zero accumulators.
  void emitSums(ImplicitLocOpBuilder &b, const Contraction &x,
                ArrayRef<Value> at, Value zero, Value begin, Value end) const {
    auto vector = VectorType::get({x.n}, b.getF32Type());
    Value none = arith::ConstantOp::create(b, b.getZeroAttr(vector));
    SmallVector<Value> accumulators(rows, none);
    Value one = arith::ConstantIndexOp::create(b, 1);
    auto loop = scf::ForOp::create(
        b, begin, end, one, accumulators,
        [&](OpBuilder &, Location, Value k, ValueRange sums) {
          Value row =
              vector::LoadOp::create(b, vector, x.b, ValueRange{k, zero});
          SmallVector<Value> next;
          for (int64_t i = 0; i < rows; ++i) {
            SmallVector<Value, 2> indices{at[i], k};
            if (x.transposedA)
              std::swap(indices[0], indices[1]);
            Value a = vector::BroadcastOp::create(
                b, vector, memref::LoadOp::create(b, x.a, indices));
            next.push_back(vector::FMAOp::create(b, a, row, sums[i]));
          }
          scf::YieldOp::create(b, next);
        });
    for (int64_t i = 0; i < rows; ++i) {
      Value old =
          vector::LoadOp::create(b, vector, x.c, ValueRange{at[i], zero});
      Value sum = arith::AddFOp::create(b, old, loop.getResult(i));
      vector::StoreOp::create(b, sum, x.c, ValueRange{at[i], zero});
    }
  }

  int64_t rows;
};

struct VectorizeContractions
    : unisparse::impl::UniSparseVectorizeContractionsBase<
          VectorizeContractions> {
  using Base::Base;

  LogicalResult initialize(MLIRContext *context) override {
    if (registerRows == 1 || registerRows == 2 || registerRows == 4 ||
        registerRows == 8)
      return success();
    return emitError(UnknownLoc::get(context))
           << "unisparse-vectorize-contractions: expected register-rows of 1, "
              "2, 4 or 8, got "
           << static_cast<int64_t>(registerRows);
  }

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<VectorizeContraction>(&getContext(), registerRows);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
