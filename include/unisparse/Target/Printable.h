// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Names out of files, on a terminal.
#ifndef UNISPARSE_TARGET_PRINTABLE_H
#define UNISPARSE_TARGET_PRINTABLE_H

#include "llvm/ADT/StringRef.h"
#include <string>

namespace unisparse {

/// The text with '?' in place of each control character (C0, DEL, C1, the
/// separators of lines and paragraphs), which could end a line or drive a
/// terminal; what is no UTF-8 becomes U+FFFD.
std::string printable(llvm::StringRef text);

} // namespace unisparse

#endif // UNISPARSE_TARGET_PRINTABLE_H
