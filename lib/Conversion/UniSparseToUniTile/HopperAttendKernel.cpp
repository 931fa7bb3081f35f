// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "HopperPage.h"
#include "Kernels.h"
#include <cmath>

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

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
    return mul(loadI32(counts, selectionRow), tilesOfBlock());
  Value end = row.kLength;
  if (s.causal)
    end = min(add(firstPosition(row), i32(s.blockQ)), end);
  return div(add(end, i32(keyRows() - 1)), i32(keyRows()));
}

Value HopperPage::blockNumber(Value selectionRow, Value n) {
  if (!s.hasSelection)
    return n;
  Value first = arith::MulIOp::create(b, i64(selectionRow), i64(keyBlocks));
  Value block = div(n, i32(tilesOfBlock()));
  block = loadI32(indices, arith::AddIOp::create(b, first, i64(block)));
  return add(mul(block, tilesOfBlock()), rem(n, tilesOfBlock()));
}

void HopperPage::takeArguments(const Host &host) {
  auto taken = [&](StringRef name, Value value) {
    return value ? named(name, take(value)) : Value();
  };
  mapQ = taken("q", host.q), mapK = taken("k", host.k);
  mapV = taken("v", host.v), mapO = taken("o", host.o);
  o = taken("output", host.output);
  lse = taken("lse", host.lse);
  counts = taken("counts", host.counts);
  indices = taken("indices", host.indices);
  cuQ = taken("cu_q", host.packing.cuQ), cuK = taken("cu_k", host.packing.cuK);
  counter = taken("counter", host.counter);
  lq = taken("lq", host.lq), lk = taken("lk", host.lk);
  slots = taken("slots", host.slots);
  keyBlocks = taken("key_blocks", host.keyBlocks);
  sequences = taken("sequences", host.packing.sequences);
  batch = taken("batch", host.batch);
}

void HopperPage::reserveShared() {
  MLIRContext *context = b.getContext();
  auto namedTile = [&](StringRef name, int64_t rows, int64_t columns,
                       int64_t stages) {
    return named(name, tile(rows, columns, s.element, stages));
  };
  auto barriers = [&](StringRef name, int64_t count, int64_t arrivals) {
    auto type = BarriersType::get(context, count);
    return named(name, BarriersOp::create(b, type, IntegerAttr(), arrivals));
  };
  int64_t stages = schedule.getStages();
  queries = namedTile("queries", s.blockQ, s.headDim, 1);
  keys = namedTile("keys", keyRows(), s.headDim, stages);
  values = namedTile("values", keyRows(), s.valueDim, stages);
  outputs = s.headDim >= s.valueDim
                ? queries
                : namedTile("outputs", s.blockQ, s.valueDim, 1);
  // A full buffer is the copy's arrival, an empty one every consumer warp's, of
  // all blocks that it was copied to.
  int64_t warps = s.blockQ / 16, copies = warps * schedule.getCluster();
  fullK = barriers("full_k", stages, 1), fullV = barriers("full_v", stages, 1);
  emptyK = barriers("empty_k", stages, copies);
  emptyV = barriers("empty_v", stages, copies);
  // Threads read Q and the row's words themselves.
  fullQ = barriers("full_q", 1, 1), emptyQ = barriers("empty_q", 1, 32 * warps);
  if (inCluster())
    emptyOtherQ = barriers("empty_other_q", 1, 1);
  if (s.packed)
    fullTail = barriers("full_tail", 1, 1);
  auto pointer = LLVM::LLVMPointerType::get(context, 3);
  words =
      named("row", WordsOp::create(b, pointer, IntegerAttr(),
                                   RowInfo::placesOf(s.packed) * rowWords()));
  BarrierOp::create(b, inCluster());
}

void HopperPage::build(const Host &host) {
  // Registers move between roles only where the number at the start is known.
  kernel()->setAttr("nvvm.minctasm", b.getI32IntegerAttr(schedule.getBlocks()));
  kernel()->setAttr(kScheduleAttr, schedule);
  if (inCluster())
    kernel().setKnownClusterSize(
        ArrayRef<int32_t>{static_cast<int32_t>(schedule.getCluster()), 1, 1});
  takeArguments(host);
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
  // The other block may still arrive at this one's barriers.
  if (inCluster())
    BarrierOp::create(b, true);
  finish();
  for (int i = 0; i < 4; ++i)
    kernel().setArgAttr(i, kTensorMapAttr, b.getUnitAttr());
}

//===----------------------------------------------------------------------===//
// The op and the launch
//===----------------------------------------------------------------------===//

