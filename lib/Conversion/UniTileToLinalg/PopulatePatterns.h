// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_LIB_CONVERSION_UNITILETOLINALG_POPULATEPATTERNS_H
#define UNISPARSE_LIB_CONVERSION_UNITILETOLINALG_POPULATEPATTERNS_H

#include "mlir/Transforms/DialectConversion.h"

namespace unisparse::unitile {

/// fill, map, reduce, fold, all_below, dot: linalg on tensors.
void populateArithmeticPatterns(const mlir::TypeConverter &converter,
                                mlir::RewritePatternSet &patterns);
/// fetch, put, locate: loops over memory.
void populateMemoryPatterns(const mlir::TypeConverter &converter,
                            mlir::RewritePatternSet &patterns);

} // namespace unisparse::unitile

#endif // UNISPARSE_LIB_CONVERSION_UNITILETOLINALG_POPULATEPATTERNS_H
