// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The consumers' softmax: masks, references, exponentials and their sums.
#include "HopperPage.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

/// A sum of exponentials above this means that the reference is too low: 44
/// nats below a score for bf16. O is finite then for values of V up to 2^48 in
/// rows of up to 2^16 keys. P as f16 ends at 2^16.
static double sumBound(const AttendSpec &s) {
  return s.element.isF16() ? 0x1p15 : 0x1p64;
}
/// The reference where nothing was seen: finite, so that -inf minus it is -inf.
static constexpr double kLowest = -1e30;

Value HopperPage::times(Value x, Value y) {
  return map(x.getType(), {x, y}, [&](ValueRange e) -> Value {
    return arith::MulFOp::create(b, e[0], e[1]);
  });
}

Value HopperPage::plus(Value x, Value y) {
  return map(x.getType(), {x, y}, [&](ValueRange e) -> Value {
    return arith::AddFOp::create(b, e[0], e[1]);
  });
}

/// -inf where a key is behind the query's position (A1) or the end (P3).
Value HopperPage::mask(Value scores, const RowInfo &row, Value firstKey) {
  Value none = f32(-std::numeric_limits<double>::infinity());
  Value length = sub(row.kLength, firstKey);
  Value position = sub(add(firstPosition(row), i32(1)), firstKey);
  return map(
      scores.getType(), scores,
      [&](ValueRange e) {
        Value seen = length;
        if (s.causal)
          seen = min(length, add(position, e[0]));
        return select(less(e[1], seen), e[2], none);
      },
      /*indices=*/true);
}

Value HopperPage::maskWhereNeeded(Value scores, const RowInfo &row) {
  Value needed = compare(arith::CmpIPredicate::sgt, row.masked, i32(0));
  auto masked = scf::IfOp::create(b, TypeRange{scores.getType()}, needed, true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(masked.thenBlock());
  scf::YieldOp::create(b, mask(scores, row, mul(row.firstBlock, keyRows())));
  b.setInsertionPointToStart(masked.elseBlock());
  scf::YieldOp::create(b, scores);
  return masked.getResult(0);
}

Value HopperPage::firstReference(Value scores) {
  auto eight = fragment(8, b.getF32Type());
  Value own = FoldOp::create(b, eight, Combine::Max, scores);
  double lowest = -std::numeric_limits<double>::infinity();
  Value top = ReduceOp::create(b, Combine::Max, own, fill(lowest, rows()));
  return named("reference", map(rows(), top, [&](ValueRange e) -> Value {
                 Value scaled = arith::MulFOp::create(b, e[0], logScale());
                 return arith::MaxNumFOp::create(b, scaled, f32(kLowest));
               }));
}

/// P, rounded, and its sums over columns 8 apart.
std::pair<Value, Value> HopperPage::exponentials(Value scores,
                                                 Value reference) {
  Value p =
      map(scores.getType(), {scores, reference}, [&](ValueRange e) -> Value {
        Value down = arith::NegFOp::create(b, e[1]);
        return math::Exp2Op::create(
            b, math::FmaOp::create(b, e[0], logScale(), down));
      });
  Value sum = FoldOp::create(b, fragment(8, b.getF32Type()), Combine::Add, p);
  Value rounded =
      map(fragment(keyRows(), s.element), p, [&](ValueRange e) -> Value {
        return arith::TruncFOp::create(b, s.element, e[0]);
      });
  return {named("p", rounded), named("sum", sum)};
}

/// Moves the reference of rows whose scores exceed it, O and the sum with it.
/// With a speculative reference these are the rows whose own `sums` of this
/// block are out of bounds: what other rows of the warp hold, be they another
/// sequence's, changes no bit of a row.
void HopperPage::follow(Stream &x, Value scores, Value sums) {
  Value block = firstReference(scores), old = x.reference;
  if (sums) {
    Value top = ReduceOp::create(b, Combine::Max, sums, fill(0.0, rows()));
    x.reference = map(rows(), {old, block, top}, [&](ValueRange e) -> Value {
      Value fits = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, e[2],
                                         f32(sumBound(s)));
      return select(fits, e[0], e[1]);
    });
  } else {
    x.reference = map(rows(), {old, block}, [&](ValueRange e) -> Value {
      return arith::MaxNumFOp::create(b, e[0], e[1]);
    });
  }
  Value shrink = map(rows(), {old, x.reference}, [&](ValueRange e) -> Value {
    return math::Exp2Op::create(b, arith::SubFOp::create(b, e[0], e[1]));
  });
  x.output = times(x.output, shrink);
  x.sum = times(x.sum, shrink);
}

/// P of this block and its part of the sum.
void HopperPage::takeExponentials(Step kind, Stream &x, Value scores) {
  bool checks =
      schedule.getReference() == Reference::Speculative && kind != Step::NewRow;
  if (!checks && kind != Step::NewRow)
    follow(x, scores, Value());
  auto [p, sum] = exponentials(scores, x.reference);
  if (!checks) {
    x.probabilities = p;
    x.sum = kind == Step::NewRow ? sum : plus(x.sum, sum);
    return;
  }
  Value fits = AllBelowOp::create(b, sum, f32(sumBound(s)));
  fits = LLVM::ExpectOp::create(b, fits, flag(true));
  SmallVector<Value> usual{p, sum, x.reference, x.output, x.sum};
  auto taken = scf::IfOp::create(b, ValueRange(usual).getTypes(), fits, true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(taken.thenBlock());
    scf::YieldOp::create(b, usual);
    b.setInsertionPointToStart(taken.elseBlock());
    Stream again = x;
    follow(again, scores, sum);
    auto [p2, sum2] = exponentials(scores, again.reference);
    scf::YieldOp::create(
        b, ValueRange{p2, sum2, again.reference, again.output, again.sum});
  }
  x.probabilities = taken.getResult(0);
  x.reference = taken.getResult(2);
  x.output = taken.getResult(3);
  x.sum = plus(taken.getResult(4), taken.getResult(1));
}
