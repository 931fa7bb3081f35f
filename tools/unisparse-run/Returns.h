// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a program or an artifact returns, against what is asked of it.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_RETURNS_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_RETURNS_H

#include "Tensors.h"

namespace unisparse::run {

/// A result's type. Sizes are -1 where they are not known yet.
struct ReturnedType {
  std::optional<DType> dtype; ///< None where no result has such elements.
  llvm::SmallVector<int64_t, 4> shape;
  std::string text; ///< For messages.
};

/// Which results there are; of several of one kind the first counts.
struct ReturnedKinds {
  bool o = false, lse = false, counts = false, indices = false, density = false;
  bool selection() const { return counts && indices; }
};

/// Tells results apart by rank and elements. Error where one is none of those
/// that the tool knows or of a size that the inputs do not make it, where half
/// a selection is returned, and where --map or --output ask for what is not.
llvm::Expected<ReturnedKinds> checkReturns(llvm::StringRef subject,
                                           llvm::ArrayRef<ReturnedType> types,
                                           const Options &o, const Inputs &in);

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_RETURNS_H
