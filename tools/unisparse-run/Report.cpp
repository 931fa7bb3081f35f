// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Report.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Support/SelectionMap.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"
#include <cmath>

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;

//===----------------------------------------------------------------------===//
// Selections
//===----------------------------------------------------------------------===//

Error run::checkOutputs(const Options &o, const Inputs &in,
                        const Outputs &out) {
  int64_t slots = in.packed()
                      ? packedSlots(in.lq(), in.cuQ.shape[0] - 1, o.blockQ)
                      : ceilUnits(in.lq(), o.blockQ);
  int64_t blocks = ceilUnits(in.lk(), o.blockK);
  if (!out.counts.data != !out.indices.data)
    return failure("results", "expected counts and indices together, got one "
                              "of them");
  int64_t heads = out.counts.data ? out.counts.shape[1] : 1;
  const std::tuple<StringRef, const Result *, SmallVector<int64_t>> wanted[] = {
      {"o", &out.o, {in.batch(), in.heads(), in.lq(), in.valueDim()}},
      {"lse", &out.lse, {in.batch(), in.heads(), in.lq()}},
      {"counts", &out.counts, {in.batch(), heads, slots}},
      {"indices", &out.indices, {in.batch(), heads, slots, blocks}}};
  for (auto &[name, result, shape] : wanted)
    if (result->data && ArrayRef(result->shape) != ArrayRef(shape))
      return failure("result '" + name + "'", "expected " + shapeText(shape) +
                                                  ", got " +
                                                  shapeText(result->shape));
  if (heads < 1 || in.heads() % heads)
    return failure("result 'counts'", "expected heads that divide q's " +
                                          Twine(in.heads()) + ", got " +
                                          Twine(heads));
  for (int64_t i = 0; out.counts.data && i < out.counts.numElements(); ++i)
    if (int32_t n = out.counts.as<int32_t>()[i]; n < 0 || n > blocks)
      return failure("result 'counts'", "[L6] expected counts in [0, " +
                                            Twine(blocks) + "], got " +
                                            Twine(n));
  return Error::success();
}

FileSelection run::fileSelection(const Options &o, const Inputs &in,
                                 const Outputs &out) {
  // The run's own, or else the given one: never the half of each.
  bool own = out.counts.data && out.indices.data;
  const int32_t *counts =
      own ? out.counts.as<int32_t>() : in.counts.as<int32_t>();
  const int32_t *indices =
      own ? out.indices.as<int32_t>() : in.indices.as<int32_t>();
  ArrayRef<int64_t> shape =
      own ? ArrayRef(out.indices.shape) : ArrayRef(in.indices.shape);
  FileSelection s;
  if (!counts || !indices)
    return s;
  int64_t selections = shape[1], slots = shape[2], stride = shape[3];
  std::vector<SequenceRows> sequences = sequencesOf(in, o.blockQ);
  int64_t rows = 0, blocks = 0;
  for (const SequenceRows &q : sequences) {
    rows += q.rows;
    blocks = std::max(blocks, ceilUnits(q.lk, o.blockK));
  }
  // A given selection keeps its columns.
  blocks = std::min(blocks, stride);
  s.countsShape = {in.batch(), in.heads(), rows};
  s.indicesShape = {in.batch(), in.heads(), rows, blocks};
  s.counts.reserve(in.batch() * in.heads() * rows);
  bool written = !o.output.empty() || !o.map.empty();
  if (written)
    s.indices.reserve(in.batch() * in.heads() * rows * blocks);
  for (int64_t b = 0; b < in.batch(); ++b)
    for (int64_t h = 0; h < in.heads(); ++h)
      for (const SequenceRows &q : sequences)
        for (int64_t r = 0; r < q.rows; ++r) {
          int64_t from =
              (b * selections + h * selections / in.heads()) * slots +
              q.firstSlot + r;
          s.counts.push_back(counts[from]);
          if (!written)
            continue;
          const int32_t *row = indices + from * stride;
          s.indices.insert(s.indices.end(), row, row + blocks);
        }
  return s;
}

static int64_t sizeOf(CandidateBlocks blocks) {
  return blocks.end - blocks.first;
}

void run::countBlocks(const Options &o, const Inputs &in,
                      const FileSelection &s, Report &report) {
  std::vector<SequenceRows> sequences = sequencesOf(in, o.blockQ);
  int64_t candidates = 0;
  for (const SequenceRows &q : sequences)
    for (int64_t r = 0; r < q.rows; ++r)
      candidates += sizeOf(candidateBlocks(q, r, o));
  int64_t heads = in.batch() * in.heads();
  report.candidates = candidates * heads;
  report.densityPerHead.assign(heads, 1.0);
  if (s.counts.empty()) { // Dense, or a program that returns no selection.
    report.selected = report.candidates;
    return;
  }
  int64_t rows = s.countsShape[2];
  report.selected = 0;
  for (int64_t h = 0; h < heads; ++h) {
    int64_t selected = 0;
    for (int64_t r = 0; r < rows; ++r)
      selected += s.counts[h * rows + r];
    report.selected += selected;
    if (candidates)
      report.densityPerHead[h] = static_cast<double>(selected) / candidates;
  }
  if (report.candidates)
    report.density = static_cast<double>(report.selected) / report.candidates;
}

