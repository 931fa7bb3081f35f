// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Dialect/UniSparse/Transforms/Policy.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace unisparse;

static constexpr StringLiteral kRule = "unisparse.rule",
                               kBlock = "unisparse.block",
                               kPooling = "unisparse.pooling",
                               kAgg = "unisparse.agg",
                               kShare = "unisparse.share",
                               kMinLength = "unisparse.min_length",
                               kEstimate = "unisparse.estimate_with_region";
static constexpr StringLiteral kNames[] = {kRule,  kBlock,     kPooling, kAgg,
                                           kShare, kMinLength, kEstimate};

int64_t measured::representatives(Agg agg, int64_t pooledQueries) {
  return agg == Agg::Max && pooledQueries > 1 ? 16 : 0;
}

int64_t measured::spread(int64_t headDim, int64_t pooledKeys) {
  if (pooledKeys == 1)
    return 0; // One key has no variance.
  for (int64_t columns : {8, 1})
    for (int64_t dims : {4, 3, 2, 1})
      if (headDim % (dims * columns) == 0)
        return dims;
  llvm_unreachable("1 divides every head_dim");
}

int64_t measured::last(bool causal) { return causal ? 1 : 0; }

PoolingAttr measured::pooling(MLIRContext *context, Agg agg, int64_t headDim) {
  return PoolingAttr::get(context, 8, 8, 1, representatives(agg, 8),
                          spread(headDim, 8));
}

RuleAttr measured::rule(MLIRContext *context, bool causal) {
  return RuleAttr::get(context, RuleKind::TopP,
                       Builder(context).getF64FloatAttr(kShare), /*k=*/0,
                       /*sink=*/1, /*local=*/1, /*min_blocks=*/0,
                       /*max_blocks=*/std::nullopt, /*dense_below=*/0,
                       last(causal), /*seed=*/0,
                       Builder(context).getF64FloatAttr(kRelax));
}

void Policy::fillFrom(const Policy &other) {
  auto fill = [](auto &mine, const auto &theirs) {
    if (!mine)
      mine = theirs;
  };
  fill(rule, other.rule);
  fill(block, other.block);
  fill(pooling, other.pooling);
  fill(agg, other.agg);
  fill(share, other.share);
  fill(minLength, other.minLength);
  fill(estimateWithRegion, other.estimateWithRegion);
}

/// An attribute of the dialect from what stands between its brackets.
template <typename Attr>
static Attr parseAs(MLIRContext *context, StringRef text, std::string &why) {
  // Pipelines quote a value that holds spaces.
  text = text.trim();
  for (StringRef quotes : {"{}", "\"\"", "''"})
    if (text.size() >= 2 && text.front() == quotes[0] &&
        text.back() == quotes[1])
      text = text.drop_front().drop_back();
  ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) {
    if (why.empty())
      why = diagnostic.str();
  });
  Attribute attr = parseAttribute(
      ("#unisparse." + Attr::getMnemonic() + "<" + text + ">").str(), context);
  if (attr && !isa<Attr>(attr))
    why = ("expected one " + Attr::getMnemonic() + ", got " + text).str();
  else if (!attr)
    why += (", in '" + text + "'").str();
  return dyn_cast_or_null<Attr>(attr);
}

RuleAttr unisparse::parseRule(MLIRContext *context, StringRef text,
                              std::string &why) {
  auto rule = parseAs<RuleAttr>(context, text, why);
  if (rule && rule.getKind() == RuleKind::TopP && !rule.getP()) {
    why = "expected a share behind top_p, as in top_p = 0.9, got none";
    return {};
  }
  return rule;
}
BlockAttr unisparse::parseBlock(MLIRContext *context, StringRef text,
                                std::string &why) {
  return parseAs<BlockAttr>(context, text, why);
}
PoolingAttr unisparse::parsePooling(MLIRContext *context, StringRef text,
                                    std::string &why) {
  return parseAs<PoolingAttr>(context, text, why);
}

