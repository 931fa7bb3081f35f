// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a caller sees of a program for the CPU. Its code is machine code, so only
// the sizes of its results have to be formulas.
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
  for (auto [value, index] : outputs) {
    auto alloc = value.getDefiningOp<memref::AllocOp>();
    auto dynamic = alloc.getDynamicSizes().begin();
    for (int64_t size : alloc.getType().getShape()) {
      FailureOr<Expr> expr = ShapedType::isDynamic(size)
                                 ? sizeOf(*dynamic++, alloc)
                                 : FailureOr<Expr>(constant(size));
      if (failed(expr))
        return failure();
      plan.outputs[index].sizes.push_back(std::move(*expr));
    }
  }
  return std::move(plan);
}

FailureOr<Artifact> unisparse::describeProgram(func::FuncOp function) {
  return PlanBuilder(function, gpu::BinaryOp()).describe();
}
