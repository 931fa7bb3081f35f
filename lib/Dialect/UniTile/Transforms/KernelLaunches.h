// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Who launches which kernel, in a module.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_KERNELLAUNCHES_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_KERNELLAUNCHES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/MapVector.h"

namespace unisparse {

class KernelLaunches {
public:
  explicit KernelLaunches(mlir::ModuleOp module) {
    module.walk([&](mlir::gpu::LaunchFuncOp launch) {
      if (mlir::gpu::GPUFuncOp kernel = kernelOf(launch))
        launches[kernel].push_back(launch);
    });
  }
  /// Null where the kernel is no gpu.func of the module.
  mlir::gpu::GPUFuncOp kernelOf(mlir::gpu::LaunchFuncOp launch) {
    return symbols.lookupNearestSymbolFrom<mlir::gpu::GPUFuncOp>(
        launch, launch.getKernel());
  }
  llvm::ArrayRef<mlir::gpu::LaunchFuncOp> of(mlir::gpu::GPUFuncOp kernel) {
    return launches[kernel];
  }

private:
  mlir::SymbolTableCollection symbols;
  llvm::MapVector<mlir::Operation *, llvm::SmallVector<mlir::gpu::LaunchFuncOp>>
      launches;
};

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_KERNELLAUNCHES_H
