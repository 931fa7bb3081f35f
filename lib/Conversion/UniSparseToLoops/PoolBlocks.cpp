// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.pool with representatives (P5): a query block at a time, its means
// and then the rows that lie farthest from its mean. The block's rows are read
// once, into a tile of f32.
#include "Groups.h"
#include "Lowering.h"
#include "Tiles.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"

using namespace unisparse;
using namespace unisparse::loops;

namespace {

constexpr int64_t kLanes = 16;
/// In the place of a row's distance: that it is taken, that there is none.
constexpr double kTaken = -1.0, kNoRow = -2.0;

struct PoolBlocks {
  Emit &e;
  PoolOp op;
  Value x, out, rowsOut;
  int64_t by = op.getBy(), heads = op.getHeads(), block = op.getBlock(),
          representatives = op.getRepresentatives(), means = block / by,
          headDim = op.getX().getType().getDimSize(3);
  Type element = op.getX().getType().getElementType();
  Groups groups{e, op, out};
  // Scratch of one block.
  Value tile = {};      ///< [block, D] its rows, means of the heads (P4)
  Value distances = {}; ///< [block, rounded up to lanes], squared
  Value centre = {};    ///< [D] the block's mean

  void allocate();
  void forPieces(function_ref<void(int64_t, int64_t)> body);
  void readRows(Value batch, Value head, Value first, Value rows);
  Value meanOf(Value first, Value end, int64_t at, int64_t lanes);
  void writeMeans(ArrayRef<Value> block, Value rows);
  void measure(Value rows);
  void takeFarthest(Value count);
  void writeRepresentatives(ArrayRef<Value> block, Value first, Value count);
  void writePiece(Value piece, int64_t at, ArrayRef<Value> row);
};

} // namespace

void PoolBlocks::allocate() {
  tile = e.buffer({block, headDim}, e.b.getF32Type());
  distances =
      e.buffer({(block + kLanes - 1) / kLanes * kLanes}, e.b.getF32Type());
  centre = e.buffer({headDim}, e.b.getF32Type());
  groups.allocate();
}

void PoolBlocks::forPieces(function_ref<void(int64_t, int64_t)> body) {
  for (int64_t at = 0; at < headDim; at += kPiece)
    body(at, std::min<int64_t>(kPiece, headDim - at));
}

/// The block's rows from row `first` of the tensor on.
void PoolBlocks::readRows(Value batch, Value head, Value first, Value rows) {
  Value firstHead = e.mul(head, heads);
  e.forEach(e.index(0), rows, [&](Value i) {
    Value row = e.add(first, i);
    forPieces([&](int64_t at, int64_t lanes) {
      auto load = [&](Value h) {
        return e.widen(e.loadVector(x, {batch, h, row, e.index(at)}, lanes));
      };
      Value sum =
          e.fold(e.add(firstHead, 1), e.add(firstHead, heads), load(firstHead),
                 [&](Value h, ValueRange acc) -> SmallVector<Value> {
                   return {e.addF(acc[0], load(h))};
                 })[0];
      if (heads > 1)
        sum = e.divF(sum, e.splat(static_cast<double>(heads), lanes));
      e.storeVector(sum, tile, {i, e.index(at)});
    });
  });
}

/// Of rows [first, end) of the tile.
Value PoolBlocks::meanOf(Value first, Value end, int64_t at, int64_t lanes) {
  Value sum = e.fold(first, end, e.splat(0.0, lanes),
                     [&](Value i, ValueRange acc) -> SmallVector<Value> {
                       Value row = e.loadVector(tile, {i, e.index(at)}, lanes);
                       return {e.addF(acc[0], row)};
                     })[0];
  Value n = arith::UIToFPOp::create(e.b, e.b.getF32Type(),
                                    e.toI32(e.sub(end, first)));
  return e.divF(sum, e.splat(n, lanes));
}

/// Part of composite `row` = [b, h, a], and what its dims add to its groups.
void PoolBlocks::writePiece(Value piece, int64_t at, ArrayRef<Value> row) {
  Value stored = e.narrow(piece, element);
  e.storeVector(stored, out, {row[0], row[1], row[2], e.index(at)});
  if (!groups)
    return;
  Value q = e.widen(stored);
  groups.take(e.mulF(q, q), at, row);
}

/// `block` = [b, h, r]. Means that a short block has not repeat its last one.
void PoolBlocks::writeMeans(ArrayRef<Value> block, Value rows) {
  Value last = e.floorDiv(e.sub(rows, e.index(1)), by);
  Value firstOut = e.mul(block[2], op.rowsOfBlock());
  e.forEach(e.index(0), e.index(means), [&](Value a) {
    Value first = e.mul(e.min(a, last), by);
    Value end = e.min(e.add(first, by), rows);
    Value row[] = {block[0], block[1], e.add(firstOut, a)};
    forPieces([&](int64_t at, int64_t lanes) {
      writePiece(meanOf(first, end, at, lanes), at, row);
    });
    groups.finish(row);
  });
}

