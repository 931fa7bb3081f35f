// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A warp selects the blocks of one row without sorting: masses are not
// negative, so their bits order as they do, and the smallest mass that is taken
// is found bit by bit. Ties are taken by the smaller index, and the indices
// come out ascending, 32 candidates at a time (L1-L6).
#include "KernelPage.h"
#include "Kernels.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Matchers.h"

using namespace unisparse;

namespace {

constexpr int64_t kWarps = 4;
constexpr int64_t kMost = INT32_MAX;

/// What has been taken: how many blocks, how much mass.
struct Taken {
  Value count, mass;
};

struct Select {
  BlockSelectOp op;
  KernelPage &p;
  // Arguments
  Value mass, topP, counts, indices, slots, keyBlocks;
  // Of the row
  Span span = {};
  Value lane = {}, massRow = {}, candidates = {}, share = {};
  Value low = {}, high = {}; ///< Bounds of how many besides the forced.
  Value target = {};         ///< Mass to reach, the forced included; f32.
  Taken forced = {};

  RuleAttr rule() { return op.getRule(); }
  bool byMass() { return rule().getKind() == RuleKind::TopP; }
  Value shareOf(function_ref<Value(int64_t)> headOf);
  Value massOf(Value j);
  Value isForced(Value j);
  Value isDense();
  Value shuffle(Value x, int64_t distance);
  Value overWarp(Value x);
  Taken sumWhere(function_ref<Value(Value j, Value mass)> condition);
  Value enough(Taken taken);
  Value threshold();
  Value tiesWanted(Value limit);
  Value writeIndices(function_ref<std::array<Value, 2>(Value)> takes,
                     Value ties, Value row);
  void finishRow(Value count, Value indicesRow, Value row);
  void selectDense(Value row);
  void selectByMass(Value row);
  void selectRow(Value batch, Value head, Value slot);
};

} // namespace

/// The operand top_p's values where they are constants.
static DenseFPElementsAttr sharesOf(BlockSelectOp op) {
  DenseFPElementsAttr values;
  if (op.getTopP())
    matchPattern(op.getTopP(), m_Constant(&values));
  return values;
}

/// A candidate's mass. NaN, and what is below zero, count as none.
Value Select::massOf(Value j) {
  Value m = p.load(massRow, p.b.getF32Type(), j);
  return arith::MaxNumFOp::create(p.b, m, p.f32(0.0));
}

