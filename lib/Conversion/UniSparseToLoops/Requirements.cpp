// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What types could not say of dynamic sizes and of cu_seqlens, asserted before
// a stage starts: I2, I4, I7, I8, S4, L6, A4. A loop over lengths that do not
// agree would read what is not there.
#include "Lowering.h"
#include "Tiles.h"
#include "unisparse/Conversion/UniSparseToLoops.h"
#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace unisparse;
using namespace unisparse::loops;

namespace {

/// A number and what it is called.
struct Named {
  Value value;
  std::string name;
};

struct Requirements {
  Emit e;
  Operation *op;
  ValueRange buffers;

  /// The buffer of a tensor operand, null where that is absent.
  Value bufferOf(Value tensor) {
    for (auto [slot, buffer] :
         llvm::zip_equal(tensorOperandSlots(op), buffers))
      if (tensor && slot == tensor)
        return buffer;
    return {};
  }
  Named size(Value tensor, StringRef name, int64_t i) {
    return {e.dim(bufferOf(tensor), i),
            (name + ".size(" + Twine(i) + ")").str()};
  }

  void require(StringRef label, const Named &x, CheckRelation relation,
               const Named &y);
  void requireEqual(StringRef label, const Named &x, const Named &y) {
    require(label, x, CheckRelation::Equal, y);
  }
  void sequences(bool positions, Value cuQ, Value cuK, Value lq, Value lk);
  void ends(Value cu, StringRef name, Value length);
  void selection(BlockSparseAttentionOp attend, Value lq);

  void of(PoolOp pool);
  void of(BlockScoreOp score);
  void of(BlockSelectOp select);
  void of(BlockSparseAttentionOp attend);
};

} // namespace

void Requirements::require(StringRef label, const Named &x,
                           CheckRelation relation, const Named &y) {
  createCheck(
      e.b, e.b.getLoc(),
      CheckAttr::get(e.b.getContext(), label, x.name, relation, y.name),
      x.value, y.value);
}

/// [I8] one end of packed sequences: from 0 to the length, never down.
void Requirements::ends(Value cu, StringRef name, Value length) {
  Value zero = e.index(0), last = e.sub(e.dim(cu, 0), e.index(1));
  auto entry = [&](Value i, StringRef which) -> Named {
    return {e.fromI32(e.load(cu, i)), (name + "[" + which + "]").str()};
  };
  require("I8", {e.index(1), "1"}, CheckRelation::AtMost,
          {e.dim(cu, 0), (name + ".size(0)").str()});
  require("I8", entry(zero, "0"), CheckRelation::Equal, {zero, "0"});
  require("I8", entry(last, "S"), CheckRelation::Equal, {length, "the length"});
  e.forEach(zero, last, [&](Value i) {
    require("I8", entry(i, "i"), CheckRelation::AtMost, entry(e.add(i, 1), "i + 1"));
  });
}

/// [I7] of every sequence, [I8].
void Requirements::sequences(bool positions, Value cuQ, Value cuK, Value lq,
                             Value lk) {
  if (!cuQ) {
    if (positions)
      require("I7", {lq, "the length of q"}, CheckRelation::AtMost, {lk, "the length of k"});
    return;
  }
  requireEqual("I8", size(cuQ, "cu_seqlens_q", 0),
               size(cuK, "cu_seqlens_k", 0));
  Value q = bufferOf(cuQ), k = bufferOf(cuK);
  ends(q, "cu_seqlens_q", lq);
  ends(k, "cu_seqlens_k", lk);
  if (!positions || cuQ == cuK)
    return;
  e.forEach(e.index(0), e.sub(e.dim(q, 0), e.index(1)), [&](Value i) {
    auto lengthIn = [&](Value cu) {
      return e.sub(e.fromI32(e.load(cu, e.add(i, 1))),
                   e.fromI32(e.load(cu, i)));
    };
    require("I7", {lengthIn(q), "the queries of a sequence"}, CheckRelation::AtMost,
            {lengthIn(k), "its keys"});
  });
}

void Requirements::of(PoolOp pool) {
  if (pool.getCuSeqlens())
    ends(bufferOf(pool.getCuSeqlens()), "cu_seqlens",
         size(pool.getX(), "x", 2).value);
}

