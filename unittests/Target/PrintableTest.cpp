// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Target/Printable.h"
#include <gtest/gtest.h>

using namespace llvm;
using unisparse::printable;

TEST(Printable, Text) {
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable("q.size(2) <= 1, \"\\\" \xC3\xA9 \xE2\x82\xAC "
                      "\xF0\x9F\x99\x82 \xC2\xA0 \xE2\x80\xA7 \xE2\x80\xAA"),
            "q.size(2) <= 1, \"\\\" \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x99\x82 "
            "\xC2\xA0 \xE2\x80\xA7 \xE2\x80\xAA");
}

TEST(Printable, ControlCharacters) {
  for (int c = 0; c < 0x20; ++c)
    EXPECT_EQ(printable(StringRef("a").str() + char(c) + "b"), "a?b") << c;
  EXPECT_EQ(printable("a\x7f"), "a?");
  for (int c = 0x80; c < 0xA0; ++c)
    EXPECT_EQ(printable(std::string("\xC2") + char(c) + "b"), "?b") << c;
  EXPECT_EQ(printable("\xE2\x80\xA8\xE2\x80\xA9"), "??");
}

TEST(Printable, BrokenUTF8) {
  EXPECT_EQ(printable("a\xFFz"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(printable("\xC2"), "\xEF\xBF\xBD");
  EXPECT_EQ(printable("\xE2\x80"), "\xEF\xBF\xBD");
}
