//===- PlanTest.cpp - Launches of a plan, one by one and as a graph -------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Artifacts.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <thread>

using namespace unisparse::runtime;

namespace {

void *address(uint64_t value) { return reinterpret_cast<void *>(value); }

/// The lines that have, or have not, one of `words`.
std::string lines(const std::string &log, const std::vector<std::string> &words,
                  bool have) {
  std::istringstream in(log);
  std::string result;
  for (std::string line; std::getline(in, line);) {
    bool found = false;
    for (const std::string &word : words)
      found |= line.find(word) != std::string::npos;
    if (found == have)
      result += line + "\n";
  }
  return result;
}

/// What is enqueued, whoever enqueues it.
std::string work() { return lines(stub_log(), {"stream "}, true); }
bool hasGraph() { return !lines(stub_log(), {"graph of"}, true).empty(); }

/// A plan for the tensors of a call, and the launch of it.
struct Planned {
  explicit Planned(const Spec &spec = sample(), int device = 0)
      : Planned(std::make_unique<Call>(spec, device)) {}
  explicit Planned(std::unique_ptr<Call> of) : call(std::move(of)) {
    EXPECT_EQ(make(), UNISPARSE_OK) << unisparse_last_message();
  }
  ~Planned() { unisparse_plan_free(plan); }

  unisparse_status make() {
    // Plans look at no address.
    std::vector<unisparse_tensor> in = call->inputs, out = call->outputs;
    for (auto *tensors : {&in, &out})
      for (unisparse_tensor &tensor : *tensors)
        tensor.data = address(3);
    return unisparse_plan_make(call->program, in.data(), in.size(), out.data(),
                               out.size(), &plan);
  }

  unisparse_status launch(uint64_t stream = 7) {
    std::vector<void *> in, out;
    for (const unisparse_tensor &tensor : call->inputs)
      in.push_back(tensor.data);
    for (const unisparse_tensor &tensor : call->outputs)
      out.push_back(tensor.data);
    return unisparse_plan_launch(plan, in.data(), out.data(),
                                 address(call->workspace), address(stream));
  }

  /// With the log of this launch alone.
  void expectLaunch(bool asGraph, uint64_t stream = 7) {
    stub_reset();
    EXPECT_EQ(launch(stream), UNISPARSE_OK) << unisparse_last_message();
    EXPECT_EQ(hasGraph(), asGraph) << stub_log();
    EXPECT_EQ(stub_calls("cuPointerGetAttributes"), 0);
  }

  std::unique_ptr<Call> call;
  unisparse_plan *plan = nullptr;
};

class PlanTest : public RuntimeTest {
protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    unsetenv("UNISPARSE_GRAPHS");
  }
};

/// One by one at first, then as a graph: what a launch of the program enqueues.
TEST_F(PlanTest, SameWork) {
  Planned planned;
  ASSERT_EQ(planned.call->prepare(), UNISPARSE_OK);
  EXPECT_EQ(unisparse_plan_workspace(planned.plan),
            planned.call->workspaceBytes);
  stub_reset();
  ASSERT_EQ(planned.call->launch(), UNISPARSE_OK);
  std::string log = stub_log(), wanted = work();
  planned.expectLaunch(false);
  EXPECT_EQ(stub_log(), log);
  planned.expectLaunch(true);
  EXPECT_EQ(work(), wanted);
  EXPECT_EQ(lines(stub_log(), {"map "}, true), lines(log, {"map "}, true));
  // A graph that has these addresses is launched, and nothing else is done.
  long before = allocations;
  planned.expectLaunch(true);
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(lines(stub_log(), {"map ", "set "}, true), "");
  EXPECT_EQ(lines(work(), {" m:"}, false), lines(wanted, {" m:"}, false));
}