void Requirements::of(BlockScoreOp score) {
  auto [lq, lk] = lengthsOf(e, score);
  Value q = score.getQ(), k = score.getK();
  Packing packing{bufferOf(score.getCuSeqlensQ()),
                  bufferOf(score.getCuSeqlensK())};
  Packing keys{packing.cuK, packing.cuK};
  requireEqual("I2", size(q, "q", 0), size(k, "k", 0));
  sequences(score.hasPositions(), score.getCuSeqlensQ(), score.getCuSeqlensK(), lq,
            lk);
  PoolingAttr pooling = score.getPooling();
  int64_t block = score.getBlock().getQuery();
  Value composites = slotCount(e, packing, lq, pooling.getQuery());
  if (Value rows = score.getRows()) { // Composites by query blocks.
    Value blocks = slotCount(e, packing, lq, block);
    composites = e.mul(blocks, pooling.rowsOfBlock(block));
    requireEqual("P5", size(q, "q", 0), size(rows, "rows", 0));
    requireEqual("P5", size(rows, "rows", 2), {blocks, "query blocks"});
  }
  requireEqual("S4", size(q, "q", 2),
               {composites, "the composites of its length"});
  requireEqual("S4", size(k, "k", 2),
               {slotCount(e, keys, lk, score.getPooling().getKey()),
                "the composites of its length"});
}

void Requirements::of(BlockSelectOp select) {
  auto [lq, lk] = lengthsOf(e, select);
  Value mass = select.getMass();
  Packing packing{bufferOf(select.getCuSeqlensQ()),
                  bufferOf(select.getCuSeqlensK())};
  sequences(select.hasPositions(), select.getCuSeqlensQ(), select.getCuSeqlensK(),
            lq, lk);
  requireEqual("L6", size(mass, "mass", 2),
               {slotCount(e, packing, lq, select.getBlock().getQuery()),
                "query blocks"});
  requireEqual(
      "L6", size(mass, "mass", 3),
      {e.ceilDiv(lk, select.getBlock().getKey()), "key blocks"});
}

/// [A4] shapes of a selection; what it holds is the caller's promise. Rows of
/// indices may be as long as their counts ask for: loops go by the counts.
void Requirements::selection(BlockSparseAttentionOp attend, Value lq) {
  Value counts = attend.getCounts(), indices = attend.getIndices();
  Packing packing{bufferOf(attend.getCuSeqlensQ()),
                  bufferOf(attend.getCuSeqlensK())};
  Named rows{slotCount(e, packing, lq, attend.getBlock().getQuery()),
             "query blocks"};
  requireEqual("A4", size(attend.getQ(), "q", 0), size(counts, "counts", 0));
  requireEqual("A4", size(counts, "counts", 0), size(indices, "indices", 0));
  requireEqual("A4", size(counts, "counts", 2), rows);
  requireEqual("A4", size(indices, "indices", 2), rows);
}

void Requirements::of(BlockSparseAttentionOp attend) {
  Value q = attend.getQ(), k = attend.getK(), v = attend.getV();
  requireEqual("I2", size(q, "q", 0), size(k, "k", 0));
  requireEqual("I2", size(q, "q", 0), size(v, "v", 0));
  requireEqual("I4", size(k, "k", 2), size(v, "v", 2));
  Value lq = size(q, "q", 2).value, lk = size(k, "k", 2).value;
  sequences(attend.hasPositions(), attend.getCuSeqlensQ(),
            attend.getCuSeqlensK(), lq, lk);
  if (attend.getCounts())
    selection(attend, lq);
  if (Value sinks = attend.getSinkLogits())
    requireEqual("M3", size(sinks, "sink_logits", 0),
                 size(q, "q", 1));
}

void loops::assertRequirements(OpBuilder &b, Operation *op,
                               ValueRange buffers) {
  Requirements requirements{Emit(b, op->getLoc()), op, buffers};
  llvm::TypeSwitch<Operation *>(op)
      .Case<PoolOp, BlockScoreOp, BlockSelectOp, BlockSparseAttentionOp>(
          [&](auto stage) { requirements.of(stage); });
}
