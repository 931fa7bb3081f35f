// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The artifact's format: what is written reads back, and nothing else does.
#include "Sample.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <functional>
#include <gtest/gtest.h>

using namespace llvm;
using namespace unisparse::artifact;

using namespace unisparse::artifact::test;

namespace {
constexpr size_t kHeader = kHeaderBytes;
std::string errorOf(StringRef bytes) {
  Expected<Artifact> a = read(bytes);
  return a ? "" : toString(a.takeError());
}

std::string errorOf(const std::function<void(Artifact &)> &damage) {
  Artifact a = everything();
  damage(a);
  return errorOf(write(a));
}

::testing::AssertionResult has(const std::string &text, StringRef part) {
  return StringRef(text).contains(part) ? ::testing::AssertionSuccess()
                                        : ::testing::AssertionFailure()
                                              << '"' << text << "\" lacks \""
                                              << part.str() << '"';
}
} // namespace

TEST(Artifact, RoundTrip) {
  std::string bytes = write(everything());
  Expected<Artifact> a = read(bytes);
  ASSERT_TRUE(static_cast<bool>(a)) << toString(a.takeError());
  EXPECT_EQ(write(*a), bytes);
  // Writing and reading may not both leave something out.
  EXPECT_EQ(a->inputs[0].dims, (std::vector<int64_t>{-1, 32, -2, 128}));
  EXPECT_EQ(a->variants[0].image, everything().variants[0].image);
  EXPECT_EQ(a->variants[0].steps[0].word, 0xff800000u);
  EXPECT_EQ(a->variants[0].steps[1].schedule,
            "#unitile.tiles<rows = 128, keys = 64>");
  EXPECT_EQ(a->variants[0].steps[1].arguments[4].map.box[1], 128u);
  EXPECT_EQ(a->variants[1].kind, ImageKind::MachineCode);
}

// The bytes themselves, by hand from docs/Artifact.md.
TEST(Artifact, Bytes) {
  Artifact a;
  a.producer = "p";
  a.entry = "e";
  Variant v;
  v.chip = "c";
  v.capability = 80;
  v.leastDriver = 12000;
  v.image = "i";
  a.variants = {v};
  const unsigned char body[] = {
      1, 0, 0, 0, 'p',  1,    0, 0, 0,   'e',       // producer, entry
      0, 0, 0, 0, 0,    0,    0, 0, 0,   0,   0, 0, // symbols, inputs, outputs
      0, 0, 0, 0, 1,    0,    0, 0,                 // checks, one variant
      1, 0, 0, 0, 'c',  80,   0, 0, 0,   0,   0, 0,
      0,                                 // chip, capability, exact
      0, 0, 0, 0, 0xe0, 0x2e, 0, 0,      // kind, driver
      1, 0, 0, 0, 0,    0,    0, 0, 'i', // image
      0, 0, 0, 0, 0,    0,    0, 0};     // workspace, steps
  StringRef expected(reinterpret_cast<const char *>(body), sizeof(body));
  EXPECT_EQ(toHex(StringRef(write(a)).drop_front(kHeader)), toHex(expected));
  EXPECT_EQ(write(a).substr(0, 12), std::string("UNISPARS\4\0\0\0", 12));
}

TEST(Artifact, Truncated) {
  std::string bytes = write(everything());
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_NE(errorOf(StringRef(bytes).take_front(size)), "") << size;
  StringRef body = StringRef(bytes).drop_front(kHeader);
  for (size_t size = 0; size < body.size(); ++size)
    EXPECT_TRUE(has(errorOf(fileOf(body.take_front(size))), "damaged artifact"))
        << size;
  EXPECT_TRUE(has(errorOf(fileOf(body.str() + "x")),
                  "expected the body to end here, got 1 bytes more"));
}

TEST(Artifact, Damaged) {
  std::string bytes = write(everything());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string other = bytes;
    other[i] ^= 0x10;
    EXPECT_NE(errorOf(other), "") << i;
  }
}

// With a right checksum a changed byte is either refused or read as it is.
TEST(Artifact, Changed) {
  std::string bytes = write(everything());
  size_t refused = 0;
  for (size_t i = kHeader; i < bytes.size(); ++i)
    for (char change : {char(0x01), char(0x80), char(0xff)}) {
      std::string body = bytes.substr(kHeader);
      body[i - kHeader] ^= change;
      std::string file = fileOf(body);
      Expected<Artifact> a = read(file);
      if (a) {
        EXPECT_EQ(write(*a), file) << i;
        // Whatever is accepted can be printed.
        std::string text;
        raw_string_ostream os(text);
        print(*a, os);
        continue;
      }
      consumeError(a.takeError());
      ++refused;
    }
  EXPECT_GT(refused, bytes.size());
}

