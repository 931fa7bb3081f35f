// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What --version says, of every tool.
#ifndef UNISPARSE_TOOLS_COMMON_VERSIONPRINTER_H
#define UNISPARSE_TOOLS_COMMON_VERSIONPRINTER_H

#include "unisparse/Version.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

namespace unisparse::tools {

/// LLVM's parser would print LLVM's version alone.
inline void setVersionPrinter() {
  llvm::cl::SetVersionPrinter([](llvm::raw_ostream &os) {
    os << "UniSparse version " UNISPARSE_VERSION "\n"
       << "LLVM version " LLVM_VERSION_STRING "\n";
  });
}

} // namespace unisparse::tools

#endif // UNISPARSE_TOOLS_COMMON_VERSIONPRINTER_H
