// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// From tensors to a host function and kernels, one sentence of why a pass.
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"
#include "unisparse/Pipelines/Pipelines.h"

using namespace mlir;
using namespace unisparse;

LogicalResult
unisparse::buildGPUPipeline(OpPassManager &pm,
                            const GPUPipelineOptions &options,
                            function_ref<InFlightDiagnostic()> emitError) {
  // Dense rules and unread LSEs are only seen while attention is one op.
  pm.addPass(createCanonicalizerPass());
  // Each stage has a kernel of its own.
  pm.addPass(createUniSparseDecomposeAttention());
  // Masses of dense rules are nobody's business.
  pm.addPass(createCanonicalizerPass());
  // Stages become kernels and their launches.
  pm.addPass(createConvertUniSparseToUniTile());
  // Tensors between launches become device buffers; kernels take contiguous
  // ones.
  bufferization::OneShotBufferizePassOptions bufferize;
  bufferize.bufferizeFunctionBoundaries = true;
  bufferize.functionBoundaryTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
  // Sizes are read once.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  TilePipelineOptions tile;
  tile.chip = options.chip;
  tile.format = options.format;
  return buildTilePipeline(pm, tile, emitError);
}
