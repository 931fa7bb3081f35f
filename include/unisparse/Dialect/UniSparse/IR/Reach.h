// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// How far a query sees: causality and a window in one, for verifiers and every
// lowering.
#ifndef UNISPARSE_DIALECT_UNISPARSE_IR_REACH_H
#define UNISPARSE_DIALECT_UNISPARSE_IR_REACH_H

#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

namespace unisparse {

/// Tokens that a query sees to either side of its position (A1, M2); no limit
/// where there is no number.
struct Reach {
  std::optional<int64_t> left, right;
};

template <typename OpTy>
Reach reachOf(OpTy op) {
  Reach reach;
  WindowAttr window = op.getWindowAttr();
  if (window && window.getLeft() >= 0)
    reach.left = window.getLeft();
  if (window && window.getRight() >= 0)
    reach.right = window.getRight();
  if (op.getCausal()) // Beside which the window's right changes nothing.
    reach.right = 0;
  return reach;
}

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNISPARSE_IR_REACH_H
