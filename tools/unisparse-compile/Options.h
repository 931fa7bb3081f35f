// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The command line of unisparse-compile.
#ifndef UNISPARSE_TOOLS_UNISPARSE_COMPILE_OPTIONS_H
#define UNISPARSE_TOOLS_UNISPARSE_COMPILE_OPTIONS_H

#include "../common/Computation.h"
#include "../common/Program.h"
#include "unisparse/Pipelines/Pipelines.h"

namespace unisparse::compile {

/// Where what is compiled runs.
enum class Target { Cuda, Cpu };

struct Options : tools::Computation {
  std::string program, output, show, entry, dumpIR;
  Target target = Target::Cuda;
  std::string cpu, linker; ///< Of the CPU: a level; a program, or empty.
  int64_t optLevel = 3;    ///< Of the CPU: LLVM's.
  std::vector<std::string> chips;
  TileFormat format = TileFormat::Isa;
  bool overlap = true;
  // Of a program that is built from options.
  int64_t heads = 0, kvHeads = 0, headDim = 0, valueDim = 0;
  std::string dtype = "bf16";
  tools::Stage stage = tools::Stage::Attention;
  bool packed = false, returnLse = false, returnSelection = false;
};

/// Reads the command line. Returns an exit status where the program is to end
/// at once: 2 behind one line about a wrong use.
std::optional<int> parseOptions(int argc, char **argv, Options &options);

/// What can be said against the options beyond their form.
llvm::Error checkOptions(const Options &options);

} // namespace unisparse::compile

#endif // UNISPARSE_TOOLS_UNISPARSE_COMPILE_OPTIONS_H
