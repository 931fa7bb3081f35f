// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "OutputFiles.h"
#include "CommandLine.h"
#include "unisparse/Support/AtomicFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::tools;

/// Linux's name for the file that runs.
static constexpr StringLiteral kItself = "/proc/self/exe";

/// Whether both are there, and one.
static bool isSame(StringRef a, StringRef b) {
  bool same = false;
  return !sys::fs::equivalent(a, b, same) && same;
}

/// `path`, which is to be written, is nothing that the run needs.
static Error expectNoInput(StringRef option, StringRef path,
                           const RunFiles &files) {
  if (isSame(path, kItself))
    return failure(option, "expected another file than the program that runs, "
                           "got " +
                               path);
  for (const NamedPath &input : files.inputs)
    if (!input.path.empty() && isSame(path, input.path))
      return failure(option, "expected another file than " + input.option +
                                 ", got " + path);
  return Error::success();
}

/// One spelling of the place that a file goes to, whether it is there or not.
static Expected<std::string> placeOf(StringRef path) {
  Expected<std::string> target = resolveOutput(path);
  if (!target)
    return target;
  StringRef folder = sys::path::parent_path(*target);
  SmallString<128> place;
  if (sys::fs::real_path(folder.empty() ? "." : folder, place))
    return target; // No folder, which is said where it is to be written to.
  sys::path::append(place, sys::path::filename(*target));
  return place.str().str();
}

static Error checkOutput(const NamedPath &output, const RunFiles &files) {
  if (sys::fs::is_directory(output.path))
    return failure(output.option,
                   "expected a file, got the folder " + output.path);
  if (Error e = expectNoInput(output.option, output.path, files))
    return e;
  std::string target;
  if (Error e = placeOf(output.path).moveInto(target))
    return failure(output.option, toString(std::move(e)));
  StringRef folder = sys::path::parent_path(target);
  if (std::error_code error = sys::fs::access(folder.empty() ? "." : folder,
                                              sys::fs::AccessMode::Write))
    return failure(output.option, "expected a folder to write " + output.path +
                                      " into, got " + error.message());
  for (const NamedPath &other : files.outputs) {
    if (&other == &output)
      break;
    if (other.path.empty())
      continue;
    std::string place;
    if (Error e = placeOf(other.path).moveInto(place))
      return e;
    if (place == target || isSame(place, target))
      return failure(output.option, "expected another file than " +
                                        other.option + ", got " + output.path);
  }
  return Error::success();
}

/// A dump writes NN-PASS.mlir: what has such a name may be overwritten.
static Error checkDump(const RunFiles &files) {
  const auto &[option, folder] = files.dumpIR;
  if (sys::fs::exists(folder) && !sys::fs::is_directory(folder))
    return failure(option, "expected a folder, got the file " + folder);
  std::error_code error;
  for (sys::fs::recursive_directory_iterator at(folder, error), end;
       !error && at != end; at.increment(error)) {
    if (at.level() >= 1) // A folder a chip.
      at.no_push();
    StringRef name = sys::path::filename(at->path());
    if (name.consume_front(name.take_while(isDigit)) && name.starts_with("-") &&
        name.ends_with(".mlir"))
      if (Error e = expectNoInput(option, at->path(), files))
        return e;
  }
  return Error::success();
}

Error tools::checkFiles(const RunFiles &files) {
  for (const NamedPath &output : files.outputs)
    if (!output.path.empty())
      if (Error e = checkOutput(output, files))
        return e;
  return files.dumpIR.path.empty() ? Error::success() : checkDump(files);
}
