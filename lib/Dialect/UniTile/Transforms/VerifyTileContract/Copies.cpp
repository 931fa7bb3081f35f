// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Tiles of one stage that threads fill are followed through straight code,
// branches and loops; of all others, that something fills them, that a wait for
// it stands before the read, and that no more stages are in flight than leave
// one to read.
#include "Rules.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// How far a tile's content has come, from bad to good.
enum class Phase { Untouched, InFlight, Arrived, Written, Ready };

/// What is known of all tiles at one point of a kernel.
struct State {
  llvm::MapVector<Value, Phase> phases;
  /// Read since the last barrier: some thread may not be done yet.
  llvm::SmallSetVector<Value, 4> reading;
  /// Tiles of each group of copies in flight, the oldest first; and of copies
  /// not committed yet.
  SmallVector<llvm::SmallSetVector<Value, 4>> groups;
  llvm::SmallSetVector<Value, 4> open;
  /// Barriers in shared memory that may have been waited for.
  llvm::SmallSetVector<Value, 4> awaited;

  Phase of(Value tile) const {
    auto it = phases.find(tile);
    return it == phases.end() ? Phase::Untouched : it->second;
  }
  /// How many groups of copies into it may be in flight.
  int64_t copiesOf(Value tile) const {
    return open.contains(tile) + llvm::count_if(groups, [&](const auto &group) {
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
  z.awaited.insert(y.awaited.begin(), y.awaited.end());
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
  void checkNames(Operation *op);
  void read(Operation *op, Value tile, State &state);
  void readStage(Operation *op, Value tile, const State &state);
  void copy(CopyAsyncOp op, State &state);
  void copy(TensorCopyOp op, State &state);
  void write(WriteOp op, State &state);
  void send(TensorStoreOp op, State &state);
  void overwrite(Operation *op, Value tile, State &state);
  void wait(WaitOp op, State &state);
  InFlightDiagnostic report(Operation *op) {
    wrong.insert(op);
    return op->emitOpError();
  }

  /// An op in a loop is met twice but reported once.
  llvm::SmallPtrSet<Operation *, 4> wrong;
};

/// Stages of a tile are told apart at run time, not here; tiles that TMA loads
/// fill are guarded by barriers.
bool isFollowed(Value tile) {
  return cast<SharedType>(tile.getType()).getStages() == 1 &&
         llvm::none_of(tile.getUsers(), llvm::IsaPred<TensorCopyOp>);
}

/// What a loop carries or a branch chooses may be any other.
bool hasOneName(Value value) {
  if (Operation *op = value.getDefiningOp())
    return isa<AllocOp, BarriersOp>(op);
  Block *block = value.getParentBlock();
  return block->isEntryBlock() && isa<gpu::GPUFuncOp>(block->getParentOp());
}

/// Some op of the kernel puts something into it.
bool isFilled(Value tile) {
  return llvm::any_of(tile.getUsers(),
                      llvm::IsaPred<CopyAsyncOp, TensorCopyOp, WriteOp>);
}

/// A read of a tile whose stages, or whose phases of barriers, are not known:
/// what holds whichever they are.
void Checker::readStage(Operation *op, Value tile, const State &state) {
  if (!isFilled(tile)) { // [U32]
    report(op) << "[U32] reads a tile that nothing fills; put a "
                  "unitile.copy_async, unitile.tensor_copy or unitile.write "
                  "before it";
    return;
  }
  auto awaited = [&](Operation *user) {
    auto load = dyn_cast<TensorCopyOp>(user);
    return !load || state.awaited.contains(load.getBarriers());
  };
  if (llvm::none_of(tile.getUsers(), [&](Operation *user) {
        return isa<CopyAsyncOp, TensorCopyOp, WriteOp>(user) && awaited(user);
      })) { // [U7]
    report(op) << "[U7] reads a tile whose TMA load may be in flight; "
                  "unitile.await its barrier first";
    return;
  }
  // [U35]
  int64_t stages = cast<SharedType>(tile.getType()).getStages();
  int64_t copies = state.copiesOf(tile);
  if (copies >= stages)
    report(op) << "[U35] expected at most " << stages - 1
               << " groups of copies in flight into a tile of " << stages
               << " stages that is read, got " << copies;
}

void Checker::read(Operation *op, Value tile, State &state) {
  if (wrong.contains(op))
    return;
  if (!isFollowed(tile))
    return readStage(op, tile, state);
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
  case Phase::Written:
    report(op) << "[U7] reads a tile that other threads wrote parts of; put a "
                  "unitile.barrier behind the unitile.write";
    break;
  case Phase::Ready:
    break;
  }
  state.reading.insert(tile);
}

void Checker::copy(CopyAsyncOp op, State &state) {
  Value tile = op.getTile();
  state.open.insert(tile);
  if (!isFollowed(tile))
    return;
  overwrite(op, tile, state);
  state.phases[tile] = Phase::InFlight;
}

/// Each stage has a barrier of its own, or the thread waits before it starts
/// the next copy.
void Checker::copy(TensorCopyOp op, State &state) { // [U35]
  int64_t stages = op.getTile().getType().getStages();
  int64_t barriers = op.getBarriers().getType().getCount();
  if (barriers >= stages || wrong.contains(op))
    return;
  for (Operation *next = op->getNextNode(); next; next = next->getNextNode())
    if (auto wait = dyn_cast<AwaitOp>(next))
      if (wait.getBarriers() == op.getBarriers())
        return;
  report(op) << "[U35] expected a barrier for each of the tile's " << stages
             << " stages, or a unitile.await behind the copy, got " << barriers;
}

void Checker::overwrite(Operation *op, Value tile, State &state) {
  if (state.reading.contains(tile) && !wrong.contains(op))
    report(op) << "[U8] overwrites a tile that other threads may still read; "
                  "put a unitile.barrier before it";
}

void Checker::write(WriteOp op, State &state) {
  Value tile = op.getTile();
  if (!isFollowed(tile))
    return;
  overwrite(op, tile, state);
  state.phases[tile] = Phase::Written;
}

/// Each warpgroup sends what its own threads wrote, and waits for them itself;
/// `unitile.tensor_store_wait` says when that may be overwritten.
void Checker::send(TensorStoreOp op, State &state) {
  Value tile = op.getTile();
  if (isFollowed(tile) && state.of(tile) == Phase::Written)
    return;
  bool wasReading = state.reading.contains(tile);
  read(op, tile, state);
  if (!wasReading)
    state.reading.remove(tile);
}

void Checker::wait(WaitOp op, State &state) {
  while (state.groups.size() > op.getGroups()) {
    auto group = state.groups.front();
    state.groups.erase(state.groups.begin());
    for (Value tile : group)
      if (state.of(tile) == Phase::InFlight && !state.copiesOf(tile))
        state.phases[tile] = Phase::Arrived;
  }
}

/// What is filled and what is read are told by their names.
void Checker::checkNames(Operation *op) { // [U32]
  if (!isa<UniTileDialect>(op->getDialect()) || wrong.contains(op))
    return;
  for (Value operand : op->getOperands())
    if (isa<SharedType, BarriersType>(operand.getType()) &&
        !hasOneName(operand)) {
      report(op) << "[U32] expected "
                 << (isa<SharedType>(operand.getType())
                         ? "a tile that unitile.alloc gives"
                         : "barriers that unitile.barriers gives")
                 << ", got what a loop or a branch hands on";
      return;
    }
}

State Checker::step(Operation *op, State state) {
  checkNames(op);
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](CopyAsyncOp op) { copy(op, state); })
      .Case([&](TensorCopyOp op) { copy(op, state); })
      .Case([&](AwaitOp op) { state.awaited.insert(op.getBarriers()); })
      .Case([&](TestOp op) { state.awaited.insert(op.getBarriers()); })
      .Case([&](CommitOp) {
        state.groups.push_back(state.open);
        state.open.clear();
      })
      .Case([&](WaitOp op) { wait(op, state); })
      .Case([&](BarrierOp) {
        for (auto &[tile, phase] : state.phases)
          if (phase == Phase::Arrived || phase == Phase::Written)
            phase = Phase::Ready;
        state.reading.clear();
      })
      .Case([&](LoadOp op) { read(op, op.getTile(), state); })
      .Case([&](MmaOp op) { read(op, op.getB(), state); })
      .Case([&](MmaStartOp op) {
        if (isa<SharedType>(op.getA().getType()))
          read(op, op.getA(), state);
        read(op, op.getB(), state);
      })
      .Case([&](WriteOp op) { write(op, state); })
      .Case([&](TensorStoreOp op) { send(op, state); });
  return op->getNumRegions() ? stepRegions(op, std::move(state)) : state;
}

