// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What is wrong with a modification's text (M5), in the words of its own lines.
#ifndef UNISPARSE_TOOLS_COMMON_SCOREMODERRORS_H
#define UNISPARSE_TOOLS_COMMON_SCOREMODERRORS_H

#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>

namespace unisparse::tools {

/// Where a text is: an offset in it, which is its size at the end.
using TextOffset = size_t;

/// "2:21: [M5] expected EXPECTED, got GOT"
std::string complaint(llvm::StringRef text, TextOffset at,
                      const llvm::Twine &expected, const llvm::Twine &got);

/// What the body of a region has not, and MLIR would take for the end of the
/// region or for a part of what is around it: blocks, aliases, a '}' too many.
std::optional<std::string> findForeign(llvm::StringRef text);

/// MLIR's message about a place of the text, if it has said one, as a
/// complaint.
std::string translate(llvm::StringRef text, std::optional<TextOffset> at,
                      llvm::StringRef message);

} // namespace unisparse::tools

#endif // UNISPARSE_TOOLS_COMMON_SCOREMODERRORS_H
