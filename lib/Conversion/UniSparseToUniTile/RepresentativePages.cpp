// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.pool with representatives (P5), as three pages: a query block's
// means and its own mean; how far its rows lie from it; those that are farthest.
// Each reads what an earlier one has written, so that none waits for itself.
#include "Kernels.h"
#include "PoolUnits.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// Threads of a CTA that make means, each a unit of a block.
constexpr int64_t kUnits = 128;
/// Rows that a warp measures, their loads in flight together.
constexpr int64_t kRows = 8;
/// A warp has an item; items of a CTA.
constexpr int64_t kWarp = 32, kItems = 4;

/// Where a point of a grid over query blocks works.
struct BlockPlace {
  Value batch, head, slot;
  Value first, start; ///< Its first row, in its sequence and in the tensor.
  Value rows;         ///< How many exist; none in a spare slot.
};

BlockPlace placeOf(KernelPage &p, Value slot, int64_t block) {
  BlockPlace at;
  at.batch = p.blockId(gpu::Dimension::z);
  at.head = p.blockId(gpu::Dimension::y);
  at.slot = slot;
  Span span = p.locate(slot, block);
  at.first = p.mul(span.unit, block);
  at.start = p.add(span.qStart, at.first);
  at.rows = p.min(p.i32(block), p.sub(span.qLength, at.first));
  if (p.isPacked())
    at.rows = p.max(at.rows, p.i32(0));
  return at;
}

/// Calls `body` where the block has rows.
void whereRowsExist(KernelPage &p, const BlockPlace &at,
                    function_ref<void()> body) {
  if (p.isPacked())
    p.ifThen(p.less(p.i32(0), at.rows), body);
  else
    body();
}

} // namespace

/// The block's means, and its own in f32. Means that a short block has not
/// repeat its last one.
static void buildMeans(PoolUnits &pool, Value centre) {
  KernelPage &p = pool.p;
  PoolOp op = pool.op;
  int64_t by = op.getBy(), block = op.getBlock(), heads = op.getHeads();
  BlockPlace at = placeOf(p, p.blockId(gpu::Dimension::x), block);
  Value firstOut = p.mul(at.slot, op.rowsOfBlock());
  auto unitOfMeans = [&](Value u) -> SmallVector<Value> {
    Value last = p.div(p.sub(at.rows, 1), by);
    auto composite = [&](Value a, ValueRange c) -> SmallVector<Value> {
      Value own = p.compare(arith::CmpIPredicate::sle, a, last);
      Value from = p.mul(p.min(a, last), by);
      Value rows = p.min(p.i32(by), p.sub(at.rows, from));
      SmallVector<Value> sums =
          pool.addRows(at.batch, at.head, p.add(at.start, from), rows, u,
                       pool.zeros());
      Value place[] = {at.batch, at.head, p.add(firstOut, a)};
      pool.writeNorms(
          pool.write(pool.divide(sums, p.mul(rows, heads)), place, u), place,
          u);
      SmallVector<Value> next;
      for (auto [sum, all] : llvm::zip_equal(sums, c))
        next.push_back(p.select(
            own, arith::AddFOp::create(p.b, all, sum).getResult(), all));
      return next;
    };
    SmallVector<Value> all =
        p.forEach(p.i32(0), p.i32(block / by), 1, pool.zeros(), composite);
    for (auto [n, x] :
         llvm::enumerate(pool.divide(all, p.mul(at.rows, heads))))
      vector::StoreOp::create(
          p.b, x, centre,
          p.indices({at.batch, at.head, at.slot, pool.column(u, n)}));
    return {};
  };
  whereRowsExist(p, at, [&] {
    p.parallel(p.i32(0), p.i32(pool.count), {}, unitOfMeans);
  });
}

