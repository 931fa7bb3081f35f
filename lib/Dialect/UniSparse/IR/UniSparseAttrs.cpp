// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectImplementation.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

using namespace mlir;
using namespace unisparse;

//===----------------------------------------------------------------------===//
// Parsing helpers
//===----------------------------------------------------------------------===//

/// `8x4`: the lexer reads `8x4` as a number and a word, so the shape parser is
/// the one that takes it apart.
static ParseResult parsePair(AsmParser &parser, int64_t &first,
                             int64_t &second) {
  SMLoc loc = parser.getCurrentLocation();
  SmallVector<int64_t> dims;
  if (parser.parseDimensionList(dims, /*allowDynamic=*/false,
                                /*withTrailingX=*/false))
    return failure();
  if (dims.size() != 2)
    return parser.emitError(loc)
           << "expected two sizes like 128x128, got " << dims.size();
  first = dims[0];
  second = dims[1];
  return success();
}

static void printPair(AsmPrinter &printer, int64_t first, int64_t second) {
  printer << first << 'x' << second;
}

/// A number: `0.9`, and `1` for those who leave the point out.
static ParseResult parseNumber(AsmParser &parser, FloatAttr &p) {
  SMLoc loc = parser.getCurrentLocation();
  Attribute number;
  if (parser.parseAttribute(number))
    return failure();
  if (auto real = dyn_cast<FloatAttr>(number))
    p = Builder(parser.getContext()).getF64FloatAttr(real.getValueAsDouble());
  else if (auto whole = dyn_cast<IntegerAttr>(number);
           whole && !whole.getType().isInteger(1))
    p = Builder(parser.getContext())
            .getF64FloatAttr(whole.getValue().roundToDouble(
                !whole.getType().isUnsignedInteger()));
  else
    return parser.emitError(loc) << "expected a number, got " << number;
  return success();
}

using Option = std::pair<StringRef, int64_t *>;
using OptionSet = llvm::SmallDenseSet<StringRef>;

/// `, name = number` as often as it comes, in any order, each name once; which
/// ones came. The `first` thing of a list has no comma in front of it.
static FailureOr<OptionSet>
parseOptions(AsmParser &parser, ArrayRef<Option> known, bool first = false,
             std::pair<StringRef, FloatAttr *> real = {}) {
  OptionSet seen;
  while (first || succeeded(parser.parseOptionalComma())) {
    first = false;
    SMLoc loc = parser.getCurrentLocation();
    StringRef keyword;
    int64_t value;
    if (parser.parseKeyword(&keyword) || parser.parseEqual())
      return failure();
    if (real.second && keyword == real.first) {
      if (parseNumber(parser, *real.second))
        return failure();
      if (!seen.insert(real.first).second)
        return parser.emitError(loc) << "option " << keyword << " given twice";
      continue;
    }
    if (parser.parseInteger(value))
      return failure();
    const Option *option = llvm::find_if(
        known, [&](const Option &o) { return o.first == keyword; });
    if (option == known.end()) {
      InFlightDiagnostic error = parser.emitError(loc) << "expected ";
      SmallVector<StringRef> names(llvm::make_first_range(known));
      if (real.second)
        names.push_back(real.first);
      for (auto [i, name] : llvm::enumerate(names))
        error << (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") << name;
      return error << ", got " << keyword;
    }
    if (!seen.insert(option->first).second)
      return parser.emitError(loc) << "option " << keyword << " given twice";
    *option->second = value;
  }
  return seen;
}

#include "unisparse/Dialect/UniSparse/IR/UniSparseEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "unisparse/Dialect/UniSparse/IR/UniSparseAttrs.cpp.inc"

void UniSparseDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "unisparse/Dialect/UniSparse/IR/UniSparseAttrs.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// BlockAttr, PoolingAttr
//===----------------------------------------------------------------------===//

// [I5]
LogicalResult BlockAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                int64_t query, int64_t key) {
  if (query < 1 || key < 1)
    return emitError() << "[I5] expected positive block sizes, got " << query
                       << 'x' << key;
  return success();
}

