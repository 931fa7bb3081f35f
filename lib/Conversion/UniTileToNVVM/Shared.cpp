// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Tiles in shared memory: where they are, how they get there, when they may be
// read.
#include "Layout.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

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
    int64_t pieces = tile.getColumns() / 8, threads = 32 * warps,
            all = tile.getRows() * pieces;
    Value base = t.stage(adaptor.getTile(), tile, adaptor.getStage());
    Value id = t.id();
    for (int64_t i = 0; i < all; i += threads) {
      Value number = t.add(id, i);
      if (i + threads <= all) {
        copyPiece(t, op, adaptor, base, number, pieces);
        continue;
      }
      // The last round has fewer pieces than threads.
      auto some = scf::IfOp::create(t.b, t.less(number, t.i32(all)), false);
      OpBuilder::InsertionGuard guard(t.b);
      t.b.setInsertionPointToStart(some.thenBlock());
      copyPiece(t, op, adaptor, base, number, pieces);
    }
    rewriter.eraseOp(op);
    return success();
  }

  /// 16 bytes of one row, zeros at or past the limit.
  void copyPiece(Thread &t, CopyAsyncOp op, OpAdaptor adaptor, Value base,
                 Value number, int64_t pieces) const {
    SharedType tile = op.getTile().getType();
    Value r = t.div(number, pieces), piece = t.rem(number, pieces);
    Value row = t.add(adaptor.getRow(), r);
    Value bytes = arith::SelectOp::create(t.b, t.less(row, adaptor.getLimit()),
                                          t.i32(16), t.i32(0));
    Type i64 = t.b.getI64Type();
    Value element = arith::MulIOp::create(
        t.b, arith::ExtSIOp::create(t.b, i64, row), adaptor.getStride());
    element = arith::AddIOp::create(
        t.b, element, arith::ExtSIOp::create(t.b, i64, t.mul(piece, 8)));
    Value source = LLVM::GEPOp::create(t.b, adaptor.getSource().getType(),
                                       t.b.getI16Type(), adaptor.getSource(),
                                       ArrayRef<LLVM::GEPArg>{element});
    Value swizzled = t.bitXor(t.rem(piece, 8), t.rem(r, 8));
    Value offset = t.add(t.add(t.mul(r, 128), t.mul(swizzled, 16)),
                         t.mul(t.div(piece, 8), tile.getRows() * 128));
    NVVM::CpAsyncOp::create(t.b, t.advance(base, offset), source, 16,
                            NVVM::LoadCacheModifierKind::CG, bytes);
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
