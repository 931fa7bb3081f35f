// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The CPU pipeline, one sentence of why a pass. Four levels, each closed by a
// contract: tensors, loops over tiles, vectors and threads, LLVM. Pages of tile
// code join behind the tensors.
#include "ModulePipeline.h"
#include "OwnLinalg.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Affine/Transforms/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/Pipelines/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/Transforms/Passes.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "unisparse/Transforms/Passes.h"

using namespace mlir;
using namespace unisparse;

/// Whoever has AVX512-BF16 has vectors of 512 bits.
static VectorBits vectorsOf(const CPUPipelineOptions &options) {
  return options.bf16Dot ? VectorBits::V512 : options.vectorBits;
}
/// Two vectors of queries side by side, so that a broadcast of A serves two
/// multiplications; as many rows as leave registers for B and the broadcast:
/// 8 of 16 registers with AVX2, 16 of 32 with AVX-512.
static int64_t stripFor(VectorBits bits) {
  return 2 * static_cast<int64_t>(bits) / 32;
}
static int64_t registerRowsFor(VectorBits bits) {
  return bits == VectorBits::V512 ? 8 : 4;
}

static void buildTensorLevel(OpPassManager &pm,
                             const CPUPipelineOptions &options) {
  // What a caller has memory for is allocated in the function it calls.
  if (options.library)
    pm.addPass(createInlinerPass());
  // What ops promise of dynamic sizes is somebody's word, in words of the
  // program while it is as it was written.
  pm.addPass(createUniSparseCheckSizes());
  // Dense rules and unread LSEs are only seen while attention is one op.
  pm.addPass(createCanonicalizerPass());
  // Each stage has a loop nest of its own.
  pm.addPass(createUniSparseDecomposeAttention());
  // Shapes became constants, masses of dense rules nobody's business.
  pm.addPass(createCanonicalizerPass());
  // Two attentions over the same q and k share their estimate.
  pm.addPass(createCSEPass());
  // A program's own softmax is no op that becomes a loop; its pieces are.
  pm.addPass(createUniSparseDecomposeLinalg());
  // Nor is arithmetic on tensors.
  pm.addPass(createConvertElementwiseToLinalgPass());
  // A stage that cannot be tiled, an op that has no buffers, is refused here,
  // in words.
  pm.addPass(createUniSparseVerifyTensorContract());
  // Stages must still be ops to be told apart.
  if (options.instrument)
    pm.addPass(createUniSparseInstrumentStages());
}

/// Stages become pages, as on GPUs.
static void buildPages(OpPassManager &pm, const CPUPipelineOptions &options) {
  // A page has tiles, and a chip decides about them.
  UniSparseSelectScheduleOptions schedule;
  schedule.chip = options.chip;
  pm.addPass(createUniSparseSelectSchedule(schedule));
  // Every stage is a page, with its launch.
  pm.addPass(createConvertUniSparseToUniTile());
  // And so is the program's own linalg.
  addOwnLinalg(pm);
}

static void buildTileLevel(OpPassManager &pm, bool descending) {
  // As many as there are parts of their memory: fewer than items even in small
  // tests.
  UniTileAssumeMultiprocessorsOptions device;
  device.count = 4;
  pm.addPass(createUniTileAssumeMultiprocessors(device));
  // A CTA for each part of a kernel's own memory.
  UniTilePersistOptions persist;
  persist.specialised = true;
  pm.addPass(createUniTilePersist(persist));
  OpPassManager &kernels = pm.nest<gpu::GPUModuleOp>();
  // Masks and softmax have one text, for GPUs and here.
  kernels.addPass(createUniTileDecomposeSoftmax());
  // A walk in one of the orders that it allows.
  UniTileWalkToForOptions walk;
  walk.descending = descending;
  kernels.addPass(createUniTileWalkToFor(walk));
  // One order for data-parallel loops, too, whose threads are a GPU's.
  kernels.addPass(createUniTileParallelToFor());
  // What carries nothing from iteration to iteration is upstream's to order.
  kernels.addPass(createParallelForToNestedForsPass());
  // One iteration for each CTA; device memory is the host's.
  pm.addPass(createUniTileLaunchToParallel());
  // Tiles are tensors, and what is computed with them is linalg.
  pm.addPass(createConvertUniTileToLinalg());
  // A line of maps is one pass over memory.
  pm.addNestedPass<func::FuncOp>(createLinalgElementwiseOpFusionPass());
  // O is rescaled where it is.
  pm.addPass(bufferization::createEmptyTensorEliminationPass());
}

