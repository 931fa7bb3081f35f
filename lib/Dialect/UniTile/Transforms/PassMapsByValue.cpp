// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEPASSMAPSBYVALUE
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse::unitile;

namespace {
struct PassMapsByValue
    : unisparse::impl::UniTilePassMapsByValueBase<PassMapsByValue> {
  void runOnOperation() override {
    Builder b(&getContext());
    // A CUtensorMap (CUDA Driver API, "Tensor Map Object Management").
    auto bytes = TypeAttr::get(LLVM::LLVMArrayType::get(b.getI8Type(), 128));
    for (auto kernel : getOperation().getOps<LLVM::LLVMFuncOp>()) {
      auto maps = dyn_cast_or_null<DenseI32ArrayAttr>(
          kernel->removeAttr(kTensorMapsAttr));
      if (!maps)
        continue;
      for (int32_t i : maps.asArrayRef()) {
        kernel.setArgAttr(i, LLVM::LLVMDialect::getByValAttrName(), bytes);
        kernel.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                          b.getI64IntegerAttr(64));
        kernel.setArgAttr(i, NVVM::NVVMDialect::getGridConstantAttrName(),
                          b.getUnitAttr());
      }
    }
  }
};
} // namespace
