// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Products of f32 by mma.sync m16n8k8 on tf32, on every chip from sm_80 on: an
// element is the sum of two tf32, and three of the four products count.
#include "Layout.h"
#include "llvm/ADT/FloatingPointMode.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// Columns that tensor cores add up before the sum is rounded in f32: they cut
/// off bits at every step, always towards zero, which a long sum would show.
/// Fewer columns are no more accurate; more take registers for a, and attention
/// of head_dim 64 spills from 32 on.
constexpr int64_t kRun = 16;

/// Operands of one mma.sync, in two parts.
struct Parts {
  SmallVector<Value> big, small;
};

Parts split(Thread &t, ArrayRef<Value> elements) {
  auto round = [&](Value x) {
    return NVVM::ConvertFloatToTF32Op::create(t.b, t.b.getI32Type(), x,
                                              NVVM::FPRoundingMode::RNA);
  };
  Parts parts;
  for (Value x : elements) {
    parts.big.push_back(round(x));
    // The 13 bits that tf32 does not have are nobody's; here they would count.
    Value bits = arith::AndIOp::create(t.b, parts.big.back(), t.i32(-0x2000));
    Value big = LLVM::BitcastOp::create(t.b, t.b.getF32Type(), bits);
    parts.small.push_back(round(arith::SubFOp::create(t.b, x, big)));
  }
  return parts;
}

/// `x`, through an empty piece of assembly: a fragment that a loop does not
/// change (Q) would be split before the loop and take three times its registers
/// through all of it.
Value pinned(Thread &t, Value x) {
  return LLVM::InlineAsmOp::create(
             t.b, x.getType(), x, /*asm_string=*/"", /*constraints=*/"=f,0",
             /*has_side_effects=*/true, /*is_align_stack=*/false,
             LLVM::TailCallKind::None, LLVM::AsmDialectAttr(), ArrayAttr())
      .getResult(0);
}

/// Two neighbouring columns of a row as scalars: what ldmatrix would give.
SmallVector<Value> loadPair(Thread &t, Value base, SharedType tile, int64_t row,
                            int64_t column) {
  Value pair =
      t.loadF32(VectorType::get({2}, t.b.getF32Type()), base, tile, row,
                t.div(t.lane(), 4), column, t.mul(t.rem(t.lane(), 4), 2));
  return unpack(t.b, t.b.getLoc(), pair);
}

struct LoadF32Pattern : TilePattern<LoadOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(LoadOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    SharedType tile = op.getTile().getType();
    if (!tile.getElementType().isF32())
      return rewriter.notifyMatchFailure(op, "expected f32");
    Held held(op.getResult().getType(), warps);
    Thread t(rewriter, op.getLoc(), warps);
    Value base = t.advance(t.stage(adaptor.getTile(), tile, adaptor.getStage()),
                           t.mul(t.warp(), held.layout.getWarpRows() * 128));
    SmallVector<Value> elements(held.size());
    for (int64_t row : held.matrixRows())
      for (int64_t column = 0; column < tile.getColumns(); column += 8)
        for (int64_t half : {0, 8})
          llvm::copy(loadPair(t, base, tile, row + half, column),
                     elements.begin() + held.at({row + half, column}));
    rewriter.replaceOp(op, pack(rewriter, op.getLoc(), elements));
    return success();
  }
};

