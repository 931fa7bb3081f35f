//===- ArtifactTest.cpp - Reading artifacts, whole and not
//------------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Artifacts.h"

#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <random>
#include <unistd.h>

using namespace unisparse::runtime;

namespace {

using ArtifactTest = RuntimeTest;

/// Reads a copy of exactly these bytes, so that a sanitizer sees reads behind
/// them; frees what was read.
unisparse_status tryRead(const std::string &bytes) {
  std::vector<char> copy(bytes.begin(), bytes.end());
  copy.reserve(1);
  unisparse_artifact *artifact = nullptr;
  unisparse_status status =
      unisparse_artifact_read(copy.data(), copy.size(), &artifact);
  EXPECT_EQ(status == UNISPARSE_OK, artifact != nullptr);
  unisparse_artifact_free(artifact);
  return status;
}

void expectBad(const Spec &spec, const std::vector<std::string> &facts) {
  expectFailure(tryRead(spec.bytes()), UNISPARSE_BAD_ARTIFACT, facts);
}

TEST_F(ArtifactTest, Signatures) {
  unisparse_artifact *artifact = read(sample().bytes());
  EXPECT_EQ(unisparse_artifact_inputs(artifact), 2);
  EXPECT_EQ(unisparse_artifact_outputs(artifact), 2);
  unisparse_signature signature;
  ASSERT_EQ(unisparse_artifact_input(artifact, 1, &signature), UNISPARSE_OK);
  EXPECT_STREQ(signature.name, "k");
  EXPECT_EQ(signature.element, UNISPARSE_F16);
  EXPECT_EQ(signature.rank, 4);
  EXPECT_EQ(signature.sizes[0], -1);
  EXPECT_EQ(signature.sizes[1], 2);
  EXPECT_EQ(signature.sizes[2], -1);
  EXPECT_EQ(signature.sizes[3], 64);
  ASSERT_EQ(unisparse_artifact_output(artifact, 1, &signature), UNISPARSE_OK);
  EXPECT_STREQ(signature.name, "lse");
  EXPECT_EQ(signature.element, UNISPARSE_F32);
  EXPECT_EQ(signature.rank, 3);
  EXPECT_EQ(signature.sizes[0], -1);
  EXPECT_EQ(signature.sizes[1], 8);
  expectFailure(unisparse_artifact_input(artifact, 2, &signature),
                UNISPARSE_BAD_ARGUMENT, {"input", "below 2", "got 2"});
  expectFailure(unisparse_artifact_output(artifact, -1, &signature),
                UNISPARSE_BAD_ARGUMENT, {"output", "below 2", "got -1"});
  expectFailure(unisparse_artifact_input(artifact, 0, nullptr),
                UNISPARSE_BAD_ARGUMENT, {"signature", "null"});
  unisparse_artifact_free(artifact);
}

TEST_F(ArtifactTest, NullPointers) {
  unisparse_artifact *artifact;
  expectFailure(unisparse_artifact_read(nullptr, 8, &artifact),
                UNISPARSE_BAD_ARGUMENT, {"bytes", "null"});
  expectFailure(unisparse_artifact_read("", 0, nullptr), UNISPARSE_BAD_ARGUMENT,
                {"artifact", "null"});
  expectFailure(unisparse_artifact_open(nullptr, &artifact),
                UNISPARSE_BAD_ARGUMENT, {"path", "null"});
  expectFailure(unisparse_artifact_open("x", nullptr), UNISPARSE_BAD_ARGUMENT,
                {"artifact", "null"});
  unisparse_artifact_free(nullptr);
  EXPECT_EQ(unisparse_artifact_inputs(nullptr), 0);
}

TEST_F(ArtifactTest, Files) {
  char path[] = "/tmp/unisparse-artifact-XXXXXX";
  int descriptor = mkstemp(path);
  ASSERT_GE(descriptor, 0);
  // More than the reader takes at once.
  Spec spec = sample();
  spec.variants[0].image.assign(200000, 'x');
  std::string bytes = spec.bytes();
  ASSERT_EQ(write(descriptor, bytes.data(), bytes.size()),
            static_cast<ssize_t>(bytes.size()));
  close(descriptor);
  unisparse_artifact *artifact = nullptr;
  EXPECT_EQ(unisparse_artifact_open(path, &artifact), UNISPARSE_OK)
      << unisparse_last_message();
  unisparse_artifact_free(artifact);
  ASSERT_EQ(truncate(path, 0), 0);
  expectFailure(unisparse_artifact_open(path, &artifact),
                UNISPARSE_BAD_ARTIFACT, {"UNISPARS"});
  EXPECT_EQ(artifact, nullptr);
  unlink(path);
  expectFailure(unisparse_artifact_open(path, &artifact), UNISPARSE_BAD_FILE,
                {path, "No such file"});
  expectFailure(unisparse_artifact_open("/tmp", &artifact), UNISPARSE_BAD_FILE,
                {"\"/tmp\"", "directory"});
}

TEST_F(ArtifactTest, Versions) {
  expectFailure(tryRead(withHeader(sample().body(), 1)), UNISPARSE_BAD_VERSION,
                {"expected version 4", "got 1"});
  EXPECT_EQ(unisparse_format_version(), 4);
  expectFailure(tryRead("ELF is not an artifact"), UNISPARSE_BAD_ARTIFACT,
                {"UNISPARS"});
}

TEST_F(ArtifactTest, EveryTruncation) {
  std::string bytes = sample().bytes();
  for (size_t size = 0; size < bytes.size(); ++size)
    ASSERT_EQ(tryRead(bytes.substr(0, size)), UNISPARSE_BAD_ARTIFACT) << size;
  // A body that ends early although its header is right.
  std::string body = sample().body();
  for (size_t size = 0; size < body.size(); ++size)
    ASSERT_EQ(tryRead(withHeader(body.substr(0, size))), UNISPARSE_BAD_ARTIFACT)
        << size;
  expectFailure(tryRead(bytes + "x"), UNISPARSE_BAD_ARTIFACT, {"a body of"});
  expectFailure(tryRead(withHeader(body + "xyz")), UNISPARSE_BAD_ARTIFACT,
                {"expected the end", "got 3 bytes more"});
}

TEST_F(ArtifactTest, EveryFlippedByte) {
  std::string bytes = sample().bytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i] ^= 0xFF;
    ASSERT_EQ(tryRead(flipped),
              i >= 8 && i < 12 ? UNISPARSE_BAD_VERSION : UNISPARSE_BAD_ARTIFACT)
        << i;
  }
  bytes[30] ^= 1;
  expectFailure(tryRead(bytes), UNISPARSE_BAD_ARTIFACT, {"crc32"});
}

