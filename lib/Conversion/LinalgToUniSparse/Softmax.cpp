// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Softmax: the division, the exponentials, their sum and the maximum.
#include "Matcher.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <limits>

using namespace mlir;
using namespace unisparse::raise;

/// `select(every logit of the row is -inf, 0, p)`.
LogicalResult Matcher::guard(const Term &term) {
  if (term.kind != Term::Leaf)
    return refuse("expected nothing between softmax and the product with v");
  const Scope *scope = t.enterReduction(term.element, a.key);
  std::optional<Term> each =
      scope ? reducedBy<arith::AndIOp>(t, scope) : std::nullopt;
  auto compare = each ? each->dyn<arith::CmpFOp>() : arith::CmpFOp();
  if (!compare || compare.getPredicate() != arith::CmpFPredicate::OEQ ||
      t.operand(*each, 1).number() !=
          -std::numeric_limits<double>::infinity() ||
      !startsAt(t, scope->op, [](double start) { return start != 0; }))
    return refuse("expected a select between softmax and the product with v to "
                  "guard rows whose logits are all -inf");
  if (!t.equal(t.withoutCasts(t.operand(*each, 0)), x))
    return refuse(
        "expected the select behind softmax to look at its own logits");
  return success();
}

LogicalResult Matcher::softmax(const Term &exp, const Term &sum) {
  if (!exp.dyn<math::ExpOp>())
    return refuse("expected softmax's numerator to be exp(x - max)");
  Term difference = t.withoutCasts(t.operand(exp, 0));
  if (!difference.dyn<arith::SubFOp>())
    return refuse("expected softmax's numerator to be exp(x - max)");
  x = t.withoutCasts(t.operand(difference, 0));
  Term max = t.withoutCasts(t.operand(difference, 1));
  if (max.dyn<arith::MaximumFOp>() || max.dyn<arith::MaxNumFOp>())
    for (unsigned i : {0, 1}) // max(-inf, m)
      if (t.operand(max, i).number() ==
          -std::numeric_limits<double>::infinity())
        max = t.withoutCasts(t.operand(max, 1 - i));
  if (max.kind != Term::Leaf || sum.kind != Term::Leaf)
    return refuse("expected softmax's maximum and sum to be reductions");
  const Scope *inMax = t.enterReduction(max.element, a.key);
  std::optional<Term> maximised =
      inMax ? reducedBy<arith::MaximumFOp, arith::MaxNumFOp>(t, inMax)
            : std::nullopt;
  if (!maximised ||
      !startsAt(t, inMax->op, [](double start) { return start < -1e30; }))
    return refuse("expected the maximum of each row's logits in softmax");
  if (!t.equal(t.withoutCasts(*maximised), x))
    return refuse("expected softmax to subtract the maximum of its own logits");
  const Scope *inSum = t.enterReduction(sum.element, a.key);
  std::optional<Term> summed =
      inSum ? reducedBy<arith::AddFOp>(t, inSum) : std::nullopt;
  if (!summed || !startsAt(t, inSum->op, isZero))
    return refuse("expected the sum of each row's exponentials in softmax");
  if (!t.equal(t.withoutCasts(*summed), exp))
    return refuse(
        "expected softmax to divide by the sum of its own exponentials");
  return success();
}

LogicalResult Matcher::probability(Scalar factor) {
  Term term = t.withoutCasts(t.resolve(factor));
  std::optional<Term> condition;
  if (term.dyn<arith::SelectOp>()) {
    if (t.operand(term, 1).number() != 0.0)
      return refuse("expected nothing between softmax and the product with v");
    condition = t.operand(term, 0);
    term = t.withoutCasts(t.operand(term, 2));
  }
  if (term.dyn<math::ExpOp>())
    return refuse("expected softmax to divide before the product with v");
  if (!term.dyn<arith::DivFOp>())
    return refuse("expected nothing between softmax and the product with v");
  Term exp = t.withoutCasts(t.operand(term, 0));
  Term sum = t.withoutCasts(t.operand(term, 1));
  if (failed(softmax(exp, sum)) || (condition && failed(guard(*condition))))
    return failure();
  return logits(x, 1.0);
}
