// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A pipeline whose options can be wrong is a pass that says so: a builder of
// PassPipelineRegistration has no way to fail.
#ifndef UNISPARSE_LIB_PIPELINES_CHIPPIPELINE_H
#define UNISPARSE_LIB_PIPELINES_CHIPPIPELINE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include "unisparse/Pipelines/Pipelines.h"

namespace unisparse {

/// `Options` has a chip and a TileFormat; `build` adds the passes.
template <typename Derived, typename Options,
          mlir::LogicalResult (*build)(
              mlir::OpPassManager &, const Options &,
              llvm::function_ref<mlir::InFlightDiagnostic()>)>
struct ChipPipeline
    : mlir::PassWrapper<Derived, mlir::OperationPass<mlir::ModuleOp>> {
  ChipPipeline() = default;
  ChipPipeline(const ChipPipeline &other)
      : mlir::PassWrapper<Derived, mlir::OperationPass<mlir::ModuleOp>>(other) {
    this->copyOptionValuesFrom(&other);
  }

  void getDependentDialects(mlir::DialectRegistry &registry) const override {
    mlir::OpPassManager pm(mlir::ModuleOp::getOperationName());
    Options defaults;
    (void)build(pm, defaults, [] { return mlir::InFlightDiagnostic(); });
    pm.getDependentDialects(registry);
  }

  void runOnOperation() override {
    Options options;
    options.chip = chip.getValue();
    options.format = format.getValue();
    static_cast<Derived *>(this)->addOptions(options);
    mlir::OpPassManager pm(mlir::ModuleOp::getOperationName());
    auto emitError = [&] { return this->getOperation().emitError(); };
    if (failed(build(pm, options, emitError)) ||
        failed(this->runPipeline(pm, this->getOperation())))
      this->signalPassFailure();
  }

  /// Of a pipeline that has more of them.
  void addOptions(Options &) {}

  mlir::Pass::Option<std::string> chip{*this, "chip", llvm::cl::init("sm_80"),
                                       llvm::cl::desc("chip to compile for")};
  mlir::Pass::Option<TileFormat> format{
      *this, "format", llvm::cl::init(TileFormat::Isa),
      llvm::cl::desc("what becomes of the kernels"),
      llvm::cl::values(
          clEnumValN(TileFormat::None, "llvm", "LLVM dialect, as it is"),
          clEnumValN(TileFormat::Isa, "isa", "PTX"),
          clEnumValN(TileFormat::Bin, "bin", "machine code, by ptxas"))};
};

} // namespace unisparse

#endif // UNISPARSE_LIB_PIPELINES_CHIPPIPELINE_H
