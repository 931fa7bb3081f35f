// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The last product, and what leads to the others.
#include "Matcher.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/ScopeExit.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::raise;

bool raise::startsAt(Tracer &t, linalg::LinalgOp op,
                     function_ref<bool(double)> isStart) {
  Value init = op.getDpsInits()[0];
  auto type = dyn_cast<RankedTensorType>(init.getType());
  if (!type)
    return false;
  Element element{init, SmallVector<Index>(type.getRank())};
  std::optional<double> number = t.resolve(element).number();
  return number && isStart(*number);
}

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
