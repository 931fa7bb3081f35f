// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A program's own linalg, between the stages and around them, as kernels.
#include "KernelPage.h"
#include "LinalgPage.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "unisparse/Conversion/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_CONVERTLINALGTOUNITILE
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

/// Where the stages' kernels are: an artifact has one image.
gpu::GPUModuleOp kernelModuleOf(ModuleOp module) {
  for (auto kernels : module.getOps<gpu::GPUModuleOp>())
    for (auto kernel : kernels.getOps<gpu::GPUFuncOp>())
      if (kernel->hasAttr(unitile::kScheduleAttr))
        return kernels;
  return newKernelModule(module);
}

/// An initial value alone, which is a number in its user's kernel.
bool isOnlyFill(Operation *op) {
  return op->getNumResults() == 1 && constantFillOf(op->getResult(0)) &&
         llvm::all_of(op->getUses(), [](OpOperand &use) {
           auto user = dyn_cast<linalg::GenericOp>(use.getOwner());
           return user && user.isDpsInit(&use);
         });
}

struct ConvertLinalgToUniTile
    : unisparse::impl::ConvertLinalgToUniTileBase<ConvertLinalgToUniTile> {
  void runOnOperation() override {
    module = {};
    SmallVector<linalg::GenericOp> ops, fills;
    SmallVector<arith::ConstantOp> constants;
    for (auto function : getOperation().getOps<func::FuncOp>())
      function.walk([&](Operation *op) {
        if (auto generic = dyn_cast<linalg::GenericOp>(op);
            generic && generic.hasPureTensorSemantics())
          (isOnlyFill(op) ? fills : ops).push_back(generic);
        else if (auto constant = dyn_cast<arith::ConstantOp>(op);
                 constant && fitsCode(constant))
          constants.push_back(constant);
      });
    for (linalg::GenericOp op : ops)
      if (failed(lower(op)))
        return signalPassFailure();
    for (linalg::GenericOp op : llvm::reverse(fills))
      if (op.use_empty())
        op.erase();
    for (arith::ConstantOp op : constants)
      if (failed(lower(op)))
        return signalPassFailure();
  }

private:
  /// Made for the first kernel.
  gpu::GPUModuleOp kernels() {
    if (!module)
      module = kernelModuleOf(getOperation());
    return module;
  }

  LogicalResult lower(linalg::GenericOp op) {
    IRRewriter rewriter(op);
    HostSide host(rewriter, op.getLoc());
    FailureOr<SmallVector<Value>> results = lowerToPage(host, kernels(), op);
    if (failed(results))
      return failure();
    rewriter.replaceOp(op, *results);
    return success();
  }

  /// What host code reads of a constant stays the host's.
  LogicalResult lower(arith::ConstantOp op) {
    auto isOfKernel = [](OpOperand &use) {
      return isa<bufferization::ToBufferOp>(use.getOwner());
    };
    if (llvm::none_of(op->getUses(), isOfKernel))
      return success();
    IRRewriter rewriter(op);
    rewriter.setInsertionPointAfter(op);
    HostSide host(rewriter, op.getLoc());
    FailureOr<SmallVector<Value>> results = lowerToPage(host, kernels(), op);
    if (failed(results))
      return failure();
    rewriter.replaceUsesWithIf(op.getResult(), results->front(), isOfKernel);
    if (op.use_empty())
      rewriter.eraseOp(op);
    return success();
  }

  gpu::GPUModuleOp module;
};

} // namespace
