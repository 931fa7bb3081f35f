// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.block_select as a page: a point of its grid selects the blocks of
// one row, without sorting. Masses are not negative, so their bits order as
// they do, and the smallest mass that is taken is found bit by bit; random ones
// are bits. Ties are taken by the smaller index, and the indices come out
// ascending (L1-L6, L8-L11).
#include "../RelaxedShare.h"
#include "KernelPage.h"
#include "Kernels.h"
#include "RandomMass.h"
#include "mlir/IR/Matchers.h"

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// A warp a row, 4 rows a CTA.
constexpr int64_t kLanes = 32, kRows = 4;
constexpr int64_t kMost = INT32_MAX;

/// What has been taken: how many blocks, and, where the rule asks for it, how
/// much mass.
struct Taken {
  Value count, mass;
};

struct SelectPage {
  BlockSelectOp op;
  KernelPage &p;
  // Arguments
  Value mass = {}, topP = {}, counts = {}, indices = {}, keyBlocks = {};
  // Of the row
  Span span = {};
  Value batch = {}, head = {}, slot = {}, massHead = {};
  KeyBlocks blocks = {}; ///< The candidates (L1),
  Value candidates = {}; ///< and how many they are.
  Value share = {}, randomBits = {};
  Value low = {}, high = {}; ///< Bounds of how many besides the forced.
  Value target = {};         ///< Mass to reach, the forced included; f32.
  Taken forced = {};

  RuleAttr rule() { return op.getRule(); }
  bool byMass() { return rule().getKind() == RuleKind::TopP; }
  bool isRandom() { return rule().getKind() == RuleKind::Random; }
  Value shareOf(function_ref<Value(int64_t)> headOf);
  Value massOf(Value j);
  Value isForced(Value j);
  Value isDense();
  Taken sumWhere(function_ref<Value(Value j, Value mass)> condition);
  Value enough(Taken taken);
  Value threshold();
  Value tiesWanted(Value limit);
  Value bitsOf(Value mass) {
    return isRandom() ? mass
                      : arith::BitcastOp::create(p.b, p.b.getI32Type(), mass)
                            .getResult();
  }
  Value isFree(Value j) {
    return arith::XOrIOp::create(p.b, isForced(j), p.isTrue(true));
  }
  Value randomBlocks();
  Value writeTaken(function_ref<Value(Value)> isTaken);
  Value selectDense();
  Value selectByThreshold();
  Value selectByMass();
  void build();
};

} // namespace

/// The operand top_p's values where they are constants.
static DenseFPElementsAttr sharesOf(BlockSelectOp op) {
  DenseFPElementsAttr values;
  if (op.getTopP())
    matchPattern(op.getTopP(), m_Constant(&values));
  return values;
}

/// A candidate's mass, f32. NaN, and what is below zero, count as none. A
/// random one is 32 bits (L10).
Value SelectPage::massOf(Value j) {
  if (isRandom())
    return randomMass(p, randomBits, j);
  Value m = p.read(mass, {batch, massHead, slot, j});
  return arith::MaxNumFOp::create(p.b, m, p.f32(0.0));
}

/// L2: the first `sink` blocks, those on the diagonal and `local - 1` before.
Value SelectPage::isForced(Value j) {
  auto clamped = [&](int64_t guard) { return p.i32(std::min(guard, kMost)); };
  Value sink = p.less(j, clamped(rule().getSink()));
  if (!op.getCausal())
    return sink;
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey();
  Value diagonal = p.div(p.add(p.delta(span), p.mul(span.unit, bq)), bk);
  // diagonal - local < j, in differences that do not wrap.
  Value local = p.less(p.sub(diagonal, j), clamped(rule().getLocal()));
  return p.either(sink, local);
}

/// Every candidate is taken: p >= 1 without a cap (L3), a short sequence, or
/// one of the last query blocks (L8).
Value SelectPage::isDense() {
  if (rule().takesAll())
    return p.isTrue(true);
  int64_t below = std::min<int64_t>(rule().getDenseBelow(), kMost - 1);
  Value dense = p.less(span.kLength, p.i32(below + 1));
  if (byMass() && !rule().getMaxBlocks())
    dense =
        p.either(dense, arith::CmpFOp::create(p.b, arith::CmpFPredicate::OGE,
                                              share, p.f32(1.0)));
  if (rule().getLast()) {
    Value blocks = p.ceilDiv(span.qLength, op.getBlock().getQuery());
    int64_t last = std::min<int64_t>(rule().getLast(), kMost - 1);
    dense = p.either(dense, p.less(p.sub(blocks, span.unit), p.i32(last + 1)));
  }
  return dense;
}

