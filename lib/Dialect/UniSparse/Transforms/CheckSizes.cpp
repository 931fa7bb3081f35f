// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a program's own ops on tensors promise of dynamic sizes. Whoever runs
// them reads and writes by one operand's sizes what another one has.
#include "SizeRules.h"
#include "mlir/Analysis/DataFlow/IntegerRangeAnalysis.h"
#include "mlir/Analysis/DataFlow/Utils.h"
#include "mlir/IR/Matchers.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"
#include "llvm/ADT/TypeSwitch.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSECHECKSIZES
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

//===----------------------------------------------------------------------===//
// linalg and elementwise ops
//===----------------------------------------------------------------------===//

/// Of the loops from 0 to one below each of `loops`. Maps of linalg have no
/// symbols: what is multiplied by or divided by is a constant.
SizeRules::Bounds SizeRules::boundsOf(AffineExpr expr, ArrayRef<Value> loops) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    Value i = index(constant.getValue());
    return {i, i};
  }
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return {index(0), sub(loops[dim.getPosition()], index(1))};
  auto binary = cast<AffineBinaryOpExpr>(expr);
  auto [least, greatest] = boundsOf(binary.getLHS(), loops);
  if (expr.getKind() == AffineExprKind::Add) {
    Bounds other = boundsOf(binary.getRHS(), loops);
    return {add(least, other.least), add(greatest, other.greatest)};
  }
  int64_t by = cast<AffineConstantExpr>(binary.getRHS()).getValue();
  switch (expr.getKind()) {
  case AffineExprKind::Mul:
    if (by < 0)
      std::swap(least, greatest);
    return {mul(least, index(by)), mul(greatest, index(by))};
  case AffineExprKind::FloorDiv:
    return {b.createOrFold<arith::FloorDivSIOp>(least, index(by)),
            b.createOrFold<arith::FloorDivSIOp>(greatest, index(by))};
  case AffineExprKind::CeilDiv:
    return {b.createOrFold<arith::CeilDivSIOp>(least, index(by)),
            b.createOrFold<arith::CeilDivSIOp>(greatest, index(by))};
  default: // A remainder.
    return {index(0), b.createOrFold<arith::MinSIOp>(greatest, index(by - 1))};
  }
}

void SizeRules::of(linalg::LinalgOp linalg) {
  if (!linalg.hasPureTensorSemantics())
    return;
  SmallVector<NamedValue> loops;
  for (auto [loop, range] : llvm::enumerate(linalg.getStaticLoopRanges())) {
    Value tensor;
    unsigned dim = 0;
    if (ShapedType::isStatic(range))
      loops.push_back(constant(index(range), range));
    else if (succeeded(
                 linalg.mapIterationSpaceDimToOperandDim(loop, tensor, dim)))
      loops.push_back(size(tensor, dim));
    else // The verifier's.
      return;
  }
  SmallVector<Value> ranges =
      llvm::map_to_vector(loops, [](NamedValue &loop) { return loop.value; });
  // An op whose loops go over nothing has no indices.
  auto ofRuns = [&](Value x) {
    if (matchPattern(x, m_Constant()))
      return x;
    for (Value range : ranges)
      if (!matchPattern(range, m_Constant()))
        x = mul(x, b.createOrFold<arith::MinSIOp>(range, index(1)));
    return x;
  };
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = linalg.getMatchingIndexingMap(&operand);
    for (auto [i, expr] : llvm::enumerate(map.getResults())) {
      if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
        require(size(operand.get(), i), CheckRelation::Equal,
                loops[dim.getPosition()]);
        continue;
      }
      auto [least, greatest] = boundsOf(expr, ranges);
      require(constant(index(0), 0), CheckRelation::AtMost,
              {ofRuns(least), ("the least index " + Twine(i)).str()});
      require(
          {ofRuns(add(greatest, index(1))), ("the indices " + Twine(i)).str()},
          CheckRelation::AtMost, size(operand.get(), i));
    }
  }
}

void SizeRules::sameShape(ValueRange tensors) {
  Value first = tensors.front();
  auto result = cast<RankedTensorType>(op->getResult(0).getType());
  for (auto [i, said] : llvm::enumerate(result.getShape())) {
    for (Value other : tensors.drop_front())
      require(size(other, i), CheckRelation::Equal, size(first, i));
    if (ShapedType::isStatic(said))
      require(size(first, i), CheckRelation::Equal,
              constant(index(said), said));
  }
}

