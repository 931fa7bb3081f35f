// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A lowering over lengths that do not agree would read what is not there.
#include "unisparse/Dialect/UniSparse/Transforms/LengthRules.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "unisparse/Dialect/UniSparse/IR/Names.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace unisparse;

namespace {

using Named = NamedValue;

struct Rules {
  ImplicitLocOpBuilder b;
  function_ref<Value(Value, int64_t)> sizeOf;

  Named size(Value tensor, StringRef name, int64_t i) {
    return {sizeOf(tensor, i),
            (tensorNameOf(tensor, name) + ".size(" + Twine(i) + ")").str()};
  }
  Value index(int64_t i) { return arith::ConstantIndexOp::create(b, i); }
  Value slots(Value length, Value cu, int64_t by) {
    return countUnitsOrSlots(b, b.getLoc(), length,
                             cu ? sizeOf(cu, 0) : Value(), by);
  }

  void require(StringRef label, const Named &x, CheckRelation relation,
               const Named &y) {
    createCheck(b, b.getLoc(), label, x, relation, y);
  }
  void equal(StringRef label, const Named &x, const Named &y) {
    require(label, x, CheckRelation::Equal, y);
  }

  template <typename OpTy>
  Value length(OpTy op, unsigned i);
  void ends(Value cu, StringRef name) {
    require("I8", {index(1), "1"}, CheckRelation::AtMost, size(cu, name, 0));
  }
  /// A length, called after the tensor that it is of.
  static Named length(Value length, Value tensor, StringRef name) {
    return {length, "the length of " + tensorNameOf(tensor, name)};
  }
  template <typename OpTy>
  void sequences(OpTy op, Named lq, Named lk);
  /// An index outside of a table has a nearest entry.
  void entries(ValueRange tables) {
    for (auto [n, table] : llvm::enumerate(tables))
      for (int64_t i = 0, e = cast<RankedTensorType>(table.getType()).getRank();
           i < e; ++i)
        require("M5", {index(1), "1"}, CheckRelation::AtMost,
                size(table, ("table " + Twine(n)).str(), i));
  }

  void of(PoolOp pool) {
    if (Value cu = pool.getCuSeqlens())
      ends(cu, "cu_seqlens");
  }
  void of(BlockScoreOp score);
  void of(BlockSelectOp select);
  void of(BlockSparseAttentionOp attend);
};

} // namespace

Value unisparse::countUnitsOrSlots(OpBuilder &b, Location loc, Value length,
                                   Value ends, int64_t granularity) {
  auto index = [&](int64_t i) -> Value {
    return arith::ConstantIndexOp::create(b, loc, i);
  };
  if (!ends)
    return b.createOrFold<arith::CeilDivUIOp>(loc, length, index(granularity));
  Value whole = b.createOrFold<arith::DivUIOp>(loc, length, index(granularity));
  Value sequences = b.createOrFold<arith::SubIOp>(loc, ends, index(1));
  return b.createOrFold<arith::AddIOp>(loc, whole, sequences);
}

/// Of the queries (0) or the keys (1) of an op that has both, mixed.
template <typename OpTy>
Value Rules::length(OpTy op, unsigned i) {
  return getValueOrCreateConstantIndexOp(
      b, b.getLoc(),
      getMixedValues(op.getStaticLengths(), op.getLengths(), b)[i]);
}

/// What a length is a size of, null where nobody says.
static Value tensorOf(Value length) {
  auto dim = length.getDefiningOp<tensor::DimOp>();
  return dim ? dim.getSource() : Value();
}

template <typename OpTy>
void Rules::sequences(OpTy op, Named lq, Named lk) {
  Value cuQ = op.getCuSeqlensQ(), cuK = op.getCuSeqlensK();
  if (!cuQ) {
    if (op.hasPositions())
      require("I7", lq, CheckRelation::AtMost, lk);
    return;
  }
  equal("I8", size(cuQ, "cu_seqlens_q", 0), size(cuK, "cu_seqlens_k", 0));
  ends(cuQ, "cu_seqlens_q");
}

void Rules::of(BlockScoreOp score) {
  Value lq = length(score, 0), lk = length(score, 1);
  Value q = score.getQ(), k = score.getK();
  equal("I2", size(q, "q", 0), size(k, "k", 0));
  sequences(score, length(lq, tensorOf(lq), "q"),
            length(lk, tensorOf(lk), "k"));
  PoolingAttr pooling = score.getPooling();
  int64_t block = score.getBlock().getQuery();
  Value cuQ = score.getCuSeqlensQ();
  Value composites = slots(lq, cuQ, pooling.getQuery());
  if (Value rows = score.getRows()) { // Composites by query blocks.
    Value blocks = slots(lq, cuQ, block);
    composites = b.createOrFold<arith::MulIOp>(
        blocks, index(pooling.rowsOfBlock(block)));
    equal("P5", size(q, "q", 0), size(rows, "rows", 0));
    equal("P5", size(rows, "rows", 2), {blocks, "query blocks"});
  }
  equal("S4", size(q, "q", 2), {composites, "the composites of its length"});
  equal("S4", size(k, "k", 2),
        {slots(lk, score.getCuSeqlensK(), pooling.getKey()),
         "the composites of its length"});
  entries(score.getTables());
}

void Rules::of(BlockSelectOp select) {
  Value lq = length(select, 0), lk = length(select, 1);
  Value mass = select.getMass();
  BlockAttr block = select.getBlock();
  sequences(select, length(lq, tensorOf(lq), "q"),
            length(lk, tensorOf(lk), "k"));
  equal("L6", size(mass, "mass", 2),
        {slots(lq, select.getCuSeqlensQ(), block.getQuery()), "query blocks"});
  equal("L6", size(mass, "mass", 3),
        {slots(lk, Value(), block.getKey()), "key blocks"});
}

void Rules::of(BlockSparseAttentionOp attend) {
  Value q = attend.getQ(), k = attend.getK(), v = attend.getV();
  equal("I2", size(q, "q", 0), size(k, "k", 0));
  equal("I2", size(q, "q", 0), size(v, "v", 0));
  equal("I4", size(k, "k", 2), size(v, "v", 2));
  Value lq = sizeOf(q, 2);
  sequences(attend, length(lq, q, "q"), length(sizeOf(k, 2), k, "k"));
  // What a selection holds is the caller's promise. Rows of indices may be as
  // long as their counts ask for: loops go by the counts.
  if (Value counts = attend.getCounts()) {
    Value indices = attend.getIndices();
    Named rows{slots(lq, attend.getCuSeqlensQ(), attend.getBlock().getQuery()),
               "query blocks"};
    equal("A4", size(q, "q", 0), size(counts, "counts", 0));
    equal("A4", size(counts, "counts", 0), size(indices, "indices", 0));
    equal("A4", size(counts, "counts", 2), rows);
    equal("A4", size(indices, "indices", 2), rows);
  }
  if (Value sinks = attend.getSinkLogits())
    equal("M3", size(sinks, "sink_logits", 0), size(q, "q", 1));
  entries(attend.getTables());
}

void unisparse::createLengthChecks(OpBuilder &b, Operation *stage,
                                   function_ref<Value(Value, int64_t)> sizeOf) {
  Rules rules{ImplicitLocOpBuilder(stage->getLoc(), b), sizeOf};
  TypeSwitch<Operation *>(stage)
      .Case<PoolOp, BlockScoreOp, BlockSelectOp, BlockSparseAttentionOp>(
          [&](auto op) { rules.of(op); });
  b.restoreInsertionPoint(rules.b.saveInsertionPoint());
}