TEST(Artifact, Header) {
  std::string bytes = write(everything());
  EXPECT_TRUE(has(errorOf(StringRef("UNISPARS")), "got 8 bytes"));
  std::string other = bytes;
  other[0] = 'X';
  EXPECT_TRUE(has(errorOf(other), "got another kind of file"));
  other = bytes;
  other[8] = 1;
  EXPECT_TRUE(has(errorOf(other), "expected an artifact of version 4, got 1"));
  other = bytes;
  other.back() ^= 1;
  EXPECT_TRUE(has(errorOf(other), "checksum"));
}

TEST(Artifact, Records) {
  auto expect = [](StringRef part,
                   const std::function<void(Artifact &)> &damage) {
    EXPECT_TRUE(has(errorOf(damage), part));
  };
  expect("in UTF-8 without NUL", [](Artifact &a) { a.entry = "\xff"; });
  expect("in UTF-8 without NUL",
         [](Artifact &a) { a.entry = std::string("a\0b", 3); });
  expect("expected symbol 2 in an input, got it in none",
         [](Artifact &a) { a.symbols.push_back("x"); });
  expect("expected a size or a symbol, got -4",
         [](Artifact &a) { a.inputs[0].dims[1] = -4; });
  expect("expected a count of at most 4, got 5",
         [](Artifact &a) { a.inputs[0].dims.push_back(1); });
  expect("expected element of 0 to 3, got 4",
         [](Artifact &a) { a.outputs[0].element = Element(4); });
  expect("expected layout of 0 to 1, got 2",
         [](Artifact &a) { a.inputs[0].layout = Layout(2); });
  expect("expected relation of 0 to 2, got 3",
         [](Artifact &a) { a.checks[0].relation = Relation(3); });
  // Without variants it is written as the description of a library, whose
  // outputs have a layout.
  expect("expected at least one variant, got none", [](Artifact &a) {
    a.variants.clear();
    a.outputs.clear();
  });
  expect("expected a buffer below 1, got 1", [](Artifact &a) {
    a.variants[0].steps[1].arguments[0].buffer.index = 1;
  });
  expect("expected threads of 1 to 64, got 0",
         [](Artifact &a) { a.variants[0].steps[1].block[2] = 0; });
  expect("expected threads of 1 to 1024, got 1025",
         [](Artifact &a) { a.variants[0].steps[1].block[0] = 1025; });
  expect("expected at most 1024 threads in a block, got 2048",
         [](Artifact &a) { a.variants[0].steps[1].block = {512, 4, 1}; });
  expect("expected to fill an output or workspace, got an input",
         [](Artifact &a) { a.variants[0].steps[0].buffer.kind = {}; });
  expect("expected at most 16 tensor maps, got 17", [](Artifact &a) {
    a.variants[0].steps[1].arguments.assign(17, mapOfQ());
  });
  expect(
      "expected a box with rows of a multiple of 16 bytes, got 6",
      [](Artifact &a) { a.variants[0].steps[1].arguments[4].map.box[0] = 3; });
  expect("rows of at most the swizzle's 128 bytes, got 256", [](Artifact &a) {
    a.variants[0].steps[1].arguments[4].map.box[0] = 128;
  });
  expect("expected a map of at least one dimension, got none", [](Artifact &a) {
    TensorMap &map = a.variants[0].steps[1].arguments[4].map;
    map.sizes.clear();
    map.strides.clear();
    map.box.clear();
  });
}

TEST(Artifact, Formulas) {
  auto expect = [](StringRef part, const Expr &expr) {
    EXPECT_TRUE(
        has(errorOf([&](Artifact &a) { a.checks[0].left = expr; }), part));
  };
  expect("expected 1 to 64 terms, got 0", {});
  expect("expected 1 to 64 terms, got 65", Expr(65, {TermOp::Constant, 1}));
  expect("expected operator of 0 to 10, got 11", {{TermOp(11), 0}});
  expect("expected two operands, got 1",
         {{TermOp::Constant, 1}, {TermOp::Add, 0}});
  expect("expected a formula of one value, got 2",
         Expr(2, {TermOp::Constant, 1}));
  expect("expected a symbol, got 2", {{TermOp::Symbol, 2}});
  expect("expected a symbol, got -1", {{TermOp::Symbol, -1}});
  expect("expected a dimension of an input, got 10", {{TermOp::Stride, 10}});
  expect("expected a dimension of an input, got 16", {{TermOp::Stride, 16}});
  expect("expected no fact of a device in a check, got one",
         {{TermOp::Device, 0}});
  expect("expected a divisor above 0, got 0",
         {{TermOp::Constant, 1}, {TermOp::Constant, 0}, {TermOp::FloorDiv, 0}});
  expect("expected no value beside an operator, got 1",
         {{TermOp::Constant, 1}, {TermOp::Constant, 1}, {TermOp::Add, 1}});
}

