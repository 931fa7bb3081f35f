// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.pool with representatives (P5) as a page: a point of its grid makes
// the composites of a query block, its means and the rows that lie farthest
// from its own mean. Its loops pass values on through the page's own memory;
// rows are read twice, the second time from a cache.
#include "Kernels.h"
#include "PoolUnits.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// A CTA's threads, and as many CTAs of an SM as leave each about 80 registers,
/// and most of an SM's memory to the cache that holds their rows.
constexpr int64_t kThreads = 128, kCtas = 6;
/// A block's sum has so many parts, and so has a row's distance.
constexpr int64_t kParts = 8, kDistanceParts = 16;
/// Words that parts of distances take at most, of long blocks fewer parts.
constexpr int64_t kDistanceWords = 8 * 1024;
/// Rows whose distances a thread works on at a time.
constexpr int64_t kRows = 4;

/// The means, then the block's own; distances from it; and their order.
class BlockPage : PoolUnits {
public:
  BlockPage(PoolUnits pool, Value rowsOut)
      : PoolUnits(pool), rowsOut(rowsOut) {}
  void build();

private:
  void place();
  Value writeMeans();
  Value centreOf(Value sums);
  Value distancesFrom(Value centre);
  Value placeOf(Value r, Value own, Value distances);
  Value farthest(Value distances);
  void writeFarthest(Value order);

  /// Calls `body` with i and j for each i < n and j < m.
  void forPairs(int64_t n, int64_t m, function_ref<void(Value, Value)> body) {
    p.parallel(p.i32(0), p.i32(n * m), {}, [&](Value at) -> SmallVector<Value> {
      body(p.div(at, m), p.rem(at, m));
      return {};
    });
  }
  void forEach(Value count, function_ref<void(Value)> body) {
    p.parallel(p.i32(0), count, {}, [&](Value i) -> SmallVector<Value> {
      body(i);
      return {};
    });
  }
  /// `sum` and the squares of a piece's elements.
  Value addSquares(Value piece, Value sum) {
    for (int64_t n = 0; n < lanes; ++n) {
      Value x = vector::ExtractOp::create(p.b, piece, n);
      sum = math::FmaOp::create(p.b, x, x, sum);
    }
    return sum;
  }
  Value composite(Value n) { return p.add(firstOut, n); }

  int64_t by = op.getBy(), block = op.getBlock(), heads = op.getHeads();
  int64_t means = block / by, wanted = op.getRepresentatives();
  Value rowsOut;
  Value batch, head, slot;
  Value first, start; ///< The block's first row, in its sequence and in x.
  Value rows;         ///< How many exist; none in a spare slot.
  Value firstOut;     ///< Its first composite.
};

} // namespace

void BlockPage::place() {
  batch = p.blockId(gpu::Dimension::z);
  head = p.blockId(gpu::Dimension::y);
  slot = p.blockId(gpu::Dimension::x);
  Span span = p.locate(slot, block);
  first = p.mul(span.unit, block);
  start = p.add(span.qStart, first);
  rows = p.min(p.i32(block), p.sub(span.qLength, first));
  firstOut = p.mul(slot, op.rowsOfBlock());
}

/// The block's means; those that a short block has not repeat its last one.
/// Gives the sums over parts of the block.
Value BlockPage::writeMeans() {
  int64_t parts = std::min(kParts, means),
          each = llvm::divideCeil(means, parts);
  Value result = p.scratch({parts, headDim}, p.b.getF32Type());
  Value last = p.div(p.sub(rows, 1), by);
  forPairs(parts, count, [&](Value part, Value u) {
    auto mean = [&](Value a, ValueRange c) -> SmallVector<Value> {
      Value own = p.compare(arith::CmpIPredicate::sle, a, last);
      Value from = p.mul(p.min(a, last), by);
      Value of = p.min(p.i32(by), p.sub(rows, from));
      SmallVector<Value> sums =
          addRows(batch, head, p.add(start, from), of, u, zeros());
      Value at[] = {batch, head, composite(a)};
      writeNorms(write(divide(sums, p.mul(of, heads)), at, u), at, u);
      SmallVector<Value> next;
      for (auto [sum, all] : llvm::zip_equal(sums, c))
        next.push_back(p.select(
            own, arith::AddFOp::create(p.b, all, sum).getResult(), all));
      return next;
    };
    Value begin = p.mul(part, each);
    Value end = p.min(p.add(begin, each), p.i32(means));
    SmallVector<Value> all = p.forEach(begin, end, 1, zeros(), mean);
    for (auto [n, x] : llvm::enumerate(all))
      vector::StoreOp::create(p.b, x, result, p.indices({part, column(u, n)}));
  });
  return result;
}

