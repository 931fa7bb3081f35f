// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What is computed, as options of a command line: shared by the tools, so that
// an option means the same to each.
#ifndef UNISPARSE_TOOLS_COMMON_COMPUTATION_H
#define UNISPARSE_TOOLS_COMMON_COMPUTATION_H

#include "CommandLine.h"
#include "ScoreTables.h"
#include "unisparse/Dialect/UniSparse/Transforms/Policy.h"

namespace unisparse::tools {

struct Computation {
  int64_t blockQ = 128, blockK = 128, poolQ = 8, poolK = 8, headPool = 1;
  std::optional<int64_t> representatives, spread; ///< Or the measured ones.
  Agg agg = Agg::Max;
  Share share = Share::None;
  std::vector<double> p{measured::kShare};
  std::optional<int64_t> topK, maxBlocks;
  std::optional<double> threshold, random;
  int64_t sink = 1, local = 1, minBlocks = 0, denseBelow = 0, seed = 0;
  std::optional<int64_t> last;     ///< Or the measured one.
  double relax = measured::kRelax; ///< 0: none
  bool causal = true, dense = false;
  std::optional<double> scale;
  double alpha = 1.0;
  std::optional<double> softcap; ///< M1
  /// M2: tokens to either side, -1 for no limit.
  int64_t windowLeft = -1, windowRight = -1;
  bool sinkLogits = false;             ///< M3: they are one more input.
  std::string scoreMod;                ///< M5: a region's body, or alibi.
  std::vector<ScoreTable> scoreTables; ///< More inputs, which the text reads.
  bool estimateWithRegion = false;     ///< M6
  /// Which of how many heads the first one is to the text; unless given, 0 of
  /// those that there are.
  std::optional<std::pair<int64_t, int64_t>> headsOf;

  bool hasWindow() const { return windowLeft >= 0 || windowRight >= 0; }
  /// Whether queries have positions among the keys (I7).
  bool hasPositions() const { return causal || hasWindow(); }

  int64_t representativeRows() const {
    return representatives.value_or(measured::representatives(agg, poolQ));
  }
  int64_t spreadOf(int64_t headDim) const {
    return spread.value_or(measured::spread(headDim, poolK));
  }
  int64_t lastBlocks() const { return last.value_or(measured::last(causal)); }

  /// Which rule decides where several are given: the first of all, top-k,
  /// threshold, random and top-p.
  RuleKind rule() const {
    return dense       ? RuleKind::All
           : topK      ? RuleKind::TopK
           : threshold ? RuleKind::Threshold
           : random    ? RuleKind::Random
                       : RuleKind::TopP;
  }
};

/// What can be said against it without a look at tensors. Factors that divide
/// blocks are asked for only where something is pooled (I5).
llvm::Error checkComputation(const Computation &computation, bool pools);

/// The options themselves.
class ComputationOptions {
public:
  explicit ComputationOptions(llvm::cl::OptionCategory &category)
      : category(category) {}

  llvm::Error convert(Computation &computation);
  /// Error where one of them, or of the others, is given beside an option that
  /// says it all; blocks and causality may be exempt.
  llvm::Error expectNone(llvm::StringRef beside,
                         llvm::ArrayRef<llvm::cl::Option *> others,
                         bool blocksToo = true);
  /// Whether there is one more input, which some programs have.
  llvm::cl::Option *sinks() { return &sinkLogits; }

private:
  llvm::cl::OptionCategory &category;