TEST_F(PlanTest, Addresses) {
  Planned planned;
  planned.expectLaunch(false);
  planned.expectLaunch(true);
  auto expectSet = [&](const std::vector<std::string> &nodes) {
    stub_reset();
    ASSERT_EQ(planned.call->prepare(), UNISPARSE_OK);
    ASSERT_EQ(planned.call->launch(), UNISPARSE_OK);
    std::string wanted = lines(work(), {" m:"}, false);
    planned.expectLaunch(true);
    EXPECT_EQ(lines(work(), {" m:"}, false), wanted);
    std::string set = lines(stub_log(), {"set node"}, true);
    size_t at = 0;
    for (const std::string &node : nodes)
      at = set.find("set node " + node, at);
    EXPECT_NE(at, std::string::npos) << set;
    EXPECT_EQ(std::count(set.begin(), set.end(), '\n'), long(nodes.size()))
        << set;
  };
  expectSet({});
  // q is in a map, k an address of the first launch.
  planned.call->inputs[0].data = address(device0 + 0x6000000);
  expectSet({"2: launch attend"});
  EXPECT_EQ(lines(stub_log(), {"map "}, true),
            "map 0x106000000 type 6 (64 box 64 step 1) (256 box 128 step 1) "
            "stride 128 interleave 0 swizzle 3 l2 3 fill 0\n");
  planned.call->inputs[1].data = address(device0 + 0x7000000);
  expectSet({"1: launch score"});
  planned.call->outputs[1].data = address(device0 + 0x8000000);
  expectSet({"2: launch attend", "3: fill 0x108000000"});
  planned.call->workspace += 0x1000;
  expectSet({"0: fill 0x105005000", "1: launch score", "2: launch attend"});
  planned.call->inputs[0].data = planned.call->inputs[1].data =
      address(device0);
  planned.call->outputs[0].data = address(device0 + 0x9000000);
  expectSet({"1: launch score", "2: launch attend"});
  expectSet({});
}

/// They are checked as those of a launch, whose messages they get.
TEST_F(PlanTest, RefusedAddresses) {
  Planned planned;
  for (int i = 0; i < 3; ++i) {
    stub_reset();
    Call &call = *planned.call;
    void *k = call.inputs[1].data;
    call.inputs[1].data = nullptr;
    expectFailure(planned.launch(), UNISPARSE_BAD_ARGUMENT,
                  {"input k", "null pointer"});
    call.inputs[1].data = address(device0 + 0x2000008);
    expectFailure(planned.launch(), UNISPARSE_BAD_ALIGNMENT,
                  {"input k", "multiple of 16", "0x102000008"});
    call.inputs[1].data = call.outputs[0].data;
    expectFailure(planned.launch(), UNISPARSE_OVERLAP, {"output o", "input k"});
    call.inputs[1].data = k;
    call.workspace += 128;
    expectFailure(planned.launch(), UNISPARSE_BAD_ALIGNMENT, {"workspace"});
    call.workspace -= 128;
    EXPECT_STREQ(stub_log(), "");
    planned.expectLaunch(i > 0);
  }
}

TEST_F(PlanTest, Arguments) {
  Call call(sample());
  unisparse_tensor *in = call.inputs.data(), *out = call.outputs.data();
  unisparse_plan *plan = nullptr;
  auto expectBad = [&](unisparse_status status,
                       const std::vector<std::string> &facts) {
    expectFailure(status, UNISPARSE_BAD_ARGUMENT, facts);
    EXPECT_EQ(plan, nullptr);
  };
  expectBad(unisparse_plan_make(nullptr, in, 2, out, 2, &plan),
            {"program", "null"});
  expectBad(unisparse_plan_make(call.program, in, 2, out, 2, nullptr),
            {"plan", "null"});
  expectBad(unisparse_plan_make(call.program, in, 3, out, 2, &plan),
            {"inputs", "expected 2", "got 3"});
  expectBad(unisparse_plan_make(call.program, nullptr, 2, out, 2, &plan),
            {"inputs", "null"});
  expectBad(unisparse_plan_make(call.program, in, 2, out, 1, &plan),
            {"outputs", "expected 2", "got 1"});
  expectBad(unisparse_plan_make(call.program, in, 2, nullptr, 2, &plan),
            {"outputs", "null"});
  out[1].sizes[2] = 255;
  expectFailure(unisparse_plan_make(call.program, in, 2, out, 2, &plan),
                UNISPARSE_BAD_SHAPE, {"lse.size(2): expected 256, got 255"});
  in[0].sizes[3] = 63;
  expectFailure(unisparse_plan_make(call.program, in, 2, out, 2, &plan),
                UNISPARSE_BAD_SHAPE, {"q.size(3): expected 64, got 63"});
  EXPECT_EQ(plan, nullptr);
  EXPECT_EQ(unisparse_plan_workspace(nullptr), 0u);
  unisparse_plan_free(nullptr);
  Planned planned;
  void *some[2] = {};
  expectFailure(unisparse_plan_launch(nullptr, some, some, nullptr, nullptr),
                UNISPARSE_BAD_ARGUMENT, {"plan", "null"});
  expectFailure(
      unisparse_plan_launch(planned.plan, nullptr, some, nullptr, nullptr),
      UNISPARSE_BAD_ARGUMENT, {"inputs", "expected 2 addresses", "null"});
  expectFailure(
      unisparse_plan_launch(planned.plan, some, nullptr, nullptr, nullptr),
      UNISPARSE_BAD_ARGUMENT, {"outputs", "expected 2 addresses", "null"});
}

