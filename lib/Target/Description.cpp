// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a caller sees of a program for the CPU. Its code is machine code, so
// only the sizes of its results have to be formulas.
#include "PlanBuilder.h"
#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Target/LaunchPlan.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::artifact;

/// Visits what a size is computed from, and nothing else of the function.
FailureOr<Expr> PlanBuilder::sizeOf(Value size, Operation *user) {
  SetVector<Operation *> slice;
  BackwardSliceOptions options;
  options.inclusive = true;
  options.omitBlockArguments = true;
  if (failed(getBackwardSlice(size, &slice, options)))
    return failure();
  for (Operation *op : topologicalSort(slice))
    if (failed(values.visit(op)))
      return failure();
  return values.exprOf(size, user);
}

/// Of an allocation, or of a cast or a reshape of one.
FailureOr<SmallVector<Expr>> PlanBuilder::sizesOfResult(Value result) {
  Operation *op = result.getDefiningOp();
  if (auto alloc = dyn_cast<memref::AllocOp>(op)) {
    SmallVector<Expr> sizes;
    auto dynamic = alloc.getDynamicSizes().begin();
    for (int64_t size : alloc.getType().getShape()) {
      FailureOr<Expr> expr = ShapedType::isDynamic(size)
                                 ? sizeOf(*dynamic++, alloc)
                                 : FailureOr<Expr>(constant(size));
      if (failed(expr))
        return failure();
      sizes.push_back(std::move(*expr));
    }
    return sizes;
  }
  FailureOr<SmallVector<Expr>> sizes = sizesOfResult(op->getOperand(0));
  if (failed(sizes) || isa<memref::CastOp>(op))
    return sizes;
  for (Value size : op->getOperands().drop_front())
    if (failed(sizeOf(size, op)))
      return failure();
  return values.reshapedSizes(op, *sizes);
}

FailureOr<Artifact> PlanBuilder::describe() {
  setOrigin();
  if (!function.getBody().hasOneBlock())
    return function.emitOpError("expected one block, got ")
           << function.getBody().getBlocks().size();
  if (failed(addInputs()) || failed(findOutputs()))
    return failure();
  for (auto [input, argument] :
       llvm::zip_equal(plan.inputs, function.getArguments()))
    if (!cast<MemRefType>(argument.getType()).getLayout().isIdentity())
      input.layout = Layout::Rows;
  Operation *end = function.getBody().front().getTerminator();
  for (auto [output, result] :
       llvm::zip_equal(plan.outputs, end->getOperands())) {
    FailureOr<SmallVector<Expr>> sizes = sizesOfResult(result);
    if (failed(sizes))
      return failure();
    output.sizes.assign(sizes->begin(), sizes->end());
  }
  return std::move(plan);
}

FailureOr<Artifact> unisparse::describeProgram(func::FuncOp function) {
  return PlanBuilder(function, gpu::BinaryOp()).describe();
}
