// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Tensors.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>
#include <cstdlib>
#include <cstring>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;

//===----------------------------------------------------------------------===//
// Tensor
//===----------------------------------------------------------------------===//

void Tensor::Free::operator()(char *p) const { std::free(p); }

std::string run::shapeText(ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (auto [i, d] : enumerate(shape))
    text += (i ? ", " : "") + std::to_string(d);
  return text + "]";
}

int64_t run::product(ArrayRef<int64_t> shape) {
  int64_t n = 1;
  for (int64_t d : shape)
    n *= d;
  return n;
}

Tensor Tensor::describe(DType dtype, ArrayRef<int64_t> shape) {
  Tensor t;
  t.dtype = dtype;
  t.shape.assign(shape.begin(), shape.end());
  t.present = true;
  return t;
}

void Tensor::allocate(size_t guard) {
  size_t bytes = numBytes();
  size_t total = alignTo(bytes + 2 * guard + 64, 64);
  auto *p = static_cast<char *>(std::aligned_alloc(64, total));
  if (!p)
    report_bad_alloc_error("tensor");
  // All ones is a NaN in every float type.
  if (guard)
    std::memset(p, 0xff, total);
  storage.reset(p);
  data = p + guard;
}

int64_t Tensor::numElements() const { return product(shape); }

