// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The share of mass that a row selects, by how many candidates it has (L11):
// the same operations in f32 on every target.
#ifndef UNISPARSE_LIB_CONVERSION_RELAXEDSHARE_H
#define UNISPARSE_LIB_CONVERSION_RELAXEDSHARE_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

namespace unisparse {

/// 1 - (1 - share) * (1 + relax * w), w going from 0 to 1 while the candidates'
/// keys go from kRelaxFrom to kRelaxTo. `candidates`, in f32, are blocks of
/// `keys` keys. A share of 1 stays 1.
inline mlir::Value relaxedShare(mlir::ImplicitLocOpBuilder &b, RuleAttr rule,
                                int64_t keys, mlir::Value share,
                                mlir::Value candidates) {
  using namespace mlir;
  if (!rule.getRelax())
    return share;
  auto f32 = [&](double x) -> Value {
    return arith::ConstantOp::create(b, b.getF32FloatAttr(x));
  };
  double range = RuleAttr::kRelaxTo - RuleAttr::kRelaxFrom;
  Value behind = arith::SubFOp::create(
      b, candidates, f32(double(RuleAttr::kRelaxFrom) / keys));
  Value weight = arith::MulFOp::create(b, behind, f32(keys / range));
  weight = arith::MaximumFOp::create(b, weight, f32(0.0));
  weight = arith::MinimumFOp::create(b, weight, f32(1.0));
  Value growth =
      arith::MulFOp::create(b, weight, f32(rule.getRelax().getValueAsDouble()));
  Value left =
      arith::MulFOp::create(b, arith::SubFOp::create(b, f32(1.0), share),
                            arith::AddFOp::create(b, f32(1.0), growth));
  // NaN stays NaN.
  return arith::MaximumFOp::create(b, arith::SubFOp::create(b, f32(1.0), left),
                                   f32(0.0));
}

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_RELAXEDSHARE_H
