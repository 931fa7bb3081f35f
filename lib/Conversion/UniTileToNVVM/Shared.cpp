// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Tiles in shared memory: where they are, how they get there, when they may be
// read.
#include "Layout.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

struct AllocPattern : TilePattern<AllocOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(AllocOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    FailureOr<Value> place = sharedPlace(t, op, op.getOffset());
    if (failed(place))
      return failure();
    rewriter.replaceOp(op, *place);
    return success();
  }
};

struct CopyAsyncPattern : TilePattern<CopyAsyncOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(CopyAsyncOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    SharedType tile = op.getTile().getType();
    Value base = t.stage(adaptor.getTile(), tile, adaptor.getStage());
    for (int64_t panel = 0; panel < tile.getPanels(); ++panel)
      copyPanel(t, op, adaptor, base, panel);
    rewriter.eraseOp(op);
    return success();
  }

  /// What the threads know of the panel they are copying.
  struct Panel {
    int64_t firstPiece, pieces; ///< Of 16 bytes.
    Value r, piece;             ///< Of the thread's first copy.
    Value base;                 ///< The panel's row 0.
  };

  /// A thread's pieces of a panel lie whole rows apart: their addresses differ
  /// by constants in the tile, by a multiple of the stride in the source, and
  /// do not take a register each.
  void copyPanel(Thread &t, CopyAsyncOp op, OpAdaptor adaptor, Value base,
                 int64_t number) const {
    SharedType tile = op.getTile().getType();
    Panel panel;
    panel.firstPiece = 8 * number;
    panel.pieces = std::min<int64_t>(
        8, tile.getColumns() / tile.getPieceColumns() - 8 * number);
    int64_t across = llvm::PowerOf2Ceil(panel.pieces),
            step = 32 * warps / across;
    panel.r = t.div(t.id(), across);
    panel.piece = t.rem(t.id(), across);
    panel.base = t.advance(base, t.i32(number * tile.getRows() * 128));
    llvm::SmallDenseMap<int64_t, Value> places;
    Value source;
    for (int64_t i = 0; i < tile.getRows(); i += step) {
      // The swizzle repeats every 8 rows.
      Value &place = places[i % 8];
      if (!place)
        place = placeOf(t, panel, i % 8);
      Value target = t.advance(place, t.i32((i - i % 8) * 128));
      // Rows of the source, unless some are left out, are steps apart.
      bool even = op.getTake() == op.getOf();
      source = source && even ? moved(t, source, tile.getElementType(),
                                      adaptor.getStride(), step)
                              : sourceOf(t, op, adaptor, panel, i);
      Value mine;
      if (panel.pieces < across)
        mine = t.less(panel.piece, t.i32(panel.pieces));
      if (i + step > tile.getRows())
        mine = both(t, mine, t.less(t.add(panel.r, i), t.i32(tile.getRows())));
      OpBuilder::InsertionGuard guard(t.b);
      if (mine)
        t.b.setInsertionPointToStart(
            scf::IfOp::create(t.b, mine, /*withElseRegion=*/false).thenBlock());
      Value bytes = arith::SelectOp::create(
          t.b, exists(t, op, adaptor, panel, i), t.i32(16), t.i32(0));
      NVVM::CpAsyncOp::create(t.b, target, source, 16,
                              NVVM::LoadCacheModifierKind::CG, bytes);
    }
  }

  static Value both(Thread &t, Value x, Value y) {
    return x ? arith::AndIOp::create(t.b, x, y).getResult() : y;
  }

  /// Where the thread's piece of row `r + i` lies, i < 8.
  static Value placeOf(Thread &t, const Panel &panel, int64_t i) {
    Value r = t.add(panel.r, i);
    Value swizzled = t.bitXor(panel.piece, t.rem(r, 8));
    return t.advance(panel.base, t.add(t.mul(r, 128), t.mul(swizzled, 16)));
  }

  /// The source's row for the tile's row `r + i`, counted from the copy's
  /// first.
  static Value rowOf(Thread &t, CopyAsyncOp op, const Panel &panel, int64_t i) {
    Value r = t.add(panel.r, i);
    if (op.getTake() == op.getOf())
      return r;
    return t.add(t.mul(t.div(r, *op.getOf()), *op.getTake()),
                 t.rem(r, *op.getOf()));
  }

  static Value sourceOf(Thread &t, CopyAsyncOp op, OpAdaptor adaptor,
                        const Panel &panel, int64_t i) {
    Type i64 = t.b.getI64Type();
    Value row = t.add(adaptor.getRow(), rowOf(t, op, panel, i));
    SharedType tile = op.getTile().getType();
    Value column =
        t.mul(t.add(panel.piece, panel.firstPiece), tile.getPieceColumns());
    Value element = arith::MulIOp::create(
        t.b, arith::ExtSIOp::create(t.b, i64, row), adaptor.getStride());
    element = arith::AddIOp::create(t.b, element,
                                    arith::ExtSIOp::create(t.b, i64, column));
    return LLVM::GEPOp::create(t.b, adaptor.getSource().getType(),
                               tile.getElementType(), adaptor.getSource(),
                               ArrayRef<LLVM::GEPArg>{element});
  }

  /// `rows` rows further.
  static Value moved(Thread &t, Value source, Type element, Value stride,
                     int64_t rows) {
    Value step = arith::ConstantIntOp::create(t.b, rows, 64);
    return LLVM::GEPOp::create(
        t.b, source.getType(), element, source,
        ArrayRef<LLVM::GEPArg>{
            arith::MulIOp::create(t.b, stride, step).getResult()});
  }

  /// Whether the source has the piece; the tile gets zeros where not.
  static Value exists(Thread &t, CopyAsyncOp op, OpAdaptor adaptor,
                      const Panel &panel, int64_t i) {
    Value row = t.add(adaptor.getRow(), rowOf(t, op, panel, i));
    Value yes = t.less(row, adaptor.getLimit());
    if (op.getTake() != op.getOf())
      yes = both(
          t, yes,
          t.less(t.rem(t.add(panel.r, i), *op.getOf()), t.i32(*op.getTake())));
    SharedType tile = op.getTile().getType();
    int64_t width =
        op.getWidth().value_or(tile.getColumns()) / tile.getPieceColumns();
    if (width < panel.firstPiece + panel.pieces)
      yes = both(t, yes,
                 t.less(t.add(panel.piece, panel.firstPiece), t.i32(width)));
    return yes;
  }
};

