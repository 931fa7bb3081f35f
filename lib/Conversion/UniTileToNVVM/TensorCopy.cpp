// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Tiles between global and shared memory by TMA: one thread
// starts a copy, and a barrier or a group tells when it is done.
#include "Layout.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// Panels that hold columns of the matrix.
constexpr int64_t kPanelColumns = 64;

/// `2d`, and `{$2, $3}`: so many coordinates from operand `first` on.
std::pair<std::string, std::string> coordinates(size_t rank, size_t first) {
  std::string list;
  for (size_t i = 0; i < rank; ++i)
    list += (i ? ", $" : "$") + std::to_string(first + i);
  return {std::to_string(rank) + "d", "{" + list + "}"};
}

/// The operands' constraints, and that memory changes.
std::string constraintsOf(StringRef before, size_t rank) {
  std::string text = before.str();
  for (size_t i = 0; i < rank; ++i)
    text += "r,";
  return text + "~{memory}";
}

struct TensorCopyPattern : TilePattern<TensorCopyOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(TensorCopyOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    SharedType tile = op.getTile().getType();
    Value barrier = t.sharedAddress(
        t.advance(adaptor.getBarriers(), t.mul(adaptor.getIndex(), 8)));
    uint32_t ctas = op.getCtas().value_or(0);
    announce(t, op, barrier, ctas);
    Value base = t.stage(adaptor.getTile(), tile, adaptor.getStage());
    for (int64_t panel = 0; panel < tile.getPanels(); ++panel) {
      Value to =
          t.sharedAddress(t.advance(base, t.i32(panel * tile.getRows() * 128)));
      SmallVector<Value> operands{to, barrier, adaptor.getMap(),
                                  t.i32(panel * kPanelColumns),
                                  adaptor.getRow()};
      llvm::append_range(operands, adaptor.getMatrix());
      size_t rank = operands.size() - 3;
      auto [kind, at] = coordinates(rank, 3);
      std::string copy = "cp.async.bulk.tensor." + kind +
                         ".shared::cluster.global.mbarrier::complete_tx::bytes";
      std::string ends = "[$0], [$2, " + at + "], [$1]";
      if (!ctas)
        t.ptx(Type(), copy + " " + ends + ";", constraintsOf("r,r,l,", rank),
              operands);
      else
        t.ptx(Type(),
              "{\n"
              ".reg .b16 blocks;\n"
              "mov.b16 blocks, " +
                  std::to_string(ctas) + ";\n" + copy + ".multicast::cluster " +
                  ends + ", blocks;\n}",
              constraintsOf("r,r,l,", rank), operands);
    }
    rewriter.eraseOp(op);
    return success();
  }

  /// Arrives at `barrier`, or at the same one of each of `ctas`, which all
  /// wait for the tile's bytes. Bytes may come before they are announced: the
  /// phase stays open for the arrival.
  void announce(Thread &t, TensorCopyOp op, Value barrier,
                uint32_t ctas) const {
    Value bytes = t.i32(op.getTile().getType().getStageBytes());
    if (!ctas)
      t.ptx(Type(), "mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;",
            "r,r,~{memory}", {barrier, bytes});
    StringRef seen = op.getAfterWrites() ? ".release.cluster" : "";
    for (int64_t cta = 0; ctas >> cta; ++cta)
      if (ctas >> cta & 1)
        t.ptx(Type(),
              ("mbarrier.arrive.expect_tx" + seen +
               ".shared::cluster.b64 _, [$0], $1;")
                  .str(),
              "r,r,~{memory}", {t.inBlock(barrier, cta), bytes});
  }
};

struct ClearPattern : TilePattern<ClearOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(ClearOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    SharedType tile = op.getTile().getType();
    Value base = t.stage(adaptor.getTile(), tile, adaptor.getStage());
    auto piece = VectorType::get({4}, t.b.getI32Type());
    Value zeros = arith::ConstantOp::create(
        t.b, DenseElementsAttr::get(piece, static_cast<int32_t>(0)));
    auto rows = scf::ForOp::create(t.b, adaptor.getRow(), t.i32(tile.getRows()),
                                   t.i32(1));
    {
      OpBuilder::InsertionGuard guard(t.b);
      t.b.setInsertionPointToStart(rows.getBody());
      // A row is whole in every order of its pieces.
      Value row = t.advance(base, t.mul(rows.getInductionVar(), 128));
      for (int64_t panel = 0; panel < tile.getPanels(); ++panel)
        for (int64_t i = 0; i < 128; i += 16)
          LLVM::StoreOp::create(
              t.b, zeros,
              t.advance(row, t.i32(panel * tile.getRows() * 128 + i)),
              /*alignment=*/16);
    }
    t.ptx(Type(), "fence.proxy.async.shared::cta;", "~{memory}", {});
    rewriter.eraseOp(op);
    return success();
  }
};

