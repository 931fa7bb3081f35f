// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Roles, and the barriers by which they tell each other what is done.
#include "Layout.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

struct RolesPattern : TilePattern<PartitionsOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(PartitionsOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    Value id = NVVM::ThreadIdXOp::create(t.b, t.b.getI32Type());
    auto roles = scf::IfOp::create(t.b, t.less(id, t.i32(32 * warps.first)),
                                   /*withElseRegion=*/true);
    t.b.setInsertionPoint(roles.thenBlock()->getTerminator());
    setRegisters(t, op.getProducerRegisters(),
                 NVVM::SetMaxRegisterAction::decrease);
    auto one = scf::IfOp::create(t.b, t.less(id, t.i32(1)), false);
    rewriter.inlineBlockBefore(&op.getProducer().front(),
                               one.thenBlock()->getTerminator());
    t.b.setInsertionPoint(roles.elseBlock()->getTerminator());
    setRegisters(t, op.getConsumerRegisters(),
                 NVVM::SetMaxRegisterAction::increase);
    rewriter.inlineBlockBefore(&op.getConsumers().front(),
                               roles.elseBlock()->getTerminator());
    rewriter.eraseOp(op);
    return success();
  }

  void setRegisters(Thread &t, std::optional<uint32_t> count,
                    NVVM::SetMaxRegisterAction action) const {
    if (count)
      NVVM::SetMaxRegisterOp::create(t.b, *count, action);
  }
};

struct BarriersPattern : TilePattern<BarriersOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(BarriersOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    FailureOr<Value> place = sharedPlace(t, op, op.getOffset());
    if (failed(place))
      return failure();
    Value id = NVVM::ThreadIdXOp::create(t.b, t.b.getI32Type());
    auto one = scf::IfOp::create(t.b, t.less(id, t.i32(1)), false);
    {
      OpBuilder::InsertionGuard guard(t.b);
      t.b.setInsertionPointToStart(one.thenBlock());
      for (int64_t i = 0; i < op.getBarriers().getType().getCount(); ++i)
        NVVM::MBarrierInitOp::create(t.b, t.advance(*place, t.i32(8 * i)),
                                     t.i32(op.getArrivals()), Value());
      NVVM::FenceMbarrierInitOp::create(t.b);
    }
    rewriter.replaceOp(op, *place);
    return success();
  }
};

template <typename OpTy>
Value barrierAddress(Thread &t, OpTy adaptor) {
  return t.sharedAddress(
      t.advance(adaptor.getBarriers(), t.mul(adaptor.getIndex(), 8)));
}

struct AwaitPattern : TilePattern<AwaitOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(AwaitOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    StringRef seen = op.getCluster() ? ".acquire.cluster" : "";
    t.ptx(Type(),
          ("{\n"
           ".reg .pred done;\n"
           "again:\n"
           "mbarrier.try_wait.parity" +
           seen +
           ".shared::cta.b64 done, [$0], $1;\n"
           "@!done bra again;\n"
           "}")
              .str(),
          "r,r,~{memory}", {barrierAddress(t, adaptor), adaptor.getParity()});
    rewriter.eraseOp(op);
    return success();
  }
};

struct TestPattern : TilePattern<TestOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(TestOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    Value done = t.ptx(
        t.b.getI32Type(),
        "{\n"
        ".reg .pred done;\n"
        "mbarrier.test_wait.parity.shared::cta.b64 done, [$1], $2;\n"
        "selp.u32 $0, 1, 0, done;\n"
        "}",
        "=r,r,r,~{memory}", {barrierAddress(t, adaptor), adaptor.getParity()});
    rewriter.replaceOpWithNewOp<arith::CmpIOp>(op, arith::CmpIPredicate::ne,
                                               done, t.i32(0));
    return success();
  }
};

struct ArrivePattern : TilePattern<ArriveOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(ArriveOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    Value address = barrierAddress(t, adaptor);
    std::string arrive = "mbarrier.arrive.shared::cta.b64 _, [$0];\n";
    if (op.getBlock()) {
      // `.release.cluster` is a fence of all memory: not where products alone
      // are to be told of, which are waited for.
      address = t.inBlock(address, *op.getBlock());
      arrive = op.getByThread()
                   ? "mbarrier.arrive.release.cluster.shared::cluster.b64 "
                     "_, [$0];\n"
                   : "mbarrier.arrive.shared::cluster.b64 _, [$0];\n";
    }
    if (op.getByThread()) {
      t.ptx(Type(), StringRef(arrive).rtrim(), "r,~{memory}", address);
    } else {
      // Predicated, not branched over: a branch would cut the block that ptxas
      // schedules. Elected, not compared with lane 0, whose number would take a
      // register through all loops.
      t.ptx(Type(),
            "{\n"
            ".reg .pred first;\n"
            "elect.sync _|first, 0xffffffff;\n"
            "@first " +
                arrive + "}",
            "r,~{memory}", address);
    }
    rewriter.eraseOp(op);
    return success();
  }
};

/// Hardware barriers 1 and up are warpgroups' own (`unitile.tensor_store`),
/// those from here on say whose turn it is; two warpgroups meet at each.
constexpr int64_t kFirstTurn = 8;

struct TurnEmitter {
  Thread &t;
  Value group = t.div(t.id(), 128);
  int64_t groups = t.warps / 4;

  void take() {
    t.ptx(Type(), "bar.sync $0, 256;", "r,~{memory}", t.add(group, kFirstTurn));
  }
  void pass() {
    Value next = t.rem(t.add(group, 1), groups);
    t.ptx(Type(), "bar.arrive $0, 256;", "r,~{memory}",
          t.add(next, kFirstTurn));
  }
};

struct TakeTurnPattern : TilePattern<TakeTurnOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(TakeTurnOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    TurnEmitter turns{t};
    if (turns.groups != 2)
      return op.emitOpError("expected two warpgroups to take turns, got ")
             << turns.groups;
    if (op.getFirst()) {
      // The last warpgroup lets the first begin.
      auto last = scf::IfOp::create(
          t.b, t.less(t.i32(turns.groups - 2), turns.group), false);
      t.b.setInsertionPointToStart(last.thenBlock());
      turns.pass();
    } else {
      turns.take();
    }
    rewriter.eraseOp(op);
    return success();
  }
};

struct PassTurnPattern : TilePattern<PassTurnOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(PassTurnOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Thread t(rewriter, op.getLoc(), warps);
    TurnEmitter{t}.pass();
    rewriter.eraseOp(op);
    return success();
  }
};

} // namespace

void unisparse::unitile::populateBarrierPatterns(const TypeConverter &converter,
                                                 RewritePatternSet &patterns,
                                                 Warps warps) {
  patterns.add<RolesPattern, BarriersPattern, AwaitPattern, TestPattern,
               ArrivePattern, TakeTurnPattern, PassTurnPattern>(
      converter, patterns.getContext(), warps);
}
