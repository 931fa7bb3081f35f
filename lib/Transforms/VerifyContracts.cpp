// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/BuiltinOps.h"
#include "unisparse/Target/LaunchPlan.h"
#include "unisparse/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEVERIFYLOOPSCONTRACT
#define GEN_PASS_DEF_UNISPARSEVERIFYLLVMCONTRACT
#define GEN_PASS_DEF_UNISPARSEVERIFYLAUNCHCONTRACT
#include "unisparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;

/// Walks until `check` fails, which has said why by then.
static LogicalResult checkAll(Operation *root,
                              function_ref<LogicalResult(Operation *)> check) {
  return failure(root->walk([&](Operation *op) {
                       return failed(check(op)) ? WalkResult::interrupt()
                                                : WalkResult::advance();
                     })
                     .wasInterrupted());
}

static LogicalResult checkLoops(Operation *op) {
  if (op->getName().getDialectNamespace() == "unisparse")
    return op->emitOpError("expected to be lowered to loops by now; run "
                           "convert-unisparse-to-loops");
  // Upstream's expand-strided-metadata dies of it.
  if (auto expand = dyn_cast<memref::ExpandShapeOp>(op))
    for (const ReassociationIndices &group : expand.getReassociationIndices())
      if (auto dynamic =
              llvm::count_if(group,
                             [&](int64_t i) {
                               return expand.getResultType().isDynamicDim(i);
                             });
          dynamic > 1)
        return op->emitOpError("expected at most one dynamic size of the parts "
                               "of a dim on the CPU, got ")
               << dynamic;
  auto isTensor = [](Type type) { return isa<TensorType>(type); };
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (llvm::any_of(op->getOperandTypes(), isTensor) ||
      llvm::any_of(op->getResultTypes(), isTensor) ||
      (function && (llvm::any_of(function.getArgumentTypes(), isTensor) ||
                    llvm::any_of(function.getResultTypes(), isTensor))))
    return op->emitOpError("expected buffers by now, got a tensor; run "
                           "one-shot-bufferize");
  return success();
}

static LogicalResult checkNoCast(Operation *op) {
  if (!isa<UnrealizedConversionCastOp>(op))
    return success();
  return op->emitOpError("expected types of the llvm dialect at the end of the "
                         "CPU pipeline, got a cast from ")
         << op->getOperandTypes() << " to " << op->getResultTypes();
}

static LogicalResult checkLLVM(Operation *op) {
  StringRef dialect = op->getName().getDialectNamespace();
  // What a cast is needed for says more than the cast.
  if (dialect == "llvm" || dialect == "omp" ||
      isa<ModuleOp, UnrealizedConversionCastOp>(op))
    return success();
  return op->emitOpError("expected only llvm and omp ops at the end of the CPU "
                         "pipeline; the pipeline has no lowering for this one");
}

namespace {
struct VerifyLoopsContract
    : unisparse::impl::UniSparseVerifyLoopsContractBase<VerifyLoopsContract> {
  void runOnOperation() override {
    if (failed(checkAll(getOperation(), checkLoops)))
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};

struct VerifyLLVMContract
    : unisparse::impl::UniSparseVerifyLLVMContractBase<VerifyLLVMContract> {
  void runOnOperation() override {
    if (failed(checkAll(getOperation(), checkLLVM)) ||
        failed(checkAll(getOperation(), checkNoCast)))
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};

struct VerifyLaunchContract
    : unisparse::impl::UniSparseVerifyLaunchContractBase<VerifyLaunchContract> {
  using UniSparseVerifyLaunchContractBase::UniSparseVerifyLaunchContractBase;

  void runOnOperation() override {
    // What translates is in the contract: there is no second description of it.
    if (failed(unisparse::translateToArtifact(getOperation(), entry)))
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};
} // namespace
