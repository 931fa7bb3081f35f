// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Fragments and rows: elementwise, across a row, to memory.
#include "Layout.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

struct FillPattern : TilePattern<FillOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(FillOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<vector::BroadcastOp>(
        op, getTypeConverter()->convertType(op.getResult().getType()),
        adaptor.getValue());
    return success();
  }
};

struct MapPattern : TilePattern<MapOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(MapOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Thread t(rewriter, loc, warps);
    auto fragment = dyn_cast<FragmentType>(op.getResult().getType());
    int64_t columns = fragment ? fragment.getColumns() : 0;
    int64_t count =
        fragment ? elementsOf(fragment, warps)
                 : elementsOf(cast<RowsType>(op.getResult().getType()), warps);
    SmallVector<SmallVector<Value>> inputs;
    for (Value input : adaptor.getInputs())
      inputs.push_back(unpack(rewriter, loc, input));
    SmallVector<Value> elements;
    for (int64_t i = 0; i < count; ++i) {
      SmallVector<Value> arguments;
      if (op.getIndices() && fragment)
        arguments = {t.row(i, columns), t.column(i, columns)};
      else if (op.getIndices())
        arguments = {t.rowOfRows(i)};
      for (auto [input, values] : llvm::zip_equal(op.getInputs(), inputs)) {
        // Rows stand beside every column of a fragment.
        bool rows = fragment && isa<RowsType>(input.getType());
        int64_t at = rows ? i / (columns / 2) * 2 + (i / 2) % 2 : i;
        arguments.push_back(values[at]);
      }
      elements.push_back(cloneBody(rewriter, op, arguments));
    }
    rewriter.replaceOp(op, pack(rewriter, loc, elements));
    return success();
  }

  Value cloneBody(OpBuilder &b, MapOp op, ArrayRef<Value> arguments) const {
    Block &block = op.getBody().front();
    IRMapping mapping;
    mapping.map(block.getArguments(), arguments);
    for (Operation &inner : block.without_terminator())
      b.clone(inner, mapping);
    return mapping.lookupOrDefault(
        cast<YieldOp>(block.getTerminator()).getValues().front());
  }
};

struct ReducePattern : TilePattern<ReduceOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(ReduceOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Thread t(rewriter, loc, warps);
    FragmentType type = op.getFragment().getType();
    int64_t perPiece = type.getColumns() / 2;
    SmallVector<Value> elements = unpack(rewriter, loc, adaptor.getFragment());
    SmallVector<Value> init = unpack(rewriter, loc, adaptor.getInit()), results;
    for (int64_t entry = 0, n = init.size(); entry < n; ++entry) {
      int64_t first = entry / 2 * perPiece + (entry % 2) * 2;
      Value all;
      for (int64_t i = first; i < entry / 2 * perPiece + perPiece; i += 4)
        for (int64_t pair : {0, 1})
          all = all ? t.combine(op.getCombine(), all, elements[i + pair])
                    : elements[i + pair];
      // The four lanes of a quad hold the row's other columns.
      for (int64_t distance : {1, 2})
        all = t.combine(op.getCombine(), all, t.shuffle(all, distance));
      results.push_back(t.combine(op.getCombine(), init[entry], all));
    }
    rewriter.replaceOp(op, pack(rewriter, loc, results));
    return success();
  }
};

/// Elements 4 n to 4 n + 3 of a piece of rows are those of 8 columns.
struct FoldPattern : TilePattern<FoldOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(FoldOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    FragmentType type = op.getFragment().getType();
    int64_t perPiece = type.getColumns() / 2;
    SmallVector<Value> elements = unpack(rewriter, loc, adaptor.getFragment());
    SmallVector<Value> results;
    for (int64_t i = 0, n = elements.size(); i < n; ++i)
      if (i % perPiece < 4)
        results.push_back(elements[i]);
      else
        combineInto(rewriter, op, results[i / perPiece * 4 + i % 4],
                    elements[i]);
    rewriter.replaceOp(op, pack(rewriter, loc, results));
    return success();
  }

  void combineInto(OpBuilder &b, FoldOp op, Value &x, Value y) const {
    if (op.getCombine() == Combine::Max)
      x = arith::MaxNumFOp::create(b, op.getLoc(), x, y);
    else
      x = arith::AddFOp::create(b, op.getLoc(), x, y);
  }
};

struct AllBelowPattern : TilePattern<AllBelowOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(AllBelowOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Value mine;
    for (Value x : unpack(rewriter, loc, adaptor.getValue())) {
      Value below = arith::CmpFOp::create(
          rewriter, loc, arith::CmpFPredicate::OLT, x, adaptor.getBound());
      mine = mine ? arith::AndIOp::create(rewriter, loc, mine, below) : below;
    }
    Value everyone = arith::ConstantIntOp::create(rewriter, loc, -1, 32);
    rewriter.replaceOpWithNewOp<NVVM::VoteSyncOp>(
        op, rewriter.getI1Type(), everyone, mine, NVVM::VoteSyncKind::all);
    return success();
  }
};

