// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/DialectImplementation.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

using namespace mlir;
using namespace unisparse::unitile;

#include "unisparse/Dialect/UniTile/IR/UniTileDialect.cpp.inc"

void UniTileDialect::initialize() {
  registerTypes();
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "unisparse/Dialect/UniTile/IR/UniTileOps.cpp.inc"
      >();
}