/// Grids and numbers that no launch takes are no plan's either.
TEST_F(PlanTest, Limits) {
  Spec spec = sample();
  Expr one = constant(1);
  spec.variants[1].steps = {
      launch("k", {one, constant(65536), one}, {1, 1, 1}, 0, {})};
  Call call(spec);
  unisparse_plan *plan = nullptr;
  expectFailure(unisparse_plan_make(call.program, call.inputs.data(), 2,
                                    call.outputs.data(), 2, &plan),
                UNISPARSE_BAD_SHAPE, {"grid y", "65535", "got 65536"});
}

/// What is captured are kernels, as they are without plans.
TEST_F(PlanTest, Captured) {
  Planned planned;
  planned.expectLaunch(false);
  for (int status : {1, 2}) {
    stub_reset();
    stub_config.captured = status;
    ASSERT_EQ(planned.launch(), UNISPARSE_OK) << unisparse_last_message();
    EXPECT_FALSE(hasGraph());
    EXPECT_EQ(stub_calls("cuGraphCreate"), 0);
  }
  planned.expectLaunch(true);
  stub_reset();
  stub_config.captured = 1;
  ASSERT_EQ(planned.launch(), UNISPARSE_OK);
  EXPECT_FALSE(hasGraph());
  stub_reset();
  stub_fail("cuStreamIsCapturing", 0, 906);
  ASSERT_EQ(planned.launch(), UNISPARSE_OK);
  EXPECT_FALSE(hasGraph());
  planned.expectLaunch(true);
}

/// One that two streams launch would run on one after the other.
TEST_F(PlanTest, Streams) {
  Planned planned;
  for (uint64_t stream = 0; stream < 4; ++stream) {
    planned.expectLaunch(false, stream);
    planned.expectLaunch(true, stream);
    EXPECT_EQ(stub_calls("cuGraphInstantiateWithFlags"), 1);
    EXPECT_EQ(stub_live_graphs(), 2 * int(stream + 1));
  }
  for (int i = 0; i < 3; ++i)
    planned.expectLaunch(false, 9);
  for (uint64_t stream = 0; stream < 4; ++stream) {
    planned.expectLaunch(true, stream);
    EXPECT_EQ(stub_calls("cuGraphInstantiateWithFlags"), 0);
  }
}

/// What is left out of a launch is no node, and what overlaps in the one does
/// in the other.
TEST_F(PlanTest, Overlaps) {
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
      step("fifth", constant(1)),  fill(buffer(Workspace, 1), 5, constant(0)),
      step("sixth", constant(1)),  step("seventh", constant(1))};
  Planned planned(spec);
  planned.expectLaunch(false);
  std::string wanted = work();
  planned.expectLaunch(true);
  EXPECT_EQ(work(), wanted);
  EXPECT_EQ(stub_calls("cuGraphAddDependencies_v2"), 3);
  EXPECT_NE(std::string(stub_log()).find("graph of 8\n"), std::string::npos);
}

/// Without a step there is no graph.
TEST_F(PlanTest, Nothing) {
  Spec spec = sample();
  spec.variants[1].steps = {
      launch("k:", {symbol(0), constant(1), constant(1)}, {1, 1, 1}, 0, {})};
  auto call = std::make_unique<Call>(spec);
  for (auto *tensors : {&call->inputs, &call->outputs})
    for (unisparse_tensor &tensor : *tensors)
      tensor.sizes[0] = 0;
  Planned planned(std::move(call));
  for (int i = 0; i < 3; ++i) {
    planned.expectLaunch(false);
    EXPECT_STREQ(stub_log(), "");
  }
}

