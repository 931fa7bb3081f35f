// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A pipeline of a module's passes that says where it belongs. Where it does not
// belong, PassPipelineRegistration would add module passes to another op's pass
// manager, which ends the process.
#ifndef UNISPARSE_LIB_PIPELINES_MODULEPIPELINE_H
#define UNISPARSE_LIB_PIPELINES_MODULEPIPELINE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

namespace unisparse {

/// `build` adds the passes, `Options` is a PassPipelineOptions.
template <typename Options>
void registerModulePipeline(llvm::StringRef argument,
                            llvm::StringRef description,
                            void (*build)(mlir::OpPassManager &,
                                          const Options &)) {
  using ErrorHandler =
      llvm::function_ref<mlir::LogicalResult(const llvm::Twine &)>;
  mlir::registerPassPipeline(
      argument, description,
      [=](mlir::OpPassManager &pm, llvm::StringRef text,
          ErrorHandler fail) -> mlir::LogicalResult {
        llvm::StringRef on = pm.getOpAnchorName();
        // A pass manager on any op, as PassManager(context) is, meets its op
        // when it runs.
        if (on != mlir::ModuleOp::getOperationName() &&
            on != mlir::OpPassManager::getAnyOpAnchorName())
          return fail("expected " + argument + " on '" +
                      mlir::ModuleOp::getOperationName() + "', got '" + on +
                      "'");
        Options options;
        if (mlir::failed(options.parseFromString(text)))
          return mlir::failure();
        build(pm, options);
        return mlir::success();
      },
      [](llvm::function_ref<void(const mlir::detail::PassOptions &)> handle) {
        handle(Options());
      });
}

} // namespace unisparse

#endif // UNISPARSE_LIB_PIPELINES_MODULEPIPELINE_H
