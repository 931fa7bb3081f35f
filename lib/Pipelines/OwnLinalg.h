// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_LIB_PIPELINES_OWNLINALG_H
#define UNISPARSE_LIB_PIPELINES_OWNLINALG_H

#include "mlir/Pass/PassManager.h"

namespace unisparse {

/// A program's own linalg becomes pages, once its stages are: with
/// unisparse-to-gpu-pipeline, and where its pages run on a CPU.
void addOwnLinalg(mlir::OpPassManager &pm);

} // namespace unisparse

#endif // UNISPARSE_LIB_PIPELINES_OWNLINALG_H
