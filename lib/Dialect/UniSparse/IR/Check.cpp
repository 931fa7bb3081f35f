// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace unisparse;

static StringRef wordOf(CheckRelation relation) {
  switch (relation) {
  case CheckRelation::Equal:
    return " == ";
  case CheckRelation::AtMost:
    return " <= ";
  case CheckRelation::MultipleOf:
    return " multiple of ";
  }
  llvm_unreachable("all relations are named");
}

std::string CheckAttr::getText() const {
  return (getLeft() + wordOf(getRelation()) + getRight()).str();
}

LogicalResult CheckAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                StringRef label, StringRef left, CheckRelation,
                                StringRef right) {
  if (!label.empty() && !left.empty() && !right.empty())
    return success();
  return emitError() << "expected a label and two names of a check, got \""
                     << label << "\", \"" << left << "\" and \"" << right
                     << '"';
}

LogicalResult
UniSparseDialect::verifyOperationAttribute(Operation *op,
                                           NamedAttribute attribute) {
  if (attribute.getName() != kCheckAttr)
    return success();
  if (!isa<CheckAttr>(attribute.getValue()) || !isa<cf::AssertOp>(op))
    return op->emitOpError("expected ")
           << kCheckAttr << " to be a #unisparse.check of a cf.assert, got "
           << attribute.getValue();
  return success();
}

void unisparse::createCheck(OpBuilder &b, Location loc, StringRef label,
                            const NamedValue &x, CheckRelation relation,
                            const NamedValue &y) {
  Value left = x.value, right = y.value;
  Value holds;
  auto compare = [&](arith::CmpIPredicate predicate, Value x, Value y) {
    holds = b.createOrFold<arith::CmpIOp>(loc, predicate, x, y);
  };
  switch (relation) {
  case CheckRelation::Equal:
    compare(arith::CmpIPredicate::eq, left, right);
    break;
  case CheckRelation::AtMost: // Ends of sequences are data: of any sign.
    compare(arith::CmpIPredicate::sle, left, right);
    break;
  case CheckRelation::MultipleOf:
    compare(arith::CmpIPredicate::eq,
            b.createOrFold<arith::RemUIOp>(loc, left, right),
            arith::ConstantIndexOp::create(b, loc, 0));
    break;
  }
  if (auto constant = holds.getDefiningOp<arith::ConstantIntOp>())
    if (constant.value() != 0)
      return;
  auto check = CheckAttr::get(b.getContext(), label, x.name, relation, y.name);
  auto assertion = cf::AssertOp::create(
      b, loc, holds, (check.getLabel() + ": " + check.getText()).str());
  assertion->setDiscardableAttr(kCheckAttr, check);
}

std::optional<Comparison> unisparse::comparisonOf(cf::AssertOp op) {
  using arith::CmpIPredicate;
  auto compare = op.getArg().getDefiningOp<arith::CmpIOp>();
  if (!compare)
    return std::nullopt;
  Value left = compare.getLhs(), right = compare.getRhs();
  switch (compare.getPredicate()) {
  case CmpIPredicate::sle:
  case CmpIPredicate::ule:
    return Comparison{CheckRelation::AtMost, left, right};
  case CmpIPredicate::sge: // Canonicalization moves constants to the right.
  case CmpIPredicate::uge:
    return Comparison{CheckRelation::AtMost, right, left};
  case CmpIPredicate::eq: {
    Operation *rest = left.getDefiningOp();
    if (isa_and_nonnull<arith::RemUIOp, arith::RemSIOp>(rest) &&
        matchPattern(right, m_Zero()))
      return Comparison{CheckRelation::MultipleOf, rest->getOperand(0),
                        rest->getOperand(1)};
    return Comparison{CheckRelation::Equal, left, right};
  }
  default:
    return std::nullopt;
  }
}

LogicalResult unisparse::verifyRelation(cf::AssertOp op, CheckAttr check,
                                        const Comparison &comparison) {
  if (comparison.relation == check.getRelation())
    return success();
  return op.emitOpError("expected a condition as ")
         << kCheckAttr << " says, "
         << stringifyCheckRelation(check.getRelation()) << ", got "
         << stringifyCheckRelation(comparison.relation);
}
