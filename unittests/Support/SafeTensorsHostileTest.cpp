//===- SafeTensorsHostileTest.cpp - Files that are refused ---===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SafeTensorsFixture.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::safetensors;

namespace {

class SafeTensorsHostileTest : public SafeTensorsFixture {};

TEST_F(SafeTensorsHostileTest, NotAFile) {
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

TEST_F(SafeTensorsHostileTest, ShorterThanItsPrefix) {
  for (StringRef content : {"", "1234567"}) {
    writeRaw(content);
    EXPECT_EQ(openError(), "file size, expected at least 8 bytes, got " +
                               utostr(content.size()));
  }
}

TEST_F(SafeTensorsHostileTest, HeaderLongerThanTheFile) {
  writeRaw(StringRef("\x03\0\0\0\0\0\0\0{}", 10));
  EXPECT_EQ(openError(), "header length, expected at most the 2 bytes left in "
                         "the file, got 3");
}

TEST_F(SafeTensorsHostileTest, HeaderLongerThanTheLimit) {
  writeRaw("\xff\xff\xff\xff\xff\xff\xff\xff{}");
  EXPECT_EQ(openError(), "header length, expected at most 100000000, got "
                         "18446744073709551615");
  writeRaw(StringRef("\x01\xe1\xf5\x05\0\0\0\0{}", 10));
  EXPECT_EQ(openError(),
            "header length, expected at most 100000000, got 100000001");
}

TEST_F(SafeTensorsHostileTest, InvalidUTF8) {
  EXPECT_EQ(openError("{\"\xff\":1}", 0),
            "header, expected UTF-8, got other bytes at byte 10");
}

TEST_F(SafeTensorsHostileTest, InvalidJSON) {
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

TEST_F(SafeTensorsHostileTest, HeaderNotAnObject) {
  EXPECT_EQ(openError("[1]", 0), "header, expected '{', got '[' at byte 8");
  EXPECT_EQ(openError("null", 0), "header, expected '{', got 'n' at byte 8");
  EXPECT_EQ(openError("  ", 0),
            "header, expected '{', got the end of the header");
}

TEST_F(SafeTensorsHostileTest, DuplicateNames) {
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

TEST_F(SafeTensorsHostileTest, DeepNesting) {
  for (StringRef open : {"[", "{\"a\":", "[{\"\":"}) {
    std::string header = "{\"a\":";
    while (header.size() < 20'000'000)
      header += open;
    EXPECT_EQ(openError(header, 0), boundsMessage);
  }
}

TEST_F(SafeTensorsHostileTest, TooManyValues) {
  for (StringRef value : {"0,", "[],", "{\"\":0},"}) {
    std::string header = "{\"a\":[";
    while (header.size() < 20'000'000)
      header += value;
    EXPECT_EQ(openError(header + "0]}", 0), boundsMessage);
  }
}

TEST_F(SafeTensorsHostileTest, BracketsInStringsAreNoNesting) {
  EXPECT_EQ(openError("{\"[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\":{\"dtype\":\"U8\","
                      "\"shape\":[1],\"data_offsets\":[0,1]}}",
                      1),
            "");
}

TEST_F(SafeTensorsHostileTest, TensorNotAnObject) {
  EXPECT_EQ(openError("{\"a\":7}", 0), "tensor 'a', expected an object, got 7");
  // A name cannot break the message into lines, nor flood it.
  EXPECT_EQ(openError("{\"a\\n\\u0000b\":7}", 0),
            "tensor 'a??b', expected an object, got 7");
  EXPECT_EQ(openError("{\"" + std::string(1'000'000, 'n') + "\":7}", 0),
            "tensor '" + std::string(80, 'n') +
                "...', expected an object, got 7");
}

TEST_F(SafeTensorsHostileTest, MissingFields) {
  EXPECT_EQ(openError("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1),
            "tensor 'a': dtype, expected a string, got nothing");
  EXPECT_EQ(openError("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1),
            "tensor 'a': shape, expected an array, got nothing");
  EXPECT_EQ(openError("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1),
            "tensor 'a': data_offsets, expected an array of 2, got nothing");
}

TEST_F(SafeTensorsHostileTest, IllTypedFields) {
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

TEST_F(SafeTensorsHostileTest, DimensionsThatAreNone) {
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

TEST_F(SafeTensorsHostileTest, OverflowingShape) {
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

TEST_F(SafeTensorsHostileTest, SizeOtherThanRange) {
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

TEST_F(SafeTensorsHostileTest, OffsetsThatAreNone) {
  for (StringRef value : {"-1", "0.0", "null", "99999999999999999999999999"})
    EXPECT_TRUE(
        StringRef(tensorError("\"U8\"", "[1]", ("[" + value + ",1]").str(), 1))
            .starts_with("tensor 'a': data_offsets, expected integers "
                         "from 0, got "))
        << value.str() << ": " << openError();
}

TEST_F(SafeTensorsHostileTest, BeginBehindEnd) {
  EXPECT_EQ(tensorError("\"U8\"", "[1]", "[1,0]", 1),
            "tensor 'a': data_offsets, expected begin <= end, got [1, 0]");
}

TEST_F(SafeTensorsHostileTest, EndBeyondTheFile) {
  EXPECT_EQ(tensorError("\"U8\"", "[2]", "[0,2]", 1),
            "tensor 'a': data_offsets, expected an end within the 1 bytes of "
            "data, got 2");
  EXPECT_EQ(tensorError("\"U8\"", "[1]",
                        "[18446744073709551614,18446744073709551615]", 1),
            "tensor 'a': data_offsets, expected an end within the 1 bytes of "
            "data, got 18446744073709551615");
}

TEST_F(SafeTensorsHostileTest, OverlappingRanges) {
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

TEST_F(SafeTensorsHostileTest, Holes) {
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

TEST_F(SafeTensorsHostileTest, TrailingBytes) {
  EXPECT_EQ(tensorError("\"U8\"", "[1]", "[0,1]", 9),
            "trailing bytes behind the last tensor, expected 1 bytes of data, "
            "got 9");
  EXPECT_EQ(openError("{}", 1), "trailing bytes behind the last tensor, "
                                "expected 0 bytes of data, got 1");
}

TEST_F(SafeTensorsHostileTest, EveryPrefixAndFlippedByteIsHandled) {
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

} // namespace
