// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Rules about sizes that types could not settle: a cf.assert whose attribute
// says what is compared. The launch plan, reports and messages read that.
#ifndef UNISPARSE_DIALECT_UNISPARSE_IR_CHECK_H
#define UNISPARSE_DIALECT_UNISPARSE_IR_CHECK_H

#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

namespace unisparse {

/// The attribute of such an assertion, a CheckAttr.
inline constexpr llvm::StringLiteral kCheckAttr = "unisparse.check";

/// An index value, the length of a tensor or an end of a sequence, and what it
/// is called.
struct NamedValue {
  mlir::Value value;
  std::string name;
};

/// Asserts a rule about two of them; nothing where it is known to hold. (Of a
/// remainder: see comparisonOf.)
void createCheck(mlir::OpBuilder &b, mlir::Location loc, llvm::StringRef label,
                 const NamedValue &left, CheckRelation relation,
                 const NamedValue &right);

/// What an assertion compares, with the right hand side the bound.
struct Comparison {
  CheckRelation relation;
  mlir::Value left, right;
};
/// Nothing where its condition is not a comparison by eq, sle or ule, or of a
/// remainder with 0.
std::optional<Comparison> comparisonOf(mlir::cf::AssertOp op);

/// That the comparison is the one that the check says.
mlir::LogicalResult verifyRelation(mlir::cf::AssertOp op, CheckAttr check,
                                   const Comparison &comparison);

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNISPARSE_IR_CHECK_H