/// Damage that the crc32 does not show. What is read all the same is loaded and
/// launched, as its numbers may be anything within their rules.
TEST_F(ArtifactTest, Mutations) {
  std::mt19937 random(42);
  std::string body = sample().body();
  static const uint32_t numbers[] = {0,  1,   2,   3,          4,
                                     64, 128, 256, 0x7FFFFFFF, 0xFFFFFFFF};
  int accepted = 0;
  stub_config.keep_log = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string mutated = body;
    for (unsigned n = 1 + random() % 3; n > 0; --n) {
      size_t at = random() % (mutated.size() - 4);
      if (random() % 2)
        mutated[at] = static_cast<char>(random());
      else
        std::memcpy(&mutated[at], &numbers[random() % 10], 4);
      if (random() % 16 == 0)
        mutated.erase(at, 1 + random() % 12);
    }
    std::string bytes = withHeader(mutated);
    unisparse_artifact *artifact = nullptr;
    if (unisparse_artifact_read(bytes.data(), bytes.size(), &artifact))
      continue;
    ++accepted;
    Call call(sample());
    unisparse_program_free(call.program);
    call.program = nullptr;
    if (unisparse_program_load(artifact, 0, &call.program) == UNISPARSE_OK) {
      call.prepare();
      call.launch();
    }
    unisparse_artifact_free(artifact);
  }
  // Names and constants may be anything; most else is refused.
  EXPECT_GT(accepted, 1000);
  EXPECT_LT(accepted, 15000);
}

