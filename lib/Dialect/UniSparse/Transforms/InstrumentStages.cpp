// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "unisparse-rt/stages.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniSparse/Transforms/Passes.h"
#include "llvm/ADT/MapVector.h"
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

/// The declaration of `name`, made where the symbol table has none. Null, after
/// a diagnostic, where something else has the name.
func::FuncOp declareHook(Operation *table, StringRef name) {
  OpBuilder b = OpBuilder::atBlockBegin(&table->getRegion(0).front());
  auto type = b.getFunctionType({b.getI32Type()}, {});
  if (Operation *symbol = SymbolTable::lookupSymbolIn(table, name)) {
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
  auto function = func::FuncOp::create(b, table->getLoc(), name, type);
  function.setPrivate();
  function->setAttr("llvm.emit_c_interface", b.getUnitAttr());
  return function;
}

struct InstrumentStages
    : unisparse::impl::UniSparseInstrumentStagesBase<InstrumentStages> {
  void runOnOperation() override {
    // A call sees the symbols of the nearest table: a module in a module has
    // hooks of its own.
    llvm::MapVector<Operation *, SmallVector<Operation *>> stages;
    stages[getOperation()];
    getOperation().walk([&](Operation *op) {
      if (stageOf(op))
        stages[SymbolTable::getNearestSymbolTable(op)].push_back(op);
    });
    for (auto &[table, ops] : stages)
      if (failed(instrument(table, ops)))
        return signalPassFailure();
  }

  static LogicalResult instrument(Operation *table, ArrayRef<Operation *> ops) {
    func::FuncOp begin = declareHook(table, "unisparse_stage_begin");
    func::FuncOp end = declareHook(table, "unisparse_stage_end");
    if (!begin || !end)
      return failure();
    for (Operation *op : ops) {
      std::optional<int32_t> stage = stageOf(op);
      OpBuilder b(op);
      Location loc = op->getLoc();
      Value id = arith::ConstantIntOp::create(b, loc, *stage, 32);
      func::CallOp::create(b, loc, begin, ValueRange{id});
      b.setInsertionPointAfter(op);
      func::CallOp::create(b, loc, end, ValueRange{id});
    }
    return success();
  }
};
} // namespace
