// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What the producer says to both CTAs of a cluster. They do the same query tile
// for two neighbouring heads, which attend to the same tiles of the same keys:
// the first CTA's producer copies every K and V once for both. Who waits for
// whom:
//
//   full K, V     each CTA's consumers, for the first CTA's producer
//   empty K, V    the first CTA's producer, for the consumers of both
//   full Q        each CTA's consumers (and the other CTA's producer), for the
//                 first CTA's producer
//   empty Q       each CTA's producer, for its own CTA's consumers
//   empty other Q the first CTA's producer, for the other CTA's
//
// Consumers wait for the first CTA's producer alone, and it for what they do
// with what it has sent: no circle that one CTA alone would not have.
#include "SpecialisedKernel.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace unisparse;

void SpecialisedKernel::copy(Value map, Value row, ValueRange matrix,
                             Value tile, Value slot, Value full, Value index) {
  int64_t ctas = (1 << schedule.getCluster()) - 1;
  TensorCopyOp::create(b, map, row, matrix, tile, slot, full, index,
                       inCluster() ? b.getI32IntegerAttr(ctas) : IntegerAttr(),
                       /*after_writes=*/false);
}

void SpecialisedKernel::awaitEmptyQ(Value parity) {
  AwaitOp::create(b, emptyQ, i32(0), parity);
  if (inCluster())
    AwaitOp::create(b, emptyOtherQ, i32(0), parity, /*cluster=*/true);
}

Value SpecialisedKernel::wordsIn(int64_t cta) {
  if (!cta)
    return itemWords;
  auto pointer = LLVM::LLVMPointerType::get(
      b.getContext(),
      static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  return NVVM::MapaOp::create(b, pointer, itemWords, i32(cta));
}

/// The words and Q of each CTA of the cluster: the item of one head each.
void SpecialisedKernel::copyItem(const Item &item, Value parity) {
  awaitEmptyQ(other(parity));
  for (int64_t cta = 0; cta < schedule.getCluster(); ++cta) {
    Item own = item;
    if (cta) {
      own.batchHead = add(item.batchHead, cta);
      own.page = pageAt(item.x, own.batchHead, item.leaves);
    }
    Value to = wordsIn(cta);
    for (auto [i, value] : llvm::enumerate(valuesOf(own)))
      LLVM::StoreOp::create(b, value, wordOf(to, parity, i));
    SmallVector<Value> matrix{from(own, parts.queries.getHead()),
                              from(own, parts.queries.getBatch())};
    TensorCopyOp::create(b, mapQ, from(own, parts.queries.getRow()), matrix,
                         queries, i32(0), fullQ, i32(0),
                         cta ? b.getI32IntegerAttr(1 << cta) : IntegerAttr(),
                         /*after_writes=*/cta != 0);
  }
}

/// In the cluster's other CTA: its consumers arrive at its own barrier, and one
/// thread tells the first CTA's producer, which then writes the next item's
/// words. So the fence that this takes is no consumer's.
void SpecialisedKernel::passOnEmptyQ() {
  Value zero = i32(0);
  whileLoop(
      zero,
      [&](ValueRange parity) {
        awaitQ(parity[0]);
        Value count = LLVM::LoadOp::create(b, b.getI32Type(),
                                           wordOf(parity[0], Item::countWord));
        return compare(arith::CmpIPredicate::sgt, count, zero);
      },
      [&](ValueRange parity) -> SmallVector<Value> {
        AwaitOp::create(b, emptyQ, zero, parity[0]);
        ArriveOp::create(b, emptyOtherQ, zero, /*by_thread=*/true,
                         firstCtaOnly());
        return {other(parity[0])};
      });
}

void SpecialisedKernel::produce() {
  if (!inCluster())
    return produceItems();
  Value cta = arith::IndexCastOp::create(
      b, b.getI32Type(), gpu::ClusterBlockIdOp::create(b, gpu::Dimension::x));
  ifElse(
      compare(arith::CmpIPredicate::eq, cta, i32(0)),
      [&]() -> SmallVector<Value> {
        produceItems();
        return {};
      },
      [&]() -> SmallVector<Value> {
        passOnEmptyQ();
        return {};
      });
}
