// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Where threads part, those that must execute an op together may not all come
// by: a barrier waits for ever, a shuffle reads what is not there.
#include "Rules.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// The most threads that are sure to hold the same, or to go the same way.
enum class Group { Thread, Warp, Warpgroup, All };

StringRef nameOf(Group group) {
  constexpr StringLiteral names[] = {"thread", "warp", "warpgroup", "CTA"};
  return names[static_cast<int>(group)];
}

/// Who executes an op together.
Group togetherIn(Operation *op) {
  return llvm::TypeSwitch<Operation *, Group>(op)
      // Shuffles, votes, ldmatrix, stmatrix, mma.sync.
      .Case<LoadOp, MmaOp, ReduceOp, SumGroupsOp, AllBelowOp, BallotOp, WriteOp,
            MmaWaitOp, gpu::ShuffleOp, gpu::SubgroupReduceOp>(
          [](auto) { return Group::Warp; })
      // One lane arrives for its warp.
      .Case([](ArriveOp op) {
        return op.getByThread() ? Group::Thread : Group::Warp;
      })
      // wgmma; a warpgroup's own hardware barrier.
      .Case<MmaFenceOp, MmaStartOp, TensorStoreOp>(
          [](auto) { return Group::Warpgroup; })
      // Hardware barriers; what one thread or each a share does for all.
      .Case<BarrierOp, BarriersOp, CopyAsyncOp, TakeTurnOp, PassTurnOp,
            gpu::BarrierOp, gpu::AllReduceOp>([](auto) { return Group::All; })
      .Default([](Operation *op) {
        // By name, as the NVVM dialect is for the lowering to know.
        StringRef name = op->getName().getStringRef();
        bool votes = name.starts_with("nvvm.vote") ||
                     name.starts_with("nvvm.shfl") ||
                     name.starts_with("nvvm.redux");
        return votes ? Group::Warp : Group::Thread;
      });
}

/// `thread_id x`, of whatever width.
bool isThreadNumber(Value value) {
  Operation *op = value.getDefiningOp();
  while (isa_and_nonnull<arith::IndexCastOp, arith::IndexCastUIOp,
                         arith::ExtUIOp, arith::ExtSIOp, arith::TruncIOp>(op))
    op = op->getOperand(0).getDefiningOp();
  if (auto id = dyn_cast_or_null<gpu::ThreadIdOp>(op))
    return id.getDimension() == gpu::Dimension::x;
  return op && op->getName().getStringRef() == "nvvm.read.ptx.sreg.tid.x";
}

/// Whose number `n` thread numbers in a row begin with.
Group ofMultiple(const APInt &n) {
  if (n.isZero())
    return Group::All;
  return n.urem(128) == 0  ? Group::Warpgroup
         : n.urem(32) == 0 ? Group::Warp
                           : Group::Thread;
}

/// The bits by which lanes may differ and still hold the same of `x`: each step
/// `x = combine(x, shuffle xor(x, bit))` of a reduction over a warp adds one.
unsigned reducedBits(Value x) {
  Operation *op = x.getDefiningOp();
  if (!op || op->getNumOperands() != 2 ||
      !op->hasTrait<OpTrait::IsCommutative>())
    return 0;
  for (unsigned i : {0, 1}) {
    Value own = op->getOperand(1 - i);
    auto other = op->getOperand(i).getDefiningOp<gpu::ShuffleOp>();
    APInt distance, width;
    if (other && other.getMode() == gpu::ShuffleMode::XOR &&
        other.getValue() == own &&
        matchPattern(other.getOffset(), m_ConstantInt(&distance)) &&
        matchPattern(other.getWidth(), m_ConstantInt(&width)) && width == 32)
      return distance.getZExtValue() | reducedBits(own);
  }
  return 0;
}

