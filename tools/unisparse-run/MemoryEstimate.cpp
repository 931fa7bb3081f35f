// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "MemoryEstimate.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::run;

//===----------------------------------------------------------------------===//
// The sum
//===----------------------------------------------------------------------===//

void MemoryEstimate::add(StringRef what, StringRef cause, double bytes) {
  for (Part &part : parts)
    if (part.what == what && part.cause == cause) {
      part.bytes += bytes;
      return;
    }
  parts.push_back({what.str(), cause.str(), bytes});
}

double MemoryEstimate::total() const {
  double sum = 0;
  for (const Part &part : parts)
    sum += part.bytes;
  return sum;
}

llvm::Error MemoryEstimate::check(const AvailableMemory &available) const {
  if (total() <= static_cast<double>(available.bytes))
    return llvm::Error::success();
  const Part &most = *llvm::max_element(
      parts, [](const Part &a, const Part &b) { return a.bytes < b.bytes; });
  auto mebibytes = [](double bytes) {
    return llvm::formatv("{0:f0} MiB", bytes / 1048576).str();
  };
  return failure(most.cause,
                 "expected a run that fits the " +
                     mebibytes(static_cast<double>(available.bytes)) +
                     " that " + available.bound +
                     " leaves, got one that takes " + mebibytes(total()) +
                     ", " + mebibytes(most.bytes) + " of it " + most.what);
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

void run::addInputs(MemoryEstimate &estimate, const Options &o,
                    const Inputs &in) {
  auto bytes = [](const Tensor &t) {
    return t ? static_cast<double>(t.numBytes()) : 0.0;
  };
  double all = bytes(in.q) + bytes(in.k) + bytes(in.v) + bytes(in.cuQ) +
               bytes(in.cuK) + bytes(in.sinks);
  for (const Tensor &table : in.tables)
    all += bytes(table);
  estimate.add("inputs", o.input, all);
  if (in.counts)
    estimate.add("the selection", o.selection,
                 bytes(in.counts) + bytes(in.indices));
}

namespace {

int64_t roundUp8(int64_t n) { return llvm::alignTo(n, 8); }

/// Elements of a tensor; dynamic sizes are those of `like`.
double elements(Type type, ArrayRef<int64_t> like) {
  double product = 1;
  for (auto [size, other] :
       llvm::zip_equal(cast<RankedTensorType>(type).getShape(), like))
    product *= static_cast<double>(ShapedType::isDynamic(size) ? other : size);
  return product;
}

int64_t bytesOf(Type type) {
  return cast<RankedTensorType>(type).getElementTypeBitWidth() / 8;
}

/// Adds what one stage after another takes.
class Stages {
public:
  Stages(MemoryEstimate &estimate, const Options &o, const Inputs &in,
         int threads, int64_t strip)
      : estimate(estimate), o(o), in(in), threads(threads), strip(strip),
        results(o.program.empty() ? o.input : o.program),
        blocks(o.program.empty() ? StringRef("--block") : o.program) {}

  void add(AttentionOp op);
  void add(PoolOp op);
  void add(BlockScoreOp op);
  void add(BlockSelectOp op);
  void add(BlockSparseAttentionOp op);
  /// Tiles are freed with an iteration: the largest counts, once a thread.
  void addTiles() {
    estimate.add("tiles of the threads", blocks, tiles * threads);
  }

private:
  int64_t units(int64_t length, int64_t granularity) const {
    return in.packed() ? packedSlots(length, in.cuQ.shape[0] - 1, granularity)
                       : ceilUnits(length, granularity);
  }
  int64_t rows(BlockAttr block) const {
    return units(in.lq(), block.getQuery());
  }
  int64_t columns(BlockAttr block) const {
    return ceilUnits(in.lk(), block.getKey());
  }
  void addResults(Type o, Type lse);
  void addSelection(Type counts, Type indices, BlockAttr block, bool kept);
  void addMasses(double rows, double columns, BlockAttr block,
                 PoolingAttr pooling, int64_t depth);
  void addPoolTiles(int64_t rows, int64_t headDim);
  void addAttendTiles(BlockAttr block, int64_t headDim, int64_t valueDim);

  MemoryEstimate &estimate;
  const Options &o;
  const Inputs &in;
  int threads;
  int64_t strip;
  double tiles = 0;
  StringRef results, blocks;
};

void Stages::addResults(Type output, Type lse) {
  estimate.add(
      "results", results,
      elements(output, {in.batch(), in.heads(), in.lq(), in.valueDim()}) *
              bytesOf(output) +
          (lse ? 4 * elements(lse, {in.batch(), in.heads(), in.lq()}) : 0));
}

void Stages::addSelection(Type counts, Type indices, BlockAttr block,
                          bool kept) {
  // On a GPU only what is returned comes here.
  if (o.cuda && !kept)
    return;
  int64_t r = rows(block), j = columns(block);
  estimate.add("counts and indices", blocks,
               4 * (elements(counts, {in.batch(), in.heads(), r}) +
                    elements(indices, {in.batch(), in.heads(), r, j})));
}

void Stages::addMasses(double rows, double columns, BlockAttr block,
                       PoolingAttr pooling, int64_t depth) {
  estimate.add("masses", blocks, 4 * rows * columns);
  int64_t queries =
              llvm::divideCeil(pooling.rowsOfBlock(block.getQuery()), strip) *
              strip,
          keys = roundUp8(block.getKey() / pooling.getKey());
  depth = roundUp8(depth);
  // A maximum and a sum for each lane and key block, a mass for each key block.
  double scratch = columns * 4 * (2.0 * queries + 1);
  tiles = std::max(tiles, scratch + 4.0 * (queries * depth +
                                           keys * (depth + 16) + keys * strip));
}

/// A query block's rows, their distances and mean, where some are
/// representatives.
void Stages::addPoolTiles(int64_t rows, int64_t headDim) {
  tiles = std::max(tiles, 4.0 * (rows * (headDim + 1) + 16 + 2 * headDim));
}

void Stages::addAttendTiles(BlockAttr block, int64_t headDim,
                            int64_t valueDim) {
  int64_t queries = llvm::divideCeil(block.getQuery(), strip) * strip,
          keys = roundUp8(block.getKey()), d = roundUp8(headDim),
          dv = roundUp8(valueDim);
  tiles = std::max(tiles, 4.0 * (queries * (d + dv + 2) + keys * (d + 16) +
                                 keys * (dv + 16) + keys * strip));
}

void Stages::add(AttentionOp op) {
  auto q = op.getQ().getType(), k = op.getK().getType(),
       v = op.getV().getType();
  addResults(op.getO().getType(), op.getLse() ? op.getLse().getType() : Type());
  addSelection(op.getCounts().getType(), op.getIndices().getType(),
               op.getBlock(), !op.getIndices().use_empty());
  if (o.cuda)
    return;
  addAttendTiles(op.getBlock(), q.getDimSize(3), v.getDimSize(3));
  if (!op.pools())
    return;
  PoolingAttr pooling = op.getPooling().simplified(op.getBlock().getQuery());
  int64_t r = rows(op.getBlock()), j = columns(op.getBlock()),
          t = pooling.getRepresentatives(),
          headDim = q.isDynamicDim(3) ? in.headDim() : q.getDimSize(3),
          depth = headDim;
  if (pooling.getSpread()) // [P6]
    depth += headDim / pooling.getSpread();
  // Of one column, of all heads; a length that is known is what `elements`
  // counts in the place of composites.
  auto composites = [&](RankedTensorType type, int64_t heads, int64_t of,
                        int64_t by) {
    return elements(type, {in.batch(), heads, of, in.headDim()}) / headDim /
           (type.isDynamicDim(2) ? 1 : by);
  };
  double queries = composites(q, in.heads(), units(in.lq(), pooling.getQuery()),
                              pooling.getQuery()) /
                   pooling.getHeads(),
         selectionRows =
             elements(op.getCounts().getType(), {in.batch(), in.heads(), r});
  if (t) { // [P5] Composites by query blocks, rows beside them.
    double blocksOfHeads = static_cast<double>(in.batch()) * in.heads() /
                           pooling.getHeads() * static_cast<double>(r);
    queries = blocksOfHeads * pooling.rowsOfBlock(op.getBlock().getQuery());
    estimate.add("representatives", results, 4 * blocksOfHeads * t);
    addPoolTiles(op.getBlock().getQuery(), headDim);
  }
  double keys = composites(k, in.kvHeads(), units(in.lk(), pooling.getKey()),
                           pooling.getKey());
  estimate.add("composites", results,
               bytesOf(q) * static_cast<double>(depth) * (queries + keys));
  addMasses(selectionRows, j, op.getBlock(), pooling, depth);
}

void Stages::add(PoolOp op) {
  auto type = op.getComposites().getType();
  if (o.cuda)
    return;
  int64_t longest = std::max(in.lq(), in.lk()),
          length = units(longest, op.getBy());
  if (op.getRepresentatives()) {
    int64_t r = units(longest, op.getBlock());
    length = r * op.rowsOfBlock();
    estimate.add(
        "representatives", results,
        4 * elements(op.getRows().getType(), {in.batch(), in.heads(), r, 0}));
    addPoolTiles(op.getBlock(), op.getX().getType().getDimSize(3));
  }
  estimate.add("composites", results,
               bytesOf(type) * elements(type, {in.batch(), in.heads(), length,
                                               in.headDim()}));
}

void Stages::add(BlockScoreOp op) {
  auto type = op.getMass().getType();
  int64_t r = rows(op.getBlock()), j = columns(op.getBlock());
  double all = elements(type, {in.batch(), in.heads(), r, j});
  double across = type.isDynamicDim(3) ? j : type.getDimSize(3);
  if (!o.cuda)
    addMasses(across ? all / across : 0, across, op.getBlock(), op.getPooling(),
              op.getQ().getType().getDimSize(3));
}

void Stages::add(BlockSelectOp op) {
  addSelection(op.getCounts().getType(), op.getIndices().getType(),
               op.getBlock(), /*kept=*/true);
}

void Stages::add(BlockSparseAttentionOp op) {
  addResults(op.getO().getType(), op.getLse() ? op.getLse().getType() : Type());
  if (!o.cuda)
    addAttendTiles(op.getBlock(), op.getQ().getType().getDimSize(3),
                   op.getV().getType().getDimSize(3));
}

} // namespace

void run::addStages(MemoryEstimate &estimate, const Options &o,
                    const Inputs &in, ModuleOp module, int threads,
                    int64_t strip) {
  Stages stages(estimate, o, in, threads, strip);
  module.walk([&](Operation *op) {
    llvm::TypeSwitch<Operation *>(op)
        .Case<AttentionOp, PoolOp, BlockScoreOp, BlockSelectOp,
              BlockSparseAttentionOp>([&](auto stage) { stages.add(stage); });
  });
  stages.addTiles();
}

void run::addReport(MemoryEstimate &estimate, const Options &o,
                    const Inputs &in, bool selects) {
  double heads = static_cast<double>(in.batch()) * in.heads(), rows = 0;
  estimate.add("the report", o.input, heads * sizeof(double));
  if (!selects)
    return;
  for (const SequenceRows &s : sequencesOf(in, o.blockQ))
    rows += static_cast<double>(s.rows);
  double columns = 0;
  if (!o.output.empty() || !o.map.empty())
    columns = static_cast<double>(in.indices ? in.indices.shape[3]
                                             : ceilUnits(in.lk(), o.blockK));
  estimate.add("counts and indices as files have them", "--block",
               4 * heads * rows * (columns + 1));
}
