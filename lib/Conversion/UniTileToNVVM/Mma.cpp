// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Products of 16 bits: ldmatrix and mma.sync m16n8k16, on every chip from sm_80
// on.
#include "Layout.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// Four words of a fragment that are the A operand for 16 rows and 16 columns:
/// pairs of neighbours, in the fragment's own order.
SmallVector<Value> operandA(OpBuilder &b, Location loc,
                            ArrayRef<Value> elements, int64_t first,
                            Type element) {
  SmallVector<Value> words;
  for (int64_t i = 0; i < 4; ++i) {
    Value pair =
        pack(b, loc, {elements[first + 2 * i], elements[first + 2 * i + 1]});
    // mma takes f16 as pairs, bf16 as words.
    words.push_back(element.isF16() ? pair
                                    : LLVM::BitcastOp::create(
                                          b, loc, b.getI32Type(), pair));
  }
  return words;
}

Value asOperand(OpBuilder &b, Location loc, Value word, Type element) {
  if (!element.isF16())
    return word;
  return LLVM::BitcastOp::create(b, loc, VectorType::get({2}, element), word);
}

struct LoadPattern : TilePattern<LoadOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(LoadOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Thread t(rewriter, loc, warps);
    SharedType tile = op.getTile().getType();
    if (tile.getElementType().isF32())
      return rewriter.notifyMatchFailure(op, "f32 has a pattern of its own");
    Value base = t.stage(adaptor.getTile(), tile, adaptor.getStage());
    Value warpRow = t.mul(t.warp(), 16);
    auto pairType = VectorType::get({2}, tile.getElementType());
    SmallVector<Value> elements;
    for (int64_t piece = 0; piece < piecesOf(tile.getRows(), warps); ++piece)
      for (int64_t k = 0; k < tile.getColumns(); k += 16)
        for (Value word : t.loadMatrices(
                 base, tile, warpRow, piece * 16 * warps, k, /*downFirst=*/true,
                 /*transpose=*/false)) {
          Value pair = LLVM::BitcastOp::create(rewriter, loc, pairType, word);
          llvm::append_range(elements, unpack(rewriter, loc, pair));
        }
    rewriter.replaceOp(op, pack(rewriter, loc, elements));
    return success();
  }
};

struct MmaPattern : TilePattern<MmaOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(MmaOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Thread t(rewriter, loc, warps);
    FragmentType a = op.getA().getType(), acc = op.getAcc().getType();
    SharedType tile = op.getB().getType();
    Type element = a.getElementType();
    if (element.isF32())
      return rewriter.notifyMatchFailure(op, "f32 has a pattern of its own");
    NVVM::MMATypes kind =
        element.isF16() ? NVVM::MMATypes::f16 : NVVM::MMATypes::bf16;
    int64_t pieces = piecesOf(a.getRows(), warps);
    SmallVector<Value> as = unpack(rewriter, loc, adaptor.getA()),
                       sums = unpack(rewriter, loc, adaptor.getAcc());
    Value base = t.stage(adaptor.getB(), tile, adaptor.getStage());
    Value zero = t.i32(0);
    for (int64_t k = 0; k < a.getColumns(); k += 16) {
      SmallVector<SmallVector<Value>> operands;
      for (int64_t piece = 0; piece < pieces; ++piece)
        operands.push_back(operandA(
            rewriter, loc, as, piece * a.getColumns() / 2 + k / 2, element));
      for (int64_t n = 0; n < acc.getColumns(); n += 16) {
        // (k, n), (k + 8, n), (k, n + 8), (k + 8, n + 8)
        SmallVector<Value> words =
            op.getByRows()
                ? t.loadMatrices(base, tile, zero, k, n, /*downFirst=*/true,
                                 /*transpose=*/true)
                : t.loadMatrices(base, tile, zero, n, k, /*downFirst=*/false,
                                 /*transpose=*/false);
        for (Value &word : words)
          word = asOperand(rewriter, loc, word, element);
        for (int64_t half = 0; half < 2 && n + 8 * half < acc.getColumns();
             ++half)
          for (int64_t piece = 0; piece < pieces; ++piece)
            multiply(rewriter, loc, operands[piece],
                     {words[2 * half], words[2 * half + 1]}, kind,
                     MutableArrayRef<Value>(sums).slice(
                         piece * acc.getColumns() / 2 + (n + 8 * half) / 2, 4));
      }
    }
    rewriter.replaceOp(op, pack(rewriter, loc, sums));
    return success();
  }
};

} // namespace

void unisparse::unitile::multiply(OpBuilder &b, Location loc, ArrayRef<Value> a,
                                  ArrayRef<Value> words, NVVM::MMATypes kind,
                                  MutableArrayRef<Value> sums) {
  Type f32 = b.getF32Type();
  auto type =
      LLVM::LLVMStructType::getLiteral(b.getContext(), {f32, f32, f32, f32});
  int64_t k = kind == NVVM::MMATypes::tf32 ? 8 : 16;
  Value product = NVVM::MmaOp::create(
      b, loc, type, a, words, ValueRange(sums), ArrayRef<int64_t>{16, 8, k},
      /*b1Op=*/std::nullopt, /*intOverflow=*/std::nullopt,
      std::array<NVVM::MMATypes, 2>{kind, kind},
      std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row,
                                     NVVM::MMALayout::col});
  for (auto [i, sum] : llvm::enumerate(sums))
    sum = LLVM::ExtractValueOp::create(b, loc, product, i);
}

void unisparse::unitile::populateMmaPatterns(const TypeConverter &converter,
                                             RewritePatternSet &patterns,
                                             int64_t warps) {
  patterns.add<LoadPattern, MmaPattern>(converter, patterns.getContext(),
                                        warps);
}
