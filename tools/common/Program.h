// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// From a computation to a program in the unisparse dialect, and what tools need
// around a pipeline: the IR after every pass, the first error in one line.
#ifndef UNISPARSE_TOOLS_COMMON_PROGRAM_H
#define UNISPARSE_TOOLS_COMMON_PROGRAM_H

#include "Computation.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Pass/PassManager.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "unisparse/Target/Artifact.h"

namespace unisparse::tools {

/// What a function of a program takes, in the order of its arguments; null
/// where it does not take it.  Stage::Pool takes no q, but asks for its heads.
struct TensorTypes {
  mlir::RankedTensorType q, k, v, composites, cuQ, cuK, counts, indices, sinks;
  /// Those that a modification's text reads have names of their own.
  llvm::SmallVector<std::pair<llvm::StringRef, mlir::RankedTensorType>> tables;
};

/// Which ops a function consists of.
enum class Stage {
  Attention, ///< Selects and attends.
  Selected,  ///< Attends to the given selection.
  Dense,     ///< Attends to everything, whatever selection it takes.
  Pool,      ///< Makes the composite keys of k.
  Select, ///< Selects by composite keys that are given; k says how many keys.
};

/// Whether it has o.
inline bool attends(Stage stage) {
  return stage != Stage::Pool && stage != Stage::Select;
}

/// Which results a function returns, of those that its stage has.
struct Returns {
  bool lse = true, selection = true, density = true;
};

/// Adds a function of `types` to the module. Arguments and results carry their
/// names (`unisparse.name`) where `named`, and no argument may be written.
/// Fails where a modification is none.
llvm::Expected<mlir::func::FuncOp>
addFunction(mlir::ModuleOp module, llvm::StringRef name,
            const Computation &computation, const TensorTypes &types,
            Stage stage, const Returns &returns, bool named);

/// Inputs are not to be written in place.
void protectArguments(mlir::func::FuncOp function);

/// Writes the module, now and after every pass that changes it, to `folder`:
/// 00-input.mlir, 01-canonicalize.mlir, ...
llvm::Error dumpIR(mlir::PassManager &pm, llvm::StringRef folder,
                   mlir::ModuleOp module);

/// Keeps the first error of a context in full, for one line to the user, and
/// all other diagnostics quiet.
class FirstError {
public:
  explicit FirstError(mlir::MLIRContext *context);

  /// What was said, or else `error`.
  llvm::Error orElse(llvm::Error error) const;

private:
  std::string text;
  mlir::ScopedDiagnosticHandler handler;
};

/// Far above any program or artifact.
inline constexpr uint64_t kMaxProgramBytes = uint64_t(1) << 30;

/// Loads the dialects of what is built here. The parser and passes load theirs,
/// and canonicalization takes longer with every dialect.
void loadDialects(mlir::MLIRContext &context);

/// Reads the program at `path`, a regular file.
llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
parseProgram(mlir::MLIRContext &context, llvm::StringRef path,
             const FirstError &said);

/// Runs the GPU pipeline; dumps the IR to `folder` unless that is empty.
llvm::Error runGPUPipeline(mlir::ModuleOp module,
                           const GPUPipelineOptions &options,
                           llvm::StringRef folder, const FirstError &said);

/// The same of the CPU pipeline.
llvm::Error runCPUPipeline(mlir::ModuleOp module,
                           const CPUPipelineOptions &options,
                           llvm::StringRef folder, const FirstError &said);

/// Renames all that a module defines: the process has symbols too, and compiled
/// code may call one, as malloc, that a program has another function for.
void isolateNames(mlir::ModuleOp module);

/// Makes `entry` the one public function, called through its C interface, which
/// keeps its name for people, behind isolateNames. Functions without a body are
/// an error.
llvm::Error prepareEntry(mlir::ModuleOp module, mlir::func::FuncOp entry);

/// translateToArtifact, with an error instead of diagnostics.
llvm::Expected<artifact::Artifact>
translate(mlir::ModuleOp module, llvm::StringRef entry, const FirstError &said);

} // namespace unisparse::tools

#endif // UNISPARSE_TOOLS_COMMON_PROGRAM_H
