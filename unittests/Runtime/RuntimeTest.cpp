//===- RuntimeTest.cpp - What all tests on the stub share
//-------------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Artifacts.h"

#include <cstdlib>

using namespace unisparse::runtime;

std::atomic<long> unisparse::runtime::allocations{0};
std::atomic<long> unisparse::runtime::allocationsUntilFailure{-1};

/// The linker turns calls of malloc, calloc and realloc into these (--wrap).
static bool allocationFails() {
  ++allocations;
  return allocationsUntilFailure >= 0 && allocationsUntilFailure-- == 0;
}

extern "C" {
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size) {
  return allocationFails() ? nullptr : __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size) {
  return allocationFails() ? nullptr : __real_calloc(count, size);
}
void *__wrap_realloc(void *memory, size_t size) {
  return allocationFails() ? nullptr : __real_realloc(memory, size);
}
}

Call::Call(const Spec &spec, int device) {
  unisparse_artifact *artifact = read(spec.bytes());
  EXPECT_EQ(unisparse_program_load(artifact, device, &program), UNISPARSE_OK)
      << unisparse_last_message();
  unisparse_artifact_free(artifact); // the program keeps what it needs
  uint64_t base = device ? device1 : device0;
  inputs = {tensor(base + 0x1000000, UNISPARSE_F16, {2, 8, 256, 64}),
            tensor(base + 0x2000000, UNISPARSE_F16, {2, 2, 256, 64})};
  outputs = {tensor(base + 0x3000000, UNISPARSE_F16, {2, 8, 256, 64}),
             tensor(base + 0x4000000, UNISPARSE_F32, {2, 8, 256})};
  workspace = base + 0x5000000;
}

Call::~Call() { unisparse_program_free(program); }

unisparse_status Call::prepare() {
  return unisparse_program_prepare(program, inputs.data(), inputs.size(),
                                   nullptr, 0, &workspaceBytes);
}

unisparse_status Call::launch() {
  return unisparse_program_launch(
      program, inputs.data(), inputs.size(), outputs.data(), outputs.size(),
      reinterpret_cast<void *>(workspace), workspaceBytes,
      reinterpret_cast<void *>(stream));
}

void RuntimeTest::SetUp() {
  setenv("UNISPARSE_LIBCUDA", STUB_DRIVER, 1);
  stub_reset();
}

void RuntimeTest::TearDown() {
  EXPECT_EQ(stub_live_modules(), 0);
  EXPECT_EQ(stub_live_graphs(), 0);
  EXPECT_EQ(stub_live_contexts(), 0);
  EXPECT_EQ(stub_stack_depth(), 0);
  EXPECT_EQ(stub_capture_mode(), 0);
}
