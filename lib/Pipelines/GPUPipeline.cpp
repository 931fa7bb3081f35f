// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// From the unisparse dialect to kernels and their launches, one sentence of why
// a pass.
#include "ChipPipeline.h"
#include "OwnLinalg.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Transforms/Passes.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "unisparse/Target/Nvidia.h"
#include "unisparse/Transforms/Passes.h"

using namespace mlir;
using namespace unisparse;

void unisparse::addOwnLinalg(OpPassManager &pm) {
  pm.addNestedPass<func::FuncOp>(createLinalgGeneralizeNamedOpsPass());
  pm.addNestedPass<func::FuncOp>(createLinalgElementwiseOpFusionPass());
  pm.addPass(createConvertLinalgToUniTile());
}

LogicalResult
unisparse::buildGPUPipeline(OpPassManager &pm,
                            const GPUPipelineOptions &options,
                            function_ref<InFlightDiagnostic()> emitError) {
  // A host that only launches has no calls and no loops.
  pm.addPass(createInlinerPass());
  // What ops promise of dynamic sizes is somebody's word, in words of the
  // program while it is as it was written.
  pm.addPass(createUniSparseCheckSizes());
  // Dense rules and unread LSEs are only seen while attention is one op; bounds
  // of loops become constants.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createUniSparseUnrollLoops());
  // The whole operator becomes its four stages; a rule that takes everything
  // loses its estimate.
  pm.addPass(createUniSparseDecomposeAttention());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // A program's own softmax is no op that becomes a kernel; its pieces are.
  pm.addPass(createUniSparseDecomposeLinalg());
  // Nor is arithmetic on tensors.
  pm.addPass(createConvertElementwiseToLinalgPass());
  // Heads and head_dims have to be known from here on.
  pm.addPass(createUniSparseVerifyTensorContract());
  // The only place where the chip decides about tiles.
  UniSparseSelectScheduleOptions schedule;
  schedule.chip = options.chip;
  pm.addPass(createUniSparseSelectSchedule(schedule));
  // Stages become kernels of tile code; what is left launches them.
  pm.addPass(createConvertUniSparseToUniTile());
  // So does what a program computes between them, all in one form, and chains
  // of elementwise ops in one kernel.
  addOwnLinalg(pm);
  // Tensors of the host code become buffers: tokens as they come, strides and
  // all, whatever else contiguous, results as the kernels write them. A loop
  // that is left carries what a stage gives.
  bufferization::OneShotBufferizePassOptions bufferize;
  bufferize.bufferizeFunctionBoundaries = true;
  bufferize.functionBoundaryTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  bufferize.allowReturnAllocsFromLoops = true;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
  // Results are written where a caller wants them, as he has it.
  if (options.callerStrides)
    pm.addPass(createUniSparseStrideAllocations());
  // Pages get their copies beside their arithmetic, as the schedule says; from
  // here on kernels take addresses.
  pm.addPass(createUniTilePersist());
  pm.addPass(createUniTilePipeline());
  pm.addPass(createUniTileSpecialiseWarps());
  // Pages of data-parallel loops get their threads. Where rows are read that
  // are hardly ever fewer, their loads are in flight together.
  pm.nest<gpu::GPUModuleOp>().addPass(createUniTileUnrollBoundedLoops());
  pm.addPass(createUniTileDistributeThreads());
  OpPassManager &kernels = pm.nest<gpu::GPUModuleOp>();
  // A soft cap would take the unit that exponentials wait for.
  kernels.addPass(createUniTileShortTanh());
  kernels.addPass(createUniTileDecomposeSoftmax());
  // Who lowers the host's code himself says what his device has.
  if (options.multiprocessors) {
    UniTileAssumeMultiprocessorsOptions device;
    device.count = options.multiprocessors;
    pm.addPass(createUniTileAssumeMultiprocessors(device));
  }
  // Length rules that hold for every length fold away once equal sizes are one
  // value.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createCanonicalizerPass());
  // A call is a row of launches: first what they count in, then one close
  // behind the other.
  const NvidiaChip *chip = findNvidiaChip(options.chip);
  if (options.overlap && chip && chip->hasDependentLaunch()) {
    pm.addPass(createUniTileGatherCounters());
    pm.addPass(createUniTileOverlapLaunches());
  }
  TilePipelineOptions tile;
  tile.chip = options.chip;
  tile.format = options.format;
  return buildTilePipeline(pm, tile, emitError);
}

namespace {
struct GPUPipeline
    : ChipPipeline<GPUPipeline, GPUPipelineOptions, buildGPUPipeline> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(GPUPipeline)
  GPUPipeline() = default;
  GPUPipeline(const GPUPipeline &other) : ChipPipeline(other) {
    copyOptionValuesFrom(&other);
  }
  StringRef getArgument() const override { return "unisparse-to-gpu-pipeline"; }
  StringRef getDescription() const override {
    return "lower unisparse ops to kernels for a GPU and their launches";
  }
  void addOptions(GPUPipelineOptions &options) {
    options.overlap = overlap.getValue();
    options.callerStrides = callerStrides.getValue();
    options.multiprocessors = multiprocessors.getValue();
  }
  Option<int64_t> multiprocessors{
      *this, "multiprocessors", llvm::cl::init(0),
      llvm::cl::desc("of the device, for host code that is lowered by others; "
                     "0: asked when a launch plan is loaded")};
  Option<bool> callerStrides{
      *this, "caller-strides", llvm::cl::init(false),
      llvm::cl::desc("results have strides, which the caller of a launch plan "
                     "gives")};
  Option<bool> overlap{
      *this, "overlap", llvm::cl::init(true),
      llvm::cl::desc("launches begin while those in front of them end, where "
                     "the chip can (sm_90 on)")};
};
} // namespace

void unisparse::registerGPUPipeline() { PassRegistration<GPUPipeline>(); }
