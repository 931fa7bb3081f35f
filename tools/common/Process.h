// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// How a tool ends where the system gives out: in one line, with status 1.
#ifndef UNISPARSE_TOOLS_COMMON_PROCESS_H
#define UNISPARSE_TOOLS_COMMON_PROCESS_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace unisparse::tools {

/// Called first. From then on memory that `new` does not get ends the process
/// with an error, and so do what LLVM calls fatal and, at the end, a standard
/// output that does not take what was written to it.
void startProcess(llvm::StringRef tool);

/// Error where the process was started with its standard output closed: what
/// is to be written there would be lost.
llvm::Error checkOutputStream();

/// Ends the process with one line, status 1 and no half-written file. Any
/// thread may call it, several at a time: the first one speaks. It allocates
/// next to nothing.
[[noreturn]] void endProcess(llvm::StringRef message);

/// "memory: expected N bytes, got none"
[[noreturn]] void endWithoutMemory(size_t bytes);

} // namespace unisparse::tools

#endif // UNISPARSE_TOOLS_COMMON_PROCESS_H
