// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ParallelToThreads.h"

using namespace unisparse;

void unisparse::distributeOver(scf::ParallelOp loop, Value thread,
                               int64_t threads) {
  PageBuilder p(loop.getLoc(), OpBuilder(loop));
  ImplicitLocOpBuilder &b = p.b;
  auto i32 = [&](Value index) {
    return b.createOrFold<arith::IndexCastOp>(b.getI32Type(), index);
  };
  // Loops begin at 0 and go by 1.
  SmallVector<Value> sizes;
  Value all = p.i32(1);
  for (Value size : loop.getUpperBound()) {
    sizes.push_back(i32(size));
    all = p.mul(all, sizes.back());
  }
  p.forEach(
      thread, all, threads, {}, [&](Value n, ValueRange) -> SmallVector<Value> {
        IRMapping mapping;
        // Neighbouring threads have neighbours of the last dimension.
        for (int64_t i = sizes.size() - 1; i >= 0; --i) {
          Value own = i ? b.createOrFold<arith::RemUIOp>(n, sizes[i]) : n;
          if (i)
            n = b.createOrFold<arith::DivUIOp>(n, sizes[i]);
          mapping.map(
              loop.getInductionVars()[i],
              arith::IndexCastOp::create(b, b.getIndexType(), own).getResult());
        }
        for (Operation &op : loop.getBody()->without_terminator())
          b.clone(op, mapping);
        return {};
      });
  loop.erase();
}
