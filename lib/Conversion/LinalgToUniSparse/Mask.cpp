// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Mask.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace unisparse::raise;

namespace {
/// A sum of positions, each times a number, and a number.
struct Linear {
  SmallVector<std::pair<Index, int64_t>> terms;
  int64_t constant = 0;

  void add(const Digits &digits, const Linear &other, int64_t factor) {
    constant += factor * other.constant;
    for (const auto &[position, count] : other.terms) {
      Index place = digits.current(position);
      auto *found = llvm::find_if(
          terms, [&](auto &t) { return digits.same(t.first, place); });
      if (found == terms.end())
        terms.push_back({place, factor * count});
      else
        found->second += factor * count;
    }
    llvm::erase_if(terms, [](auto &t) { return t.second == 0; });
  }
};
} // namespace

static std::optional<Linear> linearOf(Tracer &t, const Term &term) {
  Linear sum;
  if (term.kind == Term::Position) {
    if (!term.position.empty()) // The only index is 0.
      sum.terms.push_back({term.position, 1});
    return sum;
  }
  if (std::optional<double> number = term.number()) {
    sum.constant = static_cast<int64_t>(*number);
    return sum;
  }
  if (!term.op())
    return std::nullopt;
  if (isa<arith::IndexCastOp, arith::ExtSIOp, arith::TruncIOp>(term.op()))
    return linearOf(t, t.operand(term, 0));
  if (!isa<arith::AddIOp, arith::SubIOp>(term.op()))
    return std::nullopt;
  std::optional<Linear> lhs = linearOf(t, t.operand(term, 0)),
                        rhs = linearOf(t, t.operand(term, 1));
  if (!lhs || !rhs)
    return std::nullopt;
  sum.add(t.digits, *lhs, 1);
  sum.add(t.digits, *rhs, isa<arith::SubIOp>(term.op()) ? -1 : 1);
  return sum;
}

/// A comparison of positions as key <= query + offset.
static FailureOr<CausalMask> fromComparison(Tracer &t, const Term &condition,
                                            bool isSeen, ArrayRef<Digit> key,
                                            std::string &why) {
  auto compare = condition.dyn<arith::CmpIOp>();
  std::optional<Linear> lhs = linearOf(t, t.operand(condition, 0)),
                        rhs = linearOf(t, t.operand(condition, 1));
  if (!lhs || !rhs) {
    why = "expected a causal mask that compares positions, got one of unknown "
          "contents";
    return failure();
  }
  arith::CmpIPredicate predicate =
      isSeen ? compare.getPredicate()
             : arith::invertPredicate(compare.getPredicate());
  // lhs - rhs against 0.
  Linear difference = *lhs;
  difference.add(t.digits, *rhs, -1);
  using P = arith::CmpIPredicate;
  bool isLess = predicate == P::sle || predicate == P::slt ||
                predicate == P::ule || predicate == P::ult;
  bool isGreater = predicate == P::sge || predicate == P::sgt ||
                   predicate == P::uge || predicate == P::ugt;
  bool isStrict = predicate == P::slt || predicate == P::sgt ||
                  predicate == P::ult || predicate == P::ugt;
  if (isGreater) { // 0 - difference <= 0
    Linear negative;
    negative.add(t.digits, difference, -1);
    difference = negative;
  }
  CausalMask mask;
  bool sawKey = false;
  for (const auto &[position, count] : difference.terms) {
    if (t.digits.same(position, key) && count == 1)
      sawKey = true;
    else if (!mask.query && count == -1)
      mask.query = position;
    else
      sawKey = false;
  }
  if ((!isLess && !isGreater) || difference.terms.size() != 2 || !sawKey ||
      !mask.query) {
    why = "expected a causal mask that shows keys up to the query's position, "
          "got another comparison";
    return failure();
  }
  mask.offset = -difference.constant - (isStrict ? 1 : 0);
  return mask;
}

FailureOr<CausalMask>
unisparse::raise::matchCausalMask(Tracer &t, const Term &condition, bool isSeen,
                                  ArrayRef<Digit> key, std::string &why) {
  if (std::optional<double> number = condition.number()) {
    if ((*number != 0) == isSeen)
      return CausalMask();
    why = "expected a mask that shows something, got one that hides every key";
    return failure();
  }
  if (condition.dyn<arith::CmpIOp>())
    return fromComparison(t, condition, isSeen, key, why);
  if (condition.dyn<arith::XOrIOp>())
    for (unsigned i : {0, 1})
      if (std::optional<double> number = t.operand(condition, i).number();
          number && *number != 0)
        return matchCausalMask(t, t.operand(condition, 1 - i), !isSeen, key,
                               why);
  // What is seen by two masks, or hidden by one of two: one of them has to be
  // no mask at all.
  if ((isSeen && condition.dyn<arith::AndIOp>()) ||
      (!isSeen && condition.dyn<arith::OrIOp>()))
    for (unsigned i : {0, 1})
      if (std::optional<double> number = t.operand(condition, i).number();
          number && (*number != 0) == isSeen)
        return matchCausalMask(t, t.operand(condition, 1 - i), isSeen, key,
                               why);
  why = "expected a causal mask that compares positions, got one of unknown "
        "contents";
  return failure();
}