Comparison run::compareOutputs(const Result &got, const Result &reference) {
  Comparison c;
  int64_t columns = got.shape.back();
  double squares = 0, all = 0;
  for (int64_t row = 0; row < got.numElements(); row += columns) {
    double difference = 0, largest = 0;
    for (int64_t i = row; i < row + columns; ++i) {
      double r = reference.toFloat(i), d = std::fabs(got.toFloat(i) - r);
      // A NaN difference counts as the largest there is.
      difference = std::isnan(d) ? INFINITY : std::max(difference, d);
      largest = std::max(largest, std::fabs(r));
      squares += std::isnan(d) ? INFINITY : d * d;
      all += r * r;
    }
    c.maxAbs = std::max(c.maxAbs, difference);
    if (difference > 0)
      c.maxRel =
          std::max(c.maxRel, largest > 0 ? difference / largest : INFINITY);
  }
  c.l2 = squares > 0 ? std::sqrt(squares / all) : 0;
  return c;
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

Error run::writeOutput(const Options &o, const Inputs &in, const Outputs &out,
                       const FileSelection &s) {
  std::vector<NamedTensor> tensors;
  auto add = [&](StringRef name, DType dtype, ArrayRef<int64_t> shape,
                 const void *data, size_t bytes) {
    if (!in.batched)
      shape = shape.drop_front();
    tensors.push_back({name.str(), dtype, SmallVector<int64_t>(shape),
                       ArrayRef(static_cast<const char *>(data), bytes)});
  };
  for (auto [name, r] : {std::pair{"o", &out.o}, {"lse", &out.lse}})
    if (r->data)
      add(name, r->dtype, r->shape, r->data, r->numBytes());
  if (!s.countsShape.empty()) {
    add("counts", DType::I32, s.countsShape, s.counts.data(),
        s.counts.size() * sizeof(int32_t));
    add("indices", DType::I32, s.indicesShape, s.indices.data(),
        s.indices.size() * sizeof(int32_t));
  }
  return writeSafeTensors(o.output, tensors);
}

Error run::writeMap(const Options &o, const Inputs &in, const FileSelection &s,
                    const Report &report) {
  std::vector<SequenceRows> sequences = sequencesOf(in, o.blockQ);
  std::vector<int64_t> candidates, firsts;
  for (int64_t r = 0; r < sequences[0].rows; ++r) {
    CandidateBlocks blocks = candidateBlocks(sequences[0], r, o);
    candidates.push_back(sizeOf(blocks));
    firsts.push_back(blocks.first);
  }
  SelectionMap map;
  map.heads = in.batch() * in.heads();
  map.rows = s.indicesShape[2];
  map.maxBlocks = s.indicesShape[3];
  map.keyBlocks = ceilUnits(in.lk(), o.blockK);
  map.queryBlock = o.blockQ;
  map.keyBlock = o.blockK;
  map.lq = in.lq();
  map.lk = in.lk();
  map.causal = o.causal;
  map.counts = s.counts;
  map.indices = s.indices;
  map.candidates = candidates;
  if (o.windowLeft >= 0)
    map.firstCandidates = firsts;
  map.densityPerHead = report.densityPerHead;
  map.title = formatv("{0}   {1}   block {2}x{3}", sys::path::filename(o.input),
                      o.describeRule(), o.blockQ, o.blockK)
                  .str();
  return writeSelectionMap(o.map, map);
}

//===----------------------------------------------------------------------===//
// Figures
//===----------------------------------------------------------------------===//

static constexpr const char *kStages[UNISPARSE_STAGE_COUNT] = {
    "pool", "score", "select", "attend"};

void run::printJSON(const Options &o, const Inputs &in, const Report &r) {
  json::OStream j(outs(), 2);
  auto shape = [&](StringRef name, ArrayRef<int64_t> dims) {
    j.attributeArray(name, [&] {
      for (int64_t d : in.batched ? dims : dims.drop_front())
        j.value(d);
    });
  };
  j.object([&] {
    j.attributeObject("input", [&] {
      shape("q", in.q.shape);
      shape("k", in.k.shape);
      shape("v", in.v.shape);
      j.attribute("dtype", getDTypeName(in.q.dtype));
    });
    j.attribute("density", r.density);
    j.attributeArray("density_per_head", [&] {
      for (double d : r.densityPerHead)
        j.value(d);
    });
    j.attribute("selected_blocks", r.selected);
    j.attribute("candidate_blocks", r.candidates);
    j.attribute("flops_per_selected_block",
                2 * o.blockQ * o.blockK * (in.headDim() + in.valueDim()));
    j.attributeObject("seconds", [&] {
      for (int i = 0; i < UNISPARSE_STAGE_COUNT; ++i)
        j.attribute(kStages[i], r.median.stages.seconds[i]);
      j.attribute("total", r.median.total);
      j.attribute("compile", r.compileSeconds);
    });
    if (!r.device.empty()) {
      j.attribute("device", r.device);
      j.attribute("chip", r.chip);
      j.attributeObject("kernels", [&] {
        for (const KernelSchedule &k : r.kernels)
          j.attribute(k.kernel, k.schedule);
      });
      j.attribute("device_memory_bytes", static_cast<int64_t>(r.deviceBytes));
    }
    j.attribute("threads", r.threads);
    j.attribute("repeat", o.repeat);
    j.attribute("peak_memory_bytes", static_cast<int64_t>(r.peakBytes));
    j.attribute("run_memory_bytes", static_cast<int64_t>(r.runBytes));
    if (r.comparison)
      j.attributeObject("compare", [&] {
        // JSON has no infinity: null where a difference is no number.
        auto figure = [&](StringRef name, double value) {
          j.attribute(name, std::isfinite(value) ? json::Value(value)
                                                 : json::Value(nullptr));
        };
        figure("max_abs_error", r.comparison->maxAbs);
        figure("max_rel_error", r.comparison->maxRel);
        figure("l2_rel_error", r.comparison->l2);
        j.attribute("dense_seconds", r.comparison->denseSeconds);
        j.attribute("speedup", r.comparison->speedup);
      });
  });
  outs() << '\n';
}

/// "warp-specialised (stages = 3, ...)" or "portable (rows = 128, keys = 64)".
static std::string formOf(StringRef schedule) {
  StringRef words = schedule;
  bool specialised = words.consume_front("#unitile.schedule<");
  if ((!specialised && !words.consume_front("#unitile.tiles<")) ||
      !words.consume_back(">"))
    return schedule.str();
  StringRef form = specialised ? "warp-specialised" : "portable";
  return (form + " (" + words + ")").str();
}

/// P5, P6 and L8, where there are any, of options that say what is computed.
static std::string estimateOf(const Options &o, const Inputs &in) {
  if (!o.pools() || !o.artifact.empty() || o.rule() == RuleKind::All)
    return "";
  std::string text;
  raw_string_ostream os(text);
  if (o.rule() != RuleKind::Random) {
    if (int64_t rows = o.representativeRows())
      os << ", " << rows << " representatives";
    if (int64_t dims = o.spreadOf(in.headDim()))
      os << ", spread " << dims;
  }
  if (int64_t blocks = o.lastBlocks())
    os << ", last " << blocks;
  return text;
}

void run::printTable(const Options &o, const Inputs &in, const Report &r) {
  raw_ostream &os = outs();
  auto dims = [](ArrayRef<int64_t> shape) {
    return llvm::join(
        map_range(shape, [](int64_t d) { return std::to_string(d); }), "x");
  };
  auto line = [&](StringRef name) -> raw_ostream & {
    return os << "  " << left_justify(name, 12);
  };
  os << sys::path::filename(o.input) << ": q " << dims(in.q.shape) << ", k "
     << dims(in.k.shape) << ", v " << dims(in.v.shape) << ", "
     << getDTypeName(in.q.dtype) << '\n';
  line("selection") << o.describeRule() << estimateOf(o, in) << ", block "
                    << o.blockQ << 'x' << o.blockK
                    << (o.causal ? ", causal" : ", not causal") << '\n';
  line("density") << format("%.3f", r.density) << "  (" << r.selected << " of "
                  << r.candidates << " blocks)\n";
  for (int i = 0; i < UNISPARSE_STAGE_COUNT; ++i)
    if (r.median.stages.seconds[i] > 0)
      line(kStages[i]) << format("%9.2f ms", 1e3 * r.median.stages.seconds[i])
                       << '\n';
  for (const KernelSchedule &k : r.kernels)
    line(k.kernel) << formOf(k.schedule) << '\n';
  line("total") << format("%9.2f ms", 1e3 * r.median.total) << "  (";
  if (r.device.empty())
    os << r.threads << (r.threads == 1 ? " thread" : " threads");
  else
    os << r.device << ", " << r.chip;
  if (o.repeat > 1)
    os << ", median of " << o.repeat;
  os << ")\n";
  line("compile") << format("%9.2f ms", 1e3 * r.compileSeconds) << '\n';
  if (r.device.empty())
    line("memory") << format("%9.1f MiB", r.peakBytes / 1048576.0)
                   << " at most, " << format("%.1f MiB", r.runBytes / 1048576.0)
                   << " of it for the run\n";
  else
    line("memory") << format("%9.1f MiB", r.deviceBytes / 1048576.0)
                   << " of the device for the run\n";
  if (!r.comparison)
    return;
  line("dense") << format("%9.2f ms", 1e3 * r.comparison->denseSeconds)
                << format("  (%.2f times as long)\n", r.comparison->speedup);
  line("difference") << format("%9.2f %%", 100 * r.comparison->l2)
                     << " of the output's norm; "
                     << format("%.2e", r.comparison->maxAbs)
                     << " at the element that differs most\n";
}
