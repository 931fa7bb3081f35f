// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The region of attention that modifies logits (M5): its rules, and its copy
// into what a lowering writes.
#ifndef UNISPARSE_DIALECT_UNISPARSE_IR_MODIFICATION_H
#define UNISPARSE_DIALECT_UNISPARSE_IR_MODIFICATION_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/Region.h"

namespace unisparse {

/// [M5] of the regions of an op with such tables: none or one, of the ops that
/// every target has.
mlir::LogicalResult verifyModification(mlir::Operation *op,
                                       mlir::RegionRange regions,
                                       mlir::ValueRange tables);

/// How a lowering has the values of a modification: as scalars, or as vectors
/// of several elements at once.
struct ModificationForm {
  /// The type of a value of a scalar type.
  llvm::function_ref<mlir::Type(mlir::Type)> type;
  /// A scalar constant as such a value.
  llvm::function_ref<mlir::Value(mlir::Value)> constant;
  /// What stands in a table at `indices`, values of index type.
  llvm::function_ref<mlir::Value(unsigned table, mlir::ValueRange indices)>
      read;
};

/// The logit that a modification makes of its first five arguments.
mlir::Value copyModification(mlir::OpBuilder &b, mlir::Region &region,
                             mlir::ValueRange arguments,
                             const ModificationForm &form);

/// Whether f(unit * x) / unit is f itself but for its constants and biases, so
/// that a softmax may have the unit: x + bias, a select of it, a multiple.
bool scalesWithLogit(mlir::Region &region);

/// The same of a logit that is still to be times `unit`, as its result is: each
/// bias is divided by it, in a factor that no position is in where there is
/// one. Scalars, of a region that scalesWithLogit.
mlir::Value copyModification(mlir::OpBuilder &b, mlir::Region &region,
                             mlir::ValueRange arguments,
                             const ModificationForm &form, double unit);

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNISPARSE_IR_MODIFICATION_H
