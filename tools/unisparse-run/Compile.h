// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// From options and inputs to machine code.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_COMPILE_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_COMPILE_H

#include "Tensors.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "unisparse-rt/stages.h"

namespace unisparse::run {

/// Names of the functions built: the attention of the options, and dense
/// attention for --compare=dense. A program keeps its own name.
inline constexpr llvm::StringLiteral kMain = "main";
inline constexpr llvm::StringLiteral kDense = "unisparse_dense";

/// What a compiled function takes and returns, in order.
struct Signature {
  std::string name;
  llvm::SmallVector<mlir::RankedTensorType> arguments, results;
};

struct Compiled {
  std::unique_ptr<mlir::ExecutionEngine> engine;
  Signature main, dense;
  /// Artifacts of both, instead of an engine, where the target is a GPU.
  std::string mainImage, denseImage;
  double seconds = 0;
};

/// Builds the IR of the options (or reads --program, and from it the block and
/// causality that `options` then has), runs the pipeline of the target and
/// compiles: for this machine, or for options.chip.
llvm::Expected<Compiled> compile(mlir::MLIRContext &context, Options &options,
                                 const Inputs &in);

/// Stages of compiled code report here, by their number in
/// unisparse-rt/stages.h.
struct StageTimes {
  double seconds[UNISPARSE_STAGE_COUNT] = {};
};
/// Where the calls of compiled code add up; the caller's, set before a run.
extern StageTimes *currentStages;

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_COMPILE_H
