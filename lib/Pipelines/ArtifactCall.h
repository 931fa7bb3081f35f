// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// An artifact and what calls it, in host code that the rest of a stack lowers.
#ifndef UNISPARSE_LIB_PIPELINES_ARTIFACTCALL_H
#define UNISPARSE_LIB_PIPELINES_ARTIFACTCALL_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "unisparse/Target/Artifact.h"

namespace unisparse {

/// Gives `function`, which is on tensors and has no body, one that calls
/// @unisparse_call of unisparse-rt/call.h with `artifact`, which becomes a
/// constant of the module.
void addArtifactCall(mlir::func::FuncOp function,
                     const artifact::Artifact &artifact);

} // namespace unisparse

#endif // UNISPARSE_LIB_PIPELINES_ARTIFACTCALL_H