/// Squared distances of kRows rows from their block's mean. One that is no
/// number counts as none.
static void buildDistances(PoolUnits &pool, Value centre, Value distances) {
  KernelPage &p = pool.p;
  int64_t block = pool.op.getBlock(),
          parts = llvm::divideCeil(block, kRows);
  Value id = p.blockId(gpu::Dimension::x);
  BlockPlace at = placeOf(p, p.div(id, parts), block);
  Value firstRow = p.mul(p.rem(id, parts), kRows);
  whereRowsExist(p, at, [&] {
    Value last = p.sub(at.rows, 1);
    SmallVector<Value> rows;
    for (int64_t i = 0; i < kRows; ++i)
      rows.push_back(p.add(firstRow, i));
    auto unit = [&](Value u) -> SmallVector<Value> {
      SmallVector<Value> sums;
      SmallVector<Value> mean;
      for (int64_t n = 0; n < pool.pieces; ++n)
        mean.push_back(vector::LoadOp::create(
            p.b, pool.f32Piece, centre,
            p.indices({at.batch, at.head, at.slot, pool.column(u, n)})));
      for (Value row : rows) {
        // Behind the block's end its last row serves.
        Value existing = p.add(at.start, p.min(row, last));
        Value sum = p.f32(0.0);
        for (auto [x, m] : llvm::zip_equal(
                 pool.row(at.batch, at.head, existing, u), mean)) {
          Value d = arith::SubFOp::create(p.b, x, m);
          sum = vector::ReductionOp::create(
              p.b, vector::CombiningKind::ADD, pool.square(d), sum,
              arith::FastMathFlags::reassoc);
        }
        sums.push_back(sum);
      }
      return sums;
    };
    SmallVector<Value> sums =
        p.parallel(p.i32(0), p.i32(pool.count),
                   SmallVector<Value>(kRows, p.f32(0.0)), unit);
    for (int64_t i = 0; i < kRows; ++i)
      p.ifThen(p.less(rows[i], at.rows), [&] {
        Value number = arith::MaxNumFOp::create(p.b, sums[i], p.f32(0.0));
        p.write(number, distances, {at.batch, at.head, at.slot, rows[i]});
      });
  });
}

/// The rows that lie farthest, found as block_select finds its masses: bit by
/// bit the least distance that is taken, of ties the smaller rows.
static void buildRepresentatives(PoolUnits &pool, Value distances,
                                 Value rowsOut) {
  KernelPage &p = pool.p;
  PoolOp op = pool.op;
  int64_t wanted = op.getRepresentatives(), block = op.getBlock();
  BlockPlace at = placeOf(p, p.blockId(gpu::Dimension::x), block);
  auto bitsOf = [&](Value row) -> Value {
    Value d = p.read(distances, {at.batch, at.head, at.slot, row});
    return arith::BitcastOp::create(p.b, p.b.getI32Type(), d);
  };
  auto countWhere = [&](arith::CmpIPredicate predicate, Value limit) {
    return p.parallel(
        p.i32(0), at.rows, p.i32(0), [&](Value row) -> SmallVector<Value> {
          Value holds = p.compare(predicate, bitsOf(row), limit);
          return {p.select(holds, p.i32(1), p.i32(0))};
        })[0];
  };
  Value firstOut = p.add(p.mul(at.slot, op.rowsOfBlock()), block / op.getBy());
  auto copy = [&](Value row, Value place) {
    p.write(p.add(at.first, row), rowsOut,
            {at.batch, at.head, at.slot, place});
    Value composite[] = {at.batch, at.head, p.add(firstOut, place)};
    p.forEach(p.i32(0), p.i32(pool.count), 1, {},
              [&](Value u, ValueRange) -> SmallVector<Value> {
                SmallVector<Value> x =
                    pool.row(at.batch, at.head, p.add(at.start, row), u);
                pool.writeNorms(pool.write(x, composite, u), composite, u);
                return {};
              });
  };
  whereRowsExist(p, at, [&] {
    Value count = p.min(p.i32(wanted), at.rows);
    auto nextBit = [&](Value i, ValueRange c) -> SmallVector<Value> {
      Value bit = arith::ShLIOp::create(p.b, p.i32(1), p.sub(p.i32(30), i));
      Value candidate = p.either(c[0], bit);
      Value enough = p.compare(
          arith::CmpIPredicate::sge,
          countWhere(arith::CmpIPredicate::uge, candidate), count);
      return {p.select(enough, candidate, c[0])};
    };
    Value limit = p.forEach(p.i32(0), p.i32(31), 1, p.i32(0), nextBit)[0];
    Value ties =
        p.sub(count, countWhere(arith::CmpIPredicate::ugt, limit));
    p.parallel(p.i32(0), at.rows, {}, [&](Value row) -> SmallVector<Value> {
      Value bits = bitsOf(row);
      Value tie = p.compare(arith::CmpIPredicate::eq, bits, limit);
      Value taken =
          p.either(p.compare(arith::CmpIPredicate::ugt, bits, limit),
                   p.both(tie, p.less(p.rank(tie), ties)));
      Value place = p.rank(taken);
      p.ifThen(taken, [&] { copy(row, place); });
      return {};
    });
    // A block of fewer rows has taken them all, and repeats the last.
    p.parallel(count, p.i32(wanted), {}, [&](Value n) -> SmallVector<Value> {
      copy(p.sub(at.rows, 1), n);
      return {};
    });
  });
}

