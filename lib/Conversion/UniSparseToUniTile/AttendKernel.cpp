// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The kernel walks its row's key blocks in FlashAttention's way: S = Q K^T,
// online softmax in base 2, O += P V. K and V have one stage each; V arrives
// while S is multiplied, the next K while the softmax runs.
#include "AttendKernel.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

//===----------------------------------------------------------------------===//
// AttendSpec
//===----------------------------------------------------------------------===//

static LogicalResult expectTile(BlockSparseAttentionOp op, StringRef what,
                                int64_t of, int64_t most, int64_t got) {
  if (got % of == 0 && got <= most)
    return success();
  return op.emitOpError() << "expected a " << what << " that is a multiple of "
                          << of << " up to " << most
                          << " at the tile level, got " << got;
}

FailureOr<AttendSpec> unisparse::attendSpecOf(BlockSparseAttentionOp op) {
  auto q = op.getQ().getType(), k = op.getK().getType(), v = op.getV().getType();
  for (auto [what, type, i] :
       {std::tuple{"number of heads", q, 1}, {"number of heads", k, 1},
        {"head_dim", q, 3}, {"head_dim", v, 3}})
    if (type.isDynamicDim(i))
      return op.emitOpError() << "expected a static " << what
                              << " at the tile level, got " << type;
  AttendSpec s;
  s.blockQ = op.getBlock().getQuery();
  s.blockK = op.getBlock().getKey();
  s.headDim = q.getDimSize(3);
  s.valueDim = v.getDimSize(3);
  // Rows of 16 a warp, products of 16; above 128, fragments leave the
  // registers.
  if (failed(expectTile(op, "query block", 16, 128, s.blockQ)) ||
      failed(expectTile(op, "key block", 16, 128, s.blockK)) ||
      failed(expectTile(op, "head_dim", 16, 128, s.headDim)) ||
      failed(expectTile(op, "head_dim of v", 16, 128, s.valueDim)))
    return failure();
  s.heads = q.getDimSize(1);
  s.group = s.heads / k.getDimSize(1);
  s.hasSelection = static_cast<bool>(op.getCounts());
  s.selectionGroup =
      s.hasSelection
          ? s.heads / cast<ShapedType>(op.getCounts().getType()).getDimSize(1)
          : 1;
  s.element = q.getElementType();
  s.scale = op.getScale() ? op.getScale()->convertToDouble()
                          : 1.0 / std::sqrt(static_cast<double>(s.headDim));
  s.causal = op.getCausal();
  s.hasLse = static_cast<bool>(op.getLse());
  s.packed = static_cast<bool>(op.getCuSeqlensQ());
  return s;
}

int64_t AttendSpec::sharedBytes() const {
  auto bytes = [&](int64_t rows, int64_t columns) {
    return llvm::alignTo(
        SharedType::get(element.getContext(), rows, columns, element, 1)
            .getBytes(),
        1024);
  };
  return bytes(blockQ, headDim) + bytes(blockK, headDim) +
         bytes(blockK, valueDim);
}

//===----------------------------------------------------------------------===//
// The page
//===----------------------------------------------------------------------===//

namespace {

/// One sequence, in tokens of the packed or padded tensors. i32.
struct Span {
  Value qStart, qLength, kStart, kLength, unit;
};

class Page {
public:
  Page(OpBuilder &builder, Location loc, const AttendSpec &spec)
      : b(loc, builder), s(spec) {}

  gpu::GPUFuncOp build(StringRef name);

private:
  // i32 arithmetic
  Value i32(int64_t v) { return arith::ConstantIntOp::create(b, v, 32); }
  Value i64(Value v) {
    return arith::ExtSIOp::create(b, b.getI64Type(), v);
  }
  Value i64(int64_t v) { return arith::ConstantIntOp::create(b, v, 64); }
  Value add(Value x, Value y) { return b.createOrFold<arith::AddIOp>(x, y); }
  Value sub(Value x, Value y) { return b.createOrFold<arith::SubIOp>(x, y); }
  Value mul(Value x, int64_t y) {
    return b.createOrFold<arith::MulIOp>(x, i32(y));
  }
  Value div(Value x, int64_t y) {
    return b.createOrFold<arith::DivUIOp>(x, i32(y));
  }
  Value ceilDiv(Value x, int64_t y) { return div(add(x, i32(y - 1)), y); }
  Value compare(arith::CmpIPredicate p, Value x, Value y) {
    return arith::CmpIOp::create(b, p, x, y);
  }
  Value select(Value c, Value x, Value y) {
    return arith::SelectOp::create(b, c, x, y);
  }
  Value f32(double v) {
    return arith::ConstantOp::create(b, b.getF32FloatAttr(v));
  }
  Value id(gpu::Dimension dimension) {
    return arith::IndexCastOp::create(b, b.getI32Type(),
                                      gpu::BlockIdOp::create(b, dimension));
  }