Value BlockPage::centreOf(Value sums) {
  Value centre = p.scratch({headDim}, p.b.getF32Type());
  int64_t parts = cast<MemRefType>(sums.getType()).getDimSize(0);
  Value number = p.toFloat(p.mul(rows, heads));
  forEach(p.i32(headDim), [&](Value column) {
    Value sum = p.read(sums, {p.i32(0), column});
    for (int64_t part = 1; part < parts; ++part)
      sum =
          arith::AddFOp::create(p.b, sum, p.read(sums, {p.i32(part), column}));
    p.write(arith::DivFOp::create(p.b, sum, number), centre, {column});
  });
  return centre;
}

/// Squared distances of the block's rows from its mean. One that is no number
/// counts as none; behind the block's end they are -1, to the next kRows rows.
Value BlockPage::distancesFrom(Value centre) {
  int64_t padded = llvm::alignTo(block, kRows);
  int64_t fit = std::max<int64_t>(1, kDistanceWords / (padded + 1));
  int64_t parts = std::min({kDistanceParts, count, fit}),
          each = llvm::divideCeil(count, parts);
  // Parts of a row begin a bank apart.
  Value ofParts = p.scratch({parts, padded + 1}, p.b.getF32Type());
  Value lastRow = p.sub(rows, 1);
  // Loads of some rows are in flight together.
  forPairs(padded / kRows, parts, [&](Value some, Value part) {
    SmallVector<Value> ownRows;
    for (int64_t i = 0; i < kRows; ++i)
      ownRows.push_back(p.add(p.mul(some, kRows), i));
    auto add = [&](Value u, ValueRange c) -> SmallVector<Value> {
      SmallVector<SmallVector<Value>> loaded;
      for (Value r : ownRows)
        loaded.push_back(row(batch, head, p.add(start, p.min(r, lastRow)), u));
      SmallVector<Value> sums(c);
      for (int64_t n = 0; n < pieces; ++n) {
        Value mean = vector::LoadOp::create(p.b, f32Piece, centre,
                                            p.indices({column(u, n)}));
        for (auto [sum, x] : llvm::zip_equal(sums, loaded))
          sum = addSquares(arith::SubFOp::create(p.b, x[n], mean), sum);
      }
      return sums;
    };
    Value begin = p.mul(part, each);
    Value end = p.min(p.add(begin, each), p.i32(count));
    SmallVector<Value> sums =
        p.forEach(begin, end, 1, SmallVector<Value>(kRows, p.f32(0.0)), add);
    for (auto [r, sum] : llvm::zip_equal(ownRows, sums))
      p.write(sum, ofParts, {part, r});
  });
  Value result = p.scratch({padded}, p.b.getF32Type());
  forEach(p.i32(padded), [&](Value r) {
    Value sum = p.read(ofParts, {p.i32(0), r});
    for (int64_t part = 1; part < parts; ++part)
      sum = arith::AddFOp::create(p.b, sum, p.read(ofParts, {p.i32(part), r}));
    Value number = arith::MaxNumFOp::create(p.b, sum, p.f32(0.0));
    p.write(p.select(p.less(r, rows), number, p.f32(-1.0)), result, {r});
  });
  return result;
}

/// How many rows come before row r, whose distance is `own`: those that lie
/// farther and, of ties, the smaller.
Value BlockPage::placeOf(Value r, Value own, Value distances) {
  int64_t padded = cast<MemRefType>(distances.getType()).getDimSize(0);
  auto some = VectorType::get({kRows}, p.b.getF32Type());
  auto countWhere = [&](Value j, Value sum,
                        function_ref<Value(int64_t, Value)> isBefore) {
    Value others = vector::LoadOp::create(p.b, some, distances, p.indices({j}));
    for (int64_t n = 0; n < kRows; ++n) {
      Value other = vector::ExtractOp::create(p.b, others, n);
      sum = p.select(isBefore(n, other), p.add(sum, 1), sum);
    }
    return sum;
  };
  auto is = [&](arith::CmpFPredicate predicate, Value other) -> Value {
    return arith::CmpFOp::create(p.b, predicate, other, own);
  };
  auto countIn = [&](Value from, Value to, Value sum,
                     arith::CmpFPredicate predicate) {
    return p.forEach(from, to, kRows, sum,
                     [&](Value j, ValueRange c) -> SmallVector<Value> {
                       return {countWhere(j, c[0], [&](int64_t, Value other) {
                         return is(predicate, other);
                       })};
                     })[0];
  };
  // Of kRows that r is one of, ties are told apart; elsewhere all are smaller
  // than r, or none.
  Value near = p.mul(p.div(r, kRows), kRows);
  Value sum = countIn(p.i32(0), near, p.i32(0), arith::CmpFPredicate::OGE);
  sum = countWhere(near, sum, [&](int64_t n, Value other) {
    Value tie =
        p.both(is(arith::CmpFPredicate::OEQ, other), p.less(p.add(near, n), r));
    return p.either(is(arith::CmpFPredicate::OGT, other), tie);
  });
  return countIn(p.add(near, kRows), p.i32(padded), sum,
                 arith::CmpFPredicate::OGT);
}

