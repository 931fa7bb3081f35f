// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ArtifactCall.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;
using namespace unisparse;
using artifact::TermOp;

namespace {

/// The body of one function.
class CallBuilder {
public:
  CallBuilder(func::FuncOp function, const artifact::Artifact &artifact)
      : function(function), artifact(artifact),
        module(function->getParentOfType<ModuleOp>()),
        b(function.getLoc(), OpBuilder(function.getContext())),
        pointer(LLVM::LLVMPointerType::get(b.getContext())) {
    // unisparse_tensor of unisparse-rt/unisparse.h.
    auto four = LLVM::LLVMArrayType::get(b.getI64Type(), UNISPARSE_MAX_RANK);
    tensor = LLVM::LLVMStructType::getLiteral(
        b.getContext(), {pointer, b.getI32Type(), b.getI32Type(), four, four});
  }

  void build();

private:
  Value i64(int64_t v) {
    return LLVM::ConstantOp::create(b, b.getI64Type(), v);
  }
  Value i32(int64_t v) {
    return LLVM::ConstantOp::create(b, b.getI32Type(), v);
  }
  Value i64Of(Value index) {
    return arith::IndexCastOp::create(b, b.getI64Type(), index);
  }
  LLVM::LLVMFuncOp callee();
  LLVM::GlobalOp constant(StringRef bytes);
  Value evaluate(const artifact::Expr &expr);
  void describe(Value array, int64_t i, Value memref,
                artifact::Element element);
  Value field(Value array, int64_t i, int64_t field, int64_t element = -1);

  func::FuncOp function;
  const artifact::Artifact &artifact;
  ModuleOp module;
  ImplicitLocOpBuilder b;
  Type pointer, tensor;
  /// The sizes that have names, as index values.
  SmallVector<Value> symbols;
};

} // namespace

LLVM::LLVMFuncOp CallBuilder::callee() {
  static constexpr StringLiteral name = "unisparse_call";
  if (auto found = module.lookupSymbol<LLVM::LLVMFuncOp>(name))
    return found;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(module.getBody());
  Type i32 = b.getI32Type();
  return LLVM::LLVMFuncOp::create(
      b, name,
      LLVM::LLVMFunctionType::get(
          LLVM::LLVMVoidType::get(b.getContext()),
          {pointer, b.getI64Type(), pointer, i32, pointer, i32}));
}

LLVM::GlobalOp CallBuilder::constant(StringRef bytes) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(module.getBody());
  auto type = LLVM::LLVMArrayType::get(b.getI8Type(), bytes.size());
  auto global = LLVM::GlobalOp::create(
      b, type, /*isConstant=*/true, LLVM::Linkage::Internal,
      (function.getName() + "_artifact").str(), b.getStringAttr(bytes));
  SymbolTable table(module);
  global->remove();
  table.insert(global, module.getBody()->begin());
  return global;
}

/// A formula over the sizes of inputs, none of which is negative.
Value CallBuilder::evaluate(const artifact::Expr &expr) {
  SmallVector<Value> stack;
  for (const artifact::Term &term : expr) {
    if (artifact::isLeaf(term.op)) {
      stack.push_back(term.op == TermOp::Symbol
                          ? symbols[term.value]
                          : arith::ConstantIndexOp::create(b, term.value));
      continue;
    }
    Value y = stack.pop_back_val(), x = stack.pop_back_val();
    auto op = [&](auto tag) -> Value {
      return b.createOrFold<decltype(tag)>(x, y);
    };
    stack.push_back(term.op == TermOp::Add        ? op(arith::AddIOp())
                    : term.op == TermOp::Sub      ? op(arith::SubIOp())
                    : term.op == TermOp::Mul      ? op(arith::MulIOp())
                    : term.op == TermOp::FloorDiv ? op(arith::FloorDivSIOp())
                    : term.op == TermOp::CeilDiv  ? op(arith::CeilDivSIOp())
                    : term.op == TermOp::Min      ? op(arith::MinSIOp())
                                                  : op(arith::MaxSIOp()));
  }
  return stack.back();
}

