// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.block_sparse_attention as one page of tile code, the same for every
// chip: a query tile walks its row's key blocks in FlashAttention's way, S = Q
// K^T, online softmax, O += P V. When and where things happen is for
// unitile-pipeline and unitile-specialise-warps to say.
#include "KernelPage.h"
#include "Kernels.h"
#include "ModifiedLogits.h"
#include "Schedule.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include <cmath>

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// What the online softmax begins with: finite, so that -inf minus it is -inf.
constexpr double kLowest = -1e30;

struct AttendPage {
  AttendPage(BlockSparseAttentionOp op, int64_t rows, int64_t keys,
             KernelPage &page)
      : op(op), p(page), b(page.b),
        element(op.getQ().getType().getElementType()),
        bq(op.getBlock().getQuery()), bk(op.getBlock().getKey()), tq(rows),
        tk(keys), tilesOfBlock(llvm::divideCeil(bk, tk)),
        heads(op.getQ().getType().getDimSize(1)),
        group(heads / op.getK().getType().getDimSize(1)),
        depth(tileColumns(op.getQ().getType().getDimSize(3))),
        width(tileColumns(op.getV().getType().getDimSize(3))),
        reach(reachOf(op)),
        modification(op.getModification(), element,
                     scaleInBase2(op.getScale(), 1.0,
                                  op.getQ().getType().getDimSize(3)) /
                         M_LOG2E,
                     op.getSoftcap()),
        settled(modification.settledReference()) {}

  // The kernel's arguments.
  Value q, k, v, o, lse, counts, indices, sinks, slots;
  SmallVector<Value> tables; ///< M5

  void build();

private:
  void attend(Value count);
  Value countTiles();
  Value countBeforeWindow(Value blocks);
  void writeBlock(Block &block);
  void writeScore(Block &block);
  void writeMask(Block &block);
  void writeUpdate(Block &block);
  void writeFinish(Block &block);
  Value modified(Value scores, Value key);
  Value settleSum(Value &reference, Value &sum);
  void joinSink(Value &reference, Value &sum, Value &inverse);

  BlockSparseAttentionOp op;
  KernelPage &p;
  ImplicitLocOpBuilder &b;
  Type element;
  int64_t bq, bk; ///< A block.
  int64_t tq, tk; ///< A tile.
  int64_t tilesOfBlock;
  int64_t heads, group;
  int64_t depth, width;
  Reach reach;
  ModifiedLogits modification;   ///< M1, M5
  std::optional<double> settled; ///< The references, where they are known.

  // Of the query tile at hand.
  Span span;
  Value head, batch, slot, selection; ///< Head of the selection.
  Value first, end;                   ///< Rows, in the sequence.
  Value firstBlock; ///< Of the candidates, where a window cuts them.
  Value skipped;    ///< Selected blocks that end before the window.
  Value queries;
};

} // namespace

/// Tile n: a part of the block that the selection names, or of block n.
void AttendPage::writeBlock(Block &body) {
  Value n = body.getArgument(0), block = p.div(n, tilesOfBlock);
  if (indices && skipped)
    block = p.add(block, skipped);
  if (indices)
    block = p.read(indices, {batch, selection, slot, block});
  else if (firstBlock)
    block = p.add(block, firstBlock);
  Value start = p.mul(block, bk), limit = span.kLength;
  // Tiles of a block that they do not divide stop at its end.
  if (bk % tk)
    limit = p.min(limit, p.add(start, bk));
  Value key = p.add(start, p.mul(p.rem(n, tilesOfBlock), tk));
  unitile::YieldOp::create(b, ValueRange{key, limit});
}

void AttendPage::writeScore(Block &body) {
  Value key = p.add(span.kStart, body.getArgument(0)),
        limit = p.add(span.kStart, body.getArgument(1));
  auto tile = TileType::get(b.getContext(), tk, depth, element);
  Value keys =
      FetchOp::create(b, tile, k, batch, p.div(head, group), key, limit);
  auto type = p.fragment(tq, tk, b.getF32Type());
  Value scores =
      DotOp::create(b, type, queries, keys, Value(), /*by_rows=*/false);
  scores = modification.scaled(p, scores);
  unitile::YieldOp::create(b, scores);
}