  Text block{"block", llvm::cl::init("128x128"), llvm::cl::value_desc("BQxBK"),
             llvm::cl::desc("Queries by keys of a block"),
             llvm::cl::cat(category)};
  Text pool{"pool", llvm::cl::init("8x8"), llvm::cl::value_desc("CQxCK"),
            llvm::cl::desc("Queries and keys in a composite token"),
            llvm::cl::cat(category)};
  Text headPool{"head-pool", llvm::cl::init("1"), llvm::cl::value_desc("N"),
                llvm::cl::desc("Query heads in a composite token"),
                llvm::cl::cat(category)};
  Text representatives{
      "representatives", llvm::cl::value_desc("T"),
      llvm::cl::desc("Rows of a query block that are scored by themselves "
                     "(default 16, with --agg=sum 0)"),
      llvm::cl::cat(category)};
  Text spread{"spread", llvm::cl::value_desc("S"),
              llvm::cl::desc("Score the keys' variance in groups of S dims (0: "
                             "not at all; default 4 or what divides head_dim)"),
              llvm::cl::cat(category)};
  Text agg{
      "agg", llvm::cl::init("max"), llvm::cl::value_desc("max|sum"),
      llvm::cl::desc("Block mass: the largest composite row's, or their mean"),
      llvm::cl::cat(category)};
  Text share{
      "share", llvm::cl::init("none"), llvm::cl::value_desc("none|group"),
      llvm::cl::desc("Whether the query heads of a KV head share a selection"),
      llvm::cl::cat(category)};
  Text p{
      "p", llvm::cl::init("0.8"), llvm::cl::value_desc("P[,P...]"),
      llvm::cl::desc("Share of attention mass to select, one or one per head"),
      llvm::cl::cat(category)};
  Text relax{"relax", llvm::cl::value_desc("G"),
             llvm::cl::desc("How much more of the mass rows of 16K keys may "
                            "leave out (default 0.5, with --p 0)"),
             llvm::cl::cat(category)};
  Text topK{"top-k", llvm::cl::value_desc("N"),
            llvm::cl::desc("Select this many blocks, whatever --p says"),
            llvm::cl::cat(category)};
  Text threshold{
      "threshold", llvm::cl::value_desc("A"),
      llvm::cl::desc("Select blocks of at least A times a row's largest mass, "
                     "whatever --p says"),
      llvm::cl::cat(category)};
  Text random{"random", llvm::cl::value_desc("D"),
              llvm::cl::desc("Select a share D of the blocks at random, "
                             "whatever --p says"),
              llvm::cl::cat(category)};
  Text seed{"seed", llvm::cl::init("0"), llvm::cl::value_desc("N"),
            llvm::cl::desc("Which random blocks"), llvm::cl::cat(category)};
  Text sink{"sink", llvm::cl::init("1"), llvm::cl::value_desc("N"),
            llvm::cl::desc("First blocks always selected"),
            llvm::cl::cat(category)};
  Text local{"local", llvm::cl::init("1"), llvm::cl::value_desc("N"),
             llvm::cl::desc("Blocks up to the diagonal always selected"),
             llvm::cl::cat(category)};
  Text last{"last", llvm::cl::value_desc("N"),
            llvm::cl::desc("Last query blocks of a sequence that see all "
                           "(default 1, with --no-causal 0)"),
            llvm::cl::cat(category)};
  Text minBlocks{"min-blocks", llvm::cl::init("0"), llvm::cl::value_desc("N"),
                 llvm::cl::desc("Least blocks in a row"),
                 llvm::cl::cat(category)};
  Text maxBlocks{"max-blocks", llvm::cl::value_desc("N"),
                 llvm::cl::desc("Most blocks beside the forced"),
                 llvm::cl::cat(category)};
  Text denseBelow{"dense-below", llvm::cl::init("0"), llvm::cl::value_desc("N"),
                  llvm::cl::desc("Sequences of so few keys are dense"),
                  llvm::cl::cat(category)};
  llvm::cl::opt<bool> noCausal{"no-causal",
                               llvm::cl::desc("Every query sees every key"),
                               llvm::cl::cat(category)};
  Text scale{"scale", llvm::cl::value_desc("X"),
             llvm::cl::desc("Factor of the logits (default head_dim ** -0.5)"),
             llvm::cl::cat(category)};
  Text alpha{"alpha", llvm::cl::init("1"), llvm::cl::value_desc("X"),
             llvm::cl::desc("Further factor of the estimate's logits"),
             llvm::cl::cat(category)};
  Text softcap{"softcap", llvm::cl::value_desc("C"),
               llvm::cl::desc("Soft cap of the logits: C * tanh(x / C)"),
               llvm::cl::cat(category)};
  Text window{"window", llvm::cl::value_desc("LEFT,RIGHT"),
              llvm::cl::desc("Tokens that a query sees to either side of "
                             "itself (-1: no limit)"),
              llvm::cl::cat(category)};
  /// Which an artifact or a program may ask for beside everything else.
  llvm::cl::opt<bool> sinkLogits{
      "sink-logits",
      llvm::cl::desc("The input sink_logits, one a query head, joins the sum "
                     "of its softmax"),
      llvm::cl::cat(category)};
  Text scoreMod{
      "score-mod", llvm::cl::value_desc("alibi|BODY"),
      llvm::cl::desc("Modify logits by ALiBi's biases, or by the body of an "
                     "MLIR region of %logit, %batch, %head, %q and %k"),
      llvm::cl::cat(category)};
  Text scoreTables{
      "score-tables", llvm::cl::value_desc("NAME:?xf32,..."),
      llvm::cl::desc("Inputs that the text of --score-mod reads by name, with "
                     "what stands between the brackets of their types"),
      llvm::cl::cat(category)};
  Text headsOf{
      "score-mod-heads", llvm::cl::value_desc("FIRST,ALL"),
      llvm::cl::desc("The query heads are those from FIRST on of ALL to "
                     "--score-mod, as on a device that has some"),
      llvm::cl::cat(category)};
  llvm::cl::opt<bool> estimateWithRegion{
      "estimate-with-region",
      llvm::cl::desc("Modify the estimate's logits by --score-mod too"),
      llvm::cl::cat(category)};
  llvm::cl::opt<bool> dense{
      "dense",
      llvm::cl::desc("Select every block, whatever other rule is given"),
      llvm::cl::cat(category)};
};

} // namespace unisparse::tools

#endif // UNISPARSE_TOOLS_COMMON_COMPUTATION_H
