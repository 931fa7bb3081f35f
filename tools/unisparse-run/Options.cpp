// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Options.h"
#include "unisparse/Target/Nvidia.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;
using namespace unisparse::tools;

namespace {

struct CommandLine {
  cl::OptionCategory category{"unisparse-run options"};

  cl::list<std::string> inputs{cl::Positional, cl::desc("IN.safetensors"),
                               cl::cat(category)};
  Text program{"program", cl::value_desc("FILE.mlir"),
               cl::desc("Run this program instead of building one"),
               cl::cat(category)};
  Text target{"target", cl::init("cpu"), cl::value_desc("cpu|cuda|tile-cpu"),
              cl::desc("Where to run"), cl::cat(category)};
  Text selection{
      "selection", cl::value_desc("SEL.safetensors"),
      cl::desc("Execute these counts and indices, nothing is selected"),
      cl::cat(category)};
  Text output{"output", cl::value_desc("OUT.safetensors"),
              cl::desc("Write o, lse, counts and indices"), cl::cat(category)};
  cl::opt<bool> json{"json", cl::desc("Report as one JSON object on stdout"),
                     cl::cat(category)};
  Text compare{"compare", cl::value_desc("dense"),
               cl::desc("Run dense attention too, and compare"),
               cl::cat(category)};
  Text map{"map", cl::value_desc("FILE.png"),
           cl::desc("Draw which blocks each head selected"), cl::cat(category)};
  Text threads{"threads", cl::value_desc("N"),
               cl::desc("Threads to use (default: all that OpenMP would)"),
               cl::cat(category)};
  Text repeat{"repeat", cl::init("1"), cl::value_desc("N"),
              cl::desc("Runs; times are medians"), cl::cat(category)};
  Text dumpIR{"dump-ir", cl::value_desc("DIR"),
              cl::desc("Write the IR after every pass"), cl::cat(category)};
  cl::opt<bool> poison{"poison",
                       cl::desc("Put NaN around every input buffer (for tests: "
                                "nothing may change)"),
                       cl::cat(category)};
  cl::opt<bool> checkFinite{
      "check-finite",
      cl::desc("Refuse q, k and v that hold a NaN or an infinity"),
      cl::cat(category)};
  Text device{"device", cl::init("0"), cl::value_desc("N"),
              cl::desc("The GPU to run on"), cl::cat(category)};
  Text chip{"chip", cl::value_desc("sm_NN"),
            cl::desc("Compile for this chip (default: the device's, or sm_80 "
                     "for tile-cpu)"),
            cl::cat(category)};
  cl::opt<bool> descending{
      "descending",
      cl::desc("Walk key tiles from the last down (for tests of tile-cpu: "
               "results may change by rounding only)"),
      cl::cat(category)};
  Text optLevel{"opt-level", cl::init("3"), cl::value_desc("0..3"),
                cl::desc("How much LLVM optimizes code for the CPU"),
                cl::cat(category)};
  Text artifact{"artifact", cl::value_desc("FILE.usp"),
                cl::desc("Run what unisparse-compile wrote"),
                cl::cat(category)};
  ComputationOptions computation{category};
};

/// The one command line; made on first use, when the names are free.
CommandLine &commandLine() {
  static CommandLine *line = [] {
    dropForeignOptions();
    return new CommandLine;
  }();
  return *line;
}

/// Where to run, and what only the one or the other place has.
Error convertTarget(CommandLine &c, Options &o) {
  if (c.target != "cpu" && c.target != "cuda" && c.target != "tile-cpu")
    return usage("--target", "cpu, cuda or tile-cpu", c.target);
  o.cuda = c.target == "cuda";
  o.pages = c.target == "tile-cpu";
  for (Text *option : {&c.device, &c.artifact})
    if (option->getNumOccurrences() && !o.cuda)
      return usage("--" + option->ArgStr, "--target=cuda beside it", c.target);
  if (c.chip.getNumOccurrences() && !o.cuda && !o.pages)
    return usage("--chip", "--target=cuda or tile-cpu beside it", c.target);
  if (c.optLevel.getNumOccurrences() && o.cuda)
    return usage("--opt-level", "--target=cpu or tile-cpu beside it", c.target);
  if (c.descending && !o.pages)
    return usage("--descending", "--target=tile-cpu beside it", c.target);
  o.descending = c.descending;
  o.chip = c.chip;
  o.artifact = c.artifact;
  if (o.artifact.empty())
    return Error::success();
  for (Text *option : {&c.program, &c.chip, &c.compare, &c.dumpIR})
    if (option->getNumOccurrences())
      return usage("--" + option->ArgStr,
                   "nothing to compile beside --artifact", *option);
  // Blocks and causality an artifact does not tell, and the report needs them.
  return c.computation.expectNone("--artifact", {}, /*blocksToo=*/false);
}

Error convertNumbers(CommandLine &c, Options &o) {
  if (Error e = parseInteger(c.device, o.device))
    return e;
  if (Error e = parseInteger(c.repeat, o.repeat))
    return e;
  if (Error e = parseInteger(c.optLevel, o.optLevel))
    return e;
  return parseInteger(c.threads, o.threads);
}

Error convert(CommandLine &c, Options &o) {
  if (c.inputs.size() != 1)
    return usage("input", "one file IN.safetensors", llvm::join(c.inputs, " "));
  for (Text *option : {&c.program, &c.selection, &c.output, &c.map, &c.dumpIR,
                       &c.chip, &c.artifact})
    if (option->getNumOccurrences() && option->empty())
      return usage("--" + option->ArgStr, "a path", "");
  if (Error e = convertNumbers(c, o))
    return e;
  if (Error e = c.computation.convert(o))
    return e;
  if (Error e = convertTarget(c, o))
    return e;
  if (c.compare.getNumOccurrences() && c.compare != "dense")
    return usage("--compare", "dense", c.compare);
  if (c.program.getNumOccurrences())
    if (Error e =
            c.computation.expectNone("--program", {&c.selection, &c.compare}))
      return e;
  o.input = c.inputs.front();
  o.program = c.program;
  o.selection = c.selection;
  o.output = c.output;
  o.map = c.map;
  o.dumpIR = c.dumpIR;
  o.json = c.json;
  o.compareDense = c.compare.getNumOccurrences() > 0;
  o.poison = c.poison;
  o.checkFinite = c.checkFinite;
  return Error::success();
}

} // namespace

