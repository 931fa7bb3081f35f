// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Options.h"
#include "HostLibrary.h"
#include "unisparse-rt/cpu.h"
#include "unisparse/Target/Nvidia.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::compile;
using namespace unisparse::tools;

namespace {

using Flag = cl::opt<bool>;

struct CommandLine {
  cl::OptionCategory category{"unisparse-compile options"};

  cl::list<std::string> programs{cl::Positional, cl::desc("[PROGRAM.mlir]"),
                                 cl::cat(category)};
  Text output{"o", cl::value_desc("FILE"),
              cl::desc("Write the artifact, or the library, to this file"),
              cl::cat(category)};
  Text target{"target", cl::init("cuda"), cl::value_desc("cuda|cpu"),
              cl::desc("An artifact for GPUs, or a shared library for CPUs"),
              cl::cat(category)};
  Text cpu{"cpu", cl::value_desc("LEVEL"),
           cl::desc("With --target=cpu: what CPUs have to have, as x86-64-v3 "
                    "(default: the best of this one)"),
           cl::cat(category)};
  Text linker{"linker", cl::value_desc("PROGRAM"),
              cl::desc("With --target=cpu: what links, taking ld's options"),
              cl::cat(category)};
  cl::list<std::string> chips{
      "chip", cl::value_desc("sm_NN"),
      cl::desc("Compile for this chip; may be given several times"),
      cl::cat(category)};
  Text format{"format", cl::init("isa"), cl::value_desc("isa|bin"),
              cl::desc("PTX, or machine code by ptxas"), cl::cat(category)};
  Text entry{"entry", cl::value_desc("NAME"),
             cl::desc("The program's function to compile (default: the one "
                      "that is public)"),
             cl::cat(category)};
  Text show{"show", cl::value_desc("FILE"),
            cl::desc("Print what an artifact or a library holds"),
            cl::cat(category)};
  Text dumpIR{"dump-ir", cl::value_desc("DIR"),
              cl::desc("Write the IR after every pass, a folder a chip"),
              cl::cat(category)};

