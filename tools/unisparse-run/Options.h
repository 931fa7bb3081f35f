// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The command line of unisparse-run: a contract that others script against.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_OPTIONS_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_OPTIONS_H

#include "../common/Computation.h"

namespace unisparse::run {

struct Options : tools::Computation {
  std::string input, program, selection, output, map, dumpIR;
  std::string artifact, chip;
  bool cuda = false;
  /// Attention as a page of tile code, on the CPU; in which order it walks.
  bool pages = false, descending = false;
  int64_t device = 0;
  /// LLVM's, of code for CPUs.
  int64_t optLevel = 3;
  std::optional<int64_t> threads;
  bool json = false, compareDense = false, poison = false, checkFinite = false;
  int64_t repeat = 1;

  /// Whether the options' own attention pools: nothing does that is given its
  /// selection or takes every block.
  bool pools() const {
    return program.empty() && artifact.empty() && selection.empty() && !dense;
  }
  /// "top-p 0.9", "top-k 12", ... for people.
  std::string describeRule() const;
};

/// Reads the command line. Returns an exit status where the program is to end
/// at once: 0 behind --help, 2 behind one line about a wrong use.
std::optional<int> parseOptions(int argc, char **argv, Options &options);

/// What can be said against the options without looking at the input.
llvm::Error checkOptions(const Options &options);

using tools::failure;

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_OPTIONS_H
