// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The chain contraction, elementwise, max, exp(x - max), sum, contraction with
// division, read backwards from its end.
#include "Match.h"
#include "Mask.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/ScopeExit.h"

using namespace mlir;
using namespace unisparse::raise;

namespace {

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
              function_ref<bool(double)> isStart) {
  Value init = op.getDpsInits()[0];
  auto type = dyn_cast<RankedTensorType>(init.getType());
  if (!type)
    return false;
  Element element{init, SmallVector<Index>(type.getRank())};
  std::optional<double> number = t.resolve(element).number();
  return number && isStart(*number);
}
bool isZero(double x) { return x == 0.0; }

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

} // namespace

/// The scalar that a contraction sums; none where the op is none.
std::optional<Scalar> Matcher::summand(linalg::LinalgOp op,
                                       const Scope *scope) {
  Operation *add =
      op.getBlock()->getTerminator()->getOperand(0).getDefiningOp();
  if (!isa_and_nonnull<arith::AddFOp>(add))
    return std::nullopt;
  for (unsigned i : {0, 1})
    if (t.resolve({add->getOperand(i), scope}).kind == Term::Accumulator)
      return Scalar{add->getOperand(1 - i), scope};
  return std::nullopt;
}

/// The factors of nested multiplications, within one body. Precision is not
/// looked at, but by whom it concerns.
void Matcher::factorsOf(Scalar scalar, SmallVectorImpl<Scalar> &factors) {
  Operation *op = scalar.value.getDefiningOp();
  bool isInside =
      op && scalar.scope && op->getBlock() == scalar.scope->op.getBlock();
  if (isInside && isa<arith::ExtFOp, arith::TruncFOp>(op) &&
      isa_and_nonnull<arith::MulFOp>(op->getOperand(0).getDefiningOp()))
    return factorsOf({op->getOperand(0), scalar.scope}, factors);
  if (!isInside || !isa<arith::MulFOp>(op))
    return factors.push_back(scalar);
  factorsOf({op->getOperand(0), scalar.scope}, factors);
  factorsOf({op->getOperand(1), scalar.scope}, factors);
}

/// True where an exponential is among what gives the term, before any sum.
bool Matcher::holdsExp(const Term &term, int depth) {
  if (!term.op() || depth > 16)
    return false;
  if (isa<math::ExpOp>(term.op()))
    return true;
  if (!isa<arith::ArithDialect>(term.op()->getDialect()))
    return false;
  for (unsigned i = 0; i < term.op()->getNumOperands(); ++i)
    if (holdsExp(t.operand(term, i), depth + 1))
      return true;
  return false;
}

/// True where a division by a sum of exponentials over the keys is among what
/// gives the term, or the term is an exponential itself: then the user means
/// attention.
bool Matcher::holdsSoftmax(const Term &given, int depth) {
  Term term = t.withoutCasts(given);
  if (!term.op() || depth > 16)
    return false;
  if (depth == 0 && isa<math::ExpOp>(term.op()))
    return true;
  if (isa<arith::DivFOp>(term.op())) {
    Term divisor = t.withoutCasts(t.operand(term, 1));
    const Scope *scope = divisor.kind == Term::Leaf
                             ? t.enterReduction(divisor.element, a.key)
                             : nullptr;
    std::optional<Term> summed =
        scope ? reducedBy<arith::AddFOp>(t, scope) : std::nullopt;
    if (summed && holdsExp(*summed))
      return true;
  }
  if (!isa<arith::ArithDialect>(term.op()->getDialect()))
    return false;
  for (unsigned i = 0; i < term.op()->getNumOperands(); ++i)
    if (holdsSoftmax(t.operand(term, i), depth + 1))
      return true;
  return false;
}

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

