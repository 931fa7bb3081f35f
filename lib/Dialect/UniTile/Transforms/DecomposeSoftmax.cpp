// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The online softmax in maps, folds and reductions: masks, references,
// exponentials and their sums.
#include "mlir/Dialect/Math/IR/Math.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>
#include <limits>

namespace unisparse {
#define GEN_PASS_DEF_UNITILEDECOMPOSESOFTMAX
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// The reference where nothing was seen: finite, so that -inf minus it is -inf.
constexpr double kLowest = -1e30;

/// A sum of exponentials above this means that the reference is too low: 44
/// nats below a score for bf16. O is finite then for values of V up to 2^48 in
/// rows of up to 2^16 keys. P as f16 ends at 2^16.
double sumBound(Type probability) {
  return probability.isF16() ? 0x1p15 : 0x1p64;
}

struct Softmax {
  explicit Softmax(Operation *op) : p(op->getLoc(), OpBuilder(op)), b(p.b) {}

  Value mask(MaskOp op);
  Value reference(Value scores, double scale);
  Value settle(Value top, double least);
  Value keep(Value old, Value first);
  std::pair<Value, Value> exponentials(Value scores, double scale,
                                       Value reference, Type type);
  /// What a step carries and gives.
  struct State {
    Value probabilities, reference, sum, output;
  };
  /// `isModified`: more than masks was done to the logits.
  State step(SoftmaxOp op, bool isModified);
  /// As many sums as probabilities, in their place.
  State step(SoftmaxSumsOp op);
  Value inverse(InverseOp op);
  Value lse(LseOp op);

private:
  Value times(Value x, Value y) {
    return p.map(x.getType(), {x, y}, [&](ValueRange e) -> Value {
      return arith::MulFOp::create(b, e[0], e[1]);
    });
  }
  Value plus(Value x, Value y) {
    return p.map(x.getType(), {x, y}, [&](ValueRange e) -> Value {
      return arith::AddFOp::create(b, e[0], e[1]);
    });
  }
  Value logScale(double scale) { return p.f32(scale * M_LOG2E); }
  Value hidden(MaskOp op);
  void follow(State &x, Value scores, double scale, Value sums, Type type);
  State speculate(SoftmaxOp op, State x, bool isModified);
  Value powers(Value scores, double scale, Value reference);
  Value groupSums(SoftmaxSumsOp op, Value reference);
  Value folded(Value fragment);

  PageBuilder p;
  ImplicitLocOpBuilder &b;
};

} // namespace

/// -inf where a key is behind what the query sees (A1, S2) or the limit (P3),
/// or before what it sees (M2); the last key's own weight (S1).
Value Softmax::hidden(MaskOp op) {
  Value none = p.f32(-kInfinity);
  Value length = p.sub(op.getLimit(), op.getKey()), position;
  bool bounded = static_cast<bool>(op.getBounds());
  SmallVector<Value> inputs{op.getScores()};
  if (bounded) {
    // Both are below 2^24, exact in f32, as is their difference.
    Value key = p.toFloat(op.getKey());
    inputs.push_back(p.map(op.getBounds().getType(), op.getBounds(),
                           [&](ValueRange e) -> Value {
                             return arith::SubFOp::create(b, e[0], key);
                           }));
  } else if (op.getPosition()) {
    position = p.sub(p.add(op.getPosition(), p.i32(1)), op.getKey());
  }
  Value last = op.getLast() ? p.sub(length, 1) : Value();
  Value from = op.getFrom() ? p.sub(op.getFrom(), op.getKey()) : Value();
  return p.map(
      op.getScores().getType(), inputs,
      [&](ValueRange e) {
        Value seen = length, x = e[2];
        if (position)
          seen = p.min(length, p.add(position, e[0]));
        seen = p.less(e[1], seen);
        if (from)
          seen = p.both(seen, p.compare(arith::CmpIPredicate::sge, e[1],
                                        p.add(from, e[0])));
        if (bounded)
          seen =
              p.both(seen, arith::CmpFOp::create(b, arith::CmpFPredicate::OLT,
                                                 p.toFloat(e[1]), e[3]));
        if (last)
          x = p.select(p.compare(arith::CmpIPredicate::eq, e[1], last),
                       arith::AddFOp::create(b, x, op.getLast()), x);
        return p.select(seen, x, none);
      },
      /*indices=*/true);
}

