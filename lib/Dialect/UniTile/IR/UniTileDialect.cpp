// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/DialectImplementation.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/Versioning.h"

using namespace mlir;
using namespace unisparse::unitile;

#include "unisparse/Dialect/UniTile/IR/UniTileDialect.cpp.inc"

/// Of the dialect's form in bytecode: one more with every change after which a
/// file would be read as something else or not at all, and an `upgrade` for it.
/// - 2: the result of unitile.mma_start is a `!unitile.pending`.
/// - 3: products may have an atom (UniTileBytecode.cpp), types a layout.
/// - 4: `ctas` and `ping_pong` of #unitile.schedule, whose older names are read
///   too; unitile.partitions, tensor_store and tensor_store_wait, which were
///   roles, send and send_wait: only kernels behind unitile-specialise-warps
///   have them, and no file of those is read.
/// - 5: unitile.softmax and unitile.reference may have a settled reference
///   (UniTileBytecode.cpp).
static constexpr uint64_t kUniTileVersion = 5;

namespace {
struct UniTileBytecode : unisparse::NumberedBytecode {
  using NumberedBytecode::NumberedBytecode;
  LogicalResult upgrade(Operation *top, uint64_t from) const override {
    if (from == 1)
      top->walk([](MmaStartOp start) {
        Value product = start->getResult(0);
        if (auto fragment = dyn_cast<FragmentType>(product.getType()))
          product.setType(PendingType::of(fragment));
      });
    return success();
  }
};
} // namespace

void UniTileDialect::initialize() {
  registerTypes();
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "unisparse/Dialect/UniTile/IR/UniTileOps.cpp.inc"
      >();
  addInterface(std::make_unique<UniTileBytecode>(this, kUniTileVersion));
}
