// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Linker.h"
#include "../common/CommandLine.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::compile;
using namespace unisparse::tools;

namespace {

/// A folder for the linker's files, gone with the object.
class Scratch {
public:
  ~Scratch() {
    if (!folder.empty())
      sys::fs::remove_directories(folder);
  }
  Error make() {
    if (std::error_code error =
            sys::fs::createUniqueDirectory("unisparse", folder))
      return refused(error);
    return Error::success();
  }
  std::string path(StringRef name) const {
    SmallString<128> path(folder);
    sys::path::append(path, name);
    return path.str().str();
  }
  Error write(StringRef name, StringRef bytes) const {
    std::error_code error;
    raw_fd_ostream os(path(name), error);
    if (!error) {
      os << bytes;
      os.close();
      error = os.error();
      os.clear_error();
    }
    return error ? refused(error) : Error::success();
  }

private:
  static Error refused(std::error_code error) {
    return failure("temporary files",
                   "expected room for a library, got " + error.message());
  }

  SmallString<128> folder;
};

Expected<std::string> findLinker(StringRef named) {
  if (!named.empty()) {
    if (ErrorOr<std::string> found = sys::findProgramByName(named))
      return *found;
    return failure("--linker",
                   "expected a program that links, got '" + named + "'");
  }
  static const std::string ofLLVM =
      "ld.lld-" + std::to_string(LLVM_VERSION_MAJOR);
  for (StringRef name :
       {StringRef(ofLLVM), StringRef("ld.lld"), StringRef("ld")})
    if (ErrorOr<std::string> found = sys::findProgramByName(name))
      return *found;
  return failure("--linker",
                 "expected " + ofLLVM + ", ld.lld or ld in PATH, got none");
}

/// Runs the linker; its first line is the error's.
Error run(StringRef linker, ArrayRef<std::string> options,
          const Scratch &scratch) {
  SmallVector<StringRef> words{
      linker, "-shared", "--hash-style=gnu", "-z", "noexecstack", "-z", "now"};
  for (const std::string &option : options)
    words.push_back(option);
  std::string said = scratch.path("said"), problem;
  std::optional<StringRef> redirects[] = {StringRef(), StringRef(said),
                                          StringRef(said)};
  int status = sys::ExecuteAndWait(linker, words, std::nullopt, redirects, 0, 0,
                                   &problem);
  if (!status)
    return Error::success();
  if (problem.empty())
    if (auto text = MemoryBuffer::getFile(said))
      problem = (*text)->getBuffer().split('\n').first.str();
  if (problem.empty())
    problem = "exit status " + std::to_string(status);
  return failure("--linker", "expected " + linker +
                                 " to link the library, got: " + problem);
}

} // namespace

Expected<std::string> compile::linkShared(StringRef object, StringRef empty,
                                          ArrayRef<StringRef> libraries,
                                          StringRef named) {
  Expected<std::string> linker = findLinker(named);
  if (!linker)
    return linker.takeError();
  Scratch scratch;
  if (Error e = scratch.make())
    return std::move(e);
  if (Error e = scratch.write("code.o", object))
    return std::move(e);
  if (Error e = scratch.write("empty.o", empty))
    return std::move(e);
  // Only their names count: what the machine that compiles has of them may be
  // other versions, or nothing for linkers.
  std::string library = scratch.path("lib.so");
  SmallVector<std::string> words{"--no-as-needed", "-o", library,
                                 scratch.path("code.o")};
  for (StringRef name : libraries) {
    words.push_back(scratch.path(name));
    if (Error e = run(*linker,
                      {"-soname", name.str(), "-o", words.back(),
                       scratch.path("empty.o")},
                      scratch))
      return std::move(e);
  }
  if (Error e = run(*linker, words, scratch))
    return std::move(e);
  auto bytes = MemoryBuffer::getFile(library, /*IsText=*/false,
                                     /*RequiresNullTerminator=*/false);
  if (!bytes)
    return failure("--linker", "expected a library of " + *linker +
                                   ", got none: " + bytes.getError().message());
  return (*bytes)->getBuffer().str();
}
