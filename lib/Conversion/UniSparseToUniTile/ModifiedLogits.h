// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A modification of logits (M5, M6) in a page.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_MODIFIEDLOGITS_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_MODIFIEDLOGITS_H

#include "KernelPage.h"

namespace unisparse {

/// The modification of an op, if it has one, and the unit in which a page leaves
/// logits to it.
class ModifiedLogits {
public:
  /// Of operands of this element type, whose logits are in a unit above 0, or in
  /// none.
  ModifiedLogits(MutableArrayRef<Region> regions, Type element,
                 bool isUnitPositive);

  explicit operator bool() const { return region; }
  /// Whether it has to have logits, and not logits in a unit.
  bool wantsLogits() const { return region && !inUnit; }
  /// What it makes of a logit that is still to be times `unit`. Positions are
  /// sums that do not wrap.
  Value write(KernelPage &p, ValueRange tables, Value logit, Value batch,
              Value head, Value query, Value key, double unit) const;

private:
  Region *region = nullptr;
  bool canRound, inUnit = false;
};

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_MODIFIEDLOGITS_H