struct WritePattern : TilePattern<WriteOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(WriteOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Thread t(rewriter, loc, warps);
    SharedType tile = op.getTile().getType();
    Held held(op.getValue().getType(), warps);
    Value base = t.stage(adaptor.getTile(), tile, adaptor.getStage());
    Value warpRow = t.mul(t.warp(), held.layout.getWarpRows());
    SmallVector<Value> elements = unpack(rewriter, loc, adaptor.getValue());
    for (int64_t row : held.matrixRows())
      for (int64_t k = 0; k < op.getValue().getType().getColumns(); k += 16) {
        SmallVector<Value> words;
        for (Position matrix : matricesAt({row, k})) {
          int64_t at = held.at(matrix);
          words.push_back(LLVM::BitcastOp::create(
              rewriter, loc, rewriter.getI32Type(),
              pack(rewriter, loc, {elements[at], elements[at + 1]})));
        }
        Value address = t.matrixAddress(base, tile, warpRow, row, k,
                                        /*downFirst=*/true);
        NVVM::StMatrixOp::create(
            t.b, address, words, NVVM::MMALayout::row,
            NVVM::LdStMatrixShapeAttr::get(t.b.getContext(), 8, 8),
            NVVM::LdStMatrixEltType::B16);
      }
    rewriter.eraseOp(op);
    return success();
  }
};

struct SendPattern : TilePattern<TensorStoreOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(TensorStoreOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    SharedType tile = op.getTile().getType();
    Value group = t.div(t.id(), 128);
    // TMA sees what threads wrote only behind this fence.
    t.ptx(Type(), "fence.proxy.async.shared::cta;", "~{memory}", {});
    // Barrier 0 is the whole block's.
    NVVM::BarrierOp::create(t.b, TypeRange{}, t.add(group, 1), t.i32(128),
                            NVVM::BarrierReductionAttr(), Value());
    auto one = scf::IfOp::create(t.b, t.less(t.rem(t.id(), 128), t.i32(1)),
                                 /*withElseRegion=*/false);
    t.b.setInsertionPointToStart(one.thenBlock());
    Value base = t.stage(adaptor.getTile(), tile, adaptor.getStage());
    Value first = t.mul(group, 64), row = t.add(adaptor.getRow(), first);
    int64_t panels = llvm::divideCeil(
        op.getColumns().value_or(tile.getColumns()), kPanelColumns);
    for (int64_t panel = 0; panel < panels; ++panel) {
      Value from = t.sharedAddress(t.advance(
          base, t.add(t.mul(first, 128), panel * tile.getRows() * 128)));
      SmallVector<Value> operands{adaptor.getMap(), from,
                                  t.i32(panel * kPanelColumns), row};
      llvm::append_range(operands, adaptor.getMatrix());
      size_t rank = operands.size() - 2;
      auto [kind, at] = coordinates(rank, 2);
      t.ptx(Type(),
            "cp.async.bulk.tensor." + kind +
                ".global.shared::cta.bulk_group [$0, " + at + "], [$1];",
            constraintsOf("l,r,", rank), operands);
    }
    NVVM::CpAsyncBulkCommitGroupOp::create(t.b);
    rewriter.eraseOp(op);
    return success();
  }
};

struct SendWaitPattern : TilePattern<TensorStoreWaitOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(TensorStoreWaitOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    t.ptx(Type(),
          op.getWritten() ? "cp.async.bulk.wait_group 0;"
                          : "cp.async.bulk.wait_group.read 0;",
          "~{memory}", {});
    rewriter.eraseOp(op);
    return success();
  }
};

} // namespace

void unisparse::unitile::populateTensorCopyPatterns(
    const TypeConverter &converter, RewritePatternSet &patterns, Warps warps) {
  patterns.add<TensorCopyPattern, ClearPattern, WritePattern, SendPattern,
               SendWaitPattern>(converter, patterns.getContext(), warps);
}
