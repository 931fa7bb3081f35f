// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "FileErrors.h"
#include "unisparse/Target/Printable.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace unisparse;

Error files::fail(StringRef path, const Twine &what, const Twine &expected,
                  const Twine &got) {
  return createStringError(inconvertibleErrorCode(),
                           path + ": " + what + ", expected " + expected +
                               ", got " + got);
}

Error files::fail(StringRef path, const Twine &what, const Twine &expected,
                  std::error_code code) {
  return fail(path, what, expected, "\"" + code.message() + "\"");
}

std::string files::quote(StringRef name) {
  constexpr size_t maxLength = 80;
  bool cut = name.size() > maxLength;
  return "'" + printable(name.take_front(maxLength)) + (cut ? "...'" : "'");
}

std::string files::formatShape(ArrayRef<int64_t> shape) {
  constexpr size_t maxRank = 16;
  std::string text;
  raw_string_ostream os(text);
  os << '[';
  interleaveComma(shape.take_front(maxRank), os);
  os << (shape.size() > maxRank ? ", ...]" : "]");
  return text;
}

std::optional<uint64_t> files::byteSize(DType dtype, ArrayRef<int64_t> shape) {
  if (any_of(shape, [](int64_t dim) { return dim < 0; }))
    return std::nullopt;
  if (is_contained(shape, 0))
    return 0;
  uint64_t size = getDTypeSize(dtype);
  for (int64_t dim : shape) {
    bool overflowed = false;
    size = SaturatingMultiply(size, static_cast<uint64_t>(dim), &overflowed);
    if (overflowed)
      return std::nullopt;
  }
  return size;
}
