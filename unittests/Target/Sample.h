// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// An artifact with one of everything, and its bytes.
#ifndef UNISPARSE_UNITTESTS_TARGET_SAMPLE_H
#define UNISPARSE_UNITTESTS_TARGET_SAMPLE_H

#include "unisparse/Target/Artifact.h"

namespace unisparse::artifact::test {

/// Every record and every kind of each.
Artifact everything();

Expr lengthOfQ();
Argument mapOfQ();

/// A file of that body, with the right size and checksum.
std::string fileOf(llvm::StringRef body);

} // namespace unisparse::artifact::test

#endif // UNISPARSE_UNITTESTS_TARGET_SAMPLE_H
