// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_SUPPORT_ATOMICFILE_H
#define UNISPARSE_SUPPORT_ATOMICFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace unisparse {

/// Where the content of `path` goes: behind its symbolic links, where nothing
/// need be yet. What exists and is not a regular file (a device, a folder), and
/// links that lead nowhere, are refused: "PATH: cannot write, expected X, got
/// Y".
llvm::Expected<std::string> resolveOutput(llvm::StringRef path);

/// Writes the concatenation of `parts` to a temporary file beside `path`, then
/// renames it: `path` holds either all of the new content or what it held
/// before, and a failure leaves no temporary file. The path is resolved as
/// above; a file that is there keeps its mode and, where possible, its owner.
llvm::Error writeFileAtomically(llvm::StringRef path,
                                llvm::ArrayRef<llvm::StringRef> parts);

} // namespace unisparse

#endif // UNISPARSE_SUPPORT_ATOMICFILE_H
