// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::tools;

void tools::dropForeignOptions() {
  SmallVector<cl::Option *> foreign;
  for (auto &[name, option] : cl::getRegisteredOptions())
    if (!StringRef(name).starts_with("help") && name != "version")
      foreign.push_back(option);
  for (cl::Option *option : foreign)
    option->removeArgument();
}

std::optional<int> tools::parseCommandLine(int argc, char **argv,
                                           StringRef tool, StringRef overview) {
  std::string text;
  raw_string_ostream errors(text);
  if (cl::ParseCommandLineOptions(argc, argv, overview, &errors))
    return std::nullopt;
  // LLVM's first line names the option; the rest are hints. What an option
  // lacks it has said on stderr itself.
  StringRef said = StringRef(text).trim().split('\n').first;
  std::string prefix = (tool + ": ").str();
  if (!said.empty())
    errs() << prefix << said.substr(said.find(prefix) + prefix.size()) << '\n';
  return 2;
}

Error tools::usage(const Twine &option, const Twine &expected,
                   const Twine &got) {
  return createStringError(option + ": expected " + expected + ", got '" + got +
                           "'");
}

Error tools::failure(const Twine &subject, const Twine &what) {
  return createStringError(subject + ": " + what);
}

Error tools::expectAtLeast(StringRef option, int64_t least, int64_t got) {
  if (got >= least)
    return Error::success();
  return failure(option,
                 "expected at least " + Twine(least) + ", got " + Twine(got));
}

std::string tools::number(double value) {
  std::string text;
  raw_string_ostream(text) << format("%g", value);
  return text;
}

Error tools::parseNumber(StringRef option, StringRef text, double &value) {
  if (text.empty() || text.getAsDouble(value))
    return usage(option, "a number", text);
  return Error::success();
}

Error tools::parseInteger(const Text &option, int64_t &value) {
  if (StringRef(option).getAsInteger(10, value))
    return usage("--" + option.ArgStr, "a whole number", option);
  return Error::success();
}

Error tools::parseInteger(const Text &option, std::optional<int64_t> &value) {
  if (!option.getNumOccurrences())
    return Error::success();
  return parseInteger(option, value.emplace());
}

Error tools::checkWritable(StringRef option, StringRef path) {
  if (path.empty())
    return Error::success();
  if (sys::fs::is_directory(path))
    return failure(option, "expected a file, got the folder " + path);
  StringRef folder = sys::path::parent_path(path);
  if (std::error_code error = sys::fs::access(folder.empty() ? "." : folder,
                                              sys::fs::AccessMode::Write))
    return failure(option, "expected a folder to write " + path +
                               " into, got " + error.message());
  return Error::success();
}
