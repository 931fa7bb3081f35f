// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "WalkParts.h"

using namespace unisparse;
using namespace unisparse::unitile;

/// The one op of its kind in a region; null where there is none or another.
template <typename OpTy>
static OpTy only(Region &region) {
  auto ops = region.getOps<OpTy>();
  return llvm::hasSingleElement(ops) ? *ops.begin() : OpTy();
}

FailureOr<WalkParts> WalkParts::of(WalkOp walk) {
  WalkParts x;
  x.walk = walk;
  auto expected = [&](const char *what) {
    return walk.emitOpError("expected ")
           << what << " in a walk to be scheduled";
  };
  x.scores = only<DotOp>(walk.getScore());
  x.keys = only<FetchOp>(walk.getScore());
  if (!x.scores || !x.keys || x.scores.getB() != x.keys.getTile() ||
      x.scores.getByRows() || x.scores.getAcc())
    return expected("score to multiply with one tile that it fetches");
  x.queries = x.scores.getA().getDefiningOp<FetchOp>();
  if (!x.queries || walk->isProperAncestor(x.queries))
    return expected("score to multiply a tile fetched in front of the walk");
  x.softmax = only<SoftmaxOp>(walk.getUpdate());
  x.values = only<FetchOp>(walk.getUpdate());
  x.products = only<DotOp>(walk.getUpdate());
  x.sums = only<SoftmaxSumsOp>(walk.getUpdate());
  bool weighs = x.softmax && x.values && x.products && !x.sums &&
                x.products.getA() == x.softmax.getProbabilities() &&
                x.products.getB() == x.values.getTile() &&
                x.products.getAcc() == x.softmax.getOutput() &&
                x.products.getByRows();
  bool counts = x.sums && walk.getUpdate().getOps<SoftmaxOp>().empty() &&
                walk.getUpdate().getOps<FetchOp>().empty() &&
                walk.getUpdate().getOps<DotOp>().empty();
  if (!weighs && !counts)
    return expected("update to multiply a softmax's probabilities with one "
                    "tile that it fetches, added to its output, or to be one "
                    "unitile.softmax_sums,");
  Block &update = walk.getUpdate().front();
  auto yield = cast<YieldOp>(update.getTerminator());
  auto place = [&](Value given, Value taken) -> std::optional<unsigned> {
    auto argument = dyn_cast_or_null<BlockArgument>(taken);
    if (!argument || argument.getOwner() != &update ||
        argument.getArgNumber() < 3)
      return std::nullopt;
    unsigned i = argument.getArgNumber() - 3;
    return yield.getOperand(i) == given ? std::optional(i) : std::nullopt;
  };
  std::optional<unsigned> output = 0;
  if (weighs)
    output = place(x.products, x.softmax.getOldOutput());
  auto placesOf = [&](auto softmax) {
    return std::pair(place(softmax.getReference(), softmax.getOldReference()),
                     place(softmax.getSum(), softmax.getOldSum()));
  };
  auto [reference, sum] = weighs ? placesOf(x.softmax) : placesOf(x.sums);
  if (!output || !reference || !sum ||
      walk.getInits().size() != (weighs ? 3 : 2))
    return expected("a state of the softmax's output, where it has one, "
                    "reference and sum");
  x.output = *output, x.reference = *reference, x.sum = *sum;
  auto masks = walk.getMask().getOps<MaskOp>();
  if (!masks.empty()) {
    x.mask = only<MaskOp>(walk.getMask());
    if (!x.mask || x.mask.getWhen())
      return expected("one unconditional unitile.mask");
  }
  return x;
}

Value RegionCloner::slice(Value value, Region &region) {
  if (Value mapped = mapping.lookupOrNull(value))
    return mapped;
  Operation *op = value.getDefiningOp();
  if (!op || !region.isAncestor(op->getParentRegion()))
    return value;
  op->walk([&](Operation *inner) { // What its regions use, too.
    for (Value operand : inner->getOperands())
      if (!op->isAncestor(operand.getParentRegion()->getParentOp()))
        slice(operand, region);
  });
  p.b.clone(*op, mapping);
  return mapping.lookup(value);
}

SmallVector<Value> RegionCloner::slice(ValueRange values, Region &region) {
  return llvm::map_to_vector(values,
                             [&](Value value) { return slice(value, region); });
}

SmallVector<Value> RegionCloner::body(Region &region,
                                      function_ref<bool(Operation *)> handle) {
  for (Operation &op : region.front().without_terminator())
    if (!llvm::all_of(op.getResults(),
                      [&](Value v) { return mapping.contains(v); }) ||
        op.getNumResults() == 0)
      if (!handle(&op))
        p.b.clone(op, mapping);
  Operation *terminator = region.front().getTerminator();
  return llvm::map_to_vector(terminator->getOperands(), [&](Value value) {
    return mapping.lookupOrDefault(value);
  });
}
