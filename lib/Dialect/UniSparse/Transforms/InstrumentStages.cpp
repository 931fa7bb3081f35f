// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "unisparse-rt/stages.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"
#include "llvm/ADT/TypeSwitch.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEINSTRUMENTSTAGES
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

std::optional<int32_t> stageOf(Operation *op) {
  return llvm::TypeSwitch<Operation *, std::optional<int32_t>>(op)
      .Case([](PoolOp) { return UNISPARSE_STAGE_POOL; })
      .Case([](BlockScoreOp) { return UNISPARSE_STAGE_SCORE; })
      .Case([](BlockSelectOp) { return UNISPARSE_STAGE_SELECT; })
      .Case([](BlockSparseAttentionOp) { return UNISPARSE_STAGE_ATTEND; })
      .Default(std::nullopt);
}

/// The declaration of `name`, made where the module has none. Null, after a
/// diagnostic, where something else has the name.
func::FuncOp declareHook(ModuleOp module, StringRef name) {
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  auto type = b.getFunctionType({b.getI32Type()}, {});
  if (Operation *symbol = module.lookupSymbol(name)) {
    auto function = dyn_cast<func::FuncOp>(symbol);
    if (function && function.getFunctionType() == type) {
      // The host defines the C interface.
      function->setAttr("llvm.emit_c_interface", b.getUnitAttr());
      return function;
    }
    symbol->emitOpError() << "expected @" << name
                          << " to be a function of type " << type
                          << ", as stages are to call it";
    return {};
  }
  auto function = func::FuncOp::create(b, module.getLoc(), name, type);
  function.setPrivate();
  function->setAttr("llvm.emit_c_interface", b.getUnitAttr());
  return function;
}

struct InstrumentStages
    : unisparse::impl::UniSparseInstrumentStagesBase<InstrumentStages> {
  void runOnOperation() override {
    func::FuncOp begin = declareHook(getOperation(), "unisparse_stage_begin");
    func::FuncOp end = declareHook(getOperation(), "unisparse_stage_end");
    if (!begin || !end)
      return signalPassFailure();
    getOperation().walk([&](Operation *op) {
      std::optional<int32_t> stage = stageOf(op);
      if (!stage)
        return;
      OpBuilder b(op);
      Location loc = op->getLoc();
      Value id = arith::ConstantIntOp::create(b, loc, *stage, 32);
      func::CallOp::create(b, loc, begin, ValueRange{id});
      b.setInsertionPointAfter(op);
      func::CallOp::create(b, loc, end, ValueRange{id});
    });
  }
};
} // namespace
