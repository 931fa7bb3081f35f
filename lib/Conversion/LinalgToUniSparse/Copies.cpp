// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What only moves elements: before an operand, and behind the output.
#include "Match.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace unisparse::raise;

Operand unisparse::raise::sourceOf(Tracer &t, Element element) {
  Operand operand;
  while (true) {
    std::optional<Scalar> scalar = t.computed(element);
    operand.element = element;
    std::optional<Element> next = scalar ? t.elementOf(*scalar) : std::nullopt;
    if (!next)
      break;
    element = *next;
  }
  operand.type = getElementTypeOrSelf(operand.element.tensor.getType());
  return operand;
}

/// Where a copy of `element` by the op puts it; none where it is no copy.
static std::optional<Element> copied(Tracer &t, const Element &element,
                                     Operation *op, bool &narrowed) {
  Element result{op->getResult(0), {}};
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    auto type = expand.getResultType();
    for (auto [group, whole] :
         llvm::zip_equal(expand.getReassociationIndices(), element.index)) {
      SmallVector<int64_t> sizes;
      for (int64_t dim : group)
        sizes.push_back(type.getDimSize(dim));
      SmallVector<Index> parts;
      if (failed(t.digits.split(whole, sizes, parts)))
        return std::nullopt;
      result.index.append(parts.begin(), parts.end());
    }
    return result;
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    for (const ReassociationIndices &group :
         collapse.getReassociationIndices()) {
      result.index.emplace_back();
      for (int64_t dim : group)
        result.index.back().append(element.index[dim]);
    }
    return result;
  }
  auto copy = dyn_cast<linalg::LinalgOp>(op);
  if (!copy || !runsInParallel(copy) || copy.getNumDpsInputs() != 1 ||
      op->getNumResults() != 1 ||
      copy.getDpsInputOperand(0)->get() != element.tensor)
    return std::nullopt;
  AffineMap from = copy.getMatchingIndexingMap(copy.getDpsInputOperand(0)),
            to = copy.getMatchingIndexingMap(copy.getDpsInitOperand(0));
  if (!from.isPermutation() || !to.isPermutation())
    return std::nullopt;
  Value value = copy.getBlock()->getTerminator()->getOperand(0);
  if (auto narrow = value.getDefiningOp<arith::TruncFOp>();
      narrow && !narrowed) {
    narrowed = true;
    value = narrow.getIn();
  }
  if (value != copy.getBlock()->getArgument(0))
    return std::nullopt;
  SmallVector<Index> loops(copy.getNumLoops());
  for (auto [i, index] : llvm::enumerate(element.index))
    loops[from.getDimPosition(i)] = index;
  for (unsigned i = 0; i < to.getNumResults(); ++i)
    result.index.push_back(loops[to.getDimPosition(i)]);
  return result;
}

void unisparse::raise::absorbCopies(Tracer &t, Attention &a) {
  bool narrowed = false;
  while (a.o.tensor.hasOneUse()) {
    Operation *user = *a.o.tensor.getUsers().begin();
    if (user->getBlock() != a.root->getBlock())
      return;
    std::optional<Element> next = copied(t, a.o, user, narrowed);
    if (!next)
      return;
    a.o = *next;
    a.root = user;
  }
}