Value Softmax::mask(MaskOp op) {
  if (!op.getWhen())
    return hidden(op);
  return p.ifElse(
      op.getWhen(), [&]() -> SmallVector<Value> { return {hidden(op)}; },
      [&]() -> SmallVector<Value> { return {op.getScores()}; })[0];
}

Value Softmax::reference(Value scores, double scale) {
  int64_t rows = cast<FragmentType>(scores.getType()).getRows();
  auto eight = p.fragment(rows, 8, b.getF32Type());
  Value own = FoldOp::create(b, eight, Combine::Max, scores);
  Value top =
      ReduceOp::create(b, Combine::Max, own, p.fill(-kInfinity, p.rows(rows)));
  return p.map(p.rows(rows), top, [&](ValueRange e) -> Value {
    Value scaled = arith::MulFOp::create(b, e[0], logScale(scale));
    return arith::MaxNumFOp::create(b, scaled, p.f32(kLowest));
  });
}

/// From `least` to 1 above it, a whole number from `top`; where a row has seen
/// nothing `least`, as all numbers of that size are whole.
Value Softmax::settle(Value top, double least) {
  return p.map(top.getType(), top, [&](ValueRange e) -> Value {
    Value above = arith::SubFOp::create(b, e[0], p.f32(least));
    Value part =
        arith::SubFOp::create(b, above, math::FloorOp::create(b, above));
    return arith::AddFOp::create(b, part, p.f32(least));
  });
}

/// The reference that a row has, or its first.
Value Softmax::keep(Value old, Value first) {
  return p.map(old.getType(), {old, first}, [&](ValueRange e) -> Value {
    Value none = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, e[0],
                                       p.f32(kLowest));
    return p.select(none, e[1], e[0]);
  });
}

Value Softmax::powers(Value scores, double scale, Value reference) {
  return p.map(scores.getType(), {scores, reference},
               [&](ValueRange e) -> Value {
                 Value down = arith::NegFOp::create(b, e[1]);
                 return math::Exp2Op::create(
                     b, math::FmaOp::create(b, e[0], logScale(scale), down));
               });
}

/// P, rounded, and its sums over columns 8 apart.
std::pair<Value, Value> Softmax::exponentials(Value scores, double scale,
                                              Value reference, Type type) {
  auto rounded = cast<FragmentType>(type);
  Value powers = this->powers(scores, scale, reference);
  Value sum =
      FoldOp::create(b, p.fragment(rounded.getRows(), 8, b.getF32Type()),
                     Combine::Add, powers);
  if (rounded.getElementType().isF32())
    return {powers, sum};
  Value narrow = p.map(rounded, powers, [&](ValueRange e) -> Value {
    return arith::TruncFOp::create(b, rounded.getElementType(), e[0]);
  });
  return {narrow, sum};
}

/// Moves the reference of rows whose scores exceed it, O and the sum with it.
/// With a speculative reference these are the rows whose own `sums` of this
/// step are out of bounds: what other rows of the warp hold, be they another
/// sequence's, changes no bit of a row.
void Softmax::follow(State &x, Value scores, double scale, Value sums,
                     Type type) {
  Value block = reference(scores, scale), old = x.reference;
  auto rows = cast<RowsType>(old.getType());
  if (sums) {
    Value top = ReduceOp::create(b, Combine::Max, sums, p.fill(0.0, rows));
    double bound = sumBound(cast<FragmentType>(type).getElementType());
    x.reference = p.map(rows, {old, block, top}, [&](ValueRange e) -> Value {
      Value fits = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, e[2],
                                         p.f32(bound));
      return p.select(fits, e[0], e[1]);
    });
  } else {
    x.reference = p.map(rows, {old, block}, [&](ValueRange e) -> Value {
      return arith::MaxNumFOp::create(b, e[0], e[1]);
    });
  }
  Value shrink = p.map(rows, {old, x.reference}, [&](ValueRange e) -> Value {
    return math::Exp2Op::create(b, arith::SubFOp::create(b, e[0], e[1]));
  });
  if (x.output)
    x.output = times(x.output, shrink);
  x.sum = times(x.sum, shrink);
}

