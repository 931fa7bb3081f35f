// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Conversion/UniSparseToLoops.h"
#include "Lowering.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/DialectConversion.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniSparse/Transforms/Contracts.h"

namespace unisparse {
#define GEN_PASS_DEF_CONVERTUNISPARSETOLOOPS
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

bool loops::isEmpty(Type type) {
  auto shaped = dyn_cast<ShapedType>(type);
  return shaped && llvm::is_contained(shaped.getShape(), 0);
}

bool loops::isEmpty(Operation *op) {
  auto holdsNothing = [](Type type) { return isEmpty(type); };
  return llvm::any_of(op->getOperandTypes(), holdsNothing) ||
         llvm::any_of(op->getResultTypes(), holdsNothing);
}

FailureOr<SmallVector<Value>> unisparse::lowerToLoops(OpBuilder &b,
                                                      Operation *op,
                                                      ValueRange buffers,
                                                      const Tiling &tiling) {
  if (failed(verifyStaticTiles(op)))
    return failure();
  loops::assertRequirements(b, op, buffers);
  return llvm::TypeSwitch<Operation *, FailureOr<SmallVector<Value>>>(op)
      .Case([&](PoolOp op) { return loops::lowerPool(b, op, buffers); })
      .Case([&](BlockScoreOp op) {
        return loops::lowerBlockScore(b, op, buffers, tiling.strip);
      })
      .Case([&](BlockSelectOp op) {
        return loops::lowerBlockSelect(b, op, buffers);
      })
      .Case([&](BlockSparseAttentionOp op) {
        return loops::lowerBlockSparseAttention(b, op, buffers, tiling);
      })
      .Default([](Operation *op) {
        return op->emitOpError("has no lowering to loops");
      });
}

SmallVector<Value> unisparse::tensorOperandSlots(Operation *op) {
  return llvm::TypeSwitch<Operation *, SmallVector<Value>>(op)
      .Case([](PoolOp op) {
        return SmallVector<Value>{op.getX(), op.getCuSeqlens()};
      })
      .Case([](BlockScoreOp op) {
        SmallVector<Value> slots{op.getQ(), op.getK(), op.getCuSeqlensQ(),
                                 op.getCuSeqlensK(), op.getRows()};
        llvm::append_range(slots, op.getTables());
        return slots;
      })
      .Case([](BlockSelectOp op) {
        return SmallVector<Value>{op.getMass(), op.getTopP(),
                                  op.getCuSeqlensQ(), op.getCuSeqlensK()};
      })
      .Case([](BlockSparseAttentionOp op) {
        SmallVector<Value> slots{op.getQ(),          op.getK(),
                                 op.getV(),          op.getCounts(),
                                 op.getIndices(),    op.getCuSeqlensQ(),
                                 op.getCuSeqlensK(), op.getSinkLogits()};
        llvm::append_range(slots, op.getTables());
        return slots;
      })
      .Default(SmallVector<Value>{});
}

namespace {

/// The buffer that a tensor will be: plain, or laid out as its function's
/// argument says, with contiguous rows.
MemRefType bufferTypeOf(Value tensor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  auto plain = MemRefType::get(type.getShape(), type.getElementType());
  auto argument = dyn_cast<BlockArgument>(tensor);
  auto function =
      argument
          ? dyn_cast<FunctionOpInterface>(argument.getOwner()->getParentOp())
          : FunctionOpInterface();
  if (!function || !argument.getOwner()->isEntryBlock())
    return plain;
  auto layout = function.getArgAttrOfType<MemRefLayoutAttrInterface>(
      argument.getArgNumber(),
      bufferization::BufferizationDialect::kBufferLayoutAttrName);
  if (!layout)
    return plain;
  auto strided =
      MemRefType::get(type.getShape(), type.getElementType(), layout);
  return strided.isLastDimUnitStride() ? strided : plain;
}

template <typename OpTy>
struct LowerStage : OpConversionPattern<OpTy> {
  LowerStage(MLIRContext *context, const Tiling &tiling)
      : OpConversionPattern<OpTy>(context), tiling(tiling) {}

  LogicalResult
  matchAndRewrite(OpTy op, typename OpTy::Adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    SmallVector<Value> buffers;
    for (Value tensor : tensorOperandSlots(op)) {
      if (!tensor) {
        buffers.push_back(Value());
        continue;
      }
      buffers.push_back(bufferization::ToBufferOp::create(
          rewriter, loc, bufferTypeOf(tensor), tensor, /*read_only=*/true));
    }
    FailureOr<SmallVector<Value>> results =
        lowerToLoops(rewriter, op, buffers, tiling);
    if (failed(results))
      return failure();
    SmallVector<Value> tensors;
    for (auto [buffer, old] : llvm::zip_equal(*results, op->getResults()))
      tensors.push_back(bufferization::ToTensorOp::create(
          rewriter, loc, old.getType(), buffer, /*restrict=*/true));
    rewriter.replaceOp(op, tensors);
    return success();
  }

  Tiling tiling;
};

/// Code for a CPU launches nothing, and who deallocates its buffers does not
/// know what a launch does with them.
LogicalResult expectNoLaunches(Operation *root) {
  return failure(root->walk([](Operation *op) {
                       if (op->getName().getStringRef() != "gpu.launch_func")
                         return WalkResult::advance();
                       op->emitOpError("expected no launch in a program for "
                                       "CPUs; start from tensors, or run "
                                       "unitile-launch-to-parallel");
                       return WalkResult::interrupt();
                     })
                     .wasInterrupted());
}

struct ConvertUniSparseToLoops
    : unisparse::impl::ConvertUniSparseToLoopsBase<ConvertUniSparseToLoops> {
  using Base::Base;

  LogicalResult initialize(MLIRContext *context) override {
    if (strip >= 1 && strip <= 64)
      return success();
    return emitError(UnknownLoc::get(context))
           << "convert-unisparse-to-loops: expected strip in [1, 64], got "
           << static_cast<int64_t>(strip);
  }

  void runOnOperation() override {
    // First of all, so that what is wrong is said once and by its op.
    if (failed(verifyTensorContract(getOperation())) ||
        failed(expectNoLaunches(getOperation())))
      return signalPassFailure();
    ConversionTarget target(getContext());
    target.addIllegalDialect<UniSparseDialect>();
    target.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerStage<PoolOp>, LowerStage<BlockScoreOp>,
                 LowerStage<BlockSelectOp>, LowerStage<BlockSparseAttentionOp>>(
        &getContext(), Tiling{strip, bf16Pairs});
    if (failed(applyPartialConversion(getOperation(), target,
                                      std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
