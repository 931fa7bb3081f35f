// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse.pool as a page: a point of its grid makes one composite, the mean
// over its rows and heads, in independent pieces of 16 bytes.
#include "KernelPage.h"
#include "Kernels.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// Pieces that a CTA makes, each by a thread; nothing is read twice.
constexpr int64_t kPieces = 256;
/// Half the threads of an SM leave each 64 registers, for loads in flight: left
/// to itself, ptxas spills to fit more.
constexpr int64_t kCtas = 4;

struct PoolPage {
  PoolOp op;
  KernelPage &p;
  Value x = {}, out = {};

  RankedTensorType type = op.getX().getType();
  Type element = type.getElementType();
  int64_t lanes = 128 / element.getIntOrFloatBitWidth();
  int64_t pieces = type.getDimSize(3) / lanes;
  VectorType piece = VectorType::get({lanes}, element);
  VectorType sums = VectorType::get({lanes}, Float32Type::get(op.getContext()));

  Value mean(Value batch, Value head, Value first, Value rows, Value column);
  void build();
};

} // namespace

/// Summed in f32, rounded once (P1, P2, P4).
Value PoolPage::mean(Value batch, Value head, Value first, Value rows,
                     Value column) {
  int64_t heads = op.getHeads();
  Value sum = arith::ConstantOp::create(p.b, p.b.getZeroAttr(sums));
  for (int64_t h = 0; h < heads; ++h) {
    Value of = p.add(p.mul(head, heads), h);
    auto add = [&](Value r, ValueRange c) -> SmallVector<Value> {
      Value v = vector::LoadOp::create(
          p.b, piece, x, p.indices({batch, of, p.add(first, r), column}));
      if (!element.isF32())
        v = arith::ExtFOp::create(p.b, sums, v);
      return {arith::AddFOp::create(p.b, c[0], v)};
    };
    sum = p.forEach(p.i32(0), rows, 1, sum, add)[0];
  }
  Value count =
      vector::BroadcastOp::create(p.b, sums, p.toFloat(p.mul(rows, heads)));
  Value mean = arith::DivFOp::create(p.b, sum, count);
  if (element.isF32())
    return mean;
  return arith::TruncFOp::create(p.b, piece, mean);
}

void PoolPage::build() {
  int64_t by = op.getBy();
  Value slot = p.blockId(gpu::Dimension::x);
  Value head = p.blockId(gpu::Dimension::y);
  Value batch = p.blockId(gpu::Dimension::z);
  Span span = p.locate(slot, by);
  Value first = p.mul(span.unit, by);
  auto pool = [&] {
    // The rows that exist (P1, P3).
    Value rows = p.min(p.i32(by), p.sub(span.qLength, first));
    p.parallel(p.i32(0), p.i32(pieces), {}, [&](Value n) -> SmallVector<Value> {
      Value column = p.mul(n, lanes);
      Value made = mean(batch, head, p.add(span.qStart, first), rows, column);
      vector::StoreOp::create(p.b, made, out,
                              p.indices({batch, head, slot, column}));
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
  auto type = op.getComposites().getType();
  // A CTA makes whole composites.
  int64_t most =
      kPieces * 128 / type.getElementType().getIntOrFloatBitWidth();
  if (failed(checkHeadDim(op, "head_dim", op.getX().getType(), most)))
    return failure();
  KernelPage page(kernels, op.getLoc(), "pool");
  PoolPage pool{op, page};
  page.kernel()->setAttr(
      kScheduleAttr, ThreadsAttr::get(op.getContext(), pool.pieces,
                                      kPieces / pool.pieces, kCtas));
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
