// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ContractionLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Dialect/X86Vector/X86VectorDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "unisparse/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEVECTORIZEPAIRS
#include "unisparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

/// f32 lanes of a vdpbf16ps, each of which takes a pair.
constexpr int64_t kLanes = 16;
constexpr int64_t kMaxParts = 4;
/// As many products as chunks of unisparse-vectorize-contractions have.
constexpr int64_t kSumPairs = 16;

/// C[m, n] += A[m, k, p] * B[k, n, p], or A[k, m, p], with p in [0, 2).
struct Contraction {
  Value a, b, c;
  int64_t m, n, k;
  bool transposedA;
};

bool isBF16Extension(Value value, Value of) {
  auto extension = value.getDefiningOp<arith::ExtFOp>();
  return extension && extension.getIn() == of &&
         extension.getIn().getType().isBF16();
}

/// c + extf(a) * extf(b), of bf16.
bool isMultiplyAdd(Block &body) {
  auto yield = cast<linalg::YieldOp>(body.getTerminator());
  if (body.getOperations().size() != 5 || yield.getNumOperands() != 1)
    return false;
  auto sum = yield.getOperand(0).getDefiningOp<arith::AddFOp>();
  auto product = sum ? sum.getRhs().getDefiningOp<arith::MulFOp>() : nullptr;
  return product && sum.getLhs() == body.getArgument(2) &&
         isBF16Extension(product.getLhs(), body.getArgument(0)) &&
         isBF16Extension(product.getRhs(), body.getArgument(1));
}

/// Rows of pairs as rows of bf16: [r, c, 2] as [r, 2 * c].
SmallVector<ReassociationIndices> flattened() { return {{0}, {1, 2}}; }

FailureOr<Contraction> matchPairs(linalg::GenericOp op,
                                  PatternRewriter &rewriter) {
  using utils::IteratorType;
  if (!op.hasPureBufferSemantics() || op.getNumDpsInputs() != 2 ||
      op.getNumDpsInits() != 1)
    return rewriter.notifyMatchFailure(op, "expected two inputs and one "
                                           "output, all of them buffers");
  SmallVector<IteratorType> kinds{
      IteratorType::parallel, IteratorType::parallel, IteratorType::reduction,
      IteratorType::reduction};
  if (op.getIteratorTypesArray() != kinds || !isMultiplyAdd(*op.getBody()))
    return rewriter.notifyMatchFailure(op, "no sum of products of bf16");
  MLIRContext *context = op.getContext();
  AffineExpr m, n, k, p;
  bindDims(context, m, n, k, p);
  auto map = [&](ArrayRef<AffineExpr> results) {
    return AffineMap::get(4, 0, results, context);
  };
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  Contraction x{op.getDpsInputs()[0],
                op.getDpsInputs()[1],
                op.getDpsInits()[0],
                0,
                0,
                0,
                maps[0] == map({k, m, p})};
  if ((!x.transposedA && maps[0] != map({m, k, p})) ||
      maps[1] != map({k, n, p}) || maps[2] != map({m, n}))
    return rewriter.notifyMatchFailure(op, "expected A[m, k, p] or A[k, m, p], "
                                           "B[k, n, p] and C[m, n]");
  for (Value v : {x.a, x.b, x.c}) {
    auto type = cast<MemRefType>(v.getType());
    if (!type.hasStaticShape() || !type.isLastDimUnitStride() ||
        (v != x.c &&
         !memref::CollapseShapeOp::isGuaranteedCollapsible(type, flattened())))
      return rewriter.notifyMatchFailure(op, "expected static contiguous rows");
  }
  auto b = cast<MemRefType>(x.b.getType()), c = cast<MemRefType>(x.c.getType());
  x.m = c.getDimSize(0);
  x.n = c.getDimSize(1);
  x.k = b.getDimSize(0);
  if (b.getDimSize(2) != 2 || !c.getElementType().isF32() ||
      x.n % kLanes != 0 || x.n > kMaxParts * kLanes)
    return rewriter.notifyMatchFailure(op, "expected pairs, and whole vectors "
                                           "of 16 f32 in a row of C");
  return x;
}

struct VectorizePairs : OpRewritePattern<linalg::GenericOp> {
  VectorizePairs(MLIRContext *context, int64_t rows)
      : OpRewritePattern(context), rows(rows) {}

  LogicalResult matchAndRewrite(linalg::GenericOp op,
                                PatternRewriter &rewriter) const override {
    FailureOr<Contraction> x = matchPairs(op, rewriter);
    if (failed(x))
      return failure();
    if (x->m % rows != 0)
      return rewriter.notifyMatchFailure(op, "register-rows must divide m");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    x->a = memref::CollapseShapeOp::create(b, x->a, flattened());
    x->b = memref::CollapseShapeOp::create(b, x->b, flattened());
    emitContraction(
        b, {x->c, x->m, x->k, rows, kLanes, /*parts=*/x->n / kLanes, kSumPairs},
        [&](ArrayRef<Value> at, Value k, ValueRange sums) {
          return multiplyAdd(b, *x, at, k, sums);
        });
    rewriter.eraseOp(op);
    return success();
  }

  /// A pair of A in all lanes: one 32-bit broadcast.
  static Value splatPair(ImplicitLocOpBuilder &b, const Contraction &x,
                         Value row, Value k) {
    Value two = arith::ConstantIndexOp::create(b, 2);
    SmallVector<Value> at{row, arith::MulIOp::create(b, k, two)};
    if (x.transposedA)
      at = {k, arith::MulIOp::create(b, row, two)};
    Type bf16 = b.getBF16Type(), i32 = b.getI32Type();
    Value pair = vector::LoadOp::create(b, VectorType::get({2}, bf16), x.a, at);
    Value bits = vector::BitCastOp::create(b, VectorType::get({1}, i32), pair);
    Value word = vector::ExtractOp::create(b, bits, 0);
    Value words =
        vector::BroadcastOp::create(b, VectorType::get({kLanes}, i32), word);
    return vector::BitCastOp::create(b, VectorType::get({2 * kLanes}, bf16),
                                     words);
  }

  static SmallVector<Value> multiplyAdd(ImplicitLocOpBuilder &b,
                                        const Contraction &x,
                                        ArrayRef<Value> at, Value k,
                                        ValueRange sums) {
    auto pairs = VectorType::get({2 * kLanes}, b.getBF16Type());
    SmallVector<Value> row, next;
    for (int64_t n = 0; n < x.n; n += kLanes) {
      Value column = arith::ConstantIndexOp::create(b, 2 * n);
      row.push_back(
          vector::LoadOp::create(b, pairs, x.b, ValueRange{k, column}));
    }
    for (Value m : at) {
      Value pair = splatPair(b, x, m, k);
      for (Value part : row) {
        Value sum = sums[next.size()];
        next.push_back(
            x86vector::DotBF16Op::create(b, sum.getType(), sum, pair, part));
      }
    }
    return next;
  }

  int64_t rows;
};

struct VectorizePairsPass
    : unisparse::impl::UniSparseVectorizePairsBase<VectorizePairsPass> {
  using Base::Base;

  LogicalResult initialize(MLIRContext *context) override {
    return verifyRegisterRows(context, getArgument(), registerRows);
  }

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<VectorizePairs>(&getContext(), registerRows);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
