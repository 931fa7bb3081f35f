//===- DeviceTest.cpp - The runtime on a GPU, where there is one
//------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Artifacts.h"

#include <algorithm>
#include <cstring>
#include <dlfcn.h>

using namespace unisparse::runtime;

namespace {

/// y = x * factor + offset over n elements; then the first 4x16 of y, through a
/// tensor map, into tile.
const char *const kernels = R"(
.version 8.0
.target sm_90
.address_size 64
.visible .entry scale(.param .u64 x, .param .u64 y, .param .u32 n, .param .u64 offset, .param .f32 factor) {
  .reg .pred %p; .reg .b32 %r<6>; .reg .b64 %d<6>; .reg .f32 %f<4>;
  mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;
  mad.lo.u32 %r4, %r1, %r2, %r3;
  ld.param.u32 %r5, [n];
  setp.ge.u32 %p, %r4, %r5;
  @%p ret;
  ld.param.u64 %d1, [x]; ld.param.u64 %d2, [y]; ld.param.u64 %d3, [offset]; ld.param.f32 %f1, [factor];
  mul.wide.u32 %d4, %r4, 4;
  add.u64 %d1, %d1, %d4; add.u64 %d2, %d2, %d4;
  ld.global.f32 %f2, [%d1];
  cvt.rn.f32.s64 %f3, %d3;
  fma.rn.f32 %f2, %f2, %f1, %f3;
  st.global.f32 [%d2], %f2;
  ret;
}
.extern .shared .align 128 .b8 memory[];
.visible .entry tile(.param .align 64 .b8 map[128], .param .u64 out) {
  .reg .pred %p; .reg .b32 %r<6>; .reg .b64 %d<6>; .reg .f32 %f<2>;
  .shared .align 8 .b64 barrier;
  griddepcontrol.wait;
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, barrier;
  mov.u32 %r3, memory;
  mov.b64 %d1, map;
  cvta.param.u64 %d1, %d1;
  setp.ne.u32 %p, %r1, 0;
  @%p bra WAIT;
  mbarrier.init.shared::cta.b64 [%r2], 1;
  fence.proxy.async;
  mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 256;
  mov.u32 %r4, 0;
  cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r3], [%d1, {%r4, %r4}], [%r2];
WAIT:
  bar.sync 0;
LOOP:
  mbarrier.try_wait.parity.shared::cta.b64 %p, [%r2], 0;
  @!%p bra LOOP;
  shl.b32 %r4, %r1, 2;
  add.u32 %r3, %r3, %r4;
  ld.shared.f32 %f1, [%r3];
  ld.param.u64 %d2, [out];
  mul.wide.u32 %d3, %r1, 4;
  add.u64 %d2, %d2, %d3;
  st.global.f32 [%d2], %f1;
  ret;
}
)";

Spec program() {
  Expr elements = apply(Mul, symbol(0), constant(16));
  Map map{buffer(Output, 0), 0,       {constant(16), symbol(0)},
          {constant(64)},    {16, 4}, 0};
  std::vector<Expr> one(3, constant(1));
  Spec spec;
  spec.symbols = {"x.size(0)"};
  spec.inputs = {{"x", 0, {-1, 16}, 0}};
  spec.outputs = {{"y", 0, {symbol(0), constant(16)}},
                  {"tile", 0, {constant(4), constant(16)}},
                  {"filled", 3, {constant(8)}}};
  VariantSpec variant{"sm_90", 90, 0, 0, 12000, kernels, {}, {}};
  variant.buffers = {constant(1000)};
  variant.steps = {
      fill(buffer(Output, 2), 77, constant(7)),
      fill(buffer(Workspace, 0), 1, constant(250)),
      launch("scale", {apply(CeilDiv, elements, constant(128)), one[1], one[2]},
             {128, 1, 1}, 0,
             {addressArgument(Input, 0), addressArgument(Output, 0),
              i32Argument(elements), i64Argument(constant(-3)),
              f32Argument(0.5f)}),
      // More than the 48 KiB that a kernel may have without asking.
      launch("tile", one, {64, 1, 1}, 100000,
             {mapArgument(map), addressArgument(Output, 1)}, "",
             /*overlaps=*/1)};
  spec.variants = {variant};
  return spec;
}

/// What a test does with the driver beside the runtime.
template <typename Function>
Function *find(const char *name) {
  static void *library = dlopen("libcuda.so.1", RTLD_NOW);
  void *symbol = library ? dlsym(library, name) : nullptr;
  EXPECT_NE(symbol, nullptr) << name;
  return reinterpret_cast<Function *>(symbol);
}

template <typename... Arguments>
void cu(const char *name, Arguments... arguments) {
  EXPECT_EQ(find<int(Arguments...)>(name)(arguments...), 0) << name;
}

