// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Positions as floats in a map: a thread's elements stand at one place plus
// constants, so that one conversion serves all of them.
#ifndef UNISPARSE_LIB_CONVERSION_UNITILETONVVM_POSITIONS_H
#define UNISPARSE_LIB_CONVERSION_UNITILETONVVM_POSITIONS_H

#include "mlir/IR/IRMapping.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "llvm/ADT/MapVector.h"

namespace unisparse::unitile {

/// The `arith.sitofp` to f32 of a map's body that convert a sum with its row or
/// column, which does not wrap, or the magnitude of one.
class ConvertedPositions {
public:
  explicit ConvertedPositions(MapOp op);
  bool empty() const { return conversions.empty(); }

  /// Converts what they are at the first of the thread's places.
  void convert(mlir::OpBuilder &b, mlir::ValueRange indices);
  /// What an op of the body gives so far from there; null for one that is no
  /// such conversion.
  mlir::Value at(mlir::OpBuilder &b, mlir::Operation &op, Position away) const;

private:
  /// How often row and column are in a sum.
  struct Sum {
    int64_t row = 0, column = 0;
  };
  std::optional<Sum> sumOf(mlir::Operation &op) const;
  mlir::Value copy(mlir::OpBuilder &b, mlir::Value value,
                   mlir::IRMapping &mapping) const;

  struct Conversion {
    Sum sum;
    mlir::Value operand;
    bool isMagnitude;
    mlir::Value first; ///< As a float.
  };
  llvm::DenseMap<mlir::Value, Sum> sums; ///< Of the body's i32.
  llvm::MapVector<mlir::Operation *, Conversion> conversions;
  mlir::Block &body;
};

} // namespace unisparse::unitile

#endif // UNISPARSE_LIB_CONVERSION_UNITILETONVVM_POSITIONS_H
