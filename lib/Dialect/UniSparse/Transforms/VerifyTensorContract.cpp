// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

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
    return op->emitOpError() << "expected a positive " << what
                             << " to lower to the CPU, got " << type;
  return op->emitOpError() << "expected a static " << what
                           << " to lower to the CPU, got " << type
                           << "; cast the operand to a type that names it";
}

/// A tile of a block has to fit memory many times over.
LogicalResult expectBlock(Operation *op, BlockAttr block) {
  constexpr int64_t most = 4096;
  if (block.getQuery() <= most && block.getKey() <= most)
    return success();
  return op->emitOpError() << "expected blocks of at most " << most << 'x'
                           << most << " to lower to the CPU, got "
                           << block.getQuery() << 'x' << block.getKey();
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
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([](AttentionOp op) {
        return op.emitOpError("expected to be decomposed before it is lowered; "
                              "run unisparse-decompose-attention");
      })
      .Case([](PoolOp op) { return expectStaticHeadsAndDim(op, {op.getX()}); })
      .Case([](BlockScoreOp op) -> LogicalResult {
        if (failed(expectBlock(op, op.getBlock())))
          return failure();
        return expectStaticHeadsAndDim(op, {op.getQ(), op.getK()});
      })
      .Case([](BlockSelectOp op) -> LogicalResult {
        if (failed(expectBlock(op, op.getBlock())) ||
            failed(expectStatic(op, "number of heads", op.getMass(), 1)))
          return failure();
        return op.getTopP()
                   ? expectStatic(op, "number of shares", op.getTopP(), 0)
                   : success();
      })
      .Case([](BlockSparseAttentionOp op) -> LogicalResult {
        if (failed(expectBlock(op, op.getBlock())) ||
            failed(
                expectStaticHeadsAndDim(op, {op.getQ(), op.getK(), op.getV()})))
          return failure();
        return op.getCounts()
                   ? expectStatic(op, "number of heads", op.getCounts(), 1)
                   : success();
      })
      .Default(success());
}

LogicalResult unisparse::verifyTensorContract(Operation *root) {
  return failure(root->walk([](Operation *op) {
                       return failed(verifyStaticTiles(op))
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
    markAllAnalysesPreserved();
  }
};
} // namespace