/// Rounds of a loop that starts more copies in each than it waits for: more
/// groups than a tile has stages.
constexpr int kMostRounds = 16;

/// Branches are followed from the same start; a loop's body twice, as its
/// second run starts from what the first leaves, and while more copies come to
/// be in flight.
State Checker::stepRegions(Operation *op, State state) {
  if (auto branch = dyn_cast<scf::IfOp>(op)) {
    State taken = run(*branch.thenBlock(), state);
    State other = branch.elseBlock() ? run(*branch.elseBlock(), state) : state;
    return join(taken, other);
  }
  if (auto roles = dyn_cast<PartitionsOp>(op)) {
    // Neither has waited for what the other waits for.
    State producer = run(roles.getProducer().front(), state);
    return join(producer, run(roles.getConsumers().front(), state));
  }
  if (isa<MapOp>(op))
    return state;
  State once = state;
  size_t before = 0;
  for (int round = 0;
       round < 2 || (once.groups.size() > before && round < kMostRounds);
       ++round) {
    before = once.groups.size();
    for (Region &region : op->getRegions())
      for (Block &block : region)
        once = run(block, std::move(once));
  }
  return join(state, once);
}

} // namespace

LogicalResult unisparse::unitile::checkCopies(gpu::GPUFuncOp kernel) {
  Checker checker;
  State end;
  for (Block &block : kernel.getBody())
    end = checker.run(block, std::move(end));
  // [U9] A copy must not outlive the CTA whose memory it writes.
  if (!end.groups.empty() || !end.open.empty())
    return kernel.emitOpError("[U9] may end while copies are in flight; put a "
                              "unitile.wait 0 before the end");
  return failure(checker.failedAnywhere());
}