// [P1], [P4], [P5], [P6]
LogicalResult PoolingAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                  int64_t query, int64_t key, int64_t heads,
                                  int64_t representatives, int64_t spread) {
  if (query < 1 || key < 1)
    return emitError() << "[P1] expected positive pooling factors, got "
                       << query << 'x' << key;
  if (heads < 1)
    return emitError()
           << "[P4] expected a positive number of pooled heads, got " << heads;
  if (representatives < 0)
    return emitError() << "[P5] expected representatives >= 0, got "
                       << representatives;
  if (spread < 0)
    return emitError() << "[P6] expected spread >= 0, got " << spread;
  return success();
}

Attribute PoolingAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  int64_t query, key, heads = 1, representatives = 0, spread = 0;
  if (parser.parseLess() || parsePair(parser, query, key) ||
      failed(parseOptions(parser, {{"heads", &heads},
                                   {"representatives", &representatives},
                                   {"spread", &spread}})) ||
      parser.parseGreater())
    return {};
  return parser.getChecked<PoolingAttr>(loc, parser.getContext(), query, key,
                                        heads, representatives, spread);
}

void PoolingAttr::print(AsmPrinter &printer) const {
  printer << '<';
  printPair(printer, getQuery(), getKey());
  if (getHeads() != 1)
    printer << ", heads = " << getHeads();
  if (getRepresentatives())
    printer << ", representatives = " << getRepresentatives();
  if (getSpread())
    printer << ", spread = " << getSpread();
  printer << '>';
}

PoolingAttr PoolingAttr::simplified(int64_t rows) const {
  int64_t representatives =
      getQuery() == 1 ? 0 : std::min(getRepresentatives(), rows);
  return get(getContext(), getQuery(), getKey(), getHeads(), representatives,
             getKey() == 1 ? 0 : getSpread());
}

//===----------------------------------------------------------------------===//
// RuleAttr
//===----------------------------------------------------------------------===//

static constexpr int64_t kSink = 1, kLocal = 1, kMinBlocks = 0, kDenseBelow = 0,
                         kLast = 0, kSeed = 0;

RuleAttr RuleAttr::getAll(MLIRContext *context) {
  return get(context, RuleKind::All, FloatAttr(), /*k=*/0, kSink, kLocal,
             kMinBlocks, std::nullopt, kDenseBelow, kLast, kSeed, FloatAttr());
}

bool RuleAttr::takesAll() const {
  switch (getKind()) {
  case RuleKind::All:
    return true;
  case RuleKind::TopK:
    return false;
  case RuleKind::Threshold: // No mass is below zero.
    return getValue() <= 0.0;
  case RuleKind::TopP:
  case RuleKind::Random:
    return getP() && getValue() >= 1.0 && !getMaxBlocks();
  }
}

RuleAttr RuleAttr::forLengths(int64_t queries, int64_t keys,
                              int64_t rows) const {
  bool below = !ShapedType::isDynamic(keys) && keys <= getDenseBelow();
  bool allLast =
      !ShapedType::isDynamic(queries) && ceilUnits(queries, rows) <= getLast();
  return takesAll() || below || allLast ? getAll(getContext()) : *this;
}

RuleAttr RuleAttr::withDenseBelow(int64_t keys) const {
  return get(getContext(), getKind(), getP(), getK(), getSink(), getLocal(),
             getMinBlocks(), getMaxBlocks(), keys, getLast(), getSeed(),
             getRelax());
}

/// A rule's number has to lie in [0, 1]; NaN fails both comparisons.
static bool isShare(FloatAttr p) {
  return p && p.getValueAsDouble() >= 0.0 && p.getValueAsDouble() <= 1.0;
}

