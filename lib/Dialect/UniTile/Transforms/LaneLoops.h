// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A page's data-parallel loop as what each of several lanes does.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_LANELOOPS_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_LANELOOPS_H

#include "ParallelLoops.h"

namespace unisparse {

/// Lanes that exchange values by shuffles and ballots.
constexpr int64_t kWarp = 32;

/// Replaces the loop by the part of lane `lane` (i32) of `lanes`; they are a
/// warp's where iterations exchange values.
void lowerToLanes(ParallelLoop &loop, Value lane, int64_t lanes);

/// Whether an op, or what it holds, may write to memory.
bool mayWrite(Operation *op);

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_LANELOOPS_H
