// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// --check-finite: what is no number or infinite makes masses that are none, and
// they count as nothing (L3). Selections stay in range, and mean little: for
// whoever wants to hear of it.
#include "Tensors.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;

/// `[0, 1, 5, 3]`: where element `i` of a tensor lies.
static std::string placeOf(ArrayRef<int64_t> shape, int64_t i) {
  SmallVector<std::string> place(shape.size());
  for (size_t dim = shape.size(); dim-- > 0; i /= shape[dim])
    place[dim] = std::to_string(i % shape[dim]);
  return "[" + join(place, ", ") + "]";
}

Error run::checkFinite(const Options &options, const Inputs &in) {
  for (auto [name, t] : {std::pair{"q", &in.q}, {"k", &in.k}, {"v", &in.v}})
    for (int64_t i = 0, n = t->numElements(); i < n; ++i) {
      float x = floatAt(t->dtype, t->bytes(), i);
      if (!std::isfinite(x))
        return failure(options.input + ": tensor '" + name + "'",
                       "expected finite numbers beside --check-finite, got " +
                           formatv("{0}", std::isnan(x) ? "nan"
                                          : x > 0       ? "inf"
                                                        : "-inf")
                               .str() +
                           " at " + placeOf(t->shape, i));
    }
  return Error::success();
}