TEST_F(ArtifactTest, Counts) {
  // A hostile count costs no memory: nothing is allocated for it.
  std::string body =
      Bytes().string("a").string("b").u32(0).u32(0xFFFFFFFF).data;
  expectFailure(tryRead(withHeader(body)), UNISPARSE_BAD_ARTIFACT,
                {"number of inputs", "0 to 32", "got 4294967295"});
  body = Bytes().string("a").string("b").u32(0).u32(32).data;
  expectFailure(tryRead(withHeader(body)), UNISPARSE_BAD_ARTIFACT,
                {"number of inputs", "expected 512 bytes", "got 0"});
  body = Bytes().u32(0xFFFFFFF0).data;
  expectFailure(tryRead(withHeader(body)), UNISPARSE_BAD_ARTIFACT,
                {"producer", "4294967280 bytes", "got 0"});
  Spec spec = sample();
  spec.variants.clear();
  expectBad(spec, {"at least 1 variant"});
}

TEST_F(ArtifactTest, Names) {
  for (const char *name : {"\x80", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80",
                           "\xF4\x90\x80\x80", "a\xC3", "\xFF"}) {
    Spec spec = sample();
    spec.inputs[0].name = name;
    expectBad(spec, {"name of a tensor", "UTF-8"});
  }
  Spec spec = sample();
  spec.inputs[0].name = std::string("a\0b", 3);
  expectBad(spec, {"name of a tensor", "NUL"});
  for (const char *name : {"\xC2\x80", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"}) {
    spec.inputs[0].name = name;
    EXPECT_EQ(tryRead(spec.bytes()), UNISPARSE_OK) << unisparse_last_message();
  }
}

/// Names are for people: none of them ends a line or drives a terminal.
TEST_F(ArtifactTest, ControlCharacters) {
  std::string hostile = "a\x1b[2Jb\nc\x7f\xC2\x9B\xE2\x80\xA8\xC3\xA9";
  std::string shown = "a?[2Jb?c???\xC3\xA9";
  Spec spec = sample();
  spec.inputs[0].name = spec.outputs[0].name = hostile;
  for (VariantSpec &variant : spec.variants) {
    variant.chip = hostile;
    variant.steps = {launch(hostile + ":", std::vector<Expr>(3, constant(1)),
                            {1, 1, 1}, 0, {}, hostile)};
  }
  Call call(spec);
  unisparse_artifact *artifact = read(spec.bytes());
  unisparse_signature signature;
  ASSERT_EQ(unisparse_artifact_input(artifact, 0, &signature), UNISPARSE_OK);
  EXPECT_EQ(signature.name, shown);
  ASSERT_EQ(unisparse_artifact_output(artifact, 0, &signature), UNISPARSE_OK);
  EXPECT_EQ(signature.name, shown);
  EXPECT_EQ(unisparse_program_chip(call.program), shown);
  unisparse_kernel kernel;
  ASSERT_EQ(unisparse_program_kernel(call.program, 0, &kernel), UNISPARSE_OK);
  EXPECT_EQ(kernel.name, shown + ":");
  EXPECT_EQ(kernel.schedule, shown);
  call.inputs[0].rank = 1;
  expectFailure(call.prepare(), UNISPARSE_BAD_SHAPE,
                {shown + ": expected rank 4, got 1"});
  unisparse_artifact *none;
  expectFailure(unisparse_artifact_open(hostile.c_str(), &none),
                UNISPARSE_BAD_FILE, {"\"a [2Jb c   \xC3\xA9\": cannot be"});
  unisparse_artifact_free(artifact);
}

TEST_F(ArtifactTest, Expressions) {
  auto withCheck = [](const Expr &left) {
    Spec spec = sample();
    spec.checks[0].left = left;
    return spec;
  };
  expectBad(withCheck({}), {"left side of a check", "1 to 64", "got 0"});
  expectBad(withCheck(Expr(65, {0, 1})), {"1 to 64", "got 65"});
  expectBad(withCheck({{11, 0}}), {"0 to 10", "got 11"});
  expectBad(withCheck({{4, 0}}), {"2 operands", "got 0"});
  expectBad(withCheck({{0, 1}, {4, 0}}), {"2 operands", "got 1"});
  expectBad(withCheck({{0, 1}, {0, 3}, {4, 77}}),
            {"0 beside an operator", "got 77"});
  expectBad(withCheck({{0, 1}, {0, 0}, {7, 0}}), {"divisor above 0", "got 0"});
  expectBad(withCheck({{0, 1}, {0, -1}, {8, 0}}),
            {"divisor above 0", "got -1"});
  expectBad(withCheck({{0, 1}, {0, 1}}), {"1 value", "got 2"});
  expectBad(withCheck(symbol(2)), {"symbol below 2", "got 2"});
  expectBad(withCheck(symbol(-1)), {"symbol below 2", "got -1"});
  expectBad(withCheck(stride(2, 0)), {"stride of an input", "got number 16"});
  expectBad(withCheck(stride(0, 4)), {"stride of an input", "got number 4"});
  expectBad(withCheck({{2, -1}}), {"stride of an input", "got number -1"});
  expectBad(withCheck(processors()), {"no fact of a device"});
  Spec spec = sample();
  spec.variants[0].buffers = {{{3, 1}}};
  expectBad(spec, {"fact 0 of a device", "got fact 1"});
}

TEST_F(ArtifactTest, Indices) {
  Spec spec = sample();
  spec.inputs[0].dims[0] = -3;
  expectBad(spec, {"input \"q\"", "symbol below 2", "got 2"});
  spec = sample();
  spec.symbols.push_back("nowhere");
  expectBad(spec, {"symbol \"nowhere\"", "size of an input"});
  spec = sample();
  spec.inputs[0].dims = {1, 1, -1, -2, 1};
  expectBad(spec, {"rank", "0 to 4", "got 5"});
  spec = sample();
  spec.inputs[0].element = 4;
  expectBad(spec, {"element", "0 to 3", "got 4"});
  spec = sample();
  spec.inputs[0].layout = 2;
  expectBad(spec, {"layout", "0 to 1", "got 2"});
  spec = sample();
  spec.outputs[0].layout = 2;
  expectBad(spec, {"layout", "0 to 1", "got 2"});
  spec = sample();
  spec.checks[0].relation = 3;
  expectBad(spec, {"relation", "0 to 2", "got 3"});
}

TEST_F(ArtifactTest, Steps) {
  auto withStep = [](const std::string &step) {
    Spec spec = sample();
    spec.variants[0].steps = {step};
    return spec;
  };
  std::vector<Expr> grid(3, constant(1));
  auto withArgument = [&](const std::string &argument) {
    return withStep(launch("k", grid, {1, 1, 1}, 0, {argument}));
  };
  expectBad(withStep(Bytes().u32(2).raw(std::string(64, 0)).data),
            {"kind of a step", "0 to 1", "got 2"});
  expectBad(withStep(launch("k", grid, {1, 1, 1}, 0, {}, "\xC3")),
            {"schedule of a kernel", "UTF-8"});
  expectBad(withStep(Bytes().u32(0).string("k").u32(0xFFFFFFF0).data),
            {"schedule of a kernel", "4294967280 bytes"});
  expectBad(withStep(launch("k", grid, {1025, 1, 1}, 0, {})),
            {"block", "1 to 1024", "got 1025"});
  expectBad(withStep(launch("k", grid, {1, 1, 65}, 0, {})),
            {"block", "1 to 64", "got 65"});
  expectBad(withStep(launch("k", grid, {1024, 2, 1}, 0, {})),
            {"kernel \"k\"", "at most 1024 threads", "got 2048"});
  expectBad(withStep(launch("k", grid, {1, 1, 1}, 0x80000000, {})),
            {"shared memory"});
  expectBad(withArgument(addressArgument(Input, 2)),
            {"input", "below 2", "got 2"});
  expectBad(withArgument(addressArgument(Workspace, 0)),
            {"workspace buffer", "below 0", "got 0"});
  expectBad(withArgument(Bytes().u32(5).u32(0).data),
            {"kind of an argument", "0 to 4", "got 5"});
  expectBad(withStep(fill(buffer(Input, 0), 0, constant(1))),
            {"fill", "output or a workspace buffer", "input 0"});
  Spec strided = withStep(fill(buffer(Output, 0), 0, constant(1)));
  strided.outputs[0].layout = 1;
  expectBad(strided, {"fill", "contiguous output", "output 0"});
  // Strides of outputs are a call's: they may be in its steps, nowhere else.
  expectBad(withArgument(i64Argument(strideOfOutput(2, 0))),
            {"stride of an input or an output", "got number 272"});
  expectBad(withArgument(i64Argument(strideOfOutput(1, 3))),
            {"stride of an input or an output", "got number 267"});
  for (int place = 0; place < 3; ++place) {
    Spec spec = sample();
    Expr stride = strideOfOutput(0, 1);
    if (place == 0)
      spec.checks[0].left = stride;
    else if (place == 1)
      spec.outputs[1].sizes[0] = stride;
    else
      spec.variants[0].buffers = {stride};
    expectBad(spec, {"stride of an input, got number 257"});
  }
  std::string map =
      mapArgument({buffer(Input, 0), 1, {constant(64)}, {}, {64}, 3});
  expectBad(withStep(launch("k", grid, {1, 1, 1}, 0,
                            std::vector<std::string>(17, map))),
            {"at most 16 tensor maps", "got 17"});
  auto withBox = [&](uint32_t element, uint32_t box, uint32_t swizzle) {
    return withArgument(mapArgument(
        {buffer(Input, 0), element, {constant(64)}, {}, {box}, swizzle}));
  };
  expectBad(withBox(1, 257, 0), {"box", "1 to 256", "got 257"});
  expectBad(withBox(1, 4, 0), {"multiple of 16 bytes", "got 8"});
  expectBad(withBox(0, 64, 3), {"swizzle's 128 bytes", "got 256"});
  expectBad(withBox(1, 64, 4), {"swizzle", "0 to 3", "got 4"});
}

TEST_F(ArtifactTest, NoMemory) {
  // Each allocation in turn fails, until none does.
  std::string bytes = sample().bytes();
  unisparse_artifact *artifact = nullptr;
  int failures = 0;
  for (;; ++failures) {
    allocationsUntilFailure = failures;
    unisparse_status status =
        unisparse_artifact_read(bytes.data(), bytes.size(), &artifact);
    allocationsUntilFailure = -1;
    if (status == UNISPARSE_OK)
      break;
    expectFailure(status, UNISPARSE_NO_MEMORY, {"no memory"});
  }
  EXPECT_GT(failures, 20);
  for (int i = 0; i < 2; ++i) {
    unisparse_program *program = nullptr;
    allocationsUntilFailure = i;
    unisparse_status status = unisparse_program_load(artifact, 0, &program);
    allocationsUntilFailure = -1;
    expectFailure(status, UNISPARSE_NO_MEMORY, {"no memory"});
    EXPECT_EQ(program, nullptr);
  }
  unisparse_artifact_free(artifact);
}

/// What the shared library shows is the header and nothing else.
TEST_F(ArtifactTest, SharedLibrary) {
  void *library = dlopen(RUNTIME_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  for (const char *name :
       {"unisparse_status_name",     "unisparse_last_message",
        "unisparse_format_version",  "unisparse_artifact_read",
        "unisparse_artifact_open",   "unisparse_artifact_free",
        "unisparse_artifact_inputs", "unisparse_artifact_outputs",
        "unisparse_artifact_input",  "unisparse_artifact_output",
        "unisparse_program_load",    "unisparse_program_free",
        "unisparse_program_chip",    "unisparse_program_kernels",
        "unisparse_program_kernel",  "unisparse_program_prepare",
        "unisparse_program_launch",  "unisparse_program_launch_known",
        "unisparse_plan_make",       "unisparse_plan_workspace",
        "unisparse_plan_launch",     "unisparse_plan_free"})
    EXPECT_NE(dlsym(library, name), nullptr) << name;
  EXPECT_EQ(dlsym(library, "usrt_fail"), nullptr);
  dlclose(library);
}

} // namespace