class DeviceTest : public testing::Test {
protected:
  void SetUp() override {
    unisparse_artifact *artifact = read(program().bytes());
    unisparse_status status = unisparse_program_load(artifact, 0, &loaded);
    unisparse_artifact_free(artifact);
    if (status == UNISPARSE_NO_DRIVER || status == UNISPARSE_NO_DEVICE ||
        status == UNISPARSE_BAD_CHIP)
      GTEST_SKIP() << unisparse_last_message();
    ASSERT_EQ(status, UNISPARSE_OK) << unisparse_last_message();
    cu("cuDevicePrimaryCtxRetain", &context, 0);
    cu("cuCtxPushCurrent_v2", context);
    cu("cuStreamCreate", &stream, 1u);
    input = tensor(allocate(100 * 64), UNISPARSE_F32, {100, 16});
    std::vector<float> values(1600);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(i);
    cu("cuMemcpyHtoD_v2", address(input.data), (const void *)values.data(),
       values.size() * 4);
    size_t bytes = 0;
    ASSERT_EQ(unisparse_program_prepare(loaded, &input, 1, outputs, 3, &bytes),
              UNISPARSE_OK)
        << unisparse_last_message();
    EXPECT_EQ(bytes, 1000u);
    for (unisparse_tensor &output : outputs)
      output.data = reinterpret_cast<void *>(allocate(100 * 64));
    workspace = reinterpret_cast<void *>(allocate(bytes));
  }

  void TearDown() override {
    for (unsigned long long memory : allocated)
      cu("cuMemFree_v2", memory);
    if (context) {
      void *popped;
      cu("cuStreamDestroy_v2", stream);
      cu("cuCtxPopCurrent_v2", &popped);
      EXPECT_EQ(popped, context);
      cu("cuDevicePrimaryCtxRelease_v2", 0);
    }
    unisparse_program_free(loaded);
  }

  static unsigned long long address(void *data) {
    return reinterpret_cast<uintptr_t>(data);
  }

  unsigned long long allocate(size_t bytes) {
    unsigned long long memory = 0;
    cu("cuMemAlloc_v2", &memory, bytes);
    allocated.push_back(memory);
    return memory;
  }

  unisparse_status launch() {
    return unisparse_program_launch(loaded, &input, 1, outputs, 3, workspace,
                                    1000, stream);
  }

  void expectResults() {
    std::vector<float> y(1600), tile(64);
    std::vector<int32_t> filled(8);
    cu("cuStreamSynchronize", stream);
    cu("cuMemcpyDtoH_v2", (void *)y.data(), address(outputs[0].data),
       y.size() * 4);
    cu("cuMemcpyDtoH_v2", (void *)tile.data(), address(outputs[1].data),
       tile.size() * 4);
    cu("cuMemcpyDtoH_v2", (void *)filled.data(), address(outputs[2].data),
       filled.size() * 4);
    for (size_t i = 0; i < y.size(); ++i)
      ASSERT_EQ(y[i], static_cast<float>(i) * 0.5f - 3) << i;
    for (size_t i = 0; i < tile.size(); ++i)
      ASSERT_EQ(tile[i], y[i]) << i;
    for (int i = 0; i < 7; ++i)
      ASSERT_EQ(filled[i], 77) << i;
    // As they were, for another launch to write.
    for (unisparse_tensor &output : outputs)
      cu("cuMemsetD32_v2", address(output.data), 0u, size_t(8));
    cu("cuCtxSynchronize"); // The stream waits for no other.
  }

  unisparse_program *loaded = nullptr;
  void *context = nullptr, *stream = nullptr;
  unisparse_tensor input, outputs[3] = {};
  void *workspace = nullptr;
  std::vector<unsigned long long> allocated;
};

TEST_F(DeviceTest, Launch) {
  ASSERT_EQ(launch(), UNISPARSE_OK) << unisparse_last_message();
  expectResults();
}

TEST_F(DeviceTest, Graph) {
  void *graph = nullptr, *executable = nullptr;
  cu("cuStreamBeginCapture_v2", stream, 0); // the strictest mode
  unisparse_status status = launch();
  std::string message = unisparse_last_message();
  cu("cuStreamEndCapture", stream, &graph);
  ASSERT_EQ(status, UNISPARSE_OK) << message;
  cu("cuGraphInstantiateWithFlags", &executable, graph, 0ull);
  for (int i = 0; i < 3; ++i) {
    cu("cuGraphLaunch", executable, stream);
    expectResults();
  }
  cu("cuGraphExecDestroy", executable);
  cu("cuGraphDestroy", graph);
}

