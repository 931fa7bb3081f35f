// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_LIB_SUPPORT_SELECTIONMAPCHECK_H
#define UNISPARSE_LIB_SUPPORT_SELECTIONMAPCHECK_H

#include "unisparse/Support/SelectionMap.h"

namespace unisparse::files {

/// What makes a map impossible to draw: "PATH: selection map: field, expected
/// X, got Y".
llvm::Error checkSelectionMap(llvm::StringRef path, const SelectionMap &map);

} // namespace unisparse::files

#endif // UNISPARSE_LIB_SUPPORT_SELECTIONMAPCHECK_H
