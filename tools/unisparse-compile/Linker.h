// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The linker, a program of its own.
#ifndef UNISPARSE_TOOLS_UNISPARSE_COMPILE_LINKER_H
#define UNISPARSE_TOOLS_UNISPARSE_COMPILE_LINKER_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

namespace unisparse::compile {

/// Links one object to a shared library that asks for `libraries` by their
/// names; `empty` is an object without anything. A linker takes ld's options;
/// where none is named, LLVM's is searched for, then any.
llvm::Expected<std::string>
linkShared(llvm::StringRef object, llvm::StringRef empty,
           llvm::ArrayRef<llvm::StringRef> libraries, llvm::StringRef linker);

} // namespace unisparse::compile

#endif // UNISPARSE_TOOLS_UNISPARSE_COMPILE_LINKER_H
