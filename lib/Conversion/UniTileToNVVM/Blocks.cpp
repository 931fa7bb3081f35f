// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unitile.store_blocks: one number for each block of a fragment.
#include "Layout.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

struct StoreBlocksPattern : TilePattern<StoreBlocksOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(StoreBlocksOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    SmallVector<Value> elements =
        unpack(rewriter, op.getLoc(), adaptor.getFragment());
    FragmentType type = op.getFragment().getType();
    if (op.getBlockRows() > 16 && piecesOf(type.getRows(), warps) != 1)
      return op.emitOpError("expected 16 rows a warp with blocks of more than "
                            "16 rows, got ")
             << type << " in " << warps.count << " warps";
    if (op.getBlockRows() > 16)
      acrossWarps(t, op, adaptor, elements);
    else if (op.getBlockRows() == 1)
      ofRows(t, op, adaptor, elements);
    else
      withinWarps(t, op, adaptor, elements);
    rewriter.eraseOp(op);
    return success();
  }

  /// The thread's own part of the sum over a row of block `j`, for the upper
  /// (half 0) or lower 8 rows of a piece.
  Value ownSum(Thread &t, StoreBlocksOp op, ArrayRef<Value> elements,
               int64_t piece, int64_t half, int64_t j) const {
    int64_t perPiece = op.getFragment().getType().getColumns() / 2;
    int64_t eights = op.getBlockColumns() / 8;
    Value sum;
    for (int64_t n = j * eights; n < (j + 1) * eights; ++n)
      for (int64_t pair : {0, 1}) {
        Value x = elements[piece * perPiece + 4 * n + 2 * half + pair];
        sum = sum ? t.combine(Combine::Add, sum, x) : x;
      }
    return sum;
  }

  /// The whole sum: the same in the four lanes that share the row.
  Value rowSum(Thread &t, StoreBlocksOp op, ArrayRef<Value> elements,
               int64_t piece, int64_t half, int64_t j) const {
    Value sum = ownSum(t, op, elements, piece, half, j);
    for (int64_t distance : {1, 2})
      sum = t.combine(Combine::Add, sum, t.shuffle(sum, distance));
    return sum;
  }

  /// Rows are blocks of their own: of four block columns, each of the four
  /// lanes that share a row ends up with one, in three shuffles.
  void ofRows(Thread &t, StoreBlocksOp op, OpAdaptor adaptor,
              ArrayRef<Value> elements) const {
    FragmentType type = op.getFragment().getType();
    int64_t blocks = type.getColumns() / op.getBlockColumns();
    Value mine = t.rem(t.lane(), 4);
    Value odd = equal(t, t.rem(mine, 2), 1), upper = t.less(t.i32(1), mine);
    // Keeps one of two sums and gives the other away.
    auto trade = [&](Value second, Value x, Value y, int64_t distance) {
      Value kept = arith::SelectOp::create(t.b, second, y, x),
            given = arith::SelectOp::create(t.b, second, x, y);
      return t.combine(Combine::Add, kept, t.shuffle(given, distance));
    };
    auto own = [&](int64_t piece, int64_t half, int64_t j) -> Value {
      if (j < blocks)
        return ownSum(t, op, elements, piece, half, j);
      return arith::ConstantOp::create(t.b, t.b.getF32FloatAttr(0));
    };
    for (int64_t piece = 0; piece < piecesOf(type.getRows(), warps); ++piece)
      for (int64_t half = 0; half < 2; ++half)
        for (int64_t j = 0; j < blocks; j += 4) {
          Value x = trade(odd, own(piece, half, j), own(piece, half, j + 1), 1),
                y = trade(odd, own(piece, half, j + 2), own(piece, half, j + 3),
                          1);
          Value sum = trade(upper, x, y, 2);
          Value row = t.add(t.add(t.mul(t.warp(), 16), t.div(t.lane(), 4)),
                            piece * 16 * warps + half * 8);
          Value column = t.add(mine, j);
          guarded(t, t.less(column, t.i32(blocks)),
                  [&] { write(t, adaptor, row, column, sum); });
        }
  }

  /// Combined over the 8 rows that the lanes 0, 4, .. 28 hold.
  Value overRows(Thread &t, StoreBlocksOp op, Value x) const {
    for (int64_t distance : {4, 8, 16})
      x = t.combine(op.getCombine(), x, t.shuffle(x, distance));
    return x;
  }

  /// Block column `j` of a piece's 16 rows.
  Value ofPiece(Thread &t, StoreBlocksOp op, ArrayRef<Value> elements,
                int64_t piece, int64_t j) const {
    Value both =
        t.combine(op.getCombine(), rowSum(t, op, elements, piece, 0, j),
                  rowSum(t, op, elements, piece, 1, j));
    return overRows(t, op, both);
  }

  void withinWarps(Thread &t, StoreBlocksOp op, OpAdaptor adaptor,
                   ArrayRef<Value> elements) const {
    FragmentType type = op.getFragment().getType();
    int64_t blocks = type.getColumns() / op.getBlockColumns();
    int64_t rows = op.getBlockRows(), perPiece = 16 / rows;
    Value first = t.mul(t.warp(), perPiece);
    for (int64_t piece = 0; piece < piecesOf(type.getRows(), warps); ++piece)
      for (int64_t half = 0; half < perPiece; ++half) {
        // Every lane has the result; lane j writes block column j.
        Value mine;
        for (int64_t j = 0; j < blocks; ++j) {
          Value x =
              rows == 16
                  ? ofPiece(t, op, elements, piece, j)
                  : overRows(t, op, rowSum(t, op, elements, piece, half, j));
          mine = mine ? arith::SelectOp::create(t.b, equal(t, t.lane(), j), x,
                                                mine)
                      : x;
        }
        Value block = t.add(first, piece * warps * perPiece + half);
        guarded(t, t.less(t.lane(), t.i32(blocks)),
                [&] { write(t, adaptor, block, t.lane(), mine); });
      }
  }

  /// Warps meet in the scratch tile, [warp][block column] f32.
  void acrossWarps(Thread &t, StoreBlocksOp op, OpAdaptor adaptor,
                   ArrayRef<Value> elements) const {
    FragmentType type = op.getFragment().getType();
    int64_t blocks = type.getColumns() / op.getBlockColumns();
    int64_t parts = op.getBlockRows() / 16;
    Type f32 = t.b.getF32Type();
    auto cell = [&](Value warp, Value j) {
      return t.advance(adaptor.getScratch(),
                       t.mul(t.add(t.mul(warp, blocks), j), 4));
    };
    NVVM::Barrier0Op::create(t.b);
    for (int64_t j = 0; j < blocks; ++j) {
      Value x = ofPiece(t, op, elements, /*piece=*/0, j);
      guarded(t, equal(t, t.lane(), 0),
              [&] { LLVM::StoreOp::create(t.b, x, cell(t.warp(), t.i32(j))); });
    }
    NVVM::Barrier0Op::create(t.b);
    int64_t all = type.getRows() / op.getBlockRows() * blocks;
    guarded(t, t.less(t.id(), t.i32(all)), [&] {
      Value block = t.div(t.id(), blocks), j = t.rem(t.id(), blocks);
      Value sum;
      for (int64_t i = 0; i < parts; ++i) {
        Value warp = t.add(t.mul(block, parts), i);
        Value x = LLVM::LoadOp::create(t.b, f32, cell(warp, j));
        sum = sum ? t.combine(op.getCombine(), sum, x) : x;
      }
      write(t, adaptor, block, j, sum);
    });
  }

  static Value equal(Thread &t, Value x, int64_t y) {
    return arith::CmpIOp::create(t.b, arith::CmpIPredicate::eq, x, t.i32(y));
  }

  static void guarded(Thread &t, Value condition, function_ref<void()> body) {
    auto some = scf::IfOp::create(t.b, condition, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(t.b);
    t.b.setInsertionPointToStart(some.thenBlock());
    body();
  }

  /// Block (i, j) of the fragment, where it exists.
  static void write(Thread &t, OpAdaptor adaptor, Value i, Value j, Value x) {
    Value row = t.add(adaptor.getRow(), i),
          column = t.add(adaptor.getColumn(), j);
    Value inside =
        arith::AndIOp::create(t.b, t.less(row, adaptor.getRowLimit()),
                              t.less(column, adaptor.getColumnLimit()));
    guarded(t, inside, [&] {
      Type i64 = t.b.getI64Type();
      Value at = arith::MulIOp::create(
          t.b, arith::ExtSIOp::create(t.b, i64, row), adaptor.getStride());
      at = arith::AddIOp::create(t.b, at,
                                 arith::ExtSIOp::create(t.b, i64, column));
      Value address =
          LLVM::GEPOp::create(t.b, adaptor.getTarget().getType(), x.getType(),
                              adaptor.getTarget(), ArrayRef<LLVM::GEPArg>{at});
      if (Value accumulate = adaptor.getAccumulate()) {
        auto old = scf::IfOp::create(
            t.b, accumulate,
            [&](OpBuilder &b, Location loc) {
              Value was = LLVM::LoadOp::create(b, loc, x.getType(), address);
              scf::YieldOp::create(b, loc, was);
            },
            [&](OpBuilder &b, Location loc) {
              Value zero = arith::ConstantOp::create(
                  b, loc, b.getFloatAttr(x.getType(), 0.0));
              scf::YieldOp::create(b, loc, zero);
            });
        x = t.combine(Combine::Add, old.getResult(0), x);
      }
      LLVM::StoreOp::create(t.b, x, address);
    });
  }
};

} // namespace

void unisparse::unitile::populateBlockPatterns(const TypeConverter &converter,
                                               RewritePatternSet &patterns,
                                               Warps warps) {
  patterns.add<StoreBlocksPattern>(converter, patterns.getContext(), warps);
}
