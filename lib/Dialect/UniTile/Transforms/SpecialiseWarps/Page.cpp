// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What the partitions take from the page: its values for a work item, and what
// a page may not do here.
#include "SpecialisedKernel.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/SetVector.h"

using namespace unisparse;

SpecialisedKernel::SpecialisedKernel(KernelViews &views, WalkParts &parts,
                                     ScheduleAttr schedule)
    : PageBuilder(parts.walk.getLoc(),
                  OpBuilder::atBlockBegin(&views.kernel.getBody().front())),
      views(views), parts(parts), schedule(schedule),
      guard(dyn_cast<scf::IfOp>(parts.walk->getParentOp())),
      blockQ(parts.rows()), keyRows(parts.keyRows()),
      group(parts.walk.getGroup()) {
  auto q = parts.queries.getSource().getType();
  headDim = q.getDimSize(3);
  heads = q.getDimSize(1);
  valueDim =
      parts.hasValues() ? parts.values.getSource().getType().getDimSize(3) : 0;
  element = q.getElementType();
  views.kernel.walk([&](LocateOp op) { locate = op; });
  parts.walk.getFinish().walk([&](PutOp op) {
    if (op.getTarget().getType().getRank() == 4)
      result = op;
  });
}

/// Whether `value` is computed from `argument` by more than what is in `stop`.
static bool dependsOn(Value value, Value argument, ArrayRef<Value> stop) {
  if (value == argument)
    return true;
  Operation *op = value.getDefiningOp();
  if (!op || llvm::is_contained(stop, value))
    return false;
  bool depends = false;
  op->walk([&](Operation *inner) {
    for (Value operand : inner->getOperands())
      depends |= dependsOn(operand, argument, stop);
  });
  return depends;
}

