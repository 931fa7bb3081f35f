// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ScoreModErrors.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::tools;

static constexpr StringLiteral kOps =
    "an op of arith or math, or tensor.extract of a table";
static constexpr StringLiteral kYield = "unisparse.yield";

/// Behind blanks and comments.
static TextOffset skipBlanks(StringRef text, TextOffset at) {
  while (at < text.size()) {
    if (text.substr(at).starts_with("//"))
      at = std::min(text.find('\n', at), text.size());
    else if (isSpace(text[at]))
      ++at;
    else
      break;
  }
  return at;
}

/// The string's end that begins at `at`, or its line's where it has none.
static TextOffset endOfString(StringRef text, TextOffset at) {
  for (++at; at < text.size() && text[at] != '\n'; ++at) {
    if (text[at] == '"')
      return at + 1;
    at += text[at] == '\\';
  }
  return std::min(at, text.size());
}

/// What stands there: a string, a name with what makes it one, or a character.
static StringRef tokenAt(StringRef text, TextOffset at) {
  StringRef rest = text.substr(at);
  if (rest.empty())
    return rest;
  if (rest.front() == '"')
    return rest.take_front(endOfString(text, at) - at);
  auto isInside = [](char c) {
    return isAlnum(c) || StringRef("_.$").contains(c);
  };
  size_t sigil = StringRef("%#!@^").contains(rest.front());
  if (StringRef name = rest.substr(sigil).take_while(isInside); !name.empty())
    return rest.take_front(sigil + name.size());
  size_t size = 1;
  while (size < rest.size() && (rest[size] & 0xC0) == 0x80) // Of UTF-8.
    ++size;
  return rest.take_front(size);
}

static std::string quoted(StringRef token) {
  if (token == "\n")
    return "the line's end";
  return token.empty() ? "the text's end" : ("'" + token + "'").str();
}

std::string tools::complaint(StringRef text, TextOffset at,
                             const Twine &expected, const Twine &got) {
  StringRef before = text.take_front(at);
  size_t line = before.count('\n') + 1;
  size_t column = at - (before.rfind('\n') + 1) + 1; // npos + 1 is 0.
  return (Twine(line) + ":" + Twine(column) + ": [M5] expected " + expected +
          ", got " + got)
      .str();
}

std::optional<std::string> tools::findForeign(StringRef text) {
  int64_t depth = 0;
  bool isFirst = true; // Of its line.
  for (TextOffset at = skipBlanks(text, 0); at < text.size();) {
    StringRef token = tokenAt(text, at);
    char c = token.front();
    depth += (c == '{') - (c == '}');
    if (c == '^')
      return complaint(text, at, "a body of one block", quoted(token));
    if (depth < 0)
      return complaint(text, at, "ops up to the text's end", quoted(token));
    if (isFirst && !depth && (c == '#' || c == '!'))
      return complaint(text, at, kOps, quoted(token));
    TextOffset end = at + token.size();
    at = skipBlanks(text, end);
    isFirst = text.slice(end, at).contains('\n');
  }
  return std::nullopt;
}

namespace {
/// A message of MLIR's, and the op that it is about where it is about one.
struct Message {
  explicit Message(StringRef all) : rest(all) {
    if (rest.consume_front("custom op '") || about(" for custom op '") ||
        rest.consume_front("unregistered operation '"))
      std::tie(op, rest) = rest.split('\'');
    else if (auto [name, said] = rest.split("' op "); !said.empty())
      std::tie(op, rest) = std::pair(name.drop_front(), said);
    rest = rest.ltrim();
  }

  bool has(StringRef part) const { return rest.contains(part); }

  StringRef op, rest;

private:
  /// Dialect `foo' not found for custom op 'foo.bar'
  bool about(StringRef part) {
    size_t at = rest.find(part);
    if (!rest.starts_with("Dialect `") || at == StringRef::npos)
      return false;
    rest = rest.substr(at + part.size());
    return true;
  }
};

/// What MLIR says of a token, and what is said instead.
struct Wording {
  StringLiteral said, expected;
};
constexpr Wording kWordings[] = {
    {"expected operation name in quotes", kOps},
    {"expected SSA operand", "a value, as %logit"},
    {"expected non-function type", "a type"},
    {"use of undeclared SSA value name", "the name of a value or of a table"},
    {"redefinition of SSA value", "a name that no other value has"},
    {"unexpected character", "MLIR's characters"},
    {"unexpected decimal integer literal", "a number with a point, as 1.0"},
    {"in string literal", "a string that ends with \""},
    {"with unregistered dialect", "an attribute of MLIR's own"},
    {"operation being parsed with an unregistered dialect", kOps},
};
} // namespace