/// Number, and by mass the mass, of the candidates that meet a condition.
Taken SelectPage::sumWhere(function_ref<Value(Value, Value)> condition) {
  SmallVector<Value> inits{p.i32(0)};
  if (byMass())
    inits.push_back(p.f32(0.0));
  auto terms = [&](Value j) -> SmallVector<Value> {
    Value m = massOf(j), take = condition(j, m);
    SmallVector<Value> terms{p.select(take, p.i32(1), p.i32(0))};
    if (byMass())
      terms.push_back(p.select(take, m, p.f32(0.0)));
    return terms;
  };
  SmallVector<Value> sums = p.parallel(blocks.first, blocks.end, inits, terms);
  return {sums[0], byMass() ? sums[1] : Value()};
}

/// Whether taking so many besides the forced ends the selection (L3, L4).
Value SelectPage::enough(Taken taken) {
  Value most = p.compare(arith::CmpIPredicate::sge, taken.count, high);
  Value least = p.compare(arith::CmpIPredicate::sge, taken.count, low);
  if (byMass()) {
    Value all = arith::AddFOp::create(p.b, taken.mass, forced.mass);
    // A target that is no number, 0 * infinity, is met, as L3 puts it: while
    // the mass is below the target.
    least = p.both(least, arith::CmpFOp::create(p.b, arith::CmpFPredicate::UGE,
                                                all, target));
  }
  return p.either(most, least);
}

/// The largest mass, as bits, for which all that have at least as much are
/// enough; 0 where only all are.
Value SelectPage::threshold() {
  // The sign of an f32 is none of them.
  int64_t bits = isRandom() ? 32 : 31;
  auto nextBit = [&](Value i, ValueRange c) -> SmallVector<Value> {
    Value bit = arith::ShLIOp::create(p.b, p.i32(1), p.sub(p.i32(bits - 1), i));
    Value candidate = p.either(c[0], bit);
    Taken taken = sumWhere([&](Value j, Value m) {
      Value above = p.compare(arith::CmpIPredicate::uge, bitsOf(m), candidate);
      return p.both(above, isFree(j));
    });
    return {p.select(enough(taken), candidate, c[0])};
  };
  return p.forEach(p.i32(0), p.i32(bits), 1, p.i32(0), nextBit)[0];
}

/// How many of the blocks whose mass is `limit` are taken besides all that have
/// more: the fewest that are enough.
Value SelectPage::tiesWanted(Value limit) {
  Taken above = sumWhere([&](Value j, Value m) {
    Value more = p.compare(arith::CmpIPredicate::ugt, bitsOf(m), limit);
    return p.both(more, isFree(j));
  });
  Value wanted = p.max(p.sub(low, above.count), p.i32(0));
  if (byMass()) {
    Value each = arith::BitcastOp::create(p.b, p.b.getF32Type(), limit);
    Value all = arith::AddFOp::create(p.b, above.mass, forced.mass);
    Value missing = arith::SubFOp::create(p.b, target, all);
    // Rounded up; without mass no number of them would do.
    Value whole =
        arith::CmpFOp::create(p.b, arith::CmpFPredicate::OGT, each, p.f32(0.0));
    Value ratio =
        arith::DivFOp::create(p.b, missing, p.select(whole, each, p.f32(1.0)));
    // One at least, as what is above the limit is not enough; one, too, where
    // the ratio is of infinite masses and no number.
    ratio = arith::MaxNumFOp::create(p.b, ratio, p.f32(1.0));
    ratio = arith::MinNumFOp::create(p.b, ratio, p.toFloat(candidates));
    Value floor = arith::FPToSIOp::create(p.b, p.b.getI32Type(), ratio);
    Value more = arith::CmpFOp::create(p.b, arith::CmpFPredicate::OLT,
                                       p.toFloat(floor), ratio);
    Value number = p.add(floor, p.select(more, p.i32(1), p.i32(0)));
    wanted = p.max(wanted, p.select(whole, number, p.i32(0)));
  }
  return p.min(wanted, p.sub(high, above.count));
}

