// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The chain contraction, elementwise, max, exp(x - max), sum, contraction with
// division, read backwards from its end: Match.cpp begins and ends, Softmax.cpp
// and Logits.cpp are what is between the products, and the first product.
#ifndef UNISPARSE_LIB_CONVERSION_LINALGTOUNISPARSE_MATCHER_H
#define UNISPARSE_LIB_CONVERSION_LINALGTOUNISPARSE_MATCHER_H

#include "Match.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

namespace unisparse::raise {
using namespace mlir;

class Matcher {
public:
  explicit Matcher(Tracer &tracer) : t(tracer) {}
  MatchResult run(linalg::LinalgOp op);

private:
  LogicalResult refuse(const Twine &why) {
    if (result.why.empty())
      result.why = why.str();
    return failure();
  }

  std::optional<Scalar> summand(linalg::LinalgOp op, const Scope *scope);
  void factorsOf(Scalar scalar, SmallVectorImpl<Scalar> &factors);
  bool holdsExp(const Term &term, int depth = 0);
  bool holdsSoftmax(const Term &term, int depth = 0);
  LogicalResult probability(Scalar factor);
  LogicalResult guard(const Term &term);
  LogicalResult softmax(const Term &exp, const Term &sum);
  LogicalResult logits(Term term, double factor);
  LogicalResult product(const Element &element, double factor);
  LogicalResult operandOf(Scalar factor, Operand &operand);
  LogicalResult expectNoOtherUses();

  Tracer &t;
  MatchResult result;
  Attention a;
  Term x;                  ///< The logits, masked and scaled.
  Operation *qk = nullptr; ///< The product of q and k.
};

/// True where a reduction starts at a number: a fill, or an elementwise op that
/// yields it.
bool startsAt(Tracer &t, linalg::LinalgOp op,
              function_ref<bool(double)> isStart);
inline bool isZero(double x) { return x == 0.0; }

/// What a reduction by `Op...` adds to its accumulator; none of another body.
template <typename... Op>
std::optional<Term> reducedBy(Tracer &t, const Scope *scope) {
  Term term = t.yielded(scope);
  if (!term.op() || !isa<Op...>(term.op()))
    return std::nullopt;
  Term lhs = t.operand(term, 0), rhs = t.operand(term, 1);
  if (rhs.kind == Term::Accumulator)
    return lhs;
  if (lhs.kind == Term::Accumulator)
    return rhs;
  return std::nullopt;
}

} // namespace unisparse::raise

#endif // UNISPARSE_LIB_CONVERSION_LINALGTOUNISPARSE_MATCHER_H
