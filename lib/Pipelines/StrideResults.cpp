// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "StrideResults.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "unisparse/Conversion/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSESTRIDERESULTS
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

/// Uses of a part of a buffer are uses of the buffer.
static bool goesByStrides(Operation *user) {
  if (auto part = dyn_cast<memref::SubViewOp>(user))
    return llvm::all_of(part->getUsers(), goesByStrides);
  return isa<func::ReturnOp, linalg::LinalgOp, memref::CopyOp, memref::DimOp,
             memref::LoadOp, memref::StoreOp, vector::LoadOp, vector::StoreOp>(
      user);
}

bool unisparse::canHaveStrides(Value buffer) {
  auto type = dyn_cast<MemRefType>(buffer.getType());
  return type && type.getRank() > 1 && type.getLayout().isIdentity() &&
         llvm::all_of(buffer.getUsers(), goesByStrides);
}

MemRefType unisparse::withStrides(MemRefType type) {
  SmallVector<int64_t> strides(type.getRank(), ShapedType::kDynamic);
  strides.back() = 1;
  return MemRefType::get(
      type.getShape(), type.getElementType(),
      StridedLayoutAttr::get(type.getContext(), /*offset=*/0, strides),
      type.getMemorySpace());
}

/// A part's type follows from that of what it is a part of.
static void setType(Value buffer, MemRefType type) {
  buffer.setType(type);
  for (Operation *user : buffer.getUsers())
    if (auto part = dyn_cast<memref::SubViewOp>(user))
      setType(part, memref::SubViewOp::inferRankReducedResultType(
                        part.getType().getShape(), type, part.getMixedOffsets(),
                        part.getMixedSizes(), part.getMixedStrides()));
}

namespace {
struct StrideResults
    : unisparse::impl::UniSparseStrideResultsBase<StrideResults> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (function.isExternal())
        continue;
      for (BlockArgument argument : function.getArguments())
        if (function.getArgAttr(argument.getArgNumber(), "bufferize.result") &&
            canHaveStrides(argument))
          setType(argument, withStrides(cast<MemRefType>(argument.getType())));
      function.setType(FunctionType::get(&getContext(),
                                         function.getBody().getArgumentTypes(),
                                         function.getResultTypes()));
    }
  }
};
} // namespace
