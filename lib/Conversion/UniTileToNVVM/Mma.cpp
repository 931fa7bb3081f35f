// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Products of 16 bits: ldmatrix and mma.sync m16n8k16, on every chip from sm_80
// on.
#include "Layout.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// Four words that are the A operand for 16 rows and 16 columns from `place`
/// on: pairs of neighbours, first those below each other.
SmallVector<Value> operandA(OpBuilder &b, Location loc, const Held &held,
                            ArrayRef<Value> elements, Position place,
                            Type element) {
  SmallVector<Value> words;
  for (Position matrix : matricesAt(place)) {
    int64_t at = held.at(matrix);
    Value pair = pack(b, loc, {elements[at], elements[at + 1]});
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
    Held held(op.getResult().getType(), warps);
    Value base = t.stage(adaptor.getTile(), tile, adaptor.getStage());
    Value warpRow = t.mul(t.warp(), held.layout.getWarpRows());
    auto pairType = VectorType::get({2}, tile.getElementType());
    SmallVector<Value> elements(held.size());
    for (int64_t row : held.matrixRows())
      for (int64_t k = 0; k < tile.getColumns(); k += 16)
        for (auto [word, matrix] : llvm::zip_equal(
                 t.loadMatrices(base, tile, warpRow, row, k, /*downFirst=*/true,
                                /*transpose=*/false),
                 matricesAt({row, k}))) {
          Value pair = LLVM::BitcastOp::create(rewriter, loc, pairType, word);
          llvm::copy(unpack(rewriter, loc, pair),
                     elements.begin() + held.at(matrix));
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
    auto atom = dyn_cast_if_present<MmaSyncAttr>(op.getAtomAttr());
    if (!atom)
      return rewriter.notifyMatchFailure(op, "expected #unitile.mma_sync");
    NVVM::MMATypes kind =
        element.isF16() ? NVVM::MMATypes::f16 : NVVM::MMATypes::bf16;
    Held ofA(a, warps), ofSums(acc, warps);
    SmallVector<Value> as = unpack(rewriter, loc, adaptor.getA()),
                       sums = unpack(rewriter, loc, adaptor.getAcc());
    Value base = t.stage(adaptor.getB(), tile, adaptor.getStage());
    Value zero = t.i32(0);
    int64_t step = ofSums.layout.getWarpRows() * warps; // Of rows.
    for (int64_t k = 0; k < a.getColumns(); k += atom.getK()) {
      SmallVector<SmallVector<Value>> operands;
      for (int64_t row = 0; row < a.getRows(); row += step)
        operands.push_back(operandA(rewriter, loc, ofA, as, {row, k}, element));
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
          for (int64_t row = 0; row < a.getRows(); row += step)
            multiply(rewriter, loc, operands[row / step],
                     {words[2 * half], words[2 * half + 1]}, kind, sums,
                     sumsAt(ofSums, {row, n + 8 * half}));
      }
    }
    rewriter.replaceOp(op, pack(rewriter, loc, sums));
    return success();
  }
};

} // namespace

void unisparse::unitile::multiply(OpBuilder &b, Location loc, ArrayRef<Value> a,
                                  ArrayRef<Value> words, NVVM::MMATypes kind,
                                  MutableArrayRef<Value> sums,
                                  ArrayRef<int64_t> numbers) {
  Type f32 = b.getF32Type();
  auto type =
      LLVM::LLVMStructType::getLiteral(b.getContext(), {f32, f32, f32, f32});
  int64_t k = kind == NVVM::MMATypes::tf32 ? 8 : 16;
  auto those = llvm::map_to_vector(numbers, [&](int64_t i) { return sums[i]; });
  Value product = NVVM::MmaOp::create(
      b, loc, type, a, words, those, ArrayRef<int64_t>{16, 8, k},
      /*b1Op=*/std::nullopt, /*intOverflow=*/std::nullopt,
      std::array<NVVM::MMATypes, 2>{kind, kind},
      std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row,
                                     NVVM::MMALayout::col});
  for (auto [i, number] : llvm::enumerate(numbers))
    sums[number] = LLVM::ExtractValueOp::create(b, loc, product, i);
}

SmallVector<int64_t> unisparse::unitile::sumsAt(const Held &held,
                                                Position place) {
  SmallVector<int64_t> numbers;
  for (int64_t down : {0, 8})
    for (int64_t right : {0, 1})
      numbers.push_back(held.at({place.row + down, place.column + right}));
  return numbers;
}

void unisparse::unitile::populateMmaPatterns(const TypeConverter &converter,
                                             RewritePatternSet &patterns,
                                             Warps warps) {
  patterns.add<LoadPattern, MmaPattern>(converter, patterns.getContext(),
                                        warps);
}
