// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Layout.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SmallSet.h"

using namespace mlir;
using namespace unisparse::raise;

bool unisparse::raise::coversAll(const Digits &digits, Value tensor,
                                 ArrayRef<Index> index) {
  auto type = cast<RankedTensorType>(tensor.getType());
  llvm::SmallSet<Digit, 8> seen;
  for (auto [size, place] : llvm::zip_equal(type.getShape(), index)) {
    Index now = digits.current(place);
    int64_t product = 1;
    for (Digit digit : now) {
      if (!seen.insert(digit).second)
        return false;
      if (ShapedType::isDynamic(digits.size(digit)) ||
          ShapedType::isDynamic(product))
        product = ShapedType::kDynamic;
      else
        product *= digits.size(digit);
    }
    // A size may be known here and not there.
    if (!ShapedType::isDynamic(product) && !ShapedType::isDynamic(size) &&
        product != size)
      return false;
  }
  return true;
}

/// Joins neighbouring dimensions of `tensor` as `counts` says, or takes joined
/// ones apart (`sizes` then has all of them).
static Value collapse(OpBuilder &b, Location loc, Value tensor,
                      ArrayRef<int64_t> counts) {
  SmallVector<ReassociationIndices> groups;
  int64_t next = 0;
  for (int64_t count : counts) {
    groups.emplace_back();
    for (int64_t i = 0; i < count; ++i)
      groups.back().push_back(next++);
  }
  if (llvm::all_of(counts, [](int64_t count) { return count == 1; }))
    return tensor;
  return tensor::CollapseShapeOp::create(b, loc, tensor, groups);
}

static Value expand(OpBuilder &b, Location loc, Value tensor,
                    ArrayRef<int64_t> counts, ArrayRef<int64_t> sizes) {
  if (llvm::all_of(counts, [](int64_t count) { return count == 1; }))
    return tensor;
  SmallVector<ReassociationIndices> groups;
  int64_t next = 0;
  for (int64_t count : counts) {
    groups.emplace_back();
    for (int64_t i = 0; i < count; ++i)
      groups.back().push_back(next++);
  }
  auto type = cast<RankedTensorType>(tensor.getType()).clone(sizes);
  return tensor::ExpandShapeOp::create(b, loc, type, tensor, groups);
}

/// Counts of dimensions to join so that dims without digits (of size 1) go with
/// a neighbour that has some: one group for each dim with digits.
static SmallVector<int64_t> withoutUnits(ArrayRef<Index> dims) {
  SmallVector<int64_t> counts;
  int64_t pending = 0;
  for (const Index &dim : dims) {
    ++pending;
    if (dim.empty())
      continue;
    counts.push_back(pending);
    pending = 0;
  }
  if (!counts.empty())
    counts.back() += pending;
  return counts;
}

namespace {
/// Indices whose digits are runs: digits that stay neighbours are moved as one.
struct Runs {
  SmallVector<Index> source, target;
  SmallVector<int64_t> sizes;
};
} // namespace

static Runs runsOf(const Digits &digits, ArrayRef<Index> from,
                   ArrayRef<Index> to) {
  Runs runs;
  llvm::SmallDenseMap<Digit, Digit> follower, runOf;
  for (const Index &index : to) {
    Index now = digits.current(index);
    for (size_t i = 1; i < now.size(); ++i)
      follower[now[i - 1]] = now[i];
  }
  for (const Index &index : from) {
    Index now = digits.current(index);
    runs.source.emplace_back();
    for (auto [i, digit] : llvm::enumerate(now)) {
      int64_t size = digits.size(digit);
      auto next = i ? follower.find(now[i - 1]) : follower.end();
      if (next != follower.end() && next->second == digit) {
        int64_t &run = runs.sizes.back();
        bool isDynamic =
            ShapedType::isDynamic(run) || ShapedType::isDynamic(size);
        run = isDynamic ? ShapedType::kDynamic : run * size;
      } else {
        runs.sizes.push_back(size);
        runs.source.back().push_back(runs.sizes.size() - 1);
        runOf[digit] = runs.sizes.size() - 1;
      }
    }
  }
  for (const Index &index : to) {
    runs.target.emplace_back();
    for (Digit digit : digits.current(index))
      if (auto run = runOf.find(digit); run != runOf.end())
        runs.target.back().push_back(run->second);
  }
  return runs;
}

Value unisparse::raise::relayout(OpBuilder &b, Location loc,
                                 const Digits &digits, Value tensor,
                                 ArrayRef<Index> from, ArrayRef<Index> to) {
  auto [source, target, sizes] = runsOf(digits, from, to);
  if (source == target)
    return tensor;
  Index given, wanted;
  for (const Index &index : source)
    given.append(index);
  for (const Index &index : target)
    wanted.append(index);
  auto countsOf = [](ArrayRef<Index> dims) {
    SmallVector<int64_t> counts;
    for (const Index &dim : dims)
      if (!dim.empty())
        counts.push_back(dim.size());
    return counts;
  };
  // One dimension for each run.
  Value value = collapse(b, loc, tensor, withoutUnits(source));
  SmallVector<int64_t> runSizes;
  for (Digit run : given)
    runSizes.push_back(sizes[run]);
  value = expand(b, loc, value, countsOf(source), runSizes);
  if (given != wanted) {
    SmallVector<int64_t> order;
    for (Digit run : wanted)
      order.push_back(llvm::find(given, run) - given.begin());
    SmallVector<OpFoldResult> mixed = tensor::getMixedSizes(b, loc, value),
                              permuted;
    for (int64_t i : order)
      permuted.push_back(mixed[i]);
    Value empty =
        tensor::EmptyOp::create(b, loc, permuted, getElementTypeOrSelf(value));
    value =
        linalg::TransposeOp::create(b, loc, value, empty, order)->getResult(0);
  }
  value = collapse(b, loc, value, countsOf(target));
  SmallVector<int64_t> shape;
  auto type = cast<RankedTensorType>(value.getType());
  size_t next = 0;
  for (const Index &index : target)
    shape.push_back(index.empty() ? 1 : type.getDimSize(next++));
  return expand(b, loc, value, withoutUnits(target), shape);
}
