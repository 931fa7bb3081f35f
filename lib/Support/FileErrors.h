// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What reading and writing files share: the form of an error, names fit for
// one line, sizes of shapes.
#ifndef UNISPARSE_LIB_SUPPORT_FILEERRORS_H
#define UNISPARSE_LIB_SUPPORT_FILEERRORS_H

#include "unisparse/Support/SafeTensors.h"
#include "llvm/ADT/Twine.h"
#include <system_error>

namespace unisparse::files {

/// The format's own bound on a header.
inline constexpr uint64_t maxHeaderBytes = 100'000'000;

/// "PATH: what, expected X, got Y"
llvm::Error fail(llvm::StringRef path, const llvm::Twine &what,
                 const llvm::Twine &expected, const llvm::Twine &got);

/// As above, for what the system refused.
llvm::Error fail(llvm::StringRef path, const llvm::Twine &what,
                 const llvm::Twine &expected, std::error_code code);

/// A name from a file, fit for one line of an error: control characters are
/// replaced, and a name of megabytes is cut.
std::string quote(llvm::StringRef name);

/// "[2, 3]", cut where it is long.
std::string formatShape(llvm::ArrayRef<int64_t> shape);

/// The bytes a shape takes; nullopt where a dimension is negative or the
/// product leaves uint64_t. A zero among huge dimensions is an empty tensor.
std::optional<uint64_t> byteSize(DType dtype, llvm::ArrayRef<int64_t> shape);

} // namespace unisparse::files

#endif // UNISPARSE_LIB_SUPPORT_FILEERRORS_H
