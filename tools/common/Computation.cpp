// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Computation.h"
#include "ScoreMod.h"
#include <cmath>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::tools;

/// `128x64`
static Error parsePair(StringRef option, StringRef text, int64_t &first,
                       int64_t &second) {
  auto [a, b] = text.split('x');
  if (a.getAsInteger(10, first) || b.getAsInteger(10, second))
    return usage(option, "two sizes like 128x128", text);
  return Error::success();
}

/// `4095,0`
static Error parseWindow(StringRef text, int64_t &left, int64_t &right) {
  auto [a, b] = text.split(',');
  if (a.trim().getAsInteger(10, left) || b.trim().getAsInteger(10, right))
    return usage("--window", "two numbers of tokens like 4095,0", text);
  return Error::success();
}

/// `8,32`
static Error parseHeadsOf(StringRef text,
                          std::optional<std::pair<int64_t, int64_t>> &heads) {
  auto [a, b] = text.split(',');
  int64_t first, all;
  if (a.trim().getAsInteger(10, first) || b.trim().getAsInteger(10, all) ||
      first < 0 || all < 1)
    return usage("--score-mod-heads",
                 "[M5] a head from 0 on and a number of heads, like 8,32",
                 text);
  heads = {first, all};
  return Error::success();
}

static Error parseShares(StringRef text, std::vector<double> &shares) {
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

Error ComputationOptions::expectNone(StringRef beside,
                                     ArrayRef<cl::Option *> others,
                                     bool blocksToo) {
  SmallVector<cl::Option *> options{&pool,
                                    &headPool,
                                    &representatives,
                                    &spread,
                                    &agg,
                                    &share,
                                    &p,
                                    &relax,
                                    &topK,
                                    &threshold,
                                    &random,
                                    &seed,
                                    &sink,
                                    &local,
                                    &last,
                                    &minBlocks,
                                    &maxBlocks,
                                    &denseBelow,
                                    &scale,
                                    &alpha,
                                    &softcap,
                                    &window,
                                    &scoreMod,
                                    &scoreTables,
                                    &headsOf,
                                    &estimateWithRegion,
                                    &dense};
  if (blocksToo)
    options.append({&block, &noCausal});
  append_range(options, others);
  for (cl::Option *option : options)
    if (option->getNumOccurrences())
      return createStringError("--" + option->ArgStr +
                               ": expected no option about the computation "
                               "beside " +
                               beside + ", which says it all");
  return Error::success();
}

Error ComputationOptions::convert(Computation &c) {
  if (Error e = parsePair("--block", block, c.blockQ, c.blockK))
    return e;
  if (Error e = parsePair("--pool", pool, c.poolQ, c.poolK))
    return e;
  if (Error e = parseShares(p, c.p))
    return e;
  if (Error e = parseNumber("--alpha", alpha, c.alpha))
    return e;
  // The measured policy's goes with its share.
  if (p.getNumOccurrences())
    c.relax = 0;
  if (relax.getNumOccurrences())
    if (Error e = parseNumber("--relax", relax, c.relax))
      return e;
  if (scale.getNumOccurrences())
    if (Error e = parseNumber("--scale", scale, c.scale.emplace()))
      return e;
  if (window.getNumOccurrences())
    if (Error e = parseWindow(window, c.windowLeft, c.windowRight))
      return e;
  for (auto [option, value] : {std::pair{&threshold, &c.threshold},
                               {&random, &c.random},
                               {&softcap, &c.softcap}})
    if (option->getNumOccurrences())
      if (Error e = parseNumber("--" + option->ArgStr.str(), *option,
                                value->emplace()))
        return e;
  for (auto [option, value] : {std::pair{&headPool, &c.headPool},
                               {&seed, &c.seed},
                               {&sink, &c.sink},
                               {&local, &c.local},
                               {&minBlocks, &c.minBlocks},
                               {&denseBelow, &c.denseBelow}})
    if (Error e = parseInteger(*option, *value))
      return e;
  for (auto [option, value] : {std::pair{&topK, &c.topK},
                               {&maxBlocks, &c.maxBlocks},
                               {&representatives, &c.representatives},
                               {&spread, &c.spread},
                               {&last, &c.last}})
    if (Error e = parseInteger(*option, *value))
      return e;
  if (Error e = parseKeyword(
          agg, "max or sum", [](StringRef t) { return symbolizeAgg(t); },
          c.agg))
    return e;
  if (Error e = parseKeyword(
          share, "none or group", [](StringRef t) { return symbolizeShare(t); },
          c.share))
    return e;
  c.causal = !noCausal;
  c.sinkLogits = sinkLogits;
  c.scoreMod = StringRef(scoreMod).trim();
  if (scoreMod.getNumOccurrences() && c.scoreMod.empty())
    return usage("--score-mod", "[M5] alibi or the body of a region", scoreMod);
  c.estimateWithRegion = estimateWithRegion;
  if (headsOf.getNumOccurrences())
    if (Error e = parseHeadsOf(headsOf, c.headsOf))
      return e;
  if (scoreTables.getNumOccurrences())
    if (Error e = parseScoreTables(scoreTables, c.scoreTables))
      return e;
  c.dense = dense;
  return Error::success();
}

/// [L9], [L10]
static Error checkOtherRules(const Computation &o) {
  for (auto [option, label, share] :
       {std::tuple{"--threshold", "[L9]", o.threshold.value_or(0.0)},
        {"--random", "[L10]", o.random.value_or(0.0)}})
    if (!(share >= 0.0 && share <= 1.0))
      return failure(option, Twine(label) +
                                 " expected a share in [0, 1], got " +
                                 number(share));
  if (o.seed < 0 || o.seed > UINT32_MAX)
    return failure("--seed",
                   "[L10] expected a number in [0, 4294967295], got " +
                       Twine(o.seed));
  bool threshold = o.rule() == RuleKind::Threshold,
       random = o.rule() == RuleKind::Random;
  if (o.minBlocks && (threshold || random))
    return failure("--min-blocks",
                   Twine(threshold ? "[L9] expected none beside --threshold"
                                   : "[L10] expected none beside --random") +
                       ", got " + Twine(o.minBlocks));
  if (o.maxBlocks && threshold)
    return failure("--max-blocks",
                   "[L9] expected none beside --threshold, got " +
                       Twine(*o.maxBlocks));
  return Error::success();
}

/// [M1], [M2], [M6]
static Error checkModification(const Computation &o) {
  if (o.headsOf && o.scoreMod.empty())
    return failure("--score-mod-heads",
                   "[M5] expected --score-mod beside it, got none");
  if (!o.scoreTables.empty() && (o.scoreMod.empty() || o.scoreMod == kAlibi))
    return failure("--score-tables",
                   "[M5] expected the text of a region in --score-mod beside "
                   "it, got " +
                       (o.scoreMod.empty() ? "none" : o.scoreMod));
  if (o.estimateWithRegion && o.scoreMod.empty())
    return failure("--estimate-with-region",
                   "[M6] expected --score-mod beside it, got none");
  if (o.estimateWithRegion && o.headPool != 1)
    return failure("--head-pool", "[M6] expected 1 beside "
                                  "--estimate-with-region, got " +
                                      Twine(o.headPool));
  if (o.softcap) {
    double cap = *o.softcap;
    for (double x : {cap, 1 / cap, cap * M_LOG2E})
      if (!(x > 0) || !std::isnormal(static_cast<float>(x)))
        return failure("--softcap", "[M1] expected a finite number above 0, "
                                    "got " +
                                        number(cap));
  }
  for (int64_t side : {o.windowLeft, o.windowRight})
    if (side < -1 || side > int64_t(1) << 30)
      return failure("--window", "[M2] expected sides of at most " +
                                     Twine(int64_t(1) << 30) +
                                     " tokens, or -1 for no limit, got " +
                                     Twine(side));
  return Error::success();
}

Error tools::checkComputation(const Computation &o, bool pools) {
  // [I5], [P1], [P4]
  for (auto [option, first, second] :
       {std::tuple{"--block", o.blockQ, o.blockK},
        {"--pool", o.poolQ, o.poolK}})
    if (first < 1 || second < 1)
      return failure(option, "expected sizes of at least 1, got " +
                                 Twine(first) + "x" + Twine(second));
  for (auto [what, factor, block] :
       {std::tuple{"query", o.poolQ, o.blockQ}, {"key", o.poolK, o.blockK}})
    if (pools && block % factor)
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
        {"--representatives", int64_t(0),
         o.representatives.value_or(0)},                // [P5]
        {"--spread", int64_t(0), o.spread.value_or(0)}, // [P6]
        {"--last", int64_t(0), o.last.value_or(0)},     // [L8]
        {"--sink", int64_t(0), o.sink},
        {"--local", int64_t(0), o.local},
        {"--min-blocks", int64_t(0), o.minBlocks},
        {"--max-blocks", int64_t(0), o.maxBlocks.value_or(0)},
        {"--top-k", int64_t(1), o.topK.value_or(1)},
        {"--dense-below", int64_t(0), o.denseBelow}})
    if (Error e = expectAtLeast(option, least, got))
      return e;
  for (double share : o.p) // [L3] NaN fails both comparisons.
    if (!(share >= 0.0 && share <= 1.0))
      return failure("--p",
                     "[L3] expected shares in [0, 1], got " + number(share));
  if (!(o.relax >= 0.0 && o.relax <= RuleAttr::kMostRelax))
    return failure("--relax", "[L11] expected a number in [0, " +
                                  Twine(RuleAttr::kMostRelax) + "], got " +
                                  number(o.relax));
  if (Error e = checkOtherRules(o))
    return e;
  if (Error e = checkModification(o))
    return e;
  if (pools && o.representativeRows() && o.agg != Agg::Max)
    return failure("--agg", "[P5] expected max beside --representatives, got " +
                                stringifyAgg(o.agg));
  // Logits are f32: a factor that is infinite there is none.
  double scale = o.scale.value_or(1.0);
  for (auto [option, factor] : {std::pair{"--scale", scale},
                                {"--alpha", o.alpha},
                                {"--alpha times --scale", o.alpha * scale}})
    if (!std::isfinite(static_cast<float>(factor)))
      return failure(option,
                     "[S1] expected a number that is finite in f32, got " +
                         number(factor));
  return Error::success();
}