struct BallotPattern : TilePattern<BallotOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(BallotOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Value everyone =
        arith::ConstantIntOp::create(rewriter, op.getLoc(), -1, 32);
    rewriter.replaceOpWithNewOp<NVVM::VoteSyncOp>(
        op, rewriter.getI32Type(), everyone, adaptor.getYes(),
        NVVM::VoteSyncKind::ballot);
    return success();
  }
};

struct StorePattern : TilePattern<StoreOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(StoreOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Thread t(rewriter, loc, warps);
    SmallVector<Value> elements = unpack(rewriter, loc, adaptor.getValue());
    auto fragment = dyn_cast<FragmentType>(op.getValue().getType());
    // Elements that share a row are stored under one test of the limit.
    int64_t columns = fragment ? fragment.getColumns() : 0;
    int64_t entries = fragment ? piecesOf(fragment.getRows(), warps) * 2
                               : static_cast<int64_t>(elements.size());
    for (int64_t entry = 0; entry < entries; ++entry) {
      Value row = t.add(adaptor.getRow(), t.rowOfRows(entry));
      auto inside = scf::IfOp::create(t.b, t.less(row, adaptor.getLimit()),
                                      /*withElseRegion=*/false);
      OpBuilder::InsertionGuard guard(t.b);
      t.b.setInsertionPointToStart(inside.thenBlock());
      if (!fragment) {
        storeAt(t, op, adaptor, row, Value(), elements[entry]);
        continue;
      }
      int64_t first = entry / 2 * (columns / 2) + (entry % 2) * 2;
      int64_t width = op.getWidth().value_or(columns);
      for (int64_t i = first; i < entry / 2 * (columns / 2) + columns / 2;
           i += 4) {
        Value column = t.column(i, columns);
        Value pair = pack(t.b, loc, {elements[i], elements[i + 1]});
        int64_t eight = (i / 4) % (columns / 8) * 8;
        if (eight + 8 <= width) {
          storeAt(t, op, adaptor, row, column, pair);
        } else if (eight < width) {
          auto some =
              scf::IfOp::create(t.b, t.less(column, t.i32(width)), false);
          OpBuilder::InsertionGuard inner(t.b);
          t.b.setInsertionPointToStart(some.thenBlock());
          storeAt(t, op, adaptor, row, column, pair);
        }
      }
    }
    rewriter.eraseOp(op);
    return success();
  }

  void storeAt(Thread &t, StoreOp op, OpAdaptor adaptor, Value row,
               Value column, Value value) const {
    Type i64 = t.b.getI64Type();
    Value at = arith::MulIOp::create(t.b, arith::ExtSIOp::create(t.b, i64, row),
                                     adaptor.getStride());
    if (column)
      at = arith::AddIOp::create(t.b, at,
                                 arith::ExtSIOp::create(t.b, i64, column));
    Value address = LLVM::GEPOp::create(
        t.b, adaptor.getTarget().getType(), getElementTypeOrSelf(value),
        adaptor.getTarget(), ArrayRef<LLVM::GEPArg>{at});
    LLVM::StoreOp::create(t.b, value, address);
  }
};

/// tanh as the instruction, where its relative error of 2^-11 is allowed (M4).
struct FastTanhPattern : OpConversionPattern<math::TanhOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(math::TanhOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    if (!op.getType().isF32() ||
        !bitEnumContainsAny(op.getFastmath(), arith::FastMathFlags::afn))
      return rewriter.notifyMatchFailure(op, "only f32 has an instruction, and "
                                             "only an approximate one");
    rewriter.replaceOpWithNewOp<LLVM::TanhOp>(op, op.getType(),
                                              adaptor.getOperand(),
                                              LLVM::FastmathFlags::afn);
    return success();
  }
};

/// exp and log of a modification (M5) by those of base 2.
struct ExpPattern : OpConversionPattern<math::ExpOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(math::ExpOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Value factor = arith::ConstantOp::create(
        rewriter, op.getLoc(),
        rewriter.getFloatAttr(op.getType(), 1.4426950408889634));
    Value x = arith::MulFOp::create(rewriter, op.getLoc(),
                                    adaptor.getOperand(), factor);
    rewriter.replaceOpWithNewOp<math::Exp2Op>(op, x);
    return success();
  }
};
struct LogPattern : OpConversionPattern<math::LogOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(math::LogOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Value x =
        math::Log2Op::create(rewriter, op.getLoc(), adaptor.getOperand());
    Value factor = arith::ConstantOp::create(
        rewriter, op.getLoc(),
        rewriter.getFloatAttr(op.getType(), 0.6931471805599453));
    rewriter.replaceOpWithNewOp<arith::MulFOp>(op, x, factor);
    return success();
  }
};

