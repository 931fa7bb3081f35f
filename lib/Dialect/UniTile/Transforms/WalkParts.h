// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The parts of a unitile.walk that a pass puts at other places.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_WALKPARTS_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_WALKPARTS_H

#include "mlir/IR/IRMapping.h"
#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"

namespace unisparse {

/// Scores begin with a product of the queries and a fetched tile of keys; the
/// update is a softmax and a product with a fetched tile of values, added to
/// what the softmax made of the output (attention's walk), or a softmax that
/// weighs nothing (scoring's).
struct WalkParts {
  /// A diagnostic that says what else the walk does.
  static FailureOr<WalkParts> of(unitile::WalkOp walk);

  unitile::WalkOp walk;
  unitile::FetchOp queries, keys, values;
  unitile::DotOp scores, products;
  unitile::SoftmaxOp softmax;  ///< null where there are no values,
  unitile::SoftmaxSumsOp sums; ///< and this where there are.
  unitile::MaskOp mask;        ///< null where nothing is ever hidden.
  /// The state's places; output's is that of a walk with values.
  unsigned output, reference, sum;

  bool hasValues() const { return static_cast<bool>(values); }

  int64_t rows() { return scores.getResult().getType().getRows(); }
  int64_t keyRows() { return keys.getTile().getType().getRows(); }
};

/// Copies of a region's ops where the builder stands, block arguments and
/// values from outside by `mapping`.
class RegionCloner {
public:
  explicit RegionCloner(PageBuilder &p) : p(p) {}
  IRMapping mapping;

  void map(Region &region, ValueRange arguments) {
    mapping.map(region.getArguments(), arguments);
  }
  /// `value` and what it is computed from, as far as that is not mapped yet and
  /// inside of `region`.
  Value slice(Value value, Region &region);
  SmallVector<Value> slice(ValueRange values, Region &region);
  /// All ops of the region but those that `handle` deals with, in order; what
  /// its terminator yields.
  SmallVector<Value> body(Region &region,
                          function_ref<bool(Operation *)> handle);

private:
  PageBuilder &p;
};

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_WALKPARTS_H