/// The rows that lie farthest, of ties the smaller, in ascending order. A block
/// of fewer rows has taken them all, and repeats the last.
Value BlockPage::farthest(Value distances) {
  Type i32 = p.b.getI32Type();
  // By distance: a row's place is how many come before it.
  Value found = p.scratch({wanted}, i32);
  forEach(rows, [&](Value r) {
    Value own = p.read(distances, {r});
    Value at = placeOf(r, own, distances);
    p.ifThen(p.less(at, p.i32(wanted)), [&] { p.write(r, found, {at}); });
  });
  // By row.
  Value order = p.scratch({wanted}, i32), taken = p.min(p.i32(wanted), rows);
  forEach(p.i32(wanted), [&](Value n) {
    SmallVector<Value> rowAndPlace = p.ifElse(
        p.less(n, taken),
        [&]() -> SmallVector<Value> {
          Value r = p.read(found, {n});
          auto smaller = [&](Value m, ValueRange c) -> SmallVector<Value> {
            Value is = p.less(p.read(found, {m}), r);
            return {p.select(is, p.add(c[0], 1), c[0])};
          };
          return {r, p.forEach(p.i32(0), taken, 1, p.i32(0), smaller)[0]};
        },
        [&]() -> SmallVector<Value> { return {p.sub(rows, 1), n}; });
    p.write(rowAndPlace[0], order, {rowAndPlace[1]});
  });
  return order;
}

void BlockPage::writeFarthest(Value order) {
  forPairs(wanted, count, [&](Value n, Value u) {
    Value r = p.read(order, {n});
    Value at[] = {batch, head, composite(p.add(n, means))};
    writeNorms(write(row(batch, head, p.add(start, r), u), at, u), at, u);
    p.ifThen(p.compare(arith::CmpIPredicate::eq, u, p.i32(0)), [&] {
      p.write(p.add(first, r), rowsOut, {batch, head, slot, n});
    });
  });
}

void BlockPage::build() {
  place();
  auto work = [&] {
    writeFarthest(farthest(distancesFrom(centreOf(writeMeans()))));
  };
  // Spare slots of a packed batch hold no block.
  if (p.isPacked())
    p.ifThen(p.less(p.i32(0), rows), work);
  else
    work();
}

FailureOr<SmallVector<Value>>
unisparse::lowerPoolOfBlocks(HostSide &host, gpu::GPUModuleOp kernels,
                             PoolOp op) {
  auto type = op.getComposites().getType();
  Value batch = host.dim(op.getX(), 0), length = host.dim(op.getX(), 2);
  Value slots = host.slots(length, op.getCuSeqlens(), op.getBlock());
  Value composites =
      host.b.createOrFold<arith::MulIOp>(slots, host.index(op.rowsOfBlock()));
  Value out = host.result(type, {batch, {}, composites, {}});
  Value rows = host.result(op.getRows().getType(), {batch, {}, slots, {}});
  KernelPage page(kernels, op.getLoc(), "pool_blocks");
  page.kernel()->setAttr(
      kScheduleAttr,
      ThreadsAttr::get(op.getContext(), kThreads, /*items=*/1, kCtas));
  PoolUnits pool{op, page};
  pool.x = page.take("x", host.stridedBuffer(op.getX()));
  pool.out = page.take("composites", host.contiguousBuffer(out));
  Value rowsOut = page.take("rows", host.contiguousBuffer(rows));
  page.takeSequences(host, length, length, op.getCuSeqlens(),
                     op.getCuSeqlens());
  BlockPage(pool, rowsOut).build();
  page.finish();
  host.launch(page.kernel(), {slots, host.index(type.getDimSize(1)), batch},
              /*threads=*/1, /*sharedBytes=*/0, page.launchOperands());
  return SmallVector<Value>{out, rows};
}
