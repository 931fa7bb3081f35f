//===- SafeTensors.cpp - Reading safetensors files ------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "unisparse/Support/SafeTensors.h"
#include "FileErrors.h"
#include "unisparse/Support/RegularFile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <tuple>

using namespace llvm;
using namespace unisparse::files;

namespace unisparse {

namespace {

/// Bounds on one member of the header: a tensor needs 2 levels, 3 objects or
/// arrays and about 10 values; the slack is for __metadata__. llvm::json
/// recurses once per level, takes 5 KB for the smallest object, and some 200
/// bytes for each value, so that 100 MB of text could ask for 40 GB. Within
/// these bounds, and with one member parsed at a time, the largest header seen
/// in tests takes some hundred MB.
constexpr size_t maxMemberDepth = 16;
constexpr size_t maxMemberObjects = 1 << 12;
constexpr size_t maxMemberValues = 1 << 20;

struct DTypeEntry {
  DType dtype;
  unsigned size;
  StringLiteral name;
};

constexpr DTypeEntry dtypeTable[] = {
    {DType::F64, 8, "F64"},   {DType::F32, 4, "F32"}, {DType::F16, 2, "F16"},
    {DType::BF16, 2, "BF16"}, {DType::I64, 8, "I64"}, {DType::I32, 4, "I32"},
    {DType::I16, 2, "I16"},   {DType::I8, 1, "I8"},   {DType::U8, 1, "U8"},
    {DType::BOOL, 1, "BOOL"}, {DType::U16, 2, "U16"}, {DType::U32, 4, "U32"},
    {DType::U64, 8, "U64"},
};

const DTypeEntry &lookUp(DType dtype) {
  return *find_if(dtypeTable, [&](const DTypeEntry &entry) {
    return entry.dtype == dtype;
  });
}

} // namespace

unsigned getDTypeSize(DType dtype) { return lookUp(dtype).size; }

StringRef getDTypeName(DType dtype) { return lookUp(dtype).name; }

std::optional<DType> parseDType(StringRef name) {
  for (const DTypeEntry &entry : dtypeTable)
    if (entry.name == name)
      return entry.dtype;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {

/// A header's tensor before its dtype is looked at.
struct HeaderEntry {
  TensorInfo info;
  std::string dtypeName;
  bool supported = true;
};

/// One member of the header's object; the value is still text.
struct HeaderMember {
  std::string name;
  StringRef value;
};

/// Cuts the header's object into its members and checks, before llvm::json sees
/// them, what it cannot report: nesting (it recurses), the number of values (it
/// allocates), and duplicate names (it keeps the last one).
class HeaderSplitter {
public:
  HeaderSplitter(StringRef path, StringRef text) : path(path), text(text) {}

  /// The members, sorted by name: an error is then the same on each run.
  Expected<std::vector<HeaderMember>> split() {
    std::vector<HeaderMember> members;
    size_t invalid = 0;
    if (!json::isUTF8(text, &invalid))
      return fail(path, "header", "UTF-8",
                  "other bytes at " + position(invalid));
    if (Error error = expect('{'))
      return error;
    if (peek() != '}') {
      do {
        if (Error error = readMember(members.emplace_back()))
          return error;
      } while (consume(','));
    }
    if (Error error = expect('}'))
      return error;
    peek();
    if (pos != text.size())
      return fail(path, "header", "one object", "more at " + position(pos));

    auto byName = [](const HeaderMember &lhs, const HeaderMember &rhs) {
      return lhs.name < rhs.name;
    };
    llvm::sort(members, byName);
    for (size_t i = 1; i < members.size(); ++i)
      if (members[i - 1].name == members[i].name)
        return failDuplicate(members[i].name);
    return members;
  }

private:
  /// Where in the file text[pos] stands.
  static std::string position(size_t pos) {
    return "byte " + utostr(pos + sizeof(uint64_t));
  }

  Error failDuplicate(StringRef name) {
    return fail(path, "duplicate name in header", quote(name) + " once",
                "it again");
  }

  /// The next character that is not white space, 0 at the end.
  char peek() {
    pos = std::min(text.find_first_not_of(" \t\r\n", pos), text.size());
    return pos < text.size() ? text[pos] : 0;
  }

  bool consume(char c) {
    if (peek() != c)
      return false;
    ++pos;
    return true;
  }

  Error expect(char c) {
    if (consume(c))
      return Error::success();
    std::string got = pos == text.size()
                          ? "the end of the header"
                          : quote(text.substr(pos, 1)) + " at " + position(pos);
    return fail(path, "header", "'" + Twine(c) + "'", got);
  }

  /// The string literal at `pos`, quotes included. One that never ends runs to
  /// the end of the text; the parser reports it.
  StringRef readLiteral() {
    size_t begin = pos++;
    while (pos < text.size() && text[pos] != '"')
      pos += text[pos] == '\\' ? 2 : 1;
    pos = std::min(pos + 1, text.size());
    return text.slice(begin, pos);
  }

  /// The value of a literal: "a" and "\u0061" are one name.
  Error unescape(StringRef literal, std::string &result) {
    Expected<json::Value> value = json::parse(literal);
    if (!value)
      return fail(path, "name in header", "a JSON string",
                  "an error at " + toString(value.takeError()));
    result = value->getAsString().value_or("").str();
    return Error::success();
  }

  Error readMember(HeaderMember &member) {
    if (peek() != '"')
      return expect('"');
    if (Error error = unescape(readLiteral(), member.name))
      return error;
    if (Error error = expect(':'))
      return error;
    peek();
    size_t begin = pos;
    if (Error error = skipValue(member.name))
      return error;
    member.value = text.slice(begin, pos);
    return Error::success();
  }

  /// Goes to the ',' or the bracket behind the value at `pos`.
  Error skipValue(StringRef name) {
    // One set of names per open object or array.
    SmallVector<StringSet<>, 0> open;
    size_t objects = 0, values = 0;
    std::string what = "header, nesting or size of the value of " + quote(name);
    while (pos < text.size()) {
      char c = text[pos];
      if (open.empty() && (c == ',' || c == '}' || c == ']'))
        break;
      if (c == '"') {
        if (Error error = readInnerLiteral(open))
          return error;
        continue;
      }
      ++pos;
      if (c == '{' || c == '[') {
        open.emplace_back();
        ++objects;
      } else if (c == '}' || c == ']') {
        open.pop_back();
      } else if (c == ',') {
        ++values;
      }
      if (open.size() > maxMemberDepth || objects > maxMemberObjects ||
          values > maxMemberValues)
        return fail(path, what,
                    "at most " + Twine(maxMemberDepth) + " levels, " +
                        Twine(maxMemberObjects) + " objects and " +
                        Twine(maxMemberValues) + " values",
                    "more");
    }
    return Error::success();
  }

  /// A string within a value: where it is a name, it must be a new one.
  Error readInnerLiteral(SmallVectorImpl<StringSet<>> &open) {
    StringRef literal = readLiteral();
    if (open.empty() || peek() != ':')
      return Error::success();
    std::string name;
    if (Error error = unescape(literal, name))
      return error;
    return open.back().insert(name).second ? Error::success()
                                           : failDuplicate(name);
  }

  StringRef path;
  StringRef text;
  size_t pos = 0;
};

/// How a JSON value reads in an error message.
std::string describe(const json::Value *value) {
  if (!value)
    return "nothing";
  if (std::optional<StringRef> string = value->getAsString())
    return "the string " + quote(*string);
  if (const json::Array *array = value->getAsArray())
    return "an array of " + utostr(array->size());
  if (value->getAsObject())
    return "an object";
  std::string text;
  raw_string_ostream(text) << *value;
  return text;
}

/// Reads one tensor of the header, each field by itself; `what` names it.
class EntryReader {
public:
  EntryReader(StringRef path, StringRef name, uint64_t payloadSize)
      : path(path), what("tensor " + quote(name)), payloadSize(payloadSize) {
    entry.info.name = name.str();
  }

  Expected<HeaderEntry> read(const json::Value &value) {
    const json::Object *object = value.getAsObject();
    if (!object)
      return fail(path, what, "an object", describe(&value));
    if (Error error = readDType(object->get("dtype")))
      return error;
    if (Error error = readShape(object->get("shape")))
      return error;
    if (Error error = readOffsets(object->get("data_offsets")))
      return error;
    if (Error error = checkSize())
      return error;
    return std::move(entry);
  }

private:
  Error readDType(const json::Value *value) {
    std::optional<StringRef> name =
        value ? value->getAsString() : std::optional<StringRef>();
    if (!name)
      return fail(path, what + ": dtype", "a string", describe(value));
    entry.dtypeName = name->str();
    std::optional<DType> dtype = parseDType(*name);
    entry.supported = dtype.has_value();
    entry.info.dtype = dtype.value_or(DType::U8);
    return Error::success();
  }

  Error readShape(const json::Value *value) {
    const json::Array *dims = value ? value->getAsArray() : nullptr;
    if (!dims)
      return fail(path, what + ": shape", "an array", describe(value));
    for (const json::Value &dim : *dims) {
      // Unlike getAsInteger this refuses 2.0 and 1e3, as other readers do.
      std::optional<uint64_t> extent = dim.getAsUINT64();
      if (!extent || *extent > uint64_t(INT64_MAX))
        return fail(path, what + ": shape",
                    "integers from 0 to " + Twine(INT64_MAX), describe(&dim));
      entry.info.shape.push_back(static_cast<int64_t>(*extent));
    }
    return Error::success();
  }

  Error readOffsets(const json::Value *value) {
    std::string field = what + ": data_offsets";
    const json::Array *offsets = value ? value->getAsArray() : nullptr;
    if (!offsets || offsets->size() != 2)
      return fail(path, field, "an array of 2", describe(value));
    uint64_t *targets[] = {&entry.info.begin, &entry.info.end};
    for (auto [offset, target] : zip_equal(*offsets, targets)) {
      std::optional<uint64_t> number = offset.getAsUINT64();
      if (!number)
        return fail(path, field, "integers from 0", describe(&offset));
      *target = *number;
    }
    uint64_t begin = entry.info.begin, end = entry.info.end;
    if (begin > end)
      return fail(path, field, "begin <= end",
                  "[" + Twine(begin) + ", " + Twine(end) + "]");
    if (end > payloadSize)
      return fail(path, field,
                  "an end within the " + Twine(payloadSize) + " bytes of data",
                  Twine(end));
    return Error::success();
  }

  Error checkSize() {
    if (!entry.supported)
      return Error::success();
    const TensorInfo &info = entry.info;
    std::optional<uint64_t> bytes = byteSize(info.dtype, info.shape);
    std::string field =
        what + ": size of " + entry.dtypeName + formatShape(info.shape);
    if (!bytes)
      return fail(path, field, "at most 2^64 - 1 bytes", "more");
    if (*bytes != info.end - info.begin)
      return fail(path, field, Twine(*bytes) + " bytes",
                  Twine(info.end - info.begin));
    return Error::success();
  }

  StringRef path;
  std::string what;
  uint64_t payloadSize;
  HeaderEntry entry;
};

Expected<std::vector<HeaderEntry>> parseHeader(StringRef path, StringRef text,
                                               uint64_t payloadSize) {
  std::vector<HeaderMember> members;
  if (Error error = HeaderSplitter(path, text).split().moveInto(members))
    return error;
  std::vector<HeaderEntry> entries;
  for (const HeaderMember &member : members) {
    Expected<json::Value> value = json::parse(member.value);
    if (!value)
      return fail(path, "header, value of " + quote(member.name), "JSON",
                  "an error at " + toString(value.takeError()));
    if (member.name == "__metadata__")
      continue;
    Expected<HeaderEntry> entry =
        EntryReader(path, member.name, payloadSize).read(*value);
    if (!entry)
      return entry.takeError();
    entries.push_back(std::move(*entry));
  }
  return entries;
}

/// Checks that the ranges, sorted by position, cover the data exactly.
Error checkCoverage(StringRef path, ArrayRef<HeaderEntry> entries,
                    uint64_t payloadSize) {
  uint64_t covered = 0;
  for (const HeaderEntry &entry : entries) {
    const TensorInfo &info = entry.info;
    if (info.begin != covered)
      return fail(path,
                  "tensor " + quote(info.name) +
                      (info.begin < covered ? ": data overlaps the one before"
                                            : ": data leaves a hole before it"),
                  "begin " + Twine(covered), Twine(info.begin));
    covered = info.end;
  }
  if (covered != payloadSize)
    return fail(path, "trailing bytes behind the last tensor",
                Twine(covered) + " bytes of data", Twine(payloadSize));
  return Error::success();
}

/// Cuts a file's content into header and data.
Expected<std::pair<StringRef, StringRef>> splitFile(StringRef path,
                                                    StringRef content) {
  constexpr size_t prefix = sizeof(uint64_t);
  if (content.size() < prefix)
    return fail(path, "file size", "at least 8 bytes", Twine(content.size()));
  uint64_t headerSize = support::endian::read64le(content.data());
  if (headerSize > maxHeaderBytes)
    return fail(path, "header length", "at most " + Twine(maxHeaderBytes),
                Twine(headerSize));
  content = content.drop_front(prefix);
  if (headerSize > content.size())
    return fail(path, "header length",
                "at most the " + Twine(content.size()) +
                    " bytes left in the file",
                Twine(headerSize));
  return std::pair(content.take_front(headerSize),
                   content.drop_front(headerSize));
}

} // namespace

Expected<SafeTensorsFile> SafeTensorsFile::open(StringRef path) {
  SafeTensorsFile file;
  file.path = path.str();
  if (Error error = openRegularFile(path).moveInto(file.buffer))
    return error;

  std::pair<StringRef, StringRef> parts;
  if (Error error = splitFile(path, file.buffer->getBuffer()).moveInto(parts))
    return error;
  auto [header, payload] = parts;
  file.payload = payload;

  std::vector<HeaderEntry> entries;
  if (Error error = parseHeader(path, header, payload.size()).moveInto(entries))
    return error;
  for (const HeaderEntry &entry : entries)
    if (!entry.supported)
      file.unsupported.push_back({entry.info.name, entry.dtypeName});

  // An empty tensor shares its begin with the one behind it and comes first.
  llvm::sort(entries, [](const HeaderEntry &lhs, const HeaderEntry &rhs) {
    return std::tie(lhs.info.begin, lhs.info.end, lhs.info.name) <
           std::tie(rhs.info.begin, rhs.info.end, rhs.info.name);
  });
  if (Error error = checkCoverage(path, entries, payload.size()))
    return error;

  for (HeaderEntry &entry : entries) {
    if (!entry.supported)
      continue;
    file.index[entry.info.name] = file.infos.size();
    file.infos.push_back(std::move(entry.info));
  }
  return std::move(file);
}

const TensorInfo *SafeTensorsFile::find(StringRef name) const {
  auto it = index.find(name);
  return it == index.end() ? nullptr : &infos[it->second];
}

Expected<const TensorInfo *> SafeTensorsFile::get(StringRef name) const {
  if (const TensorInfo *info = find(name))
    return info;
  for (const UnsupportedTensor &tensor : unsupported) {
    if (tensor.name != name)
      continue;
    auto names = map_range(
        dtypeTable, [](const DTypeEntry &entry) { return entry.name.str(); });
    return fail(path, "tensor " + quote(name) + ": dtype",
                "one of " + join(names, ", "), quote(tensor.dtypeName));
  }
  return fail(path, "tensor " + quote(name),
              "a name among the " + Twine(infos.size() + unsupported.size()) +
                  " in the file",
              "no such tensor");
}

ArrayRef<char> SafeTensorsFile::data(const TensorInfo &info) const {
  assert(info.begin <= info.end && info.end <= payload.size() &&
         "tensor of another file");
  StringRef bytes = payload.slice(info.begin, info.end);
  return ArrayRef<char>(bytes.data(), bytes.size());
}

} // namespace unisparse
