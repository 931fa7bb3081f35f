// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace unisparse;
using namespace unisparse::unitile;

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

Value PageBuilder::blockId(gpu::Dimension dimension) {
  return arith::IndexCastOp::create(b, b.getI32Type(),
                                    gpu::BlockIdOp::create(b, dimension));
}

Value PageBuilder::threadId() {
  return arith::IndexCastOp::create(
      b, b.getI32Type(), gpu::ThreadIdOp::create(b, gpu::Dimension::x));
}

void PageBuilder::ifThen(Value condition, function_ref<void()> body) {
  auto op = scf::IfOp::create(b, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.thenBlock());
  body();
}

SmallVector<Value> PageBuilder::ifElse(Value condition,
                                       function_ref<SmallVector<Value>()> yes,
                                       function_ref<SmallVector<Value>()> no) {
  auto emit = [&](function_ref<SmallVector<Value>()> body) {
    return [this, body](OpBuilder &inner, Location) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(inner.getInsertionBlock(), inner.getInsertionPoint());
      scf::YieldOp::create(b, body());
    };
  };
  return scf::IfOp::create(b, condition, emit(yes), emit(no)).getResults();
}

SmallVector<Value>
PageBuilder::forEach(Value lo, Value hi, int64_t step, ValueRange inits,
                     function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  return scf::ForOp::create(
             b, lo, hi, i32(step), inits,
             [&](OpBuilder &inner, Location, Value i, ValueRange carried) {
               OpBuilder::InsertionGuard guard(b);
               b.setInsertionPoint(inner.getInsertionBlock(),
                                   inner.getInsertionPoint());
               scf::YieldOp::create(b, body(i, carried));
             })
      .getResults();
}

SmallVector<Value>
PageBuilder::whileLoop(ValueRange inits,
                       function_ref<Value(ValueRange)> condition,
                       function_ref<SmallVector<Value>(ValueRange)> body) {
  auto at = [&](OpBuilder &inner) {
    b.setInsertionPoint(inner.getInsertionBlock(), inner.getInsertionPoint());
  };
  OpBuilder::InsertionGuard guard(b);
  auto loop = scf::WhileOp::create(
      b, inits.getTypes(), inits,
      [&](OpBuilder &inner, Location, ValueRange carried) {
        at(inner);
        scf::ConditionOp::create(b, condition(carried), carried);
      },
      [&](OpBuilder &inner, Location, ValueRange carried) {
        at(inner);
        scf::YieldOp::create(b, body(carried));
      });
  return loop.getResults();
}

/// A loop over i32 numbers whose values `combine` makes one of.
static SmallVector<Value>
parallelLoop(PageBuilder &p, Value lo, Value hi, ValueRange inits,
             function_ref<SmallVector<Value>(Value)> body,
             function_ref<Value(Value, Value)> combine) {
  ImplicitLocOpBuilder &b = p.b;
  Value one = arith::ConstantIndexOp::create(b, 1);
  OpBuilder::InsertionGuard guard(b);
  auto loop = scf::ParallelOp::create(
      b, ValueRange{p.index(lo)}, ValueRange{p.index(hi)}, ValueRange{one},
      inits, [&](OpBuilder &inner, Location, ValueRange ivs, ValueRange) {
        b.setInsertionPoint(inner.getInsertionBlock(),
                            inner.getInsertionPoint());
        auto reduce = scf::ReduceOp::create(
            b, body(arith::IndexCastOp::create(b, b.getI32Type(), ivs[0])));
        for (Region &region : reduce.getReductions()) {
          Block &block = region.front();
          b.setInsertionPointToEnd(&block);
          scf::ReduceReturnOp::create(
              b, combine(block.getArgument(0), block.getArgument(1)));
        }
      });
  return loop.getResults();
}

SmallVector<Value>
PageBuilder::parallel(Value lo, Value hi, ValueRange inits,
                      function_ref<SmallVector<Value>(Value)> body) {
  return parallelLoop(*this, lo, hi, inits, body, [&](Value x, Value y) {
    return isa<FloatType>(x.getType())
               ? arith::AddFOp::create(b, x, y).getResult()
               : arith::AddIOp::create(b, x, y).getResult();
  });
}

Value PageBuilder::largest(Value lo, Value hi, Value init,
                           function_ref<Value(Value)> body) {
  return parallelLoop(
      *this, lo, hi, init,
      [&](Value i) -> SmallVector<Value> { return {body(i)}; },
      [&](Value x, Value y) { return arith::MaxUIOp::create(b, x, y); })[0];
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

SmallVector<Value> PageBuilder::indices(ValueRange i) {
  return llvm::map_to_vector(i, [&](Value x) { return index(x); });
}

Value PageBuilder::read(Value memref, ValueRange i) {
  return memref::LoadOp::create(b, memref, indices(i));
}

Value PageBuilder::scratch(ArrayRef<int64_t> shape, Type element) {
  auto space =
      gpu::AddressSpaceAttr::get(b.getContext(), gpu::AddressSpace::Workgroup);
  return memref::AllocaOp::create(
      b, MemRefType::get(shape, element, MemRefLayoutAttrInterface(), space));
}

void PageBuilder::write(Value x, Value memref, ValueRange i) {
  memref::StoreOp::create(b, x, memref, indices(i));
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

FragmentType PageBuilder::fragment(int64_t rows, int64_t columns,
                                   Type element) {
  return FragmentType::get(b.getContext(), rows, columns, element);
}

RowsType PageBuilder::rows(int64_t rows) {
  return RowsType::get(b.getContext(), rows, b.getF32Type());
}

Value PageBuilder::map(Type type, ValueRange inputs,
                       function_ref<Value(ValueRange)> body, bool indices) {
  auto op = MapOp::create(b, type, inputs, indices);
  Block &block = op.getBody().emplaceBlock();
  if (indices)
    block.addArgument(b.getI32Type(), b.getLoc());
  if (indices && isa<FragmentType>(type))
    block.addArgument(b.getI32Type(), b.getLoc());
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
