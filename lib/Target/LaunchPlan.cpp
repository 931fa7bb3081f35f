// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Whatever is not in the contract of a launch plan is refused at the op.
#include "unisparse/Target/LaunchPlan.h"
#include "PlanBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "unisparse/Version.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Config/llvm-config.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::artifact;

LogicalResult PlanBuilder::visit(Operation *op) {
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](gpu::AllocOp op) { return visitAlloc(op); })
      .Case([&](gpu::MemsetOp op) { return visitMemset(op); })
      .Case([&](gpu::LaunchFuncOp op) { return visitLaunch(op); })
      .Case([&](cf::AssertOp op) { return visitAssert(op); })
      .Case([&](func::ReturnOp op) { return visitReturn(op); })
      // The runtime frees nothing: outputs and workspace are the caller's.
      // Comparisons and remainders are read by the assertion they belong to,
      // tensor maps by their launches.
      .Case<unitile::TensorMapOp, gpu::DeallocOp, arith::CmpIOp, arith::RemUIOp,
            arith::RemSIOp>([](auto) { return success(); })
      .Default([&](Operation *op) { return values.visit(op); });
}

void PlanBuilder::setOrigin() {
  plan.producer =
      "UniSparse " UNISPARSE_VERSION " with LLVM " LLVM_VERSION_STRING;
  auto name = function->getAttrOfType<StringAttr>(kNameAttr);
  plan.entry = (name ? name.getValue() : function.getName()).str();
}

FailureOr<Artifact> PlanBuilder::build() {
  if (!function.getBody().hasOneBlock())
    return function.emitOpError(
               "expected straight-line code in one block, got ")
           << function.getBody().getBlocks().size()
           << " blocks; unisparse-outline compiles the attention of such a "
              "program alone";
  setOrigin();
  if (failed(addInputs()))
    return failure();
  // What chooses a result is refused before the result is.
  for (Operation &op : function.getBody().front())
    if ((op.getNumRegions() || isa<func::CallOp>(op)) && failed(visit(&op)))
      return failure();
  if (failed(findOutputs()) || failed(addImage()))
    return failure();
  for (Operation &op : function.getBody().front())
    if (failed(visit(&op)))
      return failure();
  for (auto [i, input] : llvm::enumerate(plan.inputs))
    if (values.readsStrides(BufferKind::Input, i))
      input.layout = Layout::Rows;
  for (auto [i, output] : llvm::enumerate(plan.outputs))
    if (values.readsStrides(BufferKind::Output, i))
      output.layout = Layout::Rows;
  plan.variants.push_back(std::move(variant));
  return std::move(plan);
}

FailureOr<func::FuncOp> unisparse::entryOf(ModuleOp module, StringRef name) {
  SmallVector<func::FuncOp> found;
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isExternal() &&
        (name.empty() ? function.isPublic() : function.getName() == name))
      found.push_back(function);
  if (found.size() == 1)
    return found.front();
  InFlightDiagnostic error = module.emitError("expected ");
  if (name.empty())
    return error << "one public function, got " << found.size();
  return error << "a function @" << name << ", got none";
}

FailureOr<Artifact> unisparse::translateToArtifact(ModuleOp module,
                                                   StringRef entry) {
  FailureOr<func::FuncOp> function = entryOf(module, entry);
  if (failed(function))
    return failure();
  auto binaries = llvm::to_vector(module.getOps<gpu::BinaryOp>());
  if (binaries.empty())
    return module.emitError("expected a program with kernels (stages of "
                            "unisparse, linalg on tensors), got none");
  if (binaries.size() != 1)
    return module.emitError("expected one gpu.binary, got ") << binaries.size();
  return PlanBuilder(*function, binaries.front()).build();
}