LogicalResult Matcher::logits(Term term, double factor) {
  term = t.withoutCasts(term);
  auto maskBy = [&](Term condition, bool isSeen, double hidden, Term rest) {
    // Masked keys must have no share, whatever else the row holds.
    if (!(hidden * factor <= -3e4))
      return refuse("expected a mask to set logits to -inf or a number below "
                    "-30000, got " +
                    Twine(std::to_string(hidden)));
    FailureOr<CausalMask> mask =
        matchCausalMask(t, condition, isSeen, a.key, result.why);
    if (failed(mask))
      return failure();
    if (mask->query) {
      if (a.causalQuery && (!t.digits.same(*a.causalQuery, *mask->query) ||
                            a.causalOffset != mask->offset))
        return refuse("expected one causal mask, got two that differ");
      a.causalQuery = mask->query;
      a.causalOffset = mask->offset;
    }
    return logits(rest, factor);
  };
  if (term.dyn<arith::MulFOp>() || term.dyn<arith::DivFOp>()) {
    bool divides = bool(term.dyn<arith::DivFOp>());
    for (unsigned i : {1, 0}) {
      std::optional<double> number =
          t.withoutCasts(t.operand(term, i)).number();
      if (number && !(divides && i == 0))
        return logits(t.operand(term, 1 - i),
                      divides ? factor / *number : factor * *number);
    }
    return refuse("expected logits to be scaled by a constant");
  }
  if (term.dyn<arith::AddFOp>()) {
    for (unsigned i : {1, 0}) {
      Term added = t.withoutCasts(t.operand(term, i)),
           rest = t.operand(term, 1 - i);
      if (added.number() == 0.0)
        return logits(rest, factor);
      if (!added.dyn<arith::SelectOp>())
        continue;
      std::optional<double> onTrue =
                                t.withoutCasts(t.operand(added, 1)).number(),
                            onFalse =
                                t.withoutCasts(t.operand(added, 2)).number();
      if (onTrue == 0.0 && onFalse)
        return maskBy(t.operand(added, 0), true, *onFalse, rest);
      if (onFalse == 0.0 && onTrue)
        return maskBy(t.operand(added, 0), false, *onTrue, rest);
    }
    return refuse("expected a causal mask to be added to the logits, got a "
                  "tensor of unknown contents");
  }
  if (term.dyn<arith::SelectOp>()) {
    std::optional<double> onTrue = t.withoutCasts(t.operand(term, 1)).number(),
                          onFalse = t.withoutCasts(t.operand(term, 2)).number();
    if (onFalse)
      return maskBy(t.operand(term, 0), true, *onFalse, t.operand(term, 1));
    if (onTrue)
      return maskBy(t.operand(term, 0), false, *onTrue, t.operand(term, 2));
  }
  if (term.kind == Term::Leaf)
    return product(term.element, factor);
  return refuse(
      "expected logits to be a product of q and k, scaled and masked" +
      (term.op() ? ", got " + term.op()->getName().getStringRef() : Twine()));
}

/// A factor of a product as an element of a tensor: through casts, copies and
/// multiplications by constants, which go to the scale, and no further.
LogicalResult Matcher::operandOf(Scalar scalar, Operand &operand) {
  bool isKnown = false;
  double scale = 1;
  const Scope *outer = scalar.scope;
  auto remember = [&](const Element &element) {
    operand.element = element;
    operand.type = getElementTypeOrSelf(element.tensor.getType());
    isKnown = true;
    a.scale *= std::exchange(scale, 1);
  };
  while (true) {
    if (std::optional<Element> element = t.elementOf(scalar)) {
      std::optional<Scalar> next = t.computed(*element);
      remember(*element);
      if (!next)
        return success();
      scalar = *next;
      continue;
    }
    Operation *op = scalar.value.getDefiningOp();
    bool isInside =
        op && scalar.scope && op->getBlock() == scalar.scope->op.getBlock();
    if (isInside && isa<arith::ExtFOp, arith::TruncFOp>(op)) {
      scalar.value = op->getOperand(0);
      continue;
    }
    if (isInside && isa<arith::MulFOp, arith::DivFOp>(op)) {
      bool divides = isa<arith::DivFOp>(op);
      std::optional<double> right = t.withoutCasts(t.resolve({op->getOperand(1),
                                                              scalar.scope}))
                                        .number(),
                            left = t.withoutCasts(t.resolve({op->getOperand(0),
                                                             scalar.scope}))
                                       .number();
      if (right || (left && !divides)) {
        scale *= right ? (divides ? 1 / *right : *right) : *left;
        scalar.value = op->getOperand(right ? 0 : 1);
        continue;
      }
    }
    if (isInside && isa<tensor::ExtractOp>(op)) {
      if (std::optional<Element> element = t.extractedFrom(scalar)) {
        std::optional<Scalar> next = t.computed(*element);
        remember(*element);
        if (!next)
          return success();
        scalar = *next;
        continue;
      }
    }
    if (isKnown)
      return success();
    if (!isInside || scalar.scope != outer)
      return refuse(
          "expected the factors of a product to be elements of tensors");
    break;
  }
  // Computed where it is multiplied, as by elementwise fusion.
  a.scale *= scale;
  operand.inlined = scalar;
  operand.type = scalar.value.getType();
  llvm::SetVector<unsigned> loops;
  SmallVector<Value> work{scalar.value};
  while (!work.empty()) {
    Value value = work.pop_back_val();
    linalg::LinalgOp op = scalar.scope->op;
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      if (argument.getOwner() != op.getBlock())
        continue;
      AffineMap map =
          op.getMatchingIndexingMap(&op->getOpOperand(argument.getArgNumber()));
      for (AffineExpr expr : map.getResults())
        expr.walk([&](AffineExpr e) {
          if (auto dim = dyn_cast<AffineDimExpr>(e))
            loops.insert(dim.getPosition());
        });
      continue;
    }
    Operation *def = value.getDefiningOp();
    if (def->getBlock() != op.getBlock())
      continue;
    if (auto index = dyn_cast<linalg::IndexOp>(def))
      loops.insert(index.getDim());
    work.append(def->operand_begin(), def->operand_end());
  }
  operand.loops = llvm::to_vector(loops);
  llvm::sort(operand.loops);
  for (unsigned loop : operand.loops)
    operand.element.index.push_back(scalar.scope->loops[loop]);
  return success();
}

