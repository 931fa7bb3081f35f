// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Any bytes as the body of an artifact: both readers refuse it, or both take
// it; then the compiler writes and prints it, and the runtime loads and
// launches it on a driver that is a stub.
#include "../Runtime/StubDriver.h"
#include "unisparse-rt/unisparse.h"
#include "unisparse/Target/Artifact.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CRC.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/raw_ostream.h"
#include <cstdio>
#include <cstdlib>

using namespace llvm;
using namespace unisparse::artifact;

static void expect(bool holds, const Twine &what) {
  if (holds)
    return;
  errs() << "expected " << what << '\n';
  abort();
}

static std::string fileOf(ArrayRef<uint8_t> body) {
  std::string file(kHeaderBytes, '\0');
  copy(kMagic, file.begin());
  support::endian::write32le(&file[8], kVersion);
  support::endian::write32le(&file[12], crc32(body));
  support::endian::write64le(&file[16], body.size());
  file.append(body.begin(), body.end());
  return file;
}

/// Inputs of the sizes that the artifact says, 0 to 300 where any will do; each
/// far from the others.
static std::vector<unisparse_tensor>
inputsOf(const unisparse_artifact *artifact, ArrayRef<uint8_t> body) {
  std::vector<unisparse_tensor> inputs(unisparse_artifact_inputs(artifact));
  uint64_t address = 0x100000000;
  for (size_t i = 0; i < inputs.size(); ++i) {
    unisparse_signature signature;
    unisparse_artifact_input(artifact, i, &signature);
    unisparse_tensor &t = inputs[i];
    t = {reinterpret_cast<void *>(address),
         signature.element,
         signature.rank,
         {},
         {}};
    int64_t stride = 1;
    for (int32_t d = signature.rank - 1; d >= 0; --d) {
      int64_t size = signature.sizes[d];
      t.sizes[d] = size < 0 ? body[d % body.size()] * 300 / 255 : size;
      t.strides[d] = stride;
      if (MulOverflow(stride, std::max<int64_t>(t.sizes[d], 1), stride))
        stride = 0;
    }
    address += 0x1000000;
  }
  return inputs;
}

static void run(const unisparse_artifact *artifact, ArrayRef<uint8_t> body) {
  unisparse_program *program;
  if (unisparse_program_load(artifact, 0, &program) != UNISPARSE_OK)
    return;
  std::vector<unisparse_tensor> inputs = inputsOf(artifact, body);
  std::vector<unisparse_tensor> outputs(unisparse_artifact_outputs(artifact));
  size_t workspace = 0;
  if (unisparse_program_prepare(program, inputs.data(), inputs.size(),
                                outputs.data(), outputs.size(),
                                &workspace) == UNISPARSE_OK) {
    uint64_t address = 0x140000000;
    for (unisparse_tensor &output : outputs)
      output.data = reinterpret_cast<void *>(address += 0x1000000);
    unisparse_program_launch(
        program, inputs.data(), inputs.size(), outputs.data(), outputs.size(),
        reinterpret_cast<void *>(0x180000000), workspace, nullptr);
  }
  unisparse_program_free(program);
}

extern "C" int LLVMFuzzerInitialize(int *, char ***) {
  setenv("UNISPARSE_LIBCUDA", STUB_DRIVER, 1);
  stub_config.keep_log = 0;
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  ArrayRef<uint8_t> body(bytes, size);
  std::string file = fileOf(body);
  unisparse_artifact *artifact = nullptr;
  bool taken = unisparse_artifact_read(file.data(), file.size(), &artifact) ==
               UNISPARSE_OK;
  Expected<Artifact> read = unisparse::artifact::read(file);
  std::string refusal = read ? "" : toString(read.takeError());
  expect(taken == refusal.empty(),
         "readers that agree: the compiler's " +
             (refusal.empty() ? "takes it" : "says " + refusal) +
             ", the runtime's " +
             (taken ? "takes it" : unisparse_last_message()));
  if (!taken)
    return 0;
  expect(write(*read) == file, "the same bytes when written again");
  std::string text;
  raw_string_ostream os(text);
  print(*read, os);
  for (unsigned char c : text)
    expect(c == '\n' || (c >= 0x20 && c != 0x7f), "no control characters");
  run(artifact, body);
  unisparse_artifact_free(artifact);
  return 0;
}