struct CommitPattern : TilePattern<CommitOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(CommitOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<NVVM::CpAsyncCommitGroupOp>(op);
    return success();
  }
};

struct WaitPattern : TilePattern<WaitOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(WaitOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<NVVM::CpAsyncWaitGroupOp>(op, op.getGroups());
    return success();
  }
};

struct BarrierPattern : TilePattern<BarrierOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(BarrierOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    NVVM::Barrier0Op::create(rewriter, op.getLoc());
    rewriter.eraseOp(op);
    return success();
  }
};

} // namespace

FailureOr<Value>
unisparse::unitile::sharedPlace(Thread &t, Operation *op,
                                std::optional<uint64_t> offset) {
  if (!offset)
    return op->emitOpError("expected an offset in shared memory; run "
                           "unitile-allocate-shared");
  auto pointer = LLVM::LLVMPointerType::get(op->getContext(), 3);
  Value base = LLVM::AddressOfOp::create(t.b, pointer, kSharedSymbol);
  return t.advance(base, t.i32(*offset));
}

void unisparse::unitile::populateSharedPatterns(const TypeConverter &converter,
                                                RewritePatternSet &patterns,
                                                Warps warps) {
  patterns.add<AllocPattern, CopyAsyncPattern, CommitPattern, WaitPattern,
               BarrierPattern>(converter, patterns.getContext(), warps);
}