Value CallBuilder::field(Value array, int64_t i, int64_t field,
                         int64_t element) {
  SmallVector<LLVM::GEPArg> at{int32_t(i), int32_t(field)};
  if (element >= 0)
    at.push_back(int32_t(element));
  return LLVM::GEPOp::create(b, pointer, tensor, array, at);
}

/// Element `i` of an array of unisparse_tensor: a buffer without gaps.
void CallBuilder::describe(Value array, int64_t i, Value memref,
                           artifact::Element element) {
  auto type = cast<MemRefType>(memref.getType());
  Value address = LLVM::IntToPtrOp::create(
      b, pointer,
      i64Of(memref::ExtractAlignedPointerAsIndexOp::create(b, memref)));
  LLVM::StoreOp::create(b, address, field(array, i, 0));
  LLVM::StoreOp::create(b, i32(int64_t(element)), field(array, i, 1));
  LLVM::StoreOp::create(b, i32(type.getRank()), field(array, i, 2));
  Value stride = i64(1);
  for (int64_t d = type.getRank() - 1; d >= 0; --d) {
    Value size = i64Of(b.createOrFold<memref::DimOp>(memref, d));
    LLVM::StoreOp::create(b, size, field(array, i, 3, d));
    LLVM::StoreOp::create(b, stride, field(array, i, 4, d));
    stride = b.createOrFold<arith::MulIOp>(stride, size);
  }
}

void CallBuilder::build() {
  std::string bytes = artifact::write(artifact);
  LLVM::LLVMFuncOp call = callee();
  LLVM::GlobalOp data = constant(bytes);
  b.setInsertionPointToStart(function.addEntryBlock());
  auto bufferType = [](Type type) {
    auto tensor = cast<RankedTensorType>(type);
    return MemRefType::get(tensor.getShape(), tensor.getElementType());
  };
  auto array = [&](size_t n) -> Value {
    return LLVM::AllocaOp::create(b, pointer, tensor,
                                  i32(std::max<size_t>(n, 1)));
  };
  Value inputs = array(artifact.inputs.size()),
        outputs = array(artifact.outputs.size());
  for (auto [i, argument] : llvm::enumerate(function.getArguments())) {
    const artifact::Input &input = artifact.inputs[i];
    Value buffer = bufferization::ToBufferOp::create(
        b, bufferType(argument.getType()), argument, /*read_only=*/true);
    describe(inputs, i, buffer, input.element);
    for (auto [d, size] : llvm::enumerate(input.dims)) {
      if (size >= 0)
        continue;
      size_t symbol = -1 - size;
      symbols.resize(std::max(symbols.size(), symbol + 1));
      if (!symbols[symbol])
        symbols[symbol] = b.createOrFold<memref::DimOp>(buffer, d);
    }
  }
  SmallVector<Value> results;
  for (auto [i, type] : llvm::enumerate(function.getResultTypes())) {
    const artifact::Output &output = artifact.outputs[i];
    SmallVector<Value> dynamic;
    for (auto [d, size] : llvm::enumerate(output.sizes))
      if (cast<RankedTensorType>(type).isDynamicDim(d))
        dynamic.push_back(evaluate(size));
    Value buffer = memref::AllocOp::create(b, bufferType(type), dynamic);
    describe(outputs, i, buffer, output.element);
    results.push_back(bufferization::ToTensorOp::create(
        b, type, buffer, /*restrict=*/true, /*writable=*/true));
  }
  b.setInsertionPointToEnd(&function.getBody().front());
  LLVM::CallOp::create(b, call,
                       ValueRange{LLVM::AddressOfOp::create(b, data),
                                  i64(bytes.size()), inputs,
                                  i32(artifact.inputs.size()), outputs,
                                  i32(artifact.outputs.size())});
  func::ReturnOp::create(b, results);
}

void unisparse::addArtifactCall(func::FuncOp function,
                                const artifact::Artifact &artifact) {
  CallBuilder(function, artifact).build();
}
