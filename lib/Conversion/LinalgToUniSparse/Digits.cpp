// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Digits.h"
#include "mlir/IR/BuiltinTypes.h"

using namespace mlir;
using namespace unisparse::raise;

Index Digits::fresh(Value tensor, int64_t dim) {
  int64_t size = cast<ShapedType>(tensor.getType()).getDimSize(dim);
  if (size == 1)
    return {};
  all.push_back({size, tensor, dim});
  return {static_cast<Digit>(all.size() - 1)};
}

Index Digits::current(ArrayRef<Digit> index) const {
  Index result;
  for (Digit digit : index) {
    if (all[digit].high)
      result.append(current({all[digit].high, all[digit].low}));
    else
      result.push_back(digit);
  }
  return result;
}

std::pair<Digit, Digit> Digits::cut(Digit digit, int64_t lowSize) {
  Digit high = all.size(), low = high + 1;
  all.push_back({all[digit].size / lowSize, {}, 0});
  all.push_back({lowSize, {}, 0});
  all[digit].high = high;
  all[digit].low = low;
  return {high, low};
}

LogicalResult Digits::split(ArrayRef<Digit> whole, ArrayRef<int64_t> sizes,
                            SmallVectorImpl<Index> &parts) {
  Index index = current(whole);
  parts.assign(sizes.size(), {});
  auto isWhole = [&](Digit digit) {
    return !ShapedType::isDynamic(size(digit));
  };
  // From the right up to the dynamic size, if there is one.
  size_t end = sizes.size();
  for (; end > 0 && !ShapedType::isDynamic(sizes[end - 1]); --end) {
    for (int64_t rest = sizes[end - 1]; rest > 1;) {
      if (index.empty() || !isWhole(index.back()))
        return failure();
      Digit last = index.pop_back_val();
      if (rest % size(last) != 0) {
        if (size(last) % rest != 0)
          return failure();
        auto [high, low] = cut(last, rest);
        index.push_back(high);
        last = low;
      }
      parts[end - 1].insert(parts[end - 1].begin(), last);
      rest /= size(last);
    }
  }
  if (end == 0)
    return success(index.empty());
  // And from the left.
  for (size_t i = 0; i + 1 < end; ++i) {
    if (ShapedType::isDynamic(sizes[i]))
      return failure();
    for (int64_t rest = sizes[i]; rest > 1;) {
      if (index.empty() || !isWhole(index.front()))
        return failure();
      Digit first = index.front();
      index.erase(index.begin());
      if (rest % size(first) != 0) {
        if (size(first) % rest != 0)
          return failure();
        auto [high, low] = cut(first, size(first) / rest);
        index.insert(index.begin(), low);
        first = high;
      }
      parts[i].push_back(first);
      rest /= size(first);
    }
  }
  parts[end - 1] = index;
  return success();
}