/// M5, of the tile that begins at `key`.
Value AttendPage::modified(Value scores, Value key) {
  Value position = p.add(first, p.delta(span));
  return p.map(
      scores.getType(), scores,
      [&](ValueRange e) -> Value {
        return modification.write(p, tables, e[2], batch, head,
                                  p.addPlaces(position, e[0]),
                                  p.addPlaces(key, e[1]));
      },
      /*indices=*/true);
}

/// A key is behind what the query sees (A1, M2), its block's end or the
/// sequence's (P3), or before what it sees (M2).
void AttendPage::writeMask(Block &body) {
  Value position, from;
  if (reach.right)
    position = p.add(p.add(first, p.delta(span)), *reach.right);
  if (reach.left)
    from = p.sub(p.add(first, p.delta(span)), *reach.left);
  Value scores = body.getArgument(0);
  if (modification)
    scores = modified(scores, body.getArgument(1));
  unitile::YieldOp::create(
      b, ValueRange{MaskOp::create(b, scores.getType(), scores,
                                   body.getArgument(1), body.getArgument(2),
                                   position, /*bounds=*/Value(),
                                   /*last=*/Value(), /*when=*/Value(), from)});
}

void AttendPage::writeUpdate(Block &body) {
  Value scores = body.getArgument(0), output = body.getArgument(3),
        reference = body.getArgument(4), sum = body.getArgument(5);
  Value key = p.add(span.kStart, body.getArgument(1)),
        limit = p.add(span.kStart, body.getArgument(2));
  auto step = SoftmaxOp::create(
      b,
      TypeRange{p.fragment(tq, tk, element), reference.getType(), sum.getType(),
                output.getType()},
      scores, b.getF64FloatAttr(modification.unit()), reference, sum, output,
      /*speculative=*/UnitAttr(),
      settled ? b.getF64FloatAttr(*settled) : FloatAttr());
  auto tile = TileType::get(b.getContext(), tk, width, element);
  Value values =
      FetchOp::create(b, tile, v, batch, p.div(head, group), key, limit);
  Value sumOfProducts =
      DotOp::create(b, output.getType(), step.getProbabilities(), values,
                    step.getOutput(), /*by_rows=*/true);
  unitile::YieldOp::create(
      b, ValueRange{sumOfProducts, step.getReference(), step.getSum()});
}

/// M3: the sink's exponential joins the sum. What it is relative to may move,
/// and O's factor with it; that stays 0 where no key was seen (A2, A5).
void AttendPage::joinSink(Value &reference, Value &sum, Value &inverse) {
  Value sink = arith::MulFOp::create(b, p.read(sinks, head), p.f32(M_LOG2E));
  Value top = p.map(p.rows(tq), reference, [&](ValueRange e) -> Value {
    return arith::MaxNumFOp::create(b, e[0], sink);
  });
  Value shrink =
      p.map(p.rows(tq), {reference, top}, [&](ValueRange e) -> Value {
        return math::Exp2Op::create(b, arith::SubFOp::create(b, e[0], e[1]));
      });
  Value all = p.map(p.rows(tq), {sum, shrink, top}, [&](ValueRange e) -> Value {
    Value own = math::Exp2Op::create(b, arith::SubFOp::create(b, sink, e[2]));
    return math::FmaOp::create(b, e[0], e[1], own);
  });
  inverse = InverseOp::create(b, all.getType(), all, element.isF32());
  inverse =
      p.map(p.rows(tq), {inverse, shrink, sum}, [&](ValueRange e) -> Value {
        Value blind = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, e[2],
                                            p.f32(0.0));
        return p.select(blind, p.f32(0.0),
                        arith::MulFOp::create(b, e[0], e[1]));
      });
  reference = top, sum = all;
}

