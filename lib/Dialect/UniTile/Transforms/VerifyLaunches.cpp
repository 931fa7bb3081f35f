// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Matchers.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEVERIFYLAUNCHES
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// What is known of a number: nothing of one that is computed.
std::optional<int64_t> constantOf(Value value) {
  APInt number;
  if (!matchPattern(value, m_ConstantInt(&number)))
    return std::nullopt;
  return number.trySExtValue();
}

/// A launch that asks for less than the kernel's tiles take would have them lie
/// past its end [U25].
LogicalResult checkShared(gpu::LaunchFuncOp launch, gpu::GPUFuncOp kernel) {
  auto needed = kernel->getAttrOfType<IntegerAttr>(kSharedBytesAttr);
  if (!needed)
    return success();
  Value asked = launch.getDynamicSharedMemorySize();
  std::optional<int64_t> bytes = asked ? constantOf(asked) : 0;
  int64_t least =
      needed.getValue().getLimitedValue(std::numeric_limits<int64_t>::max());
  if (!bytes || *bytes >= least)
    return success();
  return launch.emitOpError("[U25] expected at least ")
         << least << " bytes of dynamic shared memory, what "
         << launch.getKernel() << " lays out, got " << *bytes;
}

/// Fragments are shared out among as many warps as known_block_size has [U25].
LogicalResult checkThreads(gpu::LaunchFuncOp launch, gpu::GPUFuncOp kernel) {
  std::optional<ArrayRef<int32_t>> known = kernel.getKnownBlockSize();
  if (!known)
    return success();
  gpu::KernelDim3 block = launch.getBlockSizeOperandValues();
  SmallVector<int64_t> asked;
  for (Value size : {block.x, block.y, block.z})
    asked.push_back(constantOf(size).value_or(ShapedType::kDynamic));
  for (auto [size, expected] : llvm::zip(asked, *known))
    if (!ShapedType::isDynamic(size) && size != expected)
      return launch.emitOpError("[U25] expected ")
             << expected << " threads, the known_block_size of "
             << launch.getKernel() << ", got " << size;
  return success();
}

struct VerifyLaunches
    : unisparse::impl::UniTileVerifyLaunchesBase<VerifyLaunches> {
  void runOnOperation() override {
    SymbolTableCollection symbols;
    WalkResult walked = getOperation().walk([&](gpu::LaunchFuncOp launch) {
      auto kernel = symbols.lookupNearestSymbolFrom<gpu::GPUFuncOp>(
          launch, launch.getKernel());
      if (kernel && (failed(checkShared(launch, kernel)) ||
                     failed(checkThreads(launch, kernel))))
        return WalkResult::interrupt();
      return WalkResult::advance();
    });
    if (walked.wasInterrupted())
      return signalPassFailure();
    sayWhatStays();
    markAllAnalysesPreserved();
  }

private:
  /// A stage is nobody's kernel yet, and may be meant to be.
  void sayWhatStays() {
    getOperation().walk([](Operation *op) {
      if (op->getName().getDialectNamespace() != "unisparse")
        return WalkResult::advance();
      op->emitRemark("expected stages to be kernels by now, got '")
          << op->getName()
          << "', which stays host code; run convert-unisparse-to-unitile";
      return WalkResult::interrupt();
    });
  }
};

} // namespace