float run::floatAt(DType dtype, const char *data, int64_t i) {
  if (dtype == DType::F32)
    return reinterpret_cast<const float *>(data)[i];
  APFloat value(dtype == DType::F16 ? APFloat::IEEEhalf() : APFloat::BFloat(),
                APInt(16, reinterpret_cast<const uint16_t *>(data)[i]));
  return value.convertToFloat();
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {

/// NaN around the data, a page and more (P3).
constexpr size_t kGuard = 8192;

class Reader {
public:
  Reader(const Options &options, const SafeTensorsFile &file)
      : options(options), file(file) {}

  Error describe(Inputs &in);
  void load(Inputs &in);

private:
  Error subject(StringRef name, const Twine &what) {
    return failure(file.getPath() + ": tensor '" + name + "'", what);
  }
  void load(const TensorInfo &info, Tensor &t) {
    t.allocate(options.poison ? kGuard : 0);
    ArrayRef<char> bytes = file.data(info);
    if (!bytes.empty())
      std::memcpy(t.bytes(), bytes.data(), bytes.size());
  }
  Error describeTokens(StringRef name, Inputs &in, Tensor &to);
  Error describeSinks(Inputs &in);
  Error describeTable(const tools::ScoreTable &table, Inputs &in);
  Error readEnds(StringRef name, int64_t length, Tensor &to);
  Error checkShapes(const Inputs &in);
  Error checkHeads(const Inputs &in);
  Error checkPacking(const Inputs &in);

  const Options &options;
  const SafeTensorsFile &file;
};

/// q, k or v: [B,H,L,D] or [H,L,D], a float type. There may be no batch and no
/// token; heads have to be, as they say how the others are shared out.
Error Reader::describeTokens(StringRef name, Inputs &in, Tensor &to) {
  Expected<const TensorInfo *> info = file.get(name);
  if (!info)
    return info.takeError();
  const TensorInfo &t = **info;
  if (t.dtype != DType::F32 && t.dtype != DType::F16 && t.dtype != DType::BF16)
    return subject(name, "[I1] expected F32, F16 or BF16, got " +
                             getDTypeName(t.dtype));
  if (t.shape.size() != 3 && t.shape.size() != 4)
    return subject(name,
                   "expected [B,H,L,D] or [H,L,D], got " + shapeText(t.shape));
  bool batched = t.shape.size() == 4;
  if (name == "q")
    in.batched = batched;
  else if (batched != in.batched)
    return subject(name,
                   "expected as many dims as q, got " + shapeText(t.shape));
  SmallVector<int64_t, 4> shape(t.shape);
  if (!batched)
    shape.insert(shape.begin(), 1);
  for (auto [i, d] : enumerate(shape)) {
    if (d < 1 && (i == 1 || i == 3))
      return subject(name, "expected heads and elements of a head, got " +
                               shapeText(t.shape));
    if (d > INT32_MAX)
      return subject(name,
                     "expected sizes below 2^31, got " + shapeText(t.shape));
  }
  to = Tensor::describe(t.dtype, shape);
  return Error::success();
}

Error Reader::checkHeads(const Inputs &in) {
  int64_t hq = in.heads(), hkv = in.kvHeads();
  if (hq % hkv) // [I3]
    return subject("k", "[I3] expected a number of heads that divides q's " +
                            Twine(hq) + ", got " + Twine(hkv));
  if (!options.program.empty())
    return Error::success();
  int64_t ch = options.pools() ? options.headPool : 1, group = hq / hkv;
  if (hq % ch || (group % ch && ch % group)) // [I6]
    return failure("--head-pool",
                   "[I6] expected a number that divides the " + Twine(hq) +
                       " query heads and divides, or is a multiple of, the " +
                       Twine(group) + " query heads of a KV head, got " +
                       Twine(ch));
  int64_t spread = options.pools() ? options.spreadOf(in.headDim()) : 0;
  if (spread && in.headDim() % spread) // [P6]
    return failure("--spread", "[P6] expected a number that divides head_dim " +
                                   Twine(in.headDim()) + ", got " +
                                   Twine(spread));
  int64_t named = options.p.size(),
          wanted = options.share == Share::Group ? hkv : hq;
  if (named != 1 && named != wanted) // [L5]
    return failure(
        "--p",
        "[L5] expected one share or one for each of the " + Twine(wanted) +
            (options.share == Share::Group ? " KV heads" : " query heads") +
            ", got " + Twine(named));
  return Error::success();
}

Error Reader::checkShapes(const Inputs &in) {
  for (auto [name, t] : {std::pair{"k", &in.k}, {"v", &in.v}}) {
    if (t->dtype != in.q.dtype) // [I1]
      return subject(name, "[I1] expected q's type " +
                               getDTypeName(in.q.dtype) + ", got " +
                               getDTypeName(t->dtype));
    if (t->shape[0] != in.batch()) // [I2]
      return subject(name, "[I2] expected q's batch " + Twine(in.batch()) +
                               ", got " + Twine(t->shape[0]));
  }
  if (in.k.shape[3] != in.headDim()) // [I2]
    return subject("k", "[I2] expected q's head_dim " + Twine(in.headDim()) +
                            ", got " + Twine(in.k.shape[3]));
  if (in.v.shape[1] != in.kvHeads()) // [I4]
    return subject("v", "[I4] expected k's " + Twine(in.kvHeads()) +
                            " heads, got " + Twine(in.v.shape[1]));
  if (in.v.shape[2] != in.lk()) // [I4]
    return subject("v", "[I4] expected k's length " + Twine(in.lk()) +
                            ", got " + Twine(in.v.shape[2]));
  return checkHeads(in);
}

/// cu_seqlens: I32 [S + 1], first 0, ascending, last the length [I8].
Error Reader::readEnds(StringRef name, int64_t length, Tensor &to) {
  Expected<const TensorInfo *> info = file.get(name);
  if (!info)
    return info.takeError();
  const TensorInfo &t = **info;
  if (t.dtype != DType::I32)
    return subject(name, "[I8] expected I32, got " + getDTypeName(t.dtype));
  if (t.shape.size() != 1 || t.shape[0] < 1)
    return subject(name, "[I8] expected [S + 1] ends of S sequences, got " +
                             shapeText(t.shape));
  to = Tensor::describe(t.dtype, t.shape);
  load(t, to);
  ArrayRef<int32_t> ends(to.as<int32_t>(), to.shape[0]);
  if (ends.front() != 0)
    return subject(name,
                   "[I8] expected to start with 0, got " + Twine(ends.front()));
  for (auto [i, end] : enumerate(ends))
    if (i && end < ends[i - 1])
      return subject(name, "[I8] expected no entry below the one before, got " +
                               Twine(end) + " behind " + Twine(ends[i - 1]));
  if (ends.back() != length)
    return subject(name, "[I8] expected to end with the length " +
                             Twine(length) + ", got " + Twine(ends.back()));
  return Error::success();
}

/// sink_logits: F32, one a query head [M3].
Error Reader::describeSinks(Inputs &in) {
  Expected<const TensorInfo *> info = file.get("sink_logits");
  if (!info)
    return info.takeError();
  const TensorInfo &t = **info;
  if (t.dtype != DType::F32)
    return subject("sink_logits",
                   "[M3] expected F32, got " + getDTypeName(t.dtype));
  if (t.shape.size() != 1 || t.shape[0] != in.heads())
    return subject("sink_logits", "[M3] expected one number for each of q's " +
                                      Twine(in.heads()) + " heads, got " +
                                      shapeText(t.shape));
  in.sinks = Tensor::describe(t.dtype, t.shape);
  load(t, in.sinks);
  for (float sink : ArrayRef(in.sinks.as<float>(), in.sinks.shape[0]))
    if (!(sink < INFINITY))
      return subject("sink_logits",
                     Twine("[M3] expected finite numbers or -inf, got ") +
                         (std::isnan(sink) ? "nan" : "inf"));
  return Error::success();
}

/// A table of the name, of the type that the text reads it by [M5].
Error Reader::describeTable(const tools::ScoreTable &table, Inputs &in) {
  Expected<const TensorInfo *> info = file.get(table.name);
  if (!info)
    return info.takeError();
  const TensorInfo &t = **info;
  auto element = StringSwitch<DType>(table.element)
                     .Case("f16", DType::F16)
                     .Case("bf16", DType::BF16)
                     .Case("i32", DType::I32)
                     .Default(DType::F32);
  if (t.dtype != element)
    return subject(table.name, "[M5] expected " + getDTypeName(element) +
                                   ", got " + getDTypeName(t.dtype));
  bool fits = t.shape.size() == table.shape.size() && !is_contained(t.shape, 0);
  std::string wanted;
  for (auto [i, size] : enumerate(table.shape)) {
    bool isAny = size == mlir::ShapedType::kDynamic;
    fits = fits && (isAny || t.shape[i] == size);
    wanted += (i ? ", " : "") + (isAny ? std::string("?") : utostr(size));
  }
  if (!fits)
    return subject(table.name, "[M5] expected [" + wanted +
                                   "] with entries, got " + shapeText(t.shape));
  in.tables.push_back(Tensor::describe(t.dtype, t.shape));
  return Error::success();
}

Error Reader::checkPacking(const Inputs &in) {
  if (in.batch() != 1)
    return subject("q", "[I8] expected batch 1 beside cu_seqlens, got " +
                            Twine(in.batch()));
  if (in.cuQ.shape[0] != in.cuK.shape[0])
    return subject("cu_seqlens_k", "[I8] expected as many entries as "
                                   "cu_seqlens_q, " +
                                       Twine(in.cuQ.shape[0]) + ", got " +
                                       Twine(in.cuK.shape[0]));
  return Error::success();
}

void Reader::load(Inputs &in) {
  for (auto [name, t] : {std::pair{"q", &in.q}, {"k", &in.k}, {"v", &in.v}})
    load(*file.find(name), *t);
  for (auto [table, t] : zip_equal(options.scoreTables, in.tables))
    load(*file.find(table.name), t);
}

Error Reader::describe(Inputs &in) {
  for (auto [name, t] : {std::pair{"q", &in.q}, {"k", &in.k}, {"v", &in.v}})
    if (Error e = describeTokens(name, in, *t))
      return e;
  if (Error e = checkShapes(in))
    return e;
  auto has = [&](StringRef name) {
    return file.find(name) || llvm::any_of(file.unsupportedTensors(),
                                           [&](const UnsupportedTensor &t) {
                                             return t.name == name;
                                           });
  };
  if (has("cu_seqlens_q") || has("cu_seqlens_k")) {
    if (Error e = readEnds("cu_seqlens_q", in.lq(), in.cuQ))
      return e;
    if (Error e = readEnds("cu_seqlens_k", in.lk(), in.cuK))
      return e;
    if (Error e = checkPacking(in))
      return e;
  }
  if (options.sinkLogits)
    if (Error e = describeSinks(in))
      return e;
  for (const tools::ScoreTable &table : options.scoreTables)
    if (Error e = describeTable(table, in))
      return e;
  return options.program.empty() ? checkPositions(options, in)
                                 : Error::success();
}

//===----------------------------------------------------------------------===//
// A given selection (A4, L6)
//===----------------------------------------------------------------------===//

class SelectionReader {
public:
  SelectionReader(const Options &options, const SafeTensorsFile &file,
                  Inputs &in)
      : o(options), file(file), in(in),
        sequences(sequencesOf(in, options.blockQ)) {}

  Error describe();
  Error load();

private:
  Expected<const TensorInfo *> get(StringRef name, size_t rank);
  Error copyRow(ArrayRef<support::little32_t> from, int32_t count,
                int64_t blocks, int64_t head, int64_t row, int32_t *to);
  /// A tensor of the file, whose bytes may be unaligned.
  ArrayRef<support::little32_t> numbers(StringRef name) const {
    ArrayRef<char> bytes = file.data(*file.find(name));
    return {reinterpret_cast<const support::little32_t *>(bytes.data()),
            bytes.size() / sizeof(int32_t)};
  }
  int64_t rows() const {
    int64_t all = 0;
    for (const SequenceRows &s : sequences)
      all += s.rows;
    return all;
  }

  const Options &o;
  const SafeTensorsFile &file;
  Inputs &in;
  std::vector<SequenceRows> sequences;
};

Expected<const TensorInfo *> SelectionReader::get(StringRef name, size_t rank) {
  Expected<const TensorInfo *> info = file.get(name);
  if (!info)
    return info.takeError();
  std::string subject = (file.getPath() + ": tensor '" + name + "'").str();
  if ((*info)->dtype != DType::I32)
    return failure(subject,
                   "[L6] expected I32, got " + getDTypeName((*info)->dtype));
  if ((*info)->shape.size() != rank - !in.batched)
    return failure(subject, "[L6] expected " + Twine(rank - !in.batched) +
                                " dims as the input has, got " +
                                shapeText((*info)->shape));
  return info;
}

/// One row of indices: in range and ascending (L6), zeros behind.
Error SelectionReader::copyRow(ArrayRef<support::little32_t> from,
                               int32_t count, int64_t blocks, int64_t head,
                               int64_t row, int32_t *to) {
  auto where = [&](StringRef name) {
    return (file.getPath() + ": tensor '" + name + "', head " + Twine(head) +
            ", row " + Twine(row))
        .str();
  };
  int64_t most = std::min<int64_t>(from.size(), blocks);
  if (count < 0 || count > most)
    return failure(where("counts"), "[L6] expected a count in [0, " +
                                        Twine(most) + "], got " + Twine(count));
  for (int32_t n = 0; n < count; ++n) {
    int32_t block = from[n], before = n ? int32_t(from[n - 1]) : -1;
    if (block < 0 || block >= blocks)
      return failure(where("indices"), "[L6] expected key blocks in [0, " +
                                           Twine(blocks) + "), got " +
                                           Twine(block));
    if (block <= before)
      return failure(where("indices"), "[L6] expected ascending key blocks, "
                                       "got " +
                                           Twine(block) + " behind " +
                                           Twine(before));
    to[n] = block;
  }
  return Error::success();
}

Error SelectionReader::describe() {
  Expected<const TensorInfo *> counts = get("counts", 3);
  if (!counts)
    return counts.takeError();
  Expected<const TensorInfo *> indices = get("indices", 4);
  if (!indices)
    return indices.takeError();
  SmallVector<int64_t, 4> cs((*counts)->shape), is((*indices)->shape);
  if (!in.batched) {
    cs.insert(cs.begin(), 1);
    is.insert(is.begin(), 1);
  }
  SmallVector<int64_t> wanted{in.batch(), in.heads(), rows()};
  if (ArrayRef(cs) != ArrayRef(wanted))
    return failure(file.getPath() + ": tensor 'counts'",
                   "[L6] expected " + shapeText(wanted) +
                       " as batch, heads "
                       "and query blocks, got " +
                       shapeText(cs));
  if (ArrayRef(is).drop_back() != ArrayRef(wanted))
    return failure(file.getPath() + ": tensor 'indices'",
                   "[L6] expected the shape of counts before the last dim, "
                   "got " +
                       shapeText(is));
  int64_t blocks = ceilUnits(in.lk(), o.blockK);
  int64_t slots = in.packed()
                      ? packedSlots(in.lq(), in.cuQ.shape[0] - 1, o.blockQ)
                      : rows();
  int64_t columns = std::min(std::max<int64_t>(is[3], 1), blocks);
  in.counts = Tensor::describe(DType::I32, {in.batch(), in.heads(), slots});
  in.indices =
      Tensor::describe(DType::I32, {in.batch(), in.heads(), slots, columns});
  return Error::success();
}

Error SelectionReader::load() {
  ArrayRef<support::little32_t> counts = numbers("counts"),
                                indices = numbers("indices");
  int64_t given = file.find("indices")->shape.back(), all = rows();
  int64_t slots = in.indices.shape[2], columns = in.indices.shape[3];
  for (Tensor *t : {&in.counts, &in.indices}) {
    t->allocate();
    std::memset(t->bytes(), 0, t->numBytes());
  }
  for (int64_t bh = 0; bh < in.batch() * in.heads(); ++bh)
    for (const SequenceRows &s : sequences)
      for (int64_t r = 0; r < s.rows; ++r) {
        int64_t from = bh * all + s.firstRow + r,
                to = bh * slots + s.firstSlot + r;
        int32_t count = counts[from];
        if (Error e = copyRow(indices.slice(from * given, given), count,
                              ceilUnits(s.lk, o.blockK), bh % in.heads(),
                              s.firstRow + r,
                              in.indices.as<int32_t>() + to * columns))
          return e;
        in.counts.as<int32_t>()[to] = count;
      }
  return Error::success();
}

} // namespace

Error run::checkPositions(const Options &o, const Inputs &in) {
  if (!o.hasPositions())
    return Error::success();
  for (auto [i, s] : enumerate(sequencesOf(in, o.blockQ)))
    if (s.lq > s.lk)
      return failure(
          o.input + ": tensor 'q'",
          Twine("[I7] expected no more queries than keys under ") +
              (o.causal ? "causal attention" : "a window") + ", got " +
              Twine(s.lq) + " and " + Twine(s.lk) +
              (in.packed() ? " in sequence " + Twine(i) : Twine("")));
  return Error::success();
}

std::vector<SequenceRows> run::sequencesOf(const Inputs &in, int64_t blockQ) {
  if (!in.packed())
    return {{in.lq(), in.lk(), 0, 0, ceilUnits(in.lq(), blockQ)}};
  std::vector<SequenceRows> sequences;
  ArrayRef<int32_t> q(in.cuQ.as<int32_t>(), in.cuQ.shape[0]),
      k(in.cuK.as<int32_t>(), in.cuK.shape[0]);
  int64_t row = 0;
  for (size_t s = 0; s + 1 < q.size() && s + 1 < k.size(); ++s) {
    int64_t lq = q[s + 1] - q[s], rows = ceilUnits(lq, blockQ);
    sequences.push_back({lq, k[s + 1] - k[s],
                         q[s] / blockQ + static_cast<int64_t>(s), row, rows});
    row += rows;
  }
  return sequences;
}

CandidateBlocks run::candidateBlocks(const SequenceRows &s, int64_t r,
                                     const Options &o) {
  int64_t first = 0, end = ceilUnits(s.lk, o.blockK), delta = s.lk - s.lq;
  int64_t right = o.causal ? 0 : o.windowRight;
  if (right >= 0) {
    int64_t keys = delta + std::min((r + 1) * o.blockQ, s.lq) + right;
    end = std::min(ceilUnits(keys, o.blockK), end);
  }
  if (o.windowLeft >= 0)
    first =
        std::max<int64_t>(0, delta + r * o.blockQ - o.windowLeft) / o.blockK;
  return {first, end};
}

Error run::describeInputs(const Options &options, InputFiles &files,
                          Inputs &in) {
  in.poisoned = options.poison;
  if (Error e = SafeTensorsFile::open(options.input).moveInto(files.tensors))
    return e;
  if (Error e = Reader(options, *files.tensors).describe(in))
    return e;
  if (options.selection.empty())
    return Error::success();
  if (Error e =
          SafeTensorsFile::open(options.selection).moveInto(files.selection))
    return e;
  return SelectionReader(options, *files.selection, in).describe();
}

Error run::loadInputs(const Options &options, InputFiles &files, Inputs &in) {
  Reader(options, *files.tensors).load(in);
  files.tensors.reset();
  if (options.checkFinite)
    if (Error e = checkFinite(options, in))
      return e;
  if (!files.selection)
    return Error::success();
  if (Error e = SelectionReader(options, *files.selection, in).load())
    return e;
  files.selection.reset();
  return Error::success();
}