  Text stage{
      "stage", cl::init("attention"),
      cl::value_desc("attention|block_sparse_attention|pool|select"),
      cl::desc("Select and attend, attend to counts and indices that are "
               "inputs, pool k to composites, or select by composites "
               "that are an input"),
      cl::cat(category)};
  Text optLevel{"opt-level", cl::init("3"), cl::value_desc("0..3"),
                cl::desc("With --target=cpu: how much LLVM optimizes"),
                cl::cat(category)};
  Flag noOverlap{"no-overlap",
                 cl::desc("Launches wait for those in front of them, where a "
                          "chip could begin while they end (sm_90 on)"),
                 cl::cat(category)};
  Text heads{"heads", cl::value_desc("N"), cl::desc("Heads of q"),
             cl::cat(category)};
  Text kvHeads{"kv-heads", cl::value_desc("N"),
               cl::desc("Heads of k and v (default: as many as q)"),
               cl::cat(category)};
  Text headDim{"head-dim", cl::value_desc("N"),
               cl::desc("Head size of q and k"), cl::cat(category)};
  Text valueDim{"value-dim", cl::value_desc("N"),
                cl::desc("Head size of v (default: --head-dim)"),
                cl::cat(category)};
  Text dtype{"dtype", cl::init("bf16"), cl::value_desc("f16|bf16|f32"),
             cl::desc("Elements of q, k and v"), cl::cat(category)};
  Flag packed{"packed", cl::desc("A packed variable-length batch"),
              cl::cat(category)};
  Flag returnLse{"return-lse", cl::desc("Return the log-sum-exp too"),
                 cl::cat(category)};
  Flag returnSelection{"return-selection",
                       cl::desc("Return counts and indices too"),
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

Error expectOneTask(CommandLine &c) {
  if (c.show.getNumOccurrences()) {
    if (c.show.empty())
      return usage("--show", "a path", "");
    if (!c.programs.empty() || c.output.getNumOccurrences())
      return usage("--show", "no program and no -o beside it",
                   c.programs.empty() ? c.output : c.programs.front());
    return Error::success();
  }
  if (c.programs.size() > 1)
    return usage("input", "one PROGRAM.mlir at most", join(c.programs, " "));
  if (c.output.empty())
    return usage("-o", "a path", "");
  return Error::success();
}

/// A program is read or built, not both.
Error convertProgram(CommandLine &c, Options &o) {
  if (!c.programs.empty()) {
    o.program = c.programs.front();
    return c.computation.expectNone(
        "PROGRAM.mlir",
        {&c.stage, &c.heads, &c.kvHeads, &c.headDim, &c.valueDim, &c.dtype,
         &c.packed, &c.returnLse, &c.returnSelection, c.computation.sinks()});
  }
  for (Text *option : {&c.heads, &c.headDim})
    if (!option->getNumOccurrences())
      return usage("--" + option->ArgStr,
                   "a number where no PROGRAM.mlir is given", "");
  if (c.entry.getNumOccurrences())
    return usage("--entry", "a PROGRAM.mlir beside it", c.entry);
  for (auto [option, value] :
       {std::pair{&c.heads, &o.heads}, {&c.headDim, &o.headDim}})
    if (Error e = parseInteger(*option, *value))
      return e;
  o.kvHeads = o.heads;
  o.valueDim = o.headDim;
  for (auto [option, value] :
       {std::pair{&c.kvHeads, &o.kvHeads}, {&c.valueDim, &o.valueDim}})
    if (option->getNumOccurrences())
      if (Error e = parseInteger(*option, *value))
        return e;
  return Error::success();
}

/// Each target has options that the other does not take.
Error convertTarget(CommandLine &c, Options &o) {
  auto targets = [](StringRef text) {
    return StringSwitch<std::optional<Target>>(text)
        .Case("cuda", Target::Cuda)
        .Case("cpu", Target::Cpu)
        .Default(std::nullopt);
  };
  if (Error e = parseKeyword(c.target, "cuda or cpu", targets, o.target))
    return e;
  bool isCpu = o.target == Target::Cpu;
  struct {
    cl::Option &option;
    bool ofCpu;
  } own[] = {{c.chips, false}, {c.format, false}, {c.noOverlap, false},
             {c.cpu, true},    {c.linker, true},  {c.optLevel, true}};
  for (auto &[option, ofCpu] : own)
    if (option.getNumOccurrences() && ofCpu != isCpu)
      return failure("--" + option.ArgStr.str(),
                     Twine("expected none beside --target=") + c.target +
                         ", got one");
  auto levels = [](StringRef text) {
    return is_contained(compile::cpuLevels(), text) ? std::optional(text.str())
                                                    : std::nullopt;
  };
  o.cpu = unisparse_cpu_level();
  if (c.cpu.getNumOccurrences())
    if (Error e = parseKeyword(c.cpu, join(compile::cpuLevels(), ", "), levels,
                               o.cpu))
      return e;
  if (c.linker.getNumOccurrences() && c.linker.empty())
    return usage("--linker", "a program", "");
  o.linker = c.linker;
  if (Error e = parseInteger(c.optLevel, o.optLevel))
    return e;
  o.overlap = !c.noOverlap;
  return Error::success();
}

Error convertKeywords(CommandLine &c, Options &o) {
  auto formats = [](StringRef text) {
    return StringSwitch<std::optional<TileFormat>>(text)
        .Case("isa", TileFormat::Isa)
        .Case("bin", TileFormat::Bin)
        .Default(std::nullopt);
  };
  if (Error e = parseKeyword(c.format, "isa or bin", formats, o.format))
    return e;
  auto stages = [](StringRef text) {
    return StringSwitch<std::optional<Stage>>(text)
        .Case("attention", Stage::Attention)
        .Case("block_sparse_attention", Stage::Selected)
        .Case("pool", Stage::Pool)
        .Case("select", Stage::Select)
        .Default(std::nullopt);
  };
  if (Error e = parseKeyword(
          c.stage, "attention, block_sparse_attention, pool or select", stages,
          o.stage))
    return e;
  auto dtypes = [](StringRef text) {
    bool known = text == "f16" || text == "bf16" || text == "f32";
    return known ? std::optional(text.str()) : std::nullopt;
  };
  return parseKeyword(c.dtype, "f16, bf16 or f32", dtypes, o.dtype);
}

Error convert(CommandLine &c, Options &o) {
  if (Error e = expectOneTask(c))
    return e;
  o.show = c.show;
  if (!o.show.empty())
    return Error::success();
  if (Error e = convertTarget(c, o))
    return e;
  if (Error e = convertProgram(c, o))
    return e;
  if (Error e = convertKeywords(c, o))
    return e;
  if (Error e = c.computation.convert(o))
    return e;
  if (c.dumpIR.getNumOccurrences() && c.dumpIR.empty())
    return usage("--dump-ir", "a path", "");
  o.output = c.output;
  o.entry = c.entry;
  o.dumpIR = c.dumpIR;
  o.chips.assign(c.chips.begin(), c.chips.end());
  o.packed = c.packed;
  o.returnLse = c.returnLse;
  o.returnSelection = c.returnSelection;
  return Error::success();
}

} // namespace

std::optional<int> compile::parseOptions(int argc, char **argv,
                                         Options &options) {
  CommandLine &line = commandLine();
  if (std::optional<int> status = parseCommandLine(
          argc, argv, "unisparse-compile",
          "Compiles a program of the unisparse dialect, or the attention that "
          "the\noptions describe: for GPUs one file with kernels and a launch "
          "plan, for CPUs\na shared library.\n"))
    return status;
  if (Error e = convert(line, options)) {
    printError("unisparse-compile", std::move(e));
    return 2;
  }
  return std::nullopt;
}

/// What only attention takes or gives.
static Error checkStage(const Options &o) {
  for (auto [option, given] :
       {std::pair{"--return-lse", o.returnLse},
        {"--return-selection", o.returnSelection},
        {"--sink-logits", o.sinkLogits},
        {"--score-mod", !o.scoreMod.empty() &&
                            (!o.estimateWithRegion || o.stage == Stage::Pool)}})
    if (given)
      return failure(option,
                     "expected a stage that attends, got pool or select");
  return Error::success();
}

Error compile::checkOptions(const Options &o) {
  bool selects = o.stage != Stage::Selected;
  if (!attends(o.stage))
    if (Error e = checkStage(o))
      return e;
  if (Error e = checkComputation(o, selects && !o.dense))
    return e;
  if (o.optLevel < 0 || o.optLevel > 3)
    return failure("--opt-level", "expected 0 to 3, got " + Twine(o.optLevel));
  StringSet<> seen;
  for (StringRef chip : o.chips) {
    if (!findNvidiaChip(chip))
      return failure("--chip",
                     "expected one of " + nvidiaChipNames() + ", got " + chip);
    if (!seen.insert(chip).second)
      return failure("--chip",
                     "expected every chip once, got " + chip + " twice");
  }
  if (!o.program.empty())
    return Error::success();
  for (auto [option, got] : {std::pair{"--heads", o.heads},
                             {"--kv-heads", o.kvHeads},
                             {"--head-dim", o.headDim},
                             {"--value-dim", o.valueDim}})
    if (Error e = expectAtLeast(option, 1, got))
      return e;
  if (o.heads % o.kvHeads)
    return failure("--kv-heads",
                   "[I3] expected a number that divides --heads " +
                       Twine(o.heads) + ", got " + Twine(o.kvHeads));
  if (int64_t spread = o.spreadOf(o.headDim); spread && o.headDim % spread)
    return failure("--spread",
                   "[P6] expected a number that divides --head-dim " +
                       Twine(o.headDim) + ", got " + Twine(spread));
  if (o.stage == Stage::Selected && o.returnSelection)
    return failure("--return-selection",
                   "expected --stage=attention, which has a selection to "
                   "return, got block_sparse_attention");
  return Error::success();
}
