// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "../../tools/unisparse-run/Tensors.h"
#include <cmath>
#include <cstdint>
#include <gtest/gtest.h>

using namespace unisparse;
using namespace unisparse::run;

// --poison puts NaN around every input (P3). The execution tests compare runs
// with and without; this one shows that there is NaN to be found.
TEST(Tensor, GuardIsNaN) {
  constexpr size_t guard = 8192;
  Tensor t(DType::F32, {3, 5}, guard);
  for (int i = 0; i < 15; ++i)
    t.as<float>()[i] = 1.0f;
  for (size_t i = 1; i <= guard / sizeof(float); ++i) {
    EXPECT_TRUE(std::isnan(t.as<float>()[-static_cast<int64_t>(i)])) << i;
    EXPECT_TRUE(std::isnan(t.as<float>()[14 + i])) << i;
  }
}

TEST(Tensor, GuardIsNaNIn16Bits) {
  Tensor t(DType::BF16, {7}, 8192);
  EXPECT_TRUE(std::isnan(floatAt(DType::BF16, t.bytes(), -1)));
  EXPECT_TRUE(std::isnan(floatAt(DType::BF16, t.bytes(), 7)));
  EXPECT_TRUE(std::isnan(floatAt(DType::F16, t.bytes(), 7)));
}

TEST(Tensor, IsAligned) {
  for (size_t guard : {size_t(0), size_t(8192)}) {
    Tensor t(DType::F16, {1}, guard);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.bytes()) % 64, 0u);
  }
}

TEST(Tensor, FloatAt) {
  const uint16_t half[] = {0x3c00, 0xc000}, brain[] = {0x3f80, 0xc000};
  EXPECT_EQ(floatAt(DType::F16, reinterpret_cast<const char *>(half), 0), 1.0f);
  EXPECT_EQ(floatAt(DType::F16, reinterpret_cast<const char *>(half), 1),
            -2.0f);
  EXPECT_EQ(floatAt(DType::BF16, reinterpret_cast<const char *>(brain), 0),
            1.0f);
  EXPECT_EQ(floatAt(DType::BF16, reinterpret_cast<const char *>(brain), 1),
            -2.0f);
}

// The two lengths of a packed batch share out to slots (the dialect's formula)
// and to rows of a file.
TEST(Sequences, PackedSlotsAndRows) {
  Inputs in;
  in.q = Tensor(DType::F32, {1, 1, 300, 8});
  in.k = Tensor(DType::F32, {1, 1, 400, 8});
  in.cuQ = Tensor(DType::I32, {4});
  in.cuK = Tensor(DType::I32, {4});
  const int32_t q[] = {0, 130, 130, 300}, k[] = {0, 200, 230, 400};
  std::copy(q, q + 4, in.cuQ.as<int32_t>());
  std::copy(k, k + 4, in.cuK.as<int32_t>());
  std::vector<SequenceRows> s = sequencesOf(in, 64);
  ASSERT_EQ(s.size(), 3u);
  EXPECT_EQ(s[0].firstSlot, 0);
  EXPECT_EQ(s[0].rows, 3);
  EXPECT_EQ(s[1].rows, 0);
  EXPECT_EQ(s[2].firstSlot, 130 / 64 + 2);
  EXPECT_EQ(s[2].firstRow, 3);
  EXPECT_EQ(s[2].lk, 170);
  Options o;
  o.blockQ = o.blockK = 64;
  EXPECT_EQ(candidateBlocks(s[0], 0, o).end, (70 + 64 + 63) / 64);
  o.causal = false;
  EXPECT_EQ(candidateBlocks(s[0], 0, o).end, 4);
  // Row 1 begins at key 70 + 64; it sees keys from 130 to 70 + 127 + 2.
  o.windowLeft = 4, o.windowRight = 2;
  EXPECT_EQ(candidateBlocks(s[0], 1, o).first, 130 / 64);
  EXPECT_EQ(candidateBlocks(s[0], 1, o).end, 4);
  o.windowRight = 200;
  EXPECT_EQ(candidateBlocks(s[0], 0, o).first, 1);
  EXPECT_EQ(candidateBlocks(s[0], 0, o).end, 4);
}
