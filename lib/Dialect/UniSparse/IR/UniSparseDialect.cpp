// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/InliningUtils.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/Versioning.h"

using namespace mlir;
using namespace unisparse;

#include "unisparse/Dialect/UniSparse/IR/UniSparseDialect.cpp.inc"

/// Of the dialect's form in bytecode: one more with every change after which a
/// file would be read as something else or not at all, and an `upgrade` for it.
/// - 2: `representatives`, `block`, `spread`, `norms` and `factor` of
///   unisparse.pool, `rows` of unisparse.block_score. Their absence is what
///   version 1 meant, so that nothing is left to upgrade.
/// - 3: `softcap`, `window` and `sink_logits` (M1 to M3). Likewise.
/// - 4: `estimate_with_region` (M6), and the tables of unisparse.block_score.
///   Likewise.
static constexpr uint64_t kUniSparseVersion = 4;

namespace {
/// Ops are functions of their operands: they may stand anywhere.
struct UniSparseInliner : DialectInlinerInterface {
  using DialectInlinerInterface::DialectInlinerInterface;
  bool isLegalToInline(Operation *, Region *, bool, IRMapping &) const final {
    return true;
  }
};
} // namespace

void UniSparseDialect::initialize() {
  addInterfaces<UniSparseInliner>();
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "unisparse/Dialect/UniSparse/IR/UniSparseOps.cpp.inc"
      >();
  addInterface(std::make_unique<NumberedBytecode>(this, kUniSparseVersion));
}
