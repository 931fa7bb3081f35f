// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEVERIFYTILECONTRACT
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// How far a tile's content has come, from bad to good.
enum class Phase { Untouched, InFlight, Arrived, Ready };

/// What is known of all tiles at one point of a kernel.
struct State {
  llvm::MapVector<Value, Phase> phases;
  /// Read since the last barrier: some thread may not be done yet.
  llvm::SmallSetVector<Value, 4> reading;
  /// Tiles of each group of copies in flight, the oldest first; and of copies
  /// not committed yet.
  SmallVector<llvm::SmallSetVector<Value, 4>> groups;
  llvm::SmallSetVector<Value, 4> open;

  Phase of(Value tile) const {
    auto it = phases.find(tile);
    return it == phases.end() ? Phase::Untouched : it->second;
  }
  bool isCopied(Value tile) const {
    return open.contains(tile) || llvm::any_of(groups, [&](const auto &group) {
             return group.contains(tile);
           });
  }
};

/// What holds where either may have come from.
State join(const State &x, const State &y) {
  State z = x;
  for (auto &[tile, phase] : z.phases)
    phase = std::min(phase, y.of(tile));
  for (auto &[tile, phase] : y.phases)
    if (!x.phases.contains(tile))
      z.phases[tile] = Phase::Untouched;
  z.reading.insert(y.reading.begin(), y.reading.end());
  z.open.insert(y.open.begin(), y.open.end());
  // A wait counts groups from the latest.
  for (size_t back = 1; back <= y.groups.size(); ++back) {
    const auto &group = y.groups[y.groups.size() - back];
    if (back > z.groups.size())
      z.groups.insert(z.groups.begin(), group);
    else
      z.groups[z.groups.size() - back].insert(group.begin(), group.end());
  }
  return z;
}

class Checker {
public:
  /// Follows the tiles through `block`.
  State run(Block &block, State state) {
    for (Operation &op : block)
      state = step(&op, std::move(state));
    return state;
  }
  bool failedAnywhere() const { return !wrong.empty(); }

private:
  State step(Operation *op, State state);
  State stepRegions(Operation *op, State state);
  void read(Operation *op, Value tile, State &state);
  void copy(CopyAsyncOp op, State &state);
  void wait(WaitOp op, State &state);
  InFlightDiagnostic report(Operation *op) {
    wrong.insert(op);
    return op->emitOpError();
  }

  /// An op in a loop is met twice but reported once.
  llvm::SmallPtrSet<Operation *, 4> wrong;
};

/// Stages of a tile are told apart at run time, not here; tiles that the copy
/// engine fills are guarded by barriers.
bool isFollowed(Value tile) {
  return cast<SharedType>(tile.getType()).getStages() == 1 &&
         llvm::none_of(tile.getUsers(), llvm::IsaPred<TensorCopyOp>);
}

void Checker::read(Operation *op, Value tile, State &state) {
  if (!isFollowed(tile) || wrong.contains(op))
    return;
  switch (state.of(tile)) {
  case Phase::Untouched:
    report(op) << "[U7] reads a tile that nothing may have been copied into";
    break;
  case Phase::InFlight:
    report(op) << "[U7] reads a tile whose copy may be in flight; unitile.wait "
                  "for its group first";
    break;
  case Phase::Arrived:
    report(op) << "[U7] reads a tile that other threads copied parts of; put a "
                  "unitile.barrier behind the unitile.wait";
    break;
  case Phase::Ready:
    break;
  }
  state.reading.insert(tile);
}

void Checker::copy(CopyAsyncOp op, State &state) {
  Value tile = op.getTile();
  if (!isFollowed(tile))
    return;
  if (state.reading.contains(tile) && !wrong.contains(op))
    report(op) << "[U8] overwrites a tile that other threads may still read; "
                  "put a unitile.barrier before it";
  state.phases[tile] = Phase::InFlight;
  state.open.insert(tile);
}

void Checker::wait(WaitOp op, State &state) {
  while (state.groups.size() > op.getGroups()) {
    auto group = state.groups.front();
    state.groups.erase(state.groups.begin());
    for (Value tile : group)
      if (state.of(tile) == Phase::InFlight && !state.isCopied(tile))
        state.phases[tile] = Phase::Arrived;
  }
}

State Checker::step(Operation *op, State state) {
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](CopyAsyncOp op) { copy(op, state); })
      .Case([&](CommitOp) {
        state.groups.push_back(state.open);
        state.open.clear();
      })
      .Case([&](WaitOp op) { wait(op, state); })
      .Case([&](BarrierOp) {
        for (auto &[tile, phase] : state.phases)
          if (phase == Phase::Arrived)
            phase = Phase::Ready;
        state.reading.clear();
      })
      .Case([&](LoadOp op) { read(op, op.getTile(), state); })
      .Case([&](MmaOp op) { read(op, op.getB(), state); });
  return op->getNumRegions() ? stepRegions(op, std::move(state)) : state;
}

