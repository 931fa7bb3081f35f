// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The rows and columns of a tile of scores: the composites and tokens that they
// stand for, what a row sees of the columns (S2, M2), and what that makes of
// its scores (S1, M6).
#include "ScorePage.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include <cmath>
#include <limits>

using namespace unisparse;
using namespace unisparse::unitile;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();

//===----------------------------------------------------------------------===//
// Composites and tokens
//===----------------------------------------------------------------------===//

/// One past the last token of the tile's block `block`, in its sequence.
Value ScorePage::blockEnd(Value block) {
  Value next = p.add(p.add(span.unit, block), 1);
  return p.min(p.mul(next, bq), span.qLength);
}

/// The token of the representative in row `i` of the tile (P5).
Value ScorePage::representative(Value i) {
  Value block = p.div(i, qRows.padded), within = p.rem(i, qRows.padded);
  // Rows that are there, also for means and behind the sequence's last block.
  Value last = p.sub(p.sub(blocks, span.unit), 1);
  Value n = p.max(p.sub(within, means), p.i32(0)),
        own = p.add(slot, p.min(block, last));
  n = p.min(n, p.i32(qRows.composites - means - 1));
  return memref::LoadOp::create(
      b, rows, ValueRange{at(batch), at(head), at(own), at(n)});
}

/// The first token of the composite in row `i` of the tile (M2).
Value ScorePage::firstTokenOf(Value i) {
  if (!rows)
    return p.mul(composite(firstComposite, i, qRows), cq);
  Value block = p.div(i, qRows.padded), within = p.rem(i, qRows.padded);
  Value start = p.mul(p.add(span.unit, block), bq);
  // Means that a short block has not repeat its last one (P5).
  Value last = p.mul(p.div(p.sub(span.qLength, 1), cq), cq);
  Value mean = p.min(p.add(start, p.mul(within, cq)), last);
  return p.select(p.less(within, p.i32(means)), mean, representative(i));
}

/// The last token of the composite in row `i` of the tile, in its sequence: a
/// representative's own (P5, S2).
Value ScorePage::tokenOf(Value i) {
  Value end;
  if (!rows) {
    Value row = p.add(composite(firstComposite, i, qRows), 1);
    end = p.min(p.mul(row, cq), span.qLength);
    return p.sub(end, 1);
  }
  Value block = p.div(i, qRows.padded), within = p.rem(i, qRows.padded);
  Value start = p.mul(p.add(span.unit, block), bq);
  end = p.min(p.add(start, p.mul(p.add(within, 1), cq)), span.qLength);
  Value row = representative(i);
  return p.select(p.less(within, p.i32(means)), p.sub(end, 1), row);
}

/// How many composite keys, from the sequence's first on, a token sees (S2,
/// M2).
Value ScorePage::keysVisible(Value token) {
  Value position = p.add(p.add(p.delta(span), token), *reach.right);
  return p.min(p.add(p.div(position, ck), 1), allK);
}

/// The first of them, whose last token is not before delta + token - left (M2).
Value ScorePage::firstVisible(Value token) {
  Value key = p.sub(p.add(p.delta(span), token), *reach.left);
  return p.div(p.max(key, p.i32(0)), ck);
}

/// Which composite row or column `i` of a tile is.
Value ScorePage::composite(Value first, Value i, const BlockRows &blocks) {
  if (blocks.composites == blocks.padded)
    return p.add(first, i);
  return p.add(first, p.add(p.mul(p.div(i, blocks.padded), blocks.composites),
                            p.rem(i, blocks.padded)));
}

/// ln(n_b / ck) of the sequence's last composite (S1), in units of a score.
Value ScorePage::lastShare() {
  Value tokens = p.toFloat(p.sub(span.kLength, p.mul(p.sub(allK, 1), ck)));
  Value share = arith::MulFOp::create(b, tokens, p.f32(1.0 / ck));
  return arith::MulFOp::create(b, math::Log2Op::create(b, share),
                               p.f32(M_LN2 / modification.unit()));
}

