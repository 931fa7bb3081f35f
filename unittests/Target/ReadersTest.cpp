// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A format has two readers, the compiler's in C++ and the runtime's in C: what
// one takes the other takes, and what is taken is written back byte for byte.
#include "Sample.h"
#include "unisparse-rt/unisparse.h"
#include "llvm/Support/Endian.h"
#include <gtest/gtest.h>
#include <random>

using namespace llvm;
using namespace unisparse::artifact;
using namespace unisparse::artifact::test;

namespace {
/// Compares the readers, and counts what they take.
class ReadersTest : public testing::Test {
protected:
  void SetUp() override {
    body = write(everything()).substr(kHeaderBytes);
    compare(body, "nothing changed");
    ASSERT_EQ(taken, 1u);
  }

  void compare(StringRef changed, const Twine &how) {
    std::string file = fileOf(changed);
    unisparse_artifact *artifact = nullptr;
    bool runtime = unisparse_artifact_read(file.data(), file.size(),
                                           &artifact) == UNISPARSE_OK;
    unisparse_artifact_free(artifact);
    Expected<Artifact> a = read(file);
    std::string refusal = a ? "" : toString(a.takeError());
    EXPECT_EQ(refusal.empty(), runtime)
        << how.str() << "\ncompiler: " << refusal
        << "\nruntime: " << (runtime ? "" : unisparse_last_message());
    if (!refusal.empty())
      return void(++refused);
    ++taken;
    EXPECT_EQ(write(*a), file) << how.str();
  }

  /// Numbers on both sides of a rule.
  static constexpr uint32_t numbers[] = {
      0,   1,   2,   3,   4,    5,    7,    8,         9,        10,        11,
      15,  16,  17,  31,  32,   33,   63,   64,        65,       127,       128,
      129, 255, 256, 257, 1023, 1024, 1025, INT32_MAX, 1u << 31, UINT32_MAX};

  std::string body;
  size_t taken = 0, refused = 0;
};
} // namespace

TEST_F(ReadersTest, EveryByte) {
  for (size_t i = 0; i < body.size(); ++i)
    for (int change = 1; change < 256; change += 2) {
      std::string changed = body;
      changed[i] ^= static_cast<char>(change);
      compare(changed, "byte " + Twine(i) + " changed by " + Twine(change));
    }
  EXPECT_GT(taken, 1000u);
  EXPECT_GT(refused, taken);
}

TEST_F(ReadersTest, EveryNumber) {
  for (size_t i = 0; i + 8 <= body.size(); ++i)
    for (uint32_t number : numbers) {
      std::string changed = body;
      support::endian::write32le(&changed[i], number);
      compare(changed, Twine(number) + " at byte " + Twine(i));
      // As 64 bits, sign extended.
      support::endian::write64le(&changed[i], int64_t(int32_t(number)));
      compare(changed, Twine(number) + " in 64 bits at byte " + Twine(i));
    }
  EXPECT_GT(taken, 1000u);
  EXPECT_GT(refused, taken);
}

TEST_F(ReadersTest, EveryCut) {
  for (size_t i = 0; i < body.size(); ++i) {
    compare(StringRef(body).take_front(i), "first " + Twine(i) + " bytes");
    for (size_t size : {1, 4, 8, 12, 16})
      compare(body.substr(0, i) + body.substr(std::min(body.size(), i + size)),
              Twine(size) + " bytes cut at " + Twine(i));
  }
  EXPECT_GT(refused, body.size());
}

// The smallest records, which a bound on a count could refuse.
TEST_F(ReadersTest, LeastRecords) {
  Artifact a;
  a.variants.resize(1);
  a.variants[0].capability = 10;
  compare(StringRef(write(a)).drop_front(kHeaderBytes), "an empty variant");
  a.inputs.resize(kMaxTensors);
  a.outputs.resize(kMaxTensors);
  a.checks.resize(kMaxChecks, Check{"", constant(0), {}, constant(0), "", ""});
  a.variants[0].workspace.resize(kMaxBuffers, constant(0));
  Step fill;
  fill.kind = Step::Kind::Fill;
  fill.buffer = {BufferKind::Output, 0};
  fill.words = constant(0);
  a.variants[0].steps.resize(kMaxSteps, fill);
  a.variants.resize(kMaxVariants, a.variants[0]);
  compare(StringRef(write(a)).drop_front(kHeaderBytes), "most of everything");
  EXPECT_EQ(taken, 3u);
}

// Formulas of operands that are there and operators that are not, divisors of
// every sign.
TEST_F(ReadersTest, Formulas) {
  std::mt19937 random(1);
  auto below = [&](uint32_t n) { return random() % n; };
  for (int i = 0; i < 20000; ++i) {
    Artifact a = everything();
    Expr e;
    for (uint32_t terms = 1 + below(6); e.size() < terms;)
      e.push_back({TermOp(below(e.size() < 2 ? 4 : 11)),
                   below(4) ? 0 : int64_t(below(9)) - 4});
    (below(2) ? a.checks[0].left : a.variants[0].steps[0].words) = e;
    compare(StringRef(write(a)).drop_front(kHeaderBytes),
            "formula " + Twine(i));
  }
  EXPECT_GT(taken, 1000u);
  EXPECT_GT(refused, 1000u);
}