/// An op that a body may have, by its name.
static bool isKnown(StringRef op) {
  return op.starts_with("arith.") || op.starts_with("math.") ||
         op == "tensor.extract" || op == kYield;
}

/// The string in front of a place: the name of an op in its generic form.
static StringRef stringBefore(StringRef text, TextOffset at) {
  size_t last = text.take_front(at).rfind('"');
  size_t first = last ? text.take_front(last).rfind('"') : StringRef::npos;
  return first == StringRef::npos ? "" : text.slice(first + 1, last);
}

/// use of value '%q' expects different type than prior uses: 'f32' vs 'i32'
static std::optional<std::string> ofTypes(StringRef text, TextOffset at,
                                          StringRef said) {
  SmallVector<StringRef> parts;
  said.split(parts, '\'');
  if (!said.contains("expects different type than prior uses") ||
      parts.size() < 6)
    return std::nullopt;
  return complaint(text, at, "a value of type " + parts[3],
                   parts[1] + " of type " + parts[5]);
}

/// Of an op that a body may have.
static std::string ofSyntax(StringRef text, TextOffset at, const Message &m) {
  std::string got = quoted(tokenAt(text, at));
  for (const Wording &wording : kWordings)
    if (m.has(wording.said))
      return complaint(text, at, wording.expected, got);
  if (m.has("invalid kind of type specified"))
    return complaint(text, at, m.op == kYield ? "f32" : "another type", got);
  StringRef expected = m.rest;
  if (!expected.consume_front("expected "))
    return complaint(text, at, "valid MLIR", got + " (" + m.rest + ")");
  // Names of C++, and what keywords are besides.
  if (size_t list = expected.find("to be one of: "); list != StringRef::npos)
    return complaint(text, at, expected.substr(list + strlen("to be ")), got);
  if (expected.starts_with("string or keyword containing one of"))
    return complaint(text, at, "one of " + expected.substr(expected.find('[')),
                     got);
  return complaint(text, at, expected, got);
}

std::string tools::translate(StringRef text, std::optional<TextOffset> place,
                             StringRef said) {
  Message m(said);
  TextOffset end = text.rtrim().size();
  // A location of the text's own (loc) says nothing about the text.
  size_t named = m.op.empty() ? StringRef::npos : text.find(m.op);
  TextOffset at = place ? *place : std::min(named, end);
  if (!m.has("in string literal")) // Which ends with its line.
    at = std::min(skipBlanks(text, at), end);
  if (m.has("with an unregistered dialect"))
    m.op = stringBefore(text, at);
  if (m.has("block with no terminator") || m.has("empty block"))
    return complaint(text, end, kYield + " as the last op", quoted(""));
  if (StringRef ours = m.rest; ours.consume_front("[M5] expected ")) {
    auto [expected, got] = ours.rsplit(", got ");
    expected.consume_back(" in a modification of logits");
    return complaint(text, at, expected, got.empty() ? quoted(m.op) : got);
  }
  if (!m.op.empty() &&
      (!isKnown(m.op) || m.has("is unknown") || m.has("found in dialect")))
    return complaint(text, at, kOps, quoted(m.op));
  if (std::optional<std::string> types = ofTypes(text, at, m.rest))
    return *types;
  if (m.has("must be the last operation"))
    return complaint(text, at, kYield + " as the last op", "ops behind it");
  if (m.has("does not dominate this use"))
    return complaint(text, at, "values from above the op",
                     m.rest.split(" does").first + " from below");
  if (auto [what, got] = m.rest.split(", but got "); !got.empty()) {
    auto [operand, kind] = what.split(" must be ");
    return complaint(text, at, m.op + "'s " + operand + " to be " + kind, got);
  }
  return ofSyntax(text, at, m);
}