/// Branches are followed from the same start; a loop's body twice, as its
/// second run starts from what the first leaves.
State Checker::stepRegions(Operation *op, State state) {
  if (auto branch = dyn_cast<scf::IfOp>(op)) {
    State taken = run(*branch.thenBlock(), state);
    State other = branch.elseBlock() ? run(*branch.elseBlock(), state) : state;
    return join(taken, other);
  }
  if (isa<MapOp>(op))
    return state;
  State once = state;
  for (int round = 0; round < 2; ++round)
    for (Region &region : op->getRegions())
      for (Block &block : region)
        once = run(block, std::move(once));
  return join(state, once);
}

/// The least size of a cluster with every block that the op reaches; 0: it
/// stays in its own.
int64_t clusterOf(Operation *op) {
  return llvm::TypeSwitch<Operation *, int64_t>(op)
      .Case([](TensorCopyOp op) -> int64_t {
        return op.getBlocks() ? llvm::Log2_32(*op.getBlocks()) + 1 : 0;
      })
      .Case([](ArriveOp op) -> int64_t {
        return op.getBlock() ? *op.getBlock() + 1 : 0;
      })
      .Case<AwaitOp, BarrierOp>(
          [](auto op) -> int64_t { return op.getCluster(); })
      .Default([](Operation *) -> int64_t { return 0; });
}

LogicalResult checkReach(gpu::GPUFuncOp kernel) { // [U19]
  std::optional<ArrayRef<int32_t>> size = kernel.getKnownClusterSize();
  int64_t cluster = size && !size->empty() ? (*size)[0] : 0;
  WalkResult result = kernel.walk([&](Operation *op) {
    if (auto copy = dyn_cast<TensorCopyOp>(op))
      if (copy.getAfterWrites() && !copy.getBlocks()) {
        op->emitOpError("[U19] expected after_writes with blocks only");
        return WalkResult::interrupt();
      }
    int64_t needed = clusterOf(op);
    if (needed <= cluster)
      return WalkResult::advance();
    op->emitOpError("[U19] expected a kernel with a known_cluster_size of at "
                    "least ")
        << std::max<int64_t>(needed, 2) << ", got " << cluster;
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

LogicalResult checkClusterBarriers(gpu::GPUFuncOp kernel) { // [U20]
  bool met = false;              // Since the latest unitile.barriers.
  Operation *reaching = nullptr; // Since the latest meeting.
  for (Operation &op : kernel.getBody().front()) {
    if (auto barrier = dyn_cast<BarrierOp>(op); barrier && barrier.getCluster())
      met = true, reaching = nullptr;
    else if (isa<BarriersOp>(op))
      met = false;
    WalkResult result = op.walk([&](Operation *inner) {
      if (isa<BarrierOp>(inner)) {
        if (inner == &op || !clusterOf(inner))
          return WalkResult::advance();
        inner->emitOpError("[U20] expected a barrier of a cluster in the "
                           "kernel's own block");
        return WalkResult::interrupt();
      }
      if (!clusterOf(inner))
        return WalkResult::advance();
      reaching = inner;
      if (met)
        return WalkResult::advance();
      inner->emitOpError(
          "[U20] reaches other blocks of threads, whose barriers "
          "may not have started; put a unitile.barrier cluster "
          "behind the kernel's barriers");
      return WalkResult::interrupt();
    });
    if (result.wasInterrupted())
      return failure();
  }
  if (reaching)
    return reaching->emitOpError(
        "[U20] reaches other blocks of threads, which may have ended; put a "
        "unitile.barrier cluster before the kernel's end");
  return success();
}

/// [U30] No data-parallel loop of a page is left.
LogicalResult checkScheduled(gpu::GPUFuncOp kernel) {
  WalkResult result = kernel.walk([](Operation *op) {
    if (!isa<RankOp, scf::ParallelOp>(op))
      return WalkResult::advance();
    op->emitOpError("[U30] expected to have its threads by now; run "
                    "unitile-distribute-threads");
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

struct VerifyTileContract
    : unisparse::impl::UniTileVerifyTileContractBase<VerifyTileContract> {
  using Base::Base;

  LogicalResult checkChip(gpu::GPUFuncOp kernel) { // [U18]
    if (hopper)
      return success();
    WalkResult result = kernel.walk([](Operation *op) {
      if (!op->hasTrait<NeedsHopper>() && !clusterOf(op))
        return WalkResult::advance();
      op->emitOpError("[U18] expected a chip with wgmma and a copy engine, as "
                      "sm_90a");
      return WalkResult::interrupt();
    });
    return failure(result.wasInterrupted());
  }

  void runOnOperation() override {
    bool wrong = false;
    for (auto kernel : getOperation().getOps<gpu::GPUFuncOp>()) {
      Checker checker;
      State end;
      for (Block &block : kernel.getBody())
        end = checker.run(block, std::move(end));
      wrong |= checker.failedAnywhere() || failed(checkScheduled(kernel)) ||
               failed(checkChip(kernel)) ||
               failed(checkReach(kernel)) ||
               failed(checkClusterBarriers(kernel));
      // [U9] A copy must not outlive the block whose memory it writes.
      if (!end.groups.empty() || !end.open.empty()) {
        kernel.emitOpError("[U9] may end while copies are in flight; put a "
                           "unitile.wait 0 before the end");
        wrong = true;
      }
    }
    if (wrong)
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};

} // namespace
