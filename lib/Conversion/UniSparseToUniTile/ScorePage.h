// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The page of the score kernel: what it is made of in two passes and in one.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SCOREPAGE_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SCOREPAGE_H

#include "KernelPage.h"
#include "Schedule.h"
#include <limits>

namespace unisparse {
using namespace unisparse::unitile;

class ScorePage {
public:
  ScorePage(BlockScoreOp op, TilesAttr schedule, KernelPage &page);
  void build();

private:
  Value keysVisible(Value position);
  Value copyKeys(Value tile, Value stage);
  Value multiply(Value tile, Value stage);
  Value maskedLogits(Value logits, Value tile);
  /// What a logit is times before the exponential.
  double unit() const { return scaleFirst ? 1.0 : scale; }
  /// Finite in every unit, and below every logit.
  double lowest() const {
    return -std::numeric_limits<float>::max() / std::max(1.0, unit());
  }
  Value scaled(Value x);
  struct Powers {
    Value top, scaledTop, powers;
  };
  Powers powersOf(Value logits, Value oldTop);
  Value shrink(Value top, Value scaledTop);
  SmallVector<Value> normaliserStep(Value logits, ValueRange state);
  Value rowBias(ValueRange normaliser);
  void scoreHead(Value head, Value accumulate);
  void twoPasses(Value accumulate);
  Value scoreSlots(Value slot, Value end);
  void zeroBehind(Value blocks);
  void scoreTile(Value x);

  // One pass: ScoreOnePass.cpp.
  FragmentType partsType() { return p.fragment(tq, 8, p.b.getF32Type()); }
  SmallVector<Value> step(Value logits, ValueRange state);
  Value topsOf(Value tile) {
    return p.at(tops, p.b.getF32Type(), p.mul(tile, tq));
  }
  void storeRows(Value rows, Value target);
  void onePass(Value accumulate);
  Value massOf(Value block, Value j);
  void storeMasses(Value accumulate);
  void scoreItems();

  BlockScoreOp op;
  KernelPage &p;
  Type element;
  int64_t cq, ck;
  BlockRows qRows, kRows; ///< Of a block, in composites.
  int64_t tq, tk;         ///< A tile.
  int64_t qBlocks, kBlocks;
  int64_t passes, headDim, depth, group;
  double scale; ///< Base 2; applied to S, or with the exponent.
  bool scaleFirst, causal;

public:
  // Arguments, filled in by the host side.
  TokensArgument q, k;
  Value mass, slots, keyBlocks;
  // Of one pass.
  Value allSums, allTops; ///< Memory of all blocks of threads.
  Value rowTiles, items;

private:
  // Of the query blocks at hand.
  Span span;
  Value batch, massHead, massRow;  ///< massRow: [keyBlocks] of the first row.
  Value firstComposite, blockRows; ///< How many blocks there are.
  Value tiles, allKeys;
  Value queryTile, queries, keyTile, scratch, keyRows, firstKeySlot, keySlotEnd;
  Value sums; ///< [tq, keyBlocks]: exponentials of a row in a key block.
  Value tops; ///< [tiles + 1, tq]: what they are relative to; last, the bias.
};

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_SCOREPAGE_H
