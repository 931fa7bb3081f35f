// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/CAPI/Registration.h"
#include "unisparse-c/UniSparse.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/InitAll.h"

MLIR_DEFINE_CAPI_DIALECT_REGISTRATION(UniSparse, unisparse,
                                      unisparse::UniSparseDialect)
MLIR_DEFINE_CAPI_DIALECT_REGISTRATION(UniTile, unitile,
                                      unisparse::unitile::UniTileDialect)

void unisparseRegisterDialects(MlirDialectRegistry registry) {
  unisparse::registerDialects(*unwrap(registry));
}
void unisparseRegisterAllDialects(MlirDialectRegistry registry) {
  unisparse::registerAllDialects(*unwrap(registry));
}
void unisparseRegisterPasses() { unisparse::registerPasses(); }
void unisparseRegisterAllPasses() { unisparse::registerAllPasses(); }
