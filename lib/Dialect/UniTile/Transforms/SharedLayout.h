// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Where what a kernel reserves lies in its shared memory.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_SHAREDLAYOUT_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_SHAREDLAYOUT_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace unisparse {

/// What reserves shared memory, and at which byte: where its `offset` says, or
/// behind all that have one, tiles first.
struct SharedPiece {
  mlir::Operation *op;
  mlir::StringAttr name; ///< Of its offset.
  bool placed;           ///< It had one.
  int64_t bytes, alignment, offset;
};

/// All pieces, and the bytes that a launch has to ask for.
llvm::SmallVector<SharedPiece> layOutShared(mlir::gpu::GPUFuncOp kernel,
                                            int64_t &bytes);

inline int64_t sharedBytesOf(mlir::gpu::GPUFuncOp kernel) {
  int64_t bytes = 0;
  layOutShared(kernel, bytes);
  return bytes;
}

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_SHAREDLAYOUT_H