/// What `threshold` and `random` take besides their numbers.
static LogicalResult
verifyThresholdOrRandom(function_ref<InFlightDiagnostic()> emitError,
                        RuleKind kind, FloatAttr p, int64_t minBlocks,
                        std::optional<int64_t> maxBlocks, int64_t seed) {
  bool threshold = kind == RuleKind::Threshold,
       random = kind == RuleKind::Random;
  StringRef label = threshold ? "[L9]" : "[L10]",
            name = stringifyRuleKind(kind);
  if ((threshold || random) && !isShare(p)) {
    InFlightDiagnostic error = emitError();
    error << label << " expected " << name << " in [0, 1], got ";
    return p ? error << p.getValueAsDouble() : error << "none";
  }
  if ((threshold || random) && minBlocks != kMinBlocks)
    return emitError() << label << " expected no min_blocks beside " << name
                       << ", got " << minBlocks;
  if (threshold && maxBlocks)
    return emitError() << "[L9] expected no max_blocks beside threshold, got "
                       << *maxBlocks;
  if (!random && seed != kSeed)
    return emitError() << "[L10] expected seed beside random only, got "
                       << seed;
  if (seed < 0 || seed > UINT32_MAX)
    return emitError() << "[L10] expected seed in [0, 4294967295], got "
                       << seed;
  return success();
}

LogicalResult RuleAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               RuleKind kind, FloatAttr p, int64_t k,
                               int64_t sink, int64_t local, int64_t minBlocks,
                               std::optional<int64_t> maxBlocks,
                               int64_t denseBelow, int64_t last, int64_t seed,
                               FloatAttr relax) {
  if (relax && kind != RuleKind::TopP)
    return emitError() << "[L11] expected relax beside top_p only, got "
                       << relax.getValueAsDouble();
  if (relax && !(relax.getValueAsDouble() >= 0.0 &&
                 relax.getValueAsDouble() <= kMostRelax))
    return emitError() << "[L11] expected relax in [0, " << kMostRelax
                       << "], got " << relax.getValueAsDouble();
  if (kind == RuleKind::TopP && p && !isShare(p)) // [L3]
    return emitError() << "[L3] expected top_p in [0, 1], got "
                       << p.getValueAsDouble();
  if (kind == RuleKind::TopK && k < 1)
    return emitError() << "[L4] expected top_k >= 1, got " << k;
  if (failed(verifyThresholdOrRandom(emitError, kind, p, minBlocks, maxBlocks,
                                     seed)))
    return failure();
  auto atLeastZero = [&](StringRef label, StringRef name,
                         int64_t value) -> LogicalResult {
    if (value >= 0)
      return success();
    return emitError() << label << " expected " << name << " >= 0, got "
                       << value;
  };
  if (failed(atLeastZero("[L2]", "sink", sink)) ||
      failed(atLeastZero("[L2]", "local", local)) ||
      failed(atLeastZero("[L3]", "min_blocks", minBlocks)) ||
      failed(atLeastZero("[L3]", "max_blocks", maxBlocks.value_or(0))) ||
      failed(atLeastZero("[L8]", "last", last)))
    return failure();
  return atLeastZero("[L3]", "dense_below", denseBelow);
}

