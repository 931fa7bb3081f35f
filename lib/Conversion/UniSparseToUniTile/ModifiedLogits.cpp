// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ModifiedLogits.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Dialect/UniSparse/IR/Modification.h"
#include <cmath>

using namespace unisparse;

ModifiedLogits::ModifiedLogits(MutableArrayRef<Region> regions, Type element,
                               double scale, std::optional<APFloat> softcap)
    // Operands of 16 bits have errors that are 2^12 times those of f32 (A3).
    : element(element), scale(scale), canRound(!element.isF32()) {
  if (softcap)
    cap = softcap->convertToDouble();
  if (regions.empty())
    return;
  region = &regions.front();
  inUnit = canRound && (cap || isMaximum()) && scalesWithLogit(*region);
}

/// Of the tanh of a soft cap (M1): 16-bit inputs take the instruction (M4).
static arith::FastMathFlags tanhFlags(Type element) {
  return element.isF32() ? arith::FastMathFlags::none
                         : arith::FastMathFlags::afn;
}

double ModifiedLogits::unit() const {
  if (wantsLogits())
    return 1.0;
  if (cap)
    return *cap;
  return scalesFirst() ? 1.0 : scale;
}

/// The largest exponential of capped scores: sums of a row of 2^20 keys are
/// below 2^64, as with a speculative reference.
static constexpr double kLargest = 44;
/// The smallest: in range of bf16, with 2^16 to spare.
static constexpr double kSmallest = -110;

std::optional<double> ModifiedLogits::settledReference() const {
  // f16 has no such range, and kernels of f32 no product that could run beside.
  if (!cap || region || !element.isBF16())
    return {};
  double bound = *cap * M_LOG2E, reference = std::max(0.0, bound - kLargest);
  if (-bound - reference - 1 < kSmallest)
    return {};
  return reference;
}

Value ModifiedLogits::scaled(KernelPage &p, Value products) const {
  if (!cap && !scalesFirst())
    return products;
  ImplicitLocOpBuilder &b = p.b;
  return p.map(products.getType(), products, [&](ValueRange e) -> Value {
    if (!cap)
      return arith::MulFOp::create(b, e[0], p.f32(scale));
    Value x = arith::MulFOp::create(b, e[0], p.f32(scale / *cap));
    Value y = math::TanhOp::create(b, x, tanhFlags(element));
    if (wantsLogits())
      y = arith::MulFOp::create(b, y, p.f32(*cap));
    return y;
  });
}

/// The nearest entry, for an index outside of the table.
static Value readTable(KernelPage &p, Value table, ValueRange at) {
  ImplicitLocOpBuilder &b = p.b;
  Value zero = arith::ConstantIndexOp::create(b, 0),
        one = arith::ConstantIndexOp::create(b, 1);
  SmallVector<Value> inside;
  for (auto [i, index] : llvm::enumerate(at)) {
    Value size = memref::DimOp::create(b, table, i);
    Value last = p.sub(size, one);
    inside.push_back(p.min(p.max(index, zero), last));
  }
  return memref::LoadOp::create(b, table, inside);
}

/// What a modification computes of positions does not wrap, as they are below
/// 2^31; and a product and a sum may be one instruction.
static void relax(ArrayRef<Value> positions, Block &body, bool canRound) {
  auto isPosition = [&](Value value) {
    return llvm::is_contained(positions, value);
  };
  for (Operation &op : body) {
    if (auto difference = dyn_cast<arith::SubIOp>(op)) {
      if (isPosition(difference.getLhs()) && isPosition(difference.getRhs()))
        difference.setOverflowFlags(arith::IntegerOverflowFlags::nsw);
    } else if (canRound &&
               isa<arith::MulFOp, arith::AddFOp, arith::SubFOp>(op)) {
      auto flags = cast<arith::ArithFastMathInterface>(op);
      auto had = flags.getFastMathFlagsAttr().getValue();
      op.setAttr(flags.getFastMathAttrName(),
                 arith::FastMathFlagsAttr::get(
                     op.getContext(), had | arith::FastMathFlags::contract));
    }
  }
}

Value ModifiedLogits::write(KernelPage &p, ValueRange tables, Value score,
                            Value batch, Value head, Value query,
                            Value key) const {
  auto same = [](auto x) { return x; };
  auto read = [&](unsigned table, ValueRange at) {
    return readTable(p, tables[table], at);
  };
  ModificationForm form{same, same, read};
  SmallVector<Value> arguments{score, batch, head, query, key};
  Value y = inUnit ? copyModification(p.b, *region, arguments, form, unit())
                   : copyModification(p.b, *region, arguments, form);
  relax({query, key}, *p.b.getInsertionBlock(), canRound);
  return y;
}
