// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Lowers the house's own op to UniSparse's, and the program both ways: by the
// CPU pipeline, named as text, and to an artifact for a GPU. Of upstream MLIR
// it registers nothing but the dialect that its input is written in.
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/InitAll.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "unisparse/Target/LaunchPlan.h"

#include "HouseDialect.h.inc"
#define GET_OP_CLASSES
#include "HouseOps.h.inc"

#include "HouseDialect.cpp.inc"
#define GET_OP_CLASSES
#include "HouseOps.cpp.inc"

void house::HouseDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "HouseOps.cpp.inc"
      >();
}

static void lower(house::AttendOp op) {
  mlir::OpBuilder b(op);
  auto attention = unisparse::AttentionOp::create(
      b, op.getLoc(), op.getQ(), op.getK(), op.getV(), /*top_p=*/{},
      /*cu_seqlens_q=*/{}, /*cu_seqlens_k=*/{},
      unisparse::BlockAttr::get(op.getContext(), 64, 64),
      unisparse::PoolingAttr::get(op.getContext(), 8, 8, 1), op.getRule(),
      unisparse::Agg::Max, unisparse::Share::None, /*causal=*/true,
      /*return_lse=*/false, /*scale=*/{}, llvm::APFloat(1.0), /*softcap=*/{},
      /*window=*/{}, /*sink_logits=*/{}, /*tables=*/{},
      /*estimate_with_region=*/false, /*modificationCount=*/0);
  op.getResult().replaceAllUsesWith(attention.getO());
  op.erase();
}

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  unisparse::registerDialects(registry);
  unisparse::registerPasses();
  registry.insert<mlir::func::FuncDialect, house::HouseDialect>();
  mlir::MLIRContext context(registry);
  auto module =
      mlir::parseSourceFile<mlir::ModuleOp>(argc > 1 ? argv[1] : "-", &context);
  if (!module)
    return 1;
  module->walk(lower);
  mlir::OwningOpRef<mlir::ModuleOp> forGPU = module->clone();

  mlir::PassManager cpu(&context);
  if (failed(mlir::parsePassPipeline(
          "unisparse-to-cpu-pipeline{vector-bits=512}", cpu)) ||
      failed(cpu.run(*module)))
    return 1;
  module->print(llvm::outs());

  mlir::PassManager gpu(&context);
  unisparse::GPUPipelineOptions options;
  options.chip = "sm_90";
  if (failed(unisparse::buildGPUPipeline(
          gpu, options, [&] { return mlir::emitError(module->getLoc()); })) ||
      failed(gpu.run(*forGPU)))
    return 1;
  auto artifact = unisparse::translateToArtifact(*forGPU, "");
  if (failed(artifact))
    return 1;
  unisparse::artifact::print(*artifact, llvm::outs());
  return 0;
}
