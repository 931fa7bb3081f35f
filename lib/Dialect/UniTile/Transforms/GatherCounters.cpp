// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "KernelLaunches.h"
#include "KernelViews.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEGATHERCOUNTERS
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace unisparse;

namespace {

/// A word that is set for one launch's sake.
struct Counter {
  gpu::AllocOp alloc;
  gpu::MemsetOp fill;
  /// The address that the launch takes.
  LLVM::IntToPtrOp address;
  OpOperand *use;
  gpu::GPUFuncOp kernel;
};

struct GatherCounters
    : unisparse::impl::UniTileGatherCountersBase<GatherCounters> {
  void runOnOperation() override {
    KernelLaunches launches(getOperation());
    getOperation().walk([&](Block *block) { gather(*block, launches); });
  }

  void gather(Block &block, KernelLaunches &launches) {
    SmallVector<Counter> counters;
    Operation *first = nullptr;
    for (Operation &op : block) {
      if (isa<gpu::LaunchFuncOp>(op) && !first)
        first = &op;
      if (auto fill = dyn_cast<gpu::MemsetOp>(op))
        if (std::optional<Counter> counter = counterOf(fill, launches))
          if (counters.empty() || sameWord(counters.front(), *counter))
            counters.push_back(*counter);
    }
    // In front of everything already, where it delays nobody else.
    if (!first || counters.empty() ||
        (counters.size() == 1 && counters.front().fill->isBeforeInBlock(first)))
      return;
    PageBuilder p(first->getLoc(), OpBuilder(first));
    auto type = MemRefType::get({int64_t(counters.size())}, p.b.getI32Type());
    Value words = gpu::AllocOp::create(p.b, type, /*asyncToken=*/Type(),
                                       ValueRange{}, ValueRange{}, ValueRange{})
                      .getMemref();
    Attribute word;
    matchPattern(counters.front().fill.getValue(), m_Constant(&word));
    gpu::MemsetOp::create(
        p.b, /*asyncToken=*/Type(), ValueRange{}, words,
        arith::ConstantOp::create(p.b, cast<TypedAttr>(word)));
    Value address = KernelViews::hostAddress(p, words);
    for (auto [i, counter] : llvm::enumerate(counters))
      replace(counter, i, address);
  }

  /// A word of its own, for one launch of a kernel that has no other.
  static std::optional<Counter> counterOf(gpu::MemsetOp fill,
                                          KernelLaunches &launches) {
    auto alloc = fill.getDst().getDefiningOp<gpu::AllocOp>();
    if (!alloc || fill.getAsyncToken() || alloc.getAsyncToken() ||
        alloc->getBlock() != fill->getBlock() ||
        alloc.getType() != MemRefType::get({1}, fill.getValue().getType()) ||
        !fill.getValue().getType().isInteger(32) ||
        !matchPattern(fill.getValue(), m_Constant()))
      return std::nullopt;
    Operation *address = nullptr;
    for (Operation *user : alloc.getMemref().getUsers())
      if (user != fill) {
        if (address)
          return std::nullopt;
        address = user;
      }
    auto single = [](Operation *op) -> Operation * {
      return op && op->hasOneUse() ? *op->user_begin() : nullptr;
    };
    auto pointer =
        dyn_cast_or_null<memref::ExtractAlignedPointerAsIndexOp>(address);
    auto cast = dyn_cast_or_null<arith::IndexCastOp>(pointer ? single(pointer)
                                                             : nullptr);
    auto taken =
        dyn_cast_or_null<LLVM::IntToPtrOp>(cast ? single(cast) : nullptr);
    auto launch =
        dyn_cast_or_null<gpu::LaunchFuncOp>(taken ? single(taken) : nullptr);
    if (!launch || launch->getBlock() != fill->getBlock())
      return std::nullopt;
    gpu::GPUFuncOp kernel = launches.kernelOf(launch);
    if (!kernel || launches.of(kernel).size() != 1)
      return std::nullopt;
    return Counter{alloc, fill, taken, &*taken->use_begin(), kernel};
  }

  static bool sameWord(const Counter &x, const Counter &y) {
    Attribute a, b;
    matchPattern(gpu::MemsetOp(x.fill).getValue(), m_Constant(&a));
    matchPattern(gpu::MemsetOp(y.fill).getValue(), m_Constant(&b));
    return a == b;
  }

  /// The launch passes the address of all words, of which the kernel takes its
  /// own.
  static void replace(Counter &counter, int64_t i, Value address) {
    auto launch = cast<gpu::LaunchFuncOp>(counter.use->getOwner());
    unsigned number = counter.use->getOperandNumber() -
                      launch.getKernelOperands().getBeginOperandIndex();
    counter.use->set(address);
    Operation *cast = counter.address.getArg().getDefiningOp();
    Operation *pointer = cast->getOperand(0).getDefiningOp();
    for (Operation *op :
         {counter.address.getOperation(), cast, pointer,
          counter.fill.getOperation(), counter.alloc.getOperation()})
      op->erase();
    if (i == 0)
      return;
    Block &entry = counter.kernel.getBody().front();
    PageBuilder p(counter.kernel.getLoc(), OpBuilder::atBlockBegin(&entry));
    Value all = entry.getArgument(number);
    auto own = LLVM::GEPOp::create(p.b, all.getType(), p.b.getI32Type(), all,
                                   ArrayRef<LLVM::GEPArg>{int32_t(i)});
    all.replaceAllUsesExcept(own, own);
  }
};
} // namespace
