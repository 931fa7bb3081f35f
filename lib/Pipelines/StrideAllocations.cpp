// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "StrideResults.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSESTRIDEALLOCATIONS
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

/// A result and all that has to know of its strides.
struct Result {
  gpu::AllocOp alloc;
  SmallVector<BlockArgument> arguments; ///< Of kernels that write it.
};

class Finder {
public:
  explicit Finder(ModuleOp module) : module(module) {
    module.walk([&](gpu::LaunchFuncOp launch) {
      ++launches[symbols.lookupNearestSymbolFrom(launch, launch.getKernel())];
    });
  }

  /// Nothing where something needs a returned value whole.
  std::optional<Result> resultOf(OpOperand &returned) {
    Result result{returned.get().getDefiningOp<gpu::AllocOp>(), {}};
    if (!result.alloc || result.alloc.getType().getRank() != 4 ||
        !result.alloc.getType().getLayout().isIdentity())
      return std::nullopt;
    for (OpOperand &use : returned.get().getUses()) {
      if (&use == &returned || isa<memref::DimOp>(use.getOwner()))
        continue;
      auto launch = dyn_cast<gpu::LaunchFuncOp>(use.getOwner());
      BlockArgument argument = launch ? argumentOf(launch, use) : nullptr;
      if (!argument || !isPut(argument))
        return std::nullopt;
      result.arguments.push_back(argument);
    }
    if (result.arguments.empty())
      return std::nullopt;
    return result;
  }

private:
  /// What a kernel that is launched here alone takes there.
  BlockArgument argumentOf(gpu::LaunchFuncOp launch, OpOperand &use) {
    auto kernel = dyn_cast_or_null<gpu::GPUFuncOp>(
        symbols.lookupNearestSymbolFrom(launch, launch.getKernel()));
    MutableOperandRange operands = launch.getKernelOperandsMutable();
    if (!kernel || launches[kernel] != 1 || operands.empty())
      return nullptr;
    unsigned first = operands[0].getOperandNumber();
    if (use.getOperandNumber() < first ||
        use.getOperandNumber() >= first + operands.size())
      return nullptr;
    return kernel.getArgument(use.getOperandNumber() - first);
  }

  /// Whether a page only puts rows there.
  static bool isPut(BlockArgument argument) {
    return !argument.use_empty() &&
           llvm::all_of(argument.getUses(), [](OpOperand &use) {
             auto put = dyn_cast<unitile::PutOp>(use.getOwner());
             return put && put.getTargetMutable().getOperandNumber() ==
                               use.getOperandNumber();
           });
  }

  ModuleOp module;
  SymbolTableCollection symbols;
  llvm::DenseMap<Operation *, int> launches;
};

/// The strides of an allocation are those of rows that follow one another,
/// until a caller gives others.
void stride(const Result &result) {
  gpu::AllocOp alloc = result.alloc;
  MemRefType type = alloc.getType(), strided = withStrides(type);
  ImplicitLocOpBuilder b(alloc.getLoc(), alloc);
  SmallVector<Value> sizes, strides(type.getRank() - 1);
  auto dynamic = alloc.getDynamicSizes().begin();
  for (int64_t size : type.getShape())
    sizes.push_back(ShapedType::isDynamic(size)
                        ? Value(*dynamic++)
                        : arith::ConstantIndexOp::create(b, size));
  Value next = sizes.back();
  for (int64_t i = type.getRank() - 1; i-- > 0;) {
    strides[i] = next;
    if (i)
      next = arith::MulIOp::create(b, sizes[i], next);
  }
  auto made =
      gpu::AllocOp::create(b, strided, /*asyncToken=*/Type(), ValueRange{},
                           alloc.getDynamicSizes(), strides);
  alloc.getMemref().replaceAllUsesWith(made.getMemref());
  alloc.erase();
  for (BlockArgument argument : result.arguments) {
    argument.setType(strided);
    auto kernel = cast<gpu::GPUFuncOp>(argument.getOwner()->getParentOp());
    kernel.setFunctionType(FunctionType::get(
        kernel.getContext(), kernel.getBody().front().getArgumentTypes(), {}));
  }
}

struct StrideAllocations
    : unisparse::impl::UniSparseStrideAllocationsBase<StrideAllocations> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Finder finder(module);
    for (auto function : module.getOps<func::FuncOp>()) {
      // Who calls it would have to know.
      if (function.isExternal() || !function.getBody().hasOneBlock() ||
          !SymbolTable::symbolKnownUseEmpty(function, module))
        continue;
      Operation *end = function.getBody().front().getTerminator();
      for (OpOperand &returned : end->getOpOperands())
        if (std::optional<Result> result = finder.resultOf(returned))
          stride(*result);
      function.setType(FunctionType::get(
          &getContext(), function.getArgumentTypes(), end->getOperandTypes()));
    }
  }
};

} // namespace