  // Global memory
  Value at(Value pointer, Type element, Value index) {
    return LLVM::GEPOp::create(b, pointer.getType(), element, pointer,
                               ArrayRef<LLVM::GEPArg>{index});
  }
  Value loadI32(Value pointer, Value index) {
    return LLVM::LoadOp::create(b, b.getI32Type(),
                                at(pointer, b.getI32Type(), index));
  }
  /// Row `row` of matrix `number` of `rows` rows of `columns`.
  Value matrixRow(Value pointer, Type element, Value number, Value rows,
                  Value row, int64_t columns) {
    Value first = arith::AddIOp::create(
        b, arith::MulIOp::create(b, i64(number), i64(rows)), i64(row));
    return at(pointer, element,
              arith::MulIOp::create(b, first, i64(columns)));
  }

  // Tiles
  FragmentType fragment(int64_t columns, Type element) {
    return FragmentType::get(b.getContext(), s.blockQ, columns, element);
  }
  RowsType rows() {
    return RowsType::get(b.getContext(), s.blockQ, b.getF32Type());
  }
  Value fill(double v, Type type) { return FillOp::create(b, type, f32(v)); }
  Value tile(int64_t rows, int64_t columns) {
    return AllocOp::create(
        b, SharedType::get(b.getContext(), rows, columns, s.element, 1),
        IntegerAttr());
  }
  Value map(Type type, ValueRange inputs,
            function_ref<Value(ValueRange)> body, bool indices = false);
  void copy(Value from, Value row, Value limit, int64_t stride, Value to) {
    CopyAsyncOp::create(b, from, row, limit, i64(stride), to, i32(0));
  }

  void takeArguments(gpu::GPUFuncOp kernel);
  Span locate(Value slot);
  Span findPacked(Value slot);
  Value blockCount(const Span &span, Value row);
  Value blockNumber(Value row, Value n);
  Value maskedLogits(const Span &span, Value logits, Value firstKey);
  SmallVector<Value> step(const Span &span, Value n, ValueRange state);
  void writeResults(const Span &span, Value head, ValueRange state);
  void attend(const Span &span, Value slot, Value head, Value batchHead);

  ImplicitLocOpBuilder b;
  const AttendSpec &s;
  Value q, k, v, o, lse, counts, indices, cuQ, cuK;
  Value lq, lk, slots, keyBlocks, sequences;
  Value zero, keys, values, queries, keyRows, valueRows, selectionRow, count;
};

/// An elementwise page line: `body` on scalars.
Value Page::map(Type type, ValueRange inputs,
                function_ref<Value(ValueRange)> body, bool indices) {
  auto op = MapOp::create(b, type, inputs, indices);
  Block &block = op.getBody().emplaceBlock();
  if (indices)
    block.addArguments({b.getI32Type(), b.getI32Type()},
                       {b.getLoc(), b.getLoc()});
  for (Value input : inputs) {
    Type element = b.getF32Type();
    if (auto f = dyn_cast<FragmentType>(input.getType()))
      element = f.getElementType();
    block.addArgument(element, b.getLoc());
  }
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&block);
  YieldOp::create(b, body(block.getArguments()));
  return op;
}

