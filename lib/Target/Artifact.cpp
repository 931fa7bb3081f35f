// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Target/Artifact.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CRC.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/EndianStream.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::artifact;

//===----------------------------------------------------------------------===//
// Formulas
//===----------------------------------------------------------------------===//

Expr artifact::constant(int64_t value) { return {{TermOp::Constant, value}}; }

std::optional<int64_t> artifact::constantOf(const Expr &expr) {
  if (expr.size() != 1 || expr[0].op != TermOp::Constant)
    return std::nullopt;
  return expr[0].value;
}

/// Nothing where the runtime would refuse: overflow, a divisor below 1.
static std::optional<int64_t> fold(TermOp op, int64_t a, int64_t b) {
  int64_t result;
  switch (op) {
  case TermOp::Add:
    return AddOverflow(a, b, result) ? std::nullopt : std::optional(result);
  case TermOp::Sub:
    return SubOverflow(a, b, result) ? std::nullopt : std::optional(result);
  case TermOp::Mul:
    return MulOverflow(a, b, result) ? std::nullopt : std::optional(result);
  case TermOp::FloorDiv:
    return b < 1 ? std::nullopt : std::optional(divideFloorSigned(a, b));
  case TermOp::CeilDiv:
    return b < 1 ? std::nullopt : std::optional(divideCeilSigned(a, b));
  case TermOp::Min:
    return std::min(a, b);
  case TermOp::Max:
    return std::max(a, b);
  default:
    return std::nullopt;
  }
}

