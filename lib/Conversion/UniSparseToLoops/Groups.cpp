// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Groups.h"

using namespace unisparse;
using namespace unisparse::loops;

Groups::Groups(Emit &e, PoolOp op, Value out)
    : e(e), out(out), headDim(op.getX().getType().getDimSize(3)),
      dims(op.groupDims()),
      // The mean over a group's dims of variances; the sum of squares of norms,
      // times what the op names.
      factor(op.getSpread()   ? 1.0 / static_cast<double>(dims)
             : op.getFactor() ? op.getFactor()->convertToDouble()
                              : 1.0) {}

void Groups::allocate() {
  if (dims > 1)
    perDim = e.buffer({headDim}, e.b.getF32Type());
}

void Groups::take(Value ofDims, int64_t at, ValueRange row) {
  int64_t lanes = cast<VectorType>(ofDims.getType()).getDimSize(0);
  if (dims > 1) {
    e.storeVector(ofDims, perDim, {e.index(at)});
    return;
  }
  Type element = cast<MemRefType>(out.getType()).getElementType();
  Value columns =
      e.narrowSaturating(e.mulF(ofDims, e.splat(factor, lanes)), element);
  e.storeVector(columns, out, {row[0], row[1], row[2], e.index(headDim + at)});
}

void Groups::finish(ValueRange row) {
  if (dims <= 1)
    return;
  Type element = cast<MemRefType>(out.getType()).getElementType();
  e.forEach(e.index(0), e.index(headDim / dims), [&](Value group) {
    Value first = e.mul(group, dims);
    Value sum = e.fold(first, e.add(first, dims), e.f32(0.0),
                       [&](Value d, ValueRange acc) -> SmallVector<Value> {
                         return {e.addF(acc[0], e.load(perDim, {d}))};
                       })[0];
    Value column = e.narrowSaturating(e.mulF(sum, e.f32(factor)), element);
    e.store(column, out, {row[0], row[1], row[2], e.add(group, headDim)});
  });
}
