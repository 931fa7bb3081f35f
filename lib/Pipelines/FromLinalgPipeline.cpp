// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// From a front end's linalg to the unisparse dialect, one sentence of why a
// pass.
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Transforms/Passes.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"
#include "unisparse/Pipelines/Pipelines.h"

using namespace mlir;
using namespace unisparse;

void unisparse::buildFromLinalgPipeline(
    OpPassManager &pm, const FromLinalgPipelineOptions &options) {
  // Sizes of dynamic reshapes are guarded against being negative.
  pm.addPass(arith::createIntRangeOptimizationsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // One spelling of every contraction and every elementwise op,
  pm.addPass(createLinalgGeneralizeNamedOpsPass());
  // and one op where a chain of them was,
  pm.addPass(createLinalgElementwiseOpFusionPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // with no dimensions of size 1 between.
  pm.addPass(createLinalgFoldUnitExtentDimsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // Keeps what is computed.
  pm.addPass(createUniSparseRaiseAttention());
  // Masks and layouts that nobody needs any more.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // Changes it, where asked to.
  if (options.rule.empty())
    return;
  UniSparseSparsifyAttentionOptions sparsify;
  sparsify.rule = options.rule;
  sparsify.block = options.block;
  sparsify.pooling = options.pooling;
  sparsify.minLength = options.minLength;
  pm.addPass(createUniSparseSparsifyAttention(sparsify));
}

void unisparse::registerFromLinalgPipeline() {
  PassPipelineRegistration<FromLinalgPipelineOptions>(
      "unisparse-from-linalg",
      "find dense attention in linalg, and make it sparse where a rule is "
      "given",
      buildFromLinalgPipeline);
}