/// The last sequence whose first slot is at or before `slot`, by bisection, and
/// the slot's place in it: the dialect's packed slots.
Span Page::findPacked(Value slot) {
  auto loop = scf::WhileOp::create(
      b, TypeRange{b.getI32Type(), b.getI32Type()},
      ValueRange{zero, sub(sequences, i32(1))},
      [&](OpBuilder &, Location, ValueRange range) {
        Value more = compare(arith::CmpIPredicate::slt, range[0], range[1]);
        scf::ConditionOp::create(b, more, range);
      },
      [&](OpBuilder &, Location, ValueRange range) {
        Value middle = ceilDiv(add(range[0], range[1]), 2);
        Value start = add(div(loadI32(cuQ, middle), s.blockQ), middle);
        Value behind = compare(arith::CmpIPredicate::slt, slot, start);
        Value low = select(behind, range[0], middle);
        Value high = select(behind, sub(middle, i32(1)), range[1]);
        scf::YieldOp::create(b, ValueRange{low, high});
      });
  Value n = loop.getResult(0), next = add(n, i32(1));
  Span span;
  span.qStart = loadI32(cuQ, n);
  span.qLength = sub(loadI32(cuQ, next), span.qStart);
  span.kStart = loadI32(cuK, n);
  span.kLength = sub(loadI32(cuK, next), span.kStart);
  span.unit = sub(slot, add(div(span.qStart, s.blockQ), n));
  return span;
}

Span Page::locate(Value slot) {
  return s.packed ? findPacked(slot) : Span{zero, lq, zero, lk, slot};
}

/// How many key blocks the row attends to: its selection's, or its candidates
/// (L1).
Value Page::blockCount(const Span &span, Value row) {
  if (s.hasSelection)
    return loadI32(counts, row);
  Value all = ceilDiv(span.kLength, s.blockK);
  if (!s.causal)
    return all;
  Value end = arith::MinSIOp::create(
      b, mul(add(span.unit, i32(1)), s.blockQ), span.qLength);
  Value seen = ceilDiv(add(sub(span.kLength, span.qLength), end), s.blockK);
  return arith::MinSIOp::create(b, seen, all);
}

/// Key block `n` of the row.
Value Page::blockNumber(Value row, Value n) {
  if (!s.hasSelection)
    return n;
  Value first = arith::MulIOp::create(b, i64(row), i64(keyBlocks));
  return loadI32(indices, arith::AddIOp::create(b, first, i64(n)));
}

