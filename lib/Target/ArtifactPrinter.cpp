// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Artifacts for people.
#include "unisparse/Target/Artifact.h"
#include "unisparse/Target/Printable.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::artifact;

StringRef artifact::name(Element element) {
  static constexpr StringLiteral names[] = {"f32", "f16", "bf16", "i32"};
  return names[static_cast<uint32_t>(element)];
}

//===----------------------------------------------------------------------===//
// Formulas
//===----------------------------------------------------------------------===//

namespace {
/// Text and how tightly its outermost operator binds: 1 for a sum, 2 for a
/// product, 3 for what never needs parentheses.
struct Phrase {
  std::string text;
  int binds = 3;

  std::string in(int context) const {
    return binds < context ? "(" + text + ")" : text;
  }
};

Phrase strideOf(const Artifact &a, size_t tensor, int64_t dimension) {
  StringRef name = tensor < kMaxTensors ? a.inputs[tensor].name
                                        : a.outputs[tensor - kMaxTensors].name;
  return {formatv("{0}.stride({1})", name, dimension).str()};
}

Phrase phraseOf(const Artifact &a, const Term &t) {
  switch (t.op) {
  case TermOp::Symbol:
    return {a.symbols[t.value]};
  case TermOp::Stride:
    return strideOf(a, t.value / kStrideBase, t.value % kStrideBase);
  case TermOp::Device:
    return {"multiprocessors"};
  default:
    // A negative number reads like a difference.
    return {itostr(t.value), t.value < 0 ? 1 : 3};
  }
}

Phrase combinePhrases(TermOp op, const Phrase &l, const Phrase &r) {
  auto call = [&](StringRef name) -> Phrase {
    return {(name + "(" + l.text + ", " + r.text + ")").str()};
  };
  switch (op) {
  case TermOp::Add:
    return {l.in(1) + " + " + r.in(1), 1};
  case TermOp::Sub:
    return {l.in(1) + " - " + r.in(2), 1};
  case TermOp::Mul:
    return {l.in(2) + " * " + r.in(2), 2};
  case TermOp::FloorDiv:
    return call("floordiv");
  case TermOp::CeilDiv:
    return call("ceildiv");
  case TermOp::Min:
    return call("min");
  default:
    return call("max");
  }
}
} // namespace

std::string artifact::format(const Artifact &a, const Expr &expr) {
  SmallVector<Phrase> stack;
  for (const Term &t : expr) {
    if (isLeaf(t.op)) {
      stack.push_back(phraseOf(a, t));
      continue;
    }
    Phrase right = stack.pop_back_val(), left = stack.pop_back_val();
    stack.push_back(combinePhrases(t.op, left, right));
  }
  return stack.back().text;
}

//===----------------------------------------------------------------------===//
// Records
//===----------------------------------------------------------------------===//

namespace {
class Printer {
public:
  Printer(const Artifact &artifact, raw_ostream &os) : a(artifact), os(os) {}

  void print() {
    os << '@' << a.entry << ", written by " << a.producer << '\n';
    for (const Input &i : a.inputs)
      printTensor("input", i.name, i.element, dimsOf(i), i.layout);
    for (const Output &o : a.outputs)
      printTensor("output", o.name, o.element, list(o.sizes), o.layout);
    for (const Check &c : a.checks)
      printCheck(c);
    for (const Variant &v : a.variants)
      printVariant(v);
  }

private:
  std::string list(ArrayRef<Expr> exprs) {
    return join(
        map_range(exprs, [&](const Expr &e) { return artifact::format(a, e); }),
        ", ");
  }
  std::string list(ArrayRef<uint32_t> numbers) {
    return join(map_range(numbers, [](uint32_t n) { return utostr(n); }), ", ");
  }

  std::string dimsOf(const Input &i) {
    return join(map_range(i.dims,
                          [&](int64_t d) {
                            return d < 0 ? a.symbols[-1 - d] : itostr(d);
                          }),
                ", ");
  }

  void printTensor(StringRef what, StringRef name, Element element,
                   StringRef sizes, Layout layout) {
    os << left_justify(what, 6) << "  " << name << ": "
       << artifact::name(element) << " [" << sizes
       << (layout == Layout::Rows ? "], contiguous rows\n" : "], contiguous\n");
  }

