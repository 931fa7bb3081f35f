// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What the producer says to both blocks of threads of a cluster. They do the
// same row of query blocks for two neighbouring heads, which attend to the same
// blocks of the same keys: the first block's producer copies every K and V once
// for both. Who waits for whom:
//
//   full K, V     each block's consumers, for the first block's producer
//   empty K, V    the first block's producer, for the consumers of both
//   full Q        each block's consumers (and the other block's producer), for
//                 the first block's producer
//   empty Q       each block's producer, for its own block's consumers
//   empty other Q the first block's producer, for the other block's
//
// Consumers wait for the first block's producer alone, and it for what they do
// with what it has sent: no circle that one block alone would not have.
#include "HopperPage.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

void HopperPage::copy(Value map, Value row, Value matrix, Value tile,
                      Value slot, Value full, Value index) {
  int64_t blocks = (1 << schedule.getCluster()) - 1;
  TensorCopyOp::create(
      b, map, row, matrixOf(matrix, s.heads / s.group), tile, slot, full, index,
      inCluster() ? b.getI32IntegerAttr(blocks) : IntegerAttr(),
      /*after_writes=*/false);
}

void HopperPage::awaitEmptyQ(Value parity) {
  AwaitOp::create(b, emptyQ, i32(0), parity);
  if (inCluster())
    AwaitOp::create(b, emptyOtherQ, i32(0), parity, /*cluster=*/true);
}

Value HopperPage::wordsIn(int64_t block) {
  if (!block)
    return words;
  auto pointer = LLVM::LLVMPointerType::get(
      b.getContext(),
      static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  return NVVM::MapaOp::create(b, pointer, words, i32(block));
}

/// The words and Q of each block of the cluster: the row of one head each.
void HopperPage::copyRow(const RowInfo &row, Value parity) {
  awaitEmptyQ(other(parity));
  for (int64_t block = 0; block < schedule.getCluster(); ++block) {
    RowInfo own = row;
    own.batchHead = add(row.batchHead, block);
    Value to = wordsIn(block);
    for (auto [i, value] : llvm::enumerate(valuesOf(own)))
      LLVM::StoreOp::create(b, value, wordOf(to, parity, i));
    TensorCopyOp::create(
        b, mapQ, add(row.qStart, mul(row.unit, s.blockQ)),
        matrixOf(own.batchHead, s.heads), queries, i32(0), fullQ, i32(0),
        block ? b.getI32IntegerAttr(1 << block) : IntegerAttr(),
        /*after_writes=*/block != 0);
  }
}

/// In the cluster's other block: its consumers arrive at its own barrier, and
/// one thread tells the first block's producer, which then writes the next
/// row's words. So the fence that this takes is no consumer's.
void HopperPage::passOnEmptyQ() {
  Value zero = i32(0);
  scf::WhileOp::create(
      b, TypeRange{b.getI32Type()}, ValueRange{zero},
      [&](OpBuilder &, Location, ValueRange parity) {
        awaitQ(parity[0]);
        Value count = LLVM::LoadOp::create(
            b, b.getI32Type(), wordOf(parity[0], RowInfo::countWord));
        scf::ConditionOp::create(
            b, compare(arith::CmpIPredicate::sgt, count, zero), parity);
      },
      [&](OpBuilder &, Location, ValueRange parity) {
        AwaitOp::create(b, emptyQ, zero, parity[0]);
        ArriveOp::create(b, emptyOtherQ, zero, /*by_thread=*/true,
                         firstBlockOnly());
        scf::YieldOp::create(b, ValueRange{other(parity[0])});
      });
}

void HopperPage::produce() {
  if (!inCluster())
    return produceRows();
  auto block = arith::IndexCastOp::create(
      b, b.getI32Type(), gpu::ClusterBlockIdOp::create(b, gpu::Dimension::x));
  auto role = scf::IfOp::create(
      b, compare(arith::CmpIPredicate::eq, block, i32(0)), true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(role.thenBlock());
  produceRows();
  b.setInsertionPointToStart(role.elseBlock());
  passOnEmptyQ();
}
