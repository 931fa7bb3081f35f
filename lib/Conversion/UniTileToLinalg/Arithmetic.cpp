// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Arithmetic on fragments and rows: linalg on tensors of their shapes.
#include "PopulatePatterns.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include <limits>

using namespace mlir;
using namespace unisparse::unitile;

using mlir::utils::IteratorType;

namespace {

Value emptyOf(OpBuilder &b, Location loc, RankedTensorType type) {
  return tensor::EmptyOp::create(b, loc, type.getShape(),
                                 type.getElementType());
}

Value filled(OpBuilder &b, Location loc, RankedTensorType type, Value value) {
  return linalg::FillOp::create(b, loc, value, emptyOf(b, loc, type))
      .getResult(0);
}

Value filled(OpBuilder &b, Location loc, RankedTensorType type, double value) {
  Value constant = arith::ConstantOp::create(
      b, loc, b.getFloatAttr(type.getElementType(), value));
  return filled(b, loc, type, constant);
}

/// As the tile level has it on GPUs: the larger number, NaN only of NaNs.
Value combine(OpBuilder &b, Location loc, Combine how, Value x, Value y) {
  if (how == Combine::Max)
    return arith::MaxNumFOp::create(b, loc, x, y);
  return arith::AddFOp::create(b, loc, x, y);
}

/// A pattern whose result is one tensor.
template <typename OpTy>
struct TensorPattern : OpConversionPattern<OpTy> {
  using OpConversionPattern<OpTy>::OpConversionPattern;
  RankedTensorType resultType(OpTy op) const {
    return cast<RankedTensorType>(
        this->getTypeConverter()->convertType(op.getResult().getType()));
  }
};

struct FillPattern : TensorPattern<FillOp> {
  using TensorPattern::TensorPattern;
  LogicalResult
  matchAndRewrite(FillOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOp(
        op, filled(rewriter, op.getLoc(), resultType(op), adaptor.getValue()));
    return success();
  }
};

struct MapPattern : TensorPattern<MapOp> {
  using TensorPattern::TensorPattern;
  LogicalResult
  matchAndRewrite(MapOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    RankedTensorType type = resultType(op);
    int64_t rank = type.getRank();
    // Rows stand beside every column of a fragment.
    SmallVector<AffineMap> maps;
    for (Value input : adaptor.getInputs())
      maps.push_back(rewriter.getMultiDimIdentityMap(rank).getMajorSubMap(
          cast<RankedTensorType>(input.getType()).getRank()));
    maps.push_back(rewriter.getMultiDimIdentityMap(rank));
    auto write = [&](OpBuilder &b, Location loc, ValueRange elements) {
      SmallVector<Value> arguments;
      for (int64_t i = 0; op.getIndices() && i < rank; ++i)
        arguments.push_back(arith::IndexCastOp::create(
            b, loc, b.getI32Type(), linalg::IndexOp::create(b, loc, i)));
      llvm::append_range(arguments, elements.drop_back());
      Block &body = op.getBody().front();
      IRMapping mapping;
      mapping.map(body.getArguments(), arguments);
      for (Operation &inner : body.without_terminator())
        b.clone(inner, mapping);
      linalg::YieldOp::create(
          b, loc, mapping.lookupOrDefault(body.getTerminator()->getOperand(0)));
    };
    rewriter.replaceOpWithNewOp<linalg::GenericOp>(
        op, type, adaptor.getInputs(), emptyOf(rewriter, op.getLoc(), type),
        maps, SmallVector<IteratorType>(rank, IteratorType::parallel), write);
    return success();
  }
};

/// `init` combined with what `from` holds along `dim`.
Value reduced(OpBuilder &b, Location loc, Combine how, Value from, Value init,
              int64_t dim) {
  return linalg::ReduceOp::create(
             b, loc, from, init, dim,
             [&](OpBuilder &b, Location loc, ValueRange e) {
               linalg::YieldOp::create(b, loc,
                                       combine(b, loc, how, e[0], e[1]));
             })
      .getResult(0);
}

struct ReducePattern : TensorPattern<ReduceOp> {
  using TensorPattern::TensorPattern;
  LogicalResult
  matchAndRewrite(ReduceOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOp(op, reduced(rewriter, op.getLoc(), op.getCombine(),
                                   adaptor.getFragment(), adaptor.getInit(),
                                   /*dim=*/1));
    return success();
  }
};

struct FoldPattern : TensorPattern<FoldOp> {
  using TensorPattern::TensorPattern;
  LogicalResult
  matchAndRewrite(FoldOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    RankedTensorType type = resultType(op);
    FragmentType from = op.getFragment().getType();
    double neutral = op.getCombine() == Combine::Max
                         ? -std::numeric_limits<double>::infinity()
                         : 0.0;
    auto split = RankedTensorType::get(
        {from.getRows(), from.getColumns() / 8, 8}, type.getElementType());
    SmallVector<ReassociationIndices> dims{{0}, {1, 2}};
    Value eights = tensor::ExpandShapeOp::create(rewriter, loc, split,
                                                 adaptor.getFragment(), dims);
    rewriter.replaceOp(op, reduced(rewriter, loc, op.getCombine(), eights,
                                   filled(rewriter, loc, type, neutral),
                                   /*dim=*/1));
    return success();
  }
};

struct SumGroupsPattern : TensorPattern<SumGroupsOp> {
  using TensorPattern::TensorPattern;
  LogicalResult
  matchAndRewrite(SumGroupsOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    RankedTensorType type = resultType(op);
    FragmentType from = op.getValue().getType();
    int64_t columns = op.getColumns(), groups = from.getColumns() / columns;
    auto split = RankedTensorType::get({from.getRows(), groups, columns},
                                       type.getElementType());
    SmallVector<ReassociationIndices> dims{{0}, {1, 2}};
    Value parts = tensor::ExpandShapeOp::create(rewriter, loc, split,
                                                adaptor.getValue(), dims);
    auto sums =
        RankedTensorType::get({from.getRows(), groups}, type.getElementType());
    Value result = reduced(rewriter, loc, Combine::Add, parts,
                           filled(rewriter, loc, sums, 0.0), /*dim=*/2);
    // No group: 0.
    if (groups != type.getDimSize(1)) {
      auto at = [&](int64_t i) -> OpFoldResult {
        return rewriter.getIndexAttr(i);
      };
      result = tensor::InsertSliceOp::create(
          rewriter, loc, result, filled(rewriter, loc, type, 0.0),
          ArrayRef<OpFoldResult>{at(0), at(0)},
          ArrayRef<OpFoldResult>{at(from.getRows()), at(groups)},
          ArrayRef<OpFoldResult>{at(1), at(1)});
    }
    rewriter.replaceOp(op, result);
    return success();
  }
};

/// What warps hold is for a schedule to say; here all rows are one warp's.
struct AllBelowPattern : OpConversionPattern<AllBelowOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(AllBelowOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    int64_t rank =
        cast<RankedTensorType>(adaptor.getValue().getType()).getRank();
    Value yes = arith::ConstantIntOp::create(rewriter, loc, 1, 1);
    Value init = filled(rewriter, loc,
                        RankedTensorType::get({}, rewriter.getI1Type()), yes);
    auto all = linalg::GenericOp::create(
        rewriter, loc, init.getType(), adaptor.getValue(), init,
        ArrayRef<AffineMap>{rewriter.getMultiDimIdentityMap(rank),
                            AffineMap::get(rank, 0, rewriter.getContext())},
        SmallVector<IteratorType>(rank, IteratorType::reduction),
        [&](OpBuilder &b, Location loc, ValueRange e) {
          Value below = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT,
                                              e[0], adaptor.getBound());
          linalg::YieldOp::create(
              b, loc, ValueRange{arith::AndIOp::create(b, loc, below, e[1])});
        });
    rewriter.replaceOpWithNewOp<tensor::ExtractOp>(op, all.getResult(0),
                                                   ValueRange{});
    return success();
  }
};

