//===- SelectionMapTest.cpp - Tests of the picture of a selection ---------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "unisparse/Support/SelectionMap.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <cairo.h>
#include <cmath>
#include <gtest/gtest.h>
#include <vector>

using namespace llvm;
using namespace unisparse;

// Fontconfig keeps what it has read for as long as the process lives, which
// LeakSanitizer, where it is on, would count as leaks.
extern "C" const char *__lsan_default_suppressions() {
  return "leak:libfontconfig";
}

namespace {

constexpr uint32_t candidateRGB = 0xcce0f2;
constexpr uint32_t selectedRGB = 0x123366;

/// A map with the arrays behind it. At first each row selects block 0 alone.
struct OwnedMap {
  OwnedMap(int64_t heads, int64_t lq, int64_t lk, bool causal = true,
           int64_t maxBlocks = 1) {
    map.heads = heads;
    map.queryBlock = map.keyBlock = 128;
    map.lq = lq;
    map.lk = lk;
    map.rows = divideCeil(lq, 128);
    map.keyBlocks = divideCeil(lk, 128);
    map.maxBlocks = maxBlocks;
    map.causal = causal;
    map.title = "sample.safetensors  top-p 0.9  block 128x128";
    counts.assign(heads * map.rows, 1);
    indices.assign(heads * map.rows * maxBlocks, 0);
    density.assign(heads, 0.21);
    for (int64_t row = 0; row < map.rows; ++row) {
      int64_t lastToken = lk - lq + std::min(lq, (row + 1) * 128) - 1;
      candidates.push_back(causal ? lastToken / 128 + 1 : map.keyBlocks);
    }
  }

  /// The map; it reads the arrays as they are at this time.
  const SelectionMap &get() {
    map.counts = counts;
    map.indices = indices;
    map.candidates = candidates;
    map.densityPerHead = density;
    return map;
  }

  SelectionMap map;
  std::vector<int32_t> counts;
  std::vector<int32_t> indices;
  std::vector<int64_t> candidates;
  std::vector<double> density;
};

/// A decoded picture.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint32_t> pixels;

  int count(uint32_t rgb) const { return llvm::count(pixels, rgb); }
};

class SelectionMapTest : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(sys::fs::createUniqueDirectory("selection-map", folder));
    path = pathOf("map.png");
  }

  void TearDown() override { sys::fs::remove_directories(folder); }

  std::string pathOf(StringRef name) {
    SmallString<128> result(folder);
    sys::path::append(result, name);
    return result.str().str();
  }

  int countFiles() {
    int count = 0;
    std::error_code code;
    for (sys::fs::directory_iterator it(folder, code), end; it != end && !code;
         it.increment(code))
      ++count;
    return count;
  }

  /// Writes a map and looks at the signature and the size, as bytes.
  Image writeMap(OwnedMap &map) {
    Image image;
    EXPECT_EQ(toString(writeSelectionMap(path, map.get())), "");
    auto buffer = MemoryBuffer::getFile(path);
    if (!buffer || (*buffer)->getBufferSize() < 24) {
      ADD_FAILURE() << "no picture";
      return image;
    }
    StringRef bytes = (*buffer)->getBuffer();
    EXPECT_TRUE(bytes.starts_with("\x89PNG\r\n\x1a\n"));
    image.width = support::endian::read32be(bytes.data() + 16);
    image.height = support::endian::read32be(bytes.data() + 20);
    EXPECT_LE(image.width, 4000);
    EXPECT_LE(image.height, 4000);
    return image;
  }

  /// As writeMap, and decodes the picture.
  Image draw(OwnedMap &map) {
    Image image = writeMap(map);
    cairo_surface_t *surface =
        cairo_image_surface_create_from_png(path.c_str());
    EXPECT_EQ(cairo_image_surface_get_width(surface), image.width);
    EXPECT_EQ(cairo_image_surface_get_height(surface), image.height);
    const unsigned char *data = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    for (int y = 0; data && y < image.height; ++y)
      for (int x = 0; x < image.width; ++x)
        image.pixels.push_back(
            support::endian::read32le(data + y * stride + x * 4) & 0xffffff);
    cairo_surface_destroy(surface);
    return image;
  }

  /// The message behind "PATH: selection map: "; nothing may be written.
  std::string drawError(OwnedMap &map) {
    std::string prefix = path + ": selection map: ";
    std::string message = toString(writeSelectionMap(path, map.get()));
    EXPECT_TRUE(StringRef(message).starts_with(prefix)) << message;
    EXPECT_EQ(countFiles(), 0);
    return message.substr(std::min(prefix.size(), message.size()));
  }

  SmallString<128> folder;
  std::string path;
};