/// Whatever fails while a graph is made or set, the work is done one by one,
/// for good, and nothing is left of the graph.
TEST_F(PlanTest, EveryFunctionOfAGraph) {
  for (const char *function :
       {"cuGraphCreate", "cuGraphAddKernelNode_v2", "cuGraphAddMemsetNode",
        "cuGraphAddDependencies_v2", "cuGraphInstantiateWithFlags",
        "cuGraphExecKernelNodeSetParams_v2", "cuGraphExecMemsetNodeSetParams",
        "cuTensorMapEncodeTiled", "cuThreadExchangeStreamCaptureMode"}) {
    SCOPED_TRACE(function);
    std::string message = unisparse_last_message();
    int failures = 0;
    for (bool failed = true; failed; failures += failed) {
      Planned planned;
      planned.expectLaunch(false);
      std::string wanted = lines(work(), {" m:"}, false);
      stub_reset();
      stub_fail(function, failures, 700);
      ASSERT_EQ(planned.launch(), UNISPARSE_OK) << unisparse_last_message();
      if (!stub_failed()) { // In the next one's, then, which sets all nodes.
        EXPECT_TRUE(hasGraph());
        for (unisparse_tensor *tensor :
             {&planned.call->inputs[0], &planned.call->inputs[1],
              &planned.call->outputs[0], &planned.call->outputs[1]})
          tensor->data = static_cast<char *>(tensor->data) + 0x100000;
        planned.call->workspace += 0x100000;
        int before = stub_calls(function);
        stub_fail(function, failures - before, 700);
        ASSERT_EQ(planned.launch(), UNISPARSE_OK) << unisparse_last_message();
      }
      failed = stub_failed();
      if (failed &&
          std::string(function) != "cuThreadExchangeStreamCaptureMode") {
        EXPECT_EQ(stub_live_graphs(), 0);
        EXPECT_EQ(unisparse_last_message(), message);
        planned.expectLaunch(false);
        planned.expectLaunch(false);
        EXPECT_EQ(stub_calls("cuGraphCreate"), 0);
      }
    }
    EXPECT_GT(failures, 0);
  }
}

/// Freeing gives back all that it can.
TEST_F(PlanTest, EveryFunctionOfFreeing) {
  for (const char *function :
       {"cuGraphExecDestroy", "cuGraphDestroy", "cuCtxPushCurrent_v2",
        "cuCtxPopCurrent_v2", "cuThreadExchangeStreamCaptureMode"}) {
    SCOPED_TRACE(function);
    auto planned = std::make_unique<Planned>();
    planned->expectLaunch(false);
    planned->expectLaunch(true);
    stub_push_foreign();
    stub_fail(function, 0, 700);
    planned.reset();
    EXPECT_TRUE(stub_failed());
    EXPECT_TRUE(stub_pop_foreign());
    EXPECT_EQ(stub_live_graphs(), 0);
    EXPECT_EQ(stub_live_modules(), 0);
  }
}

/// What the launch itself fails with is said, in either way.
TEST_F(PlanTest, FailingLaunches) {
  Planned planned;
  stub_fail("cuLaunchKernelEx", 0, 700);
  expectFailure(planned.launch(), UNISPARSE_DRIVER_ERROR,
                {"cuLaunchKernelEx", "kernel \"attend:mmpp\"", "700"});
  stub_push_foreign();
  for (const char *function :
       {"cuGraphLaunch", "cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2"}) {
    std::string name = function;
    stub_fail(function, 0, 700);
    expectFailure(planned.launch(), UNISPARSE_DRIVER_ERROR,
                  {name.substr(0, name.find("_v2")), "CUDA_ERROR_OF_THE_STUB",
                   name == "cuGraphLaunch" ? "in 4 steps" : "device 0"});
  }
  EXPECT_TRUE(stub_pop_foreign());
  planned.expectLaunch(true); // A launch that failed is no graph that did.
}

TEST_F(PlanTest, Threads) {
  Planned planned;
  stub_config.keep_log = 0;
  std::vector<std::thread> threads;
  std::vector<std::string> messages(8);
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      std::vector<void *> in, out;
      for (const unisparse_tensor &tensor : planned.call->inputs)
        in.push_back(tensor.data);
      for (const unisparse_tensor &tensor : planned.call->outputs)
        out.push_back(static_cast<char *>(tensor.data) + 256 * t);
      for (int i = 0; i < 200; ++i)
        if (unisparse_plan_launch(planned.plan, in.data(), out.data(),
                                  address(planned.call->workspace),
                                  address(t % 3)))
          messages[t] = unisparse_last_message();
    });
  for (std::thread &thread : threads)
    thread.join();
  for (const std::string &message : messages)
    EXPECT_EQ(message, "");
  EXPECT_EQ(stub_calls("cuGraphLaunch") + stub_calls("cuLaunchKernelEx"),
            8 * 200);
  EXPECT_GT(stub_calls("cuGraphLaunch"), 0);
  EXPECT_EQ(stub_calls("cuCtxPushCurrent_v2"),
            stub_calls("cuCtxPopCurrent_v2"));
}

/// The program is unloaded with its last plan.
TEST_F(PlanTest, OutlivesItsProgram) {
  for (bool graph : {false, true}) {
    Planned planned;
    unisparse_program_free(planned.call->program);
    planned.call->program = nullptr;
    EXPECT_EQ(stub_live_modules(), 1);
    planned.expectLaunch(false);
    if (graph)
      planned.expectLaunch(true);
    unisparse_plan_free(planned.plan);
    planned.plan = nullptr;
    EXPECT_EQ(stub_live_modules(), 0);
    EXPECT_EQ(stub_live_graphs(), 0);
    EXPECT_EQ(stub_live_contexts(), 0);
  }
}