// What the runtime refuses is not folded away here.
TEST(Artifact, Folding) {
  auto fold = [](TermOp op, int64_t a, int64_t b) {
    return constantOf(combine(op, constant(a), constant(b)));
  };
  EXPECT_EQ(fold(TermOp::FloorDiv, -1, 128), -1);
  EXPECT_EQ(fold(TermOp::CeilDiv, -1, 128), 0);
  EXPECT_EQ(fold(TermOp::CeilDiv, 129, 128), 2);
  EXPECT_EQ(fold(TermOp::Add, INT64_MAX, 1), std::nullopt);
  EXPECT_EQ(fold(TermOp::Sub, INT64_MIN, 1), std::nullopt);
  EXPECT_EQ(fold(TermOp::Mul, INT64_MAX, 2), std::nullopt);
  EXPECT_EQ(fold(TermOp::FloorDiv, 1, 0), std::nullopt);
  EXPECT_EQ(fold(TermOp::Min, 3, 2), 2);
}

TEST(Artifact, PrintWithoutControlCharacters) {
  Artifact a = everything();
  std::string hostile = "a\x1b[2Jb\nc\x7f\xC2\x9B\xE2\x80\xA8\xC3\xA9";
  a.producer = a.entry = a.symbols[1] = a.inputs[0].name = hostile;
  a.outputs[0].name = a.checks[0].label = a.checks[0].leftName = hostile;
  a.checks[0].rightName = a.variants[0].chip = hostile;
  a.variants[0].steps[1].kernel = a.variants[0].steps[1].schedule = hostile;
  std::string text, plain;
  raw_string_ostream os(text), plainOS(plain);
  print(a, os);
  print(everything(), plainOS);
  EXPECT_EQ(StringRef(text).count('\n'), StringRef(plain).count('\n'));
  for (StringRef bad : {"\x1b", "\x7f", "\xC2\x9B", "\xE2\x80\xA8"})
    EXPECT_FALSE(StringRef(text).contains(bad)) << text;
  EXPECT_TRUE(has(text, "a?[2Jb?c???\xC3\xA9"));
}

TEST(Artifact, Print) {
  std::string text;
  raw_string_ostream os(text);
  print(everything(), os);
  EXPECT_TRUE(has(text, "input   q: bf16 [q.size(0), 32, q.size(2), 128]"));
  EXPECT_TRUE(has(text, "output  o: f16 [q.size(0), 32], contiguous rows"));
  EXPECT_TRUE(has(text, "    i64      o.stride(0)\n"));
  EXPECT_TRUE(has(text, "    map      q: bf16 [128, q.size(2)], strides "
                        "[q.stride(2)] bytes, box [64, 128], swizzle 128B"));
  EXPECT_TRUE(has(text, "launch attend on [ceildiv(q.size(2), 128), 32, "
                        "multiprocessors] CTAs of [256, 1, 1] threads"));
  EXPECT_TRUE(has(text, "shared, overlapping the step before\n    schedule "
                        "#unitile.tiles<rows = 128, keys = "
                        "64>\n    address  workspace 0\n"));
  EXPECT_TRUE(has(text, "sm_80: 14 bytes of machine code, compute capability "
                        "9.0 or later of 9.x"));
}

TEST(Artifact, Merge) {
  auto mergeWith = [](const std::function<void(Artifact &)> &change) {
    Artifact into = everything(), from = everything();
    into.variants.resize(1);
    from.variants.erase(from.variants.begin());
    change(from);
    Error e = merge(into, from);
    std::string text = toString(std::move(e));
    EXPECT_EQ(into.variants.size(), text.empty() ? 2u : 1u);
    EXPECT_TRUE(has(text + errorOf(write(into)), text));
    return text;
  };
  EXPECT_EQ(mergeWith([](Artifact &) {}), "");
  EXPECT_EQ(
      mergeWith([](Artifact &a) { a.inputs[0].layout = Layout::Contiguous; }),
      "");
  EXPECT_EQ(
      mergeWith([](Artifact &a) { a.outputs[0].layout = Layout::Contiguous; }),
      "");
  EXPECT_TRUE(has(mergeWith([](Artifact &a) {
                    a.variants[0].chip = "sm_90a";
                    a.variants[0].kind = ImageKind::PTX;
                  }),
                  "expected every chip once, got sm_90a twice"));
  EXPECT_TRUE(has(mergeWith([](Artifact &a) { a.checks.clear(); }),
                  "got other checks for sm_80 than for sm_90a"));
  EXPECT_TRUE(has(mergeWith([](Artifact &a) { a.inputs[0].name = "x"; }),
                  "got other inputs"));
  EXPECT_TRUE(has(mergeWith([](Artifact &a) { a.outputs.pop_back(); }),
                  "got other outputs"));
  EXPECT_TRUE(
      has(mergeWith([](Artifact &a) { a.entry = "x"; }), "got other entry"));
}
