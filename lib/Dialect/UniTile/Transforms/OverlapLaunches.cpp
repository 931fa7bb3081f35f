// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "KernelLaunches.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEOVERLAPLAUNCHES
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

/// Whether the stream goes on behind an op as it was: host code that computes
/// sizes and addresses, or makes room.
static bool enqueuesNothing(Operation *op) {
  return isMemoryEffectFree(op) || isa<gpu::AllocOp>(op) ||
         op->getName().getStringRef() == "cf.assert";
}

/// What a launch is given to read or write, as far as somebody in the same
/// function may write it: buffers that the function made. Nothing where an
/// address comes from elsewhere. A caller's buffers are read alone.
static std::optional<llvm::SmallPtrSet<Value, 8>>
buffersOf(gpu::LaunchFuncOp launch) {
  llvm::SmallPtrSet<Value, 8> buffers;
  for (Value operand : launch.getKernelOperands()) {
    if (auto map = operand.getDefiningOp<unitile::TensorMapOp>())
      operand = map.getSource();
    if (!isa<LLVM::LLVMPointerType>(operand.getType()))
      continue;
    auto pointer = operand.getDefiningOp<LLVM::IntToPtrOp>();
    auto cast = pointer ? pointer.getArg().getDefiningOp<arith::IndexCastOp>()
                        : nullptr;
    Value address = cast ? cast.getIn() : Value();
    if (auto sum = address ? address.getDefiningOp<arith::AddIOp>() : nullptr)
      address = sum.getLhs(); // See KernelViews::hostAddress.
    auto of =
        address
            ? address.getDefiningOp<memref::ExtractAlignedPointerAsIndexOp>()
            : nullptr;
    if (!of)
      return std::nullopt;
    Value memref = of.getSource();
    while (auto view = memref.getDefiningOp<ViewLikeOpInterface>())
      memref = view.getViewSource();
    if (memref.getDefiningOp<gpu::AllocOp>())
      buffers.insert(memref);
    else if (!isa<BlockArgument>(memref))
      return std::nullopt;
  }
  return buffers;
}

namespace {
/// Launches that follow one another with nothing between them.
class Row {
public:
  /// Whether the launch is behind another one; then it is the row's last.
  gpu::LaunchFuncOp follow(gpu::LaunchFuncOp launch) {
    auto own = buffersOf(launch);
    alone = own.has_value() && known &&
            llvm::none_of(*own, [&](Value v) { return buffers.contains(v); });
    known &= own.has_value();
    if (own)
      buffers.insert(own->begin(), own->end());
    return std::exchange(last, launch);
  }
  void end() { *this = Row(); }
  /// Whether the last has nothing to do with any of those in front of it.
  bool isAlone() const { return alone; }

private:
  gpu::LaunchFuncOp last;
  llvm::SmallPtrSet<Value, 8> buffers;
  bool known = true, alone = false;
};

struct OverlapLaunches
    : unisparse::impl::UniTileOverlapLaunchesBase<OverlapLaunches> {
  void runOnOperation() override {
    KernelLaunches launches(getOperation());
    // Kernels that others are launched beside, and those that are launched
    // behind others: true where one of them has to wait first.
    llvm::SetVector<Operation *> leaders;
    llvm::MapVector<Operation *, bool> followers;
    getOperation().walk([&](Block *block) {
      Row row;
      for (Operation &op : *block) {
        auto launch = dyn_cast<gpu::LaunchFuncOp>(op);
        if (!launch) {
          if (!enqueuesNothing(&op))
            row.end();
          continue;
        }
        if (launch.getAsyncToken() || !launch.getAsyncDependencies().empty() ||
            launch.getAsyncObject()) {
          row.end();
          continue;
        }
        gpu::LaunchFuncOp before = row.follow(launch);
        gpu::GPUFuncOp leader = before ? launches.kernelOf(before) : nullptr,
                       follower = launches.kernelOf(launch);
        if (!leader || !follower)
          continue;
        launch->setAttr(unitile::kOverlapsAttr, UnitAttr::get(&getContext()));
        if (row.isAlone())
          leaders.insert(leader);
        followers[follower] |= !row.isAlone();
      }
    });
    auto control = [](Operation *kernel, NVVM::GridDepActionKind kind,
                      bool first) {
      Block &body = cast<gpu::GPUFuncOp>(kernel).getBody().front();
      OpBuilder b = first ? OpBuilder::atBlockBegin(&body)
                          : OpBuilder::atBlockTerminator(&body);
      NVVM::GriddepcontrolOp::create(b, kernel->getLoc(), kind);
    };
    // Who waits for nobody ends behind the others all the same: the next one
    // waits for it alone.
    for (auto [kernel, first] : followers)
      control(kernel, NVVM::GridDepActionKind::wait, first);
    // All CTAs of a kernel have begun before the next one's may: nobody waits
    // for room that a waiting one has. Who has to wait has nothing to do here
    // before that, and would only take the room of CTAs that run: it comes when
    // theirs end.
    for (Operation *kernel : leaders)
      control(kernel, NVVM::GridDepActionKind::launch_dependents, true);
  }
};
} // namespace