/// A settled reference may be far from all that a row has seen: the sum's
/// exponent joins it, so that an LSE has the digits of its own size (A3), and
/// O's factor takes the other way. Not that of a sum that is 0 or no number.
Value AttendPage::settleSum(Value &reference, Value &sum) {
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  auto split = [&](Value sum) {
    Value bits = arith::BitcastOp::create(b, i32, sum);
    Value biased = arith::ShRUIOp::create(b, bits, p.i32(23));
    Value is = p.both(p.compare(arith::CmpIPredicate::ne, biased, p.i32(0)),
                      p.less(biased, p.i32(255)));
    return std::tuple(bits, biased, is);
  };
  auto map = [&](ValueRange of, function_ref<Value(ValueRange)> body) {
    return p.map(p.rows(tq), of, body);
  };
  Value old = sum;
  reference = map({reference, old}, [&](ValueRange e) -> Value {
    auto [bits, biased, is] = split(e[1]);
    Value moved =
        arith::AddFOp::create(b, e[0], p.toFloat(p.sub(biased, p.i32(127))));
    return p.select(is, moved, e[0]);
  });
  sum = map(old, [&](ValueRange e) -> Value {
    auto [bits, biased, is] = split(e[0]);
    Value one = arith::OrIOp::create(
        b, arith::AndIOp::create(b, bits, p.i32(0x7fffff)), p.i32(127 << 23));
    return p.select(is, arith::BitcastOp::create(b, f32, one), e[0]);
  });
  return map(old, [&](ValueRange e) -> Value {
    auto [bits, biased, is] = split(e[0]);
    Value power =
        arith::ShLIOp::create(b, p.sub(p.i32(254), biased), p.i32(23));
    return p.select(is, arith::BitcastOp::create(b, f32, power), p.f32(1.0));
  });
}

/// o = O / sum, and LSE; 0 and -inf where nothing was seen (A2, A5).
void AttendPage::writeFinish(Block &body) {
  Value reference = body.getArgument(1), sum = body.getArgument(2), inverse,
        factor;
  if (settled)
    factor = settleSum(reference, sum);
  if (sinks)
    joinSink(reference, sum, inverse);
  else
    inverse = InverseOp::create(b, sum.getType(), sum, element.isF32());
  if (factor)
    inverse = p.map(p.rows(tq), {inverse, factor}, [&](ValueRange e) -> Value {
      return arith::MulFOp::create(b, e[0], e[1]);
    });
  Value out = p.map(p.fragment(tq, width, element),
                    {body.getArgument(0), inverse}, [&](ValueRange e) -> Value {
                      Value x = arith::MulFOp::create(b, e[0], e[1]);
                      Value blind = arith::CmpFOp::create(
                          b, arith::CmpFPredicate::OEQ, e[1], p.f32(0.0));
                      x = p.select(blind, p.f32(0.0), x);
                      if (element.isF32())
                        return x;
                      return arith::TruncFOp::create(b, element, x);
                    });
  Value row = p.add(span.qStart, first), limit = p.add(span.qStart, this->end);
  PutOp::create(b, out, o, batch, head, row, limit);
  if (lse) {
    Value logs = LseOp::create(b, p.rows(tq), reference, sum);
    PutOp::create(b, logs, lse, batch, head, row, limit);
  }
  unitile::YieldOp::create(b);
}

void AttendPage::attend(Value count) {
  auto tile = TileType::get(b.getContext(), tq, depth, element);
  queries = FetchOp::create(b, tile, q, batch, head, p.add(span.qStart, first),
                            p.add(span.qStart, end));
  SmallVector<Value> state{p.fill(0.0, p.fragment(tq, width, b.getF32Type())),
                           p.fill(kLowest, p.rows(tq)),
                           p.fill(0.0, p.rows(tq))};
  auto write = [this](void (AttendPage::*region)(Block &)) {
    return [this, region](Block &body) { (this->*region)(body); };
  };
  p.walk(count, state, p.fragment(tq, tk, b.getF32Type()),
         {write(&AttendPage::writeBlock), write(&AttendPage::writeScore),
          write(&AttendPage::writeMask), write(&AttendPage::writeUpdate),
          write(&AttendPage::writeFinish)},
         group);
}

/// How many key tiles the query tile walks: those of the blocks that were
/// selected for it, or of its candidates (L1).
Value AttendPage::countTiles() {
  if (!counts) {
    KeyBlocks all = p.candidates(span, bq, bk, reach);
    if (reach.left)
      firstBlock = all.first;
    return p.mul(p.sub(all.end, all.first), tilesOfBlock);
  }
  int64_t selections = cast<ShapedType>(op.getCounts().getType()).getDimSize(1);
  selection = p.div(head, heads / selections);
  Value blocks = p.read(counts, {batch, selection, slot});
  if (reach.left) {
    skipped = countBeforeWindow(blocks);
    blocks = p.sub(blocks, skipped);
  }
  return p.mul(blocks, tilesOfBlock);
}

