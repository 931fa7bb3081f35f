// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From a compiled module to the plan that an artifact holds.
#ifndef UNISPARSE_TARGET_LAUNCHPLAN_H
#define UNISPARSE_TARGET_LAUNCHPLAN_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "unisparse/Dialect/UniSparse/IR/Names.h"
#include "unisparse/Target/Artifact.h"

namespace unisparse {

/// The signature, the checks and the one variant of a module as the GPU
/// pipeline leaves it: one straight-line host function over device buffers and
/// one gpu.binary. `entry` names the function; empty, it is the one public
/// function with a body. What would need code on the host is a diagnostic at
/// the op in question.
mlir::FailureOr<artifact::Artifact> translateToArtifact(mlir::ModuleOp module,
                                                        llvm::StringRef entry);

/// The function with a body of that name; empty, the one public one.
mlir::FailureOr<mlir::func::FuncOp> entryOf(mlir::ModuleOp module,
                                            llvm::StringRef name);

/// The signature of a function on buffers that a CPU runs: an artifact without
/// variants. Results are allocated in it, with sizes that are formulas of the
/// arguments' sizes; anything else is a diagnostic at the op.
mlir::FailureOr<artifact::Artifact>
describeProgram(mlir::func::FuncOp function);

} // namespace unisparse

#endif // UNISPARSE_TARGET_LAUNCHPLAN_H
