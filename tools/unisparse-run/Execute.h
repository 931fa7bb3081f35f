// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Runs compiled functions on the inputs and takes over what they allocate.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_EXECUTE_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_EXECUTE_H

#include "Compile.h"

namespace unisparse::run {

/// A result, contiguous, in memory that compiled code allocated with malloc.
struct Result {
  DType dtype;
  llvm::SmallVector<int64_t, 4> shape;
  std::unique_ptr<void, void (*)(void *)> storage{nullptr, nullptr};
  char *data = nullptr;

  template <typename T>
  T *as() const {
    return reinterpret_cast<T *>(data);
  }
  int64_t numElements() const { return product(shape); }
  size_t numBytes() const { return numElements() * getDTypeSize(dtype); }
  float toFloat(int64_t i) const { return floatAt(dtype, data, i); }
};

/// What an attention returned, told apart by type; absent ones have no data.
struct Outputs {
  Result o, lse, counts, indices;

  /// Where a result belongs: o and indices have four dims, lse and counts
  /// three. Null for density, which follows from the counts.
  Result *placeOf(int64_t rank, bool isInt) {
    if (rank == 4)
      return isInt ? &indices : &o;
    if (rank == 3)
      return isInt ? &counts : &lse;
    return nullptr;
  }
};

/// One run and how long it took.
struct Timing {
  double total = 0;
  StageTimes stages;
};

/// Calls a compiled function once.
llvm::Expected<Outputs> execute(const Compiled &compiled,
                                const Signature &function, const Inputs &in,
                                Timing &timing);

/// Bytes of the process's largest memory so far, and of memory now.
struct Memory {
  size_t peak = 0, now = 0;
};
Memory readMemory();
/// Starts the peak anew, where the system allows it.
void resetPeak();

/// Has the C library keep the memory of tiles, which are allocated anew for
/// every query block: given back to the system, each page would be
/// faulted in again.
void keepFreedMemory();

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_EXECUTE_H
