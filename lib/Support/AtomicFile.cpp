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
#include <filesystem>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::files;

/// The place that a link names, seen from the link's folder.
static std::error_code followLink(SmallString<128> &path) {
  std::error_code code;
  std::filesystem::path to = std::filesystem::read_symlink(path.c_str(), code);
  if (code)
    return code;
  if (to.is_relative())
    to = std::filesystem::path(path.c_str()).parent_path() / to;
  path = to.native();
  return {};
}

// Renaming onto a symbolic link would replace the link, and onto a device, for
// the superuser, the device.
Expected<std::string> unisparse::resolveOutput(StringRef path) {
  SmallString<128> target(path);
  sys::fs::file_status status;
  std::error_code code = sys::fs::status(target, status);
  if (!code && status.type() != sys::fs::file_type::regular_file)
    return fail(path, "cannot write", "a regular file or nothing there",
                "another kind");
  if (!code)
    code = sys::fs::real_path(path, target);
  else if (code == std::errc::no_such_file_or_directory) {
    // Links whose end does not exist yet. That status did not call them a loop
    // bounds their number.
    code = {};
    while (!code && sys::fs::is_symlink_file(target))
      code = followLink(target);
  }
  if (code)
    return fail(path, "cannot write", "a path that resolves", code);
  return target.str().str();
}

/// Opens the temporary file with the mode of what it is to replace; an owner is
/// kept where the system lets us: only the superuser gives files away.
static std::error_code openLike(StringRef target, StringRef temp, int &fd) {
  sys::fs::file_status status;
  bool replaces = !sys::fs::status(target, status);
  // Not readable by others, not even while it is empty, unless that file was.
  std::error_code code =
      sys::fs::openFileForWrite(temp, fd, sys::fs::CD_CreateNew,
                                sys::fs::OF_None, replaces ? 0600 : 0666);
  if (code || !replaces)
    return code;
  std::error_code ignored =
      sys::fs::changeFileOwnership(fd, status.getUser(), status.getGroup());
  (void)ignored;
  return sys::fs::setPermissions(fd, status.permissions());
}

Error unisparse::writeFileAtomically(StringRef path,
                                     ArrayRef<StringRef> parts) {
  std::string target;
  if (Error error = resolveOutput(path).moveInto(target))
    return error;
  // Not sys::fs::TempFile: it takes each '%' of the folder's name for a
  // wildcard, and where renaming fails it copies, which is not atomic. A short
  // name of its own also fits where one longer than the target's would not.
  SmallString<128> temp = sys::path::parent_path(target);
  sys::path::append(temp, ".unisparse-" + utostr(sys::Process::getProcessId()) +
                              "-" + utohexstr(sys::Process::GetRandomNumber()));

  int fd = -1;
  std::error_code code = openLike(target, temp, fd);
  if (fd < 0)
    return fail(path, "cannot write", "a writable folder", code);
  sys::RemoveFileOnSignal(temp);
  raw_fd_ostream os(fd, /*shouldClose=*/true);
  if (!code)
    for (StringRef part : parts)
      os << part;
  os.close();
  if (!code)
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
