// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From a compiled module to the plan that an artifact holds.
#ifndef UNISPARSE_TARGET_LAUNCHPLAN_H
#define UNISPARSE_TARGET_LAUNCHPLAN_H

#include "mlir/IR/BuiltinOps.h"
#include "unisparse/Target/Artifact.h"

namespace unisparse {

/// Argument and result attribute that names a tensor for people.
inline constexpr llvm::StringLiteral kNameAttr = "unisparse.name";

/// The signature, the checks and the one variant of a module as the GPU
/// pipeline leaves it: one straight-line host function over device buffers and
/// one gpu.binary. `entry` names the function; empty, it is the one public
/// function with a body. What would need code on the host is a diagnostic at
/// the op in question.
mlir::FailureOr<artifact::Artifact> translateToArtifact(mlir::ModuleOp module,
                                                        llvm::StringRef entry);

} // namespace unisparse

#endif // UNISPARSE_TARGET_LAUNCHPLAN_H
