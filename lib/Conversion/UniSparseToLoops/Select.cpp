// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.block_select: the smallest set of blocks that holds p (L1-L6, L11),
// or what another rule takes (L8-L10).
//
// The next largest mass is looked for again and again, in SPEC's order, a
// vector of masses at a time: no sort. A taken block's mass is -1 from then on,
// below every mass there is.
#include "../RelaxedShare.h"
#include "Lowering.h"
#include "RandomMass.h"
#include "Tiles.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"

using namespace unisparse;
using namespace unisparse::loops;

namespace {

constexpr int64_t kLanes = 16;
constexpr double kTaken = -1.0;

/// Lengths stay below 2^31, so a larger guard means the same, and sums with it
/// do not wrap.
int64_t clamped(int64_t guard) { return std::min<int64_t>(guard, INT32_MAX); }

struct Select {
  Emit &e;
  BlockSelectOp op;
  Value massRow = {}; ///< [J]
  Value left =
      {}; ///< [J, rounded up to lanes] masses not yet taken, kTaken else
  Value share = {}; ///< f32 p, null unless the rule is top_p
  Candidates blocks = {};
  Value candidates = {}; ///< How many there are.
  Value randomRow = {};  ///< i32, what makes the masses of rule random

  RuleKind kind() { return op.getRule().getKind(); }
  /// Of masses: those of rule random have 32 bits.
  Type element() {
    return kind() == RuleKind::Random ? Type(e.b.getF64Type())
                                      : e.b.getF32Type();
  }
  Value number(double value) {
    return arith::ConstantOp::create(e.b, e.b.getFloatAttr(element(), value));
  }
  Value isTaken(Value j) {
    return arith::CmpFOp::create(e.b, arith::CmpFPredicate::OLT,
                                 e.load(left, {j}), number(0.0));
  }
  /// The vectors of `left` that hold candidates end here.
  Value vectors() { return e.ceilDiv(blocks.end, kLanes); }
  /// They begin here.
  Value firstVector() { return e.floorDiv(blocks.first, kLanes); }

