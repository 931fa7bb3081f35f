// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Conversion/UniSparseToLoops.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "unisparse/InitAll.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "unisparse/Transforms/Passes.h"

void unisparse::registerDialects(mlir::DialectRegistry &registry) {
  registry.insert<UniSparseDialect, unitile::UniTileDialect>();
  registerBufferizableOpInterfaceModels(registry);
  // unitile-to-nvvm-pipeline lowers branches through it.
  mlir::cf::registerConvertControlFlowToLLVMInterface(registry);
}

void unisparse::registerPasses() {
  registerUniSparseTransformsPasses();
  registerUniSparseConversionPasses();
  registerUniSparseCPUPasses();
  registerUniTileTransformsPasses();
  registerCPUPipeline();
  registerGPUPipeline();
  registerTilePipeline();
}
