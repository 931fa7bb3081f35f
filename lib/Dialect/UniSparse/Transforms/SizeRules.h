// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Rules of ops on tensors about sizes, asserted where types could not say.
#ifndef UNISPARSE_LIB_DIALECT_UNISPARSE_TRANSFORMS_SIZERULES_H
#define UNISPARSE_LIB_DIALECT_UNISPARSE_TRANSFORMS_SIZERULES_H

#include "mlir/Analysis/DataFlowFramework.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "unisparse/Dialect/UniSparse/IR/Names.h"

namespace unisparse {
using namespace mlir;

/// The rules of one op, asserted in front of it.
struct SizeRules {
  SizeRules(Operation *op, DataFlowSolver &ranges,
            DenseMap<std::pair<Value, int64_t>, Value> &known)
      : op(op), b(op->getLoc(), op), ranges(ranges), known(known) {
    // Where slices of a parallel loop come together, nothing else may stand.
    if (isa<tensor::ParallelInsertSliceOp>(op))
      b.setInsertionPoint(op->getParentOp());
  }

  Operation *op;
  ImplicitLocOpBuilder b;
  DataFlowSolver &ranges;
  /// A size has one value, so that what holds for all lengths folds away.
  DenseMap<std::pair<Value, int64_t>, Value> &known;

  void of(linalg::LinalgOp linalg);
  void of(tensor::CastOp cast);
  void of(tensor::ConcatOp concat);
  void of(tensor::ExpandShapeOp expand);
  void of(tensor::ExtractSliceOp slice);
  void of(tensor::PadOp pad);
  void of(tensor::ReshapeOp reshape);
  template <typename OpTy>
  void ofInsertion(OpTy insert);
  /// That all tensors have the shape of the first, and the result what its type
  /// says of it.
  void sameShape(ValueRange tensors);
  void inBounds(Value tensor, ValueRange indices);
  void positive(ValueRange sizes) {
    for (auto [i, size] : llvm::enumerate(sizes))
      notNegative(size, "dynamic size " + Twine(i));
  }

private:
  Value index(int64_t i) { return arith::ConstantIndexOp::create(b, i); }
  Value value(OpFoldResult x) {
    return getValueOrCreateConstantIndexOp(b, b.getLoc(), x);
  }
  Value add(Value x, Value y) { return b.createOrFold<arith::AddIOp>(x, y); }
  Value sub(Value x, Value y) { return b.createOrFold<arith::SubIOp>(x, y); }
  Value mul(Value x, Value y) { return b.createOrFold<arith::MulIOp>(x, y); }

  Value sizeOf(Value tensor, int64_t i);
  Value sizeByMaker(Operation *maker, Value tensor, int64_t i);
  Value originOf(Value size);
  std::string nameOf(Value tensor) const;
  NamedValue size(Value tensor, int64_t i) {
    return {sizeOf(tensor, i),
            (nameOf(tensor) + ".size(" + Twine(i) + ")").str()};
  }
  static NamedValue constant(Value value, int64_t i) {
    return {value, std::to_string(i)};
  }
  void require(const NamedValue &x, CheckRelation relation,
               const NamedValue &y) {
    createCheck(b, b.getLoc(), op->getName().getStringRef(), x, relation, y);
  }
  void notNegative(OpFoldResult x, const Twine &name);
  void inside(OpFoldResult offset, OpFoldResult size, OpFoldResult stride,
              Value tensor, int64_t i);

  /// The least and the greatest value of an index into an operand.
  struct Bounds {
    Value least, greatest;
  };
  Bounds boundsOf(AffineExpr expr, ArrayRef<Value> loops);
};

/// Whether an op computes each element of its tensors by itself.
bool isElementwise(Operation *op);
SmallVector<Value> tensorsAmong(ValueRange values);
/// Of the dims of a slice, those that its other side has.
SmallVector<int64_t> keptDims(OffsetSizeAndStrideOpInterface slice,
                              const llvm::SmallBitVector &dropped);

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNISPARSE_TRANSFORMS_SIZERULES_H