Softmax::State Softmax::speculate(SoftmaxOp op, State x, bool isModified) {
  double scale = op.getScale().convertToDouble();
  Type type = op.getProbabilities().getType();
  auto [first, sum] = exponentials(op.getScores(), scale, x.reference, type);
  double bound = sumBound(cast<FragmentType>(type).getElementType());
  Value fits = AllBelowOp::create(b, sum, p.f32(bound));
  // Out of the loop with what hardly ever happens (unitile-split-rare-steps),
  // but where more is done to a logit: such a loop gains nothing, and under
  // ALiBi loses 3% (benchmarks/NOTES.md).
  if (!isModified)
    fits = LLVM::ExpectOp::create(b, fits, p.isTrue(true));
  SmallVector<Value> usual{first, sum, x.reference, x.output, x.sum};
  SmallVector<Value> taken = p.ifElse(
      fits, [&] { return usual; },
      [&, sums = sum]() -> SmallVector<Value> {
        State again = x;
        follow(again, op.getScores(), scale, sums, type);
        auto [second, sum2] =
            exponentials(op.getScores(), scale, again.reference, type);
        return {second, sum2, again.reference, again.output, again.sum};
      });
  return {taken[0], taken[2], plus(taken[4], taken[1]), taken[3]};
}

Softmax::State Softmax::step(SoftmaxOp op, bool isModified) {
  State x{Value(), op.getOldReference(), op.getOldSum(), op.getOldOutput()};
  if (op.getSpeculative())
    return speculate(op, x, isModified);
  double scale = op.getScale().convertToDouble();
  Type type = op.getProbabilities().getType();
  if (std::optional<APFloat> settled = op.getSettled())
    x.reference = keep(x.reference, settle(reference(op.getScores(), scale),
                                           settled->convertToDouble()));
  else
    follow(x, op.getScores(), scale, Value(), type);
  auto [probabilities, sum] =
      exponentials(op.getScores(), scale, x.reference, type);
  x.probabilities = probabilities;
  x.sum = isa<RowsType>(x.sum.getType())
              ? Value(ReduceOp::create(b, Combine::Add, sum, x.sum))
              : plus(x.sum, sum);
  return x;
}

Value Softmax::groupSums(SoftmaxSumsOp op, Value reference) {
  Value all =
      powers(op.getScores(), op.getScale().convertToDouble(), reference);
  return SumGroupsOp::create(b, op.getSums().getType(), all, op.getColumns());
}

/// Over columns 8 apart.
Value Softmax::folded(Value fragment) {
  auto type = cast<FragmentType>(fragment.getType());
  if (type.getColumns() == 8)
    return fragment;
  return FoldOp::create(b, p.fragment(type.getRows(), 8, b.getF32Type()),
                        Combine::Add, fragment);
}

