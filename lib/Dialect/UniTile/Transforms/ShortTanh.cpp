// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// An approximate tanh of small arguments as a polynomial, for every second
// group of columns. A Hopper SM takes 16 special functions a clock and 4096
// products of wgmma: a 128x128 block of head_dim 128 has 2048 clocks of
// products and 1024 of exponentials, and with a tanh each for as many logits
// the special-function unit would be as busy as the tensor cores. The
// polynomial takes issue slots instead, five of a logit with what asks for its
// size. Neither alone is fastest: of either for all logits, or by halves,
// halves are (benchmarks/NOTES.md). Unless exponentials need no branch.
#include "mlir/Dialect/Math/IR/Math.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"
#include <cmath>

namespace unisparse {
#define GEN_PASS_DEF_UNITILESHORTTANH
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// tanh(x) = x (c0 + c1 x^2 + c2 x^4) for |x| < kSmall: the minimax odd
/// polynomial of its degree, of a relative error of 2.15e-4, which is below the
/// 2^-12 = 2.44e-4 that M4's 2^-11 leaves room for twice.
constexpr double kSmall = 0.75;
constexpr double kCoefficients[] = {0.9997851997342162, -0.3262967178211811,
                                    0.09735547430573448};
/// Columns with this bit have the polynomial: of a warpgroup's fragments a
/// thread knows the bit when it is compiled, and consecutive instructions share
/// a kind.
constexpr int64_t kColumns = 8;
/// Scales whose fifth power, and the square of what they make small, f32 has.
constexpr double kLeastScale = 0x1p-15, kMostScale = 0x1p15;

/// A map whose body has tanh(scale * x) of its one argument x.
struct ShortTanh {
  MapOp map;
  math::TanhOp tanh;
  arith::MulFOp product;
  double scale;

  static std::optional<ShortTanh> of(MapOp map);
  void rewrite();

private:
  Value copy(PageBuilder &p,
             function_ref<Value(Value x, Value isShort)> tanhOf);
  Value approximate(PageBuilder &p, Value x);
  Value polynomial(PageBuilder &p, Value x, Value square);
};

} // namespace

std::optional<ShortTanh> ShortTanh::of(MapOp map) {
  auto type = dyn_cast<FragmentType>(map.getResult().getType());
  if (!type || !type.getElementType().isF32() || map.getIndices() ||
      map.getInputs().size() != 1 || map.getInputs()[0].getType() != type)
    return {};
  auto ops = map.getBody().front().getOps<math::TanhOp>();
  if (!llvm::hasSingleElement(ops))
    return {};
  math::TanhOp tanh = *ops.begin();
  if (!bitEnumContainsAny(tanh.getFastmath(), arith::FastMathFlags::afn))
    return {};
  auto product = tanh.getOperand().getDefiningOp<arith::MulFOp>();
  FloatAttr scale;
  if (!product || !product->hasOneUse() ||
      product.getLhs() != map.getBody().getArgument(0) ||
      !matchPattern(product.getRhs(), m_Constant(&scale)))
    return {};
  double size = std::abs(scale.getValueAsDouble());
  if (size < kLeastScale || size > kMostScale)
    return {};
  return ShortTanh{map, tanh, product, scale.getValueAsDouble()};
}

/// Whether a column has the polynomial.
static Value isShort(PageBuilder &p, Value column) {
  return arith::CmpIOp::create(
      p.b, arith::CmpIPredicate::ne,
      arith::AndIOp::create(p.b, column, p.i32(kColumns)), p.i32(0));
}

/// The map with something else in place of tanh(scale * x), made of x.
Value ShortTanh::copy(PageBuilder &p,
                      function_ref<Value(Value x, Value isShort)> tanhOf) {
  auto body = [&](ValueRange e) -> Value {
    Value x = e[2];
    IRMapping mapping;
    Block &body = map.getBody().front();
    mapping.map(body.getArgument(0), x);
    for (Operation &op : body.without_terminator()) {
      if (&op == product)
        continue;
      if (&op == tanh)
        mapping.map(tanh.getResult(), tanhOf(x, isShort(p, e[1])));
      else
        p.b.clone(op, mapping);
    }
    return mapping.lookupOrDefault(body.getTerminator()->getOperand(0));
  };
  return p.map(map.getType(), map.getInputs(), body, /*indices=*/true);
}

