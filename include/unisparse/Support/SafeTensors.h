//===- SafeTensors.h - Reading and writing safetensors files ----*- C++ -*-===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The safetensors format (https://github.com/huggingface/safetensors):
//
//   8 bytes   N, the length of the header, little endian
//   N bytes   a JSON object: {"name": {"dtype": "F32", "shape": [2, 3],
//             "data_offsets": [begin, end]}, ..., "__metadata__": {...}}
//   the rest  the data, which the ranges [begin, end) cover without hole or
//             overlap
//
// A file is input from strangers: whatever is wrong with it is an llvm::Error
// of one line, "PATH: what, expected X, got Y", and costs neither a crash nor
// memory out of proportion to the file.
//
//===----------------------------------------------------------------------===//

#ifndef UNISPARSE_SUPPORT_SAFETENSORS_H
#define UNISPARSE_SUPPORT_SAFETENSORS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace unisparse {

/// The element types read and written here. The names are the format's own.
enum class DType {
  F64,
  F32,
  F16,
  BF16,
  I64,
  I32,
  I16,
  I8,
  U8,
  BOOL,
  U16,
  U32,
  U64
};

/// Bytes per element.
unsigned getDTypeSize(DType dtype);

/// The name in a safetensors header, e.g. "BF16".
llvm::StringRef getDTypeName(DType dtype);

/// The inverse of getDTypeName; nullopt for a name not in DType.
std::optional<DType> parseDType(llvm::StringRef name);

/// A tensor in a file. [begin, end) is its byte range, counted from the start
/// of the data, as in the header.
struct TensorInfo {
  std::string name;
  DType dtype;
  llvm::SmallVector<int64_t, 4> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// A tensor whose dtype is not in DType (F8_E4M3, F4, ...). Its byte range has
/// been checked against its neighbours, its shape cannot be against its range.
struct UnsupportedTensor {
  std::string name;
  std::string dtypeName;
};

/// A safetensors file, mapped into memory and checked as a whole by open().
///
/// The file must not be cut short by someone else while it is mapped: the
/// system then signals the read of a page that is gone, as for any mapped file.
class SafeTensorsFile {
public:
  /// Opens and checks the regular file `path`. `__metadata__` is not looked at.
  static llvm::Expected<SafeTensorsFile> open(llvm::StringRef path);

  llvm::StringRef getPath() const { return path; }

  /// The readable tensors, in the order of their data.
  llvm::ArrayRef<TensorInfo> tensors() const { return infos; }

  /// The tensors left out of tensors(): an unknown dtype is no reason to refuse
  /// the rest of the file. Sorted by name.
  llvm::ArrayRef<UnsupportedTensor> unsupportedTensors() const {
    return unsupported;
  }

  /// The tensor of that name, or null where there is none or its dtype is not
  /// supported. Valid as long as the file.
  const TensorInfo *find(llvm::StringRef name) const;

  /// As find(), with the reason as an error. The result is never null.
  llvm::Expected<const TensorInfo *> get(llvm::StringRef name) const;

  /// The bytes of a tensor of this file, little endian, in C order.
  /// They may be UNALIGNED: the header of a foreign file need not be padded and
  /// tensors of other sizes may come first. Copy, or use llvm::support::endian.
  llvm::ArrayRef<char> data(const TensorInfo &info) const;

private:
  SafeTensorsFile() = default;

  std::string path;
  std::unique_ptr<llvm::MemoryBuffer> buffer;
  /// The part of the buffer behind the header.
  llvm::StringRef payload;
  std::vector<TensorInfo> infos;
  std::vector<UnsupportedTensor> unsupported;
  /// Name to position in `infos`.
  llvm::StringMap<size_t> index;
};

/// A tensor to write. `data` is little endian, in C order.
struct NamedTensor {
  std::string name;
  DType dtype;
  llvm::SmallVector<int64_t> shape;
  llvm::ArrayRef<char> data;
};

/// Writes `tensors` to `path` with writeFileAtomically. The data is laid out by
/// descending element size, then in the given order, behind a header padded to
/// 8 bytes: so every tensor is aligned to its element size in the file.
llvm::Error writeSafeTensors(llvm::StringRef path,
                             llvm::ArrayRef<NamedTensor> tensors);

} // namespace unisparse

#endif // UNISPARSE_SUPPORT_SAFETENSORS_H
