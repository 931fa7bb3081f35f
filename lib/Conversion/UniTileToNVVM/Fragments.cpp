// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Fragments and rows: elementwise, across a row, to memory.
#include "Layout.h"
#include "Positions.h"
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
    bool fragment = isa<FragmentType>(op.getResult().getType());
    Held held(op.getResult().getType(), warps);
    SmallVector<SmallVector<Value>> inputs;
    for (Value input : adaptor.getInputs())
      inputs.push_back(unpack(rewriter, loc, input));
    ConvertedPositions positions(op);
    if (!positions.empty()) {
      SmallVector<Value> indices{t.row(held.layout, 0)};
      if (fragment)
        indices.push_back(t.column(held.layout, 0));
      positions.convert(rewriter, indices);
    }
    SmallVector<Value> elements;
    for (auto [i, place] : llvm::enumerate(held.elements)) {
      SmallVector<Value> arguments;
      if (op.getIndices())
        arguments = {t.row(held.layout, place.row)};
      if (op.getIndices() && fragment)
        arguments.push_back(t.column(held.layout, place.column));
      for (auto [input, values] : llvm::zip_equal(op.getInputs(), inputs)) {
        // Rows stand beside every column of a fragment.
        bool rows = fragment && isa<RowsType>(input.getType());
        arguments.push_back(values[rows ? held.rowNumbers[i] : i]);
      }
      elements.push_back(cloneBody(rewriter, op, arguments, positions, place));
    }
    rewriter.replaceOp(op, pack(rewriter, loc, elements));
    return success();
  }

  Value cloneBody(OpBuilder &b, MapOp op, ArrayRef<Value> arguments,
                  const ConvertedPositions &positions, Position place) const {
    Block &block = op.getBody().front();
    IRMapping mapping;
    mapping.map(block.getArguments(), arguments);
    for (Operation &inner : block.without_terminator()) {
      if (Value converted = positions.at(b, inner, place))
        mapping.map(inner.getResult(0), converted);
      else
        b.clone(inner, mapping);
    }
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
    Held held(op.getFragment().getType(), warps);
    SmallVector<Value> elements = unpack(rewriter, loc, adaptor.getFragment());
    SmallVector<Value> init = unpack(rewriter, loc, adaptor.getInit()), results;
    for (auto [row, start] : llvm::enumerate(init)) {
      Value all;
      for (int64_t i : held.elementsOf(row))
        all = all ? t.combine(op.getCombine(), all, elements[i]) : elements[i];
      // Other lanes hold the row's other columns.
      for (int64_t distance : held.layout.getRowLanes())
        all = t.combine(op.getCombine(), all, t.shuffle(all, distance));
      results.push_back(t.combine(op.getCombine(), start, all));
    }
    rewriter.replaceOp(op, pack(rewriter, loc, results));
    return success();
  }
};

