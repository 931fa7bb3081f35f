// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Pipelines from the unisparse dialect to a target.
#ifndef UNISPARSE_PIPELINES_PIPELINES_H
#define UNISPARSE_PIPELINES_PIPELINES_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace unisparse {

struct CPUPipelineOptions
    : mlir::PassPipelineOptions<CPUPipelineOptions> {
  Option<int64_t> vectorBits{
      *this, "vector-bits",
      llvm::cl::desc("width of the target's vectors: 128, 256 or 512; any "
                     "target runs any, this decides how tiles fit registers"),
      llvm::cl::init(256)};
  Option<bool> instrument{
      *this, "instrument-stages",
      llvm::cl::desc("call @unisparse_stage_begin and _end around each stage"),
      llvm::cl::init(false)};
};

/// unisparse ops on tensors to the LLVM dialect, OpenMP threads included:
/// `unisparse-to-cpu-pipeline`.
void buildCPUPipeline(mlir::OpPassManager &pm,
                      const CPUPipelineOptions &options);

void registerPipelines();

} // namespace unisparse

#endif // UNISPARSE_PIPELINES_PIPELINES_H