/// All candidates, ascending as they are (L6).
Value SelectPage::selectDense() {
  p.parallel(blocks.first, blocks.end, {}, [&](Value j) -> SmallVector<Value> {
    p.write(j, indices, {batch, head, slot, p.sub(j, blocks.first)});
    return {};
  });
  return candidates;
}

/// L10: ceil(d * |C|) in f64, as every target has it.
Value SelectPage::randomBlocks() {
  Type f64 = p.b.getF64Type();
  Value d =
      arith::ConstantOp::create(p.b, p.b.getFloatAttr(f64, rule().getValue()));
  Value wanted = arith::MulFOp::create(
      p.b, d, arith::SIToFPOp::create(p.b, f64, candidates));
  Value whole = arith::FPToSIOp::create(p.b, p.b.getI32Type(), wanted);
  Value isBelow =
      arith::CmpFOp::create(p.b, arith::CmpFPredicate::OLT,
                            arith::SIToFPOp::create(p.b, f64, whole), wanted);
  return p.add(whole, p.select(isBelow, p.i32(1), p.i32(0)));
}

/// The taken blocks, each at the place that its rank among them says (L6).
/// Returns how many.
Value SelectPage::writeTaken(function_ref<Value(Value)> isTaken) {
  auto take = [&](Value j) -> SmallVector<Value> {
    Value taken = isTaken(j);
    Value place = p.rank(taken);
    p.ifThen(taken, [&] { p.write(j, indices, {batch, head, slot, place}); });
    return {p.select(taken, p.i32(1), p.i32(0))};
  };
  return p.parallel(blocks.first, blocks.end, p.i32(0), take)[0];
}

/// L9: besides the forced ones, what has a share of the row's largest mass.
Value SelectPage::selectByThreshold() {
  Value top = p.largest(blocks.first, blocks.end, p.i32(0),
                        [&](Value j) { return bitsOf(massOf(j)); });
  Value largest = arith::BitcastOp::create(p.b, p.b.getF32Type(), top);
  Value least = arith::MulFOp::create(p.b, largest, p.f32(rule().getValue()));
  return writeTaken([&](Value j) {
    Value reaches =
        arith::CmpFOp::create(p.b, arith::CmpFPredicate::OGE, massOf(j), least);
    return p.either(isForced(j), reaches);
  });
}

/// What has more than the limit, and the first of what ties with it.
Value SelectPage::selectByMass() {
  forced = sumWhere([&](Value j, Value) { return isForced(j); });
  Value free = p.sub(candidates, forced.count);
  auto bounded = [&](int64_t n) { return p.i32(std::min(n, kMost)); };
  low = p.i32(0), high = free;
  if (rule().getMaxBlocks())
    high = p.min(high, bounded(*rule().getMaxBlocks()));
  if (rule().getKind() == RuleKind::TopK || isRandom()) {
    Value wanted = isRandom() ? randomBlocks() : bounded(rule().getK());
    Value rest = p.max(p.sub(wanted, forced.count), p.i32(0));
    high = p.min(high, rest);
    low = high;
  } else {
    Taken all = sumWhere([&](Value, Value) { return p.isTrue(true); });
    target = arith::MulFOp::create(p.b, share, all.mass);
    low = p.max(p.sub(bounded(rule().getMinBlocks()), forced.count), p.i32(0));
    // p = 1 under max_blocks takes blocks of no mass too.
    Value whole = arith::CmpFOp::create(p.b, arith::CmpFPredicate::OGE, share,
                                        p.f32(1.0));
    low = p.min(p.select(whole, high, low), high);
  }
  Value none = enough({p.i32(0), p.f32(0.0)});
  SmallVector<Value> limits = p.ifElse(
      none,
      [&]() -> SmallVector<Value> {
        // Above every mass: infinity's bits, + 1. No more than every random
        // one, of which no tie is taken.
        return {p.i32(isRandom() ? -1 : 0x7F800001), p.i32(0)};
      },
      [&]() -> SmallVector<Value> {
        Value limit = threshold();
        return {limit, tiesWanted(limit)};
      });
  return writeTaken([&](Value j) {
    Value bits = bitsOf(massOf(j));
    Value above = p.compare(arith::CmpIPredicate::ugt, bits, limits[0]);
    Value equal = p.compare(arith::CmpIPredicate::eq, bits, limits[0]);
    Value tie = p.both(equal, isFree(j));
    Value first = p.both(tie, p.less(p.rank(tie), limits[1]));
    return p.either(p.either(isForced(j), above), first);
  });
}

