// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_SUPPORT_REGULARFILE_H
#define UNISPARSE_SUPPORT_REGULARFILE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>

namespace unisparse {

/// Maps the regular file `path`. Others are refused before they are opened: a
/// pipe would block, and a device may never end. So is a file of more than
/// `maxBytes`. Errors are "PATH: cannot open, expected X, got Y".
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
openRegularFile(llvm::StringRef path, uint64_t maxBytes = UINT64_MAX);

} // namespace unisparse

#endif // UNISPARSE_SUPPORT_REGULARFILE_H
