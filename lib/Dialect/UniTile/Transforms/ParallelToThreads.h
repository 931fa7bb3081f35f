// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A page's parallel loops over memory, by the threads that it has.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_PARALLELTOTHREADS_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_PARALLELTOTHREADS_H

#include "mlir/IR/IRMapping.h"
#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"

namespace unisparse {

/// Every `threads`-th iteration of `loop`, the first of them `thread` (i32), in
/// the loop's place. What other threads have written before is for the caller
/// to make visible.
void distributeOver(mlir::scf::ParallelOp loop, mlir::Value thread,
                    int64_t threads);

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_PARALLELTOTHREADS_H