struct MmaF32Pattern : TilePattern<MmaOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(MmaOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    FragmentType a = op.getA().getType(), acc = op.getAcc().getType();
    auto atom = dyn_cast_if_present<Mma3xTF32Attr>(op.getAtomAttr());
    if (!atom)
      return rewriter.notifyMatchFailure(op, "expected #unitile.mma_3xtf32");
    Location loc = op.getLoc();
    Thread t(rewriter, loc, warps);
    Held ofA(a, warps), ofSums(acc, warps);
    int64_t rows = ofSums.layout.getWarpRows() * warps;
    SmallVector<Value> as = unpack(rewriter, loc, adaptor.getA()),
                       sums = unpack(rewriter, loc, adaptor.getAcc());
    Value base =
        t.stage(adaptor.getB(), op.getB().getType(), adaptor.getStage());
    for (int64_t k = 0; k < a.getColumns(); k += kRun) {
      int64_t end = std::min(k + kRun, a.getColumns());
      SmallVector<SmallVector<Parts>> runs(a.getRows() / rows);
      for (int64_t row = 0; row < a.getRows(); row += rows)
        for (int64_t step = k; step < end; step += atom.getK())
          runs[row / rows].push_back(operandA(t, ofA, as, {row, step}));
      for (int64_t n = 0; n < acc.getColumns(); n += 8) {
        SmallVector<Parts> run;
        for (int64_t step = k; step < end; step += atom.getK())
          run.push_back(operandB(t, op, base, step, n));
        for (int64_t row = 0; row < a.getRows(); row += rows)
          addRun(t, runs[row / rows], run, sums, sumsAt(ofSums, {row, n}));
      }
    }
    rewriter.replaceOp(op, pack(rewriter, loc, sums));
    return success();
  }

  /// 16 rows and 8 columns of a: a lane's left neighbours play column l % 4,
  /// the right ones l % 4 + 4.
  Parts operandA(Thread &t, const Held &held, ArrayRef<Value> elements,
                 Position place) const {
    SmallVector<Value> own;
    for (int64_t right : {0, 1})
      for (int64_t down : {0, 8})
        own.push_back(pinned(
            t, elements[held.at({place.row + down, place.column + right})]));
    return split(t, own);
  }

  /// 8 columns of a meet 8 of acc: the pair of b that plays k = l % 4 and
  /// l % 4 + 4 as in a.
  Parts operandB(Thread &t, MmaOp op, Value base, int64_t k, int64_t n) const {
    SharedType tile = op.getB().getType();
    if (!op.getByRows())
      return split(t, loadPair(t, base, tile, n, k));
    SmallVector<Value> pair;
    for (int64_t odd : {0, 1})
      pair.push_back(t.loadF32(t.b.getF32Type(), base, tile, k,
                               t.add(t.mul(t.rem(t.lane(), 4), 2), odd), n,
                               t.div(t.lane(), 4)));
    return split(t, pair);
  }

  /// Four of sums += a run of a times a run of b.
  void addRun(Thread &t, ArrayRef<Parts> as, ArrayRef<Parts> bs,
              MutableArrayRef<Value> sums, ArrayRef<int64_t> numbers) const {
    Location loc = t.b.getLoc();
    Value zero = arith::ConstantOp::create(t.b, t.b.getF32FloatAttr(0.0));
    SmallVector<Value> main(4, zero), rest(4, zero);
    for (auto [a, b] : llvm::zip_equal(as, bs)) {
      multiply(t.b, loc, a.small, b.big, NVVM::MMATypes::tf32, rest);
      multiply(t.b, loc, a.big, b.small, NVVM::MMATypes::tf32, rest);
      multiply(t.b, loc, a.big, b.big, NVVM::MMATypes::tf32, main);
    }
    for (auto [number, x, y] : llvm::zip_equal(numbers, main, rest)) {
      // An infinite element has a small part of NaN.
      Value finite =
          LLVM::IsFPClass::create(t.b, t.b.getI1Type(), x, llvm::fcFinite);
      Value all = arith::SelectOp::create(t.b, finite,
                                          arith::AddFOp::create(t.b, x, y), x);
      sums[number] = arith::AddFOp::create(t.b, sums[number], all);
    }
  }
};

} // namespace

void unisparse::unitile::populateMmaF32Patterns(const TypeConverter &converter,
                                                RewritePatternSet &patterns,
                                                Warps warps) {
  patterns.add<LoadF32Pattern, MmaF32Pattern>(converter, patterns.getContext(),
                                              warps);
}
