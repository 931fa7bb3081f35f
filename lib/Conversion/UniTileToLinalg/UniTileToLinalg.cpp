// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "PopulatePatterns.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Func/Transforms/FuncConversions.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/Transforms/Patterns.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse {
#define GEN_PASS_DEF_CONVERTUNITILETOLINALG
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

namespace {

struct TensorTypeConverter : TypeConverter {
  TensorTypeConverter() {
    addConversion([](Type type) { return type; });
    addConversion([](TileType type) -> Type {
      return RankedTensorType::get({type.getRows(), type.getColumns()},
                                   type.getElementType());
    });
    addConversion([](FragmentType type) -> Type {
      return RankedTensorType::get({type.getRows(), type.getColumns()},
                                   type.getElementType());
    });
    addConversion([](RowsType type) -> Type {
      return RankedTensorType::get({type.getRows()}, type.getElementType());
    });
  }
};

/// What a loop carries stays in one buffer: the next state goes where the last
/// one was, and nobody has to find out whose buffer a loop gave.
struct CarryInPlace : OpConversionPattern<scf::YieldOp> {
  CarryInPlace(const TypeConverter &converter, MLIRContext *context)
      : OpConversionPattern(converter, context, /*benefit=*/2) {}

  LogicalResult
  matchAndRewrite(scf::YieldOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    auto loop = dyn_cast<scf::ForOp>(op->getParentOp());
    if (!loop)
      return rewriter.notifyMatchFailure(op, "not of a loop");
    SmallVector<Value> state;
    for (auto [next, last] :
         llvm::zip_equal(adaptor.getResults(), loop.getRegionIterArgs())) {
      bool isTensor = isa<TensorType>(next.getType()) && next != last;
      state.push_back(
          isTensor ? bufferization::MaterializeInDestinationOp::create(
                         rewriter, op.getLoc(), next.getType(), next, last)
                         .getResult()
                   : next);
    }
    rewriter.replaceOpWithNewOp<scf::YieldOp>(op, state);
    return success();
  }
};

struct ConvertUniTileToLinalg
    : unisparse::impl::ConvertUniTileToLinalgBase<ConvertUniTileToLinalg> {
  void runOnOperation() override {
    if (failed(checkWords()))
      return signalPassFailure();
    TensorTypeConverter converter;
    RewritePatternSet patterns(&getContext());
    ConversionTarget target(getContext());
    target.addIllegalDialect<UniTileDialect>();
    target.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
    target.addDynamicallyLegalOp<func::FuncOp>([&](func::FuncOp op) {
      return converter.isSignatureLegal(op.getFunctionType());
    });
    target.addDynamicallyLegalOp<func::ReturnOp>(
        [&](func::ReturnOp op) { return converter.isLegal(op); });
    populateFunctionOpInterfaceTypeConversionPattern<func::FuncOp>(patterns,
                                                                   converter);
    populateReturnOpTypeConversionPattern(patterns, converter);
    scf::populateSCFStructuralTypeConversionsAndLegality(converter, patterns,
                                                         target);
    patterns.add<CarryInPlace>(converter, &getContext());
    populateArithmeticPatterns(converter, patterns);
    populateMemoryPatterns(converter, patterns);
    if (failed(applyPartialConversion(getOperation(), target,
                                      std::move(patterns))))
      signalPassFailure();
  }

  /// A word about time or place, or one that another pass expands, is refused
  /// by name.
  LogicalResult checkWords() {
    WalkResult result = getOperation()->walk([](Operation *op) {
      StringRef pass;
      if (isa<WalkOp>(op))
        pass = "unitile-walk-to-for";
      if (isa<MaskOp, SoftmaxOp, SoftmaxSumsOp, ReferenceOp, ExponentialsOp,
              InverseOp, LseOp>(op))
        pass = "unitile-decompose-softmax";
      if (!pass.empty()) {
        op->emitOpError("expected to be expanded by now; run ") << pass;
        return WalkResult::interrupt();
      }
      if (!isa_and_nonnull<UniTileDialect>(op->getDialect()) ||
          isa<AllBelowOp, DotOp, FetchOp, FillOp, FoldOp, LocateOp, MapOp,
              PutOp, ReduceOp, SumGroupsOp, YieldOp>(op))
        return WalkResult::advance();
      op->emitOpError("expected the words of a synchronous page, which know no "
                      "stages, barriers and threads");
      return WalkResult::interrupt();
    });
    return failure(result.wasInterrupted());
  }
};

} // namespace