Expr artifact::combine(TermOp op, const Expr &left, const Expr &right) {
  std::optional<int64_t> a = constantOf(left), b = constantOf(right);
  if (a && b)
    if (std::optional<int64_t> value = fold(op, *a, *b))
      return constant(*value);
  bool isSum = op == TermOp::Add, isProduct = op == TermOp::Mul;
  bool isDivision = op == TermOp::FloorDiv || op == TermOp::CeilDiv;
  if ((b == 0 && (isSum || op == TermOp::Sub)) ||
      (b == 1 && (isProduct || isDivision)))
    return left;
  if ((a == 0 && isSum) || (a == 1 && isProduct))
    return right;
  // x + -1 reads x - 1.
  if (isSum && b && *b < 0 && *b != INT64_MIN)
    return combine(TermOp::Sub, left, constant(-*b));
  Expr result = left;
  append_range(result, right);
  result.push_back({op, 0});
  return result;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

namespace {
/// Appends records; one overload a record, in the order of docs/Artifact.md.
class Writer {
public:
  explicit Writer(std::string &bytes)
      : os(bytes), writer(os, llvm::endianness::little) {}

  void put(uint32_t value) { writer.write(value); }
  void put(uint64_t value) { writer.write(value); }
  void put(int64_t value) { writer.write(value); }
  void put(StringRef text) {
    put(static_cast<uint32_t>(text.size()));
    os << text;
  }
  void put(const std::string &text) { put(StringRef(text)); }
  template <typename E, typename = std::enable_if_t<std::is_enum_v<E>>>
  void put(E value) {
    put(static_cast<uint32_t>(value));
  }
  /// A count and that many records.
  template <typename T>
  void put(const std::vector<T> &records) {
    put(static_cast<uint32_t>(records.size()));
    putAll(records);
  }
  template <typename Range>
  void putAll(const Range &records) {
    for (const auto &record : records)
      put(record);
  }

  void put(const Term &t) {
    put(t.op);
    put(t.value);
  }
  void put(const Input &i) {
    put(i.name);
    put(i.element);
    put(i.dims);
    put(i.layout);
  }
  void put(const Output &o) {
    put(o.name);
    put(o.element);
    put(o.sizes);
    put(o.layout);
  }
  void put(const Check &c) {
    put(c.label);
    put(c.left);
    put(c.relation);
    put(c.right);
    put(c.leftName);
    put(c.rightName);
  }
  void put(const Buffer &b) {
    put(b.kind);
    put(b.index);
  }
  void put(const TensorMap &m) {
    put(m.buffer);
    put(m.element);
    put(m.sizes);
    putAll(m.strides);
    putAll(m.box);
    put(m.swizzle);
  }
  void put(const Argument &a) {
    put(a.kind);
    switch (a.kind) {
    case Argument::Kind::Address:
      return put(a.buffer);
    case Argument::Kind::I32:
    case Argument::Kind::I64:
      return put(a.expr);
    case Argument::Kind::F32:
      return put(a.bits);
    case Argument::Kind::Map:
      return put(a.map);
    }
  }
  void put(const Step &s) {
    put(s.kind);
    if (s.kind == Step::Kind::Fill) {
      put(s.buffer);
      put(s.word);
      return put(s.words);
    }
    put(s.kernel);
    put(s.schedule);
    putAll(s.grid);
    putAll(s.block);
    put(s.sharedBytes);
    put(static_cast<uint32_t>(s.overlaps));
    put(s.arguments);
  }
  void put(const Variant &v) {
    put(v.chip);
    put(v.capability);
    put(static_cast<uint32_t>(v.exact));
    put(v.kind);
    put(v.leastDriver);
    put(static_cast<uint64_t>(v.image.size()));
    os << v.image;
    put(v.workspace);
    put(v.steps);
  }
  void put(const Artifact &a) {
    put(a.producer);
    put(a.entry);
    put(a.symbols);
    put(a.inputs);
    put(a.outputs);
    put(a.checks);
    put(a.variants);
  }

private:
  raw_string_ostream os;
  support::endian::Writer writer;
};

template <typename T>
std::string bytesOf(const T &record) {
  std::string bytes;
  Writer(bytes).put(record);
  return bytes;
}
} // namespace

std::string artifact::write(const Artifact &artifact) {
  std::string body = bytesOf(artifact), file;
  raw_string_ostream os(file);
  support::endian::Writer head(os, llvm::endianness::little);
  os << kMagic;
  head.write(kVersion);
  head.write(crc32(arrayRefFromStringRef(body)));
  head.write(static_cast<uint64_t>(body.size()));
  os << body;
  return file;
}

std::string artifact::appendDescription(StringRef library,
                                        StringRef description) {
  std::string file = (library + description).str();
  raw_string_ostream os(file);
  support::endian::Writer footer(os, llvm::endianness::little);
  footer.write(static_cast<uint64_t>(library.size()));
  footer.write(static_cast<uint64_t>(description.size()));
  footer.write(static_cast<uint32_t>(UNISPARSE_CPU_VERSION));
  footer.write(crc32(arrayRefFromStringRef(file)));
  os << UNISPARSE_CPU_MAGIC;
  return file;
}

//===----------------------------------------------------------------------===//
// Merging
//===----------------------------------------------------------------------===//

Error artifact::merge(Artifact &into, Artifact from) {
  if (into.variants.empty()) {
    into = std::move(from);
    return Error::success();
  }
  for (const Variant &v : from.variants)
    for (const Variant &other : into.variants)
      if (v.chip == other.chip && v.kind == other.kind)
        return createStringError("expected every chip once, got " + v.chip +
                                 " twice");
  auto agree = [](auto &ours, auto &theirs) {
    if (ours.size() == theirs.size())
      for (auto [a, b] : zip_equal(ours, theirs))
        a.layout = b.layout = std::min(a.layout, b.layout);
  };
  agree(into.inputs, from.inputs);
  agree(into.outputs, from.outputs);
  auto differ = [&](const auto &part) {
    return bytesOf(part(into)) != bytesOf(part(from));
  };
  StringRef what;
  if (differ([](Artifact &a) -> auto & { return a.entry; }))
    what = "entry";
  else if (differ([](Artifact &a) -> auto & { return a.symbols; }) ||
           differ([](Artifact &a) -> auto & { return a.inputs; }))
    what = "inputs";
  else if (differ([](Artifact &a) -> auto & { return a.outputs; }))
    what = "outputs";
  else if (differ([](Artifact &a) -> auto & { return a.checks; }))
    what = "checks";
  if (!what.empty())
    return createStringError("expected one program for all chips, got other " +
                             what + " for " + from.variants.front().chip +
                             " than for " + into.variants.front().chip);
  std::move(from.variants.begin(), from.variants.end(),
            std::back_inserter(into.variants));
  return Error::success();
}
