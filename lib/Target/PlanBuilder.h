// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// One walk over a host function, op by op. LaunchPlan.cpp has the walk,
// PlanSignature.cpp what a caller sees and the image, PlanSteps.cpp buffers,
// fills, checks and launches. Description.cpp takes what a caller sees alone.
#ifndef UNISPARSE_LIB_TARGET_PLANBUILDER_H
#define UNISPARSE_LIB_TARGET_PLANBUILDER_H

#include "HostValues.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "llvm/ADT/MapVector.h"

namespace unisparse {

/// How the artifact names an element type, if it has it.
std::optional<artifact::Element> elementOf(mlir::Type type);

class PlanBuilder {
public:
  PlanBuilder(mlir::func::FuncOp function, mlir::gpu::BinaryOp binary)
      : function(function), binary(binary) {}

  mlir::FailureOr<artifact::Artifact> build();
  /// What a caller sees of a function on buffers, whatever computes it; there
  /// is no binary.
  mlir::FailureOr<artifact::Artifact> describe();

private:
  void setOrigin();
  mlir::LogicalResult addInputs();
  mlir::LogicalResult addInput(mlir::BlockArgument argument);
  mlir::LogicalResult findOutputs();
  mlir::FailureOr<artifact::Expr> sizeOf(mlir::Value size,
                                         mlir::Operation *user);
  mlir::FailureOr<llvm::SmallVector<artifact::Expr>>
  sizesOfResult(mlir::Value result);
  mlir::LogicalResult addImage();
  mlir::LogicalResult visit(mlir::Operation *op);
  mlir::LogicalResult visitAlloc(mlir::gpu::AllocOp op);
  mlir::LogicalResult visitMemset(mlir::gpu::MemsetOp op);
  mlir::LogicalResult visitAssert(mlir::cf::AssertOp op);
  mlir::LogicalResult visitReturn(mlir::func::ReturnOp op);
  mlir::LogicalResult visitLaunch(mlir::gpu::LaunchFuncOp op);
  mlir::FailureOr<artifact::TensorMap> mapOf(unitile::TensorMapOp op);
  mlir::FailureOr<artifact::Argument> argumentOf(mlir::Value value,
                                                 mlir::Operation *op);
  mlir::LogicalResult setThreads(mlir::gpu::LaunchFuncOp op,
                                 artifact::Step &step);
  mlir::LogicalResult checkKernel(mlir::gpu::LaunchFuncOp op);

  mlir::func::FuncOp function;
  mlir::gpu::BinaryOp binary;
  artifact::Artifact plan;
  artifact::Variant variant;
  HostValues values;
  /// The allocations that are returned, and as which result.
  llvm::MapVector<mlir::Value, uint32_t> outputs;
};

} // namespace unisparse

#endif // UNISPARSE_LIB_TARGET_PLANBUILDER_H
