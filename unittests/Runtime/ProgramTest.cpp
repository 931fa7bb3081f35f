//===- ProgramTest.cpp - Choosing and loading kernels
//-----------------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Artifacts.h"

using namespace unisparse::runtime;

namespace {

class ProgramTest : public RuntimeTest {
protected:
  unisparse_status load(const Spec &spec, int device = 0) {
    unisparse_artifact *artifact = read(spec.bytes());
    unisparse_program *program = nullptr;
    unisparse_status status =
        unisparse_program_load(artifact, device, &program);
    EXPECT_EQ(status == UNISPARSE_OK, program != nullptr);
    chip = program ? unisparse_program_chip(program) : "";
    unisparse_program_free(program);
    unisparse_artifact_free(artifact);
    return status;
  }

  /// The chip that a device of `capability` gets.
  std::string choose(const Spec &spec, int capability) {
    stub_config.capabilities[0] = capability;
    return load(spec) == UNISPARSE_OK ? chip : "";
  }

  std::string chip;
};

TEST_F(ProgramTest, Load) {
  ASSERT_EQ(load(sample()), UNISPARSE_OK) << unisparse_last_message();
  EXPECT_EQ(chip, "sm_90a");
  EXPECT_STREQ(stub_log(), "load \"machine code\" on 0\n"
                           "attribute 8 of attend:mmpp = 100000\n");
  stub_reset();
  ASSERT_EQ(load(sample(), 1), UNISPARSE_OK) << unisparse_last_message();
  EXPECT_EQ(chip, "sm_80");
  EXPECT_STREQ(stub_log(), "load \"some PTX\" on 1\n");
}

/// The order of docs/Artifact.md: exact, machine code, highest capability.
TEST_F(ProgramTest, Choice) {
  Spec spec = sample();
  VariantSpec one = spec.variants[0];
  spec.variants.clear();
  auto add = [&](const char *name, uint32_t capability, bool exact,
                 bool machineCode) {
    one.chip = name;
    one.capability = capability;
    one.exact = exact;
    one.kind = machineCode;
    spec.variants.push_back(one);
  };
  add("ptx75", 75, false, false);
  add("ptx80", 80, false, false);
  add("code80", 80, false, true);
  add("code86", 86, false, true);
  add("exact90", 90, true, false);
  add("code90", 90, false, true);
  EXPECT_EQ(choose(spec, 70), "");
  EXPECT_EQ(choose(spec, 75), "ptx75");
  EXPECT_EQ(choose(spec, 80), "code80");
  EXPECT_EQ(choose(spec, 89), "code86");
  EXPECT_EQ(choose(spec, 90), "exact90");
  EXPECT_EQ(choose(spec, 91), "code90");
  EXPECT_EQ(choose(spec, 100), "ptx80");
}

TEST_F(ProgramTest, BadChip) {
  stub_config.capabilities[1] = 75;
  expectFailure(load(sample(), 1), UNISPARSE_BAD_CHIP,
                {"device 1", "sm_80 (PTX, 8.0 or newer)",
                 "sm_90a (machine code, 9.0 only)", "Stub 1",
                 "capability 7.5"});
  stub_fail("cuDeviceGetName", 0, 1);
  expectFailure(load(sample(), 1), UNISPARSE_BAD_CHIP,
                {"of unknown name", "capability 7.5"});
  stub_fail("cuModuleLoadDataEx", 0, 209);
  expectFailure(load(sample()), UNISPARSE_BAD_CHIP,
                {"cuModuleLoadDataEx", "sm_90a", "209"});
}

TEST_F(ProgramTest, NoDevice) {
  expectFailure(load(sample(), 2), UNISPARSE_NO_DEVICE, {"below 2", "got 2"});
  expectFailure(load(sample(), -1), UNISPARSE_NO_DEVICE, {"below 2", "got -1"});
  stub_config.device_count = 0;
  expectFailure(load(sample()), UNISPARSE_NO_DEVICE, {"below 0", "got 0"});
  stub_reset();
  stub_fail("cuInit", 0, 100);
  expectFailure(load(sample()), UNISPARSE_NO_DEVICE, {"cuInit", "a GPU"});
  stub_fail("cuDeviceGet", 0, 101);
  expectFailure(load(sample()), UNISPARSE_NO_DEVICE,
                {"cuDeviceGet", "device 0"});
}

TEST_F(ProgramTest, OldDriver) {
  stub_config.driver_version = 12020;
  expectFailure(load(sample()), UNISPARSE_OLD_DRIVER,
                {"12.3 or newer", "sm_90a", "got one of CUDA 12.2"});
  stub_reset();
  stub_fail("cuModuleLoadDataEx", 0, 222);
  expectFailure(load(sample(), 1), UNISPARSE_OLD_DRIVER,
                {"11.8 or newer", "sm_80", "got one of CUDA 12.4",
                 "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"});
}

TEST_F(ProgramTest, CompilerLog) {
  stub_config.jit_log =
      "\nptxas application ptx input, line 9; fatal: no such thing\nmore";
  stub_fail("cuModuleLoadDataEx", 0, 218);
  expectFailure(load(sample(), 1), UNISPARSE_BAD_ARTIFACT,
                {"cuModuleLoadDataEx", "sm_80",
                 "line 9; fatal: no such thing: CUDA_ERROR_OF_THE_STUB",
                 "218"});
}

TEST_F(ProgramTest, MissingKernel) {
  Spec spec = sample();
  spec.variants[1].steps[1] = launch(
      "missing", {constant(1), constant(1), constant(1)}, {1, 1, 1}, 0, {});
  expectFailure(load(spec), UNISPARSE_BAD_ARTIFACT,
                {"cuModuleGetFunction", "\"missing\"", "sm_90a",
                 "CUDA_ERROR_NOT_FOUND", "named symbol not found"});
}

/// A kernel that two steps launch allows the larger one's shared memory.
TEST_F(ProgramTest, SharedMemoryOfOneKernel) {
  Spec spec = sample();
  std::vector<Expr> grid(3, constant(1));
  spec.variants[1].steps = {launch("k", grid, {1, 1, 1}, 70000, {}),
                            launch("k", grid, {1, 1, 1}, 50000, {})};
  ASSERT_EQ(load(spec), UNISPARSE_OK) << unisparse_last_message();
  EXPECT_STREQ(stub_log(), "load \"machine code\" on 0\n"
                           "attribute 8 of k = 70000\n"
                           "attribute 8 of k = 70000\n");
}

/// Launches in their order, fills left out, of the variant that was chosen.
TEST_F(ProgramTest, Kernels) {
  auto kernelsOn = [](int device) {
    Call call(sample(), device);
    std::vector<std::string> found;
    unisparse_kernel kernel;
    for (int i = 0; i < unisparse_program_kernels(call.program); ++i) {
      EXPECT_EQ(unisparse_program_kernel(call.program, i, &kernel),
                UNISPARSE_OK);
      found.push_back(kernel.name + std::string(" ") + kernel.schedule);
    }
    return found;
  };
  EXPECT_EQ(kernelsOn(0),
            (std::vector<std::string>{
                "score:ppipi ", "attend:mmpp #unitile.schedule<stages = 3>",
                "left_out: "}));
  EXPECT_EQ(kernelsOn(1), std::vector<std::string>{"plain:p "});
  Call call(sample());
  unisparse_kernel kernel;
  for (int32_t index : {3, -1, INT32_MAX, INT32_MIN})
    expectFailure(unisparse_program_kernel(call.program, index, &kernel),
                  UNISPARSE_BAD_ARGUMENT,
                  {"kernel", "below 3", "got " + std::to_string(index)});
  expectFailure(unisparse_program_kernel(call.program, 0, nullptr),
                UNISPARSE_BAD_ARGUMENT, {"kernel", "null"});
  expectFailure(unisparse_program_kernel(nullptr, 0, &kernel),
                UNISPARSE_BAD_ARGUMENT, {"program", "null"});
  EXPECT_EQ(unisparse_program_kernels(nullptr), 0);
}

TEST_F(ProgramTest, NullPointers) {
  unisparse_artifact *artifact = read(sample().bytes());
  unisparse_program *program;
  expectFailure(unisparse_program_load(nullptr, 0, &program),
                UNISPARSE_BAD_ARGUMENT, {"artifact", "null"});
  expectFailure(unisparse_program_load(artifact, 0, nullptr),
                UNISPARSE_BAD_ARGUMENT, {"program", "null"});
  unisparse_artifact_free(artifact);
  unisparse_program_free(nullptr);
  EXPECT_STREQ(unisparse_program_chip(nullptr), "");
}

} // namespace
