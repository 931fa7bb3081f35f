// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/FunctionCallUtils.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "unisparse/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEREPORTVIOLATIONS
#include "unisparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

constexpr StringLiteral kHook = "unisparse_violation";

struct ReportViolations
    : unisparse::impl::UniSparseReportViolationsBase<ReportViolations> {
  void runOnOperation() override;

private:
  LLVM::LLVMFuncOp hook();
  void defineHook(LLVM::LLVMFuncOp function);
  Value text(OpBuilder &b, Location loc, StringRef value);
  void report(cf::AssertOp op, const Comparison &comparison,
              LLVM::LLVMFuncOp hook);

  llvm::StringMap<LLVM::GlobalOp> texts;
};

} // namespace

/// The address of a constant, zero behind it.
Value ReportViolations::text(OpBuilder &b, Location loc, StringRef value) {
  LLVM::GlobalOp &global = texts[value];
  if (!global) {
    // Not in the module yet, whose table then finds it a name.
    OpBuilder detached(&getContext());
    std::string bytes = (value + Twine('\0')).str();
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), bytes.size());
    global = LLVM::GlobalOp::create(detached, loc, type, /*isConstant=*/true,
                                    LLVM::Linkage::Internal, "unisparse_rule",
                                    b.getStringAttr(bytes));
    SymbolTable(getOperation())
        .insert(global, getOperation().getBody()->begin());
  }
  return LLVM::AddressOfOp::create(b, loc, global);
}

/// One line on stderr, and the end: the program has no way to say that it did
/// not run. Weak, so that a host may define its own.
void ReportViolations::defineHook(LLVM::LLVMFuncOp function) {
  Location loc = function.getLoc();
  OpBuilder b(&getContext());
  Type i32 = b.getI32Type(),
       pointer = LLVM::LLVMPointerType::get(&getContext());
  auto declare = [&](StringRef name, LLVM::LLVMFunctionType type) {
    if (auto known = getOperation().lookupSymbol<LLVM::LLVMFuncOp>(name))
      return known;
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(getOperation().getBody());
    return LLVM::LLVMFuncOp::create(b, loc, name, type);
  };
  auto print = declare("dprintf", LLVM::LLVMFunctionType::get(
                                      i32, {i32, pointer}, /*isVarArg=*/true));
  auto abort = declare(
      "abort",
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(&getContext()), {}));
  Block *body = function.addEntryBlock(b);
  b.setInsertionPointToStart(body);
  Value stderrNumber = LLVM::ConstantOp::create(b, loc, i32, 2);
  SmallVector<Value> arguments{
      stderrNumber, text(b, loc, "unisparse: %s, got %lld and %lld\n")};
  llvm::append_range(arguments, body->getArguments());
  LLVM::CallOp::create(b, loc, print, arguments);
  LLVM::CallOp::create(b, loc, abort, ValueRange{});
  LLVM::UnreachableOp::create(b, loc);
}

LLVM::LLVMFuncOp ReportViolations::hook() {
  if (Operation *symbol = getOperation().lookupSymbol(kHook)) {
    auto function = dyn_cast<LLVM::LLVMFuncOp>(symbol);
    if (!function)
      symbol->emitOpError()
          << "expected @" << kHook << " to be left to what reports violations";
    return function;
  }
  OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
  Type i64 = b.getI64Type(),
       pointer = LLVM::LLVMPointerType::get(&getContext());
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(&getContext()), {pointer, i64, i64});
  auto function = LLVM::LLVMFuncOp::create(b, getOperation().getLoc(), kHook,
                                           type, LLVM::Linkage::Weak);
  defineHook(function);
  return function;
}

void ReportViolations::report(cf::AssertOp op, const Comparison &comparison,
                              LLVM::LLVMFuncOp hook) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto check = op->getAttrOfType<CheckAttr>(kCheckAttr);
  std::string rule =
      ("[" + check.getLabel() + "] expected " + check.getText()).str();
  Value holds = op.getArg();
  // Nothing is a multiple of 0, by which no CPU divides.
  if (comparison.relation == CheckRelation::MultipleOf) {
    Operation *rest =
        holds.getDefiningOp<arith::CmpIOp>().getLhs().getDefiningOp();
    OpBuilder before(rest);
    Type type = comparison.right.getType();
    auto number = [&](int64_t i) {
      return arith::ConstantOp::create(before, loc,
                                       before.getIntegerAttr(type, i));
    };
    Value some = arith::CmpIOp::create(before, loc, arith::CmpIPredicate::ne,
                                       comparison.right, number(0));
    rest->setOperand(1, arith::SelectOp::create(before, loc, some,
                                                comparison.right, number(1)));
    holds = arith::AndIOp::create(b, loc, holds, some);
  }
  Value broken = arith::XOrIOp::create(
      b, loc, holds, arith::ConstantIntOp::create(b, loc, 1, 1));
  scf::IfOp::create(b, loc, broken, [&](OpBuilder &b, Location loc) {
    auto wide = [&](Value x) -> Value {
      Type i64 = b.getI64Type();
      if (x.getType().isIndex())
        return arith::IndexCastOp::create(b, loc, i64, x);
      if (x.getType() == i64)
        return x;
      return arith::ExtSIOp::create(b, loc, i64, x);
    };
    LLVM::CallOp::create(b, loc, hook,
                         ValueRange{text(b, loc, rule), wide(comparison.left),
                                    wide(comparison.right)});
    // A hook that returns would have what was refused go on.
    LLVM::Trap::create(b, loc);
    scf::YieldOp::create(b, loc);
  });
  op.erase();
}

void ReportViolations::runOnOperation() {
  SmallVector<std::pair<cf::AssertOp, Comparison>> found;
  WalkResult result = getOperation().walk([&](cf::AssertOp op) {
    auto check = op->getAttrOfType<CheckAttr>(kCheckAttr);
    std::optional<Comparison> comparison =
        check ? comparisonOf(op) : std::nullopt;
    if (!comparison)
      return WalkResult::advance();
    found.emplace_back(op, *comparison);
    return WalkResult(verifyRelation(op, check, *comparison));
  });
  if (result.wasInterrupted())
    return signalPassFailure();
  if (found.empty())
    return markAllAnalysesPreserved();
  LLVM::LLVMFuncOp function = hook();
  if (!function)
    return signalPassFailure();
  for (auto &[op, comparison] : found)
    report(op, comparison, function);
  texts.clear();
}
