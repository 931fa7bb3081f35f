// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Dialect/UniSparse/IR/Modification.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

using namespace mlir;
using namespace unisparse;

/// The logit, batch, head, position of the query and of the key.
static constexpr unsigned kArguments = 5;

static bool isScalar(Type type) { return type.isIntOrIndexOrFloat(); }

/// Whether every target has it, on scalars and on vectors.
static bool isElementwise(Operation *op) {
  bool known =
      isa<math::AbsFOp, math::AbsIOp, math::CeilOp, math::CopySignOp,
          math::ExpOp, math::Exp2Op, math::FloorOp, math::FmaOp, math::LogOp,
          math::Log2Op, math::RsqrtOp, math::RoundEvenOp, math::SqrtOp,
          math::TanhOp, math::TruncOp>(op) ||
      (isa_and_nonnull<arith::ArithDialect>(op->getDialect()) &&
       OpTrait::hasElementwiseMappableTraits(op));
  return known || isa<arith::ConstantOp>(op);
}

static LogicalResult verifyOp(Operation &op, Block &body) {
  if (auto read = dyn_cast<tensor::ExtractOp>(op)) {
    auto table = dyn_cast<BlockArgument>(read.getTensor());
    if (table && table.getOwner() == &body)
      return success();
  } else if (isElementwise(&op) &&
             llvm::all_of(op.getResultTypes(), isScalar)) {
    bool isF32 = !isa<FloatType>(op.getResult(0).getType()) ||
                 op.getResult(0).getType().isF32();
    if (isF32 || !isa<math::MathDialect>(op.getDialect()))
      return success();
  }
  return op.emitOpError("[M5] expected scalars of arith, the ops of math that "
                        "every target has, on f32, and tensor.extract of a "
                        "table in a modification of logits");
}

LogicalResult unisparse::verifyModification(Operation *op, RegionRange regions,
                                            ValueRange tables) {
  if (regions.empty()) {
    if (tables.empty())
      return success();
    return op->emitOpError("[M5] expected tables beside a modification only, "
                           "got ")
           << tables.size() << " without one";
  }
  if (regions.size() > 1 || !regions.front()->hasOneBlock())
    return op->emitOpError("[M5] expected one modification of one block, got ")
           << regions.size() << " regions of "
           << regions.front()->getBlocks().size() << " blocks";
  Block &body = regions.front()->front();
  Builder b(op->getContext());
  SmallVector<Type> expected{b.getF32Type()};
  expected.append(kArguments - 1, b.getI32Type());
  llvm::append_range(expected, tables.getTypes());
  if (!llvm::equal(body.getArgumentTypes(), expected)) {
    InFlightDiagnostic error = op->emitOpError(
        "[M5] expected a modification of (logit, batch, head, query position, "
        "key position, tables), ");
    return error << TypeRange(expected) << ", got "
                 << TypeRange(body.getArgumentTypes());
  }
  if (!isa<YieldOp>(body.back()))
    return op->emitOpError("[M5] expected a modification that ends with "
                           "unisparse.yield, got ")
           << body.back().getName();
  for (Operation &inner : body.without_terminator())
    if (failed(verifyOp(inner, body)))
      return failure();
  return success();
}

Value unisparse::copyModification(OpBuilder &b, Region &region,
                                  ValueRange arguments,
                                  const ModificationForm &form) {
  Block &body = region.front();
  IRMapping mapping;
  mapping.map(body.getArguments().take_front(kArguments), arguments);
  for (Operation &op : body.without_terminator()) {
    if (auto read = dyn_cast<tensor::ExtractOp>(op)) {
      unsigned table =
          cast<BlockArgument>(read.getTensor()).getArgNumber() - kArguments;
      SmallVector<Value> indices = llvm::map_to_vector(
          read.getIndices(), [&](Value i) { return mapping.lookup(i); });
      mapping.map(read.getResult(), form.read(table, indices));
      continue;
    }
    if (isa<arith::ConstantOp>(op)) {
      mapping.map(op.getResult(0), form.constant(b.clone(op)->getResult(0)));
      continue;
    }
    Operation *copy = b.clone(op, mapping);
    for (Value result : copy->getResults())
      result.setType(form.type(result.getType()));
  }
  return mapping.lookup(cast<YieldOp>(body.getTerminator()).getLogit());
}