/// What an op's results are alike in where its operands are so in `group`:
/// numbers of warps, and parts of the threads that end with a warp, are more.
Group resultOf(Operation *op, Group group) {
  APInt n;
  if (auto div = dyn_cast<arith::DivUIOp>(op))
    if (isThreadNumber(div.getLhs()) &&
        matchPattern(div.getRhs(), m_ConstantInt(&n)))
      return std::max(group, n.isZero() ? group : ofMultiple(n));
  if (auto shift = dyn_cast<arith::ShRUIOp>(op))
    if (isThreadNumber(shift.getLhs()) &&
        matchPattern(shift.getRhs(), m_ConstantInt(&n)))
      return std::max(group, n.uge(7)   ? Group::Warpgroup
                             : n.uge(5) ? Group::Warp
                                        : Group::Thread);
  using P = arith::CmpIPredicate;
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    if (isThreadNumber(compare.getLhs()) &&
        matchPattern(compare.getRhs(), m_ConstantInt(&n)) &&
        llvm::is_contained({P::ult, P::slt, P::uge, P::sge},
                           compare.getPredicate()))
      return std::max(group, ofMultiple(n));
  if (isa<AllBelowOp, BallotOp, gpu::SubgroupReduceOp>(op) ||
      (op->getNumResults() == 1 && reducedBits(op->getResult(0)) == 31))
    return std::max(group, Group::Warp);
  return isa<gpu::AllReduceOp>(op) ? Group::All : group;
}

/// Ops whose results differ of themselves.
Group ofSource(Operation *op) {
  if (isa<gpu::ThreadIdOp, gpu::LaneIdOp, gpu::GlobalIdOp, gpu::ShuffleOp,
          TestOp, LLVM::AtomicRMWOp, LLVM::AtomicCmpXchgOp, memref::AtomicRMWOp,
          memref::GenericAtomicRMWOp>(op))
    return Group::Thread;
  if (isa<gpu::SubgroupIdOp, AllBelowOp, BallotOp>(op))
    return Group::Warp;
  // By name, as the NVVM dialect is for the lowering to know.
  StringRef name = op->getName().getStringRef();
  if (name.consume_front("nvvm.read.ptx.sreg."))
    return name.starts_with("tid.") || name.starts_with("lane") ? Group::Thread
           : name == "warpid"                                   ? Group::Warp
                                                                : Group::All;
  bool asks = name.starts_with("nvvm.elect") || name.starts_with("nvvm.shfl") ||
              name.starts_with("nvvm.match");
  return asks ? Group::Thread : Group::All;
}

/// The values that may differ between threads: a forward slice of what tells
/// threads apart, through operands, loops and branches; not through memory.
class Values {
public:
  explicit Values(gpu::GPUFuncOp kernel) {
    kernel.walk([&](Operation *op) { lower(op->getResults(), ofSource(op)); });
    while (!changed.empty()) {
      Value value = changed.pop_back_val();
      for (OpOperand &use : value.getUses())
        follow(use, of(value));
    }
  }

  Group of(Value value) const {
    auto it = groups.find(value);
    return it == groups.end() ? Group::All : it->second;
  }
  Group of(ValueRange values) const {
    Group least = Group::All;
    for (Value value : values)
      least = std::min(least, of(value));
    return least;
  }

private:
  void lower(ValueRange values, Group group) {
    for (Value value : values)
      if (group < of(value)) {
        groups[value] = group;
        changed.push_back(value);
      }
  }
  void follow(OpOperand &use, Group group);
  void followTerminator(OpOperand &use, Group group);

  llvm::DenseMap<Value, Group> groups;
  SmallVector<Value> changed;
};

void Values::follow(OpOperand &use, Group group) {
  Operation *op = use.getOwner();
  if (op->hasTrait<OpTrait::IsTerminator>())
    return followTerminator(use, group);
  if (auto loop = dyn_cast<scf::ForOp>(op)) {
    if (BlockArgument carried = loop.getTiedLoopRegionIterArg(&use))
      return lower({carried, loop.getTiedLoopResult(&use)}, group);
    // Each goes round as often as its bounds say.
    lower(loop.getInductionVar(), group);
  } else if (auto loop = dyn_cast<scf::WhileOp>(op)) {
    return lower(loop.getBeforeArguments()[use.getOperandNumber()], group);
  }
  lower(op->getResults(), resultOf(op, group));
}

