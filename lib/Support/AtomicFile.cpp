// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Support/AtomicFile.h"
#include "FileErrors.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Signals.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::files;

/// Where the content of `path` is to go: renaming onto a symbolic link would
/// replace the link, and onto a device, for the superuser, the device.
static Expected<std::string> resolveTarget(StringRef path) {
  sys::fs::file_status status;
  if (sys::fs::status(path, status))
    return path.str(); // Nothing there, or the temporary file gives the reason.
  if (status.type() != sys::fs::file_type::regular_file)
    return fail(path, "cannot write", "a regular file or nothing there",
                "another kind");
  SmallString<128> target;
  if (std::error_code code = sys::fs::real_path(path, target))
    return fail(path, "cannot write", "a path that resolves", code);
  return target.str().str();
}

Error unisparse::writeFileAtomically(StringRef path,
                                     ArrayRef<StringRef> parts) {
  std::string target;
  if (Error error = resolveTarget(path).moveInto(target))
    return error;
  // Not sys::fs::TempFile: it takes each '%' of the folder's name for a
  // wildcard, and where renaming fails it copies, which is not atomic. A short
  // name of its own also fits where one longer than the target's would not.
  SmallString<128> temp = sys::path::parent_path(target);
  sys::path::append(temp, ".unisparse-" + utostr(sys::Process::getProcessId()) +
                              "-" + utohexstr(sys::Process::GetRandomNumber()));

  std::error_code code;
  raw_fd_ostream os(temp, code, sys::fs::CD_CreateNew);
  if (code)
    return fail(path, "cannot write", "a writable folder", code);
  sys::RemoveFileOnSignal(temp);
  for (StringRef part : parts)
    os << part;
  os.close();
  code = os.error();
  os.clear_error(); // A stream destroyed with an error ends the process.
  if (!code)
    code = sys::fs::rename(temp, target);
  if (code)
    sys::fs::remove(temp);
  sys::DontRemoveFileOnSignal(temp);
  if (code)
    return fail(path, "cannot write", "a complete file", code);
  return Error::success();
}
