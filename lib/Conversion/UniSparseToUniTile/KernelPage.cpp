// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "KernelPage.h"
#include "mlir/IR/SymbolTable.h"

using namespace unisparse;
using namespace unisparse::unitile;

gpu::GPUModuleOp unisparse::newKernelModule(ModuleOp module) {
  OpBuilder b(module.getContext());
  module->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                  b.getUnitAttr());
  auto kernels =
      gpu::GPUModuleOp::create(b, module.getLoc(), "unisparse_kernels");
  // Renamed where the program has something of that name.
  SymbolTable(module).insert(kernels, module.getBody()->begin());
  return kernels;
}

KernelPage::KernelPage(gpu::GPUModuleOp module, Location loc, StringRef name)
    : PageBuilder(loc, OpBuilder::atBlockEnd(module.getBody())) {
  function = gpu::GPUFuncOp::create(
      b, name, b.getFunctionType(TypeRange{}, TypeRange{}));
  function->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
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

void KernelPage::takeSequences(HostSide &host, Value hostLq, Value hostLk,
                               Value hostCuQ, Value hostCuK) {
  lq = take("lq", host.i32(hostLq));
  lk = hostLk == hostLq ? lq : take("lk", host.i32(hostLk));
  if (!hostCuQ)
    return;
  cuQ = take("cu_q", host.contiguousBuffer(hostCuQ));
  cuK = hostCuK == hostCuQ ? cuQ : take("cu_k", host.contiguousBuffer(hostCuK));
  sequences = take("sequences",
                   host.i32(host.sub(host.dim(hostCuQ, 0), host.index(1))));
}

//===----------------------------------------------------------------------===//
// Sequences
//===----------------------------------------------------------------------===//

Span KernelPage::locate(Value slot, int64_t by) {
  Value zero = i32(0);
  if (!isPacked())
    return {zero, lq, zero, lk, zero, slot};
  auto found = LocateOp::create(b, slot, by, cuQ, cuK, sequences);
  return {found.getQStart(), found.getQLength(),
          found.getKStart(), found.getKLength(),
          Value(),           found.getBlock(),
          /*isPacked=*/true};
}

Value KernelPage::firstSlot(const Span &span, Value start, int64_t by) {
  return span.isPacked ? add(div(start, by), span.number) : i32(0);
}

KeyBlocks KernelPage::candidates(const Span &span, int64_t bq, int64_t bk,
                                 Reach reach) {
  Value first = i32(0), end = ceilDiv(span.kLength, bk);
  if (reach.right) {
    Value rows = min(mul(add(span.unit, 1), bq), span.qLength);
    Value keys = add(add(delta(span), rows), *reach.right);
    end = min(ceilDiv(keys, bk), end);
  }
  if (reach.left) {
    Value position = add(delta(span), mul(span.unit, bq));
    first = div(max(sub(position, *reach.left), i32(0)), bk);
  }
  return {first, end};
}

KeyBlocks unisparse::candidatesOf(KernelPage &p, BlockSelectOp op,
                                  const Span &span) {
  int64_t bq = op.getBlock().getQuery();
  Reach reach = reachOf(op);
  KeyBlocks all = p.candidates(span, bq, op.getBlock().getKey(), reach);
  if (!p.isPacked())
    return all;
  Value exists = p.less(p.mul(span.unit, bq), span.qLength);
  auto orNone = [&](Value x) { return p.select(exists, x, p.i32(0)); };
  return {reach.left ? orNone(all.first) : all.first, orNone(all.end)};
}

void KernelPage::walk(Value count, ValueRange state,
                      unitile::FragmentType scores,
                      std::array<std::function<void(Block &)>, 5> regions,
                      int64_t group) {
  auto walk = WalkOp::create(b, count, state, group);
  Type i32 = b.getI32Type();
  SmallVector<Type> carried(state.getTypes()), update{scores, i32, i32};
  llvm::append_range(update, carried);
  SmallVector<Type> takes[] = {
      {i32}, {i32, i32}, {scores, i32, i32}, update, carried};
  for (auto [region, types, write] :
       llvm::zip_equal(walk->getRegions(), takes, regions)) {
    OpBuilder::InsertionGuard guard(b);
    Block &block = region.emplaceBlock();
    block.addArguments(types, SmallVector<Location>(types.size(), b.getLoc()));
    b.setInsertionPointToStart(&block);
    write(block);
  }
}