/// How many of a row's selected blocks end before the window begins (M2): its
/// first ones (L6), none where the selection knew of the window, so the first
/// is asked first, and a bisection begins where it is one of them.
Value AttendPage::countBeforeWindow(Value blocks) {
  Value from = p.candidates(span, bq, bk, reach).first;
  return p.whileLoop(
      {p.i32(0), blocks, p.i32(0)},
      [&](ValueRange x) { return p.less(x[0], x[1]); },
      [&](ValueRange x) -> SmallVector<Value> {
        Value block = p.read(indices, {batch, selection, slot, x[2]});
        Value behind = p.less(block, from);
        Value low = p.select(behind, p.add(x[2], 1), x[0]),
              high = p.select(behind, x[1], x[2]);
        return {low, high, p.div(p.add(low, high), 2)};
      })[0];
}

void AttendPage::build() {
  int64_t tilesOfRows = llvm::divideCeil(bq, tq);
  Value x = p.blockId(gpu::Dimension::x);
  head = p.blockId(gpu::Dimension::y);
  batch = p.blockId(gpu::Dimension::z);
  slot = p.div(x, tilesOfRows);
  // The last query blocks see the most keys: longest first.
  if (op.getCausal())
    slot = p.sub(p.sub(slots, 1), slot);
  span = p.locate(slot, bq);
  Value start = p.mul(span.unit, bq);
  first = p.add(start, p.mul(p.rem(x, tilesOfRows), tq));
  end = span.qLength;
  if (bq % tq)
    end = p.min(end, p.add(start, bq));
  // Spare slots of a packed batch, and tiles behind a ragged end, have no rows.
  if (p.isPacked() || tilesOfRows > 1)
    p.ifThen(p.less(first, end), [&] { attend(countTiles()); });
  else
    attend(countTiles());
}

SmallVector<Value> unisparse::lowerToPage(HostSide &host,
                                          gpu::GPUModuleOp kernels,
                                          BlockSparseAttentionOp op,
                                          int64_t rows, int64_t keys,
                                          Attribute schedule) {
  KernelPage page(kernels, op.getLoc(), "attend");
  page.kernel()->setAttr(kScheduleAttr, schedule);
  AttendPage attend(op, rows, keys, page);
  Value lq = host.dim(op.getQ(), 2), lk = host.dim(op.getK(), 2);
  Value batch = host.dim(op.getQ(), 0);
  auto resultOf = [&](Type type) {
    return host.result(type, {batch, {}, lq, {}});
  };
  SmallVector<Value> results{resultOf(op.getO().getType())};
  if (op.getLse())
    results.push_back(resultOf(op.getLse().getType()));
  attend.q = page.take("q", host.stridedBuffer(op.getQ()));
  attend.k = page.take("k", host.stridedBuffer(op.getK()));
  attend.v = page.take("v", host.stridedBuffer(op.getV()));
  attend.o = page.take("o", host.contiguousBuffer(results[0]));
  if (op.getLse())
    attend.lse = page.take("lse", host.contiguousBuffer(results[1]));
  if (op.getCounts()) {
    attend.counts = page.take("counts", host.contiguousBuffer(op.getCounts()));
    attend.indices =
        page.take("indices", host.contiguousBuffer(op.getIndices()));
  }
  if (op.getSinkLogits())
    attend.sinks =
        page.take("sinks", host.contiguousBuffer(op.getSinkLogits()));
  for (Value table : op.getTables())
    attend.tables.push_back(page.take("table", host.contiguousBuffer(table)));
  page.takeSequences(host, lq, lk, op.getCuSeqlensQ(), op.getCuSeqlensK());
  Value slots = host.slots(lq, op.getCuSeqlensQ(), op.getBlock().getQuery());
  attend.slots = page.take("slots", host.i32(slots));
  attend.build();
  page.finish();
  // What a launch takes beyond the grid is decided with the schedule.
  int64_t tiles = llvm::divideCeil(op.getBlock().getQuery(), rows);
  Value x = host.b.createOrFold<arith::MulIOp>(slots, host.index(tiles));
  int64_t heads = op.getQ().getType().getDimSize(1);
  host.launch(page.kernel(), {x, host.index(heads), batch}, /*threads=*/1,
              /*sharedBytes=*/0, page.launchOperands());
  return results;
}