static bool holds(const Digits &digits, const Element &element,
                  ArrayRef<Digit> index) {
  Index wanted = digits.current(index);
  return llvm::any_of(element.index, [&](const Index &i) {
    return llvm::any_of(digits.current(i),
                        [&](Digit d) { return llvm::is_contained(wanted, d); });
  });
}

LogicalResult Matcher::product(const Element &element, double factor) {
  auto op = element.tensor.getDefiningOp<linalg::LinalgOp>();
  std::optional<unsigned> loop = op ? reductionLoop(op) : std::nullopt;
  const char *what =
      "expected logits to be a product of q and k, scaled and masked";
  if (!loop || !op.hasPureTensorSemantics() || op.getNumDpsInits() != 1)
    return refuse(what);
  // The loop over head_dim: of the operand that has it.
  for (OpOperand *operand : op.getDpsInputOperands())
    if (std::optional<unsigned> at =
            op.getMatchingIndexingMap(operand).getResultPosition(
                getAffineDimExpr(*loop, op.getContext())))
      a.dim = t.digits.fresh(operand->get(), *at);
  const Scope *scope = t.enterReduction(element, a.dim);
  std::optional<Scalar> summed = scope ? summand(op, scope) : std::nullopt;
  if (!summed || !startsAt(t, op, isZero))
    return refuse(what);
  qk = op;
  t.recording = false;
  SmallVector<Scalar> factors, tensors;
  factorsOf(*summed, factors);
  a.scale *= factor;
  for (Scalar scalar : factors) {
    if (std::optional<double> number =
            t.withoutCasts(t.resolve(scalar)).number())
      a.scale *= *number;
    else
      tensors.push_back(scalar);
  }
  if (tensors.size() != 2)
    return refuse("expected logits to be a product of two tensors, got " +
                  Twine(tensors.size()));
  if (failed(operandOf(tensors[0], a.q)) || failed(operandOf(tensors[1], a.k)))
    return failure();
  if (holds(t.digits, a.q.element, a.key))
    std::swap(a.q, a.k);
  return success();
}

/// What is computed of the first product must have no reader but the last: each
/// user, and its users, are ops that were seen through on the way.
LogicalResult Matcher::expectNoOtherUses() {
  llvm::SetVector<Operation *> work;
  work.insert(qk);
  for (size_t i = 0; i < work.size(); ++i)
    for (Operation *user : work[i]->getUsers()) {
      // Bodies read tensors too.
      Operation *reader = work[i]->getBlock()->findAncestorOpInBlock(*user);
      if (reader == a.root || isa<tensor::DimOp>(user) ||
          (reader && isOpTriviallyDead(reader)))
        continue;
      if (!reader || !t.passed.contains(reader))
        return refuse("expected no use of logits or probabilities but the "
                      "product with v, got one by " +
                      user->getName().getStringRef());
      work.insert(reader);
    }
  return success();
}

MatchResult Matcher::run(linalg::LinalgOp op) {
  std::optional<unsigned> loop = reductionLoop(op);
  if (!loop || !op.hasPureTensorSemantics() || op->getNumResults() != 1)
    return result;
  const Scope *scope = t.enter(op);
  std::optional<Scalar> summed = scope ? summand(op, scope) : std::nullopt;
  if (!summed)
    return result;
  SmallVector<Scalar> factors, weights, tensors;
  factorsOf(*summed, factors);
  a.key = scope->loops[*loop];
  for (Scalar factor : factors)
    (holdsSoftmax(t.resolve(factor)) ? weights : tensors).push_back(factor);
  if (weights.empty() || factors.size() < 2)
    return result;
  result.isCandidate = true;
  a.root = op;
  auto match = [&]() -> LogicalResult {
    if (weights.size() != 1 || tensors.size() != 1)
      return refuse("expected nothing between softmax and the product with v, "
                    "got a product of " +
                    Twine(factors.size()) + " factors");
    if (!startsAt(t, op, isZero))
      return refuse("expected the product with v to start at 0");
    double scale = std::exchange(a.scale, 1);
    if (failed(operandOf(tensors[0], a.v)))
      return failure();
    if (a.scale != 1)
      return refuse("expected v not to be scaled, got a factor of " +
                    Twine(std::to_string(a.scale)));
    a.scale = scale;
    t.recording = true;
    llvm::scope_exit stop([&] { t.recording = false; });
    if (failed(probability(weights[0])))
      return failure();
    return expectNoOtherUses();
  };
  if (failed(match()))
    return result;
  a.o.tensor = op->getResult(0);
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  for (AffineExpr expr : map.getResults())
    a.o.index.push_back(
        isa<AffineDimExpr>(expr)
            ? scope->loops[cast<AffineDimExpr>(expr).getPosition()]
            : Index());
  absorbCopies(t, a);
  result.attention = std::move(a);
  return result;
}

MatchResult unisparse::raise::matchAttention(Tracer &tracer,
                                             linalg::LinalgOp op) {
  return Matcher(tracer).run(op);
}
