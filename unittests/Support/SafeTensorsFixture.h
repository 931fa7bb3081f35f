//===- SafeTensorsFixture.h - Files to read and to write ------------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef UNISPARSE_UNITTESTS_SUPPORT_SAFETENSORSFIXTURE_H
#define UNISPARSE_UNITTESTS_SUPPORT_SAFETENSORSFIXTURE_H

#include "unisparse/Support/SafeTensors.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <gtest/gtest.h>

namespace unisparse::safetensors {
using namespace llvm;

/// An empty folder per test, so that what a failed write leaves is seen.
class SafeTensorsFixture : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(sys::fs::createUniqueDirectory("safetensors", folder));
    path = pathOf("file.safetensors");
  }

  void TearDown() override { sys::fs::remove_directories(folder); }

  std::string pathOf(StringRef name) {
    SmallString<128> result(folder);
    sys::path::append(result, name);
    return result.str().str();
  }

  /// The names in the folder.
  std::vector<std::string> listFolder() {
    std::vector<std::string> names;
    std::error_code code;
    for (sys::fs::directory_iterator it(folder, code), end; it != end && !code;
         it.increment(code))
      names.push_back(sys::path::filename(it->path()).str());
    llvm::sort(names);
    return names;
  }

  void writeRaw(StringRef content) {
    std::error_code code;
    raw_fd_ostream os(path, code);
    ASSERT_FALSE(code);
    os << content;
  }

  std::string readRaw() {
    auto buffer = MemoryBuffer::getFile(path);
    return buffer ? (*buffer)->getBuffer().str() : "";
  }

  /// Writes a file of a header and `dataSize` bytes of data.
  void writeFile(StringRef header, size_t dataSize) {
    char prefix[8];
    support::endian::write64le(prefix, header.size());
    writeRaw(
        (StringRef(prefix, 8) + header + std::string(dataSize, 'x')).str());
  }

  /// The message open() ends in, behind "PATH: "; "" where it does not fail.
  std::string openError() {
    Expected<SafeTensorsFile> file = SafeTensorsFile::open(path);
    if (file)
      return "";
    std::string message = toString(file.takeError());
    EXPECT_TRUE(StringRef(message).starts_with(path + ": ")) << message;
    EXPECT_EQ(StringRef(message).count('\n'), 0u) << message;
    EXPECT_LT(message.size(), path.size() + 300) << message;
    return message.substr(path.size() + 2);
  }

  std::string openError(StringRef header, size_t dataSize) {
    writeFile(header, dataSize);
    return openError();
  }

  /// A header of one tensor 'a' with these JSON values.
  std::string tensorError(StringRef dtype, StringRef shape, StringRef offsets,
                          size_t dataSize) {
    return openError(("{\"a\":{\"dtype\":" + dtype + ",\"shape\":" + shape +
                      ",\"data_offsets\":" + offsets + "}}")
                         .str(),
                     dataSize);
  }

  SmallString<128> folder;
  std::string path;
};

inline NamedTensor makeTensor(std::string name, DType dtype,
                              SmallVector<int64_t> shape, StringRef data) {
  return {std::move(name), dtype, std::move(shape),
          ArrayRef<char>(data.data(), data.size())};
}

inline constexpr DType allDTypes[] = {
    DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64,
    DType::I32, DType::I16, DType::I8,  DType::U8,   DType::BOOL,
    DType::U16, DType::U32, DType::U64};

} // namespace unisparse::safetensors

#endif // UNISPARSE_UNITTESTS_SUPPORT_SAFETENSORSFIXTURE_H