/// That nothing of the page goes missing: partitions take what the walk and its
/// writes are computed from, and only that.
LogicalResult SpecialisedKernel::verifyWhole() {
  Operation *top = guard ? guard.getOperation() : parts.walk.getOperation();
  if (top->getBlock() != &front().front() || top->getNumResults() ||
      (guard && guard.elseBlock()))
    return parts.walk.emitOpError("expected a walk that every item has, or one "
                                  "with rows, for a warp-specialised kernel");
  WalkResult result = views.kernel.getBody().walk([&](Operation *op) {
    Region *region = op->getParentRegion();
    bool isPut = isa<PutOp>(op) && region == &parts.walk.getFinish();
    // A walk without values also keeps what it finds, and makes something of it
    // in the end, by all its threads.
    if (!parts.hasValues()) {
      isPut |= isa<PutOp>(op) && region == &parts.walk.getUpdate();
      auto loop = op->getParentOfType<scf::ParallelOp>();
      isPut |= isa<memref::StoreOp>(op) && loop &&
               loop->getParentRegion() == &parts.walk.getFinish();
    }
    if (isPut || op->getNumRegions() || op->hasTrait<OpTrait::IsTerminator>())
      return WalkResult::advance();
    if (isa<gpu::GridDimOp>(op) ||
        !(isMemoryEffectFree(op) || hasSingleEffect<MemoryEffects::Read>(op))) {
      op->emitOpError("expected a page that writes in finish alone and does "
                      "not ask for the grid's size, to be warp-specialised");
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult SpecialisedKernel::verify() {
  if (failed(verifyWhole()))
    return failure();
  auto expected = [&](const char *what) {
    return parts.walk.emitOpError("expected ")
           << what << " for a warp-specialised kernel";
  };
  Region &update = parts.walk.getUpdate();
  for (Operation &op : update.getOps())
    if (op.getNumResults() && !isa<SoftmaxOp, SoftmaxSumsOp, DotOp>(op) &&
        llvm::any_of(op.getResultTypes(),
                     llvm::IsaPred<FragmentType, RowsType>))
      return expected("an update of a softmax and a product alone");
  auto isMatrix = [](PutOp op) {
    return op.getTarget().getType().getRank() == 4;
  };
  if (parts.hasValues() &&
      llvm::count_if(parts.walk.getFinish().getOps<PutOp>(), isMatrix) != 1)
    return expected("a finish that writes one matrix");
  for (FetchOp fetch : {parts.keys, parts.values}) {
    if (!fetch)
      continue;
    Region &region = *fetch->getParentRegion();
    Value limit = region.front().getArgument(&region == &update ? 2 : 1);
    if (!dependsOn(fetch.getLimit(), limit, {}))
      return expected("tiles that end where the walk's keys do");
  }
  if (!parts.hasValues() && (locate || guard || schedule.getCluster() > 1))
    return expected(
        "a page of one sequence, without a guard and a cluster, for "
        "a walk without values,");
  if (isa<scf::ForOp>(parts.walk->getParentOp()))
    return expected("a walk that no loop repeats,");
  if (parts.keys.getTake() || parts.queries.getTake())
    return expected("tiles whose rows are neighbours in memory");
  Value n = parts.walk.getBlock().getArgument(0);
  if (dependsOn(limit(), n, {}))
    return expected("tiles that end alike: a block of whole key tiles");
  Region &score = parts.walk.getScore(), &mask = parts.walk.getMask();
  auto yielded = [](Region &region) {
    return region.front().getTerminator()->getOperand(0);
  };
  SmallVector<Value> known{parts.scores.getResult()};
  usesKeys = dependsOn(yielded(score), score.getArgument(0), known);
  if (parts.mask) {
    for (Value operand : {parts.mask.getLimit(), parts.mask.getPosition(),
                          parts.mask.getFrom()})
      if (operand && dependsOn(operand, mask.getArgument(1), {}))
        return expected("a mask whose limit and position are those of all "
                        "tiles");
    if (parts.mask.getKey() != mask.getArgument(1))
      return expected("a mask of the tile's keys");
    usesKeys |= dependsOn(parts.mask.getScores(), mask.getArgument(1), known);
    known.push_back(parts.mask.getResult());
  }
  usesKeys |= dependsOn(yielded(mask), mask.getArgument(1), known);
  collectLeaves();
  return success();
}

/// What consumers use of what the page reads from memory: the producer reads
/// it, and passes it on.
void SpecialisedKernel::collectLeaves() {
  llvm::SetVector<Value> found;
  llvm::DenseSet<Value> seen;
  auto visit = [&](auto &self, Value value) -> void {
    Operation *op = value.getDefiningOp();
    if (!op || !seen.insert(value).second || op == parts.scores ||
        op == parts.queries)
      return;
    if (!parts.walk->isProperAncestor(op) && !isPure(op) &&
        !isa<gpu::BlockIdOp>(op)) {
      found.insert(value);
      return;
    }
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        self(self, operand);
    });
  };
  for (Region *region :
       {&parts.walk.getBlock(), &parts.walk.getMask(), &parts.walk.getFinish()})
    region->walk([&](Operation *op) {
      for (Value operand : op->getOperands())
        visit(visit, operand);
    });
  visit(visit, parts.walk.getScore().front().getTerminator()->getOperand(0));
  leaves.assign(found.begin(), found.end());
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

IRMapping SpecialisedKernel::pageAt(Value x, Value batchHead,
                                    ValueRange given) {
  IRMapping page;
  Value head = rem(batchHead, heads), batch = div(batchHead, heads);
  views.kernel.walk([&](gpu::BlockIdOp id) {
    if (id->getParentRegion() != &front())
      return;
    Value of = id.getDimension() == gpu::Dimension::x   ? x
               : id.getDimension() == gpu::Dimension::y ? head
                                                        : batch;
    if (!of || page.contains(id.getResult()))
      return;
    page.map(id.getResult(),
             arith::IndexCastOp::create(b, b.getIndexType(), of));
    for (Operation *user : id->getUsers())
      if (auto cast = dyn_cast<arith::IndexCastOp>(user))
        if (cast.getType().isInteger(32))
          page.map(cast.getResult(), of);
  });
  if (!given.empty())
    page.map(leaves, given);
  views.kernel.walk([&](WorkerOp op) {
    if (!page.contains(op.getWorker()))
      page.map(op.getWorker(), blockId(gpu::Dimension::x));
  });
  return page;
}

Value SpecialisedKernel::from(const IRMapping &page, Value value) {
  RegionCloner cloner(*this);
  cloner.mapping = page;
  return cloner.slice(value, front());
}

IRMapping SpecialisedKernel::inRegion(const Item &item, Region &region,
                                      Value key, Value scores) {
  IRMapping page = pageOf(item);
  unsigned i = isa<FragmentType>(region.getArgument(0).getType()) ? 1 : 0;
  if (scores)
    page.map(region.getArgument(0), scores);
  if (key)
    page.map(region.getArgument(i), key);
  page.map(region.getArgument(i + 1), limitOf(item));
  return page;
}

Value SpecialisedKernel::rowOf(FetchOp fetch, const Item &item, Value key) {
  Region &region = *fetch->getParentRegion();
  return from(inRegion(item, region, key), fetch.getRow());
}

SmallVector<Value> SpecialisedKernel::matrixOf(FetchOp fetch, Value batchHead) {
  IRMapping page = pageAt(Value(), batchHead);
  return {from(page, fetch.getHead()), from(page, fetch.getBatch())};
}

Value SpecialisedKernel::keyOf(const Item &item, Value n) {
  IRMapping page = pageOf(item);
  Region &block = parts.walk.getBlock();
  page.map(block.getArgument(0), n);
  return from(page, block.front().getTerminator()->getOperand(0));
}
