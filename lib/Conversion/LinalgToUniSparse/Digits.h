// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Where an element lies, whatever was reshaped on the way: an index into a
// dimension is a list of digits, the most significant first. Collapsing
// dimensions joins lists, expanding takes them apart, a transpose moves them:
// [b, h, l, d] and [b * h, l, d] hold the same digits.
#ifndef UNISPARSE_CONVERSION_LINALGTOUNISPARSE_DIGITS_H
#define UNISPARSE_CONVERSION_LINALGTOUNISPARSE_DIGITS_H

#include "mlir/IR/Value.h"
#include "llvm/ADT/SmallVector.h"

namespace unisparse::raise {

using Digit = unsigned;
/// Empty for the only index of a dimension of size 1.
using Index = llvm::SmallVector<Digit, 2>;

class Digits {
public:
  /// A new digit as long as dimension `dim` of `tensor`; none of size 1.
  Index fresh(mlir::Value tensor, int64_t dim);

  /// Static, or ShapedType::kDynamic.
  int64_t size(Digit digit) const { return all[digit].size; }
  /// A tensor and its dimension that are as long as a dynamic digit.
  std::pair<mlir::Value, int64_t> origin(Digit digit) const {
    return {all[digit].tensor, all[digit].dim};
  }

  /// The index with digits replaced by what they were split into since.
  Index current(llvm::ArrayRef<Digit> index) const;
  bool same(llvm::ArrayRef<Digit> a, llvm::ArrayRef<Digit> b) const {
    return current(a) == current(b);
  }

  /// Takes an index apart into one for each size, of which at most one is
  /// dynamic, splitting digits where sizes fall inside them. Fails where sizes
  /// do not divide each other.
  mlir::LogicalResult split(llvm::ArrayRef<Digit> index,
                            llvm::ArrayRef<int64_t> sizes,
                            llvm::SmallVectorImpl<Index> &parts);

private:
  struct Data {
    int64_t size;
    mlir::Value tensor;
    int64_t dim;
    /// What it was split into; 0 for none, as digit 0 is never a part.
    Digit high = 0, low = 0;
  };
  std::pair<Digit, Digit> cut(Digit digit, int64_t lowSize);

  llvm::SmallVector<Data> all{{1, {}, 0}};
};

} // namespace unisparse::raise

#endif // UNISPARSE_CONVERSION_LINALGTOUNISPARSE_DIGITS_H
