// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "HopperPage.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

//===----------------------------------------------------------------------===//
// The schedule
//===----------------------------------------------------------------------===//

/// Registers of a multiprocessor.
static constexpr int64_t kRegisters = 64 * 1024;
/// Shared memory that every block takes beyond what it asks for.
static constexpr int64_t kReservedBytes = 1024;
/// The producer's single thread needs few registers; with 32 it would spill.
static constexpr int64_t kProducerRegisters = 40;
/// More pairs of tiles in flight gained nothing; two cost 1.4 to 2.7%.
static constexpr int64_t kMostStages = 3;

static int64_t tileBytes(const AttendSpec &s, int64_t rows, int64_t columns) {
  auto type = SharedType::get(s.element.getContext(), rows, columns, s.element,
                              /*stages=*/1);
  return llvm::alignTo(type.getBytes(), 1024);
}

/// Shared memory of a block with so many stages.
static int64_t sharedBytesOf(const AttendSpec &s, int64_t stages) {
  int64_t bytes = tileBytes(s, s.blockQ, s.headDim);
  if (s.headDim != s.valueDim)
    bytes += tileBytes(s, s.blockQ, s.valueDim);
  bytes += stages * (tileBytes(s, s.blockK, s.headDim) +
                     tileBytes(s, s.blockK, s.valueDim));
  // Two full and two empty barriers a stage, two of the queries, one of tiles
  // to clear; the words.
  return llvm::alignTo(bytes + 8 * (4 * stages + 2 + s.packed), 16) +
         4 * (s.packed ? 2 * 9 : 5);
}

int64_t HopperSchedule::sharedBytes(const AttendSpec &s) const {
  return sharedBytesOf(s, attr.getStages());
}

/// The most stages with which so many blocks share a multiprocessor.
static int64_t stagesThatFit(const AttendSpec &s, int64_t blocks,
                             int64_t sharedBytes) {
  int64_t each = (sharedBytes + kReservedBytes) / blocks - kReservedBytes;
  int64_t stages = kMostStages;
  while (stages > 0 && sharedBytesOf(s, stages) > each)
    --stages;
  return stages;
}

FailureOr<HopperSchedule>
unisparse::hopperScheduleOf(const AttendSpec &s, ScheduleAttr asked,
                            int64_t sharedBytes,
                            function_ref<InFlightDiagnostic()> emitError) {
  MLIRContext *context = s.element.getContext();
  if (!asked)
    asked = ScheduleAttr::get(context, 0, 0, 0, 0, Reference::Speculative,
                              /*overlap=*/true, /*turns=*/false);
  int64_t groups = s.blockQ / HopperSchedule::rowsPerGroup;
  if (s.blockQ % HopperSchedule::rowsPerGroup || groups > 2)
    return emitError() << "expected query blocks of 64 or 128 rows, got "
                       << s.blockQ;
  if (asked.getTurns() && groups != 2)
    return emitError() << "expected query blocks of 128 rows for turns, got "
                       << s.blockQ;
  // One warpgroup of consumers leaves the tensor cores idle in its softmax:
  // then two blocks share a multiprocessor, where they fit.
  int64_t blocks = asked.getBlocks();
  if (!blocks)
    blocks = groups == 1 && stagesThatFit(s, 2, sharedBytes) >= 2 ? 2 : 1;
  int64_t fit = stagesThatFit(s, blocks, sharedBytes);
  int64_t stages = asked.getStages() ? asked.getStages() : fit;
  if (stages < 2 || stages > fit)
    return emitError() << "expected 2 to " << fit
                       << " stages, as many as fit shared memory, got "
                       << stages;
  // What the producer leaves goes to the consumers; a thread has 255 at most.
  int64_t producer = asked.getProducerRegisters(),
          consumer = asked.getConsumerRegisters();
  if (!producer)
    producer = kProducerRegisters;
  if (!consumer)
    consumer = std::min<int64_t>(240, (kRegisters / 128 / blocks - producer) /
                                          groups / 8 * 8);
  if ((producer + groups * consumer) * 128 * blocks > kRegisters)
    return emitError() << "expected registers that fit a multiprocessor's "
                       << kRegisters << ", got "
                       << (producer + groups * consumer) * 128 * blocks;
  return HopperSchedule{ScheduleAttr::get(
      context, stages, blocks, producer, consumer, asked.getReference(),
      asked.getOverlap(), asked.getTurns())};
}

//===----------------------------------------------------------------------===//
// The page
//===----------------------------------------------------------------------===//

Cursor HopperPage::next(Cursor c) {
  Value slot = add(c.slot, i32(1));
  Value wraps =
      compare(arith::CmpIPredicate::eq, slot, i32(schedule.getStages()));
  Value turn = arith::ExtUIOp::create(b, b.getI32Type(), wraps);
  return {select(wraps, i32(0), slot),
          arith::XOrIOp::create(b, c.parity, turn)};
}

Value HopperPage::selectionRow(const RowInfo &row) {
  return add(mul(div(row.batchHead, i32(s.selectionGroup)), slots), row.slot);
}