  Value mass(Value j);
  Value isForced(const Sequence &s, Value j);
  Value isDense(const Sequence &s);
  std::array<Value, 3> takeForced(const Sequence &s, Value dense);
  Value randomBlocks();
  void takeByMass(Value dense, std::array<Value, 3> forced);
  void takeByThreshold();
  Value writeRow(Value indicesRow, Value keyBlocks);
};

/// L2: the first `sink` blocks, those on the diagonal and `local - 1` before.
Value Select::isForced(const Sequence &s, Value j) {
  RuleAttr rule = op.getRule();
  Value sink = e.less(j, e.index(rule.getSink()));
  if (!op.getCausal())
    return sink;
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey();
  Value diagonal = e.floorDiv(e.add(s.delta(e), e.mul(s.unit, bq)), bk);
  // j >= diagonal - (local - 1), without going below zero.
  Value local = e.less(diagonal, e.add(j, clamped(rule.getLocal())));
  return arith::OrIOp::create(e.b, sink, local);
}

/// Every candidate is taken: p >= 1 without a cap (L3), a short sequence, or
/// one of the last query blocks (L8).
Value Select::isDense(const Sequence &s) {
  RuleAttr rule = op.getRule();
  if (rule.takesAll())
    return arith::ConstantIntOp::create(e.b, 1, 1);
  Value dense = e.less(s.kLength, e.index(clamped(rule.getDenseBelow()) + 1));
  if (rule.getKind() == RuleKind::TopP && !rule.getMaxBlocks()) {
    Value whole = arith::CmpFOp::create(e.b, arith::CmpFPredicate::OGE, share,
                                        e.f32(1.0));
    dense = arith::OrIOp::create(e.b, dense, whole);
  }
  if (rule.getLast()) {
    Value blocks = e.ceilDiv(s.qLength, op.getBlock().getQuery());
    Value isLast = e.less(blocks, e.add(s.unit, clamped(rule.getLast()) + 1));
    dense = arith::OrIOp::create(e.b, dense, isLast);
  }
  return dense;
}

/// A candidate's mass. NaN, and what is below zero, count as none.
Value Select::mass(Value j) {
  if (kind() == RuleKind::All)
    return e.f32(0.0); // Not a mass, only a shape.
  if (kind() == RuleKind::Random)
    return randomMass(e, randomRow, j);
  Value m = e.load(massRow, {j});
  return e.maxF(m, e.f32(0.0));
}

/// Marks the forced blocks (all of a dense row). Returns their number and mass,
/// and the mass of all candidates.
std::array<Value, 3> Select::takeForced(const Sequence &s, Value dense) {
  SmallVector<Value> r = e.fold(
      blocks.first, blocks.end, {e.index(0), number(0.0), number(0.0)},
      [&](Value j, ValueRange c) -> SmallVector<Value> {
        Value take = arith::OrIOp::create(e.b, dense, isForced(s, j));
        Value m = mass(j);
        e.store(e.select(take, number(kTaken), m), left, {j});
        return {e.add(c[0], e.select(take, e.index(1), e.index(0))),
                e.addF(c[1], e.select(take, m, number(0.0))), e.addF(c[2], m)};
      });
  auto leaveOut = [&](Value j) { e.store(number(kTaken), left, {j}); };
  e.forEach(blocks.end, e.mul(vectors(), kLanes), leaveOut);
  if (op.getWindow())
    e.forEach(e.mul(firstVector(), kLanes), blocks.first, leaveOut);
  return {r[0], r[1], r[2]};
}

/// L10: ceil(d * |C|) in f64, as every target has it.
Value Select::randomBlocks() {
  Type i64 = e.b.getI64Type(), f64 = e.b.getF64Type();
  Value n = arith::IndexCastOp::create(e.b, i64, candidates);
  Value wanted = e.mulF(number(op.getRule().getValue()),
                        arith::SIToFPOp::create(e.b, f64, n).getResult());
  Value whole = arith::FPToSIOp::create(e.b, i64, wanted);
  Value isBelow =
      arith::CmpFOp::create(e.b, arith::CmpFPredicate::OLT,
                            arith::SIToFPOp::create(e.b, f64, whole), wanted);
  whole = arith::AddIOp::create(e.b, whole,
                                arith::ExtUIOp::create(e.b, i64, isBelow));
  return arith::IndexCastOp::create(e.b, e.b.getIndexType(), whole);
}

/// L9: besides the forced ones, what has a share of the row's largest mass.
void Select::takeByThreshold() {
  Value least = e.fold(blocks.first, blocks.end, number(0.0),
                       [&](Value j, ValueRange top) -> SmallVector<Value> {
                         return {e.maxF(mass(j), top[0])};
                       })[0];
  least = e.mulF(least, number(op.getRule().getValue()));
  e.forEach(blocks.first, blocks.end, [&](Value j) {
    Value m = e.load(left, {j});
    Value take =
        arith::CmpFOp::create(e.b, arith::CmpFPredicate::OGE, m, least);
    e.store(e.select(take, number(kTaken), m), left, {j});
  });
}

/// L3, L4, L10: takes blocks in order of mass until the rule is met.
void Select::takeByMass(Value dense, std::array<Value, 3> forced) {
  RuleAttr rule = op.getRule();
  Value count = forced[0], mass = forced[1], total = forced[2];
  Value limit = e.sub(candidates, count);
  if (rule.getMaxBlocks())
    limit = e.min(limit, e.index(*rule.getMaxBlocks()));
  if (kind() == RuleKind::TopK || kind() == RuleKind::Random) {
    Value wanted =
        kind() == RuleKind::TopK ? e.index(rule.getK()) : randomBlocks();
    limit = e.min(limit, e.max(e.sub(wanted, count), e.index(0)));
  }
  limit = e.select(dense, e.index(0), limit);
  scf::WhileOp::create(
      e.b, TypeRange{limit.getType(), mass.getType()},
      ValueRange{e.index(0), mass},
      [&](OpBuilder &, Location, ValueRange c) {
        Value go = e.less(c[0], limit);
        if (rule.getKind() == RuleKind::TopP) {
          Value missing = arith::CmpFOp::create(e.b, arith::CmpFPredicate::OLT,
                                                c[1], e.mulF(share, total));
          Value few = e.less(e.add(c[0], count), e.index(rule.getMinBlocks()));
          // p = 1 under max_blocks takes blocks of no mass too.
          Value whole = arith::CmpFOp::create(e.b, arith::CmpFPredicate::OGE,
                                              share, e.f32(1.0));
          Value wants = arith::OrIOp::create(
              e.b, whole, arith::OrIOp::create(e.b, missing, few));
          go = arith::AndIOp::create(e.b, go, wants);
        }
        scf::ConditionOp::create(e.b, go, c);
      },
      [&](OpBuilder &, Location, ValueRange c) {
        auto [j, m] = largestOf(e, left, firstVector(), vectors(), kLanes,
                                number(kTaken));
        e.store(number(kTaken), left, {j});
        scf::YieldOp::create(e.b, ValueRange{e.add(c[0], 1), e.addF(c[1], m)});
      });
}

/// L6: the taken blocks, ascending, then zeros. Returns how many.
Value Select::writeRow(Value indicesRow, Value keyBlocks) {
  Value zero = arith::ConstantIntOp::create(e.b, 0, 32);
  Value count =
      e.fold(blocks.first, blocks.end, {e.index(0)},
             [&](Value j, ValueRange c) -> SmallVector<Value> {
               Value take = isTaken(j);
               // A skipped block's entry is overwritten by the next.
               e.store(e.toI32(j), indicesRow, {c[0]});
               return {e.add(c[0], e.select(take, e.index(1), e.index(0)))};
             })[0];
  e.forEach(count, keyBlocks, [&](Value n) { e.store(zero, indicesRow, {n}); });
  return count;
}

} // namespace

