// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The strict reader: every count is bounded before it is believed.
#include "unisparse/Target/Artifact.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CRC.h"
#include "llvm/Support/ConvertUTF.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FormatVariadic.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::artifact;

namespace {
uint32_t bytesOf(Element element) {
  return element == Element::F32 || element == Element::I32 ? 4 : 2;
}

/// Reads records off the front of a body. The first thing that is wrong is kept
/// and everything behind it reads as empty, so that records read straight
/// through and one look at the end suffices.
class Reader {
public:
  Reader(StringRef body, bool isDescription)
      : body(body), isDescription(isDescription) {}

  Expected<Artifact> artifact() {
    Artifact a;
    a.producer = string("producer");
    a.entry = string("entry");
    list(a.symbols, kMaxSymbols, [&] { return string("size name"); });
    symbols = a.symbols.size();
    list(a.inputs, kMaxTensors, [&] { return input(); });
    for (const Input &i : a.inputs)
      ranks.push_back(i.dims.size());
    checkSymbolsOccur(a);
    list(a.outputs, kMaxTensors, [&] { return output(); });
    for (const Output &o : a.outputs) {
      outputRanks.push_back(o.sizes.size());
      outputLayouts.push_back(o.layout);
    }
    allowDevice = false;
    list(a.checks, kMaxChecks, [&] { return check(); });
    allowDevice = true;
    list(a.variants, kMaxVariants, [&] { return variant(); });
    expect(a.variants.empty() == isDescription,
           isDescription ? "no variant" : "at least one variant",
           isDescription ? Twine(a.variants.size()) : "none");
    expect(at == body.size(), "the body to end here",
           formatv("{0} bytes more", body.size() - at));
    if (!problem.empty())
      return createStringError(problem);
    return a;
  }

private:
  bool failed() const { return !problem.empty(); }

  bool expect(bool holds, const Twine &expected, const Twine &got) {
    if (!holds && !failed())
      problem = ("damaged artifact: expected " + expected + ", got " + got +
                 " at byte " + Twine(kHeaderBytes + at))
                    .str();
    return !failed();
  }

  StringRef take(uint64_t bytes, const Twine &what) {
    uint64_t left = body.size() - at;
    if (!expect(bytes <= left, Twine(bytes) + " bytes of " + what, Twine(left)))
      return StringRef();
    StringRef taken = body.substr(at, bytes);
    at += bytes;
    return taken;
  }

  template <typename T>
  T number(const Twine &what) {
    StringRef bytes = take(sizeof(T), what);
    return failed() ? T(0)
                    : support::endian::read<T, llvm::endianness::little>(
                          bytes.data());
  }
  uint32_t u32(const Twine &what) { return number<uint32_t>(what); }

  uint32_t within(uint32_t least, uint32_t most, const Twine &what) {
    uint32_t value = u32(what);
    expect(value >= least && value <= most,
           what + " of " + Twine(least) + " to " + Twine(most), Twine(value));
    return value;
  }

  /// An enum whose last member is `last`.
  template <typename E>
  E choice(E last, const Twine &what) {
    uint32_t value = within(0, static_cast<uint32_t>(last), what);
    return failed() ? E() : static_cast<E>(value);
  }

  std::string string(const Twine &what) {
    StringRef text = take(u32("length of " + what), what);
    const UTF8 *begin = text.bytes_begin();
    expect(isLegalUTF8String(&begin, text.bytes_end()) && !text.contains('\0'),
           what + " in UTF-8 without NUL", "other bytes");
    return failed() ? std::string() : text.str();
  }

  /// A count and that many records; at most so many, the body permitting.
  template <typename T, typename Read>
  void list(std::vector<T> &records, uint64_t most, Read read) {
    uint32_t count = u32("count");
    if (!expect(count <= most, "a count of at most " + Twine(most),
                Twine(count)))
      return;
    for (uint32_t i = 0; i < count && !failed(); ++i)
      records.push_back(read());
  }

  /// Strides of outputs are a call's, and known when its steps run.
  bool isStride(int64_t value) const {
    if (value < 0)
      return false;
    uint64_t tensor = value / kStrideBase;
    int64_t dimension = value % kStrideBase;
    if (tensor < ranks.size())
      return dimension < ranks[tensor];
    return inSteps && tensor >= kMaxTensors &&
           tensor - kMaxTensors < outputRanks.size() &&
           dimension < outputRanks[tensor - kMaxTensors];
  }

  /// A leaf's operand has to exist; anything else has none.
  void checkTerm(const Term &t) {
    switch (t.op) {
    case TermOp::Constant:
      return;
    case TermOp::Symbol:
      expect(t.value >= 0 && t.value < symbols, "a symbol", Twine(t.value));
      return;
    case TermOp::Stride:
      expect(isStride(t.value),
             inSteps ? "a dimension of an input or an output"
                     : "a dimension of an input",
             Twine(t.value));
      return;
    case TermOp::Device:
      expect(t.value == 0, "fact 0 of the device", Twine(t.value));
      expect(allowDevice, "no fact of a device in a check", "one");
      return;
    default:
      expect(t.value == 0, "no value beside an operator", Twine(t.value));
    }
  }

