// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Any bytes as a safetensors file: it is refused with one line, or every tensor
// in it can be found and read.
#include "unisparse/Support/SafeTensors.h"
#include <cstdio>
#include <sys/mman.h>
#include <unistd.h>

using namespace llvm;
using namespace unisparse;

static void expect(bool holds, const char *what) {
  if (holds)
    return;
  fprintf(stderr, "expected %s\n", what);
  abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  int file = memfd_create("fuzz", 0);
  expect(write(file, bytes, size) == ssize_t(size), "a file in memory");
  std::string path = "/proc/self/fd/" + std::to_string(file);
  Expected<SafeTensorsFile> opened = SafeTensorsFile::open(path);
  if (!opened) {
    std::string said = toString(opened.takeError());
    expect(!said.empty(), "a reason");
    for (unsigned char c : said)
      expect(c >= 0x20 && c != 0x7f, "a line without control characters");
  } else {
    unsigned sum = 0;
    for (const TensorInfo &info : opened->tensors()) {
      expect(opened->find(info.name) == &info, "a tensor of that name");
      ArrayRef<char> data = opened->data(info);
      uint64_t elements = 1;
      for (int64_t dim : info.shape)
        elements *= dim;
      expect(data.size() == elements * getDTypeSize(info.dtype),
             "as many bytes as its shape says");
      for (char c : data)
        sum += static_cast<unsigned char>(c);
    }
    for (const UnsupportedTensor &tensor : opened->unsupportedTensors())
      consumeError(opened->get(tensor.name).takeError());
    // Read, not optimised away.
    static volatile unsigned sink;
    sink = sum;
  }
  close(file);
  return 0;
}
