// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "KernelPage.h"
#include "Kernels.h"
#include "Schedule.h"
#include "SpecialisedSchedules.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/SymbolTable.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Dialect/UniSparse/Transforms/Contracts.h"
#include "unisparse/Dialect/UniSparse/Transforms/LengthRules.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

namespace unisparse {
#define GEN_PASS_DEF_CONVERTUNISPARSETOUNITILE
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

LogicalResult unisparse::checkHeadDim(Operation *op, StringRef what,
                                      RankedTensorType type, int64_t most) {
  Type element = type.getElementType();
  int64_t piece = 128 / element.getIntOrFloatBitWidth();
  for (int64_t i : {1, 3})
    if (type.isDynamicDim(i))
      return op->emitOpError("expected a static ")
             << (i == 1 ? StringRef("number of heads") : what)
             << " at the tile level, got " << type;
  int64_t size = type.getDimSize(3);
  if (size % piece == 0 && size > 0 && size <= most)
    return success();
  return op->emitOpError("expected a ")
         << what << " that is a multiple of " << piece << " up to " << most
         << " at the tile level, got " << size;
}

LogicalResult unisparse::checkHeadDims(BlockScoreOp op) {
  return checkHeadDim(op, "head_dim", op.getQ().getType(), kMostColumns);
}

LogicalResult unisparse::checkHeadDims(BlockSparseAttentionOp op) {
  if (failed(checkHeadDim(op, "head_dim", op.getQ().getType(), 256)) ||
      failed(checkHeadDim(op, "head_dim", op.getK().getType(), 256)))
    return failure();
  // f32 is split as it is multiplied: a wider output leaves no registers.
  bool split = op.getV().getType().getElementType().isF32();
  return checkHeadDim(op, "head_dim of v", op.getV().getType(),
                      split ? 128 : 256);
}

double unisparse::scaleInBase2(std::optional<APFloat> scale, double alpha,
                               int64_t headDim) {
  return logitScale(scale, headDim) * alpha * M_LOG2E;
}

/// CTAs of a multiprocessor that score at once, each with memory of its own.
static constexpr int64_t kScoreCtas = 2;

namespace {

struct ConvertUniSparseToUniTile
    : unisparse::impl::ConvertUniSparseToUniTileBase<
          ConvertUniSparseToUniTile> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (isa<PoolOp, BlockScoreOp, BlockSelectOp, BlockSparseAttentionOp>(op))
        ops.push_back(op);
    });
    // First of all, so that what is wrong is said once and by its op.
    if (failed(verifyTensorContract(getOperation())) ||
        llvm::any_of(ops,
                     [&](Operation *op) { return failed(verifyHost(op)); }))
      return signalPassFailure();
    if (ops.empty())
      return;
    gpu::GPUModuleOp kernels = newKernelModule(getOperation());
    IRRewriter rewriter(&getContext());
    for (Operation *op : ops) {
      rewriter.setInsertionPoint(op);
      HostSide host(rewriter, op->getLoc());
      FailureOr<SmallVector<Value>> results = lower(host, kernels, op);
      if (failed(results))
        return signalPassFailure();
      rewriter.replaceOp(op, *results);
    }
  }

  /// Whoever launches a kernel has to see the module that it is in.
  LogicalResult verifyHost(Operation *op) {
    Operation *table = SymbolTable::getNearestSymbolTable(op);
    if (table == getOperation())
      return success();
    return op->emitOpError(
               "expected to stand in a function of the module, whose "
               "code runs on the host, got one of a '")
           << table->getName() << "'";
  }

  static FailureOr<SmallVector<Value>>
  lower(HostSide &host, gpu::GPUModuleOp kernels, Operation *op) {
    if (failed(verifyBounds(op)))
      return failure();
    checkLengths(host, op);
    return llvm::TypeSwitch<Operation *, FailureOr<SmallVector<Value>>>(op)
        .Case<PoolOp, BlockSelectOp>(
            [&](auto typed) { return lowerToKernel(host, kernels, typed); })
        .Case<BlockScoreOp, BlockSparseAttentionOp>(
            [&](auto typed) { return lowerScheduled(host, kernels, typed); });
  }

  template <typename OpTy>
  static FailureOr<SmallVector<Value>>
  lowerScheduled(HostSide &host, gpu::GPUModuleOp kernels, OpTy op) {
    // What unisparse-select-schedule left open is chosen for the least chip.
    Attribute given = op->getAttr(unitile::kScheduleAttr);
    bool specialised = isa_and_nonnull<unitile::ScheduleAttr>(given);
    const NvidiaChip &chip =
        specialised ? *findNvidiaChip("sm_90a") : nvidiaChips().front();
    if (failed(checkHeadDims(op)))
      return failure();
    FailureOr<Attribute> schedule = scheduleOf(op, chip);
    if (failed(schedule))
      return failure();
    auto tiles = dyn_cast<unitile::TilesAttr>(*schedule);
    auto attr = dyn_cast<unitile::ScheduleAttr>(*schedule);
    int64_t keys = tiles ? tiles.getKeys() : attr.getKeys();
    if constexpr (std::is_same_v<OpTy, BlockSparseAttentionOp>) {
      int64_t rows = tiles ? tiles.getRows() : op.getBlock().getQuery();
      return lowerToPage(host, kernels, op, rows, keys, *schedule);
    } else {
      int64_t rows = tiles ? tiles.getRows() : ScoreSchedule::rows,
              each = tiles ? kScoreCtas : attr.getCtas();
      return lowerToPage(host, kernels, op, rows, keys, each, *schedule);
    }
  }

  /// What types could not say of dynamic sizes.
  static void checkLengths(HostSide &host, Operation *op) {
    createLengthChecks(host.b, op, [&](Value tensor, int64_t i) {
      return host.dim(tensor, i);
    });
  }
};

} // namespace
