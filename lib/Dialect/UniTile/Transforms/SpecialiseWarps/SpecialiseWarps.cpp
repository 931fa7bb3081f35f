// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The pass, the kernel's frame and its launch.
#include "../PageRules.h"
#include "../SharedLayout.h"
#include "../Workers.h"
#include "SpecialisedKernel.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "unisparse/Dialect/UniTile/Utils/SpecialisedMemory.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILESPECIALISEWARPS
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace unisparse;

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

/// [head_dim, length, heads, batch] in boxes of 64 columns and `rows` rows, on
/// the host.
static Value tensorMap(PageBuilder &p, Value memref, int64_t rows) {
  ImplicitLocOpBuilder &b = p.b;
  auto type = cast<MemRefType>(memref.getType());
  auto index = [&](int64_t i) -> Value {
    return arith::ConstantIndexOp::create(b, i);
  };
  SmallVector<Value> sizes, strides;
  // A map has no empty dimensions; what is behind the keys is masked.
  for (int64_t i : {3, 2, 1, 0})
    sizes.push_back(b.createOrFold<arith::MaxUIOp>(
        b.createOrFold<memref::DimOp>(memref, i), index(1)));
  int64_t bytes = type.getElementTypeBitWidth() / 8;
  for (int64_t i : {2, 1, 0})
    strides.push_back(b.createOrFold<arith::MulIOp>(
        KernelViews::hostStride(p, memref, i), index(bytes)));
  return TensorMapOp::create(b, LLVM::LLVMPointerType::get(b.getContext()),
                             KernelViews::hostAddress(p, memref), sizes,
                             strides, b.getDenseI64ArrayAttr({64, rows, 1, 1}),
                             type.getElementType());
}

Value SpecialisedKernel::takeMap(Value memref, int64_t rows) {
  return views.take(
      LLVM::LLVMPointerType::get(b.getContext()),
      [&](PageBuilder &p, gpu::LaunchFuncOp, Value passed) {
        return tensorMap(p, passed, rows);
      },
      memref);
}

/// A word that is 0 when the kernel starts, on the host.
static Value clearedWord(PageBuilder &p) {
  ImplicitLocOpBuilder &b = p.b;
  auto type = MemRefType::get({1}, b.getI32Type());
  Value word = gpu::AllocOp::create(b, type, /*asyncToken=*/Type(),
                                    ValueRange{}, ValueRange{}, ValueRange{})
                   .getMemref();
  gpu::MemsetOp::create(b, /*asyncToken=*/Type(), ValueRange{}, word, p.i32(0));
  return KernelViews::hostAddress(p, word);
}

void SpecialisedKernel::takeArguments() {
  Type i32Type = b.getI32Type();
  mapQ = takeMap(parts.queries.getSource(), blockQ);
  mapK = takeMap(parts.keys.getSource(), keyRows);
  if (parts.hasValues()) {
    mapV = takeMap(parts.values.getSource(), keyRows);
    mapO = takeMap(result.getTarget(), 64);
  }
  auto counterOf = [](PageBuilder &p, gpu::LaunchFuncOp, Value) {
    return clearedWord(p);
  };
  counter =
      named("counter", views.take(LLVM::LLVMPointerType::get(b.getContext(), 1),
                                  counterOf));
  auto i32Of = [](PageBuilder &p, Value index) {
    return p.b.createOrFold<arith::IndexCastOp>(p.b.getI32Type(), index);
  };
  gridX = named(
      "grid_x",
      views.take(i32Type, [&](PageBuilder &p, gpu::LaunchFuncOp launch, Value) {
        return i32Of(p, launch.getGridSizeX());
      }));
  bool oneDeep = llvm::all_of(views.launches, [](gpu::LaunchFuncOp launch) {
    return matchPattern(launch.getGridSizeZ(), m_One());
  });
  if (!oneDeep)
    gridZ = named("grid_z",
                  views.take(i32Type, [&](PageBuilder &p,
                                          gpu::LaunchFuncOp launch, Value) {
                    return i32Of(p, launch.getGridSizeZ());
                  }));
  allKeys =
      named("all_keys",
            views.take(
                i32Type,
                [&](PageBuilder &p, gpu::LaunchFuncOp, Value memref) {
                  return i32Of(p, p.b.createOrFold<memref::DimOp>(memref, 2));
                },
                parts.keys.getSource()));
  if (!turns())
    return;
  // CTAs that share a KV head walk it together.
  itemsOfWave = named(
      "wave_items",
      views.take(i32Type, [&](PageBuilder &p, gpu::LaunchFuncOp, Value) {
        auto index = [&](int64_t i) -> Value {
          return arith::ConstantIndexOp::create(p.b, i);
        };
        Value together = p.b.createOrFold<arith::DivUIOp>(
            MultiprocessorsOp::create(p.b), index(group));
        return i32Of(p, p.b.createOrFold<arith::MaxUIOp>(together, index(1)));
      }));
}

