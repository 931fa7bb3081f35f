// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "llvm/Support/FormatVariadic.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSECHECKRESHAPES
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

/// Of each dim of the source, that its parts have as many elements.
static void check(tensor::ExpandShapeOp op) {
  ImplicitLocOpBuilder b(op.getLoc(), op);
  SmallVector<OpFoldResult> sizes = op.getMixedOutputShape();
  for (auto [dim, parts] : llvm::enumerate(op.getReassociationIndices())) {
    bool isStatic = !op.getSrcType().isDynamicDim(dim);
    Value all = arith::ConstantIndexOp::create(b, 1);
    for (int64_t part : parts) {
      isStatic &= getConstantIntValue(sizes[part]).has_value();
      all = b.createOrFold<arith::MulIOp>(
          all, getValueOrCreateConstantIndexOp(b, op.getLoc(), sizes[part]));
    }
    if (isStatic) // The verifier's.
      continue;
    std::string name = llvm::formatv("size({0}) of what is expanded", dim);
    createCheck(b, op.getLoc(),
                CheckAttr::get(b.getContext(), "reshape", name,
                               CheckRelation::Equal, "its parts"),
                b.createOrFold<tensor::DimOp>(op.getSrc(), dim), all);
  }
}

namespace {
struct CheckReshapes
    : unisparse::impl::UniSparseCheckReshapesBase<CheckReshapes> {
  void runOnOperation() override {
    getOperation()->walk([](tensor::ExpandShapeOp op) { check(op); });
  }
};
} // namespace