//===----------------------------------------------------------------------===//
// Ops of the tensor dialect
//===----------------------------------------------------------------------===//

void SizeRules::of(tensor::CastOp cast) {
  auto from = dyn_cast<RankedTensorType>(cast.getSource().getType()),
       to = dyn_cast<RankedTensorType>(cast.getType());
  if (!from || !to)
    return;
  for (auto [i, said] : llvm::enumerate(to.getShape()))
    if (from.isDynamicDim(i) && ShapedType::isStatic(said))
      require(size(cast.getSource(), i), CheckRelation::Equal,
              constant(index(said), said));
}

void SizeRules::of(tensor::ConcatOp concat) {
  Value first = concat.getInputs().front();
  int64_t along = concat.getDim();
  Value all = index(0);
  for (Value input : concat.getInputs()) {
    for (int64_t i = 0, e = concat.getRank(); i < e; ++i)
      if (i != along)
        require(size(input, i), CheckRelation::Equal, size(first, i));
    all = add(all, sizeOf(input, along));
  }
  for (auto [i, said] : llvm::enumerate(concat.getType().getShape()))
    if (ShapedType::isStatic(said))
      require(int64_t(i) == along ? NamedValue{all, "what is joined"}
                                  : size(first, i),
              CheckRelation::Equal, constant(index(said), said));
}

/// Of each dim of the source, that its parts have as many elements.
void SizeRules::of(tensor::ExpandShapeOp expand) {
  SmallVector<OpFoldResult> sizes = expand.getMixedOutputShape();
  for (auto [dim, parts] : llvm::enumerate(expand.getReassociationIndices())) {
    bool isStatic = !expand.getSrcType().isDynamicDim(dim);
    Value all = index(1);
    for (int64_t part : parts) {
      isStatic &= getConstantIntValue(sizes[part]).has_value();
      notNegative(sizes[part], "size " + Twine(part));
      all = mul(all, originOf(value(sizes[part])));
    }
    if (!isStatic) // Else the verifier's.
      require(size(expand.getSrc(), dim), CheckRelation::Equal,
              {all, "its parts"});
  }
}

/// A slice's part of dim `i`.
void SizeRules::inside(OpFoldResult offset, OpFoldResult size,
                       OpFoldResult stride, Value tensor, int64_t i) {
  notNegative(offset, "offset " + Twine(i));
  notNegative(size, "size " + Twine(i));
  notNegative(stride, "stride " + Twine(i));
  Value first = value(offset), count = originOf(value(size));
  NamedValue end{add(first, count),
                 ("offset " + Twine(i) + " + size " + Twine(i)).str()};
  if (std::optional<int64_t> by = getConstantIntValue(stride); by != 1) {
    Value reach = mul(sub(count, index(1)), value(stride));
    if (by && *by < 0) {
      require(constant(index(0), 0), CheckRelation::AtMost,
              {add(first, reach), ("the last index " + Twine(i)).str()});
      reach = index(0);
    }
    end = {add(add(first, reach), index(1)), ("the indices " + Twine(i)).str()};
  }
  require(end, CheckRelation::AtMost, this->size(tensor, i));
}

void SizeRules::of(tensor::ExtractSliceOp slice) {
  for (auto [i, offset, size, stride] :
       llvm::enumerate(slice.getMixedOffsets(), slice.getMixedSizes(),
                       slice.getMixedStrides()))
    inside(offset, size, stride, slice.getSource(), i);
}

template <typename OpTy>
void SizeRules::ofInsertion(OpTy insert) {
  SmallVector<OpFoldResult> sizes = insert.getMixedSizes();
  for (auto [i, offset, size, stride] : llvm::enumerate(
           insert.getMixedOffsets(), sizes, insert.getMixedStrides()))
    inside(offset, size, stride, insert.getDest(), i);
  for (auto [i, dim] :
       llvm::enumerate(keptDims(insert, insert.getDroppedDims())))
    require(size(insert.getSource(), i), CheckRelation::Equal,
            {originOf(value(sizes[dim])), ("size " + Twine(dim)).str()});
}

