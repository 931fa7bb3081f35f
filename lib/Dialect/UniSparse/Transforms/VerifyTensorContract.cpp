// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniSparse/Transforms/Contracts.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"
#include "llvm/ADT/TypeSwitch.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEVERIFYTENSORCONTRACT
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

LogicalResult expectStatic(Operation *op, StringRef what, Value v, int64_t i) {
  auto type = cast<ShapedType>(v.getType());
  if (type.getDimSize(i) > 0)
    return success();
  if (!type.isDynamicDim(i))
    return op->emitOpError()
           << "expected a positive " << what << " to be lowered, got " << type;
  return op->emitOpError() << "expected a static " << what
                           << " to be lowered, got " << type
                           << "; cast the operand to a type that names it";
}

LogicalResult expectStaticHeadsAndDim(Operation *op, ValueRange tokens) {
  for (Value v : tokens)
    if (failed(expectStatic(op, "number of heads", v, 1)) ||
        failed(expectStatic(op, "head_dim", v, 3)))
      return failure();
  return success();
}

} // namespace

LogicalResult unisparse::verifyStaticTiles(Operation *op) {
  if (failed(verifyBounds(op)))
    return failure();
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([](AttentionOp op) {
        return op.emitOpError("expected to be decomposed before it is lowered; "
                              "run unisparse-decompose-attention");
      })
      .Case([](PoolOp op) { return expectStaticHeadsAndDim(op, {op.getX()}); })
      .Case([](BlockScoreOp op) {
        return expectStaticHeadsAndDim(op, {op.getQ(), op.getK()});
      })
      .Case([](BlockSelectOp op) -> LogicalResult {
        if (failed(expectStatic(op, "number of heads", op.getMass(), 1)))
          return failure();
        return op.getTopP()
                   ? expectStatic(op, "number of shares", op.getTopP(), 0)
                   : success();
      })
      .Case([](BlockSparseAttentionOp op) -> LogicalResult {
        if (failed(
                expectStaticHeadsAndDim(op, {op.getQ(), op.getK(), op.getV()})))
          return failure();
        return op.getCounts()
                   ? expectStatic(op, "number of heads", op.getCounts(), 1)
                   : success();
      })
      .Default(success());
}

/// Passes on modules and on their functions go no deeper.
static LogicalResult verifyNesting(Operation *root, Operation *op) {
  if (op == root || !isa<ModuleOp>(op))
    return success();
  return op->emitError("expected one module to be lowered, got a module inside "
                       "of it; lower that one by itself");
}

/// Sizes and strides of buffers are 64 bits, as the callers of compiled code
/// pass them.
static LogicalResult verifyIndex(Operation *root) {
  uint64_t bits = DataLayout::closest(root).getTypeSizeInBits(
      IndexType::get(root->getContext()));
  if (bits == 64)
    return success();
  return root->emitError(
             "expected an index of 64 bits in the data layout, got ")
         << bits;
}

/// What is no stage has to become code on buffers by itself. Bufferization says
/// only where such an op is, not which.
static LogicalResult verifyBufferizable(Operation *op) {
  auto isTensor = llvm::IsaPred<TensorType>;
  if (isa<bufferization::BufferizableOpInterface>(op) ||
      (llvm::none_of(op->getOperandTypes(), isTensor) &&
       llvm::none_of(op->getResultTypes(), isTensor)))
    return success();
  return op->emitOpError("expected an op that can work on buffers, got one on "
                         "tensors that this pipeline does not lower");
}

LogicalResult unisparse::verifyTensorContract(Operation *root) {
  if (failed(verifyIndex(root)))
    return failure();
  return failure(root->walk<WalkOrder::PreOrder>([&](Operation *op) {
                       return failed(verifyNesting(root, op)) ||
                                      failed(verifyStaticTiles(op))
                                  ? WalkResult::interrupt()
                                  : WalkResult::advance();
                     })
                     .wasInterrupted());
}

namespace {
struct VerifyTensorContract
    : unisparse::impl::UniSparseVerifyTensorContractBase<VerifyTensorContract> {
  void runOnOperation() override {
    if (failed(verifyTensorContract(getOperation())))
      return signalPassFailure();
    WalkResult others = getOperation()->walk([](Operation *op) {
      return failed(verifyBufferizable(op)) ? WalkResult::interrupt()
                                            : WalkResult::advance();
    });
    if (others.wasInterrupted())
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};
} // namespace
