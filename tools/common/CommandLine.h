// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Command lines of the tools: every error is one line that says what was
// expected and what was given.
#ifndef UNISPARSE_TOOLS_COMMON_COMMANDLINE_H
#define UNISPARSE_TOOLS_COMMON_COMMANDLINE_H

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Error.h"
#include <optional>
#include <string>

namespace unisparse::tools {

using Text = llvm::cl::opt<std::string>;

/// libLLVM registers hundreds of options, `threads` among them: they go, so
/// that the names are free and a wrong option is an error. --help stays.
void dropForeignOptions();

/// Reads the options that exist. Returns the exit status where the program is
/// to end at once: 2 behind one line about a wrong use.
std::optional<int> parseCommandLine(int argc, char **argv, llvm::StringRef tool,
                                    llvm::StringRef overview);

/// Writes `text` and the line's end; control characters, which a name or a
/// value in it may have, become '?'.
void printOneLine(llvm::raw_ostream &os, llvm::StringRef text);

/// Says the error on stderr, in one line whatever names and values are in it.
void printError(llvm::StringRef tool, llvm::Error error);

/// "OPTION: expected EXPECTED, got 'GOT'"
llvm::Error usage(const llvm::Twine &option, const llvm::Twine &expected,
                  const llvm::Twine &got);

/// An error of one line about `subject` (an option, a tensor, a file).
llvm::Error failure(const llvm::Twine &subject, const llvm::Twine &what);

/// 0.9 as 0.9, not 0.90 or 0.900000.
std::string number(double value);

llvm::Error expectAtLeast(llvm::StringRef option, int64_t least, int64_t got);

llvm::Error parseNumber(llvm::StringRef option, llvm::StringRef text,
                        double &value);
llvm::Error parseInteger(const Text &option, int64_t &value);
/// Leaves the value empty where the option is not given.
llvm::Error parseInteger(const Text &option, std::optional<int64_t> &value);

template <typename T, typename Symbolize>
llvm::Error parseKeyword(const Text &option, llvm::StringRef choices,
                         Symbolize symbolize, T &value) {
  std::optional<T> symbol = symbolize(llvm::StringRef(option));
  if (!symbol)
    return usage("--" + option.ArgStr, choices, option);
  value = *symbol;
  return llvm::Error::success();
}

} // namespace unisparse::tools

#endif // UNISPARSE_TOOLS_COMMON_COMMANDLINE_H