/// -inf where a key is behind the query's position (A1) or the sequence's end
/// (P3): only blocks on the diagonal and at the end have such keys.
Value Page::maskedLogits(const Span &span, Value logits, Value firstKey) {
  Value firstQuery = add(mul(span.unit, s.blockQ),
                         sub(span.kLength, span.qLength));
  Value lastKey = add(firstKey, i32(s.blockK - 1));
  Value needed = compare(arith::CmpIPredicate::sge, lastKey, span.kLength);
  if (s.causal)
    needed = arith::OrIOp::create(
        b, needed, compare(arith::CmpIPredicate::sgt, lastKey, firstQuery));
  auto masked = scf::IfOp::create(b, TypeRange{logits.getType()}, needed,
                                  /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(masked.thenBlock());
  Value none = f32(-std::numeric_limits<double>::infinity());
  Value hidden = map(
      logits.getType(), logits,
      [&](ValueRange e) {
        Value key = add(firstKey, e[1]);
        Value seen = compare(arith::CmpIPredicate::slt, key, span.kLength);
        if (s.causal)
          seen = arith::AndIOp::create(
              b, seen,
              compare(arith::CmpIPredicate::sle, key, add(firstQuery, e[0])));
        return select(seen, e[2], none);
      },
      /*indices=*/true);
  scf::YieldOp::create(b, hidden);
  b.setInsertionPointToStart(masked.elseBlock());
  scf::YieldOp::create(b, logits);
  return masked.getResult(0);
}

/// One key block; the state is O, the maxima, the sums and the block's number.
SmallVector<Value> Page::step(const Span &span, Value n, ValueRange state) {
  Value output = state[0], oldTop = state[1], oldSum = state[2];
  Value firstKey = mul(state[3], s.blockK);
  // V arrives while S is multiplied.
  copy(valueRows, firstKey, span.kLength, s.valueDim, values);
  CommitOp::create(b);
  WaitOp::create(b, 1);
  BarrierOp::create(b);
  auto logitsType = fragment(s.blockK, b.getF32Type());
  Value logits = MmaOp::create(b, logitsType, queries, keys, zero,
                               fill(0.0, logitsType), /*by_rows=*/false);
  BarrierOp::create(b);
  // The next K, while the softmax runs; behind the last block, the last again.
  Value next = arith::MinSIOp::create(b, add(n, i32(1)), sub(count, i32(1)));
  Value nextBlock = blockNumber(selectionRow, next);
  copy(keyRows, mul(nextBlock, s.blockK), span.kLength, s.headDim, keys);
  CommitOp::create(b);

  logits = maskedLogits(span, logits, firstKey);
  Value scale = f32(s.scale * M_LOG2E);
  auto times = [&](Value x) { return arith::MulFOp::create(b, x, scale); };
  Value top = ReduceOp::create(b, Combine::Max, logits, oldTop);
  Value scaledTop = map(rows(), top, [&](ValueRange e) { return times(e[0]); });
  Value shrink = map(rows(), {oldTop, scaledTop}, [&](ValueRange e) -> Value {
    return math::Exp2Op::create(b, arith::SubFOp::create(b, times(e[0]), e[1]));
  });
  Value p = map(logitsType, {logits, scaledTop}, [&](ValueRange e) -> Value {
    Value down = arith::NegFOp::create(b, e[1]);
    return math::Exp2Op::create(b, math::FmaOp::create(b, e[0], scale, down));
  });
  auto product = [&](ValueRange e) -> Value {
    return arith::MulFOp::create(b, e[0], e[1]);
  };
  Value sum = ReduceOp::create(b, Combine::Add, p,
                               map(rows(), {oldSum, shrink}, product));
  output = map(output.getType(), {output, shrink}, product);
  Value rounded = map(fragment(s.blockK, s.element), p,
                      [&](ValueRange e) -> Value {
                        return convertScalarToDtype(b, b.getLoc(), e[0], s.element, false);
                      });
  WaitOp::create(b, 1);
  BarrierOp::create(b);
  output = MmaOp::create(b, output.getType(), rounded, values, zero, output,
                         /*by_rows=*/true);
  BarrierOp::create(b);
  return {output, top, sum, nextBlock};
}

/// o = O / sum and lse = (top + log2 sum) ln 2; 0 and -inf where nothing was
/// seen (A2).
void Page::writeResults(const Span &span, Value batchHead, ValueRange state) {
  auto isBlind = [&](Value sum) {
    return arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, sum, f32(0.0));
  };
  Value first = mul(span.unit, s.blockQ);
  Value out = map(fragment(s.valueDim, s.element), {state[0], state[2]},
                  [&](ValueRange e) -> Value {
                    Value sum = select(isBlind(e[1]), f32(1.0), e[1]);
                    Value x = arith::DivFOp::create(b, e[0], sum);
                    return convertScalarToDtype(b, b.getLoc(), x, s.element, false);
                  });
  Value target = matrixRow(o, s.element, batchHead, lq, span.qStart,
                           s.valueDim);
  StoreOp::create(b, out, target, first, span.qLength, i64(s.valueDim));
  if (!s.hasLse)
    return;
  Value scale = f32(s.scale * M_LOG2E);
  Value l = map(rows(), {state[1], state[2]}, [&](ValueRange e) -> Value {
    Value log = arith::AddFOp::create(b, arith::MulFOp::create(b, e[0], scale),
                                      math::Log2Op::create(b, e[1]));
    Value natural = arith::MulFOp::create(b, log, f32(M_LN2));
    return select(isBlind(e[1]),
                  f32(-std::numeric_limits<double>::infinity()), natural);
  });
  Value lseTarget =
      matrixRow(lse, b.getF32Type(), batchHead, lq, span.qStart, 1);
  StoreOp::create(b, l, lseTarget, first, span.qLength, i64(1));
}