/// exp2 and log2 as the instructions of the special-function unit, not calls.
template <typename OpTy>
struct ApproxPattern : OpConversionPattern<OpTy> {
  ApproxPattern(MLIRContext *context, StringRef intrinsic)
      : OpConversionPattern<OpTy>(context), intrinsic(intrinsic) {}
  LogicalResult
  matchAndRewrite(OpTy op, typename OpTy::Adaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    if (!op.getType().isF32())
      return rewriter.notifyMatchFailure(op, "only f32 has an instruction");
    rewriter.replaceOpWithNewOp<LLVM::CallIntrinsicOp>(
        op, op.getType(), rewriter.getStringAttr(intrinsic),
        ValueRange{adaptor.getOperand()});
    return success();
  }
  StringRef intrinsic;
};

} // namespace

namespace {
struct SumGroupsPattern : TilePattern<SumGroupsOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(SumGroupsOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Thread t(rewriter, loc, warps);
    FragmentType type = op.getValue().getType();
    int64_t perPiece = type.getColumns() / 2, eights = op.getColumns() / 8,
            groups = type.getColumns() / op.getColumns();
    SmallVector<Value> elements = unpack(rewriter, loc, adaptor.getValue());
    // The thread's own part of group `g`, in the upper (half 0) or lower 8 rows
    // of a piece; null where there is none.
    auto own = [&](int64_t piece, int64_t half, int64_t g) -> Value {
      Value sum;
      for (int64_t n = g * eights; g < groups && n < (g + 1) * eights; ++n)
        for (int64_t pair : {0, 1}) {
          Value x = elements[piece * perPiece + 4 * n + 2 * half + pair];
          sum = sum ? t.combine(Combine::Add, sum, x) : x;
        }
      return sum;
    };
    Value mine = t.rem(t.lane(), 4);
    auto holds = [&](int64_t bit) -> Value {
      return arith::CmpIOp::create(t.b, arith::CmpIPredicate::ne,
                                   arith::AndIOp::create(t.b, mine, t.i32(bit)),
                                   t.i32(0));
    };
    Value odd = holds(1), upper = holds(2);
    Value none = arith::ConstantOp::create(t.b, t.b.getF32FloatAttr(0.0));
    // Of two sums keeps the one that is this lane's and gives the other away.
    auto trade = [&](Value second, Value x, Value y, int64_t distance) -> Value {
      if (!x && !y)
        return {};
      x = x ? x : none, y = y ? y : none;
      Value kept = arith::SelectOp::create(t.b, second, y, x),
            given = arith::SelectOp::create(t.b, second, x, y);
      return t.combine(Combine::Add, kept, t.shuffle(given, distance));
    };
    // Of each eight groups the four lanes that share a row get two neighbours
    // each, as columns of a fragment, in six shuffles.
    int64_t pieces = piecesOf(type.getRows(), warps),
            width = op.getResult().getType().getColumns() / 8;
    SmallVector<Value> results(pieces * width * 4);
    for (int64_t piece = 0; piece < pieces; ++piece)
      for (int64_t n = 0; n < width; ++n)
        for (int64_t half : {0, 1}) {
          Value four[4];
          for (int64_t i = 0; i < 4; ++i)
            four[i] = trade(upper, own(piece, half, 8 * n + i),
                            own(piece, half, 8 * n + 4 + i), 2);
          for (int64_t pair : {0, 1}) {
            Value sum = trade(odd, four[pair], four[2 + pair], 1);
            results[(piece * width + n) * 4 + 2 * half + pair] =
                sum ? sum : none;
          }
        }
    rewriter.replaceOp(op, pack(rewriter, loc, results));
    return success();
  }
};
} // namespace

void unisparse::unitile::populateFragmentPatterns(
    const TypeConverter &converter, RewritePatternSet &patterns, Warps warps) {
  patterns.add<FillPattern, MapPattern, ReducePattern, FoldPattern,
               AllBelowPattern, BallotPattern, StorePattern, SumGroupsPattern>(
      converter, patterns.getContext(), warps);
  patterns.add<ApproxPattern<math::Exp2Op>>(patterns.getContext(),
                                            "llvm.nvvm.ex2.approx.ftz.f");
  patterns.add<ApproxPattern<math::Log2Op>>(patterns.getContext(),
                                            "llvm.nvvm.lg2.approx.ftz.f");
  patterns.add<ExpPattern, LogPattern>(patterns.getContext());
  patterns.add<FastTanhPattern>(patterns.getContext(), /*benefit=*/2);
  populatePolynomialApproximateTanhPattern(patterns);
  math::populateExpansionPatterns(patterns, {"rsqrt"});
}