//===----------------------------------------------------------------------===//
// Pictures
//===----------------------------------------------------------------------===//

TEST_F(SelectionMapTest, AllSizesStayInBounds) {
  for (int64_t heads : {1, 7, 128, 1024})
    for (int64_t lq : {1, 4000, 262144})
      for (int64_t lk : {1, 4000, 262144}) {
        if (heads > 128 && lq > 4000)
          continue;
        OwnedMap map(heads, lq, lk, /*causal=*/false);
        SCOPED_TRACE((Twine(heads) + " " + Twine(lq) + " " + Twine(lk)).str());
        Image image = writeMap(map);
        EXPECT_GE(image.width, 400);
        EXPECT_GE(image.height, 200);
      }
}

TEST_F(SelectionMapTest, OneBlock) {
  OwnedMap map(1, 128, 128);
  Image image = draw(map);
  EXPECT_GE(image.count(selectedRGB), 500 * 500);
  map.counts[0] = 0;
  image = draw(map);
  EXPECT_GE(image.count(candidateRGB), 500 * 500);
}

TEST_F(SelectionMapTest, BlocksAreWhereTheyWereSelected) {
  // 4 x 4 blocks; row 2 selects blocks 0 and 2.
  OwnedMap map(1, 512, 512, /*causal=*/true, /*maxBlocks=*/4);
  llvm::fill(map.counts, 0);
  Image before = draw(map);
  map.counts[2] = 2;
  map.indices[2 * 4 + 1] = 2;
  Image after = draw(map);
  ASSERT_EQ(before.pixels.size(), after.pixels.size());
  int left = after.width, right = 0, top = after.height, bottom = 0,
      changed = 0;
  for (int y = 0; y < after.height; ++y)
    for (int x = 0; x < after.width; ++x) {
      size_t at = size_t(y) * after.width + x;
      // Candidates alone: the text of the density changes too.
      if (before.pixels[at] != candidateRGB || after.pixels[at] != selectedRGB)
        continue;
      left = std::min(left, x);
      right = std::max(right, x + 1);
      top = std::min(top, y);
      bottom = std::max(bottom, y + 1);
      ++changed;
    }
  int block = bottom - top;
  EXPECT_GE(block, 100);
  EXPECT_NEAR(right - left, 3 * block, 4);
  EXPECT_NEAR(changed, 2 * block * block, 4 * block);
}

TEST_F(SelectionMapTest, LoneColumnStaysVisibleWhenAveraged) {
  OwnedMap map(128, 262144, 262144, /*causal=*/false);
  llvm::fill(map.counts, 0);
  Image before = draw(map);
  llvm::fill(map.counts, 1);
  llvm::fill(map.indices, 1000);
  Image after = draw(map);
  ASSERT_EQ(before.pixels.size(), after.pixels.size());
  // At least one pixel in each line of the 128 maps became clearly darker.
  int darker = 0;
  for (auto [old, now] : zip_equal(before.pixels, after.pixels))
    darker += old == candidateRGB && (old & 0xff) - (now & 0xff) >= 20;
  EXPECT_GE(darker, 128 * 200);
}

TEST_F(SelectionMapTest, NoCandidates) {
  OwnedMap map(2, 128, 128);
  map.candidates[0] = 0;
  llvm::fill(map.counts, 0);
  map.density[0] = NAN;
  map.density[1] = -HUGE_VAL;
  draw(map);
}