  Expr expr() {
    uint32_t terms = u32("terms");
    expect(terms >= 1 && terms <= kMaxTerms,
           formatv("1 to {0} terms", kMaxTerms), Twine(terms));
    Expr e;
    int64_t depth = 0;
    for (uint32_t i = 0; i < terms && !failed(); ++i) {
      Term t;
      t.op = choice(TermOp::Max, "operator");
      t.value = number<int64_t>("value");
      if (failed())
        break;
      checkTerm(t);
      if (!isLeaf(t.op))
        expect(depth >= 2, "two operands", Twine(depth));
      if (!e.empty() && e.back().op == TermOp::Constant &&
          (t.op == TermOp::FloorDiv || t.op == TermOp::CeilDiv))
        expect(e.back().value > 0, "a divisor above 0", Twine(e.back().value));
      depth += isLeaf(t.op) ? 1 : -1;
      e.push_back(t);
    }
    expect(depth == 1, "a formula of one value", Twine(depth));
    return e;
  }

  Input input() {
    Input i;
    i.name = string("input name");
    i.element = choice(Element::I32, "element");
    list(i.dims, kMaxRank, [&] {
      int64_t dim = number<int64_t>("dim");
      expect(dim >= -symbols, "a size or a symbol", Twine(dim));
      return dim;
    });
    i.layout = choice(Layout::Rows, "layout");
    return i;
  }

  void checkSymbolsOccur(const Artifact &a) {
    for (int64_t s = 0; s < symbols; ++s)
      expect(
          any_of(a.inputs,
                 [&](const Input &i) { return is_contained(i.dims, -1 - s); }),
          "symbol " + Twine(s) + " in an input", "it in none");
  }

  Output output() {
    Output o;
    o.name = string("output name");
    o.element = choice(Element::I32, "element");
    list(o.sizes, kMaxRank, [&] { return expr(); });
    o.layout = choice(Layout::Rows, "layout");
    return o;
  }

  Check check() {
    Check c;
    c.label = string("label");
    c.left = expr();
    c.relation = choice(Relation::MultipleOf, "relation");
    c.right = expr();
    c.leftName = string("left name");
    c.rightName = string("right name");
    return c;
  }

  Buffer buffer() {
    Buffer b;
    b.kind = choice(BufferKind::Workspace, "kind of buffer");
    b.index = u32("buffer");
    size_t count = b.kind == BufferKind::Input    ? ranks.size()
                   : b.kind == BufferKind::Output ? outputRanks.size()
                                                  : workspaces;
    expect(b.index < count, formatv("a buffer below {0}", count),
           Twine(b.index));
    return b;
  }

  TensorMap map() {
    TensorMap m;
    m.buffer = buffer();
    m.element = choice(Element::I32, "element");
    list(m.sizes, kMaxMapRank, [&] { return expr(); });
    size_t rank = m.sizes.size();
    expect(rank >= 1, "a map of at least one dimension", "none");
    for (size_t i = 1; i < rank && !failed(); ++i)
      m.strides.push_back(expr());
    for (size_t i = 0; i < rank && !failed(); ++i)
      m.box.push_back(within(1, kMaxBox, "box"));
    m.swizzle = choice(Swizzle::B128, "swizzle");
    if (!failed())
      checkBox(m);
    return m;
  }

  /// The rules of cuTensorMapEncodeTiled that sizes do not decide.
  void checkBox(const TensorMap &m) {
    uint32_t row = m.box[0] * bytesOf(m.element);
    expect(row % kMapAlignment == 0,
           "a box with rows of a multiple of 16 bytes", Twine(row));
    uint32_t span = 16u << static_cast<uint32_t>(m.swizzle);
    expect(m.swizzle == Swizzle::None || row <= span,
           "a box with rows of at most the swizzle's " + Twine(span) + " bytes",
           Twine(row));
  }

  Argument argument() {
    Argument a;
    a.kind = choice(Argument::Kind::Map, "kind of argument");
    switch (a.kind) {
    case Argument::Kind::Address:
      a.buffer = buffer();
      break;
    case Argument::Kind::I32:
    case Argument::Kind::I64:
      a.expr = expr();
      break;
    case Argument::Kind::F32:
      a.bits = u32("f32");
      break;
    case Argument::Kind::Map:
      a.map = map();
      break;
    }
    return a;
  }

