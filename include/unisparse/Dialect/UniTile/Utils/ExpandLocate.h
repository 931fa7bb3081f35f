// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNITILE_UTILS_EXPANDLOCATE_H
#define UNISPARSE_DIALECT_UNITILE_UTILS_EXPANDLOCATE_H

#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"

namespace unisparse {

/// The results of `op`, by bisection with loads of its ends of sequences.
SmallVector<Value> expandLocate(PageBuilder &p, unitile::LocateOp op);

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNITILE_UTILS_EXPANDLOCATE_H
