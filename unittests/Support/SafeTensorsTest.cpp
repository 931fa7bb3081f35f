//===- SafeTensorsTest.cpp - What is accepted, and what is written ---===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SafeTensorsFixture.h"
#include <csignal>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::safetensors;

namespace {

class SafeTensorsTest : public SafeTensorsFixture {};

//===----------------------------------------------------------------------===//
// What is accepted
//===----------------------------------------------------------------------===//

TEST_F(SafeTensorsTest, RoundTripOfAllDTypes) {
  std::vector<std::string> contents;
  for (auto [position, dtype] : enumerate(allDTypes))
    contents.push_back(std::string(3 * getDTypeSize(dtype), 'a' + position));
  // Sizes in ascending order are the harder order: 'U8' would unalign the rest.
  std::vector<NamedTensor> tensors;
  for (auto [dtype, content] : llvm::reverse(zip_equal(allDTypes, contents)))
    tensors.push_back(
        makeTensor(getDTypeName(dtype).str(), dtype, {3, 1}, content));
  ASSERT_EQ(toString(writeSafeTensors(path, tensors)), "");

  Expected<SafeTensorsFile> file = SafeTensorsFile::open(path);
  ASSERT_EQ(file ? "" : toString(file.takeError()), "");
  EXPECT_EQ(file->getPath(), path);
  EXPECT_EQ(file->tensors().size(), std::size(allDTypes));
  EXPECT_TRUE(file->unsupportedTensors().empty());
  uint64_t header = support::endian::read64le(readRaw().data());
  EXPECT_EQ(header % 8, 0u);
  for (auto [dtype, content] : zip_equal(allDTypes, contents)) {
    const TensorInfo *info = file->find(getDTypeName(dtype));
    ASSERT_NE(info, nullptr) << getDTypeName(dtype).str();
    EXPECT_EQ(info->dtype, dtype);
    EXPECT_EQ(ArrayRef<int64_t>(info->shape), ArrayRef<int64_t>({3, 1}));
    EXPECT_EQ(info->begin % getDTypeSize(dtype), 0u);
    EXPECT_EQ(toStringRef(file->data(*info)), content);
    EXPECT_EQ(parseDType(getDTypeName(dtype)), dtype);
  }
  EXPECT_EQ(parseDType("f32"), std::nullopt);
}

TEST_F(SafeTensorsTest, NamesOfAnyUTF8) {
  std::string names[] = {"", "a\"b\\c\n\x01", "\xc3\xa9\xe6\xbc\xa2", "a b"};
  std::vector<NamedTensor> tensors;
  for (const std::string &name : names)
    tensors.push_back(makeTensor(name, DType::U8, {}, "x"));
  ASSERT_EQ(toString(writeSafeTensors(path, tensors)), "");
  Expected<SafeTensorsFile> file = SafeTensorsFile::open(path);
  ASSERT_EQ(file ? "" : toString(file.takeError()), "");
  for (const std::string &name : names)
    EXPECT_NE(file->find(name), nullptr) << name;
}

TEST_F(SafeTensorsTest, NoTensors) {
  ASSERT_EQ(toString(writeSafeTensors(path, {})), "");
  EXPECT_EQ(openError(), "");
  EXPECT_EQ(openError("{}", 0), "");
}

TEST_F(SafeTensorsTest, EmptyTensorsAnywhere) {
  std::vector<NamedTensor> tensors = {
      makeTensor("e0", DType::F32, {0}, ""),
      makeTensor("a", DType::U8, {2}, "xy"),
      // The product of the rest overflows; there is no element all the same.
      makeTensor("e1", DType::F64, {INT64_MAX, 0, INT64_MAX}, ""),
      makeTensor("e2", DType::U8, {3, 0}, "")};
  ASSERT_EQ(toString(writeSafeTensors(path, tensors)), "");
  Expected<SafeTensorsFile> file = SafeTensorsFile::open(path);
  ASSERT_EQ(file ? "" : toString(file.takeError()), "");
  EXPECT_EQ(file->tensors().size(), 4u);
  EXPECT_TRUE(file->data(*file->find("e1")).empty());
  EXPECT_EQ(toStringRef(file->data(*file->find("a"))), "xy");
}

TEST_F(SafeTensorsTest, TensorsInOrderOfData) {
  EXPECT_EQ(
      openError(
          "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
          "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
          2),
      "");
  Expected<SafeTensorsFile> file = SafeTensorsFile::open(path);
  ASSERT_TRUE(bool(file));
  EXPECT_EQ(file->tensors()[0].name, "b");
  EXPECT_EQ(file->tensors()[1].name, "a");
}

TEST_F(SafeTensorsTest, MetadataAndPaddingAndUnknownFieldsTolerated) {
  EXPECT_EQ(openError("{\"__metadata__\":{\"format\":\"pt\",\"x\":[[1]]},\"a\":"
                      "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],"
                      "\"more\":null}}   ",
                      1),
            "");
  Expected<SafeTensorsFile> file = SafeTensorsFile::open(path);
  ASSERT_TRUE(bool(file));
  EXPECT_EQ(file->tensors().size(), 1u);
  EXPECT_EQ(file->find("__metadata__"), nullptr);
}

TEST_F(SafeTensorsTest, UnknownDTypeIsAnErrorOnlyWhenAskedFor) {
  EXPECT_EQ(
      openError("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":"
                "[0,3]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":"
                "[3,4]}}",
                4),
      "");
  Expected<SafeTensorsFile> file = SafeTensorsFile::open(path);
  ASSERT_TRUE(bool(file));
  ASSERT_EQ(file->unsupportedTensors().size(), 1u);
  EXPECT_EQ(file->unsupportedTensors()[0].dtypeName, "F8_E4M3");
  EXPECT_EQ(file->tensors().size(), 1u);
  EXPECT_EQ(file->find("a"), nullptr);
  EXPECT_EQ(toString(file->get("a").takeError()),
            path + ": tensor 'a': dtype, expected one of F64, F32, F16, BF16, "
                   "I64, I32, I16, I8, U8, BOOL, U16, U32, U64, got 'F8_E4M3'");
  EXPECT_EQ(toString(file->get("c").takeError()),
            path + ": tensor 'c', expected a name among the 2 in the file, got "
                   "no such tensor");
  Expected<const TensorInfo *> info = file->get("b");
  ASSERT_TRUE(bool(info));
  EXPECT_EQ((*info)->name, "b");
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

TEST_F(SafeTensorsTest, WriterRefusesBadTensors) {
  auto errorOf = [&](ArrayRef<NamedTensor> tensors) {
    std::string message = toString(writeSafeTensors(path, tensors));
    return StringRef(message).drop_front(path.size() + 2).str();
  };
  NamedTensor good = makeTensor("a", DType::U8, {1}, "x");
  EXPECT_EQ(errorOf({good, good}),
            "tensor 'a': name, expected it once, got it again");
  EXPECT_EQ(errorOf({makeTensor("__metadata__", DType::U8, {1}, "x")}),
            "tensor '__metadata__': name, expected a tensor's, got a reserved "
            "one");
  EXPECT_TRUE(StringRef(errorOf({makeTensor("\xff", DType::U8, {1}, "x")}))
                  .ends_with("name, expected UTF-8, got other bytes"));
  EXPECT_EQ(errorOf({makeTensor("a", DType::U8, {-1}, "x")}),
            "tensor 'a': shape [-1], expected dimensions from 0 and at most "
            "2^64 - 1 bytes, got others");
  EXPECT_EQ(errorOf({makeTensor("a", DType::F32, {INT64_MAX}, "x")}),
            "tensor 'a': shape [9223372036854775807], expected dimensions from "
            "0 and at most 2^64 - 1 bytes, got others");
  EXPECT_EQ(errorOf({makeTensor("a", DType::F32, {1}, "x")}),
            "tensor 'a': shape [1], expected 4 bytes of data, got 1");
  EXPECT_TRUE(listFolder().empty());
}

TEST_F(SafeTensorsTest, NothingHalfWritten) {
  // The system refuses the second megabyte, as a full disk would.
  rlimit old;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit small = {1 << 20, old.rlim_max};
  auto oldHandler = std::signal(SIGXFSZ, SIG_IGN);
  writeRaw("before");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string data(3 << 20, 'x');
  std::string message = toString(
      writeSafeTensors(path, makeTensor("a", DType::U8, {3 << 20}, data)));
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, oldHandler);
  EXPECT_EQ(message, path + ": cannot write, expected a complete file, got "
                            "\"File too large\"");
  EXPECT_EQ(readRaw(), "before");
  EXPECT_EQ(listFolder(), std::vector<std::string>{"file.safetensors"});
}

TEST_F(SafeTensorsTest, ReplacesAFileAndLeavesNoOther) {
  writeRaw("before");
  ASSERT_EQ(toString(writeSafeTensors(path, {})), "");
  EXPECT_EQ(readRaw(), StringRef("\x08\0\0\0\0\0\0\0{}      ", 16));
  EXPECT_EQ(listFolder(), std::vector<std::string>{"file.safetensors"});
}

TEST_F(SafeTensorsTest, UnwritablePaths) {
  path = pathOf("missing/file");
  EXPECT_EQ(toString(writeSafeTensors(path, {})),
            path + ": cannot write, expected a writable folder, got \"No such "
                   "file or directory\"");
  // A folder, and a pipe in the place of a device: neither may be replaced.
  path = pathOf("pipe");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  for (std::string target : {std::string(folder), path})
    EXPECT_EQ(toString(writeSafeTensors(target, {})),
              target + ": cannot write, expected a regular file or nothing "
                       "there, got another kind");
  EXPECT_EQ(listFolder(), std::vector<std::string>{"pipe"});
}

TEST_F(SafeTensorsTest, FollowsALinkAndTakesAnyName) {
  std::string link = pathOf("link");
  writeRaw("before");
  ASSERT_EQ(symlink(path.c_str(), link.c_str()), 0);
  ASSERT_EQ(toString(writeSafeTensors(link, {})), "");
  EXPECT_TRUE(sys::fs::is_symlink_file(link));
  EXPECT_EQ(readRaw().size(), 16u);

  ASSERT_FALSE(sys::fs::create_directory(pathOf("100%")));
  path = pathOf("100%/" + std::string(255, '%')); // 255 is the longest name.
  EXPECT_EQ(toString(writeSafeTensors(path, {})), "");
  EXPECT_EQ(openError(), "");
}

} // namespace
