// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// From tile code to PTX or machine code, one sentence of why a pass.
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
  const NvidiaChip *chip = findNvidiaChip(options.chip);
  if (!chip) {
    InFlightDiagnostic error = emitError();
    error << "expected a chip among";
    for (const NvidiaChip &known : nvidiaChips())
      error << ' ' << known.name;
    return error << ", got '" << options.chip << "'";
  }
  // A tile read too early computes with what happens to be there, and a chip
  // without an instruction ends LLVM: refused here, in words.
  UniTileVerifyTileContractOptions contract;
  contract.hopper = chip->hasWgmma;
  pm.addNestedPass<gpu::GPUModuleOp>(createUniTileVerifyTileContract(contract));
  // Tiles get their places, within what this chip has.
  UniTileAllocateSharedOptions shared;
  shared.limit = chip->sharedBytes;
  pm.addNestedPass<gpu::GPUModuleOp>(createUniTileAllocateShared(shared));
  // Tile code becomes what each thread does.
  pm.addNestedPass<gpu::GPUModuleOp>(createConvertUniTileToNVVM());
  // Every product computed its addresses anew; now they are shared.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // LLVM hears which chip and PTX version to write for.
  GpuNVVMAttachTargetOptions target;
  target.chip = chip->name.str();
  target.features = chip->ptx.str();
  target.optLevel = 3;
  pm.addPass(createGpuNVVMAttachTarget(target));
  // Loops become branches.
  pm.addPass(createSCFToControlFlowPass());
  // Before convert-gpu-to-nvvm, which would call libdevice for these.
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  // Kernels become LLVM functions, block and thread ids special registers.
  pm.addNestedPass<gpu::GPUModuleOp>(createConvertGpuOpsToNVVMOps());
  // Only now are kernels NVVM's, which may take maps by value.
  pm.addNestedPass<gpu::GPUModuleOp>(createUniTilePassMapsByValue());
  // The vectors of fragments; addresses that appeared on the way.
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  // NVVM ops without an intrinsic are written as PTX text.
  pm.addPass(createConvertNVVMToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  if (options.format == TileFormat::None)
    return success();
  GpuModuleToBinaryPassOptions binary;
  binary.compilationTarget = options.format == TileFormat::Isa ? "isa" : "bin";
  pm.addPass(createGpuModuleToBinaryPass(binary));
  return success();
}

namespace {
/// A pipeline whose options can be wrong is a pass that says so: a builder of
/// PassPipelineRegistration has no way to fail.
struct TilePipeline : PassWrapper<TilePipeline, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(TilePipeline)
  TilePipeline() = default;
  TilePipeline(const TilePipeline &other) : PassWrapper(other) {
    copyOptionValuesFrom(&other);
  }

  StringRef getArgument() const override { return "unitile-to-nvvm-pipeline"; }
  StringRef getDescription() const override {
    return "lower tile code in gpu.modules to PTX or machine code";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    OpPassManager pm(ModuleOp::getOperationName());
    TilePipelineOptions defaults;
    (void)buildTilePipeline(pm, defaults, [] { return InFlightDiagnostic(); });
    pm.getDependentDialects(registry);
  }

  void runOnOperation() override {
    TilePipelineOptions options;
    options.chip = chip.getValue();
    options.format = format.getValue();
    OpPassManager pm(ModuleOp::getOperationName());
    if (failed(buildTilePipeline(pm, options,
                                 [&] { return getOperation().emitError(); })) ||
        failed(runPipeline(pm, getOperation())))
      signalPassFailure();
  }

  Option<std::string> chip{*this, "chip", llvm::cl::init("sm_80"),
                           llvm::cl::desc("chip to compile for")};
  Option<TileFormat> format{
      *this, "format", llvm::cl::init(TileFormat::Isa),
      llvm::cl::desc("what becomes of the kernels"),
      llvm::cl::values(
          clEnumValN(TileFormat::None, "llvm", "LLVM dialect, as it is"),
          clEnumValN(TileFormat::Isa, "isa", "PTX"),
          clEnumValN(TileFormat::Bin, "bin", "machine code, by ptxas"))};
};
} // namespace

void unisparse::registerTilePipeline() { PassRegistration<TilePipeline>(); }