/// The share of a head's mass to select (L5), null where the rule has none.
/// Shares known when compiling become part of the kernel.
Value SelectPage::shareOf(function_ref<Value(int64_t)> headOf) {
  if (topP)
    return p.read(topP, headOf(op.getTopP().getType().getDimSize(0)));
  if (!sharesOf(op)) {
    FloatAttr one = rule().getP();
    return one ? p.f32(one.getValueAsDouble()) : Value();
  }
  Value result, head = headOf(sharesOf(op).getNumElements());
  for (auto [i, value] : llvm::enumerate(sharesOf(op).getValues<APFloat>())) {
    Value x = p.f32(value.convertToFloat());
    result = result
                 ? p.select(p.compare(arith::CmpIPredicate::eq, head, p.i32(i)),
                            x, result)
                 : x;
  }
  return result;
}

void SelectPage::build() {
  slot = p.blockId(gpu::Dimension::x);
  head = p.blockId(gpu::Dimension::y);
  batch = p.blockId(gpu::Dimension::z);
  int64_t heads = op.getIndices().getType().getDimSize(1);
  auto headOf = [&](int64_t of) { return p.div(head, heads / of); };
  span = p.locate(slot, op.getBlock().getQuery());
  blocks = candidatesOf(p, op, span);
  candidates = p.sub(blocks.end, blocks.first);
  if (mass)
    massHead = headOf(op.getMass().getType().getDimSize(1));
  if (byMass())
    share = relaxedShare(p.b, rule(), op.getBlock().getKey(), shareOf(headOf),
                         p.toFloat(candidates));
  if (isRandom())
    randomBits = randomRow(p, rule().getSeed(),
                           p.add(p.mul(batch, heads), head), span.unit);
  Value count;
  if (rule().takesAll())
    count = selectDense();
  else
    count = p.ifElse(
        isDense(), [&]() -> SmallVector<Value> { return {selectDense()}; },
        [&]() -> SmallVector<Value> {
          return {rule().getKind() == RuleKind::Threshold ? selectByThreshold()
                                                          : selectByMass()};
        })[0];
  p.parallel(count, keyBlocks, {}, [&](Value n) -> SmallVector<Value> {
    p.write(p.i32(0), indices, {batch, head, slot, n});
    return {};
  });
  p.write(count, counts, {batch, head, slot});
}

FailureOr<SmallVector<Value>> unisparse::lowerToKernel(HostSide &host,
                                                       gpu::GPUModuleOp kernels,
                                                       BlockSelectOp op) {
  auto type = op.getIndices().getType();
  Value lq = host.length(op.getStaticLengths(), op.getLengths(), 0),
        lk = host.length(op.getStaticLengths(), op.getLengths(), 1);
  Value slots = host.slots(lq, op.getCuSeqlensQ(), op.getBlock().getQuery());
  Value keyBlocks = host.ceilDiv(lk, op.getBlock().getKey()),
        batch = host.dim(op.getMass(), 0);
  Value counts = host.result(op.getCounts().getType(), {batch, {}, slots});
  Value indices = host.result(type, {batch, {}, slots, keyBlocks});
  Value density = host.result(op.getDensity().getType(), {batch, {}});

  KernelPage page(kernels, op.getLoc(), "select");
  page.kernel()->setAttr(kScheduleAttr,
                         ThreadsAttr::get(op.getContext(), kLanes, kRows, 0));
  SelectPage select{op, page};
  if (op.getRule().readsMass())
    select.mass = page.take("mass", host.contiguousBuffer(op.getMass()));
  if (op.getTopP() && !sharesOf(op))
    select.topP = page.take("top_p", host.contiguousBuffer(op.getTopP()));
  select.counts = page.take("counts", host.contiguousBuffer(counts));
  select.indices = page.take("indices", host.contiguousBuffer(indices));
  page.takeSequences(host, lq, lk, op.getCuSeqlensQ(), op.getCuSeqlensK());
  select.keyBlocks = page.take("key_blocks", host.i32(keyBlocks));
  select.build();
  page.finish();
  host.launch(page.kernel(), {slots, host.index(type.getDimSize(1)), batch},
              /*threads=*/1, /*sharedBytes=*/0, page.launchOperands());
  // Density is only computed for who reads it.
  if (!op.getDensity().use_empty())
    lowerDensity(host, kernels, op, counts, density);
  return SmallVector<Value>{counts, indices, density};
}
