// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The dialect, passes and pipelines for an mlir-opt that somebody else built:
//   mlir-opt-22 --load-dialect-plugin=UniSparsePlugin.so
//               --load-pass-plugin=UniSparsePlugin.so --pass-pipeline=...
#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "mlir/Tools/Plugins/PassPlugin.h"
#include "unisparse/InitAll.h"
#include "llvm/Config/llvm-config.h"

extern "C" LLVM_ATTRIBUTE_WEAK mlir::DialectPluginLibraryInfo
mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "UniSparse", LLVM_VERSION_STRING,
          [](mlir::DialectRegistry *registry) {
            unisparse::registerDialects(*registry);
          }};
}

extern "C" LLVM_ATTRIBUTE_WEAK mlir::PassPluginLibraryInfo
mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "UniSparse", LLVM_VERSION_STRING,
          [] { unisparse::registerPasses(); }};
}
