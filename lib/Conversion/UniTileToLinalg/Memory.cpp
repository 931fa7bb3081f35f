// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Rows of memory to tensors and back, row after row, so that what is behind an
// end is not touched (P3).
#include "PopulatePatterns.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "unisparse/Dialect/UniTile/Utils/ExpandLocate.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// Rows [row, min(row + rows, limit)) of what a memref holds for a batch and a
/// head.
struct RowLoop {
  RowLoop(OpBuilder &builder, Location loc, int64_t rows, Value batch,
          Value head, Value row, Value limit)
      : p(loc, builder), b(p.b), first(index(row)),
        lead{index(batch), index(head)},
        count(index(p.min(p.sub(limit, row), p.i32(rows)))) {}

  Value index(Value i) {
    return arith::IndexCastOp::create(b, b.getIndexType(), i);
  }
  Value constant(int64_t i) { return arith::ConstantIndexOp::create(b, i); }
  /// `body` gets each row of the tile and its place in memory.
  SmallVector<Value>
  rows(ValueRange inits,
       function_ref<SmallVector<Value>(Value, SmallVector<Value>, ValueRange)>
           body) {
    return loop(count, inits, [&](Value r, ValueRange carried) {
      SmallVector<Value> place(lead);
      place.push_back(arith::AddIOp::create(b, first, r));
      return body(r, place, carried);
    });
  }
  SmallVector<Value>
  loop(Value end, ValueRange inits,
       function_ref<SmallVector<Value>(Value, ValueRange)> body) {
    auto emit = [&](OpBuilder &inner, Location, Value i, ValueRange carried) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(inner.getInsertionBlock(), inner.getInsertionPoint());
      scf::YieldOp::create(b, body(i, carried));
    };
    return scf::ForOp::create(b, constant(0), end, constant(1), inits, emit)
        .getResults();
  }

  PageBuilder p;
  ImplicitLocOpBuilder &b;
  Value first;
  SmallVector<Value> lead;
  Value count;
};

struct FetchPattern : OpConversionPattern<FetchOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(FetchOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    TileType tile = op.getTile().getType();
    RowLoop x(rewriter, op.getLoc(), tile.getRows(), adaptor.getBatch(),
              adaptor.getHead(), adaptor.getRow(), adaptor.getLimit());
    // Rows behind the limit, and columns behind the matrix's.
    Value zero = arith::ConstantOp::create(
        x.b, x.b.getFloatAttr(tile.getElementType(), 0.0));
    Value zeros = tensor::EmptyOp::create(
        x.b, ArrayRef<int64_t>{tile.getRows(), tile.getColumns()},
        tile.getElementType());
    zeros = linalg::FillOp::create(x.b, zero, zeros).getResult(0);
    Value columns = x.constant(op.getSource().getType().getDimSize(3));
    // Some rows of the source, then some of zeros.
    int64_t take = op.getTake().value_or(1), of = op.getOf().value_or(1);
    if (take != of)
      x.count = arith::MinSIOp::create(x.b, x.count,
                                       x.constant(tile.getRows() / of * take));
    rewriter.replaceOp(op, x.rows(zeros, [&](Value r, SmallVector<Value> place,
                                             ValueRange rows) {
      if (take != of) {
        Value block = arith::DivUIOp::create(x.b, r, x.constant(take));
        r = arith::AddIOp::create(
            x.b, r, arith::MulIOp::create(x.b, block, x.constant(of - take)));
      }
      return x.loop(columns, rows, [&](Value c, ValueRange row) {
        place.push_back(c);
        Value element = memref::LoadOp::create(x.b, adaptor.getSource(), place);
        return SmallVector<Value>{
            tensor::InsertOp::create(x.b, element, row[0], ValueRange{r, c})};
      });
    }));
    return success();
  }
};

struct PutPattern : OpConversionPattern<PutOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(PutOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    auto type = cast<RankedTensorType>(adaptor.getValue().getType());
    RowLoop x(rewriter, op.getLoc(), type.getDimSize(0), adaptor.getBatch(),
              adaptor.getHead(), adaptor.getRow(), adaptor.getLimit());
    auto store = [&](ValueRange at, ValueRange place) {
      Value element = tensor::ExtractOp::create(x.b, adaptor.getValue(), at);
      memref::StoreOp::create(x.b, element, adaptor.getTarget(), place);
    };
    x.rows({}, [&](Value r, SmallVector<Value> place, ValueRange) {
      if (type.getRank() == 1) {
        store(r, place);
        return SmallVector<Value>();
      }
      Value columns = x.constant(op.getTarget().getType().getDimSize(3));
      return x.loop(columns, {}, [&](Value c, ValueRange) {
        place.push_back(c);
        store({r, c}, place);
        return SmallVector<Value>();
      });
    });
    rewriter.eraseOp(op);
    return success();
  }
};

struct LocatePattern : OpConversionPattern<LocateOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(LocateOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    PageBuilder p(op.getLoc(), rewriter);
    rewriter.replaceOp(op, expandLocate(p, op));
    return success();
  }
};

} // namespace

void unisparse::unitile::populateMemoryPatterns(const TypeConverter &converter,
                                                RewritePatternSet &patterns) {
  patterns.add<FetchPattern, PutPattern, LocatePattern>(converter,
                                                        patterns.getContext());
}
