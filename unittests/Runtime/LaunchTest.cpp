//===- LaunchTest.cpp - What a launch enqueues, and refuses to
//--------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Artifacts.h"

#include <sstream>
#include <thread>

using namespace unisparse::runtime;

namespace {

class LaunchTest : public RuntimeTest {
protected:
  /// A call that is ready to be launched, with the log empty.
  static void ready(Call &call) {
    ASSERT_EQ(call.prepare(), UNISPARSE_OK) << unisparse_last_message();
    stub_reset();
  }

  /// Expects a refusal that enqueues nothing.
  static void expectRefused(Call &call, unisparse_status status,
                            const std::vector<std::string> &facts) {
    expectFailure(call.launch(), status, facts);
    EXPECT_STREQ(stub_log(), "");
  }
};

void *address(uint64_t value) { return reinterpret_cast<void *>(value); }

TEST_F(LaunchTest, ExactCalls) {
  Call call(sample());
  ready(call);
  long before = allocations;
  unisparse_status status = call.launch();
  EXPECT_EQ(allocations, before); // a launch allocates nothing
  ASSERT_EQ(status, UNISPARSE_OK) << unisparse_last_message();
  EXPECT_STREQ(
      stub_log(),
      "fill 0x105004000 with 5, 25 words, stream 7 on 0\n"
      "launch score:ppipi grid 2 8 2 block 128 1 1 shared 0 stream 7 on 0 "
      "p:0x102000000 p:0x105000000 i:0xffffffff p:0x40 i:0x3f000000\n"
      "map 0x101000000 type 6 (64 box 64 step 1) (256 box 128 step 1) stride "
      "128 interleave 0 swizzle 3 l2 3 fill 0\n"
      "map 0x103000000 type 6 (64 box 8 step 1) (4096 box 1 step 1) stride 128 "
      "interleave 0 swizzle 0 l2 3 fill 0\n"
      "launch attend:mmpp grid 8 2 2 block 32 4 3 shared 100000 overlapping "
      "stream 7 on 0 m:0x1010101 m:0x2020202 p:0x104000000 p:0x105004100\n"
      "fill 0x104000000 with 9, 4096 words, stream 7 on 0\n");
}

/// A tensor without elements needs no memory, its map does.
TEST_F(LaunchTest, MapOfNothing) {
  Spec spec = sample();
  Map q{buffer(Input, 0),
        1,
        {constant(64), apply(Max, symbol(1), constant(1))},
        {constant(128)},
        {64, 128},
        3};
  spec.variants[1].steps = {launch("k:m", std::vector<Expr>(3, constant(1)),
                                   {1, 1, 1}, 0, {mapArgument(q)})};
  Call call(spec);
  for (unisparse_tensor &input : call.inputs) {
    input.sizes[2] = 0;
    input.data = nullptr;
  }
  for (unisparse_tensor &output : call.outputs)
    output.sizes[2] = 0;
  ready(call);
  ASSERT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
  std::ostringstream map;
  // All but one element of that memory is outside, and reads as 0.
  map << "map 0x" << std::hex << call.workspace
      << " type 6 (1 box 64 step 1) (1 box 128 step 1) stride 128 ";
  EXPECT_EQ(std::string(stub_log()).find(map.str()), 0u) << stub_log();
}

/// A map ends within its buffer, as a fill does, whichever buffer that is.
TEST_F(LaunchTest, MapBeyondItsBuffer) {
  auto with = [](const std::string &buffer, std::vector<Expr> sizes,
                 std::vector<Expr> strides) {
    Spec spec = sample();
    std::vector<uint32_t> box(sizes.size(), 1);
    box[0] = 8;
    spec.variants[1].buffers = {constant(1 << 10)};
    spec.variants[1].steps = {
        launch("k:m", std::vector<Expr>(3, constant(1)), {1, 1, 1}, 0,
               {mapArgument({buffer, 1, std::move(sizes), std::move(strides),
                             std::move(box), 0})})};
    return spec;
  };
  auto expectLaunch = [&](const Spec &spec) {
    Call call(spec);
    ready(call);
    EXPECT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
  };
  auto expectRefused = [&](const Spec &spec,
                           const std::vector<std::string> &facts) {
    Call call(spec);
    stub_reset();
    expectFailure(call.prepare(), UNISPARSE_BAD_SHAPE, facts);
    EXPECT_STREQ(stub_log(), "");
  };
  // k f16 [2, 2, 256, 64], o f16 [2, 8, 256, 64].
  Expr rows = constant(2 * 2 * 256), more = constant(2 * 2 * 256 + 1);
  expectLaunch(with(buffer(Input, 1), {constant(64), rows}, {constant(128)}));
  expectRefused(with(buffer(Input, 1), {constant(64), more}, {constant(128)}),
                {"kernel \"k:m\"", "tensor map of input 1",
                 "within its 131072 bytes", "got 131200"});
  expectRefused(with(buffer(Input, 1), {constant(65), rows}, {constant(128)}),
                {"got 131074"});
  expectRefused(with(buffer(Output, 0), {constant(1 << 20)}, {}),
                {"tensor map of output 0", "its 524288 bytes", "got 2097152"});
  expectLaunch(with(buffer(Workspace, 0), {constant(512)}, {}));
  expectRefused(with(buffer(Workspace, 0), {constant(513)}, {}),
                {"tensor map of workspace buffer 0", "its 1024 bytes"});
  Expr most = constant(int64_t(1) << 32),
       stride = constant((int64_t(1) << 40) - 16);
  expectRefused(
      with(buffer(Output, 0), {constant(8), most, most}, {stride, stride}),
      {"9223372036854775807 or more"});
}

TEST_F(LaunchTest, TypesOfTensorMaps) {
  Spec spec = sample();
  std::vector<std::string> maps;
  for (uint32_t element : {0, 1, 2, 3})
    maps.push_back(mapArgument(
        {buffer(Input, 0), element, {constant(64)}, {}, {8}, element}));
  spec.variants[1].steps = {
      launch("k:", std::vector<Expr>(3, constant(1)), {1, 1, 1}, 0, maps)};
  Call call(spec);
  ready(call);
  ASSERT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
  std::string log = stub_log();
  for (const char *fact : {"type 7 (64 box 8 step 1) interleave 0 swizzle 0",
                           "type 6 (64 box 8 step 1) interleave 0 swizzle 1",
                           "type 9 (64 box 8 step 1) interleave 0 swizzle 2",
                           "type 3 (64 box 8 step 1) interleave 0 swizzle 3"})
    EXPECT_NE(log.find(fact), std::string::npos) << fact << " in " << log;
}

/// A launch overlaps a launch of its own call, or nothing.
TEST_F(LaunchTest, OverlapsWhatWasLaunched) {
  Expr none = apply(Sub, constant(1), constant(1));
  auto step = [](const std::string &name, const Expr &size) {
    return launch(name + ":", {size, constant(1), constant(1)}, {1, 1, 1}, 0,
                  {}, "", /*overlaps=*/1);
  };
  Spec spec = sample();
  spec.variants[1].steps = {
      step("first", constant(1)),  step("second", constant(1)),
      step("left_out", none),      step("third", constant(1)),
      step("fourth", constant(1)), fill(buffer(Workspace, 1), 5, constant(1)),
      step("fifth", constant(1))};
  Call call(spec);
  ready(call);
  ASSERT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
  std::istringstream log(stub_log());
  std::string overlapping;
  for (std::string line; std::getline(log, line);)
    if (line.find("overlapping") != std::string::npos)
      overlapping += line.substr(7, line.find(':') - 7) + " ";
  EXPECT_EQ(overlapping, "second fourth ");
}

TEST_F(LaunchTest, TwoDevices) {
  Spec spec = sample();
  spec.variants[1].exact = 0;
  spec.variants[1].kind = 0;
  spec.variants[1].capability = 80;
  spec.variants.erase(spec.variants.begin());
  Call first(spec, 0), second(spec, 1);
  ready(first);
  ready(second);
  stub_push_foreign();
  EXPECT_EQ(second.launch(), UNISPARSE_OK) << unisparse_last_message();
  EXPECT_NE(std::string(stub_log()).find("stream 7 on 1"), std::string::npos);
  EXPECT_EQ(std::string(stub_log()).find(" on 0"), std::string::npos);
  EXPECT_TRUE(stub_pop_foreign());
  stub_reset();
  EXPECT_EQ(first.launch(), UNISPARSE_OK) << unisparse_last_message();
  EXPECT_EQ(std::string(stub_log()).find(" on 1"), std::string::npos);
  // Facts are the device's own: 108 multiprocessors give 4 * 24 bytes less.
  EXPECT_EQ(first.workspaceBytes - second.workspaceBytes, 96u);
}

TEST_F(LaunchTest, Threads) {
  Call call(sample());
  ready(call);
  stub_config.keep_log = 0;
  std::vector<std::thread> threads;
  std::vector<std::string> messages(8);
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      Call mine(sample(), 1);
      for (int i = 0; i < 50; ++i) {
        if (unisparse_status status = call.launch())
          messages[t] = unisparse_status_name(status);
        // A failure of one thread is not seen by another.
        mine.inputs[0].sizes[3] = t;
        mine.prepare();
        std::string expected =
            "q.size(3): expected 64, got " + std::to_string(t);
        if (unisparse_last_message() != expected)
          messages[t] = unisparse_last_message();
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  for (const std::string &message : messages)
    EXPECT_EQ(message, "");
  EXPECT_EQ(stub_calls("cuLaunchKernel"), 8 * 50);
  EXPECT_EQ(stub_calls("cuLaunchKernelEx"), 8 * 50);
  EXPECT_EQ(stub_calls("cuCtxPushCurrent_v2"),
            stub_calls("cuCtxPopCurrent_v2"));
}

TEST_F(LaunchTest, Arguments) {
  Call call(sample());
  ready(call);
  unisparse_tensor *in = call.inputs.data(), *out = call.outputs.data();
  expectFailure(
      unisparse_program_launch(nullptr, in, 2, out, 2, nullptr, 0, nullptr),
      UNISPARSE_BAD_ARGUMENT, {"program", "null"});
  expectFailure(unisparse_program_launch(call.program, in, 3, out, 2, nullptr,
                                         0, nullptr),
                UNISPARSE_BAD_ARGUMENT, {"inputs", "expected 2", "got 3"});
  expectFailure(unisparse_program_launch(call.program, in, 2, out, 1, nullptr,
                                         0, nullptr),
                UNISPARSE_BAD_ARGUMENT, {"outputs", "expected 2", "got 1"});
  expectFailure(unisparse_program_launch(call.program, in, 2, nullptr, 2,
                                         nullptr, 0, nullptr),
                UNISPARSE_BAD_ARGUMENT, {"outputs", "null"});
  in[0].data = nullptr;
  expectRefused(call, UNISPARSE_BAD_ARGUMENT, {"input q", "null pointer"});
}

TEST_F(LaunchTest, Outputs) {
  Call call(sample());
  ready(call);
  call.outputs[0].element = UNISPARSE_F32;
  expectRefused(call, UNISPARSE_BAD_SHAPE, {"o: expected f16, got f32"});
  call.outputs[0].element = UNISPARSE_F16;
  call.outputs[1].sizes[2] = 255;
  expectRefused(call, UNISPARSE_BAD_SHAPE,
                {"lse.size(2): expected 256, got 255"});
  call.outputs[1].sizes[2] = 256;
  call.outputs[1].strides[1] = 512;
  expectRefused(call, UNISPARSE_BAD_SHAPE,
                {"lse.stride(1): expected 256 (contiguous), got 512"});
}

/// o with the caller's strides: maps and numbers of steps follow them.
TEST_F(LaunchTest, StridesOfOutputs) {
  Spec spec = sample();
  spec.outputs[0].layout = 1;
  Map o{buffer(Output, 0), 1, {constant(64), symbol(1)}, {}, {64, 64}, 3};
  o.strides = {apply(Mul, strideOfOutput(0, 2), constant(2))};
  spec.variants[1].steps = {
      launch("k:mpii", std::vector<Expr>(3, constant(1)), {1, 1, 1}, 0,
             {mapArgument(o), addressArgument(Output, 0),
              i64Argument(strideOfOutput(0, 1)),
              i32Argument(apply(Sub, strideOfOutput(0, 2), constant(1)))})};
  Call call(spec);
  ready(call);
  ASSERT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
  auto logged = [](const std::string &text) {
    return std::string(stub_log()).find(text) != std::string::npos;
  };
  EXPECT_TRUE(logged("(256 box 64 step 1) stride 128 ")) << stub_log();
  EXPECT_TRUE(logged("p:0x103000000 i:0x4000 i:0x3f")) << stub_log();
  // [B, L, H + 1, D].
  unisparse_tensor &given = call.outputs[0];
  given.strides[0] = 256 * 9 * 64;
  given.strides[1] = 64;
  given.strides[2] = 9 * 64;
  stub_reset();
  ASSERT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
  EXPECT_TRUE(logged("(256 box 64 step 1) stride 1152 ")) << stub_log();
  EXPECT_TRUE(logged("p:0x103000000 i:0x40 i:0x23f")) << stub_log();
  // Refused: pieces of no 16 bytes, gaps in rows, rows that share memory, and
  // what the steps cannot pass.
  stub_reset();
  given.strides[2] = 9 * 64 + 4;
  expectRefused(call, UNISPARSE_BAD_SHAPE,
                {"o.stride(2): expected a multiple of 8 (16 bytes), got 580"});
  given.strides[2] = 32;
  expectRefused(call, UNISPARSE_OVERLAP, {"o.stride(2)", "got 32"});
  given.strides[2] = 9 * 64;
  given.strides[3] = 2;
  expectRefused(call, UNISPARSE_BAD_SHAPE,
                {"o.stride(3): expected 1 (contiguous), got 2"});
  given.strides[3] = 1;
  given.strides[2] = int64_t(1) << 39;
  expectRefused(call, UNISPARSE_BAD_SHAPE, {"kernel \"k:mpii\"", "stride 0"});
  given.strides[2] = 9 * 64;
  // It reaches further than its elements' bytes.
  given.data = address(device0 + 0x1000000 - 16);
  expectRefused(call, UNISPARSE_OVERLAP, {"output o", "input q"});
}

TEST_F(LaunchTest, Workspace) {
  Call call(sample());
  ready(call);
  --call.workspaceBytes;
  expectRefused(call, UNISPARSE_SMALL_WORKSPACE,
                {"workspace", "at least 17168", "got 17167"});
  ++call.workspaceBytes;
  call.workspace += 128;
  expectRefused(call, UNISPARSE_BAD_ALIGNMENT,
                {"workspace", "multiple of 256", "0x105000080"});
  call.workspace = 0;
  expectRefused(call, UNISPARSE_BAD_ARGUMENT,
                {"workspace", "17168 bytes", "null pointer"});
}

TEST_F(LaunchTest, Alignment) {
  Call call(sample());
  ready(call);
  call.inputs[1].data = address(device0 + 0x2000008);
  expectRefused(call, UNISPARSE_BAD_ALIGNMENT,
                {"input k", "multiple of 16", "0x102000008"});
}

TEST_F(LaunchTest, Overlap) {
  Call call(sample());
  ready(call);
  unisparse_tensor &q = call.inputs[0], &o = call.outputs[0];
  void *apart = o.data;
  uint64_t bytes = 2 * 8 * 256 * 64 * 2;
  // The last bytes of q, then right behind it.
  o.data = address(device0 + 0x1000000 + bytes - 16);
  expectRefused(call, UNISPARSE_OVERLAP,
                {"output o", "input q", "0x101000000 with 524288 bytes"});
  o.data = address(device0 + 0x1000000 + bytes);
  EXPECT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
  stub_reset();
  // With strides q reaches further than its elements' bytes.
  q.strides[0] *= 2;
  expectRefused(call, UNISPARSE_OVERLAP, {"output o", "input q", "786432"});
  q.strides[0] /= 2;
  o.data = apart;
  call.outputs[1].data = o.data;
  expectRefused(call, UNISPARSE_OVERLAP, {"output lse", "output o"});
  call.outputs[1].data = address(device0 + 0x4000000);
  call.workspace = device0 + 0x2000000 - 256;
  expectRefused(call, UNISPARSE_OVERLAP, {"workspace", "input k"});
  call.workspace = device0 + 0x4000000;
  expectRefused(call, UNISPARSE_OVERLAP, {"workspace", "output lse"});
  // Inputs may share memory.
  call.workspace = device0 + 0x5000000;
  call.inputs[1].data = q.data;
  EXPECT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
}

/// Without an element there is no address, no overlap and no launch.
TEST_F(LaunchTest, Nothing) {
  Call call(sample());
  for (auto *tensors : {&call.inputs, &call.outputs})
    for (unisparse_tensor &tensor : *tensors) {
      tensor.sizes[0] = 0;
      tensor.data = address(3);
    }
  ready(call);
  ASSERT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
  EXPECT_STREQ(stub_log(),
               "fill 0x105000000 with 5, 25 words, stream 7 on 0\n");
}

TEST_F(LaunchTest, Memory) {
  Call call(sample());
  ready(call);
  unisparse_tensor &k = call.inputs[1];
  k.data = address(device1);
  expectRefused(call, UNISPARSE_WRONG_DEVICE,
                {"input k", "device 0", "memory of device 1", "0x200000000"});
  for (uint64_t host : {pinned, uint64_t(0x1000)}) {
    k.data = address(host);
    expectRefused(call, UNISPARSE_WRONG_DEVICE,
                  {"input k", "device 0", "memory of the host"});
  }
  k.data = address(managed);
  EXPECT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
  stub_reset();
  call.outputs[0].data = address(device1);
  expectRefused(call, UNISPARSE_WRONG_DEVICE, {"output o"});
  call.outputs[0].data = address(device0 + 0x3000000);
  call.workspace = device1;
  expectRefused(call, UNISPARSE_WRONG_DEVICE, {"workspace"});
}

/// Who knows whose memory it is asks the driver nothing; all else is as ever.
TEST_F(LaunchTest, KnownMemory) {
  Call call(sample());
  ready(call);
  auto launch = [&] {
    return unisparse_program_launch_known(
        call.program, call.inputs.data(), call.inputs.size(),
        call.outputs.data(), call.outputs.size(), address(call.workspace),
        call.workspaceBytes, address(call.stream));
  };
  ASSERT_EQ(call.launch(), UNISPARSE_OK) << unisparse_last_message();
  EXPECT_EQ(stub_calls("cuPointerGetAttributes"), 5);
  std::string log = stub_log();
  stub_reset();
  ASSERT_EQ(launch(), UNISPARSE_OK) << unisparse_last_message();
  EXPECT_EQ(stub_calls("cuPointerGetAttributes"), 0);
  EXPECT_EQ(stub_log(), log);
  stub_reset();
  call.inputs[1].data = address(0x101000008);
  expectFailure(launch(), UNISPARSE_BAD_ALIGNMENT, {"input k"});
  call.workspaceBytes = 0;
  expectFailure(launch(), UNISPARSE_SMALL_WORKSPACE, {"workspace"});
  EXPECT_STREQ(stub_log(), "");
}

TEST_F(LaunchTest, Limits) {
  Expr one = constant(1), none = apply(Sub, symbol(0), constant(2));
  auto expectStep = [&](const std::string &step,
                        const std::vector<std::string> &facts) {
    Spec spec = sample();
    // Behind a step that must not be enqueued either.
    spec.variants[1].steps.resize(1);
    spec.variants[1].steps.push_back(step);
    Call call(spec);
    call.workspaceBytes = 1 << 20;
    stub_reset();
    expectFailure(call.prepare(), UNISPARSE_BAD_SHAPE, facts);
    expectRefused(call, UNISPARSE_BAD_SHAPE, facts);
  };
  auto expectGrid = [&](const std::vector<Expr> &grid,
                        const std::vector<std::string> &facts) {
    expectStep(launch("k", grid, {1, 1, 1}, 0, {}), facts);
  };
  expectGrid({constant(int64_t(1) << 31), one, one},
             {"kernel \"k\"", "grid x", "2147483647", "got 2147483648"});
  expectGrid({one, constant(65536), one}, {"grid y", "65535", "got 65536"});
  expectGrid({one, one, constant(65536)}, {"grid z", "65535", "got 65536"});
  expectGrid({constant(-1), one, one}, {"grid x", "got -1"});
  expectGrid({apply(CeilDiv, one, none), one, one}, {"grid x", "divides by 0"});
  auto expectArgument = [&](const std::string &argument,
                            const std::vector<std::string> &facts) {
    expectStep(launch("k", {one, one, one}, {1, 1, 1}, 0, {argument}), facts);
  };
  expectArgument(i32Argument(constant(int64_t(1) << 31)),
                 {"kernel \"k\"", "argument 0", "32 bits", "got 2147483648"});
  expectArgument(i32Argument(constant(-(int64_t(1) << 31) - 1)),
                 {"argument 0", "got -2147483649"});
  expectArgument(i64Argument(apply(Mul, constant(INT64_MAX), symbol(0))),
                 {"argument 0", "overflows 64 bits"});
  auto expectMap = [&](const Expr &size, const Expr &stride,
                       const std::vector<std::string> &facts) {
    expectArgument(
        mapArgument(
            {buffer(Input, 0), 1, {constant(64), size}, {stride}, {64, 1}, 0}),
        facts);
  };
  expectMap(constant(0), constant(16), {"size 1", "1 to 2^32", "got 0"});
  expectMap(constant((int64_t(1) << 32) + 1), constant(16),
            {"size 1", "got 4294967297"});
  expectMap(one, constant(24), {"stride 0", "multiple of 16", "got 24"});
  expectMap(one, constant(int64_t(1) << 40), {"stride 0", "below 2^40"});
  expectMap(one, constant(-16), {"stride 0", "got -16"});
  expectMap(apply(FloorDiv, one, none), one, {"size 1", "divides by 0"});
  expectStep(fill(buffer(Workspace, 1), 0, constant(26)),
             {"fill of workspace buffer 1", "25 words", "got 26"});
  expectStep(fill(buffer(Output, 1), 0, constant(-1)),
             {"fill of output 1", "4096 words", "got -1"});
}

} // namespace
