// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Tensors in memory: inputs checked and copied out of their file, results
// that compiled code allocated.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_TENSORS_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_TENSORS_H

#include "Options.h"
#include "unisparse/Support/SafeTensors.h"
#include <memory>

namespace unisparse::run {

/// "[2, 3]"
std::string shapeText(llvm::ArrayRef<int64_t> shape);

/// Elements of a shape.
int64_t product(llvm::ArrayRef<int64_t> shape);

/// Element `i` of float data.
float floatAt(DType dtype, const char *data, int64_t i);

/// A contiguous tensor in an own allocation, 64-byte aligned, once it has one.
class Tensor {
public:
  Tensor() = default;
  /// Uninitialised; `guard` puts that many NaN or -1 bytes on either side.
  Tensor(DType dtype, llvm::ArrayRef<int64_t> shape, size_t guard = 0)
      : Tensor(describe(dtype, shape)) {
    allocate(guard);
  }
  /// Type and shape, no memory yet.
  static Tensor describe(DType dtype, llvm::ArrayRef<int64_t> shape);
  void allocate(size_t guard = 0);

  /// Whether there is one, with or without memory.
  explicit operator bool() const { return present; }
  DType dtype = DType::F32;
  llvm::SmallVector<int64_t, 4> shape;

  char *bytes() const { return data; }
  template <typename T>
  T *as() const {
    return reinterpret_cast<T *>(data);
  }
  int64_t numElements() const;
  size_t numBytes() const { return numElements() * getDTypeSize(dtype); }

private:
  struct Free {
    void operator()(char *p) const;
  };
  std::unique_ptr<char, Free> storage;
  char *data = nullptr;
  bool present = false;
};

/// q, k, v and what goes with them, as 4-D tensors.
struct Inputs {
  Tensor q, k, v;
  Tensor cuQ, cuK; ///< Of a packed batch, else empty.
  /// Of a given selection, in slots; else empty. On the CPU indices have the
  /// columns of the file, up to the number of key blocks; kernels want them
  /// all.
  Tensor counts, indices;
  Tensor sinks;               ///< [Hq] f32 (M3), else empty.
  std::vector<Tensor> tables; ///< What a modification's text reads (M5).
  bool batched = true;        ///< The file's tensors have a batch dim.
  bool poisoned = false;      ///< There is NaN around every tensor.

  /// What functions take, in the order of their arguments.
  llvm::SmallVector<const Tensor *> arguments() const {
    llvm::SmallVector<const Tensor *> present;
    for (const Tensor *t : {&q, &k, &v, &cuQ, &cuK, &counts, &indices, &sinks})
      if (*t)
        present.push_back(t);
    for (const Tensor &t : tables)
      present.push_back(&t);
    return present;
  }
  bool packed() const { return static_cast<bool>(cuQ); }
  int64_t batch() const { return q.shape[0]; }
  int64_t heads() const { return q.shape[1]; }
  int64_t kvHeads() const { return k.shape[1]; }
  int64_t lq() const { return q.shape[2]; }
  int64_t lk() const { return k.shape[2]; }
  int64_t headDim() const { return q.shape[3]; }
  int64_t valueDim() const { return v.shape[3]; }
};

/// One sequence: its lengths, and where its query blocks are among the slots
/// of compiled code and among the rows of a file.
struct SequenceRows {
  int64_t lq, lk;
  int64_t firstSlot, firstRow, rows;
};

/// Sequences of a packed batch, or the one of a padded batch.
std::vector<SequenceRows> sequencesOf(const Inputs &in, int64_t blockQ);

/// The key blocks [first, end) that row `r` of a sequence may see (L1, M2).
struct CandidateBlocks {
  int64_t first, end;
};
CandidateBlocks candidateBlocks(const SequenceRows &s, int64_t r,
                                const Options &options);

/// I7: no sequence has more queries than keys where queries have positions.
llvm::Error checkPositions(const Options &options, const Inputs &in);

/// The files that inputs are read from.
struct InputFiles {
  std::optional<SafeTensorsFile> tensors, selection;
};

/// Opens the files that `options` name and checks types and shapes, and the
/// ends of packed sequences, which are read. Nothing else has memory yet. What
/// a program leaves open, as causality, is not checked.
llvm::Error describeInputs(const Options &options, InputFiles &files,
                           Inputs &in);

/// Reads all else, checks the rows of a selection (L6), and closes the files.
llvm::Error loadInputs(const Options &options, InputFiles &files, Inputs &in);

/// --check-finite: no element of q, k and v is a NaN or infinite.
llvm::Error checkFinite(const Options &options, const Inputs &in);

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_TENSORS_H
