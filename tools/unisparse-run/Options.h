// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The command line of unisparse-run: a contract that others script against.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_OPTIONS_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_OPTIONS_H

#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "llvm/Support/Error.h"
#include <optional>
#include <string>
#include <vector>

namespace unisparse::run {

struct Options {
  std::string input, program, selection, output, map, dumpIR;
  int64_t blockQ = 128, blockK = 128, poolQ = 8, poolK = 8, headPool = 1;
  Agg agg = Agg::Max;
  Share share = Share::None;
  std::vector<double> p{0.9};
  std::optional<int64_t> topK, maxBlocks, threads;
  int64_t sink = 1, local = 1, minBlocks = 0, denseBelow = 0;
  bool causal = true, dense = false, json = false, compareDense = false,
       poison = false;
  std::optional<double> scale;
  double alpha = 1.0;
  int64_t repeat = 1;

  /// "top-p 0.9", "top-k 12", ... for people.
  std::string describeRule() const;
};

/// Reads the command line. Returns an exit status where the program is to end
/// at once: 0 behind --help, 2 behind one line about a wrong use.
std::optional<int> parseOptions(int argc, char **argv, Options &options);

/// What can be said against the options without looking at the input.
llvm::Error checkOptions(const Options &options);

/// An error of one line about `subject` (an option, a tensor, a file).
llvm::Error failure(const llvm::Twine &subject, const llvm::Twine &what);

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_OPTIONS_H
