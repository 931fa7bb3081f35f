// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The density that unisparse.block_select gives, as a page: a point of its grid
// counts what one head's rows selected, and what they might have.
#include "KernelPage.h"
#include "Kernels.h"

using namespace unisparse;
using namespace unisparse::unitile;

/// Selected over candidate blocks; counts in 64 bits, as a head may have more
/// of them than 31.
static void buildDensity(KernelPage &p, BlockSelectOp op, Value counts,
                         Value slots, Value density) {
  Value head = p.blockId(gpu::Dimension::y),
        batch = p.blockId(gpu::Dimension::z);
  Value none = p.i64(int64_t(0));
  auto count = [&](Value slot) -> SmallVector<Value> {
    KeyBlocks all =
        candidatesOf(p, op, p.locate(slot, op.getBlock().getQuery()));
    Value seen = p.sub(all.end, all.first);
    Value taken = p.read(counts, {batch, head, slot});
    return {p.i64(taken), p.i64(seen)};
  };
  SmallVector<Value> totals = p.parallel(p.i32(0), slots, {none, none}, count);
  auto real = [&](Value x) -> Value {
    return arith::SIToFPOp::create(p.b, p.b.getF32Type(), x);
  };
  Value taken = real(totals[0]), seen = real(totals[1]);
  // Of no candidates, all are selected.
  Value some =
      arith::CmpFOp::create(p.b, arith::CmpFPredicate::OGT, seen, p.f32(0.0));
  Value ratio =
      arith::DivFOp::create(p.b, taken, p.select(some, seen, p.f32(1.0)));
  p.write(p.select(some, ratio, p.f32(1.0)), density, {batch, head});
}

void unisparse::lowerDensity(HostSide &host, gpu::GPUModuleOp kernels,
                             BlockSelectOp op, Value counts, Value density) {
  KernelPage page(kernels, op.getLoc(), "density");
  page.kernel()->setAttr(kScheduleAttr,
                         ThreadsAttr::get(op.getContext(), 32, 1, 0));
  Value lq = host.length(op.getStaticLengths(), op.getLengths(), 0),
        lk = host.length(op.getStaticLengths(), op.getLengths(), 1);
  Value countsOfPage = page.take("counts", host.contiguousBuffer(counts));
  Value densityOfPage = page.take("density", host.contiguousBuffer(density));
  page.takeSequences(host, lq, lk, op.getCuSeqlensQ(), op.getCuSeqlensK());
  Value slots = page.take("slots", host.i32(host.dim(counts, 2)));
  buildDensity(page, op, countsOfPage, slots, densityOfPage);
  page.finish();
  Value heads = host.index(op.getIndices().getType().getDimSize(1));
  host.launch(page.kernel(), {host.index(1), heads, host.dim(counts, 0)},
              /*threads=*/1, /*sharedBytes=*/0, page.launchOperands());
}
