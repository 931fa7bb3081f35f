// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Logits: scales, masks and the product of q and k.
#include "Mask.h"
#include "Matcher.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace unisparse::raise;

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
    Operation *op = scalar.value.getDefiningOp();
    bool isInside =
        op && scalar.scope && op->getBlock() == scalar.scope->op.getBlock();
    std::optional<Element> element = t.elementOf(scalar);
    if (!element && isInside && isa<tensor::ExtractOp>(op))
      element = t.extractedFrom(scalar);
    if (element) {
      std::optional<Scalar> next = t.computed(*element);
      remember(*element);
      if (!next)
        return success();
      scalar = *next;
      continue;
    }
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
