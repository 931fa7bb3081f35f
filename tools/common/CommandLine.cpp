// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "CommandLine.h"
#include "VersionPrinter.h"
#include "llvm/Support/Format.h"
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

namespace {
/// The words of a command line in the form that LLVM's parser has nothing to
/// say about: every option is one that exists, and has its value behind an '='.
/// The parser's own errors are several lines, or have values in them that are.
class Words {
public:
  Words(int argc, char **argv) : given(argv + 1, argv + argc) {
    words.push_back(argv[0]);
  }

  Error normalise();
  std::vector<const char *> pointers() const {
    std::vector<const char *> result;
    for (const std::string &word : words)
      result.push_back(word.c_str());
    return result;
  }

private:
  Error addOption(StringRef word, size_t &next);

  ArrayRef<char *> given;
  std::vector<std::string> words;
};
} // namespace

Error Words::normalise() {
  size_t next = 0;
  while (next < given.size()) {
    StringRef word = given[next++];
    if (word == "--") { // Everything behind it is an input.
      words.push_back("--");
      for (; next < given.size(); ++next)
        words.push_back(given[next]);
      return Error::success();
    }
    if (word.size() > 1 && word.front() == '-') {
      if (Error e = addOption(word, next))
        return e;
      continue;
    }
    // LLVM would read a file of further options.
    words.push_back((word.starts_with("@") ? "./" : "") + word.str());
  }
  return Error::success();
}

Error Words::addOption(StringRef word, size_t &next) {
  auto [name, value] = word.ltrim('-').split('=');
  bool hasValue = word.contains('=');
  cl::Option *option = cl::getRegisteredOptions().lookup(name);
  if (!option)
    return createStringError("Unknown command line argument '" + word +
                             "', expected one of --help");
  if (option->getValueExpectedFlag() == cl::ValueRequired) {
    if (!hasValue && next == given.size())
      return createStringError("--" + name + ": requires a value, got none");
    words.push_back(("--" + name + "=").str() +
                    (hasValue ? value.str() : given[next++]));
    return Error::success();
  }
  if (hasValue && value != "true" && value != "false")
    return usage("--" + name, "no value, true or false", value);
  words.push_back(word.str());
  return Error::success();
}

std::optional<int> tools::parseCommandLine(int argc, char **argv,
                                           StringRef tool, StringRef overview) {
  setVersionPrinter();
  Words words(argc, argv);
  if (Error e = words.normalise()) {
    printError(tool, std::move(e));
    return 2;
  }
  std::vector<const char *> pointers = words.pointers();
  std::string text;
  raw_string_ostream errors(text);
  if (cl::ParseCommandLineOptions(pointers.size(), pointers.data(), overview,
                                  &errors))
    return std::nullopt;
  // LLVM's first line names the option; the rest are hints.
  StringRef said = StringRef(text).trim().split('\n').first;
  std::string prefix = (tool + ": ").str();
  if (!said.empty())
    printError(tool, createStringError(
                         said.substr(said.find(prefix) + prefix.size())));
  return 2;
}

void tools::printOneLine(raw_ostream &os, StringRef text) {
  for (char c : text)
    os << (static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c);
  os << '\n';
}

void tools::printError(StringRef tool, Error error) {
  errs() << tool << ": ";
  printOneLine(errs(), toString(std::move(error)));
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