SmallVector<Value> loops::lowerBlockSelect(OpBuilder &builder, BlockSelectOp op,
                                           ValueRange buffers) {
  Emit e(builder, op.getLoc());
  Value mass = buffers[0], topP = buffers[1];
  Packing packing{buffers[2], buffers[3]};
  std::pair<Value, Value> lengths = lengthsOf(e, op);
  Value lq = lengths.first, lk = lengths.second;
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey();
  Reach reach = reachOf(op);
  auto type = op.getIndices().getType();
  int64_t heads = type.getDimSize(1);
  int64_t massHeads = op.getMass().getType().getDimSize(1);
  Value batch = e.dim(mass, 0), slots = e.dim(mass, 2),
        keyBlocks = e.dim(mass, 3);
  SmallVector<Value> sizes;
  for (int64_t i : {0, 2, 3})
    if (type.isDynamicDim(i))
      sizes.push_back(e.dim(mass, i));
  Value indices = e.buffer(type.getShape(), type.getElementType(), sizes);
  auto countsType = op.getCounts().getType();
  if (type.isDynamicDim(3))
    sizes.pop_back();
  Value counts = e.buffer(countsType.getShape(), e.b.getI32Type(), sizes);
  auto densityType = op.getDensity().getType();
  Value density =
      e.buffer(densityType.getShape(), e.b.getF32Type(),
               type.isDynamicDim(0) ? ValueRange{batch} : ValueRange{});
  if (isEmpty(op)) { // Of no candidates, all are selected.
    e.fill(counts, 0.0), e.fill(indices, 0.0), e.fill(density, 1.0);
    return {counts, indices, density};
  }

  auto selectRow = [&](Value b, Value h, Value slot, Sequence s) {
    Select select{e, op};
    select.massRow = e.part(mass, {b, e.floorDiv(h, heads / massHeads), slot});
    select.left = e.buffer({ShapedType::kDynamic}, select.element(),
                           e.mul(e.ceilDiv(keyBlocks, kLanes), kLanes));
    select.blocks = candidateBlocks(e, s, bq, bk, reach);
    select.candidates = e.sub(select.blocks.end, select.blocks.first);
    if (topP) { // L5
      int64_t shares = op.getTopP().getType().getDimSize(0);
      select.share = e.load(topP, {e.floorDiv(h, heads / shares)});
    } else if (select.kind() == RuleKind::TopP) {
      select.share = e.f32(op.getRule().getP().getValueAsDouble());
    }
    if (select.share) {
      Value number =
          arith::IndexCastOp::create(e.b, e.b.getI32Type(), select.candidates);
      Value candidates = arith::SIToFPOp::create(e.b, e.b.getF32Type(), number);
      select.share =
          relaxedShare(e.b, op.getRule(), bk, select.share, candidates);
    }
    if (select.kind() == RuleKind::Random)
      select.randomRow = randomRow(e, op.getRule().getSeed(),
                                   e.add(e.mul(b, heads), h), s.unit);
    Value dense = select.isDense(s);
    std::array<Value, 3> forced = select.takeForced(s, dense);
    if (select.kind() == RuleKind::Threshold)
      select.takeByThreshold();
    else if (!op.getRule().takesAll())
      select.takeByMass(dense, forced);
    Value count = select.writeRow(e.part(indices, {b, h, slot}), keyBlocks);
    e.store(e.toI32(count), counts, {b, h, slot});
  };

  e.parallel({batch, e.index(heads), slots}, [&](ValueRange at) {
    if (packing) { // Spare slots select nothing.
      Value zero = arith::ConstantIntOp::create(e.b, 0, 32);
      e.store(zero, counts, at);
      e.forEach(e.index(0), keyBlocks, [&](Value n) {
        e.store(zero, indices, {at[0], at[1], at[2], n});
      });
    }
    withSequence(e, packing, lq, lk, at[2], bq,
                 [&](Sequence s) { selectRow(at[0], at[1], at[2], s); });
  });
  // Selected over candidate blocks of a head's rows.
  e.parallel({batch, e.index(heads)}, [&](ValueRange at) {
    Value cell = e.buffer({1}, e.b.getIndexType()), first = e.index(0);
    e.store(first, cell, {first});
    Value taken =
        e.fold(first, slots, {first},
               [&](Value slot, ValueRange sum) -> SmallVector<Value> {
                 withSequence(e, packing, lq, lk, slot, bq, [&](Sequence s) {
                   Candidates all = candidateBlocks(e, s, bq, bk, reach);
                   Value number = e.sub(all.end, all.first);
                   e.store(e.add(e.load(cell, {first}), number), cell, {first});
                 });
                 Value count = e.fromI32(e.load(counts, {at[0], at[1], slot}));
                 return {e.add(sum[0], count)};
               })[0];
    auto toFloat = [&](Value n) {
      Value i64 = arith::IndexCastOp::create(e.b, e.b.getI64Type(), n);
      return arith::SIToFPOp::create(e.b, e.b.getF32Type(), i64);
    };
    Value seen = e.load(cell, {first});
    // Of no candidates, all are selected.
    Value ratio = e.divF(toFloat(taken), toFloat(seen));
    e.store(e.select(e.less(first, seen), ratio, e.f32(1.0)), density, at);
  });
  return {counts, indices, density};
}
