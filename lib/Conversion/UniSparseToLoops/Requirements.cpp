// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What types could not say of a stage's operands, asserted before it starts:
// sizes, as every lowering does, and what cu_seqlens hold, as they lie in
// memory of the host (I8, I7 of every sequence).
#include "Lowering.h"
#include "Tiles.h"
#include "unisparse/Conversion/UniSparseToLoops.h"
#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "unisparse/Dialect/UniSparse/IR/Names.h"
#include "unisparse/Dialect/UniSparse/Transforms/LengthRules.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace unisparse;
using namespace unisparse::loops;

namespace {

using Named = NamedValue;

struct Requirements {
  Emit e;
  Operation *op;
  ValueRange buffers;

  /// The buffer of a tensor operand, null where that is absent.
  Value bufferOf(Value tensor) {
    for (auto [slot, buffer] : llvm::zip_equal(tensorOperandSlots(op), buffers))
      if (tensor && slot == tensor)
        return buffer;
    return {};
  }
  void require(StringRef label, const Named &x, CheckRelation relation,
               const Named &y) {
    createCheck(e.b, e.b.getLoc(), label, x, relation, y);
  }
  void ends(Value tensor, StringRef operand, Value length);
  void sequences(bool positions, Value cuQ, Value cuK, Value lq, Value lk);

  void of(PoolOp pool) {
    if (Value cu = pool.getCuSeqlens())
      ends(cu, "cu_seqlens", e.dim(bufferOf(pool.getX()), 2));
  }
  template <typename OpTy>
  void of(OpTy op) {
    auto [lq, lk] = lengthsOf(e, op);
    sequences(op.hasPositions(), op.getCuSeqlensQ(), op.getCuSeqlensK(), lq,
              lk);
  }
  void of(BlockSparseAttentionOp op) {
    sequences(op.hasPositions(), op.getCuSeqlensQ(), op.getCuSeqlensK(),
              e.dim(bufferOf(op.getQ()), 2), e.dim(bufferOf(op.getK()), 2));
  }
};

} // namespace

/// [I8] one end of packed sequences: from 0 to the length, never down.
void Requirements::ends(Value tensor, StringRef operand, Value length) {
  Value cu = bufferOf(tensor);
  std::string name = tensorNameOf(tensor, operand);
  Value zero = e.index(0), last = e.sub(e.dim(cu, 0), e.index(1));
  auto entry = [&](Value i, StringRef which) -> Named {
    return {e.fromI32(e.load(cu, i)), name + ("[" + which + "]").str()};
  };
  require("I8", entry(zero, "0"), CheckRelation::Equal, {zero, "0"});
  require("I8", entry(last, "S"), CheckRelation::Equal, {length, "the length"});
  e.forEach(zero, last, [&](Value i) {
    require("I8", entry(i, "i"), CheckRelation::AtMost,
            entry(e.add(i, 1), "i + 1"));
  });
}

void Requirements::sequences(bool positions, Value cuQ, Value cuK, Value lq,
                             Value lk) {
  if (!cuQ)
    return;
  Value q = bufferOf(cuQ), k = bufferOf(cuK);
  ends(cuQ, "cu_seqlens_q", lq);
  ends(cuK, "cu_seqlens_k", lk);
  if (!positions || cuQ == cuK)
    return;
  e.forEach(e.index(0), e.sub(e.dim(q, 0), e.index(1)), [&](Value i) {
    auto lengthIn = [&](Value cu) {
      return e.sub(e.fromI32(e.load(cu, e.add(i, 1))),
                   e.fromI32(e.load(cu, i)));
    };
    require("I7", {lengthIn(q), "the queries of a sequence"},
            CheckRelation::AtMost, {lengthIn(k), "its keys"});
  });
}

void loops::assertRequirements(OpBuilder &b, Operation *op,
                               ValueRange buffers) {
  Requirements requirements{Emit(b, op->getLoc()), op, buffers};
  Emit &e = requirements.e;
  createLengthChecks(e.b, op, [&](Value tensor, int64_t i) {
    return e.dim(requirements.bufferOf(tensor), i);
  });
  llvm::TypeSwitch<Operation *>(op)
      .Case<PoolOp, BlockScoreOp, BlockSelectOp, BlockSparseAttentionOp>(
          [&](auto stage) { requirements.of(stage); });
}
