// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Tiles in shared memory: where they are, how they get there, when they may be
// read.
#include "Layout.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/bit.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// What is reserved becomes its address.
template <typename OpTy>
struct PlacePattern : TilePattern<OpTy> {
  using TilePattern<OpTy>::TilePattern;
  LogicalResult
  matchAndRewrite(OpTy op, typename OpTy::Adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), this->warps);
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
    // Powers of two of pieces, so that every thread has one: 6 are 4 and 2.
    int64_t all = tile.getColumns() / tile.getPieceColumns();
    for (int64_t first = 0; first < all;) {
      int64_t left = std::min<int64_t>(8 - first % 8, all - first);
      int64_t pieces = llvm::bit_floor<uint64_t>(left);
      copyPieces(t, op, adaptor, base, first, pieces);
      first += pieces;
    }
    rewriter.eraseOp(op);
    return success();
  }

  /// A thread's part in the copy of a few columns, all in one panel.
  struct Part {
    Value r, piece; ///< Of the thread's first copy; 16 bytes are a piece.
    Value base;     ///< The panel's row 0.
    int64_t end;    ///< Pieces up to the last that is copied.
  };

  /// A thread's pieces of a panel lie whole rows apart: their addresses differ
  /// by constants in the tile, by a multiple of the stride in the source, and
  /// do not take a register each.
  void copyPieces(Thread &t, CopyAsyncOp op, OpAdaptor adaptor, Value base,
                  int64_t first, int64_t pieces) const {
    int64_t rows = op.getTile().getType().getRows(), step = 32 * warps / pieces;
    Part part;
    part.r = t.div(t.id(), pieces);
    part.piece = t.add(t.rem(t.id(), pieces), first);
    part.base = t.advance(base, t.i32(first / 8 * rows * 128));
    part.end = first + pieces;
    llvm::SmallDenseMap<int64_t, Value> places;
    Value source;
    for (int64_t i = 0; i < rows; i += step) {
      // The swizzle repeats every 8 rows.
      Value &place = places[i % 8];
      if (!place)
        place = placeOf(t, part, i % 8);
      Value target = t.advance(place, t.i32((i - i % 8) * 128));
      // Rows of the source, unless some are left out, are steps apart.
      bool even = op.getTake() == op.getOf();
      source = source && even ? moved(t, op, source, adaptor.getStride(), step)
                              : sourceOf(t, op, adaptor, part, i);
      OpBuilder::InsertionGuard guard(t.b);
      if (i + step > rows) { // The last round has fewer rows than threads.
        Value mine = t.less(t.add(part.r, i), t.i32(rows));
        t.b.setInsertionPointToStart(
            scf::IfOp::create(t.b, mine, /*withElseRegion=*/false).thenBlock());
      }
      Value bytes = arith::SelectOp::create(
          t.b, exists(t, op, adaptor, part, i), t.i32(16), t.i32(0));
      NVVM::CpAsyncOp::create(t.b, target, source, 16,
                              NVVM::LoadCacheModifierKind::CG, bytes);
    }
  }

  static Value both(Thread &t, Value x, Value y) {
    return arith::AndIOp::create(t.b, x, y);
  }

  /// Where the thread's piece of row `r + i` lies, i < 8.
  static Value placeOf(Thread &t, const Part &part, int64_t i) {
    Value r = t.add(part.r, i);
    Value swizzled = t.bitXor(t.rem(part.piece, 8), t.rem(r, 8));
    return t.advance(part.base, t.add(t.mul(r, 128), t.mul(swizzled, 16)));
  }

  /// The source's row for the tile's row `r + i`, counted from the copy's
  /// first.
  static Value rowOf(Thread &t, CopyAsyncOp op, const Part &part, int64_t i) {
    Value r = t.add(part.r, i);
    if (op.getTake() == op.getOf())
      return r;
    return t.add(t.mul(t.div(r, *op.getOf()), *op.getTake()),
                 t.rem(r, *op.getOf()));
  }

  static Value sourceOf(Thread &t, CopyAsyncOp op, OpAdaptor adaptor,
                        const Part &part, int64_t i) {
    Type i64 = t.b.getI64Type();
    Value row = t.add(adaptor.getRow(), rowOf(t, op, part, i));
    SharedType tile = op.getTile().getType();
    Value column = t.mul(part.piece, tile.getPieceColumns());
    Value element = arith::MulIOp::create(
        t.b, arith::ExtSIOp::create(t.b, i64, row), adaptor.getStride());
    element = arith::AddIOp::create(t.b, element,
                                    arith::ExtSIOp::create(t.b, i64, column));
    return LLVM::GEPOp::create(t.b, adaptor.getSource().getType(),
                               tile.getElementType(), adaptor.getSource(),
                               ArrayRef<LLVM::GEPArg>{element});
  }

  /// `rows` rows further.
  static Value moved(Thread &t, CopyAsyncOp op, Value source, Value stride,
                     int64_t rows) {
    Value step = arith::ConstantIntOp::create(t.b, rows, 64);
    return LLVM::GEPOp::create(
        t.b, source.getType(), op.getTile().getType().getElementType(), source,
        ArrayRef<LLVM::GEPArg>{
            arith::MulIOp::create(t.b, stride, step).getResult()});
  }

  /// Whether the source has the piece; the tile gets zeros where not.
  static Value exists(Thread &t, CopyAsyncOp op, OpAdaptor adaptor,
                      const Part &part, int64_t i) {
    Value row = t.add(adaptor.getRow(), rowOf(t, op, part, i));
    Value yes = t.less(row, adaptor.getLimit());
    if (op.getTake() != op.getOf())
      yes = both(
          t, yes,
          t.less(t.rem(t.add(part.r, i), *op.getOf()), t.i32(*op.getTake())));
    SharedType tile = op.getTile().getType();
    int64_t width =
        op.getWidth().value_or(tile.getColumns()) / tile.getPieceColumns();
    if (width < part.end)
      yes = both(t, yes, t.less(part.piece, t.i32(width)));
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
    if (op.getCluster()) {
      // Not .aligned: behind roles nobody says that a warp is together again.
      NVVM::ClusterArriveOp::create(rewriter, op.getLoc(), UnitAttr());
      NVVM::ClusterWaitOp::create(rewriter, op.getLoc(), UnitAttr());
    } else if (op.getConsumers()) {
      // Hardware barrier 7: turns have those from 8 on, warpgroups the first.
      Thread t(rewriter, op.getLoc(), warps);
      t.ptx(Type(), "bar.sync 7, $0;", "n,~{memory}", t.i32(32 * warps.count));
    } else {
      NVVM::Barrier0Op::create(rewriter, op.getLoc());
    }
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
  patterns.add<PlacePattern<AllocOp>, PlacePattern<WordsOp>, CopyAsyncPattern,
               CommitPattern, WaitPattern, BarrierPattern>(
      converter, patterns.getContext(), warps);
}