Attribute RuleAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  StringRef keyword;
  if (parser.parseLess() || parser.parseKeyword(&keyword))
    return {};
  std::optional<RuleKind> kind = symbolizeRuleKind(keyword);
  if (!kind) {
    parser.emitError(loc)
        << "expected top_p, top_k, all, threshold or random, got " << keyword;
    return {};
  }
  FloatAttr p, relax;
  int64_t k = 0;
  // The op may have the shares of top_p as an operand.
  bool hasNumber = *kind == RuleKind::TopP
                       ? succeeded(parser.parseOptionalEqual())
                       : *kind != RuleKind::All;
  if (hasNumber && *kind != RuleKind::TopP && parser.parseEqual())
    return {};
  if (hasNumber && (*kind == RuleKind::TopK ? parser.parseInteger(k)
                                            : parseNumber(parser, p)))
    return {};
  std::optional<int64_t> maxBlocks;
  int64_t sink = kSink, local = kLocal, last = kLast, minBlocks = kMinBlocks,
          denseBelow = kDenseBelow, seed = kSeed, cap = 0;
  const Option options[] = {{"sink", &sink},      {"local", &local},
                            {"last", &last},      {"min_blocks", &minBlocks},
                            {"max_blocks", &cap}, {"dense_below", &denseBelow},
                            {"seed", &seed}};
  FailureOr<OptionSet> given =
      parseOptions(parser, options, /*first=*/false, {"relax", &relax});
  if (failed(given))
    return {};
  if (given->contains("max_blocks"))
    maxBlocks = cap;
  if (parser.parseGreater())
    return {};
  return parser.getChecked<RuleAttr>(loc, parser.getContext(), *kind, p, k,
                                     sink, local, minBlocks, maxBlocks,
                                     denseBelow, last, seed, relax);
}

/// The shortest text that reads back as the same number: 0.9, where all digits
/// would be 0.90000000000000002.
static std::string shortestText(const APFloat &value) {
  SmallString<24> text;
  for (unsigned digits = 1; digits <= 17; ++digits) {
    text.clear();
    value.toString(text, digits, /*FormatMaxPadding=*/4);
    if (APFloat(value.getSemantics(), text).bitwiseIsEqual(value))
      break;
  }
  bool whole = StringRef(text).find_first_of(".eE") == StringRef::npos;
  return (text + (whole ? ".0" : "")).str();
}

void RuleAttr::print(AsmPrinter &printer) const {
  printer << '<' << stringifyRuleKind(getKind());
  if (getKind() == RuleKind::TopK)
    printer << " = " << getK();
  if (getP()) {
    printer << " = " << shortestText(getP().getValue());
  }
  auto option = [&](StringRef name, int64_t value, int64_t normal) {
    if (value != normal)
      printer << ", " << name << " = " << value;
  };
  option("sink", getSink(), kSink);
  option("local", getLocal(), kLocal);
  option("last", getLast(), kLast);
  option("min_blocks", getMinBlocks(), kMinBlocks);
  if (getMaxBlocks())
    printer << ", max_blocks = " << *getMaxBlocks();
  option("dense_below", getDenseBelow(), kDenseBelow);
  option("seed", getSeed(), kSeed);
  if (getRelax())
    printer << ", relax = " << shortestText(getRelax().getValue());
  printer << '>';
}

//===----------------------------------------------------------------------===//
// WindowAttr
//===----------------------------------------------------------------------===//

// [M2] Positions are counted in 32 bits, and a side is added to them.
LogicalResult WindowAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 int64_t left, int64_t right) {
  constexpr int64_t most = 1 << 30;
  for (auto [name, side] : {std::pair("left", left), {"right", right}})
    if (side < -1 || side > most)
      return emitError() << "[M2] expected " << name << " in [0, " << most
                         << "], or -1 for no limit, got " << side;
  if (left < 0 && right < 0)
    return emitError() << "[M2] expected a window with a limit to its left or "
                          "right, got none";
  return success();
}

Attribute WindowAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  int64_t left = -1, right = -1;
  if (parser.parseLess() ||
      failed(parseOptions(parser, {{"left", &left}, {"right", &right}},
                          /*first=*/true)) ||
      parser.parseGreater())
    return {};
  return parser.getChecked<WindowAttr>(loc, parser.getContext(), left, right);
}

void WindowAttr::print(AsmPrinter &printer) const {
  printer << '<';
  if (getLeft() >= 0)
    printer << "left = " << getLeft();
  if (getRight() >= 0)
    printer << (getLeft() >= 0 ? ", " : "") << "right = " << getRight();
  printer << '>';
}
