// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "StrideResults.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "unisparse/Target/LaunchPlan.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEDESCRIBEPROGRAM
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

struct DescribeProgram
    : unisparse::impl::UniSparseDescribeProgramBase<DescribeProgram> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    FailureOr<func::FuncOp> entry = entryOf(module, /*name=*/"");
    FailureOr<artifact::Artifact> description =
        failed(entry) ? FailureOr<artifact::Artifact>()
                      : describeProgram(*entry);
    if (failed(description))
      return signalPassFailure();
    Operation *results = entry->getBody().front().getTerminator();
    for (auto [output, result] :
         llvm::zip_equal(description->outputs, results->getOperands()))
      if (canHaveStrides(result))
        output.layout = artifact::Layout::Rows;
    module->setAttr(
        kDescriptionAttr,
        StringAttr::get(&getContext(), artifact::write(*description)));
  }
};

} // namespace
