// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The page of unisparse.block_score while it is written: ScorePage.cpp has its
// regions, ScoreRows.cpp which tokens composites stand for and what they see.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SCOREPAGE_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SCOREPAGE_H

#include "ModifiedLogits.h"
#include "Schedule.h"

namespace unisparse {

struct ScorePage {
  ScorePage(BlockScoreOp op, int64_t rows, int64_t keys, KernelPage &page)
      : op(op), p(page), b(page.b),
        element(op.getQ().getType().getElementType()),
        bq(op.getBlock().getQuery()), bk(op.getBlock().getKey()),
        cq(op.getPooling().getQuery()), ck(op.getPooling().getKey()),
        means(bq / cq), qRows(means + op.getPooling().getRepresentatives()),
        kRows(bk / ck), tq(rows), tk(keys), qBlocks(tq / qRows.padded),
        kBlocks(tk / kRows.padded), heads(op.getQ().getType().getDimSize(1)),
        kvGroup(heads / op.getK().getType().getDimSize(1)),
        massGroup(heads / op.getMass().getType().getDimSize(1)),
        depth(tileColumns(op.getQ().getType().getDimSize(3))),
        reach(reachOf(op)),
        modification(op.getModification(), element,
                     op.getLogitScale() * op.getAlpha().convertToDouble(),
                     op.getSoftcap()) {}

  // The kernel's arguments.
  Value q, k, mass, sums, tops, slots, tiles;
  Value rows; ///< Of the representatives (P5), where there are any.
  SmallVector<Value> tables; ///< M6

  void build();

private:
  void locate(Value tile);
  void scoreHead(Value h);
  void writeBlock(Block &block);
  void writeScore(Block &block);
  void writeMask(Block &block);
  void writeUpdate(Block &block);
  void writeFinish(Block &block);
  void writeMasses();
  Value massOf(Value block, Value j);

  Value at(Value i) {
    return arith::IndexCastOp::create(b, b.getIndexType(), i);
  }
  unitile::FetchOp fetch(int64_t rows, Value source, Value head, Value row,
                         Value limit, const BlockRows &blocks);
  Value keysVisible(Value token);
  Value firstVisible(Value token);
  Value tokenOf(Value i);
  Value firstTokenOf(Value i);
  Value representative(Value i);
  Value blockEnd(Value block);
  Value composite(Value first, Value i, const BlockRows &blocks);
  Value lastShare();
  Value modified(Value scores, Value key);
  Value maskedPadded(Value scores, Value key);
  Value maskedFront(Value scores, Value key);
  Value rowBias(Value reference, Value sum);
  Value keyBlocks() {
    return arith::IndexCastOp::create(b, b.getI32Type(),
                                      memref::DimOp::create(b, mass, 3));
  }
  /// One past the walk's last tile.
  Value endTile() { return windowStart ? p.add(windowStart, count) : count; }

  BlockScoreOp op;
  KernelPage &p;
  ImplicitLocOpBuilder &b;
  Type element;
  int64_t bq, bk, cq, ck;
  int64_t means;          ///< Composites of a query block that are means.
  BlockRows qRows, kRows; ///< Of a block, in composites.
  int64_t tq, tk;         ///< A tile.
  int64_t qBlocks, kBlocks;
  int64_t heads;
  int64_t kvGroup;   ///< Query heads of a KV head.
  int64_t massGroup; ///< Query heads that share a mass (S6).
  int64_t depth;
  Reach reach;
  ModifiedLogits modification; ///< M1, M6

  // Of the query blocks at hand.
  Span span;
  Value x, batch, massHead, head, worker;
  Value slot, blockRows; ///< Of the first block; how many blocks there are.
  Value firstComposite;  ///< In the sequence.
  Value firstQ, firstK;  ///< Composites in front of the sequence's.
  Value blocks;          ///< The sequence's query blocks.
  Value allQ, allK;      ///< The sequence's composites.
  Value count, queries;
  Value windowStart; ///< The first tile with a visible key, under a window.
  Value accumulate;  ///< Not the first head of a mass.
};

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SCOREPAGE_H
