// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Support/RegularFile.h"
#include "FileErrors.h"
#include "llvm/Support/FileSystem.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::files;

Expected<std::unique_ptr<MemoryBuffer>>
unisparse::openRegularFile(StringRef path, uint64_t maxBytes) {
  sys::fs::file_status status;
  if (std::error_code code = sys::fs::status(path, status))
    return fail(path, "cannot open", "a readable file", code);
  if (status.type() != sys::fs::file_type::regular_file)
    return fail(path, "cannot open", "a regular file", "another kind");
  if (status.getSize() > maxBytes)
    return fail(path, "cannot open", "at most " + Twine(maxBytes) + " bytes",
                Twine(status.getSize()));
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer =
      MemoryBuffer::getFile(path, /*IsText=*/false,
                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return fail(path, "cannot open", "a readable file", buffer.getError());
  return std::move(*buffer);
}
