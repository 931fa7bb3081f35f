//===- DriverTest.cpp - Drivers that fail, or are not there
//-----------------===//
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

using namespace unisparse::runtime;

namespace {

class DriverTest : public RuntimeTest {
protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    // What was opened stays open: these children start afresh.
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
};

/// Loads, and ends the process with the status, the message on stderr.
[[noreturn]] void loadAndExit(const char *library, int device) {
  setenv("UNISPARSE_LIBCUDA", library, 1);
  unisparse_artifact *artifact = read(sample().bytes());
  unisparse_program *program = nullptr;
  unisparse_status status = unisparse_program_load(artifact, device, &program);
  fprintf(stderr, "%s\n", unisparse_last_message());
  unisparse_program_free(program);
  unisparse_artifact_free(artifact);
  exit(status);
}

TEST_F(DriverTest, Missing) {
  EXPECT_EXIT(loadAndExit("/nowhere/libcuda.so", 0),
              testing::ExitedWithCode(UNISPARSE_NO_DRIVER),
              "expected NVIDIA's driver as \"/nowhere/libcuda.so\", got: .*No "
              "such file");
  EXPECT_EXIT(loadAndExit("libm.so.6", 0),
              testing::ExitedWithCode(UNISPARSE_NO_DRIVER),
              "expected cuInit in \"libm.so.6\", got: .*undefined symbol");
  EXPECT_EXIT(loadAndExit(STUB_DRIVER, 0), testing::ExitedWithCode(0), "");
}

/// Only a program with tensor maps needs cuTensorMapEncodeTiled.
TEST_F(DriverTest, WithoutTensorMaps) {
  EXPECT_EXIT(loadAndExit(OLD_STUB_DRIVER, 0),
              testing::ExitedWithCode(UNISPARSE_NO_DRIVER),
              "expected cuTensorMapEncodeTiled in \".*OldStubDriver.so\"");
  EXPECT_EXIT(loadAndExit(OLD_STUB_DRIVER, 1), testing::ExitedWithCode(0), "");
}

TEST_F(DriverTest, AStubOfTheToolkit) {
  unisparse_artifact *artifact = read(sample().bytes());
  unisparse_program *program = nullptr;
  stub_fail("cuInit", 0, 34);
  expectFailure(unisparse_program_load(artifact, 0, &program),
                UNISPARSE_NO_DRIVER, {"cuInit", "a stub of it", "34"});
  unisparse_artifact_free(artifact);
}

/// Every function that loading calls fails, in each of its calls: there is a
/// status, the message names function and error, and nothing stays behind.
TEST_F(DriverTest, EveryFunctionOfALoad) {
  unisparse_artifact *artifact = read(sample().bytes());
  for (const char *function :
       {"cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet",
        "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain",
        "cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2", "cuModuleLoadDataEx",
        "cuModuleGetFunction", "cuFuncSetAttribute"}) {
    SCOPED_TRACE(function);
    int failures = 0;
    for (;; ++failures) {
      stub_push_foreign();
      stub_fail(function, failures, 719);
      unisparse_program *program = nullptr;
      unisparse_status status = unisparse_program_load(artifact, 0, &program);
      EXPECT_TRUE(stub_pop_foreign());
      if (status == UNISPARSE_OK) {
        EXPECT_FALSE(stub_failed());
        unisparse_program_free(program);
        break;
      }
      std::string name = function; // messages have it without the version
      expectFailure(status, UNISPARSE_DRIVER_ERROR,
                    {name.substr(0, name.find("_v2")), "CUDA_ERROR_OF_THE_STUB",
                     "719", "as a test asked for"});
      EXPECT_EQ(program, nullptr);
      EXPECT_EQ(stub_live_modules(), 0);
      EXPECT_EQ(stub_live_contexts(), 0);
    }
    EXPECT_GT(failures, 0);
  }
  unisparse_artifact_free(artifact);
}

TEST_F(DriverTest, EveryFunctionOfALaunch) {
  struct {
    const char *function;
    std::vector<std::string> facts;
    int calls;
  } cases[] = {
      {"cuCtxPushCurrent_v2", {"cuCtxPushCurrent", "device 0"}, 1},
      {"cuCtxPopCurrent_v2", {"cuCtxPopCurrent", "device 0"}, 1},
      {"cuPointerGetAttributes", {"cuPointerGetAttributes", "at 0x10"}, 5},
      {"cuMemsetD32Async", {"cuMemsetD32Async", "fill of "}, 2},
      {"cuTensorMapEncodeTiled",
       {"cuTensorMapEncodeTiled", "\"attend:mmpp\"", "argument "},
       2},
      {"cuLaunchKernel", {"cuLaunchKernel", "kernel \"", "grid of "}, 1},
      {"cuLaunchKernelEx", {"cuLaunchKernelEx", "kernel \"", "grid of "}, 1}};
  Call call(sample());
  ASSERT_EQ(call.prepare(), UNISPARSE_OK) << unisparse_last_message();
  for (auto &[function, facts, calls] : cases) {
    SCOPED_TRACE(function);
    facts.insert(facts.end(), {"CUDA_ERROR_OF_THE_STUB", "700"});
    for (int skip = 0; skip <= calls; ++skip) {
      stub_push_foreign();
      stub_fail(function, skip, 700);
      unisparse_status status = call.launch();
      EXPECT_TRUE(stub_pop_foreign());
      if (skip == calls) {
        EXPECT_EQ(status, UNISPARSE_OK) << unisparse_last_message();
        EXPECT_FALSE(stub_failed());
      } else {
        expectFailure(status, UNISPARSE_DRIVER_ERROR, facts);
      }
    }
  }
}

/// Freeing has no status; it gives back all that it can.
TEST_F(DriverTest, EveryFunctionOfFreeing) {
  for (const char *function :
       {"cuCtxPushCurrent_v2", "cuModuleUnload", "cuCtxPopCurrent_v2",
        "cuDevicePrimaryCtxRelease_v2"}) {
    SCOPED_TRACE(function);
    auto call = std::make_unique<Call>(sample());
    stub_push_foreign();
    stub_fail(function, 0, 700);
    call.reset();
    EXPECT_TRUE(stub_failed());
    EXPECT_TRUE(stub_pop_foreign());
    EXPECT_EQ(stub_live_modules(), 0);
    EXPECT_EQ(stub_live_contexts(), 0);
  }
}

/// The functions that describe errors may fail too.
TEST_F(DriverTest, ErrorsWithoutNames) {
  Spec spec = sample();
  spec.variants[1].steps = {
      launch("missing", std::vector<Expr>(3, constant(1)), {1, 1, 1}, 0, {})};
  unisparse_artifact *artifact = read(spec.bytes());
  unisparse_program *program = nullptr;
  for (const char *function : {"cuGetErrorName", "cuGetErrorString"}) {
    stub_fail(function, 0, 1);
    expectFailure(
        unisparse_program_load(artifact, 0, &program), UNISPARSE_BAD_ARTIFACT,
        {"cuModuleGetFunction", "500",
         function == std::string("cuGetErrorName") ? "an error without a name"
                                                   : "no description"});
    EXPECT_TRUE(stub_failed());
  }
  unisparse_artifact_free(artifact);
}

TEST_F(DriverTest, StatusNames) {
  for (int status = UNISPARSE_OK; status <= UNISPARSE_NO_MEMORY; ++status)
    EXPECT_EQ(std::string(
                  unisparse_status_name(static_cast<unisparse_status>(status)))
                  .find("UNISPARSE_"),
              0u);
  EXPECT_STREQ(unisparse_status_name(UNISPARSE_OK), "UNISPARSE_OK");
  EXPECT_STREQ(unisparse_status_name(static_cast<unisparse_status>(99)),
               "UNISPARSE_STATUS_UNKNOWN");
}

} // namespace
