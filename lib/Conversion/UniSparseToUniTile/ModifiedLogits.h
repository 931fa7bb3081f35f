// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a page makes of a product Q K^T: a logit, capped (M1) and modified (M5,
// M6).
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_MODIFIEDLOGITS_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_MODIFIEDLOGITS_H

#include "KernelPage.h"

namespace unisparse {

/// The scale of an op's logits, its soft cap and its modification, if it has
/// them, and the unit in which a page leaves logits to its softmax.
class ModifiedLogits {
public:
  /// Of operands of this element type.
  ModifiedLogits(MutableArrayRef<Region> regions, Type element, double scale,
                 std::optional<APFloat> softcap);

  /// Whether there is a modification.
  explicit operator bool() const { return region; }
  /// What the softmax has to multiply a score with: nothing for a modification
  /// that wants logits, the cap for a tanh (M1), the scale for a product.
  double unit() const;
  /// The least reference of a softmax, in powers of two, that a soft cap's
  /// bound makes good for all scores, as is any to 1 above it.
  std::optional<double> settledReference() const;
  /// Products as scores, capped: cap * tanh(scale * S / cap) costs one product
  /// and one tanh where the cap is left to the unit.
  Value scaled(KernelPage &p, Value products) const;
  /// What the modification makes of a score. Positions are sums that do not
  /// wrap.
  Value write(KernelPage &p, ValueRange tables, Value score, Value batch,
              Value head, Value query, Value key) const;

private:
  /// A maximum of S is one of scale * S only where the scale is above 0.
  bool isMaximum() const { return scale > 1e-6; }
  /// Whether the modification has to have logits, and not logits in a unit.
  bool wantsLogits() const { return region && !inUnit; }
  bool scalesFirst() const { return wantsLogits() || !isMaximum(); }

  Type element;
  double scale;
  std::optional<double> cap;
  Region *region = nullptr;
  bool canRound, inUnit = false;
};

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_MODIFIEDLOGITS_H
