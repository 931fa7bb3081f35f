// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Which keys a condition lets a query see.
#ifndef UNISPARSE_CONVERSION_LINALGTOUNISPARSE_MASK_H
#define UNISPARSE_CONVERSION_LINALGTOUNISPARSE_MASK_H

#include "Trace.h"

namespace unisparse::raise {

/// key <= query + offset; every key where there is no query.
struct CausalMask {
  std::optional<Index> query;
  int64_t offset = 0;
};

/// Reads a condition that holds where a key is seen (`isSeen`) or hidden. Says
/// `why` it is no causal mask.
mlir::FailureOr<CausalMask> matchCausalMask(Tracer &tracer,
                                            const Term &condition, bool isSeen,
                                            llvm::ArrayRef<Digit> key,
                                            std::string &why);

} // namespace unisparse::raise

#endif // UNISPARSE_CONVERSION_LINALGTOUNISPARSE_MASK_H