FailureOr<SmallVector<Value>>
unisparse::lowerPoolOfBlocks(HostSide &host, gpu::GPUModuleOp kernels,
                             PoolOp op) {
  auto type = op.getComposites().getType();
  auto rowsType = cast<RankedTensorType>(op.getRows().getType());
  int64_t block = op.getBlock(), heads = type.getDimSize(1);
  Value batch = host.dim(op.getX(), 0), length = host.dim(op.getX(), 2);
  Value slots = host.slots(length, op.getCuSeqlens(), block);
  Value composites = host.b.createOrFold<arith::MulIOp>(
      slots, host.index(op.rowsOfBlock()));
  Value out = host.result(type, {batch, {}, composites, {}});
  Value rows = host.result(rowsType, {batch, {}, slots, {}});
  auto scratch = [&](int64_t columns) {
    auto shape = rowsType.getShape();
    auto of = RankedTensorType::get({shape[0], shape[1], shape[2], columns},
                                    host.b.getF32Type());
    return host.result(of, {batch, {}, slots, {}});
  };
  Value centre = scratch(op.getX().getType().getDimSize(3)),
        distances = scratch(block);

  auto page = [&](StringRef name, int64_t lanes, int64_t items, Value grid,
                  ArrayRef<std::pair<StringRef, Value>> buffers,
                  function_ref<void(PoolUnits &, ArrayRef<Value>)> build) {
    KernelPage p(kernels, op.getLoc(), name);
    p.kernel()->setAttr(kScheduleAttr,
                        ThreadsAttr::get(op.getContext(), lanes, items, 0));
    PoolUnits pool{op, p};
    pool.x = p.take("x", host.stridedBuffer(op.getX()));
    SmallVector<Value> arguments;
    for (auto [what, buffer] : buffers)
      arguments.push_back(p.take(what, host.contiguousBuffer(buffer)));
    p.takeSequences(host, length, length, op.getCuSeqlens(),
                    op.getCuSeqlens());
    build(pool, arguments);
    p.finish();
    host.launch(p.kernel(), {grid, host.index(heads), batch}, /*threads=*/1,
                /*sharedBytes=*/0, p.launchOperands());
  };
  int64_t units = unitsOf(op);
  page("pool_blocks", units, std::max<int64_t>(1, kUnits / units), slots,
       {{"composites", out}, {"centre", centre}},
       [](PoolUnits &pool, ArrayRef<Value> buffers) {
         pool.out = buffers[0];
         buildMeans(pool, buffers[1]);
       });
  Value parts = host.b.createOrFold<arith::MulIOp>(
      slots, host.index(llvm::divideCeil(block, kRows)));
  page("distances", kWarp, kItems, parts,
       {{"centre", centre}, {"distances", distances}},
       [](PoolUnits &pool, ArrayRef<Value> buffers) {
         buildDistances(pool, buffers[0], buffers[1]);
       });
  page("representatives", kWarp, kItems, slots,
       {{"distances", distances}, {"composites", out}, {"rows", rows}},
       [](PoolUnits &pool, ArrayRef<Value> buffers) {
         pool.out = buffers[1];
         buildRepresentatives(pool, buffers[0], buffers[2]);
       });
  return SmallVector<Value>{out, rows};
}