/// One by one, then as the plan's graph: at addresses that change and that do
/// not, all at once and each waited for, on two streams, and captured.
TEST_F(DeviceTest, Plan) {
  unisparse_plan *plan = nullptr;
  ASSERT_EQ(unisparse_plan_make(loaded, &input, 1, outputs, 3, &plan),
            UNISPARSE_OK)
      << unisparse_last_message();
  EXPECT_EQ(unisparse_plan_workspace(plan), 1000u);
  void *first = stream, *second = nullptr, *old = input.data;
  cu("cuStreamCreate", &second, 1u);
  auto launch = [&] {
    void *out[] = {outputs[0].data, outputs[1].data, outputs[2].data};
    EXPECT_EQ(unisparse_plan_launch(plan, &input.data, out, workspace, stream),
              UNISPARSE_OK)
        << unisparse_last_message();
  };
  auto move = [&] {
    input.data = reinterpret_cast<void *>(allocate(100 * 64));
    cu("cuMemcpyDtoD_v2", address(input.data), address(old), size_t(6400));
    for (unisparse_tensor &output : outputs)
      output.data = reinterpret_cast<void *>(allocate(100 * 64));
    workspace = reinterpret_cast<void *>(allocate(1000));
  };
  for (void *current : {first, second, first}) {
    stream = current;
    for (int i = 0; i < 8; ++i) {
      launch();
      expectResults();
      if (i % 2)
        move();
    }
  }
  // A launch does not change what those before it were given.
  std::vector<std::vector<unisparse_tensor>> given;
  for (int i = 0; i < 8; ++i) {
    move();
    given.emplace_back(outputs, outputs + 3);
  }
  for (int i = 0; i < 40; ++i) {
    std::copy(given[i % 8].begin(), given[i % 8].end(), outputs);
    launch();
  }
  for (const std::vector<unisparse_tensor> &each : given) {
    std::copy(each.begin(), each.end(), outputs);
    expectResults();
  }
  void *graph = nullptr, *executable = nullptr;
  cu("cuStreamBeginCapture_v2", stream, 0);
  launch();
  cu("cuStreamEndCapture", stream, &graph);
  cu("cuGraphInstantiateWithFlags", &executable, graph, 0ull);
  launch(); // The plan's own graph is another.
  expectResults();
  cu("cuGraphLaunch", executable, stream);
  expectResults();
  cu("cuGraphExecDestroy", executable);
  cu("cuGraphDestroy", graph);
  // One that is made while another stream is being captured, in the mode that
  // allows least, leaves the capture alone.
  unisparse_plan_free(std::exchange(plan, nullptr));
  ASSERT_EQ(unisparse_plan_make(loaded, &input, 1, outputs, 3, &plan),
            UNISPARSE_OK);
  cu("cuStreamBeginCapture_v2", second, 0);
  for (int i = 0; i < 3; ++i)
    launch();
  unisparse_plan_free(plan); // which runs, perhaps
  cu("cuStreamEndCapture", second, &graph);
  cu("cuGraphDestroy", graph);
  expectResults();
  cu("cuStreamDestroy_v2", second);
}

TEST_F(DeviceTest, Memory) {
  void *data = input.data, *host = nullptr;
  std::vector<char> heap(6400 + 16);
  input.data = reinterpret_cast<void *>((address(heap.data()) + 15) / 16 * 16);
  expectFailure(launch(), UNISPARSE_WRONG_DEVICE, {"input x", "of the host"});
  cu("cuMemHostAlloc", &host, size_t(6400), 0u);
  input.data = host;
  expectFailure(launch(), UNISPARSE_WRONG_DEVICE, {"input x", "of the host"});
  cu("cuMemFreeHost", host);
  unsigned long long shared = 0;
  cu("cuMemAllocManaged", &shared, size_t(6400), 1u);
  allocated.push_back(shared);
  input.data = reinterpret_cast<void *>(shared);
  std::vector<float> values(1600);
  cu("cuMemcpyDtoH_v2", (void *)values.data(), address(data), size_t(6400));
  std::memcpy(input.data, values.data(), 6400);
  ASSERT_EQ(launch(), UNISPARSE_OK) << unisparse_last_message();
  expectResults();
}

TEST_F(DeviceTest, BadKernels) {
  Spec spec = program();
  spec.variants[0].image = ".version 8.0\n.target sm_90\nnonsense\n";
  unisparse_artifact *artifact = read(spec.bytes());
  unisparse_program *bad = nullptr;
  expectFailure(unisparse_program_load(artifact, 0, &bad),
                UNISPARSE_BAD_ARTIFACT,
                {"cuModuleLoadDataEx", "ptxas", "CUDA_ERROR_INVALID_PTX"});
  unisparse_artifact_free(artifact);
  spec.variants[0].image = ".version 99.0\n.target sm_90\n";
  artifact = read(spec.bytes());
  expectFailure(unisparse_program_load(artifact, 0, &bad), UNISPARSE_OLD_DRIVER,
                {"12.0 or newer", "got one of CUDA"});
  unisparse_artifact_free(artifact);
}

} // namespace
