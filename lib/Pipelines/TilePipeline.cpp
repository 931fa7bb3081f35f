// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// From tile code to PTX or machine code, one sentence of why a pass.
#include "ChipPipeline.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "unisparse/Target/Nvidia.h"

using namespace mlir;
using namespace unisparse;

LogicalResult
unisparse::buildTilePipeline(OpPassManager &pm,
                             const TilePipelineOptions &options,
                             function_ref<InFlightDiagnostic()> emitError) {
  FailureOr<const NvidiaChip *> found =
      requireNvidiaChip(options.chip, emitError);
  if (failed(found))
    return failure();
  const NvidiaChip *chip = *found;
  // LLVM hears which chip and PTX version to write for.
  GpuNVVMAttachTargetOptions target;
  target.chip = chip->name.str();
  target.features = chip->ptx.str();
  target.optLevel = 3;
  pm.addPass(createGpuNVVMAttachTarget(target));
  // Host code stays as it is: whoever launches the kernels lowers it.
  OpPassManager &kernels = pm.nest<gpu::GPUModuleOp>();
  // A tile read too early computes with what happens to be there, and a chip
  // without an instruction ends LLVM: refused here, in words.
  UniTileVerifyTileContractOptions contract;
  contract.hopper = chip->hasWgmma;
  kernels.addPass(createUniTileVerifyTileContract(contract));
  // Who holds what, and by which instructions it is multiplied.
  kernels.addPass(createUniTileAssignLayouts());
  // Tiles get their places, within what this chip has.
  UniTileAllocateSharedOptions shared;
  shared.limit = chip->sharedBytes;
  kernels.addPass(createUniTileAllocateShared(shared));
  // Host code knows no tiles: an edited page has outgrown its launch.
  pm.addPass(createUniTileVerifyLaunches());
  OpPassManager &threads = pm.nest<gpu::GPUModuleOp>();
  // Tile code becomes what each thread does.
  threads.addPass(createConvertUniTileToNVVM());
  // The loop that a kernel spends its time in becomes one piece of code. Only
  // now: threads that execute a product together come by it one warp after the
  // other, which is theirs to do but not the contract's to see.
  threads.addPass(createUniTileSplitRareSteps());
  // Every product computed its addresses anew; now they are shared.
  threads.addPass(createCanonicalizerPass());
  threads.addPass(createCSEPass());
  // Loops become branches.
  threads.addPass(createSCFToControlFlowPass());
  // Before convert-gpu-to-nvvm, which would call libdevice for these.
  threads.addPass(createConvertMathToLLVMPass());
  threads.addPass(createArithToLLVMConversionPass());
  // Kernels become LLVM functions, block and thread ids special registers.
  // (Every chip of the table adds up a warp's integers by redux.)
  ConvertGpuOpsToNVVMOpsOptions kernelsOfLLVM;
  kernelsOfLLVM.hasRedux = true;
  threads.addPass(createConvertGpuOpsToNVVMOps(kernelsOfLLVM));
  // Only now are kernels NVVM's, which may take maps by value.
  threads.addPass(createUniTilePassMapsByValue());
  // The vectors of fragments; addresses that appeared on the way.
  threads.addPass(createConvertVectorToLLVMPass());
  threads.addPass(createArithToLLVMConversionPass());
  // (convert-cf-to-llvm insists on whole modules, host code and all.)
  ConvertToLLVMPassOptions branches;
  branches.filterDialects = {"cf"};
  threads.addPass(createConvertToLLVMPass(branches));
  // NVVM ops without an intrinsic are written as PTX text.
  threads.addPass(createConvertNVVMToLLVMPass());
  threads.addPass(createReconcileUnrealizedCastsPass());
  threads.addPass(createCanonicalizerPass());
  threads.addPass(createCSEPass());
  if (options.format == TileFormat::None)
    return success();
  GpuModuleToBinaryPassOptions binary;
  binary.compilationTarget = options.format == TileFormat::Isa ? "isa" : "bin";
  pm.addPass(createGpuModuleToBinaryPass(binary));
  return success();
}

namespace {
struct TilePipeline
    : ChipPipeline<TilePipeline, TilePipelineOptions, buildTilePipeline> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(TilePipeline)
  StringRef getArgument() const override { return "unitile-to-nvvm-pipeline"; }
  StringRef getDescription() const override {
    return "lower tile code in gpu.modules to PTX or machine code";
  }
};
} // namespace

void unisparse::registerTilePipeline() { PassRegistration<TilePipeline>(); }
