// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/CAPI/IR.h"
#include "unisparse-c/UniSparse.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniSparse/Transforms/Policy.h"

using namespace mlir;
using namespace unisparse;

/// An attribute whose numbers are checked; null after a diagnostic.
template <typename Attr, typename... Args>
static MlirAttribute checked(MlirContext context, Args... args) {
  MLIRContext *c = unwrap(context);
  c->getOrLoadDialect<UniSparseDialect>();
  return wrap(Attribute(Attr::getChecked(
      [&] { return emitError(UnknownLoc::get(c)); }, c, args...)));
}

bool unisparseAttributeIsABlock(MlirAttribute attr) {
  return isa<BlockAttr>(unwrap(attr));
}
MlirAttribute unisparseBlockAttrGet(MlirContext context, int64_t query,
                                    int64_t key) {
  return checked<BlockAttr>(context, query, key);
}
int64_t unisparseBlockAttrGetQuery(MlirAttribute attr) {
  return cast<BlockAttr>(unwrap(attr)).getQuery();
}
int64_t unisparseBlockAttrGetKey(MlirAttribute attr) {
  return cast<BlockAttr>(unwrap(attr)).getKey();
}

bool unisparseAttributeIsAWindow(MlirAttribute attr) {
  return isa<WindowAttr>(unwrap(attr));
}
MlirAttribute unisparseWindowAttrGet(MlirContext context, int64_t left,
                                     int64_t right) {
  return checked<WindowAttr>(context, left, right);
}
int64_t unisparseWindowAttrGetLeft(MlirAttribute attr) {
  return cast<WindowAttr>(unwrap(attr)).getLeft();
}
int64_t unisparseWindowAttrGetRight(MlirAttribute attr) {
  return cast<WindowAttr>(unwrap(attr)).getRight();
}

bool unisparseAttributeIsAPooling(MlirAttribute attr) {
  return isa<PoolingAttr>(unwrap(attr));
}
MlirAttribute unisparsePoolingAttrGet(MlirContext context, int64_t query,
                                      int64_t key, int64_t heads) {
  return unisparsePoolingAttrGetRefined(context, query, key, heads, 0, 0);
}
MlirAttribute unisparsePoolingAttrGetRefined(MlirContext context, int64_t query,
                                             int64_t key, int64_t heads,
                                             int64_t representatives,
                                             int64_t spread) {
  return checked<PoolingAttr>(context, query, key, heads, representatives,
                              spread);
}
int64_t unisparsePoolingAttrGetQuery(MlirAttribute attr) {
  return cast<PoolingAttr>(unwrap(attr)).getQuery();
}
int64_t unisparsePoolingAttrGetKey(MlirAttribute attr) {
  return cast<PoolingAttr>(unwrap(attr)).getKey();
}
int64_t unisparsePoolingAttrGetHeads(MlirAttribute attr) {
  return cast<PoolingAttr>(unwrap(attr)).getHeads();
}

int64_t unisparsePoolingAttrGetRepresentatives(MlirAttribute attr) {
  return cast<PoolingAttr>(unwrap(attr)).getRepresentatives();
}
int64_t unisparsePoolingAttrGetSpread(MlirAttribute attr) {
  return cast<PoolingAttr>(unwrap(attr)).getSpread();
}

UnisparseRule unisparseRuleDefault() {
  UnisparseRule rule = {};
  rule.kind = UNISPARSE_RULE_TOP_P;
  rule.p = measured::kShare;
  rule.sink = rule.local = 1;
  rule.last = measured::last(/*causal=*/true);
  rule.relax = measured::kRelax;
  rule.maxBlocks = -1;
  return rule;
}
bool unisparseAttributeIsARule(MlirAttribute attr) {
  return isa<RuleAttr>(unwrap(attr));
}
MlirAttribute unisparseRuleAttrGet(MlirContext context,
                                   const UnisparseRule *rule) {
  FloatAttr p;
  bool named = rule->kind == UNISPARSE_RULE_THRESHOLD ||
               rule->kind == UNISPARSE_RULE_RANDOM;
  // A NaN is no share from an operand: the verifier says what it is.
  if (named || (rule->kind == UNISPARSE_RULE_TOP_P && !(rule->p < 0)))
    p = Builder(unwrap(context)).getF64FloatAttr(rule->p);
  // What other rules do not have may stay from the default.
  FloatAttr relax;
  if (rule->kind == UNISPARSE_RULE_TOP_P && rule->relax != 0)
    relax = Builder(unwrap(context)).getF64FloatAttr(rule->relax);
  std::optional<int64_t> maxBlocks;
  if (rule->maxBlocks >= 0)
    maxBlocks = rule->maxBlocks;
  std::optional<RuleKind> kind = symbolizeRuleKind(uint32_t(rule->kind));
  if (!kind) {
    emitError(UnknownLoc::get(unwrap(context)))
        << "expected a kind of rule from 0 to 4, got " << int(rule->kind);
    return {nullptr};
  }
  return checked<RuleAttr>(context, *kind, p,
                           *kind == RuleKind::TopK ? rule->k : 0, rule->sink,
                           rule->local, rule->minBlocks, maxBlocks,
                           rule->denseBelow, rule->last, rule->seed, relax);
}
UnisparseRule unisparseRuleAttrRead(MlirAttribute attr) {
  auto rule = cast<RuleAttr>(unwrap(attr));
  UnisparseRule read = {};
  read.kind = static_cast<UnisparseRuleKind>(rule.getKind());
  read.p = rule.getP() ? rule.getP().getValueAsDouble() : -1;
  read.k = rule.getK();
  read.sink = rule.getSink();
  read.local = rule.getLocal();
  read.minBlocks = rule.getMinBlocks();
  read.maxBlocks = rule.getMaxBlocks().value_or(-1);
  read.denseBelow = rule.getDenseBelow();
  read.last = rule.getLast();
  read.seed = rule.getSeed();
  read.relax = rule.getRelax() ? rule.getRelax().getValueAsDouble() : 0;
  return read;
}