Value HopperPage::blockCount(const RowInfo &row, Value selectionRow) {
  if (s.hasSelection)
    return loadI32(counts, selectionRow);
  Value end = row.kLength;
  if (s.causal)
    end = min(add(firstPosition(row), i32(s.blockQ)), end);
  return div(add(end, i32(s.blockK - 1)), i32(s.blockK));
}

Value HopperPage::blockNumber(Value selectionRow, Value n) {
  if (!s.hasSelection)
    return n;
  Value first = arith::MulIOp::create(b, i64(selectionRow), i64(keyBlocks));
  return loadI32(indices, arith::AddIOp::create(b, first, i64(n)));
}

void HopperPage::takeArguments(gpu::GPUFuncOp kernel) {
  for (int i = 0; i < 4; ++i)
    kernel.setArgAttr(i, kTensorMapAttr, b.getUnitAttr());
  auto argument = kernel.getArguments().begin();
  auto take = [&](StringRef name, bool present = true) {
    return present ? named(name, *argument++) : Value();
  };
  mapQ = take("q"), mapK = take("k"), mapV = take("v"), mapO = take("o");
  o = take("output", s.packed);
  lse = take("lse", s.hasLse);
  counts = take("counts", s.hasSelection);
  indices = take("indices", s.hasSelection);
  cuQ = take("cu_q", s.packed), cuK = take("cu_k", s.packed);
  counter = take("counter");
  lq = take("lq"), lk = take("lk"), slots = take("slots");
  keyBlocks = take("key_blocks");
  if (s.packed)
    sequences = take("sequences");
  else
    batch = take("batch");
}

void HopperPage::reserveShared() {
  MLIRContext *context = b.getContext();
  auto tile = [&](StringRef name, int64_t rows, int64_t columns,
                  int64_t stages) {
    auto type = SharedType::get(context, rows, columns, s.element, stages);
    return named(name, AllocOp::create(b, type, IntegerAttr()));
  };
  auto barriers = [&](StringRef name, int64_t count, int64_t arrivals) {
    auto type = BarriersType::get(context, count);
    return named(name, BarriersOp::create(b, type, IntegerAttr(), arrivals));
  };
  int64_t stages = schedule.getStages();
  queries = tile("queries", s.blockQ, s.headDim, 1);
  keys = tile("keys", s.blockK, s.headDim, stages);
  values = tile("values", s.blockK, s.valueDim, stages);
  outputs = s.headDim == s.valueDim ? queries
                                    : tile("outputs", s.blockQ, s.valueDim, 1);
  // A full buffer is the copy's arrival, an empty one every consumer warp's.
  int64_t warps = s.blockQ / 16;
  fullK = barriers("full_k", stages, 1), fullV = barriers("full_v", stages, 1);
  emptyK = barriers("empty_k", stages, warps);
  emptyV = barriers("empty_v", stages, warps);
  fullQ = barriers("full_q", 1, 1), emptyQ = barriers("empty_q", 1, warps);
  if (s.packed)
    fullTail = barriers("full_tail", 1, 1);
  auto pointer = LLVM::LLVMPointerType::get(context, 3);
  words = named("row", WordsOp::create(b, pointer, IntegerAttr(),
                                       (carriesRows() ? 1 : 2) * rowWords()));
  BarrierOp::create(b);
}

gpu::GPUFuncOp HopperPage::build(StringRef name) {
  MLIRContext *context = b.getContext();
  SmallVector<Type> types(4, LLVM::LLVMPointerType::get(context));
  types.append(1 + s.hasLse + 2 * s.hasSelection + 3 * s.packed,
               LLVM::LLVMPointerType::get(context, 1));
  types.append(5, b.getI32Type());
  auto kernel =
      gpu::GPUFuncOp::create(b, name, b.getFunctionType(types, TypeRange{}));
  kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  kernel.setKnownBlockSize(ArrayRef<int32_t>{
      static_cast<int32_t>(HopperSchedule::threads(s)), 1, 1});
  // Registers move between roles only where the number at the start is known.
  kernel->setAttr("nvvm.minctasm", b.getI32IntegerAttr(schedule.getBlocks()));
  kernel->setAttr(kScheduleAttr, schedule);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&kernel.getBody().front());
  takeArguments(kernel);
  reserveShared();
  auto roles =
      RolesOp::create(b, b.getI32IntegerAttr(schedule.getProducerRegisters()),
                      b.getI32IntegerAttr(schedule.getConsumerRegisters()));
  {
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(&roles.getProducer().emplaceBlock());
    produce();
    b.setInsertionPointToStart(&roles.getConsumers().emplaceBlock());
    consume();
  }
  gpu::ReturnOp::create(b);
  return kernel;
}

gpu::GPUFuncOp
unisparse::buildHopperAttendKernel(OpBuilder &builder, Location loc,
                                   StringRef name, const AttendSpec &spec,
                                   const HopperSchedule &schedule) {
  return HopperPage(builder, loc, spec, schedule.attr).build(name);
}
