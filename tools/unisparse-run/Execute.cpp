// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Execute.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/LineIterator.h"
#include "llvm/Support/MemoryBuffer.h"
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <malloc.h>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;

void run::keepFreedMemory() {
  constexpr int kBytes = 64 << 20;
  mallopt(M_TRIM_THRESHOLD, kBytes);
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

//===----------------------------------------------------------------------===//
// Memrefs as compiled code passes them: allocated, aligned, offset, sizes,
// strides, each a word.
//===----------------------------------------------------------------------===//

static std::vector<int64_t> describe(const Tensor &t) {
  std::vector<int64_t> words{reinterpret_cast<int64_t>(t.bytes()),
                             reinterpret_cast<int64_t>(t.bytes()), 0};
  words.insert(words.end(), t.shape.begin(), t.shape.end());
  std::vector<int64_t> strides(t.shape.size());
  int64_t stride = 1;
  for (size_t i = t.shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= t.shape[i];
  }
  words.insert(words.end(), strides.begin(), strides.end());
  return words;
}

static DType dtypeOf(mlir::Type type) {
  if (type.isF16())
    return DType::F16;
  if (type.isBF16())
    return DType::BF16;
  return type.isInteger(32) ? DType::I32 : DType::F32;
}

/// `taken`: the allocations that an earlier result owns; a function may return
/// one value twice.
static Result takeResult(mlir::RankedTensorType type, const int64_t *words,
                         llvm::SmallDenseSet<int64_t> &taken) {
  Result r;
  r.dtype = dtypeOf(type.getElementType());
  r.data =
      reinterpret_cast<char *>(words[1]) + words[2] * getDTypeSize(r.dtype);
  r.shape.assign(words + 3, words + 3 + type.getRank());
  if (taken.insert(words[0]).second) {
    r.storage = {reinterpret_cast<void *>(words[0]), std::free};
    return r;
  }
  char *copy =
      static_cast<char *>(std::malloc(std::max<size_t>(1, r.numBytes())));
  if (!copy)
    report_bad_alloc_error("result");
  std::memcpy(copy, r.data, r.numBytes());
  r.storage = {copy, std::free};
  r.data = copy;
  return r;
}

Expected<Outputs> run::execute(const Compiled &compiled,
                               const Signature &function, const Inputs &in,
                               Timing &timing) {
  SmallVector<std::vector<int64_t>> descriptors;
  for (const Tensor *t : in.arguments())
    descriptors.push_back(describe(*t));
  size_t words = 0;
  for (mlir::RankedTensorType type : function.results)
    words += 3 + 2 * type.getRank();
  std::vector<int64_t> results(words);
  SmallVector<void *> pointers;
  if (words)
    pointers.push_back(results.data());
  for (std::vector<int64_t> &d : descriptors)
    pointers.push_back(d.data());
  // invokePacked takes the address of every argument.
  SmallVector<void *> packed;
  for (void *&pointer : pointers)
    packed.push_back(&pointer);

  currentStages = &timing.stages;
  auto start = std::chrono::steady_clock::now();
  Error error = compiled.engine->invokePacked("_mlir_ciface_" + function.name,
                                              MutableArrayRef<void *>(packed));
  timing.total =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  currentStages = nullptr;
  if (error)
    return std::move(error);

  Outputs outputs;
  llvm::SmallDenseSet<int64_t> taken;
  const int64_t *next = results.data();
  for (mlir::RankedTensorType type : function.results) {
    Result r = takeResult(type, next, taken);
    next += 3 + 2 * type.getRank();
    Result *place =
        outputs.placeOf(type.getRank(), type.getElementType().isInteger(32));
    if (place && !place->data)
      *place = std::move(r);
  }
  return std::move(outputs);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Memory run::readMemory() {
  Memory memory;
  auto status = MemoryBuffer::getFileAsStream("/proc/self/status");
  if (!status)
    return memory;
  for (line_iterator line(**status); !line.is_at_eof(); ++line) {
    auto kilobytes = [&](StringRef name, size_t &bytes) {
      StringRef text = *line;
      if (text.consume_front(name) && text.consume_back("kB") &&
          !text.trim().getAsInteger(10, bytes))
        bytes *= 1024;
    };
    kilobytes("VmHWM:", memory.peak);
    kilobytes("VmRSS:", memory.now);
  }
  return memory;
}

void run::resetPeak() {
  // What compiling left behind is not what the run needs.
  malloc_trim(0);
  std::error_code error;
  raw_fd_ostream os("/proc/self/clear_refs", error, sys::fs::CD_OpenExisting,
                    sys::fs::FA_Write, sys::fs::OF_None);
  if (!error)
    os << "5";
}