/// All eights of columns are held alike: no lane asks another.
struct FoldPattern : TilePattern<FoldOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(FoldOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Held from(op.getFragment().getType(), warps);
    Held to(op.getResult().getType(), warps);
    SmallVector<Value> elements = unpack(rewriter, loc, adaptor.getFragment());
    SmallVector<Value> results(to.size());
    for (auto [place, element] : llvm::zip_equal(from.elements, elements)) {
      Value &result = results[to.at({place.row, place.column % 8})];
      if (result)
        combineInto(rewriter, op, result, element);
      else
        result = element;
    }
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
    rewriter.replaceOpWithNewOp<NVVM::VoteSyncOp>(op, rewriter.getI32Type(),
                                                  everyone, adaptor.getYes(),
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
    Held held(op.getValue().getType(), warps);
    // Elements that share a row are stored under one test of the limit.
    for (auto [entry, offset] : llvm::enumerate(held.rows)) {
      Value row = t.add(adaptor.getRow(), t.row(held.layout, offset));
      auto inside = scf::IfOp::create(t.b, t.less(row, adaptor.getLimit()),
                                      /*withElseRegion=*/false);
      OpBuilder::InsertionGuard guard(t.b);
      t.b.setInsertionPointToStart(inside.thenBlock());
      if (!fragment) {
        storeAt(t, op, adaptor, row, Value(), elements[entry]);
        continue;
      }
      int64_t width = op.getWidth().value_or(fragment.getColumns());
      for (int64_t i : held.elementsOf(entry)) {
        if (i % 2) // Goes with its neighbour.
          continue;
        Value column = t.column(held.layout, held.elements[i].column);
        Value pair = pack(t.b, loc, {elements[i], elements[i + 1]});
        int64_t eight = held.elements[i].column / 8 * 8;
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
    rewriter.replaceOpWithNewOp<LLVM::TanhOp>(
        op, op.getType(), adaptor.getOperand(), LLVM::FastmathFlags::afn);
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
    Value x = arith::MulFOp::create(rewriter, op.getLoc(), adaptor.getOperand(),
                                    factor);
    rewriter.replaceOpWithNewOp<math::Exp2Op>(op, x);
    return success();
  }
};
struct LogPattern : OpConversionPattern<math::LogOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult
  matchAndRewrite(math::LogOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Value x = math::Log2Op::create(rewriter, op.getLoc(), adaptor.getOperand());
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
    Held from(op.getValue().getType(), warps);
    Held to(op.getResult().getType(), warps);
    SmallVector<Value> elements = unpack(rewriter, loc, adaptor.getValue());
    // The thread's own part of group `g` of a row; null where there is none.
    auto own = [&](int64_t row, int64_t g) -> Value {
      Value sum;
      for (int64_t i : from.elementsOf(row))
        if (from.elements[i].column / op.getColumns() == g)
          sum = sum ? t.combine(Combine::Add, sum, elements[i]) : elements[i];
      return sum;
    };
    // Which of two a lane keeps, for each bit by which lanes of a row differ.
    SmallVector<int64_t> bits = from.layout.getRowLanes();
    // The bits above the last are not asked for.
    Value mine = bits.empty() ? Value() : t.rem(t.lane(), 2 * bits.back());
    SmallVector<Value> seconds;
    for (int64_t bit : bits)
      seconds.push_back(arith::CmpIOp::create(
          t.b, arith::CmpIPredicate::ne,
          arith::AndIOp::create(t.b, mine, t.i32(bit)), t.i32(0)));
    Value none = arith::ConstantOp::create(t.b, t.b.getF32FloatAttr(0.0));
    // Of two sums keeps the one that is this lane's and gives the other away.
    auto trade = [&](size_t bit, Value x, Value y) -> Value {
      if (!x && !y)
        return {};
      x = x ? x : none, y = y ? y : none;
      Value kept = arith::SelectOp::create(t.b, seconds[bit], y, x),
            given = arith::SelectOp::create(t.b, seconds[bit], x, y);
      return t.combine(Combine::Add, kept, t.shuffle(given, bits[bit]));
    };
    // Of eight groups each lane of a row gets its own, as columns of the
    // result: every bit halves what is left, so four lanes trade six times.
    auto sumsOf = [&](int64_t row, int64_t first) {
      SmallVector<Value> sums, next;
      auto sum = [&](int64_t i) {
        return sums.empty() ? own(row, first + i) : sums[i];
      };
      int64_t width = 8;
      for (size_t bit = bits.size(); bit-- > 0; sums = next) {
        width /= 2;
        next.clear();
        for (int64_t i = 0; i < width; ++i) {
          Value x = sum(i);
          next.push_back(trade(bit, x, sum(i + width)));
        }
      }
      return llvm::map_to_vector(llvm::seq(width), sum);
    };
    SmallVector<Value> results(to.size());
    for (auto [i, place] : llvm::enumerate(to.elements)) {
      if (results[i])
        continue;
      int64_t first = place.column / 8 * 8;
      for (auto [column, sum] :
           llvm::enumerate(sumsOf(to.rowNumbers[i], first)))
        results[to.at({place.row, first + int64_t(column)})] = sum ? sum : none;
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
