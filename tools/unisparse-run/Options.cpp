// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Options.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;

namespace {

template <typename T>
using Opt = cl::opt<T>;
using Text = cl::opt<std::string>;

/// libLLVM registers hundreds of options, `threads` among them: they go, so
/// that the names are free and a wrong option is an error. --help stays.
void dropForeignOptions() {
  SmallVector<cl::Option *> foreign;
  for (auto &[name, option] : cl::getRegisteredOptions())
    if (!StringRef(name).starts_with("help") && name != "version")
      foreign.push_back(option);
  for (cl::Option *option : foreign)
    option->removeArgument();
}

struct CommandLine {
  cl::OptionCategory category{"unisparse-run options"};

  cl::list<std::string> inputs{cl::Positional, cl::desc("IN.safetensors"),
                               cl::cat(category)};
  Text program{"program", cl::value_desc("FILE.mlir"),
               cl::desc("Run this program instead of building one"),
               cl::cat(category)};
  Text target{"target", cl::init("cpu"), cl::value_desc("cpu"),
              cl::desc("Where to run"), cl::cat(category)};
  Text block{"block", cl::init("128x128"), cl::value_desc("BQxBK"),
             cl::desc("Queries by keys of a block"), cl::cat(category)};
  Text pool{"pool", cl::init("8x8"), cl::value_desc("CQxCK"),
            cl::desc("Queries and keys in a composite token"),
            cl::cat(category)};
  Text headPool{"head-pool", cl::init("1"), cl::value_desc("N"),
                cl::desc("Query heads in a composite token"),
                cl::cat(category)};
  Text agg{"agg", cl::init("max"), cl::value_desc("max|sum"),
           cl::desc("Block mass: the largest composite row's, or their mean"),
           cl::cat(category)};
  Text share{"share", cl::init("none"), cl::value_desc("none|group"),
             cl::desc("Whether the query heads of a KV head share a selection"),
             cl::cat(category)};
  Text p{"p", cl::init("0.9"), cl::value_desc("P[,P...]"),
         cl::desc("Share of attention mass to select, one or one per head"),
         cl::cat(category)};
  Text topK{"top-k", cl::value_desc("N"),
            cl::desc("Select this many blocks, whatever --p says"),
            cl::cat(category)};
  Text sink{"sink", cl::init("1"), cl::value_desc("N"),
            cl::desc("First blocks always selected"), cl::cat(category)};
  Text local{"local", cl::init("1"), cl::value_desc("N"),
             cl::desc("Blocks up to the diagonal always selected"),
             cl::cat(category)};
  Text minBlocks{"min-blocks", cl::init("0"), cl::value_desc("N"),
                 cl::desc("Least blocks in a row"), cl::cat(category)};
  Text maxBlocks{"max-blocks", cl::value_desc("N"),
                 cl::desc("Most blocks beside the forced"), cl::cat(category)};
  Text denseBelow{"dense-below", cl::init("0"), cl::value_desc("N"),
                  cl::desc("Sequences of so few keys are dense"),
                  cl::cat(category)};
  Opt<bool> noCausal{"no-causal", cl::desc("Every query sees every key"),
                     cl::cat(category)};
  Text scale{"scale", cl::value_desc("X"),
             cl::desc("Factor of the logits (default head_dim ** -0.5)"),
             cl::cat(category)};
  Text alpha{"alpha", cl::init("1"), cl::value_desc("X"),
             cl::desc("Further factor of the estimate's logits"),
             cl::cat(category)};
  Opt<bool> dense{"dense",
                  cl::desc("Select every block, whatever --p and --top-k say"),
                  cl::cat(category)};
  Text selection{
      "selection", cl::value_desc("SEL.safetensors"),
      cl::desc("Execute these counts and indices, nothing is selected"),
      cl::cat(category)};
  Text output{"output", cl::value_desc("OUT.safetensors"),
              cl::desc("Write o, lse, counts and indices"), cl::cat(category)};
  Opt<bool> json{"json", cl::desc("Report as one JSON object on stdout"),
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
  Opt<bool> poison{"poison",
                   cl::desc("Put NaN around every input buffer (for tests: "
                            "nothing may change)"),
                   cl::cat(category)};
};

/// The one command line; made on first use, when the names are free.
CommandLine &commandLine() {
  static CommandLine *line = [] {
    dropForeignOptions();
    return new CommandLine;
  }();
  return *line;
}

Error usage(const Twine &option, const Twine &expected, const Twine &got) {
  return createStringError(option + ": expected " + expected + ", got '" + got +
                           "'");
}

/// `128x64`
Error parsePair(StringRef option, StringRef text, int64_t &first,
                int64_t &second) {
  auto [a, b] = text.split('x');
  if (a.getAsInteger(10, first) || b.getAsInteger(10, second))
    return usage(option, "two sizes like 128x128", text);
  return Error::success();
}

Error parseNumber(StringRef option, StringRef text, double &value) {
  if (text.empty() || text.getAsDouble(value))
    return usage(option, "a number", text);
  return Error::success();
}

Error parseShares(StringRef text, std::vector<double> &shares) {
  SmallVector<StringRef> parts;
  text.split(parts, ',');
  shares.clear();
  for (StringRef part : parts) {
    double value;
    if (part.trim().empty() || part.trim().getAsDouble(value))
      return usage("--p", "a number or numbers like 0.9,0.8", text);
    shares.push_back(value);
  }
  return Error::success();
}

std::optional<Agg> symbolizeAggFrom(const Text &text) {
  return symbolizeAgg(StringRef(text));
}

std::optional<Share> symbolizeShareFrom(const Text &text) {
  return symbolizeShare(StringRef(text));
}

Error parseInteger(const Text &option, int64_t &value) {
  if (StringRef(option).getAsInteger(10, value))
    return usage("--" + option.ArgStr, "a whole number", option);
  return Error::success();
}

Error parseInteger(const Text &option, std::optional<int64_t> &value) {
  if (!option.getNumOccurrences())
    return Error::success();
  return parseInteger(option, value.emplace());
}

template <typename T, typename Symbolize>
Error parseKeyword(const Text &option, StringRef choices, Symbolize symbolize,
                   T &value) {
  std::optional<T> symbol = symbolize(option);
  if (!symbol)
    return usage("--" + option.ArgStr, choices, option);
  value = *symbol;
  return Error::success();
}

/// A program says all about the computation: an option that says something too
/// would be ignored.
Error checkProgramAlone(CommandLine &c) {
  if (!c.program.getNumOccurrences())
    return Error::success();
  for (cl::Option *option : std::initializer_list<cl::Option *>{
           &c.block, &c.noCausal, &c.pool, &c.headPool, &c.agg, &c.share, &c.p,
           &c.topK, &c.sink, &c.local, &c.minBlocks, &c.maxBlocks,
           &c.denseBelow, &c.scale, &c.alpha, &c.dense, &c.selection,
           &c.compare})
    if (option->getNumOccurrences())
      return createStringError("--" + option->ArgStr +
                               ": expected no option about the computation "
                               "beside --program, which says it all");
  return Error::success();
}

Error convertNumbers(CommandLine &c, Options &o) {
  if (Error e = parsePair("--block", c.block, o.blockQ, o.blockK))
    return e;
  if (Error e = parsePair("--pool", c.pool, o.poolQ, o.poolK))
    return e;
  if (Error e = parseShares(c.p, o.p))
    return e;
  if (Error e = parseNumber("--alpha", c.alpha, o.alpha))
    return e;
  if (c.scale.getNumOccurrences())
    if (Error e = parseNumber("--scale", c.scale, o.scale.emplace()))
      return e;
  for (auto [option, value] : {std::pair{&c.headPool, &o.headPool},
                               {&c.sink, &o.sink},
                               {&c.local, &o.local},
                               {&c.minBlocks, &o.minBlocks},
                               {&c.denseBelow, &o.denseBelow},
                               {&c.repeat, &o.repeat}})
    if (Error e = parseInteger(*option, *value))
      return e;
  if (Error e = parseInteger(c.topK, o.topK))
    return e;
  if (Error e = parseInteger(c.threads, o.threads))
    return e;
  return parseInteger(c.maxBlocks, o.maxBlocks);
}

Error convert(CommandLine &c, Options &o) {
  if (c.inputs.size() != 1)
    return usage("input", "one file IN.safetensors", llvm::join(c.inputs, " "));
  for (Text *option : {&c.program, &c.selection, &c.output, &c.map, &c.dumpIR})
    if (option->getNumOccurrences() && option->empty())
      return usage("--" + option->ArgStr, "a path", "");
  if (Error e = convertNumbers(c, o))
    return e;
  if (Error e = parseKeyword(c.agg, "max or sum", symbolizeAggFrom, o.agg))
    return e;
  if (Error e =
          parseKeyword(c.share, "none or group", symbolizeShareFrom, o.share))
    return e;
  if (c.target != "cpu")
    return usage("--target", "cpu", c.target);
  if (c.compare.getNumOccurrences() && c.compare != "dense")
    return usage("--compare", "dense", c.compare);
  if (Error e = checkProgramAlone(c))
    return e;
  o.input = c.inputs.front();
  o.program = c.program;
  o.selection = c.selection;
  o.output = c.output;
  o.map = c.map;
  o.dumpIR = c.dumpIR;
  o.causal = !c.noCausal;
  o.dense = c.dense;
  o.json = c.json;
  o.compareDense = c.compare.getNumOccurrences() > 0;
  o.poison = c.poison;
  return Error::success();
}

} // namespace

std::optional<int> run::parseOptions(int argc, char **argv, Options &options) {
  CommandLine &line = commandLine();
  std::string text;
  raw_string_ostream errors(text);
  bool ok = cl::ParseCommandLineOptions(
      argc, argv,
      "Block-sparse attention on the q, k and v of a safetensors file.\n"
      "Tensors q, k, v: [B,H,L,D] or [H,L,D], F32, F16 or BF16; a packed "
      "batch\n"
      "has I32 cu_seqlens_q and cu_seqlens_k beside them.\n",
      &errors);
  auto wrong = [](StringRef line) {
    errs() << "unisparse-run: " << line << '\n';
    return 2;
  };
  if (!ok) {
    // LLVM's first line names the option; the rest are hints. What an option
    // lacks it has said on stderr itself.
    StringRef said = StringRef(text).trim().split('\n').first;
    if (said.empty())
      return 2;
    return wrong(said.substr(said.find("unisparse-run: ") + 15));
  }
  if (Error e = convert(line, options))
    return wrong(toString(std::move(e)));
  return std::nullopt;
}

Error run::failure(const Twine &subject, const Twine &what) {
  return createStringError(subject + ": " + what);
}

/// 0.9 as 0.9, not 0.90 or 0.900000.
static std::string number(double value) {
  std::string text;
  raw_string_ostream(text) << format("%g", value);
  return text;
}

/// More than any machine has; OpenMP aborts where it cannot start them.
static constexpr int64_t kMaxThreads = 1024;

static Error expectAtLeast(StringRef option, int64_t least, int64_t got) {
  if (got >= least)
    return Error::success();
  return failure(option,
                 "expected at least " + Twine(least) + ", got " + Twine(got));
}

Error run::checkOptions(const Options &o) {
  // [I5], [P1], [P4]
  for (auto [option, first, second] :
       {std::tuple{"--block", o.blockQ, o.blockK},
        {"--pool", o.poolQ, o.poolK}})
    if (first < 1 || second < 1)
      return failure(option, "expected sizes of at least 1, got " +
                                 Twine(first) + "x" + Twine(second));
  for (auto [what, factor, block] :
       {std::tuple{"query", o.poolQ, o.blockQ}, {"key", o.poolK, o.blockK}})
    if (block % factor)
      return failure("--pool", Twine("[I5] expected a ") + what +
                                   " factor that divides the " + what +
                                   " block " + Twine(block) + ", got " +
                                   Twine(factor));
  // A tile of a block, in f32, has to fit memory many times over.
  if (o.blockQ > 4096 || o.blockK > 4096)
    return failure("--block", "expected sizes of at most 4096, got " +
                                  Twine(o.blockQ) + "x" + Twine(o.blockK));
  for (auto [option, least, got] :
       {std::tuple{"--head-pool", int64_t(1), o.headPool},
        {"--sink", int64_t(0), o.sink},
        {"--local", int64_t(0), o.local},
        {"--min-blocks", int64_t(0), o.minBlocks},
        {"--max-blocks", int64_t(0), o.maxBlocks.value_or(0)},
        {"--top-k", int64_t(1), o.topK.value_or(1)},
        {"--dense-below", int64_t(0), o.denseBelow},
        {"--threads", int64_t(1), o.threads.value_or(1)},
        {"--repeat", int64_t(1), o.repeat}})
    if (Error e = expectAtLeast(option, least, got))
      return e;
  for (double share : o.p) // [L3] NaN fails both comparisons.
    if (!(share >= 0.0 && share <= 1.0))
      return failure("--p",
                     "[L3] expected shares in [0, 1], got " + number(share));
  // Logits are f32: a factor that is infinite there is none.
  double scale = o.scale.value_or(1.0);
  for (auto [option, factor] : {std::pair{"--scale", scale},
                                {"--alpha", o.alpha},
                                {"--alpha times --scale", o.alpha * scale}})
    if (!std::isfinite(static_cast<float>(factor)))
      return failure(option, "[S1] expected a number that is finite in f32, got " +
                                 number(factor));
  if (o.threads.value_or(1) > kMaxThreads)
    return failure("--threads", "expected at most " + Twine(kMaxThreads) +
                                    ", got " + Twine(*o.threads));
  return Error::success();
}

std::string Options::describeRule() const {
  if (!program.empty())
    return "program " + program;
  if (!selection.empty())
    return "given selection";
  if (dense)
    return "dense";
  if (topK)
    return formatv("top-k {0}", *topK).str();
  if (p.size() > 1)
    return "top-p per head";
  return "top-p " + number(p[0]);
}
