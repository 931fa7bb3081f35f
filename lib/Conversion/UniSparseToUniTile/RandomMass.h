// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The pseudo-random masses of rule random, the same on every target (L10).
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_RANDOMMASS_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_RANDOMMASS_H

#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"

namespace unisparse {

/// i32 bits that stand for query block `row` of a (batch, head) unit.
Value randomRow(PageBuilder &p, int64_t seed, Value unit, Value row);
/// 32 bits that order as the masses of key blocks in such a row.
Value randomMass(PageBuilder &p, Value row, Value j);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_RANDOMMASS_H
