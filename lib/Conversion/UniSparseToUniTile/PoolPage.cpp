// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.pool as a page: a point of its grid makes one composite, the mean
// over its rows and heads, in independent units of whole pieces of 16 bytes.
#include "Kernels.h"
#include "PoolUnits.h"

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// Units that a CTA makes, each by a thread; nothing is read twice from memory.
constexpr int64_t kUnits = 256;
/// Half the threads of an SM leave each 64 registers, for loads in flight: left
/// to itself, ptxas spills to fit more.
constexpr int64_t kCtas = 4;

struct PoolPage : PoolUnits {
  void writeSpread(ValueRange mean, Value batch, Value head, Value first,
                   Value rows, ValueRange at, Value unit);
  void build();
};

} // namespace

/// P6: the population variance of the heads' mean rows.
void PoolPage::writeSpread(ValueRange mean, Value batch, Value head,
                           Value first, Value rows, ValueRange at, Value unit) {
  auto add = [&](Value r, ValueRange c) -> SmallVector<Value> {
    SmallVector<Value> next;
    for (auto [x, m, sum] :
         llvm::zip_equal(row(batch, head, p.add(first, r), unit), mean, c)) {
      Value difference = arith::SubFOp::create(p.b, x, m);
      next.push_back(arith::AddFOp::create(p.b, sum, square(difference)));
    }
    return next;
  };
  SmallVector<Value> sums = p.forEach(p.i32(0), rows, 1, zeros(), add);
  writeGroups(divide(sums, rows), 1.0 / static_cast<double>(dims), at, unit);
}

void PoolPage::build() {
  int64_t by = op.getBy(), heads = op.getHeads();
  Value slot = p.blockId(gpu::Dimension::x);
  Value head = p.blockId(gpu::Dimension::y);
  Value batch = p.blockId(gpu::Dimension::z);
  Span span = p.locate(slot, by);
  Value first = p.mul(span.unit, by);
  auto pool = [&] {
    // The rows that exist (P1, P3).
    Value rows = p.min(p.i32(by), p.sub(span.qLength, first));
    Value start = p.add(span.qStart, first);
    p.parallel(p.i32(0), p.i32(count), {}, [&](Value u) -> SmallVector<Value> {
      SmallVector<Value> sums = addRows(batch, head, start, rows, u, zeros());
      SmallVector<Value> mean = divide(sums, p.mul(rows, heads));
      Value at[] = {batch, head, slot};
      SmallVector<Value> written = write(mean, at, u);
      if (op.getSpread())
        writeSpread(mean, batch, head, start, rows, at, u);
      writeNorms(written, at, u);
      return {};
    });
  };
  // Spare slots of a packed batch hold no composite.
  if (p.isPacked())
    p.ifThen(p.less(first, span.qLength), pool);
  else
    pool();
}

FailureOr<SmallVector<Value>>
unisparse::lowerToKernel(HostSide &host, gpu::GPUModuleOp kernels, PoolOp op) {
  if (failed(checkPooled(op)))
    return failure();
  if (op.getRepresentatives())
    return lowerPoolOfBlocks(host, kernels, op);
  auto type = op.getComposites().getType();
  KernelPage page(kernels, op.getLoc(), "pool");
  PoolPage pool{{op, page}};
  page.kernel()->setAttr(kScheduleAttr,
                         ThreadsAttr::get(op.getContext(), pool.count,
                                          kUnits / pool.count, kCtas));
  Value batch = host.dim(op.getX(), 0), length = host.dim(op.getX(), 2);
  Value slots = host.slots(length, op.getCuSeqlens(), op.getBy());
  Value result = host.result(type, {batch, {}, slots, {}});
  pool.x = page.take("x", host.stridedBuffer(op.getX()));
  pool.out = page.take("composites", host.contiguousBuffer(result));
  page.takeSequences(host, length, length, op.getCuSeqlens(),
                     op.getCuSeqlens());
  pool.build();
  page.finish();
  host.launch(page.kernel(), {slots, host.index(type.getDimSize(1)), batch},
              /*threads=*/1, /*sharedBytes=*/0, page.launchOperands());
  return SmallVector<Value>{result};
}