static void buildLoopLevel(OpPassManager &pm,
                           const CPUPipelineOptions &options) {
  // Stages become loops over tiles; tensors stay at their edges only.
  ConvertUniSparseToLoopsOptions loops;
  loops.strip = stripFor(vectorsOf(options));
  loops.bf16Pairs = options.bf16Dot;
  pm.addPass(createConvertUniSparseToLoops(loops));
  // Tensors between stages and at function boundaries become buffers; plain
  // layouts there, as callers pass contiguous arrays. Loops carry what a stage
  // gives, a new buffer in every iteration; deallocation frees the old one.
  bufferization::OneShotBufferizePassOptions bufferize;
  bufferize.bufferizeFunctionBoundaries = true;
  bufferize.allowReturnAllocsFromLoops = true;
  bufferize.functionBoundaryTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
  // Shapes that only a mass of a dense rule carried go away.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  if (options.library) {
    // Who has the memory of results has to know their sizes.
    pm.addPass(createUniSparseDescribeProgram());
    // Results are written where the caller wants them.
    bufferization::BufferResultsToOutParamsPassOptions results;
    results.hoistStaticAllocs = results.hoistDynamicAllocs = true;
    results.modifyPublicFunctions = results.addResultAttribute = true;
    pm.addPass(bufferization::createBufferResultsToOutParamsPass(results));
    // With the strides that they have there.
    pm.addPass(createUniSparseStrideResults());
  }
  // Every buffer gets its end; before threads exist, as deallocation does not
  // look into OpenMP regions.
  bufferization::BufferDeallocationPipelineOptions deallocation;
  bufferization::buildBufferDeallocationPipeline(pm, deallocation);
  pm.addPass(createConvertBufferizationToMemRefPass());
  // Closes the level.
  pm.addPass(createUniSparseVerifyLoopsContract());
}

static void buildVectorLevel(OpPassManager &pm,
                             const CPUPipelineOptions &options) {
  // Contractions are most of the arithmetic: registers first.
  UniSparseVectorizeContractionsOptions contractions;
  contractions.registerRows = registerRowsFor(vectorsOf(options));
  pm.addNestedPass<func::FuncOp>(
      createUniSparseVectorizeContractions(contractions));
  // Attention on bf16 comes in pairs, where the target multiplies them.
  if (options.bf16Dot) {
    UniSparseVectorizePairsOptions pairs;
    pairs.registerRows = contractions.registerRows;
    pm.addNestedPass<func::FuncOp>(createUniSparseVectorizePairs(pairs));
  }
  // Copies that are no memcpy would call MLIR's own runner.
  pm.addNestedPass<func::FuncOp>(createUniSparseExpandCopies());
  // What is left of linalg fills buffers, copies, or is the program's own.
  pm.addNestedPass<func::FuncOp>(createConvertLinalgToLoopsPass());
  // Row addresses do not change while a row is worked on.
  pm.addPass(createLoopInvariantCodeMotionPass());
  // Rows of query blocks run in parallel, handed out as threads get free: rows
  // differ in how much they select.
  pm.addPass(createConvertSCFToOpenMPPass());
  pm.addNestedPass<func::FuncOp>(createUniSparseDynamicSchedule());
  // Scopes for stack memory around the bodies, which hold none: branches may
  // not be made inside them.
  pm.addPass(createCanonicalizerPass());
}

static void buildLLVMLevel(OpPassManager &pm, bool bf16Dot = false) {
  // Length rules that do not hold say so, to a host that wants to hear it.
  pm.addPass(createUniSparseReportViolations());
  // Loops become branches, subviews become pointer arithmetic.
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  // exp of a vector is a polynomial here, not lanes of calls to libm.
  pm.addNestedPass<func::FuncOp>(createUniSparseExpandMath());
  // bf16 has no instructions on most CPUs and no library calls everywhere. CPUs
  // that multiply it convert it, too.
  arith::ArithExpandOpsPassOptions expand;
  expand.includeBf16 = !bf16Dot;
  pm.addPass(arith::createArithExpandOpsPass(expand));
  // Dialect by dialect down to LLVM; each pass knows one.
  ConvertVectorToLLVMPassOptions vectors;
  vectors.x86Vector = bf16Dot;
  pm.addPass(createConvertVectorToLLVMPass(vectors));
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createConvertOpenMPToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createUBToLLVMConversionPass());
  // Casts between the levels cancel.
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // Closes the pipeline.
  pm.addPass(createUniSparseVerifyLLVMContract());
}

void unisparse::buildCPUPipeline(OpPassManager &pm,
                                 const CPUPipelineOptions &options) {
  buildTensorLevel(pm, options);
  if (options.pages) {
    buildPages(pm, options);
    buildTileLevel(pm, options.descending);
  }
  buildLoopLevel(pm, options);
  buildVectorLevel(pm, options);
  buildLLVMLevel(pm, options.bf16Dot);
}

void unisparse::buildTileCPUPipeline(OpPassManager &pm,
                                     const TileCPUPipelineOptions &options) {
  CPUPipelineOptions below;
  below.vectorBits = options.vectorBits;
  // What stands around the launches is any program, and has to be code on
  // buffers as in front of stages.
  pm.addPass(createUniSparseDecomposeLinalg());
  pm.addPass(createConvertElementwiseToLinalgPass());
  pm.addPass(createUniSparseVerifyTensorContract());
  buildTileLevel(pm, options.descending);
  buildLoopLevel(pm, below);
  buildVectorLevel(pm, below);
  buildLLVMLevel(pm);
}

void unisparse::registerTileCPUPipeline() {
  registerModulePipeline<TileCPUPipelineOptions>(
      "unitile-to-cpu-pipeline",
      "lower pages of tile code and their launches to LLVM for CPUs",
      buildTileCPUPipeline);
}

void unisparse::registerCPUPipeline() {
  registerModulePipeline<CPUPipelineOptions>(
      "unisparse-to-cpu-pipeline",
      "lower the unisparse dialect to LLVM for CPUs, threaded by OpenMP",
      buildCPUPipeline);
}
