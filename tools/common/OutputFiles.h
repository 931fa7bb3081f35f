// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The files that a run writes, checked before it does any work.
#ifndef UNISPARSE_TOOLS_COMMON_OUTPUTFILES_H
#define UNISPARSE_TOOLS_COMMON_OUTPUTFILES_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

namespace unisparse::tools {

/// An option and the path that it was given; no file where that is empty.
struct NamedPath {
  llvm::StringRef option, path;
};

/// What a run reads and writes.
struct RunFiles {
  llvm::SmallVector<NamedPath> inputs;  ///< Files that are read.
  llvm::SmallVector<NamedPath> outputs; ///< Files that are written.
  NamedPath dumpIR;                     ///< The folder that IR goes to.
};

/// Refuses outputs that cannot be written, that are no regular files, that are
/// one file twice, and that are an input or the running program itself; also
/// files of a dump, in folders below too.
llvm::Error checkFiles(const RunFiles &files);

} // namespace unisparse::tools

#endif // UNISPARSE_TOOLS_COMMON_OUTPUTFILES_H
