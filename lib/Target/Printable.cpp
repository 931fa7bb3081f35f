// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Target/Printable.h"
#include "llvm/Support/JSON.h"

using namespace llvm;

/// Bytes of the control character that UTF-8 text begins with; 0 for another.
static size_t controlBytes(StringRef text) {
  auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  if (byte(0) < 0x20 || byte(0) == 0x7f)
    return 1;
  if (byte(0) == 0xc2 && byte(1) < 0xa0)
    return 2;
  return byte(0) == 0xe2 && byte(1) == 0x80 && (byte(2) & 0xfe) == 0xa8 ? 3 : 0;
}

std::string unisparse::printable(StringRef text) {
  std::string valid = json::fixUTF8(text), result;
  for (StringRef rest = valid; !rest.empty();) {
    size_t bytes = controlBytes(rest);
    result += bytes ? '?' : rest.front();
    rest = rest.drop_front(std::max<size_t>(bytes, 1));
  }
  return result;
}