void SpecialisedKernel::reserveShared() {
  MLIRContext *context = b.getContext();
  SpecialisedMemory memory{element,
                           blockQ,
                           keyRows,
                           depth(),
                           parts.hasValues() ? valueDim : 0,
                           schedule.getStages(),
                           schedule.getCluster(),
                           isPacked(),
                           places() * words()};
  llvm::StringMap<Value> pieces;
  for (const SpecialisedMemory::Tile &t : memory.tiles())
    pieces[t.name] = named(
        t.name,
        AllocOp::create(
            b, SharedType::get(context, t.rows, t.columns, element, t.stages),
            IntegerAttr()));
  for (const SpecialisedMemory::Barriers &x : memory.barriers())
    pieces[x.name] =
        named(x.name, BarriersOp::create(b, BarriersType::get(context, x.count),
                                         IntegerAttr(), x.arrivals));
  queries = pieces.lookup("queries"), keys = pieces.lookup("keys");
  values = pieces.lookup("values"), outputs = pieces.lookup("outputs");
  if (!outputs)
    outputs = queries;
  fullK = pieces.lookup("full_k"), emptyK = pieces.lookup("empty_k");
  fullV = pieces.lookup("full_v"), emptyV = pieces.lookup("empty_v");
  fullQ = pieces.lookup("full_q"), emptyQ = pieces.lookup("empty_q");
  emptyOtherQ = pieces.lookup("empty_other_q");
  fullTail = pieces.lookup("full_tail");
  auto pointer = LLVM::LLVMPointerType::get(context, 3);
  itemWords =
      named("item", WordsOp::create(b, pointer, IntegerAttr(), memory.words));
  BarrierOp::create(b, inCluster());
}

