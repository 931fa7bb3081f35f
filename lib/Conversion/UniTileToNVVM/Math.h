// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_LIB_CONVERSION_UNITILETONVVM_MATH_H
#define UNISPARSE_LIB_CONVERSION_UNITILETONVVM_MATH_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace unisparse {

/// Functions that PTX has instructions for become LLVM's intrinsics by name:
/// left as ops, convert-gpu-to-nvvm would have them call libdevice.
void lowerMathToIntrinsics(mlir::gpu::GPUModuleOp module);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNITILETONVVM_MATH_H