TEST_F(SelectionMapTest, AnyTitle) {
  OwnedMap map(1, 1000, 1000);
  for (std::string title :
       {std::string(), std::string("\xff\xfe\0\n", 4), std::string(1000, 'W'),
        std::string("\xe6\xbc\xa2 ") + std::string(100'000, '\xc3')}) {
    map.map.title = title;
    draw(map);
  }
}

TEST_F(SelectionMapTest, ReplacesAFile) {
  OwnedMap map(1, 128, 128);
  draw(map);
  draw(map);
  EXPECT_EQ(countFiles(), 1);
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

TEST_F(SelectionMapTest, UnwritablePath) {
  OwnedMap map(1, 128, 128);
  for (std::string target : {pathOf("missing/map.png"), std::string(folder)}) {
    std::string message = toString(writeSelectionMap(target, map.get()));
    EXPECT_TRUE(
        StringRef(message).starts_with(target + ": cannot write, expected"))
        << message;
  }
  EXPECT_EQ(countFiles(), 0);
}

TEST_F(SelectionMapTest, ExtentsOutOfRange) {
  OwnedMap map(1, 128, 128);
  map.map.heads = 0;
  EXPECT_EQ(drawError(map), "heads, expected 1 to 1024, got 0");
  map.map.heads = 1025;
  EXPECT_EQ(drawError(map), "heads, expected 1 to 1024, got 1025");
  map.map.heads = 1;
  map.map.rows = -1;
  EXPECT_EQ(drawError(map), "rows, expected 1 to 1048576, got -1");
  map.map.rows = INT64_MAX;
  EXPECT_EQ(drawError(map),
            "rows, expected 1 to 1048576, got 9223372036854775807");
  map.map.rows = 1;
  map.map.maxBlocks = INT64_MAX;
  EXPECT_EQ(drawError(map), "maxBlocks, expected 1 to 2147483647, got "
                            "9223372036854775807");
  map.map.maxBlocks = 1;
  map.map.queryBlock = 0;
  EXPECT_EQ(drawError(map), "queryBlock, expected 1 to 2147483647, got 0");
  map.map.queryBlock = 128;
  map.map.lk = INT64_MAX;
  EXPECT_EQ(drawError(map),
            "lk, expected 1 to 281474976710656, got 9223372036854775807");
}

TEST_F(SelectionMapTest, ExtentsThatContradict) {
  OwnedMap map(1, 300, 500);
  map.map.rows = 2;
  EXPECT_EQ(drawError(map), "rows, expected 3, got 2");
  map.map.rows = 3;
  map.map.keyBlocks = 5;
  EXPECT_EQ(drawError(map), "keyBlocks, expected 4, got 5");
}

TEST_F(SelectionMapTest, ArraysOfOtherSizes) {
  OwnedMap map(2, 300, 300);
  map.counts.pop_back();
  EXPECT_EQ(drawError(map), "size of counts, expected 6, got 5");
  map.counts.push_back(1);
  map.indices.push_back(0);
  EXPECT_EQ(drawError(map), "size of indices, expected 6, got 7");
  map.indices.pop_back();
  map.candidates.pop_back();
  EXPECT_EQ(drawError(map), "size of candidates, expected 3, got 2");
  map.candidates.push_back(3);
  map.density.clear();
  EXPECT_EQ(drawError(map), "size of densityPerHead, expected 2, got 0");
}

TEST_F(SelectionMapTest, ValuesOutOfRange) {
  OwnedMap map(1, 512, 512, /*causal=*/true, /*maxBlocks=*/2);
  map.candidates[1] = 5;
  EXPECT_EQ(drawError(map), "candidates, expected 0 to 4, got 5");
  map.candidates[1] = -1;
  EXPECT_EQ(drawError(map), "candidates, expected 0 to 4, got -1");
  map.candidates[1] = 2;
  map.counts[3] = 3;
  EXPECT_EQ(drawError(map), "counts, expected 0 to 2, got 3");
  map.counts[3] = -1;
  EXPECT_EQ(drawError(map), "counts, expected 0 to 2, got -1");
  map.counts[3] = 2;
  map.indices[7] = 4;
  EXPECT_EQ(drawError(map),
            "indices, ascending in a row, expected 1 to 3, got 4");
  map.indices[6] = 2;
  map.indices[7] = 2; // Twice the same.
  EXPECT_EQ(drawError(map),
            "indices, ascending in a row, expected 3 to 3, got 2");
  map.indices[6] = -1;
  EXPECT_EQ(drawError(map),
            "indices, ascending in a row, expected 0 to 3, got -1");
}

} // namespace