/// L2: the first `sink` blocks, those on the diagonal and `local - 1` before.
Value Select::isForced(Value j) {
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

/// Every candidate is taken: p >= 1 without a cap (L3), or a short sequence.
Value Select::isDense() {
  if (rule().takesAll())
    return p.isTrue(true);
  int64_t below = std::min<int64_t>(rule().getDenseBelow(), kMost - 1);
  Value dense = p.less(span.kLength, p.i32(below + 1));
  if (byMass() && !rule().getMaxBlocks())
    dense =
        p.either(dense, arith::CmpFOp::create(p.b, arith::CmpFPredicate::OGE,
                                              share, p.f32(1.0)));
  return dense;
}

Value Select::shuffle(Value x, int64_t distance) {
  return NVVM::ShflOp::create(p.b, x.getType(), p.i32(-1), x, p.i32(distance),
                              p.i32(31), NVVM::ShflKind::bfly, UnitAttr());
}

Value Select::overWarp(Value x) {
  for (int64_t distance : {16, 8, 4, 2, 1}) {
    Value other = shuffle(x, distance);
    if (x.getType().isF32())
      x = arith::AddFOp::create(p.b, x, other);
    else
      x = arith::AddIOp::create(p.b, x, other);
  }
  return x;
}

/// Number and mass of the candidates that meet a condition, in one fixed order
/// of additions, so that runs agree.
Taken Select::sumWhere(function_ref<Value(Value, Value)> condition) {
  SmallVector<Value> sums =
      p.forEach(lane, candidates, 32, {p.i32(0), p.f32(0.0)},
                [&](Value j, ValueRange c) -> SmallVector<Value> {
                  Value m = massOf(j), take = condition(j, m);
                  Value count = p.add(c[0], p.select(take, p.i32(1), p.i32(0)));
                  Value sum = arith::AddFOp::create(
                      p.b, c[1], p.select(take, m, p.f32(0.0)));
                  return {count, sum};
                });
  return {overWarp(sums[0]), overWarp(sums[1])};
}

/// Whether taking so many besides the forced ends the selection (L3, L4).
Value Select::enough(Taken taken) {
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
Value Select::threshold() {
  Value one = p.i32(1);
  return p.forEach(
      p.i32(0), p.i32(31), 1, p.i32(0),
      [&](Value i, ValueRange c) -> SmallVector<Value> {
        Value bit = arith::ShLIOp::create(p.b, one, p.sub(p.i32(30), i));
        Value candidate = p.either(c[0], bit);
        Taken taken = sumWhere([&](Value j, Value m) {
          Value bits = arith::BitcastOp::create(p.b, p.b.getI32Type(), m);
          Value above = p.compare(arith::CmpIPredicate::uge, bits, candidate);
          Value free = arith::XOrIOp::create(p.b, isForced(j), p.isTrue(true));
          return p.both(above, free);
        });
        return {p.select(enough(taken), candidate, c[0])};
      })[0];
}

/// How many of the blocks whose mass is `limit` are taken besides all that have
/// more: the fewest that are enough.
Value Select::tiesWanted(Value limit) {
  Taken above = sumWhere([&](Value j, Value m) {
    Value bits = arith::BitcastOp::create(p.b, p.b.getI32Type(), m);
    Value free = arith::XOrIOp::create(p.b, isForced(j), p.isTrue(true));
    return p.both(p.compare(arith::CmpIPredicate::ugt, bits, limit), free);
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
    ratio = arith::MinNumFOp::create(p.b, ratio, p.toFloat(candidates));
    Value floor = arith::FPToSIOp::create(p.b, p.b.getI32Type(), ratio);
    Value more = arith::CmpFOp::create(p.b, arith::CmpFPredicate::OLT,
                                       p.toFloat(floor), ratio);
    Value number = p.add(floor, p.select(more, p.i32(1), p.i32(0)));
    wanted = p.max(wanted, p.select(whole, number, p.i32(0)));
  }
  return p.min(wanted, p.sub(high, above.count));
}

/// L6: the taken blocks, ascending. `takes` says of candidate j whether it is
/// taken, and whether it is one of the ties, of which the first `ties` are.
Value Select::writeIndices(function_ref<std::array<Value, 2>(Value)> takes,
                           Value ties, Value indicesRow) {
  auto ballot = [&](Value predicate) {
    return NVVM::VoteSyncOp::create(p.b, p.b.getI32Type(), p.i32(-1), predicate,
                                    NVVM::VoteSyncKind::ballot);
  };
  auto population = [&](Value mask) {
    return LLVM::CtPopOp::create(p.b, p.b.getI32Type(), mask);
  };
  Value earlier = p.sub(arith::ShLIOp::create(p.b, p.i32(1), lane), 1);
  auto before = [&](Value mask) { return population(p.both(mask, earlier)); };
  // All lanes go on together, also past the last candidate.
  return p.forEach(p.i32(0), candidates, 32, {p.i32(0), p.i32(0)},
                   [&](Value first, ValueRange c) -> SmallVector<Value> {
                     Value j = p.add(first, lane);
                     Value exists = p.less(j, candidates);
                     Value safe = p.select(exists, j, p.i32(0));
                     auto [sure, tie] = takes(safe);
                     Value tied = p.both(exists, tie);
                     Value tieMask = ballot(tied);
                     Value rank = p.add(c[1], before(tieMask));
                     Value take = p.either(p.both(exists, sure),
                                           p.both(tied, p.less(rank, ties)));
                     Value mask = ballot(take);
                     p.ifThen(take, [&] {
                       p.store(j, indicesRow, p.add(c[0], before(mask)));
                     });
                     return {p.add(c[0], population(mask)),
                             p.add(c[1], population(tieMask))};
                   })[0];
}

void Select::finishRow(Value count, Value indicesRow, Value row) {
  p.forEach(p.add(count, lane), keyBlocks, 32, {},
            [&](Value n, ValueRange) -> SmallVector<Value> {
              p.store(p.i32(0), indicesRow, n);
              return {};
            });
  p.ifThen(p.compare(arith::CmpIPredicate::eq, lane, p.i32(0)),
           [&] { p.store(count, counts, row); });
}

void Select::selectByMass(Value indicesRow) {
  forced = sumWhere([&](Value j, Value) { return isForced(j); });
  Value free = p.sub(candidates, forced.count);
  auto bounded = [&](int64_t n) { return p.i32(std::min(n, kMost)); };
  low = p.i32(0), high = free;
  if (rule().getMaxBlocks())
    high = p.min(high, bounded(*rule().getMaxBlocks()));
  if (rule().getKind() == RuleKind::TopK) {
    Value rest = p.max(p.sub(bounded(rule().getK()), forced.count), p.i32(0));
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
      [&]() -> SmallVector<Value> { // Above every mass: infinity's bits, + 1.
        return {p.i32(0x7F800001), p.i32(0)};
      },
      [&]() -> SmallVector<Value> {
        Value limit = threshold();
        return {limit, tiesWanted(limit)};
      });
  auto takes = [&](Value j) -> std::array<Value, 2> {
    Value bits = arith::BitcastOp::create(p.b, p.b.getI32Type(), massOf(j));
    Value isFree = arith::XOrIOp::create(p.b, isForced(j), p.isTrue(true));
    Value above = p.compare(arith::CmpIPredicate::ugt, bits, limits[0]);
    Value tie = p.compare(arith::CmpIPredicate::eq, bits, limits[0]);
    return {p.either(isForced(j), above), p.both(tie, isFree)};
  };
  target = writeIndices(takes, limits[1], indicesRow);
}

/// The share of a head's mass to select (L5), null where the rule has none.
/// Shares known when compiling become part of the kernel.
Value Select::shareOf(function_ref<Value(int64_t)> headOf) {
  if (topP)
    return p.load(topP, p.b.getF32Type(),
                  headOf(op.getTopP().getType().getDimSize(0)));
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

void Select::selectRow(Value batch, Value head, Value slot) {
  int64_t heads = op.getIndices().getType().getDimSize(1);
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey();
  Value batchHead = p.add(p.mul(batch, heads), head);
  Value row = p.flatRow(batchHead, slots, slot);
  Value indicesRow = p.at(indices, p.b.getI32Type(),
                          arith::MulIOp::create(p.b, row, p.i64(keyBlocks)));
  span = p.locate(slot, bq);
  candidates = p.candidates(span, bq, bk, op.getCausal());
  if (p.isPacked()) // Spare slots select nothing.
    candidates = p.select(p.less(p.mul(span.unit, bq), span.qLength),
                          candidates, p.i32(0));
  auto headOf = [&](int64_t of) { return p.div(head, heads / of); };
  if (mass) {
    int64_t massHeads = op.getMass().getType().getDimSize(1);
    Value massRowIndex = p.flatRow(
        p.add(p.mul(batch, massHeads), headOf(massHeads)), slots, slot);
    massRow = p.at(mass, p.b.getF32Type(),
                   arith::MulIOp::create(p.b, massRowIndex, p.i64(keyBlocks)));
  }
  share = shareOf(headOf);
  auto dense = [&]() -> SmallVector<Value> {
    return {writeIndices(
        [&](Value) -> std::array<Value, 2> {
          return {p.isTrue(true), p.isTrue(false)};
        },
        p.i32(0), indicesRow)};
  };
  Value count;
  if (rule().takesAll())
    count = dense()[0];
  else
    count = p.ifElse(isDense(), dense, [&]() -> SmallVector<Value> {
      selectByMass(indicesRow);
      return {target};
    })[0];
  finishRow(count, indicesRow, row);
}

/// Selected over candidate blocks of a head's rows; one warp a head.
static void densityKernel(KernelPage &p, BlockSelectOp op, Value counts,
                          Value slots, Value density) {
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey();
  Type i64 = p.b.getI64Type();
  Value batchHead = p.add(p.mul(p.blockId(gpu::Dimension::z),
                                op.getIndices().getType().getDimSize(1)),
                          p.blockId(gpu::Dimension::y));
  Value lane = p.threadId();
  SmallVector<Value> sums =
      p.forEach(lane, slots, 32, {p.i64(int64_t(0)), p.i64(int64_t(0))},
                [&](Value slot, ValueRange c) -> SmallVector<Value> {
                  Span span = p.locate(slot, bq);
                  Value seen = p.candidates(span, bq, bk, op.getCausal());
                  if (p.isPacked())
                    seen = p.select(p.less(p.mul(span.unit, bq), span.qLength),
                                    seen, p.i32(0));
                  Value row = p.flatRow(batchHead, slots, slot);
                  Value taken = p.load(counts, p.b.getI32Type(), row);
                  return {arith::AddIOp::create(p.b, c[0], p.i64(taken)),
                          arith::AddIOp::create(p.b, c[1], p.i64(seen))};
                });
  auto total = [&](Value x) {
    for (int64_t distance :
         {16, 8, 4, 2, 1}) { // Halves: shuffles move 32 bits.
      Value low = arith::TruncIOp::create(p.b, p.b.getI32Type(), x);
      Value high = arith::TruncIOp::create(
          p.b, p.b.getI32Type(),
          arith::ShRUIOp::create(p.b, x, p.i64(int64_t(32))));
      auto move = [&](Value half) -> Value {
        Value moved = NVVM::ShflOp::create(p.b, half.getType(), p.i32(-1), half,
                                           p.i32(distance), p.i32(31),
                                           NVVM::ShflKind::bfly, UnitAttr());
        return arith::ExtUIOp::create(p.b, i64, moved);
      };
      Value other = arith::OrIOp::create(
          p.b, move(low),
          arith::ShLIOp::create(p.b, move(high), p.i64(int64_t(32))));
      x = arith::AddIOp::create(p.b, x, other);
    }
    return arith::SIToFPOp::create(p.b, p.b.getF32Type(), x);
  };
  Value taken = total(sums[0]), seen = total(sums[1]);
  p.ifThen(p.compare(arith::CmpIPredicate::eq, lane, p.i32(0)), [&] {
    // Of no candidates, all are selected.
    Value some =
        arith::CmpFOp::create(p.b, arith::CmpFPredicate::OGT, seen, p.f32(0.0));
    Value ratio =
        arith::DivFOp::create(p.b, taken, p.select(some, seen, p.f32(1.0)));
    p.store(p.select(some, ratio, p.f32(1.0)), density, batchHead);
  });
}

FailureOr<SmallVector<Value>> unisparse::lowerToKernel(HostSide &host,
                                                       gpu::GPUModuleOp kernels,
                                                       BlockSelectOp op) {
  auto type = op.getIndices().getType();
  Value lq = host.length(op.getStaticLengths(), op.getLengths(), 0),
        lk = host.length(op.getStaticLengths(), op.getLengths(), 1);
  int64_t bq = op.getBlock().getQuery(), bk = op.getBlock().getKey();
  Value slots = host.slots(lq, op.getCuSeqlensQ(), bq);
  Value keyBlocks = host.ceilDiv(lk, bk), batch = host.dim(op.getMass(), 0);
  Value counts = host.result(op.getCounts().getType(), {batch, {}, slots});
  Value indices = host.result(type, {batch, {}, slots, keyBlocks});
  Value density = host.result(op.getDensity().getType(), {batch, {}});

  KernelPage page(kernels, op.getLoc(), "select", kWarps);
  Select select{op, page, {}, {}, {}, {}, {}, {}};
  if (op.getRule().getKind() != RuleKind::All)
    select.mass = page.take(host.address(op.getMass()));
  if (op.getTopP() && !sharesOf(op))
    select.topP = page.take(host.address(op.getTopP()));
  HostPacking packing = host.packing(op.getCuSeqlensQ(), op.getCuSeqlensK());
  page.takeLengths(host.i32(lq), host.i32(lk), packing);
  select.counts = page.take(host.address(counts));
  select.indices = page.take(host.address(indices));
  select.slots = page.take(host.i32(slots));
  select.keyBlocks = page.take(host.i32(keyBlocks));
  Value id = page.threadId();
  select.lane = page.rem(id, 32);
  Value slot = page.add(page.mul(page.blockId(gpu::Dimension::x), kWarps),
                        page.div(id, 32));
  page.ifThen(page.less(slot, select.slots), [&] {
    select.selectRow(page.blockId(gpu::Dimension::z),
                     page.blockId(gpu::Dimension::y), slot);
  });
  page.finish();
  Value heads = host.index(type.getDimSize(1));
  host.launch(page.kernel(), {host.ceilDiv(slots, kWarps), heads, batch},
              32 * kWarps, 0, page.launchOperands());

  if (!op.getDensity().use_empty()) {
    KernelPage ratio(kernels, op.getLoc(), "density", 1);
    ratio.takeLengths(host.i32(lq), host.i32(lk), packing);
    Value countsArgument = ratio.take(host.address(counts));
    Value slotsArgument = ratio.take(host.i32(slots));
    Value densityArgument = ratio.take(host.address(density));
    densityKernel(ratio, op, countsArgument, slotsArgument, densityArgument);
    ratio.finish();
    host.launch(ratio.kernel(), {host.index(1), heads, batch}, 32, 0,
                ratio.launchOperands());
  }
  return SmallVector<Value>{counts, indices, density};
}
