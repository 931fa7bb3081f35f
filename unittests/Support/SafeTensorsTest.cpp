//===- SafeTensorsTest.cpp - Tests of the safetensors reader and writer ---===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "unisparse/Support/SafeTensors.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <csignal>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llvm;
using namespace unisparse;

namespace {

/// An empty folder per test, so that what a failed write leaves is seen.
class SafeTensorsTest : public testing::Test {
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

NamedTensor makeTensor(std::string name, DType dtype,
                       SmallVector<int64_t> shape, StringRef data) {
  return {std::move(name), dtype, std::move(shape),
          ArrayRef<char>(data.data(), data.size())};
}

constexpr DType allDTypes[] = {DType::F64, DType::F32,  DType::F16, DType::BF16,
                               DType::I64, DType::I32,  DType::I16, DType::I8,
                               DType::U8,  DType::BOOL, DType::U16, DType::U32,
                               DType::U64};

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
// Hostile files
//===----------------------------------------------------------------------===//

TEST_F(SafeTensorsTest, NotAFile) {
  EXPECT_EQ(openError(), "cannot open, expected a readable file, got \"No such "
                         "file or directory\"");
  path = std::string(folder);
  EXPECT_EQ(openError(),
            "cannot open, expected a regular file, got another kind");
  path = pathOf("pipe"); // Opening it would block.
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(openError(),
            "cannot open, expected a regular file, got another kind");
}

TEST_F(SafeTensorsTest, ShorterThanItsPrefix) {
  for (StringRef content : {"", "1234567"}) {
    writeRaw(content);
    EXPECT_EQ(openError(), "file size, expected at least 8 bytes, got " +
                               utostr(content.size()));
  }
}

TEST_F(SafeTensorsTest, HeaderLongerThanTheFile) {
  writeRaw(StringRef("\x03\0\0\0\0\0\0\0{}", 10));
  EXPECT_EQ(openError(), "header length, expected at most the 2 bytes left in "
                         "the file, got 3");
}

TEST_F(SafeTensorsTest, HeaderLongerThanTheLimit) {
  writeRaw("\xff\xff\xff\xff\xff\xff\xff\xff{}");
  EXPECT_EQ(openError(), "header length, expected at most 100000000, got "
                         "18446744073709551615");
  writeRaw(StringRef("\x01\xe1\xf5\x05\0\0\0\0{}", 10));
  EXPECT_EQ(openError(),
            "header length, expected at most 100000000, got 100000001");
}

TEST_F(SafeTensorsTest, InvalidUTF8) {
  EXPECT_EQ(openError("{\"\xff\":1}", 0),
            "header, expected UTF-8, got other bytes at byte 10");
}

TEST_F(SafeTensorsTest, InvalidJSON) {
  StringRef headers[] = {"",
                         "{",
                         "{\"a",
                         "{\"a\\",
                         "{\"a\":",
                         "{\"a\":1",
                         "{\"a\":1,}",
                         "}",
                         "]",
                         "{} {}",
                         "{\"\\q\":1}",
                         "{]",
                         "nul",
                         "\\",
                         "\"",
                         "{\"a\"}",
                         "{a:1}",
                         "{,}",
                         "{\"a\":}",
                         "{\"a\":1 2}",
                         "{\"a\":[}",
                         "{\"a\":[1}]}",
                         "{\"a\":{\"b\"}}",
                         "{\"a\":{\"\\q\":1}}",
                         "{\"a\":{\"dtype\":\"U8\""};
  for (StringRef header : headers)
    EXPECT_TRUE(StringRef(openError(header, 0)).contains("header"))
        << header.str() << ": " << openError();
  EXPECT_EQ(openError(StringRef("{}\0\0", 4), 0),
            "header, expected one object, got more at byte 10");
  EXPECT_EQ(
      openError("{\"a\":1;}", 0),
      "header, value of 'a', expected JSON, got an error at [1:1, byte=1]: "
      "Text after end of document");
  // Nobody looks at the metadata, but they must not hide broken text.
  EXPECT_NE(openError("{\"__metadata__\":nul}", 0), "");
}

TEST_F(SafeTensorsTest, HeaderNotAnObject) {
  EXPECT_EQ(openError("[1]", 0), "header, expected '{', got '[' at byte 8");
  EXPECT_EQ(openError("null", 0), "header, expected '{', got 'n' at byte 8");
  EXPECT_EQ(openError("  ", 0),
            "header, expected '{', got the end of the header");
}

TEST_F(SafeTensorsTest, DuplicateNames) {
  std::string tensor =
      "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}";
  std::string message =
      "duplicate name in header, expected 'a' once, got it again";
  EXPECT_EQ(openError("{\"a\":" + tensor + ",\"a\":" + tensor + "}", 1),
            message);
  // The same name in other letters.
  EXPECT_EQ(openError("{\"a\":" + tensor + ",\"\\u0061\" :" + tensor + "}", 1),
            message);
  EXPECT_EQ(openError("{\"x\":{\"a\":\"U8\",\"a\":\"I8\"}}", 0), message);
  EXPECT_EQ(openError("{\"x\":[{\"\\u0061\":0}, {\"a\":1 , \"a\" :2}]}", 0),
            message);
  // A value equal to a key is no duplicate, nor is a key of another object.
  EXPECT_EQ(openError("{\"U8\":" + tensor + "}", 1), "");
}

constexpr char boundsMessage[] =
    "header, nesting or size of the value of 'a', expected at most 16 levels, "
    "4096 objects and 1048576 values, got more";

TEST_F(SafeTensorsTest, DeepNesting) {
  for (StringRef open : {"[", "{\"a\":", "[{\"\":"}) {
    std::string header = "{\"a\":";
    while (header.size() < 20'000'000)
      header += open;
    EXPECT_EQ(openError(header, 0), boundsMessage);
  }
}

TEST_F(SafeTensorsTest, TooManyValues) {
  for (StringRef value : {"0,", "[],", "{\"\":0},"}) {
    std::string header = "{\"a\":[";
    while (header.size() < 20'000'000)
      header += value;
    EXPECT_EQ(openError(header + "0]}", 0), boundsMessage);
  }
}

TEST_F(SafeTensorsTest, BracketsInStringsAreNoNesting) {
  EXPECT_EQ(openError("{\"[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\":{\"dtype\":\"U8\","
                      "\"shape\":[1],\"data_offsets\":[0,1]}}",
                      1),
            "");
}

TEST_F(SafeTensorsTest, TensorNotAnObject) {
  EXPECT_EQ(openError("{\"a\":7}", 0), "tensor 'a', expected an object, got 7");
  // A name cannot break the message into lines, nor flood it.
  EXPECT_EQ(openError("{\"a\\n\\u0000b\":7}", 0),
            "tensor 'a??b', expected an object, got 7");
  EXPECT_EQ(openError("{\"" + std::string(1'000'000, 'n') + "\":7}", 0),
            "tensor '" + std::string(80, 'n') +
                "...', expected an object, got 7");
}

TEST_F(SafeTensorsTest, MissingFields) {
  EXPECT_EQ(openError("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1),
            "tensor 'a': dtype, expected a string, got nothing");
  EXPECT_EQ(openError("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1),
            "tensor 'a': shape, expected an array, got nothing");
  EXPECT_EQ(openError("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1),
            "tensor 'a': data_offsets, expected an array of 2, got nothing");
}

TEST_F(SafeTensorsTest, IllTypedFields) {
  EXPECT_EQ(tensorError("8", "[1]", "[0,1]", 1),
            "tensor 'a': dtype, expected a string, got 8");
  EXPECT_EQ(tensorError("\"U8\"", "1", "[0,1]", 1),
            "tensor 'a': shape, expected an array, got 1");
  EXPECT_EQ(tensorError("\"U8\"", "[1]", "[0,1,2]", 1),
            "tensor 'a': data_offsets, expected an array of 2, got an array of "
            "3");
  EXPECT_EQ(tensorError("\"U8\"", "[1]", "{}", 1),
            "tensor 'a': data_offsets, expected an array of 2, got an object");
}

TEST_F(SafeTensorsTest, DimensionsThatAreNone) {
  StringRef values[] = {"-1",
                        "1.0",
                        "1e3",
                        "true",
                        "null",
                        "[1]",
                        "\"1\"",
                        "1e999",
                        "9223372036854775808",
                        "99999999999999999999999999"};
  for (StringRef value : values)
    EXPECT_TRUE(
        StringRef(tensorError("\"U8\"", ("[" + value + "]").str(), "[0,1]", 1))
            .starts_with("tensor 'a': shape, expected integers from 0 to "
                         "9223372036854775807, got "))
        << value.str() << ": " << openError();
}

TEST_F(SafeTensorsTest, OverflowingShape) {
  // 2^32 * 2^32 * 1 is 0 in 64 bits: it must not pass for an empty tensor.
  EXPECT_EQ(
      tensorError("\"U8\"", "[4294967296,4294967296]", "[0,0]", 0),
      "tensor 'a': size of U8[4294967296, 4294967296], expected at most 2^64 - "
      "1 bytes, got more");
  // Here only the element size overflows.
  EXPECT_EQ(tensorError("\"F64\"", "[2305843009213693952]", "[0,0]", 0),
            "tensor 'a': size of F64[2305843009213693952], expected at most "
            "2^64 - 1 bytes, got more");
  EXPECT_EQ(tensorError("\"U8\"", "[9223372036854775807]", "[0,1]", 1),
            "tensor 'a': size of U8[9223372036854775807], expected "
            "9223372036854775807 bytes, got 1");
}

TEST_F(SafeTensorsTest, SizeOtherThanRange) {
  EXPECT_EQ(tensorError("\"F32\"", "[2,3]", "[0,20]", 20),
            "tensor 'a': size of F32[2, 3], expected 24 bytes, got 20");
  EXPECT_EQ(tensorError("\"F32\"", "[]", "[0,0]", 0),
            "tensor 'a': size of F32[], expected 4 bytes, got 0");
  EXPECT_EQ(tensorError("\"U8\"", "[0]", "[0,1]", 1),
            "tensor 'a': size of U8[0], expected 0 bytes, got 1");
  std::string rank = "[1";
  for (int i = 0; i < 100'000; ++i)
    rank += ",1";
  EXPECT_NE(tensorError("\"U8\"", rank + "]", "[0,2]", 2), "");
}

TEST_F(SafeTensorsTest, OffsetsThatAreNone) {
  for (StringRef value : {"-1", "0.0", "null", "99999999999999999999999999"})
    EXPECT_TRUE(
        StringRef(tensorError("\"U8\"", "[1]", ("[" + value + ",1]").str(), 1))
            .starts_with("tensor 'a': data_offsets, expected integers "
                         "from 0, got "))
        << value.str() << ": " << openError();
}

TEST_F(SafeTensorsTest, BeginBehindEnd) {
  EXPECT_EQ(tensorError("\"U8\"", "[1]", "[1,0]", 1),
            "tensor 'a': data_offsets, expected begin <= end, got [1, 0]");
}

TEST_F(SafeTensorsTest, EndBeyondTheFile) {
  EXPECT_EQ(tensorError("\"U8\"", "[2]", "[0,2]", 1),
            "tensor 'a': data_offsets, expected an end within the 1 bytes of "
            "data, got 2");
  EXPECT_EQ(tensorError("\"U8\"", "[1]",
                        "[18446744073709551614,18446744073709551615]", 1),
            "tensor 'a': data_offsets, expected an end within the 1 bytes of "
            "data, got 18446744073709551615");
}

TEST_F(SafeTensorsTest, OverlappingRanges) {
  EXPECT_EQ(
      openError(
          "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
          3),
      "tensor 'b': data overlaps the one before, expected begin 2, got 1");
  // Tensors of unknown dtype take part.
  EXPECT_EQ(
      openError(
          "{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,2]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
          2),
      "tensor 'b': data overlaps the one before, expected begin 2, got 0");
}

TEST_F(SafeTensorsTest, Holes) {
  EXPECT_EQ(
      tensorError("\"U8\"", "[1]", "[1,2]", 2),
      "tensor 'a': data leaves a hole before it, expected begin 0, got 1");
  EXPECT_EQ(
      openError(
          "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
          3),
      "tensor 'b': data leaves a hole before it, expected begin 1, got 2");
}

TEST_F(SafeTensorsTest, TrailingBytes) {
  EXPECT_EQ(tensorError("\"U8\"", "[1]", "[0,1]", 9),
            "trailing bytes behind the last tensor, expected 1 bytes of data, "
            "got 9");
  EXPECT_EQ(openError("{}", 1), "trailing bytes behind the last tensor, "
                                "expected 0 bytes of data, got 1");
}

TEST_F(SafeTensorsTest, EveryPrefixAndFlippedByteIsHandled) {
  std::string data(24, 'd');
  ASSERT_EQ(
      toString(writeSafeTensors(
          path, {makeTensor("a", DType::F32, {2, 2}, data.substr(0, 16)),
                 makeTensor("\xc3\xa9", DType::I8, {8}, data.substr(0, 8))})),
      "");
  std::string whole = readRaw();
  for (size_t size = 0; size < whole.size(); ++size) {
    writeRaw(StringRef(whole).take_front(size));
    EXPECT_NE(openError(), "") << size;
  }
  size_t headerEnd = whole.size() - 24;
  for (size_t pos = 0; pos < headerEnd; ++pos)
    for (char flip : {'\x01', '\x20', '\x80'}) {
      std::string changed = whole;
      changed[pos] ^= flip;
      writeRaw(changed);
      openError(); // Some changes are fine (another name); none may crash.
    }
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
