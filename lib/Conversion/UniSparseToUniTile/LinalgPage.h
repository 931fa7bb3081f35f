// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A program's own linalg as pages.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_LINALGPAGE_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_LINALGPAGE_H

#include "HostSide.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace unisparse {

/// As lowerToKernel of Kernels.h: a thread for each element of the results, one
/// after the other what is reduced to it.
mlir::FailureOr<mlir::SmallVector<mlir::Value>>
lowerToPage(HostSide &host, mlir::gpu::GPUModuleOp kernels,
            mlir::linalg::GenericOp op);

/// Whether a kernel may write this tensor.
bool fitsCode(mlir::arith::ConstantOp op);
/// A constant tensor that a kernel writes: a launch plan holds no data.
mlir::FailureOr<mlir::SmallVector<mlir::Value>>
lowerToPage(HostSide &host, mlir::gpu::GPUModuleOp kernels,
            mlir::arith::ConstantOp op);

/// What a tensor holds everywhere, where it is filled with one constant.
mlir::Value constantFillOf(mlir::Value tensor);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_LINALGPAGE_H