template <typename Attr>
static LogicalResult read(Operation *op, StringRef name, Attr &attr) {
  Attribute given = op->getDiscardableAttr(name);
  attr = dyn_cast_or_null<Attr>(given);
  if (!given || attr)
    return success();
  return op->emitError("expected ")
         << name << " to be a #" << Attr::name.drop_front(0) << ", got "
         << given;
}

FailureOr<Policy> unisparse::policyOf(Operation *op) {
  Policy policy;
  for (NamedAttribute attr : op->getDiscardableAttrs())
    if (StringRef name = attr.getName();
        name.starts_with("unisparse.") && !llvm::is_contained(kNames, name)) {
      std::string known;
      llvm::interleave(
          kNames, [&](StringRef n) { known += n; }, [&] { known += ", "; });
      return op->emitError("expected a policy of ")
             << known << ", got " << name;
    }
  if (failed(read(op, kRule, policy.rule)) ||
      failed(read(op, kBlock, policy.block)) ||
      failed(read(op, kPooling, policy.pooling)) ||
      failed(read(op, kAgg, policy.agg)) ||
      failed(read(op, kShare, policy.share)))
    return failure();
  if (policy.rule && policy.rule.getKind() == RuleKind::TopP &&
      !policy.rule.getP())
    return op->emitError("[L5] expected a share behind top_p of ")
           << kRule << ", got none";
  if (Attribute given = op->getDiscardableAttr(kMinLength)) {
    auto number = dyn_cast<IntegerAttr>(given);
    if (!number || number.getType().isInteger(1) ||
        number.getValue().isNegative() ||
        number.getValue().getActiveBits() > 63)
      return op->emitError("expected ")
             << kMinLength << " to be a number from 0, got " << given;
    policy.minLength = number.getValue().getZExtValue();
  }
  if (Attribute given = op->getDiscardableAttr(kEstimate)) {
    policy.estimateWithRegion = dyn_cast<BoolAttr>(given);
    if (!policy.estimateWithRegion)
      return op->emitError("[M6] expected ")
             << kEstimate << " to be true or false, got " << given;
  }
  return policy;
}

void unisparse::removePolicy(Operation *op) {
  for (StringRef name : kNames)
    op->removeDiscardableAttr(name);
}

/// Numbers of any type as a rule spells them, every digit of them.
static std::string digitsOf(FloatAttr number) {
  SmallString<32> digits;
  APFloat(number.getValueAsDouble()).toString(digits);
  return digits.str().str();
}
static std::string digitsOf(IntegerAttr number) {
  return llvm::toString(number.getValue(), 10,
                        !number.getType().isUnsignedInteger());
}

LogicalResult unisparse::addPolicyFrom(NamedAttribute attribute,
                                       NamedAttrList &policy,
                                       std::string &why) {
  MLIRContext *context = attribute.getName().getContext();
  StringRef name = attribute.getName();
  auto text = dyn_cast<StringAttr>(attribute.getValue());
  auto real = dyn_cast<FloatAttr>(attribute.getValue());
  auto whole = dyn_cast<IntegerAttr>(attribute.getValue());
  Attribute value;
  if (name == "p" && real)
    value = parseRule(context, "top_p = " + digitsOf(real), why);
  else if (name == "top_k" && whole)
    value = parseRule(context, "top_k = " + digitsOf(whole), why);
  else if (name == "rule" && text)
    value = parseRule(context, text, why);
  else if (name == "block" && text)
    value = parseBlock(context, text, why);
  else if (name == "pooling" && text)
    value = parsePooling(context, text, why);
  else if (name == "min_length" && whole)
    value = whole;
  else {
    llvm::raw_string_ostream(why)
        << "expected attributes causal, scale, p, top_k, rule, block, pooling "
           "and min_length, got "
        << name << " = " << attribute.getValue();
    return failure();
  }
  StringRef key = name == "block"        ? kBlock
                  : name == "pooling"    ? kPooling
                  : name == "min_length" ? kMinLength
                                         : kRule;
  if (value)
    policy.set(key, value);
  return success(bool(value));
}
