// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "SelectionMapCheck.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

using namespace llvm;
using namespace unisparse;

namespace {

// heads * rows * maxBlocks stay within int64_t.
static_assert(kMaxMapHeads * kMaxMapRows <= INT64_MAX / INT32_MAX);

/// Keeps positions in tokens within int64_t.
constexpr int64_t maxTokens = int64_t(1) << 48;

/// Checks a map field by field; every error names the field.
class Checker {
public:
  Checker(StringRef path, const SelectionMap &map) : path(path), map(map) {}

  Error check() const {
    if (Error error = checkExtents())
      return error;
    if (Error error = checkArrays())
      return error;
    for (int64_t row = 0; row < map.heads * map.rows; ++row)
      if (Error error = checkRow(row))
        return error;
    return Error::success();
  }

private:
  Error fail(const Twine &what, const Twine &expected, int64_t got) const {
    return createStringError(inconvertibleErrorCode(),
                             path + ": selection map: " + what + ", expected " +
                                 expected + ", got " + Twine(got));
  }

  Error checkRange(const Twine &what, int64_t value, int64_t min,
                   int64_t max) const {
    if (value >= min && value <= max)
      return Error::success();
    return fail(what, Twine(min) + " to " + Twine(max), value);
  }

  Error checkEqual(const Twine &what, int64_t value, int64_t expected) const {
    return value == expected ? Error::success()
                             : fail(what, Twine(expected), value);
  }

  Error checkExtents() const {
    struct {
      const char *name;
      int64_t value, max;
    } extents[] = {
        {"heads", map.heads, kMaxMapHeads},
        {"rows", map.rows, kMaxMapRows},
        {"maxBlocks", map.maxBlocks, INT32_MAX},
        {"keyBlocks", map.keyBlocks, INT32_MAX},
        {"queryBlock", map.queryBlock, INT32_MAX},
        {"keyBlock", map.keyBlock, INT32_MAX},
        {"lq", map.lq, maxTokens},
        {"lk", map.lk, maxTokens},
    };
    for (const auto &extent : extents)
      if (Error error = checkRange(extent.name, extent.value, 1, extent.max))
        return error;
    if (Error error = checkEqual("rows", map.rows,
                                 divideCeil(uint64_t(map.lq), map.queryBlock)))
      return error;
    return checkEqual("keyBlocks", map.keyBlocks,
                      divideCeil(uint64_t(map.lk), map.keyBlock));
  }

  Error checkArrays() const {
    int64_t allRows = map.heads * map.rows;
    if (Error error = checkEqual("size of counts", map.counts.size(), allRows))
      return error;
    if (Error error = checkEqual("size of indices", map.indices.size(),
                                 allRows * map.maxBlocks))
      return error;
    if (Error error =
            checkEqual("size of candidates", map.candidates.size(), map.rows))
      return error;
    if (Error error = checkEqual("size of densityPerHead",
                                 map.densityPerHead.size(), map.heads))
      return error;
    for (int64_t count : map.candidates)
      if (Error error = checkRange("candidates", count, 0, map.keyBlocks))
        return error;
    if (map.firstCandidates.empty())
      return Error::success();
    if (Error error = checkEqual("size of firstCandidates",
                                 map.firstCandidates.size(), map.rows))
      return error;
    for (auto [first, count] : zip_equal(map.firstCandidates, map.candidates))
      if (Error error =
              checkRange("firstCandidates", first, 0, map.keyBlocks - count))
        return error;
    return Error::success();
  }

  Error checkRow(int64_t row) const {
    if (Error error = checkRange("counts", map.counts[row], 0,
                                 std::min(map.maxBlocks, map.keyBlocks)))
      return error;
    int64_t least = 0;
    for (int64_t index :
         map.indices.slice(row * map.maxBlocks, map.counts[row])) {
      if (Error error = checkRange("indices, ascending in a row", index, least,
                                   map.keyBlocks - 1))
        return error;
      least = index + 1;
    }
    return Error::success();
  }

  StringRef path;
  const SelectionMap &map;
};

} // namespace

Error files::checkSelectionMap(StringRef path, const SelectionMap &map) {
  return Checker(path, map).check();
}