/// A product of narrow elements is linalg.matmul's own: it extends them to
/// acc's type.
struct DotPattern : TensorPattern<DotOp> {
  using TensorPattern::TensorPattern;
  LogicalResult
  matchAndRewrite(DotOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    RankedTensorType type = resultType(op);
    Value acc = adaptor.getAcc();
    if (!acc)
      acc = filled(rewriter, loc, type, 0.0);
    AffineExpr m, n, k;
    bindDims(op.getContext(), m, n, k);
    auto map = [&](AffineExpr row, AffineExpr column) {
      return AffineMapAttr::get(
          AffineMap::get(3, 0, {row, column}, op.getContext()));
    };
    auto product = linalg::MatmulOp::create(
        rewriter, loc, type, ValueRange{adaptor.getA(), adaptor.getB()},
        ValueRange{acc});
    if (!op.getByRows())
      product.setIndexingMapsAttr(
          rewriter.getArrayAttr({map(m, k), map(n, k), map(m, n)}));
    rewriter.replaceOp(op, product);
    return success();
  }
};

} // namespace

void unisparse::unitile::populateArithmeticPatterns(
    const TypeConverter &converter, RewritePatternSet &patterns) {
  patterns.add<FillPattern, MapPattern, ReducePattern, FoldPattern,
               SumGroupsPattern, AllBelowPattern, DotPattern>(
      converter, patterns.getContext());
}
