// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "KernelPage.h"
#include "mlir/IR/SymbolTable.h"

using namespace unisparse;
using namespace unisparse::unitile;

KernelPage::KernelPage(gpu::GPUModuleOp module, Location loc, StringRef name,
                       int64_t warps)
    : PageBuilder(loc, OpBuilder::atBlockEnd(module.getBody())),
      warpCount(warps) {
  function = gpu::GPUFuncOp::create(
      b, name, b.getFunctionType(TypeRange{}, TypeRange{}));
  function->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  if (warps)
    function.setKnownBlockSize(
        ArrayRef<int32_t>{static_cast<int32_t>(32 * warps), 1, 1});
  // A second kernel of the name gets another one.
  SymbolTable table(module);
  function->remove();
  table.insert(function, module.getBody()->end());
  b.setInsertionPointToStart(&function.getBody().front());
}

void KernelPage::finish() {
  Block &entry = function.getBody().front();
  b.setInsertionPointToEnd(&entry);
  gpu::ReturnOp::create(b);
  function.setFunctionType(
      b.getFunctionType(entry.getArgumentTypes(), TypeRange{}));
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

Value KernelPage::take(Value host) {
  operands.push_back(host);
  return function.getBody().front().addArgument(host.getType(), b.getLoc());
}

Value KernelPage::take(StringRef name, Value host) {
  Value argument = take(host);
  argument.setLoc(NameLoc::get(b.getStringAttr(name), b.getLoc()));
  return argument;
}

TokensArgument KernelPage::take(const HostTokens &host) {
  TokensArgument x;
  x.pointer = take(host.pointer);
  x.batchStride = take(host.batchStride);
  x.headStride = take(host.headStride);
  x.rowStride = take(host.rowStride);
  return x;
}

void KernelPage::takeLengths(Value hostLq, Value hostLk, HostPacking packing) {
  lq = take(hostLq);
  lk = hostLk == hostLq ? lq : take(hostLk);
  if (!packing.cuQ)
    return;
  cuQ = take(packing.cuQ);
  cuK = packing.cuK == packing.cuQ ? cuQ : take(packing.cuK);
  sequences = take(packing.sequences);
}

void KernelPage::takeSequences(HostSide &host, Value hostLq, Value hostLk,
                               Value hostCuQ, Value hostCuK) {
  lq = take("lq", host.i32(hostLq));
  lk = hostLk == hostLq ? lq : take("lk", host.i32(hostLk));
  if (!hostCuQ)
    return;
  cuQ = take("cu_q", host.contiguousBuffer(hostCuQ));
  cuK = hostCuK == hostCuQ ? cuQ
                           : take("cu_k", host.contiguousBuffer(hostCuK));
  sequences = take("sequences",
                   host.i32(host.sub(host.dim(hostCuQ, 0), host.index(1))));
}

//===----------------------------------------------------------------------===//
// Memory and tiles
//===----------------------------------------------------------------------===//

Value KernelPage::row(const TokensArgument &x, Type element, Value batch,
                      Value head, Value row) {
  auto times = [&](Value index, Value stride) {
    return arith::MulIOp::create(b, i64(index), stride);
  };
  Value offset = arith::AddIOp::create(b, times(batch, x.batchStride),
                                       times(head, x.headStride));
  offset = arith::AddIOp::create(b, offset, times(row, x.rowStride));
  return at(x.pointer, element, offset);
}

Value KernelPage::flatRow(Value batchHead, Value slots, Value slot) {
  return arith::AddIOp::create(
      b, arith::MulIOp::create(b, i64(batchHead), i64(slots)), i64(slot));
}

Value KernelPage::tile(int64_t rows, int64_t columns, Type element,
                       int64_t stages) {
  auto type = SharedType::get(b.getContext(), rows, columns, element, stages);
  shared += llvm::alignTo(type.getBytes(), 1024);
  return AllocOp::create(b, type, IntegerAttr());
}

//===----------------------------------------------------------------------===//
// Sequences
//===----------------------------------------------------------------------===//

/// Packed: the last sequence whose first slot is at or before `slot`, by
/// bisection (the dialect's packed slots).
Span KernelPage::locate(Value slot, int64_t by, bool ofKeys) {
  Value zero = i32(0);
  if (!isPacked())
    return {zero, lq, zero, lk, zero, slot};
  if (isa<MemRefType>(cuQ.getType())) { // A page's.
    assert(!ofKeys && "expected a page to locate queries");
    auto found = LocateOp::create(b, slot, by, cuQ, cuK, sequences);
    return {found.getQStart(),  found.getQLength(), found.getKStart(),
            found.getKLength(), Value(),            found.getBlock(),
            /*isPacked=*/true};
  }
  Value cu = ofKeys ? cuK : cuQ;
  auto start = [&](Value n) { return add(div(loadI32(cu, n), by), n); };
  Value n = whileLoop(
      {zero, sub(sequences, 1)},
      [&](ValueRange range) { return less(range[0], range[1]); },
      [&](ValueRange range) -> SmallVector<Value> {
        Value middle = ceilDiv(add(range[0], range[1]), 2);
        Value behind = less(slot, start(middle));
        return {select(behind, range[0], middle),
                select(behind, sub(middle, 1), range[1])};
      })[0];
  Value next = add(n, 1);
  Span span;
  span.number = n;
  span.qStart = loadI32(cuQ, n);
  span.qLength = sub(loadI32(cuQ, next), span.qStart);
  span.kStart = loadI32(cuK, n);
  span.kLength = sub(loadI32(cuK, next), span.kStart);
  span.unit = sub(slot, start(n));
  span.isPacked = true;
  return span;
}

Value KernelPage::firstSlot(const Span &span, Value start, int64_t by) {
  return span.isPacked ? add(div(start, by), span.number) : i32(0);
}

Value KernelPage::candidates(const Span &span, int64_t bq, int64_t bk,
                             bool causal) {
  Value all = ceilDiv(span.kLength, bk);
  if (!causal)
    return all;
  Value end = min(mul(add(span.unit, 1), bq), span.qLength);
  return min(ceilDiv(add(delta(span), end), bk), all);
}

Value unisparse::candidatesOf(KernelPage &p, BlockSelectOp op,
                              const Span &span) {
  int64_t bq = op.getBlock().getQuery();
  Value all =
      p.candidates(span, bq, op.getBlock().getKey(), op.getCausal());
  if (!p.isPacked())
    return all;
  Value exists = p.less(p.mul(span.unit, bq), span.qLength);
  return p.select(exists, all, p.i32(0));
}
