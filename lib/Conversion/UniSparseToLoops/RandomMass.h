// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The pseudo-random masses of rule random, the same on every target (L10).
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_RANDOMMASS_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_RANDOMMASS_H

#include "Emit.h"

namespace unisparse::loops {

/// i32 bits that stand for query block `row` of a (batch, head) unit.
Value randomRow(Emit &e, int64_t seed, Value unit, Value row);
/// The mass of key block `j` in such a row, in [0, 1), f64: it has 32 bits.
Value randomMass(Emit &e, Value row, Value j);

} // namespace unisparse::loops

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOLOOPS_RANDOMMASS_H