/// By the special-function unit.
Value ShortTanh::approximate(PageBuilder &p, Value x) {
  Value scaled = arith::MulFOp::create(p.b, x, p.f32(scale));
  return math::TanhOp::create(p.b, scaled, tanh.getFastmathAttr());
}

/// Of x, the scale in the coefficients.
Value ShortTanh::polynomial(PageBuilder &p, Value x, Value square) {
  Value sum;
  for (int power = std::size(kCoefficients) - 1; power >= 0; --power) {
    Value c = p.f32(kCoefficients[power] * std::pow(scale, 2 * power + 1));
    sum = sum ? math::FmaOp::create(p.b, sum, square, c).getResult() : c;
  }
  return arith::MulFOp::create(p.b, x, sum);
}

void ShortTanh::rewrite() {
  PageBuilder p(map.getLoc(), OpBuilder(map));
  auto type = cast<FragmentType>(map.getType());
  double bound = kSmall / std::abs(scale);
  auto sizeOf = [&](ValueRange e) -> Value {
    return p.select(isShort(p, e[1]), math::AbsFOp::create(p.b, e[2]),
                    p.f32(0.0));
  };
  Value sizes = p.map(type, map.getInputs(), sizeOf, /*indices=*/true);
  Value largest =
      FoldOp::create(p.b, p.fragment(type.getRows(), 8, type.getElementType()),
                     Combine::Max, sizes);
  Value small = AllBelowOp::create(p.b, largest, p.f32(bound));
  small = LLVM::ExpectOp::create(p.b, small, p.isTrue(true));
  // Chosen element by element, so that what a row's neighbours hold changes no
  // bit of it (A5).
  auto ofSmall = [&](Value x, Value isShort) -> Value {
    Value y = polynomial(p, x, arith::MulFOp::create(p.b, x, x));
    return p.select(isShort, y, approximate(p, x));
  };
  auto ofAny = [&](Value x, Value isShort) -> Value {
    Value is =
        arith::CmpFOp::create(p.b, arith::CmpFPredicate::OLT,
                              math::AbsFOp::create(p.b, x), p.f32(bound));
    // The same number by another op: of one that both branches had LLVM
    // would keep as many as there are elements across the branch.
    Value square = math::FmaOp::create(p.b, x, x, p.f32(0.0));
    Value y = polynomial(p, x, square);
    return p.select(arith::AndIOp::create(p.b, isShort, is), y,
                    approximate(p, x));
  };
  Value result = p.ifElse(
      small, [&]() -> SmallVector<Value> { return {copy(p, ofSmall)}; },
      [&]() -> SmallVector<Value> { return {copy(p, ofAny)}; })[0];
  map.replaceAllUsesWith(result);
  map.erase();
}

/// Whether all exponentials are of a settled reference, in one piece with what
/// stands around them.
static bool isSettled(PartitionsOp partitions) {
  bool takes = false, steps = false;
  partitions.walk([&](Operation *op) {
    takes |= isa<ExponentialsOp>(op);
    steps |= isa<SoftmaxOp>(op);
  });
  return takes && !steps;
}

namespace {
struct ShortTanhPass : unisparse::impl::UniTileShortTanhBase<ShortTanhPass> {
  void runOnOperation() override {
    SmallVector<ShortTanh> found;
    getOperation().walk([&](PartitionsOp partitions) {
      // A branch costs such a loop more than it saves of special functions
      // (benchmarks/NOTES.md).
      if (isSettled(partitions))
        return;
      partitions.walk([&](MapOp map) {
        if (std::optional<ShortTanh> tanh = ShortTanh::of(map))
          found.push_back(*tanh);
      });
    });
    for (ShortTanh &tanh : found)
      tanh.rewrite();
  }
};
} // namespace