/// Squared distances of the rows from their mean. One that is no number counts
/// as none.
void PoolBlocks::measure(Value rows) {
  Value zero = e.index(0);
  forPieces([&](int64_t at, int64_t lanes) {
    e.storeVector(meanOf(zero, rows, at, lanes), centre, {e.index(at)});
  });
  e.fill(distances, kNoRow);
  e.forEach(zero, rows, [&](Value i) {
    Value sum = e.f32(0.0);
    forPieces([&](int64_t at, int64_t lanes) {
      Value d = e.subF(e.loadVector(tile, {i, e.index(at)}, lanes),
                       e.loadVector(centre, {e.index(at)}, lanes));
      sum = e.addF(sum, e.sumLanes(e.mulF(d, d)));
    });
    e.store(e.maxF(sum, e.f32(0.0)), distances, {i});
  });
}

/// Marks `count` rows in order of distance, ties by smaller row.
void PoolBlocks::takeFarthest(Value count) {
  Value zero = e.index(0);
  e.forEach(zero, count, [&](Value) {
    Value farthest =
        largestOf(e, distances, zero, e.ceilDiv(e.index(block), kLanes), kLanes,
                  e.f32(kTaken))
            .first;
    e.store(e.f32(kTaken), distances, {farthest});
  });
}

/// The marked rows, ascending; a short block repeats its last one. `first` is
/// the block's first row in its sequence.
void PoolBlocks::writeRepresentatives(ArrayRef<Value> block, Value first,
                                      Value count) {
  Value rows = e.part(rowsOut, block), zero = e.index(0);
  Value last = e.sub(count, e.index(1));
  e.fold(zero, e.index(this->block), {zero},
         [&](Value i, ValueRange c) -> SmallVector<Value> {
           // A skipped row's entry is overwritten by the next; none is
           // written behind the last.
           Value at = e.min(c[0], last);
           Value taken =
               arith::CmpFOp::create(e.b, arith::CmpFPredicate::OEQ,
                                     e.load(distances, {i}), e.f32(kTaken));
           e.ifThen(taken, [&] { e.store(e.toI32(i), rows, {at}); });
           return {e.add(c[0], e.select(taken, e.index(1), zero))};
         });
  Value firstOut = e.add(e.mul(block[2], op.rowsOfBlock()), means);
  e.forEach(zero, e.index(representatives), [&](Value n) {
    // In place: the last one is turned into its sequence's row at the end.
    Value i = e.fromI32(e.load(rows, {e.min(n, last)}));
    Value row[] = {block[0], block[1], e.add(firstOut, n)};
    forPieces([&](int64_t at, int64_t lanes) {
      writePiece(e.loadVector(tile, {i, e.index(at)}, lanes), at, row);
    });
    groups.finish(row);
  });
  Value lastRow = e.load(rows, {last});
  e.forEach(zero, e.index(representatives), [&](Value n) {
    Value own = e.less(n, count);
    Value i = e.select(own, e.load(rows, {n}), lastRow);
    e.store(arith::AddIOp::create(e.b, i, e.toI32(first)), rows, {n});
  });
}

SmallVector<Value> loops::lowerPoolOfBlocks(OpBuilder &builder, PoolOp op,
                                            ValueRange buffers) {
  Emit e(builder, op.getLoc());
  Value x = buffers[0];
  Packing packing{buffers[1], buffers[1]};
  Value length = e.dim(x, 2);
  int64_t block = op.getBlock();
  Value slots = slotCount(e, packing, length, block);
  auto bufferOf = [&](RankedTensorType type, Value rows) {
    SmallVector<Value> sizes;
    if (type.isDynamicDim(0))
      sizes.push_back(e.dim(x, 0));
    if (type.isDynamicDim(2))
      sizes.push_back(rows);
    return e.buffer(type.getShape(), type.getElementType(), sizes);
  };
  Value out =
      bufferOf(op.getComposites().getType(), e.mul(slots, op.rowsOfBlock()));
  Value rows = bufferOf(cast<RankedTensorType>(op.getRows().getType()), slots);
  if (isEmpty(op))
    return {out, rows};
  e.parallel({e.dim(out, 0), e.dim(out, 1), slots}, [&](ValueRange at) {
    withSequence(e, packing, length, length, at[2], block, [&](Sequence s) {
      PoolBlocks pool{e, op, x, out, rows};
      pool.allocate();
      Value first = e.mul(s.unit, block);
      Value existing = e.min(e.index(block), e.sub(s.qLength, first));
      pool.readRows(at[0], at[1], e.add(s.qStart, first), existing);
      SmallVector<Value> place(at);
      pool.writeMeans(place, existing);
      pool.measure(existing);
      Value count = e.min(existing, e.index(op.getRepresentatives()));
      pool.takeFarthest(count);
      pool.writeRepresentatives(place, first, count);
    });
  });
  return {out, rows};
}