std::optional<int> run::parseOptions(int argc, char **argv, Options &options) {
  CommandLine &line = commandLine();
  if (std::optional<int> status = parseCommandLine(
          argc, argv, "unisparse-run",
          "Block-sparse attention on the q, k and v of a safetensors file.\n"
          "Tensors q, k, v: [B,H,L,D] or [H,L,D], F32, F16 or BF16; a packed "
          "batch\n"
          "has I32 cu_seqlens_q and cu_seqlens_k beside them.\n"))
    return status;
  if (Error e = convert(line, options)) {
    printError("unisparse-run", std::move(e));
    return 2;
  }
  return std::nullopt;
}

Error run::checkOptions(const Options &o) {
  if (Error e = checkComputation(o, o.pools()))
    return e;
  for (auto [option, got] :
       {std::pair{"--threads", o.threads.value_or(1)}, {"--repeat", o.repeat}})
    if (Error e = expectAtLeast(option, 1, got))
      return e;
  if (o.optLevel < 0 || o.optLevel > 3)
    return failure("--opt-level", "expected 0 to 3, got " + Twine(o.optLevel));
  if (!o.chip.empty() && !findNvidiaChip(o.chip))
    return failure("--chip",
                   "expected one of " + nvidiaChipNames() + ", got " + o.chip);
  return Error::success();
}

std::string Options::describeRule() const {
  if (!artifact.empty())
    return "artifact " + artifact;
  if (!program.empty())
    return "program " + program;
  if (!selection.empty())
    return "given selection";
  switch (rule()) {
  case RuleKind::All:
    return "dense";
  case RuleKind::TopK:
    return formatv("top-k {0}", *topK).str();
  case RuleKind::Threshold:
    return "threshold " + number(*threshold);
  case RuleKind::Random:
    return "random " + number(*random);
  case RuleKind::TopP:
    return (p.size() > 1 ? "top-p per head" : "top-p " + number(p[0])) +
           (relax != 0 ? ", relax " + number(relax) : "");
  }
}