AttendSpec unisparse::attendSpecOf(BlockSparseAttentionOp op) {
  auto q = op.getQ().getType(), v = op.getV().getType();
  AttendSpec s;
  s.blockQ = op.getBlock().getQuery();
  s.blockK = op.getBlock().getKey();
  s.headDim = q.getDimSize(3);
  s.valueDim = v.getDimSize(3);
  s.heads = q.getDimSize(1);
  s.group = s.heads / v.getDimSize(1);
  s.hasSelection = static_cast<bool>(op.getCounts());
  s.selectionGroup =
      s.hasSelection
          ? s.heads / cast<ShapedType>(op.getCounts().getType()).getDimSize(1)
          : 1;
  s.element = q.getElementType();
  s.scale = op.getScale() ? op.getScale()->convertToDouble()
                          : 1.0 / std::sqrt(static_cast<double>(s.headDim));
  s.causal = op.getCausal();
  s.packed = static_cast<bool>(op.getCuSeqlensQ());
  return s;
}

/// [head_dim, length, heads, batch] in boxes of 64 columns and `rows` rows.
static Value tensorMap(HostSide &host, Value tensor, int64_t rows) {
  HostTokens x = host.tokens(tensor);
  auto type = cast<RankedTensorType>(tensor.getType());
  SmallVector<Value> sizes;
  // A map has no empty dimensions; what is behind the keys is masked.
  for (int64_t i : {3, 2, 1, 0})
    sizes.push_back(host.b.createOrFold<arith::MaxUIOp>(host.dim(tensor, i),
                                                        host.index(1)));
  auto bytes = [&](Value stride) {
    Value elements =
        host.b.createOrFold<arith::IndexCastOp>(host.b.getIndexType(), stride);
    return host.b.createOrFold<arith::MulIOp>(
        elements, host.index(type.getElementTypeBitWidth() / 8));
  };
  return TensorMapOp::create(
      host.b, x.pointer, sizes,
      ValueRange{bytes(x.rowStride), bytes(x.headStride), bytes(x.batchStride)},
      {64, rows, 1, 1}, type.getElementType());
}

SmallVector<Value>
unisparse::lowerToHopperKernel(HostSide &host, gpu::GPUModuleOp kernels,
                               BlockSparseAttentionOp op,
                               const HopperSchedule &schedule) {
  AttendSpec spec = attendSpecOf(op);
  HopperPage page(kernels, op.getLoc(), spec, schedule.attr);
  Value q = op.getQ(), k = op.getK(), v = op.getV();
  Value lq = host.dim(q, 2), lk = host.dim(k, 2), batch = host.dim(q, 0);
  SmallVector<Value> results{
      host.result(op.getO().getType(), {batch, {}, lq, {}})};
  HopperPage::Host in;
  in.q = tensorMap(host, q, spec.blockQ);
  in.k = tensorMap(host, k, schedule.attr.getKeys());
  in.v = tensorMap(host, v, schedule.attr.getKeys());
  in.o = tensorMap(host, results[0], HopperSchedule::rowsPerGroup);
  if (op.getLse()) {
    results.push_back(host.result(op.getLse().getType(), {batch, {}, lq}));
    in.lse = host.address(results[1]);
  }
  if (spec.hasSelection) {
    in.counts = host.address(op.getCounts());
    in.indices = host.address(op.getIndices());
  }
  if (spec.packed) {
    in.output = host.address(results[0]);
    in.packing = host.packing(op.getCuSeqlensQ(), op.getCuSeqlensK());
  } else {
    in.batch = host.i32(batch);
  }
  in.counter = host.clearedWord();
  Value slots = host.slots(lq, op.getCuSeqlensQ(), spec.blockQ);
  in.lq = host.i32(lq), in.lk = host.i32(lk), in.slots = host.i32(slots);
  in.keyBlocks = host.i32(host.ceilDiv(lk, spec.blockK));
  page.build(in);
  // No more blocks of threads than rows: none at all for none. Both numbers are
  // whole clusters, as heads are.
  Value rows = host.b.createOrFold<arith::MulIOp>(
      host.b.createOrFold<arith::MulIOp>(slots, batch), host.index(spec.heads));
  Value blocks = host.b.createOrFold<arith::MinUIOp>(
      rows, host.index(kMultiprocessors * schedule.attr.getBlocks()));
  Value one = host.index(1);
  host.launch(page.kernel(), {blocks, one, one}, HopperSchedule::threads(spec),
              schedule.sharedBytes(spec), page.launchOperands());
  return results;
}