void Page::attend(const Span &span, Value slot, Value head, Value batchHead) {
  Value kvHead = div(batchHead, s.group);
  selectionRow = arith::AddIOp::create(
      b, arith::MulIOp::create(b, div(batchHead, s.selectionGroup), slots),
      slot);
  count = blockCount(span, selectionRow);
  keyRows = matrixRow(k, s.element, kvHead, lk, span.kStart, s.headDim);
  valueRows = matrixRow(v, s.element, kvHead, lk, span.kStart, s.valueDim);
  Value queryRows =
      matrixRow(q, s.element, batchHead, lq, span.qStart, s.headDim);
  Value queryTile = tile(s.blockQ, s.headDim);
  keys = tile(s.blockK, s.headDim);
  values = tile(s.blockK, s.valueDim);
  copy(queryRows, mul(span.unit, s.blockQ), span.qLength, s.headDim, queryTile);
  // A row that selects nothing has no first block to load.
  Value some = compare(arith::CmpIPredicate::sgt, count, zero);
  auto first = scf::IfOp::create(b, TypeRange{b.getI32Type()}, some, true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(first.thenBlock());
    scf::YieldOp::create(b, blockNumber(selectionRow, zero));
    b.setInsertionPointToStart(first.elseBlock());
    scf::YieldOp::create(b, zero);
  }
  Value firstBlock = first.getResult(0);
  copy(keyRows, mul(firstBlock, s.blockK), span.kLength, s.headDim, keys);
  CommitOp::create(b);
  WaitOp::create(b, 0);
  BarrierOp::create(b);
  queries = LoadOp::create(b, fragment(s.headDim, s.element), queryTile, zero);
  SmallVector<Value> state{fill(0.0, fragment(s.valueDim, b.getF32Type())),
                           fill(std::numeric_limits<float>::lowest(), rows()),
                           fill(0.0, rows()), firstBlock};
  auto loop = scf::ForOp::create(
      b, zero, count, i32(1), state,
      [&](OpBuilder &, Location, Value n, ValueRange carried) {
        scf::YieldOp::create(b, step(span, n, carried));
      });
  // No copy may be in flight when the block ends.
  WaitOp::create(b, 0);
  writeResults(span, batchHead, loop.getResults());
}

void Page::takeArguments(gpu::GPUFuncOp kernel) {
  auto next = kernel.getArguments().begin();
  auto take = [&](bool present = true) {
    return present ? Value(*next++) : Value();
  };
  q = take(), k = take(), v = take(), o = take();
  lse = take(s.hasLse);
  counts = take(s.hasSelection), indices = take(s.hasSelection);
  cuQ = take(s.packed), cuK = take(s.packed);
  lq = take(), lk = take(), slots = take(), keyBlocks = take(),
  sequences = take();
}

gpu::GPUFuncOp Page::build(StringRef name) {
  auto pointer = LLVM::LLVMPointerType::get(b.getContext(), 1);
  SmallVector<Type> types(4 + s.hasLse + 2 * s.hasSelection + 2 * s.packed,
                          pointer);
  types.append(5, b.getI32Type());
  auto kernel =
      gpu::GPUFuncOp::create(b, name, b.getFunctionType(types, TypeRange{}));
  kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  kernel.setKnownBlockSize(
      ArrayRef<int32_t>{static_cast<int32_t>(32 * s.warps()), 1, 1});
  // One block an SM is enough to ask for: left to itself, ptxas would spill to
  // fit more.
  kernel->setAttr("nvvm.minctasm", b.getI32IntegerAttr(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&kernel.getBody().front());
  takeArguments(kernel);
  zero = i32(0);
  Value slot = id(gpu::Dimension::x), head = id(gpu::Dimension::y);
  // The last rows see the most keys: longest first.
  if (s.causal)
    slot = sub(sub(slots, i32(1)), slot);
  Value batchHead = add(mul(id(gpu::Dimension::z), s.heads), head);
  Span span = locate(slot);
  if (!s.packed) {
    attend(span, slot, head, batchHead);
  } else { // Spare slots of a packed batch have no rows.
    Value used = compare(arith::CmpIPredicate::slt, mul(span.unit, s.blockQ),
                         span.qLength);
    auto some = scf::IfOp::create(b, used, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPointToStart(some.thenBlock());
    attend(span, slot, head, batchHead);
  }
  b.setInsertionPointToEnd(&kernel.getBody().front());
  gpu::ReturnOp::create(b);
  return kernel;
}

} // namespace

gpu::GPUFuncOp unisparse::buildAttendKernel(OpBuilder &builder, Location loc,
                                            StringRef name,
                                            const AttendSpec &spec) {
  return Page(builder, loc, spec).build(name);
}
