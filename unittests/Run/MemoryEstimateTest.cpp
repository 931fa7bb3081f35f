// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The formulas of docs/Architecture.md, by numbers.
#include "../../tools/unisparse-run/MemoryEstimate.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace unisparse;
using namespace unisparse::run;

namespace {

class MemoryEstimateTest : public testing::Test {
protected:
  MemoryEstimateTest() {
    context.loadDialect<UniSparseDialect, func::FuncDialect>();
    in.q = Tensor::describe(DType::F32, {1, 8, 8192, 128});
    in.k = Tensor::describe(DType::F32, {1, 2, 8192, 128});
    in.v = Tensor::describe(DType::F32, {1, 2, 8192, 128});
  }

  /// Of a function with these sizes of q, of k and v, and this body.
  double stagesOf(StringRef q, StringRef k, StringRef body, int threads) {
    std::string text = ("!q = tensor<" + q + "xf32>\n!k = tensor<" + k +
                        "xf32>\nfunc.func @f(%q: !q, %k: !k, %v: !k) {\n" +
                        body + "\n  return\n}\n")
                           .str();
    auto module = parseSourceString<ModuleOp>(text, &context);
    if (!module)
      return -1;
    MemoryEstimate estimate;
    addStages(estimate, options, in, *module, threads, /*strip=*/32);
    return estimate.total();
  }

  MLIRContext context;
  Options options;
  Inputs in;
};

constexpr StringLiteral kDenseBody =
    "%o, %l = unisparse.block_sparse_attention %q, %k, %v block <128x128> "
    "causal return_lse : (!q, !k, !k) -> (!q, tensor<1x8x?xf32>)";
// What one thread's tiles take: 289 KiB.
constexpr double kTile = 289 * 1024;
constexpr double kResults = 8.0 * 8192 * (128 * 4 + 4);

TEST_F(MemoryEstimateTest, ResultsAndTiles) {
  EXPECT_EQ(stagesOf("1x8x?x128", "1x2x?x128", kDenseBody, 1),
            kResults + kTile);
  EXPECT_EQ(stagesOf("1x8x?x128", "1x2x?x128", kDenseBody, 3),
            kResults + 3 * kTile);
}

TEST_F(MemoryEstimateTest, StagesOfAttention) {
  auto body = [](StringRef rows) {
    std::string n = rows.str();
    return "%o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> "
           "pooling <8x8> rule <top_k = 8> causal : (!q, !k, !k) -> (!q, "
           "tensor<1x8x" +
           n + "xi32>, tensor<1x8x" + n + "x" + n + "xi32>, tensor<1x8xf32>)";
  };
  // Composites are an eighth of q and k; 64 x 64 blocks a head; what a score
  // keeps, 32 lanes of 64 blocks, is less than an attend's tiles.
  double all = 8.0 * 8192 * 128 * 4 + 4 * 1024.0 * 128 * (8 + 2) +
               4 * 8 * 64 * 64.0 + 4 * 8 * (64 * 64 + 64.0) + kTile;
  EXPECT_EQ(stagesOf("1x8x8192x128", "1x2x8192x128", body("64"), 1), all);
  EXPECT_EQ(stagesOf("1x8x?x128", "1x2x?x128", body("?"), 1), all);
  // Of a GPU only results come here, and nothing reads the selection.
  options.cuda = true;
  EXPECT_EQ(stagesOf("1x8x?x128", "1x2x?x128", body("?"), 1),
            8.0 * 8192 * 128 * 4);
}

TEST_F(MemoryEstimateTest, RepresentativesAndSpread) {
  // 32 rows of 256 columns for each of 64 query blocks, where they stand; keys
  // of 256 columns. What a pool keeps of a block is less than an attend's
  // tiles.
  double all = 8.0 * 8192 * 128 * 4 + 4 * 8 * 64 * 32.0 * 256 +
               4 * 8 * 64 * 16.0 + 4 * 2 * 1024.0 * 256 + 4 * 8 * 64 * 64.0 +
               4 * 8 * (64 * 64 + 64.0) + kTile;
  for (std::string n : {"64", "?"}) {
    std::string length = n == "?" ? n : "8192";
    std::string body =
        "%o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> "
        "pooling <8x8, representatives = 16, spread = 1> rule <top_k = 8> "
        "causal : (!q, !k, !k) -> (!q, tensor<1x8x" +
        n + "xi32>, tensor<1x8x" + n + "x" + n + "xi32>, tensor<1x8xf32>)";
    EXPECT_EQ(
        stagesOf("1x8x" + length + "x128", "1x2x" + length + "x128", body, 1),
        all);
  }
}

TEST_F(MemoryEstimateTest, SaysWhatTakesMost) {
  MemoryEstimate estimate;
  estimate.add("inputs", "in.st", 1 << 20);
  estimate.add("masses", "--block", 3 << 20);
  estimate.add("masses", "--block", 4 << 20);
  EXPECT_FALSE(estimate.check({8 << 20, "physical memory"}));
  EXPECT_EQ(llvm::toString(estimate.check({5 << 20, "the control group"})),
            "--block: expected a run that fits the 5 MiB that the control "
            "group leaves, got one that takes 8 MiB, 7 MiB of it masses");
}

} // namespace
