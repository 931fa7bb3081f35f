// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// From options and inputs to machine code.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_COMPILE_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_COMPILE_H

#include "../common/Program.h"
#include "Returns.h"
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

/// A module before the pipeline, and what its entry returns.
struct Program {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::func::FuncOp entry;
  ReturnedKinds returns;
};

/// Builds the IR of the options, or reads --program, and from it the block and
/// causality that `options` then has. Looks at shapes only, not at data.
llvm::Expected<Program> readOrBuild(mlir::MLIRContext &context,
                                    Options &options, const Inputs &in,
                                    const tools::FirstError &said);
llvm::Expected<Program> readProgram(mlir::MLIRContext &context,
                                    Options &options, const Inputs &in,
                                    const tools::FirstError &said);

/// Runs the pipeline of the target and compiles: for this machine, or for
/// options.chip.
llvm::Expected<Compiled> compile(Program &program, const Options &options,
                                 const tools::FirstError &said);

/// Machine code of a module in the LLVM dialect; `entry` is looked up, which
/// compiles it.
llvm::Expected<std::unique_ptr<mlir::ExecutionEngine>>
jit(mlir::ModuleOp module, llvm::StringRef entry, int64_t optLevel);

/// Queries side by side in a strip of code for this machine.
int64_t hostStrip();

mlir::Type elementType(mlir::MLIRContext *context, DType dtype);
mlir::RankedTensorType typeOf(mlir::MLIRContext *context, const Tensor &t);

/// Stages of compiled code report here, by their number in
/// unisparse-rt/stages.h.
struct StageTimes {
  double seconds[UNISPARSE_STAGE_COUNT] = {};
};
/// Where the calls of compiled code add up; the caller's, set before a run.
extern StageTimes *currentStages;

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_COMPILE_H