  Step step() {
    Step s;
    s.kind = choice(Step::Kind::Fill, "kind of step");
    if (s.kind == Step::Kind::Fill) {
      s.buffer = buffer();
      expect(s.buffer.kind != BufferKind::Input,
             "to fill an output or workspace", "an input");
      // It would fill what is between rows, too.
      expect(s.buffer.kind != BufferKind::Output || failed() ||
                 outputLayouts[s.buffer.index] == Layout::Contiguous,
             "to fill a contiguous output", "one with strides");
      s.word = u32("word");
      s.words = expr();
      return s;
    }
    s.kernel = string("kernel");
    s.schedule = string("schedule");
    for (Expr &e : s.grid)
      e = expr();
    for (uint32_t &size : s.block)
      size = within(1, &size == &s.block[2] ? kMaxThreadsZ : kMaxThreads,
                    "threads");
    uint32_t threads = s.block[0] * s.block[1] * s.block[2];
    expect(threads <= kMaxThreads,
           "at most " + Twine(kMaxThreads) + " threads in a block",
           Twine(threads));
    s.sharedBytes = within(0, kMaxSharedBytes, "shared memory");
    s.overlaps = within(0, 1, "overlap");
    list(s.arguments, kMaxArguments, [&] { return argument(); });
    size_t maps = count_if(s.arguments, [](const Argument &a) {
      return a.kind == Argument::Kind::Map;
    });
    expect(maps <= kMaxMaps, "at most " + Twine(kMaxMaps) + " tensor maps",
           Twine(maps));
    return s;
  }

  Variant variant() {
    Variant v;
    v.chip = string("chip");
    v.capability = within(kLeastCapability, kMaxCapability, "capability");
    v.exact = within(0, 1, "exact");
    v.kind = choice(ImageKind::MachineCode, "kind of image");
    v.leastDriver = within(0, INT32_MAX, "driver version");
    v.image = take(number<uint64_t>("image size"), "image").str();
    list(v.workspace, kMaxBuffers, [&] { return expr(); });
    workspaces = v.workspace.size();
    inSteps = true;
    list(v.steps, kMaxSteps, [&] { return step(); });
    inSteps = false;
    return v;
  }

  StringRef body;
  bool isDescription;
  size_t at = 0;
  std::string problem;
  int64_t symbols = 0;
  std::vector<int64_t> ranks;
  // Once outputs have been read.
  std::vector<int64_t> outputRanks;
  std::vector<Layout> outputLayouts;
  size_t workspaces = 0;
  bool allowDevice = true, inSteps = false;
};
} // namespace

static Expected<Artifact> readAny(StringRef bytes, bool isDescription) {
  auto bad = [](const Twine &expected, const Twine &got) {
    return createStringError("expected " + expected + ", got " + got);
  };
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic))
    return bad("an artifact that starts with " + kMagic,
               bytes.size() < kHeaderBytes ? Twine(bytes.size()) + " bytes"
                                           : Twine("another kind of file"));
  const char *head = bytes.data() + kMagic.size();
  using support::endian::read32le;
  if (uint32_t version = read32le(head); version != kVersion)
    return bad("an artifact of version " + Twine(kVersion), Twine(version));
  uint64_t size = support::endian::read64le(head + 8);
  StringRef body = bytes.substr(kHeaderBytes);
  if (size != body.size())
    return bad("a body of " + Twine(size) + " bytes", Twine(body.size()));
  if (crc32(arrayRefFromStringRef(body)) != read32le(head + 4))
    return bad("a body that matches its checksum", "a damaged one");
  return Reader(body, isDescription).artifact();
}

Expected<Artifact> artifact::read(StringRef bytes) {
  return readAny(bytes, /*isDescription=*/false);
}

//===----------------------------------------------------------------------===//
// Programs for the CPU
//===----------------------------------------------------------------------===//

static constexpr StringLiteral kCPUMagic = UNISPARSE_CPU_MAGIC;

bool artifact::hasDescription(StringRef file) {
  return file.size() >= UNISPARSE_CPU_FOOTER_BYTES && file.ends_with(kCPUMagic);
}

Expected<Artifact> artifact::readDescription(StringRef file) {
  using namespace support::endian;
  const char *footer = file.end() - UNISPARSE_CPU_FOOTER_BYTES;
  uint64_t library = read64le(footer), description = read64le(footer + 8);
  if (uint32_t version = read32le(footer + 16);
      version != UNISPARSE_CPU_VERSION)
    return createStringError("expected a library for the CPU of version " +
                             Twine(UNISPARSE_CPU_VERSION) + ", got " +
                             Twine(version));
  StringRef checked = file.drop_back(4 + kCPUMagic.size());
  size_t both = file.size() - UNISPARSE_CPU_FOOTER_BYTES;
  if (crc32(arrayRefFromStringRef(checked)) != read32le(footer + 20) ||
      library > both || description != both - library)
    return createStringError(
        "expected a library that matches its checksum, got a damaged one");
  return readAny(file.substr(library, description), /*isDescription=*/true);
}
