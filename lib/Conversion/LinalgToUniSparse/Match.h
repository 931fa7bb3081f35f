// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Dense attention in linalg: which elements of which tensors it multiplies.
#ifndef UNISPARSE_CONVERSION_LINALGTOUNISPARSE_MATCH_H
#define UNISPARSE_CONVERSION_LINALGTOUNISPARSE_MATCH_H

#include "Trace.h"

namespace unisparse::raise {

/// A factor of a product: an element of a tensor, or a scalar of the product's
/// own body that has to become one (`inlined`), over the loops in
/// `element.index`.
struct Operand {
  Element element;
  std::optional<Scalar> inlined;
  llvm::SmallVector<unsigned> loops;
  mlir::Type type;
};

struct Attention {
  mlir::Operation *root = nullptr; ///< What gives o: the product with v.
  Operand q, k, v;
  Element o;
  Index dim, key;
  double scale = 1;
  /// Where keys come after a query: which digits are the query's.
  std::optional<Index> causalQuery;
  /// key <= query + causalOffset is seen.
  int64_t causalOffset = 0;
};

/// What an op is: no attention, attention, or a candidate that is none, and
/// why.
struct MatchResult {
  bool isCandidate = false;
  std::string why;
  std::optional<Attention> attention;
};
/// Follows an element to the tensor it comes from, through copies alone.
Operand sourceOf(Tracer &tracer, Element element);
/// Moves the attention's end over copies that read nothing else: transposes,
/// reshapes, one change of precision.
void absorbCopies(Tracer &tracer, Attention &attention);
MatchResult matchAttention(Tracer &tracer, mlir::linalg::LinalgOp op);

} // namespace unisparse::raise

#endif // UNISPARSE_CONVERSION_LINALGTOUNISPARSE_MATCH_H
