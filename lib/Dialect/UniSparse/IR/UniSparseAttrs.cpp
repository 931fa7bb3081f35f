// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectImplementation.h"
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

// [P1], [P4]
LogicalResult PoolingAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                  int64_t query, int64_t key, int64_t heads) {
  if (query < 1 || key < 1)
    return emitError() << "[P1] expected positive pooling factors, got "
                       << query << 'x' << key;
  if (heads < 1)
    return emitError()
           << "[P4] expected a positive number of pooled heads, got " << heads;
  return success();
}

//===----------------------------------------------------------------------===//
// RuleAttr
//===----------------------------------------------------------------------===//

static constexpr int64_t kSink = 1, kLocal = 1, kMinBlocks = 0, kDenseBelow = 0;

RuleAttr RuleAttr::getAll(MLIRContext *context) {
  return get(context, RuleKind::All, FloatAttr(), /*k=*/0, kSink, kLocal,
             kMinBlocks, std::nullopt, kDenseBelow);
}

bool RuleAttr::takesAll() const {
  if (getKind() == RuleKind::All)
    return true;
  return getKind() == RuleKind::TopP && getP() &&
         getP().getValueAsDouble() >= 1.0 && !getMaxBlocks();
}

RuleAttr RuleAttr::forKeys(int64_t keys) const {
  bool below = !ShapedType::isDynamic(keys) && keys <= getDenseBelow();
  return takesAll() || below ? getAll(getContext()) : *this;
}

LogicalResult RuleAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               RuleKind kind, FloatAttr p, int64_t k,
                               int64_t sink, int64_t local, int64_t minBlocks,
                               std::optional<int64_t> maxBlocks,
                               int64_t denseBelow) {
  // [L3] NaN fails both comparisons, so it fails here.
  if (kind == RuleKind::TopP && p &&
      !(p.getValueAsDouble() >= 0.0 && p.getValueAsDouble() <= 1.0))
    return emitError() << "[L3] expected top_p in [0, 1], got "
                       << p.getValueAsDouble();
  if (kind == RuleKind::TopK && k < 1)
    return emitError() << "[L4] expected top_k >= 1, got " << k;
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
      failed(atLeastZero("[L3]", "max_blocks", maxBlocks.value_or(0))))
    return failure();
  return atLeastZero("[L3]", "dense_below", denseBelow);
}

/// A share: `0.9`, and `1` for those who leave the point out.
static ParseResult parseShare(AsmParser &parser, FloatAttr &p) {
  SMLoc loc = parser.getCurrentLocation();
  Attribute number;
  if (parser.parseAttribute(number))
    return failure();
  if (auto real = dyn_cast<FloatAttr>(number))
    p = Builder(parser.getContext()).getF64FloatAttr(real.getValueAsDouble());
  else if (auto whole = dyn_cast<IntegerAttr>(number);
           whole && !whole.getType().isInteger(1))
    p = Builder(parser.getContext()).getF64FloatAttr(whole.getInt());
  else
    return parser.emitError(loc) << "expected a number, got " << number;
  return success();
}

Attribute RuleAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  StringRef keyword;
  if (parser.parseLess() || parser.parseKeyword(&keyword))
    return {};
  std::optional<RuleKind> kind = symbolizeRuleKind(keyword);
  if (!kind) {
    parser.emitError(loc) << "expected top_p, top_k or all, got " << keyword;
    return {};
  }
  FloatAttr p;
  int64_t k = 0, sink = kSink, local = kLocal, minBlocks = kMinBlocks,
          denseBelow = kDenseBelow;
  std::optional<int64_t> maxBlocks;
  if (*kind == RuleKind::TopK &&
      (parser.parseEqual() || parser.parseInteger(k)))
    return {};
  if (*kind == RuleKind::TopP && succeeded(parser.parseOptionalEqual()) &&
      parseShare(parser, p))
    return {};
  llvm::SmallDenseSet<StringRef> seen;
  while (succeeded(parser.parseOptionalComma())) {
    SMLoc optionLoc = parser.getCurrentLocation();
    int64_t value;
    if (parser.parseKeyword(&keyword) || parser.parseEqual() ||
        parser.parseInteger(value))
      return {};
    if (!seen.insert(keyword).second) {
      parser.emitError(optionLoc) << "option " << keyword << " given twice";
      return {};
    }
    if (keyword == "sink")
      sink = value;
    else if (keyword == "local")
      local = value;
    else if (keyword == "min_blocks")
      minBlocks = value;
    else if (keyword == "max_blocks")
      maxBlocks = value;
    else if (keyword == "dense_below")
      denseBelow = value;
    else {
      parser.emitError(optionLoc) << "expected sink, local, min_blocks, "
                                     "max_blocks or dense_below, got "
                                  << keyword;
      return {};
    }
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<RuleAttr>(loc, parser.getContext(), *kind, p, k,
                                     sink, local, minBlocks, maxBlocks,
                                     denseBelow);
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
  option("min_blocks", getMinBlocks(), kMinBlocks);
  if (getMaxBlocks())
    printer << ", max_blocks = " << *getMaxBlocks();
  option("dense_below", getDenseBelow(), kDenseBelow);
  printer << '>';
}
