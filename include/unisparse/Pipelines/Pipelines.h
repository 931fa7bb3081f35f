// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Pipelines from the unisparse dialect to a target.
#ifndef UNISPARSE_PIPELINES_PIPELINES_H
#define UNISPARSE_PIPELINES_PIPELINES_H

#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace unisparse {

/// Width of a target's vector registers.
enum class VectorBits { V128 = 128, V256 = 256, V512 = 512 };

/// How tile code runs on a CPU.
struct TileCPUPipelineOptions
    : mlir::PassPipelineOptions<TileCPUPipelineOptions> {
  Option<VectorBits> vectorBits{
      *this, "vector-bits",
      llvm::cl::desc("width of the target's vectors; any target runs any"),
      llvm::cl::init(VectorBits::V256),
      llvm::cl::values(clEnumValN(VectorBits::V128, "128", "SSE, NEON"),
                       clEnumValN(VectorBits::V256, "256", "AVX2"),
                       clEnumValN(VectorBits::V512, "512", "AVX-512"))};
  Option<bool> descending{*this, "descending",
                          llvm::cl::desc("walk from the last key tile down"),
                          llvm::cl::init(false)};
};

/// Pages of tile code and the host code that launches them to the LLVM dialect,
/// OpenMP threads included: `unitile-to-cpu-pipeline`.
void buildTileCPUPipeline(mlir::OpPassManager &pm,
                          const TileCPUPipelineOptions &options);

struct CPUPipelineOptions : mlir::PassPipelineOptions<CPUPipelineOptions> {
  Option<VectorBits> vectorBits{
      *this, "vector-bits",
      llvm::cl::desc("width of the target's vectors; any target runs any, this "
                     "decides how tiles fit registers"),
      llvm::cl::init(VectorBits::V256),
      llvm::cl::values(clEnumValN(VectorBits::V128, "128", "SSE, NEON"),
                       clEnumValN(VectorBits::V256, "256", "AVX2"),
                       clEnumValN(VectorBits::V512, "512", "AVX-512"))};
  Option<bool> bf16Dot{
      *this, "bf16-dot",
      llvm::cl::desc("the target has AVX512-BF16, whose dot products attention "
                     "on bf16 uses; its vectors have 512 bits"),
      llvm::cl::init(false)};
  Option<bool> instrument{
      *this, "instrument-stages",
      llvm::cl::desc("call @unisparse_stage_begin and _end around each stage"),
      llvm::cl::init(false)};
  Option<bool> library{
      *this, "library",
      llvm::cl::desc("results are arguments, whose memory a caller has; a "
                     "description of them stays with the module"),
      llvm::cl::init(false)};
  Option<bool> pages{
      *this, "pages",
      llvm::cl::desc(
          "attend as the page of tile code that GPUs get, not by the "
          "CPU's own loops"),
      llvm::cl::init(false)};
  Option<std::string> chip{
      *this, "chip",
      llvm::cl::desc("with pages: the chip whose tiles they have"),
      llvm::cl::init("sm_80")};
  Option<bool> descending{
      *this, "descending",
      llvm::cl::desc("with pages: walk from the last key tile down"),
      llvm::cl::init(false)};
};

/// Of a module that went through the CPU pipeline as a library: an artifact
/// without variants, its bytes.
inline constexpr llvm::StringLiteral kDescriptionAttr = "unisparse.description";

/// unisparse ops on tensors to the LLVM dialect, OpenMP threads included:
/// `unisparse-to-cpu-pipeline`.
void buildCPUPipeline(mlir::OpPassManager &pm,
                      const CPUPipelineOptions &options);

struct FromLinalgPipelineOptions
    : mlir::PassPipelineOptions<FromLinalgPipelineOptions> {
  Option<std::string> rule{
      *this, "rule",
      llvm::cl::desc("make attention sparse by this rule, as in top_p=0.9, "
                     "or by the measured one; without any it stays dense"),
      llvm::cl::init("")};
  Option<std::string> block{*this, "block",
                            llvm::cl::desc("queries by keys of a block"),
                            llvm::cl::init("128x128")};
  Option<std::string> pooling{
      *this, "pooling",
      llvm::cl::desc("queries by keys that a composite token averages, or the "
                     "measured pooling"),
      llvm::cl::init("measured")};
  Option<int64_t> minLength{
      *this, "min-length",
      llvm::cl::desc("attention over fewer keys stays dense"),
      llvm::cl::init(0)};
};

/// Dense attention in linalg, as front ends export it, to unisparse ops:
/// `unisparse-from-linalg`.
void buildFromLinalgPipeline(mlir::OpPassManager &pm,
                             const FromLinalgPipelineOptions &options);

/// What becomes of a gpu.module.
enum class TileFormat { None, Isa, Bin };

struct TilePipelineOptions {
  std::string chip = "sm_80";
  TileFormat format = TileFormat::Isa;
};

/// Tile code in gpu.modules to PTX or machine code:
/// `unitile-to-nvvm-pipeline`. Fails, after a diagnostic, on a chip that is not
/// in the table of Target/Nvidia.h.
mlir::LogicalResult
buildTilePipeline(mlir::OpPassManager &pm, const TilePipelineOptions &options,
                  llvm::function_ref<mlir::InFlightDiagnostic()> emitError);

struct GPUPipelineOptions {
  std::string chip = "sm_80";
  TileFormat format = TileFormat::Isa;
  /// Where the chip can: launches begin while those in front of them end, and
  /// their counters are cleared in one step.
  bool overlap = true;
  /// Results have the strides that a launch plan's caller gives.
  bool callerStrides = false;
  /// Of the device, where host code is lowered by others; 0: the launch plan
  /// asks.
  int64_t multiprocessors = 0;
};

/// unisparse ops on tensors to kernels for a chip and host code on buffers that
/// launches them: `unisparse-to-gpu-pipeline`. Fails as buildTilePipeline does.
mlir::LogicalResult
buildGPUPipeline(mlir::OpPassManager &pm, const GPUPipelineOptions &options,
                 llvm::function_ref<mlir::InFlightDiagnostic()> emitError);

void registerCPUPipeline();
void registerFromLinalgPipeline();
void registerGPUPipeline();
void registerTileCPUPipeline();
void registerTilePipeline();

} // namespace unisparse

#endif // UNISPARSE_PIPELINES_PIPELINES_H