  void printCheck(const Check &c) {
    static constexpr StringLiteral relations[] = {
        " == ", " <= ", " multiple of "};
    StringRef relation = relations[static_cast<uint32_t>(c.relation)];
    os << "check   " << c.label << ": " << c.leftName << relation << c.rightName
       << "; " << artifact::format(a, c.left) << relation
       << artifact::format(a, c.right) << '\n';
  }

  void printVariant(const Variant &v) {
    os << '\n'
       << v.chip << ": " << v.image.size() << " bytes of "
       << (v.kind == ImageKind::PTX ? "PTX" : "machine code")
       << ", compute capability "
       << formatv("{0}.{1}", v.capability / 10, v.capability % 10)
       << (v.exact ? " only" : " or later");
    if (v.kind == ImageKind::MachineCode && !v.exact)
      os << " of " << v.capability / 10 << ".x";
    os << formatv(", driver of CUDA {0}.{1} or later\n", v.leastDriver / 1000,
                  v.leastDriver % 1000 / 10);
    for (auto [i, bytes] : enumerate(v.workspace))
      os << "  workspace " << i << ": " << artifact::format(a, bytes)
         << " bytes\n";
    for (const Step &s : v.steps)
      s.kind == Step::Kind::Fill ? printFill(s) : printLaunch(s);
  }

  void printFill(const Step &s) {
    os << "  fill " << bufferName(s.buffer) << " with "
       << format_hex(s.word, 10) << ", " << artifact::format(a, s.words)
       << " words\n";
  }

  void printLaunch(const Step &s) {
    os << "  launch " << s.kernel << " on [" << list(s.grid) << "] CTAs of ["
       << list(s.block) << "] threads, " << s.sharedBytes << " bytes shared"
       << (s.overlaps ? ", overlapping the step before\n" : "\n");
    if (!s.schedule.empty())
      os << "    schedule " << s.schedule << '\n';
    for (const Argument &argument : s.arguments)
      os << "    " << argumentText(argument) << '\n';
  }

  std::string bufferName(const Buffer &b) {
    if (b.kind == BufferKind::Workspace)
      return formatv("workspace {0}", b.index).str();
    return b.kind == BufferKind::Input ? a.inputs[b.index].name
                                       : a.outputs[b.index].name;
  }

  /// As many digits as tell one float from the next.
  static std::string floatText(uint32_t bits) {
    std::string text;
    raw_string_ostream(text) << llvm::format("%.9g", bit_cast<float>(bits));
    return text;
  }

  std::string argumentText(const Argument &argument) {
    switch (argument.kind) {
    case Argument::Kind::Address:
      return "address  " + bufferName(argument.buffer);
    case Argument::Kind::I32:
      return "i32      " + artifact::format(a, argument.expr);
    case Argument::Kind::I64:
      return "i64      " + artifact::format(a, argument.expr);
    case Argument::Kind::F32:
      return "f32      " + floatText(argument.bits);
    case Argument::Kind::Map:
      return mapText(argument.map);
    }
    llvm_unreachable("a kind of argument");
  }

  std::string mapText(const TensorMap &m) {
    static constexpr StringLiteral swizzles[] = {"none", "32B", "64B", "128B"};
    return formatv("map      {0}: {1} [{2}], strides [{3}] bytes, box [{4}], "
                   "swizzle {5}",
                   bufferName(m.buffer), artifact::name(m.element),
                   list(m.sizes), list(m.strides), list(m.box),
                   swizzles[static_cast<uint32_t>(m.swizzle)])
        .str();
  }

  const Artifact &a;
  raw_ostream &os;
};

/// The strings of a file go to terminals.
Artifact printableNames(Artifact a) {
  auto clean = [](auto &...texts) { ((texts = printable(texts)), ...); };
  clean(a.producer, a.entry);
  for (std::string &symbol : a.symbols)
    clean(symbol);
  for (Input &i : a.inputs)
    clean(i.name);
  for (Output &o : a.outputs)
    clean(o.name);
  for (Check &c : a.checks)
    clean(c.label, c.leftName, c.rightName);
  for (Variant &v : a.variants) {
    clean(v.chip);
    for (Step &s : v.steps)
      clean(s.kernel, s.schedule);
  }
  return a;
}
} // namespace

void artifact::print(const Artifact &artifact, raw_ostream &os) {
  Artifact shown = printableNames(artifact);
  Printer(shown, os).print();
}