void SpecialisedKernel::build() {
  gpu::GPUFuncOp kernel = views.kernel;
  kernel.setKnownBlockSize(
      ArrayRef<int32_t>{static_cast<int32_t>(threads()), 1, 1});
  // Registers move between roles only where the number at the start is known.
  kernel->setAttr("nvvm.minctasm", b.getI32IntegerAttr(schedule.getCtas()));
  if (inCluster())
    kernel.setKnownClusterSize(
        ArrayRef<int32_t>{static_cast<int32_t>(schedule.getCluster()), 1, 1});
  takeArguments();
  // Behind the page, which goes once all has been taken from it.
  b.setInsertionPoint(front().front().getTerminator());
  reserveShared();
  auto roles = PartitionsOp::create(
      b, b.getI32IntegerAttr(schedule.getProducerRegisters()),
      b.getI32IntegerAttr(schedule.getConsumerRegisters()));
  {
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(&roles.getProducer().emplaceBlock());
    produce();
    b.setInsertionPointToStart(&roles.getConsumers().emplaceBlock());
    consume();
  }
  // The other CTA may still arrive at this one's barriers.
  if (inCluster())
    BarrierOp::create(b, true);
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct SpecialiseWarps
    : unisparse::impl::UniTileSpecialiseWarpsBase<SpecialiseWarps> {
  void runOnOperation() override {
    auto pages = pagesScheduledBy(
        getOperation(), [](gpu::GPUFuncOp kernel, Attribute schedule) {
          return isa<ScheduleAttr>(schedule) && hasWalk(kernel);
        });
    for (KernelViews &page : pages)
      if (failed(lower(page)))
        return signalPassFailure();
  }

  LogicalResult lower(KernelViews &page) {
    if (failed(verifyPlace(page.kernel)) || failed(verifyMemory(page.kernel)))
      return failure();
    auto schedule = cast<ScheduleAttr>(page.kernel->getAttr(kScheduleAttr));
    SmallVector<WalkOp> walks;
    page.kernel.walk([&](WalkOp walk) { walks.push_back(walk); });
    if (walks.size() != 1)
      return page.kernel.emitOpError("expected one unitile.walk in a kernel "
                                     "to be warp-specialised, got ")
             << walks.size();
    for (int64_t number :
         {schedule.getStages(), schedule.getKeys(), schedule.getCtas(),
          schedule.getCluster(), schedule.getProducerRegisters(),
          schedule.getConsumerRegisters()})
      if (!number)
        return page.kernel.emitOpError("expected a schedule whose numbers are "
                                       "decided (unisparse-select-schedule), "
                                       "got ")
               << schedule;
    FailureOr<WalkParts> parts = WalkParts::of(walks.front());
    if (failed(parts))
      return failure();
    FailureOr<BlockArgument> memory = workersMemory(page.kernel);
    SpecialisedKernel kernel(page, *parts, schedule);
    if (failed(memory) || failed(kernel.verify()))
      return failure();
    // Before the memrefs go.
    SmallVector<Value> ctas;
    for (gpu::LaunchFuncOp launch : page.launches)
      ctas.push_back(numberOfCtas(launch, schedule, *memory));
    SmallVector<Operation *> old;
    for (Operation &op : page.kernel.getBody().front().without_terminator())
      old.push_back(&op);
    kernel.build();
    for (Operation *op : llvm::reverse(old))
      if (op->use_empty() || isa<WalkOp, scf::IfOp>(op))
        op->erase();
    if (failed(page.lowerAccesses()) || failed(page.finish()))
      return failure();
    for (Value map : kernel.maps())
      page.kernel.setArgAttr(cast<BlockArgument>(map).getArgNumber(),
                             kTensorMapAttr, UnitAttr::get(&getContext()));
    for (auto [launch, number] : llvm::zip_equal(page.launches, ctas))
      setLaunch(launch, kernel, number, page.kernel);
    return success();
  }

  static Value index(PageBuilder &p, int64_t i) {
    return arith::ConstantIndexOp::create(p.b, i);
  }

  /// As many as have memory of their own. Else no more than there are work
  /// items, none at all for none; both are whole clusters, as heads are.
  Value numberOfCtas(gpu::LaunchFuncOp launch, ScheduleAttr schedule,
                     BlockArgument memory) {
    PageBuilder p(launch.getLoc(), OpBuilder(launch));
    if (memory)
      return partsOf(p, launch, memory);
    auto times = [&](Value x, Value y) {
      return p.b.createOrFold<arith::MulIOp>(x, y);
    };
    Value items = times(times(launch.getGridSizeX(), launch.getGridSizeZ()),
                        launch.getGridSizeY());
    // CTAs beyond the work items end at once, CTAs beyond what runs together
    // come late and find nothing left.
    Value most =
        times(MultiprocessorsOp::create(p.b), index(p, schedule.getCtas()));
    return p.b.createOrFold<arith::MinUIOp>(items, most);
  }

  void setLaunch(gpu::LaunchFuncOp launch, SpecialisedKernel &kernel,
                 Value ctas, gpu::GPUFuncOp function) {
    PageBuilder p(launch.getLoc(), OpBuilder(launch));
    launch.getGridSizeXMutable().assign(ctas);
    launch.getGridSizeYMutable().assign(index(p, 1));
    launch.getGridSizeZMutable().assign(index(p, 1));
    launch.getBlockSizeXMutable().assign(index(p, kernel.threads()));
    launch.getDynamicSharedMemorySizeMutable().assign(
        p.i32(sharedBytesOf(function)));
  }
};
} // namespace
