// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Pooling is bound by reading: a thread makes 16 bytes of a composite, the
// loads of a full composite's rows all in flight before the first is summed.
// No tiles: nothing is read twice.
#include "KernelPage.h"
#include "Kernels.h"

using namespace unisparse;

namespace {

constexpr int64_t kWarps = 8;
/// Rows whose loads are in flight together.
constexpr int64_t kInFlight = 8;

struct Pool {
  PoolOp op;
  KernelPage &p;
  TokensArgument x;
  Value out, slots;

  Type element = op.getX().getType().getElementType();
  int64_t columns = op.getX().getType().getDimSize(3);
  int64_t lanes = 128 / element.getIntOrFloatBitWidth();
  VectorType piece = VectorType::get({lanes}, element);
  VectorType sums = VectorType::get({lanes}, Float32Type::get(op.getContext()));

  Value loadRow(Value headRow, Value row);
  Value sumRows(Value headRow, Value first, Value end, Value sum);
  void makePiece(Value slot, Value number);
};

} // namespace

/// 16 bytes of a row, in f32 (P2).
Value Pool::loadRow(Value headRow, Value row) {
  Value offset = arith::MulIOp::create(p.b, p.i64(row), x.rowStride);
  Value v = LLVM::LoadOp::create(p.b, piece, p.at(headRow, element, offset),
                                 /*alignment=*/16);
  return element.isF32() ? v : arith::ExtFOp::create(p.b, sums, v).getResult();
}

Value Pool::sumRows(Value headRow, Value first, Value end, Value sum) {
  auto addRow = [&](Value row, ValueRange c) -> SmallVector<Value> {
    return {arith::AddFOp::create(p.b, c[0], loadRow(headRow, row))};
  };
  int64_t by = op.getBy();
  Value whole =
      p.compare(arith::CmpIPredicate::eq, p.sub(end, first), p.i32(by));
  auto unrolled = [&]() -> SmallVector<Value> {
    Value total = sum;
    int64_t most = std::min(by, kInFlight);
    auto some = [&](Value start, int64_t count, Value acc) {
      SmallVector<Value> rows;
      for (int64_t i = 0; i < count; ++i)
        rows.push_back(loadRow(headRow, p.add(start, i)));
      for (Value row : rows)
        acc = arith::AddFOp::create(p.b, acc, row);
      return acc;
    };
    if (by <= kInFlight)
      return {some(first, by, total)};
    Value full = p.add(first, by / most * most);
    total = p.forEach(first, full, most, total,
                      [&](Value start, ValueRange c) -> SmallVector<Value> {
                        return {some(start, most, c[0])};
                      })[0];
    return {some(full, by % most, total)};
  };
  return p.ifElse(whole, unrolled,
                  [&] { return p.forEach(first, end, 1, sum, addRow); })[0];
}

/// 16 bytes of composite `slot`: the mean over its rows and heads (P1, P4).
void Pool::makePiece(Value slot, Value number) {
  int64_t by = op.getBy(), heads = op.getHeads();
  int64_t outHeads = op.getX().getType().getDimSize(1) / heads;
  Value head = p.blockId(gpu::Dimension::y),
        batch = p.blockId(gpu::Dimension::z);
  Span span = p.locate(slot, by);
  Value first = p.mul(span.unit, by);
  Value end = p.min(p.add(first, by), span.qLength);
  // Spare slots of a packed batch hold no composite.
  p.ifThen(p.less(first, end), [&] {
    Value column = p.mul(number, lanes);
    Value sum = arith::ConstantOp::create(
        p.b,
        DenseElementsAttr::get(sums, p.b.getF32FloatAttr(0.0f).getValue()));
    for (int64_t h = 0; h < heads; ++h) {
      Value row =
          p.row(x, element, batch, p.add(p.mul(head, heads), h), span.qStart);
      sum = sumRows(p.at(row, element, column), first, end, sum);
    }
    Value count = p.toFloat(p.mul(p.sub(end, first), heads));
    Value mean = arith::DivFOp::create(
        p.b, sum, vector::BroadcastOp::create(p.b, sums, count));
    if (!element.isF32())
      mean = arith::TruncFOp::create(p.b, piece, mean);
    Value row = p.flatRow(p.add(p.mul(batch, outHeads), head), slots, slot);
    Value offset = arith::AddIOp::create(
        p.b, arith::MulIOp::create(p.b, row, p.i64(columns)), p.i64(column));
    LLVM::StoreOp::create(p.b, mean, p.at(out, element, offset),
                          /*alignment=*/16);
  });
}

FailureOr<SmallVector<Value>>
unisparse::lowerToKernel(HostSide &host, gpu::GPUModuleOp kernels, PoolOp op) {
  auto type = op.getComposites().getType();
  // A block makes whole composites, 16 bytes a thread.
  int64_t most =
      32 * kWarps * 128 / type.getElementType().getIntOrFloatBitWidth();
  if (failed(checkHeadDim(op, "head_dim", op.getX().getType(), most)))
    return failure();
  KernelPage page(kernels, op.getLoc(), "pool", kWarps);
  // Half the threads of an SM leave each 64 registers: left to itself, ptxas
  // spills to fit more.
  page.kernel()->setAttr("nvvm.minctasm", page.b.getI32IntegerAttr(4));
  Pool pool{op, page, {}, {}, {}};
  pool.x = page.take(host.tokens(op.getX()));
  Value length = host.dim(op.getX(), 2);
  Value slots = host.slots(length, op.getCuSeqlens(), op.getBy());
  Value result = host.result(type, {host.dim(op.getX(), 0), {}, slots, {}});
  pool.out = page.take(host.address(result));
  Value tokens = host.i32(length);
  page.takeLengths(tokens, tokens,
                   host.packing(op.getCuSeqlens(), op.getCuSeqlens()));
  pool.slots = page.take(host.i32(slots));

  // Threads that make one composite, and composites of a block.
  int64_t pieces = pool.columns / pool.lanes, threads = 32 * kWarps;
  int64_t composites = threads / pieces;
  Value id = page.threadId();
  Value slot = page.add(page.mul(page.blockId(gpu::Dimension::x), composites),
                        page.div(id, pieces));
  Value works = page.both(page.less(id, page.i32(composites * pieces)),
                          page.less(slot, pool.slots));
  page.ifThen(works, [&] { pool.makePiece(slot, page.rem(id, pieces)); });
  page.finish();
  host.launch(page.kernel(),
              {host.ceilDiv(slots, composites), host.index(type.getDimSize(1)),
               host.dim(op.getX(), 0)},
              threads, /*sharedBytes=*/0, page.launchOperands());
  return SmallVector<Value>{result};
}