Softmax::State Softmax::step(SoftmaxSumsOp op) {
  State x{Value(), op.getOldReference(), op.getOldSum(), Value()};
  double scale = op.getScale().convertToDouble();
  Type type = op.getScores().getType();
  if (!op.getSpeculative()) {
    follow(x, op.getScores(), scale, Value(), type);
    x.probabilities = groupSums(op, x.reference);
    x.sum =
        isa<RowsType>(x.sum.getType())
            ? Value(ReduceOp::create(b, Combine::Add, x.probabilities, x.sum))
            : plus(x.sum, folded(x.probabilities));
    return x;
  }
  Value first = groupSums(op, x.reference);
  double bound = sumBound(cast<FragmentType>(type).getElementType());
  Value fits = AllBelowOp::create(b, first, p.f32(bound));
  fits = LLVM::ExpectOp::create(b, fits, p.isTrue(true));
  SmallVector<Value> usual{first, x.reference, x.sum};
  SmallVector<Value> taken = p.ifElse(
      fits, [&] { return usual; },
      [&]() -> SmallVector<Value> {
        State again = x;
        follow(again, op.getScores(), scale, first, type);
        return {groupSums(op, again.reference), again.reference, again.sum};
      });
  return {taken[0], taken[1], plus(taken[2], folded(taken[0])), Value()};
}

Value Softmax::inverse(InverseOp op) {
  auto fast = op.getExact()
                  ? arith::FastMathFlags::none
                  : arith::FastMathFlags::arcp | arith::FastMathFlags::afn;
  return p.map(op.getType(), op.getSum(), [&](ValueRange e) -> Value {
    Value blind =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, e[0], p.f32(0.0));
    return p.select(blind, p.f32(0.0),
                    arith::DivFOp::create(b, p.f32(1.0), e[0], fast));
  });
}

Value Softmax::lse(LseOp op) {
  auto natural = [&](ValueRange e) -> Value {
    Value log = arith::AddFOp::create(b, e[0], math::Log2Op::create(b, e[1]));
    return arith::MulFOp::create(b, log, p.f32(M_LN2));
  };
  return p.map(op.getType(), {op.getReference(), op.getSum()}, natural);
}

namespace {
struct DecomposeSoftmax
    : unisparse::impl::UniTileDecomposeSoftmaxBase<DecomposeSoftmax> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    // Of masks nothing is left to see when a step's turn comes.
    llvm::SmallPtrSet<Operation *, 4> modified;
    getOperation().walk([&](SoftmaxOp op) {
      Value logits = op.getScores();
      while (auto mask = logits.getDefiningOp<MaskOp>())
        logits = mask.getScores();
      if (!logits.getDefiningOp<MmaWaitOp>())
        modified.insert(op);
    });
    getOperation().walk([&](Operation *op) {
      if (isa<MaskOp, SoftmaxOp, SoftmaxSumsOp, ReferenceOp, ExponentialsOp,
              InverseOp, LseOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      Softmax softmax(op);
      SmallVector<Value> results =
          llvm::TypeSwitch<Operation *, SmallVector<Value>>(op)
              .Case([&](MaskOp mask) -> SmallVector<Value> {
                return {softmax.mask(mask)};
              })
              .Case([&](SoftmaxOp step) -> SmallVector<Value> {
                Softmax::State x = softmax.step(step, modified.contains(op));
                return {x.probabilities, x.reference, x.sum, x.output};
              })
              .Case([&](SoftmaxSumsOp step) -> SmallVector<Value> {
                Softmax::State x = softmax.step(step);
                return {x.probabilities, x.reference, x.sum};
              })
              .Case([&](ReferenceOp op) -> SmallVector<Value> {
                Value top = softmax.reference(op.getScores(),
                                              op.getScale().convertToDouble());
                if (std::optional<APFloat> settled = op.getSettled())
                  top = softmax.settle(top, settled->convertToDouble());
                return {top};
              })
              .Case([&](ExponentialsOp op) -> SmallVector<Value> {
                auto [p, sum] = softmax.exponentials(
                    op.getScores(), op.getScale().convertToDouble(),
                    op.getReference(), op.getProbabilities().getType());
                return {p, sum};
              })
              .Case([&](InverseOp op) -> SmallVector<Value> {
                return {softmax.inverse(op)};
              })
              .Case([&](LseOp op) -> SmallVector<Value> {
                return {softmax.lse(op)};
              });
      op->replaceAllUsesWith(results);
      op->erase();
    }
  }
};
} // namespace