void Values::followTerminator(OpOperand &use, Group group) {
  Operation *op = use.getOwner(), *parent = op->getParentOp();
  unsigned i = use.getOperandNumber();
  if (auto branch = dyn_cast<BranchOpInterface>(op)) {
    if (std::optional<BlockArgument> to = branch.getSuccessorBlockArgument(i))
      lower(*to, group);
  } else if (isa<scf::ConditionOp>(op)) {
    auto loop = cast<scf::WhileOp>(parent);
    if (i == 0)
      return lower(loop.getResults(), group);
    lower({loop.getAfterArguments()[i - 1], loop.getResult(i - 1)}, group);
  } else if (auto loop = dyn_cast<scf::WhileOp>(parent)) {
    lower(loop.getBeforeArguments()[i], group);
  } else if (auto loop = dyn_cast<scf::ForOp>(parent)) {
    lower({loop.getRegionIterArg(i), loop.getResult(i)}, group);
  } else if (i < parent->getNumResults()) {
    lower(parent->getResult(i), group);
  }
}

/// The threads that go the same way into and round the regions of `op`.
Group wayInto(Operation *op, const Values &values) {
  return llvm::TypeSwitch<Operation *, Group>(op)
      .Case([&](scf::IfOp op) { return values.of(op.getCondition()); })
      .Case([&](scf::IndexSwitchOp op) { return values.of(op.getArg()); })
      .Case([&](scf::WhileOp op) {
        return values.of(op.getConditionOp().getCondition());
      })
      .Case([&](scf::ForOp op) {
        return values.of(
            ValueRange{op.getLowerBound(), op.getUpperBound(), op.getStep()});
      })
      .Case([](gpu::WarpExecuteOnLane0Op) { return Group::Thread; })
      .Default([](Operation *) { return Group::All; });
}

/// Branches between blocks are not followed back to where threads meet again.
Group wayAmongBlocks(gpu::GPUFuncOp kernel, const Values &values) {
  Group way = Group::All;
  for (Block &block : kernel.getBody())
    if (block.getNumSuccessors() > 1)
      way = std::min(way, values.of(block.getTerminator()->getOperand(0)));
  return way;
}

InFlightDiagnostic expectTogether(Operation *op, Group together) {
  return op->emitOpError("[U33] expected all threads of a ")
         << nameOf(together) << " to come by together, got ";
}

/// The producer is one thread; the consumers are not all.
LogicalResult checkRole(Operation *op, Group together, PartitionsOp roles) {
  auto barrier = dyn_cast<BarrierOp>(op);
  bool ofConsumers = barrier && barrier.getConsumers();
  if (!roles) {
    if (ofConsumers)
      return op->emitOpError("[U33] expected a barrier of consumers in the "
                             "consumers' region of unitile.partitions");
    return success();
  }
  if (roles.getProducer().isAncestor(op->getParentRegion()))
    return expectTogether(op, together)
           << "the one thread that is unitile.partitions' producer";
  if (isa<BarriersOp, gpu::BarrierOp>(op) || (barrier && !ofConsumers))
    return expectTogether(op, together)
           << "unitile.partitions' consumers alone";
  return success();
}

} // namespace

LogicalResult unisparse::unitile::checkTogether(gpu::GPUFuncOp kernel) {
  Values values(kernel);
  Group among = wayAmongBlocks(kernel, values);
  WalkResult result = kernel.walk([&](Operation *op) {
    Group together = togetherIn(op);
    if (together == Group::Thread)
      return WalkResult::advance();
    Operation *inner = op;
    for (Operation *around = op->getParentOp(); around != kernel;
         inner = around, around = around->getParentOp()) {
      Group way = wayInto(around, values);
      if (way >= together)
        continue;
      expectTogether(op, together)
          << around->getName() << " that may differ between " << nameOf(way)
          << "s";
      return WalkResult::interrupt();
    }
    if (among < together && !inner->getBlock()->isEntryBlock()) {
      expectTogether(op, together)
          << "a branch that may differ between " << nameOf(among) << "s";
      return WalkResult::interrupt();
    }
    if (failed(checkRole(op, together, op->getParentOfType<PartitionsOp>())))
      return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}