/// Of a program, so many graphs live at a time.
TEST_F(PlanTest, MostGraphs) {
  Spec spec = sample();
  spec.variants[1].steps.resize(1);
  Planned first(spec);
  std::vector<unisparse_plan *> plans;
  for (int i = 0; i < 257; ++i) {
    first.expectLaunch(false);
    first.expectLaunch(i < 256);
    plans.push_back(std::exchange(first.plan, nullptr));
    ASSERT_EQ(first.make(), UNISPARSE_OK);
  }
  EXPECT_EQ(stub_live_graphs(), 2 * 256);
  first.expectLaunch(false);
  first.expectLaunch(false);
  for (unisparse_plan *plan : plans)
    unisparse_plan_free(plan);
  first.expectLaunch(true);
}

TEST_F(PlanTest, WithoutGraphs) {
  for (const char *value : {"0", "1", ""}) {
    setenv("UNISPARSE_GRAPHS", value, 1);
    Planned planned;
    planned.expectLaunch(false);
    planned.expectLaunch(value != std::string("0"));
  }
  unsetenv("UNISPARSE_GRAPHS");
}

/// A driver that has no graphs, or not all that they take.
[[noreturn]] void launchTwiceAndExit() {
  setenv("UNISPARSE_LIBCUDA", OLD_STUB_DRIVER, 1);
  unisparse_artifact *artifact = read(sample().bytes());
  unisparse_program *program = nullptr;
  unisparse_plan *plan = nullptr;
  unisparse_tensor in[] = {tensor(0, UNISPARSE_F16, {2, 8, 256, 64}),
                           tensor(0, UNISPARSE_F16, {2, 2, 256, 64})};
  unisparse_tensor out[] = {tensor(0, UNISPARSE_F16, {2, 8, 256, 64}),
                            tensor(0, UNISPARSE_F32, {2, 8, 256})};
  int status = unisparse_program_load(artifact, 1, &program);
  status += unisparse_plan_make(program, in, 2, out, 2, &plan);
  void *inputs[] = {address(device1), address(device1)};
  void *outputs[] = {address(device1 + 0x1000000),
                     address(device1 + 0x2000000)};
  for (int i = 0; i < 3; ++i)
    status += unisparse_plan_launch(plan, inputs, outputs, nullptr, nullptr);
  fprintf(stderr, "%s.", unisparse_last_message());
  unisparse_plan_free(plan);
  unisparse_program_free(program);
  unisparse_artifact_free(artifact);
  exit(status);
}

TEST_F(PlanTest, AnOldDriver) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(launchTwiceAndExit(), testing::ExitedWithCode(0), "^\\.$");
}

/// Without memory of the host there is no plan, and no graph.
TEST_F(PlanTest, NoMemory) {
  Planned planned;
  unisparse_plan *kept = std::exchange(planned.plan, nullptr);
  int failures = 0;
  for (;; ++failures) {
    allocationsUntilFailure = failures;
    std::vector<unisparse_tensor> &in = planned.call->inputs,
                                  &out = planned.call->outputs;
    unisparse_status status =
        unisparse_plan_make(planned.call->program, in.data(), in.size(),
                            out.data(), out.size(), &planned.plan);
    allocationsUntilFailure = -1;
    if (status == UNISPARSE_OK)
      break;
    expectFailure(status, UNISPARSE_NO_MEMORY, {"no memory"});
    EXPECT_EQ(planned.plan, nullptr);
  }
  EXPECT_GT(failures, 3);
  unisparse_plan_free(kept);
  std::vector<void *> in{planned.call->inputs[0].data,
                         planned.call->inputs[1].data},
      out{planned.call->outputs[0].data, planned.call->outputs[1].data};
  for (int i = 0; i < 2; ++i) {
    planned.expectLaunch(false);
    stub_reset();
    allocationsUntilFailure = i;
    unisparse_status status =
        unisparse_plan_launch(planned.plan, in.data(), out.data(),
                              address(planned.call->workspace), address(7));
    allocationsUntilFailure = -1;
    EXPECT_EQ(status, UNISPARSE_OK) << unisparse_last_message();
    EXPECT_FALSE(hasGraph());
    unisparse_plan_free(std::exchange(planned.plan, nullptr));
    ASSERT_EQ(planned.make(), UNISPARSE_OK);
  }
}

} // namespace