void SizeRules::of(tensor::PadOp pad) {
  for (auto [i, said, low, high] :
       llvm::enumerate(pad.getType().getShape(), pad.getMixedLowPad(),
                       pad.getMixedHighPad())) {
    notNegative(low, "low " + Twine(i));
    notNegative(high, "high " + Twine(i));
    if (ShapedType::isStatic(said))
      require({add(add(value(low), sizeOf(pad.getSource(), i)), value(high)),
               ("what is padded in dim " + Twine(i)).str()},
              CheckRelation::Equal, constant(index(said), said));
  }
}

/// The shape is data.
void SizeRules::of(tensor::ReshapeOp reshape) {
  auto from = dyn_cast<RankedTensorType>(reshape.getSource().getType()),
       to = dyn_cast<RankedTensorType>(reshape.getType());
  if (!from || !to)
    return;
  Value before = index(1), after = index(1);
  for (int64_t i = 0; i < from.getRank(); ++i)
    before = mul(before, sizeOf(reshape.getSource(), i));
  for (auto [i, said] : llvm::enumerate(to.getShape())) {
    Value size;
    if (ShapedType::isStatic(said)) {
      size = index(said);
    } else {
      size = tensor::ExtractOp::create(b, reshape.getShape(), index(i));
      size = b.createOrFold<arith::IndexCastOp>(b.getIndexType(), size);
      require(constant(index(0), 0), CheckRelation::AtMost,
              {size, ("size " + Twine(i)).str()});
    }
    after = mul(after, size);
  }
  require({after, "elements of the shape"}, CheckRelation::Equal,
          {before, "elements of " + nameOf(reshape.getSource())});
}

void SizeRules::inBounds(Value tensor, ValueRange indices) {
  for (auto [i, at] : llvm::enumerate(indices)) {
    notNegative(at, "index " + Twine(i));
    require({add(at, index(1)), ("index " + Twine(i) + " + 1").str()},
            CheckRelation::AtMost, size(tensor, i));
  }
}

namespace {
struct CheckSizes : unisparse::impl::UniSparseCheckSizesBase<CheckSizes> {
  void runOnOperation() override {
    DataFlowSolver ranges;
    dataflow::loadBaselineAnalyses(ranges);
    ranges.load<dataflow::IntegerRangeAnalysis>();
    if (failed(ranges.initializeAndRun(getOperation())))
      return signalPassFailure();
    DenseMap<std::pair<Value, int64_t>, Value> known;
    SmallVector<Operation *> ops;
    getOperation()->walk<WalkOrder::PreOrder>([&](Operation *op) {
      ops.push_back(op);
      // Bodies of ops on tensors compute elements.
      return isa<linalg::LinalgDialect, tensor::TensorDialect,
                 UniSparseDialect>(op->getDialect())
                 ? WalkResult::skip()
                 : WalkResult::advance();
    });
    for (Operation *op : ops)
      check(SizeRules(op, ranges, known));
  }

private:
  static void check(SizeRules rules) {
    llvm::TypeSwitch<Operation *>(rules.op)
        .Case<linalg::LinalgOp, tensor::CastOp, tensor::ConcatOp,
              tensor::ExpandShapeOp, tensor::ExtractSliceOp, tensor::PadOp,
              tensor::ReshapeOp>([&](auto op) { rules.of(op); })
        .Case<tensor::InsertSliceOp, tensor::ParallelInsertSliceOp>(
            [&](auto op) { rules.ofInsertion(op); })
        .Case([&](linalg::SoftmaxOp op) {
          rules.sameShape(tensorsAmong(op->getOperands()));
        })
        .Case([&](tensor::ExtractOp op) {
          rules.inBounds(op.getTensor(), op.getIndices());
        })
        .Case([&](tensor::InsertOp op) {
          rules.inBounds(op.getDest(), op.getIndices());
        })
        .Case([&](tensor::EmptyOp op) { rules.positive(op.getDynamicSizes()); })
        .Case([&](tensor::SplatOp op) { rules.positive(op.getDynamicSizes()); })
        .Case([&](tensor::GenerateOp op) {
          rules.positive(op.getDynamicExtents());
        })
        .Default([&](Operation *op) {
          if (isElementwise(op))
            rules.sameShape(tensorsAmong(op->getOperands()));
        });
  }
};
} // namespace