//===----------------------------------------------------------------------===//
// Modification and mask
//===----------------------------------------------------------------------===//

/// M6: composites stand where their middle tokens do. Of keys only the last one
/// may have fewer tokens, and no other's middle is behind its own.
Value ScorePage::modified(Value scores, Value firstKey) {
  Value lastStart = p.mul(p.sub(allK, 1), ck);
  Value lastKey = p.div(p.sub(p.add(lastStart, span.kLength), 1), 2);
  return p.map(
      scores.getType(), scores,
      [&](ValueRange e) -> Value {
        Value query = p.div(p.add(firstTokenOf(e[0]), tokenOf(e[0])), 2);
        Value start = p.mul(composite(firstKey, e[1], kRows), ck);
        Value key = p.min(p.add(start, (ck - 1) / 2), lastKey);
        return modification.write(p, tables, e[2], batch, head,
                                  p.addPlaces(query, p.delta(span)), key);
      },
      /*indices=*/true);
}

/// A composite key is behind all tokens of a row's composite (S2) or not there;
/// the last one may have fewer tokens than others (S1).
void ScorePage::writeMask(Block &body) {
  Value scores = body.getArgument(0), key = body.getArgument(1);
  if (modification)
    scores = modified(scores, key);
  if (kRows.composites != kRows.padded) {
    unitile::YieldOp::create(b, maskedPadded(scores, key));
    return;
  }
  Value position, bounds;
  if (reach.right) {
    // No row's token is before the first block's first.
    position = p.sub(keysVisible(p.mul(span.unit, bq)), 1);
    bounds = p.map(
        p.rows(tq), {},
        [&](ValueRange e) -> Value {
          return p.toFloat(keysVisible(tokenOf(e[0])));
        },
        /*indices=*/true);
  }
  scores = MaskOp::create(b, scores.getType(), scores, key, body.getArgument(2),
                          position, bounds, lastShare(), /*when=*/Value(),
                          /*from=*/Value());
  unitile::YieldOp::create(b, reach.left ? maskedFront(scores, key) : scores);
}

/// -inf for composite keys before those that a row sees (M2), which stand in no
/// line.
Value ScorePage::maskedFront(Value scores, Value key) {
  Value rowBounds = p.map(
      p.rows(tq), {},
      [&](ValueRange e) -> Value {
        return p.toFloat(p.sub(firstVisible(firstTokenOf(e[0])), key));
      },
      /*indices=*/true);
  return p.map(
      scores.getType(), {scores, rowBounds},
      [&](ValueRange e) {
        Value seen = arith::CmpFOp::create(b, arith::CmpFPredicate::OGE,
                                           p.toFloat(e[1]), e[3]);
        return p.select(seen, e[2], p.f32(-kInfinity));
      },
      /*indices=*/true);
}

/// The same where the tile has columns between blocks that are no composites.
Value ScorePage::maskedPadded(Value scores, Value firstKey) {
  Value share = lastShare(), last = p.sub(allK, 1);
  return p.map(
      scores.getType(), scores,
      [&](ValueRange e) {
        Value key = composite(firstKey, e[1], kRows);
        Value seen = p.both(p.less(key, allK), p.less(p.rem(e[1], kRows.padded),
                                                      p.i32(kRows.composites)));
        if (reach.right)
          seen = p.both(seen, p.less(key, keysVisible(tokenOf(e[0]))));
        if (reach.left)
          seen = p.both(seen, p.compare(arith::CmpIPredicate::sge, key,
                                        firstVisible(firstTokenOf(e[0]))));
        Value biased = arith::AddFOp::create(b, e[2], share);
        Value x = p.select(p.compare(arith::CmpIPredicate::eq, key, last),
                           biased, e[2]);
        return p.select(seen, x, p.f32(-kInfinity));
      },
      /*indices=*/true);
}
