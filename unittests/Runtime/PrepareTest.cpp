//===- PrepareTest.cpp - Types, sizes and strides
//---------------------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Artifacts.h"

using namespace unisparse::runtime;

namespace {

using PrepareTest = RuntimeTest;
constexpr int64_t huge = INT64_MAX;

void expectShape(Call &call, const std::vector<std::string> &facts) {
  expectFailure(call.prepare(), UNISPARSE_BAD_SHAPE, facts);
}

TEST_F(PrepareTest, Outputs) {
  Call call(sample());
  unisparse_tensor outputs[2] = {};
  outputs[1].data = &call;
  size_t workspace = 0;
  for (unisparse_tensor &input : call.inputs)
    input.data = nullptr;
  ASSERT_EQ(unisparse_program_prepare(call.program, call.inputs.data(), 2,
                                      outputs, 2, &workspace),
            UNISPARSE_OK)
      << unisparse_last_message();
  EXPECT_EQ(workspace, 17168u); // 16384, 100 at 16384, 528 at 16640
  EXPECT_EQ(outputs[0].element, UNISPARSE_F16);
  EXPECT_EQ(outputs[0].rank, 4);
  for (int d = 0; d < 4; ++d) {
    EXPECT_EQ(outputs[0].sizes[d], call.outputs[0].sizes[d]);
    EXPECT_EQ(outputs[0].strides[d], call.outputs[0].strides[d]);
  }
  EXPECT_EQ(outputs[1].element, UNISPARSE_F32);
  EXPECT_EQ(outputs[1].rank, 3);
  EXPECT_EQ(outputs[1].strides[0], 8 * 256);
  EXPECT_EQ(outputs[1].data, &call);
  EXPECT_EQ(unisparse_program_prepare(call.program, call.inputs.data(), 2,
                                      nullptr, 0, nullptr),
            UNISPARSE_OK);
}

TEST_F(PrepareTest, Arguments) {
  Call call(sample());
  unisparse_tensor outputs[2];
  expectFailure(
      unisparse_program_prepare(nullptr, nullptr, 0, nullptr, 0, nullptr),
      UNISPARSE_BAD_ARGUMENT, {"program", "null"});
  expectFailure(unisparse_program_prepare(call.program, call.inputs.data(), 1,
                                          outputs, 2, nullptr),
                UNISPARSE_BAD_ARGUMENT, {"inputs", "expected 2", "got 1"});
  expectFailure(
      unisparse_program_prepare(call.program, nullptr, 2, outputs, 2, nullptr),
      UNISPARSE_BAD_ARGUMENT, {"inputs", "null"});
  expectFailure(unisparse_program_prepare(call.program, call.inputs.data(), 2,
                                          outputs, 3, nullptr),
                UNISPARSE_BAD_ARGUMENT, {"outputs", "expected 2", "got 3"});
}

TEST_F(PrepareTest, TypesAndRanks) {
  Call call(sample());
  call.inputs[1].element = UNISPARSE_BF16;
  expectShape(call, {"k: expected f16, got bf16"});
  call.inputs[1].element = static_cast<unisparse_element>(9);
  expectShape(call, {"k: expected f16, got an unknown type"});
  call.inputs[1].element = UNISPARSE_F16;
  call.inputs[0].rank = 3;
  expectShape(call, {"q: expected rank 4, got 3"});
}

TEST_F(PrepareTest, Sizes) {
  Call call(sample());
  call.inputs[0].sizes[3] = 32;
  expectShape(call, {"q.size(3): expected 64, got 32"});
  call.inputs[0].sizes[3] = 64;
  call.inputs[0].sizes[0] = -2;
  expectShape(call, {"q.size(0): expected 0 or more, got -2"});
  call.inputs[0].sizes[0] = 2;
  call.inputs[1].sizes[2] = 128;
  expectShape(call, {"k.size(2): expected 256, which is q.size(2), got 128"});
  call.inputs[0].sizes[0] = int64_t(1) << 50;
  expectShape(call, {"q: expected less than 2^60 bytes"});
  call.inputs[0].sizes[0] = huge;
  expectShape(call, {"q: expected less than 2^60 bytes"});
}

TEST_F(PrepareTest, Strides) {
  Call call(sample());
  call.inputs[1].strides[1] += 8;
  expectShape(call, {"k.stride(1): expected 16384 (contiguous), got 16392"});
  call.inputs[1].strides[1] -= 8;
  int64_t *strides = call.inputs[0].strides;
  strides[2] = 68;
  expectShape(call, {"q.stride(2)", "multiple of 8 (16 bytes), got 68"});
  strides[2] = -64;
  expectShape(call, {"q.stride(2)", "0 or more, got -64"});
  strides[2] = 72;
  EXPECT_EQ(call.prepare(), UNISPARSE_OK) << unisparse_last_message();
  strides[3] = 2;
  expectShape(call, {"q.stride(3): expected 1 (contiguous), got 2"});
  strides[3] = 1;
  strides[0] = huge / 8 * 8;
  expectShape(call, {"q: expected less than 2^60 bytes"});
}

/// Of dimensions of size 1, and of tensors without an element.
TEST_F(PrepareTest, StridesThatDoNotMatter) {
  Call call(sample());
  for (int64_t batch : {1, 0}) {
    for (unisparse_tensor &input : call.inputs) {
      input.sizes[0] = batch;
      input.strides[0] = -3;
    }
    EXPECT_EQ(call.prepare(), UNISPARSE_OK) << unisparse_last_message();
  }
  call.inputs[0].strides[3] = 77;
  EXPECT_EQ(call.prepare(), UNISPARSE_OK) << unisparse_last_message();
}

/// A formula sees strides that do not matter as if rows followed one another.
TEST_F(PrepareTest, StridesInFormulas) {
  Spec spec = sample();
  spec.checks = {{"value", stride(0, 0), 0, constant(77), "stride", "77"}};
  Call call(spec);
  call.inputs[0] = tensor(0, UNISPARSE_F16, {1, 8, 256, 64});
  call.inputs[1].sizes[0] = 1;
  call.inputs[0].strides[0] = 5;
  call.inputs[0].strides[1] = 20000;
  expectShape(call, {"got 160000 and 77"});
}

TEST_F(PrepareTest, Checks) {
  Call call(sample());
  auto setLength = [&](int64_t length) {
    for (unisparse_tensor &input : call.inputs)
      input = tensor(0, UNISPARSE_F16, {2, input.sizes[1], length, 64});
  };
  setLength(65536 + 16);
  expectShape(call, {"length: expected q.size(2) <= the most tokens, got 65552 "
                     "and 65536"});
  setLength(250);
  expectShape(call,
              {"blocks: expected q.size(2) multiple of 16, got 250 and 16"});
  Spec spec = sample();
  spec.checks = {{"equal", symbol(1), 0, symbol(0), "L", "B"}};
  Call equal(spec);
  expectShape(equal, {"equal: expected L == B, got 256 and 2"});
  spec.checks = {{"zero", symbol(1), 2, constant(0), "L", "none"}};
  Call zero(spec);
  expectShape(zero, {"zero: expected L multiple of none, got 256 and 0"});
}

TEST_F(PrepareTest, Formulas) {
  struct {
    Expr formula;
    const char *problem;
  } cases[] = {{apply(Add, constant(huge), symbol(0)), "overflows 64 bits"},
               {apply(Sub, constant(-huge), symbol(0)), "overflows 64 bits"},
               {apply(Mul, constant(huge), symbol(0)), "overflows 64 bits"},
               {apply(FloorDiv, symbol(0), apply(Sub, constant(2), symbol(0))),
                "divides by 0"},
               {apply(CeilDiv, symbol(0), apply(Sub, symbol(0), constant(2))),
                "divides by 0"},
               {apply(FloorDiv, symbol(0), apply(Sub, symbol(0), constant(3))),
                "divides by a negative"}};
  for (auto &[formula, problem] : cases) {
    Spec spec = sample();
    spec.checks = {{"rule", formula, 0, constant(1), "formula", "1"}};
    Call check(spec);
    expectShape(check, {"rule", "formula", problem});
    spec = sample();
    spec.outputs[1].sizes[2] = formula;
    Call output(spec);
    expectShape(output, {"lse.size(2)", problem});
    spec = sample();
    spec.variants[1].buffers[1] = formula;
    Call workspace(spec);
    expectShape(workspace, {"workspace buffer 1", problem});
  }
}

/// Values of all operations, seen through a check that they fail.
TEST_F(PrepareTest, Values) {
  Expr two = symbol(0), length = symbol(1);
  struct {
    Expr formula;
    int64_t value;
  } cases[] = {{apply(Add, length, two), 258},
               {apply(Sub, two, length), -254},
               {apply(Mul, length, two), 512},
               {apply(FloorDiv, constant(-7), two), -4},
               {apply(FloorDiv, constant(7), two), 3},
               {apply(FloorDiv, constant(INT64_MIN), constant(1)), INT64_MIN},
               {apply(CeilDiv, constant(-7), two), -3},
               {apply(CeilDiv, constant(7), two), 4},
               {apply(CeilDiv, constant(8), two), 4},
               {apply(Min, length, two), 2},
               {apply(Max, length, two), 256},
               {stride(0, 1), 256 * 64}};
  for (auto &[formula, value] : cases) {
    Spec spec = sample();
    spec.checks = {{"value", formula, 0, constant(77), "formula", "77"}};
    Call call(spec);
    expectShape(call, {"got " + std::to_string(value) + " and 77"});
  }
}

TEST_F(PrepareTest, Results) {
  Spec spec = sample();
  spec.outputs[1].sizes[2] = constant(-5);
  Call output(spec);
  expectShape(output, {"lse.size(2): expected 0 or more, got -5"});
  spec = sample();
  spec.outputs[1].sizes[2] = constant(huge);
  Call large(spec);
  expectShape(large, {"lse: expected less than 2^60 bytes"});
  spec = sample();
  spec.variants[1].buffers[2] = constant(-1);
  Call buffer(spec);
  expectShape(buffer, {"workspace buffer 2", "got -1"});
  spec.variants[1].buffers.assign(3, constant((int64_t(1) << 60) - 1));
  Call workspace(spec);
  expectShape(workspace, {"workspace: expected less than 2^60 bytes"});
}

} // namespace
