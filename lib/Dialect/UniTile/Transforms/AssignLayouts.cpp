// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/UniTile/Transforms/Passes.h"
#include "llvm/ADT/MapVector.h"

namespace unisparse {
#define GEN_PASS_DEF_UNITILEASSIGNLAYOUTS
#include "unisparse/Dialect/UniTile/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse::unitile;

namespace {

bool isLaidOut(Value value) {
  return isa<FragmentType, PendingType, RowsType>(value.getType());
}

/// The instruction of a product that names none.
MmaAtomInterface atomFor(MmaOp op) {
  if (op.getA().getType().getElementType().isF32())
    return Mma3xTF32Attr::get(op.getContext());
  return MmaSyncAttr::get(op.getContext());
}
MmaAtomInterface atomFor(MmaStartOp op) {
  return WgmmaAttr::get(op.getContext());
}

/// The layouts of a kernel's values, from those that are given to those that
/// are computed with them.
class Layouts {
public:
  explicit Layouts(gpu::GPUFuncOp kernel) : kernel(kernel) {}
  LogicalResult assign();

private:
  void collect(Operation *op);
  template <typename Product>
  void collectProduct(Product op, Value a, Value acc);
  void note(Value value);
  void connect(Value x, Value y);
  LogicalResult spread(Value from, FragmentLayoutInterface layout);
  void apply();

  gpu::GPUFuncOp kernel;
  /// In the order of the kernel, with what each has to be laid out like.
  llvm::MapVector<Value, SmallVector<Value>> alike;
  SmallVector<std::pair<Value, FragmentLayoutInterface>> given;
  DenseMap<Value, FragmentLayoutInterface> layouts;
};

void Layouts::note(Value value) {
  if (!isLaidOut(value) || !alike.try_emplace(value).second)
    return;
  if (FragmentLayoutInterface layout = layoutOf(value.getType()))
    given.emplace_back(value, layout);
}

void Layouts::connect(Value x, Value y) {
  if (!isLaidOut(x) || !isLaidOut(y))
    return;
  note(x), note(y);
  alike[x].push_back(y);
  alike[y].push_back(x);
}

template <typename Product>
void Layouts::collectProduct(Product op, Value a, Value acc) {
  if (!op.getAtom())
    op.setAtomAttr(atomFor(op));
  MmaAtomInterface atom = *op.getAtom();
  note(a), note(op.getResult());
  if (isLaidOut(a))
    given.emplace_back(a, atom.getLayoutOfA());
  given.emplace_back(op.getResult(), atom.getLayoutOfSums());
  if (acc)
    connect(acc, op.getResult());
}

void Layouts::collect(Operation *op) {
  for (Value result : op->getResults())
    note(result);
  if (auto mma = dyn_cast<MmaOp>(op))
    return collectProduct(mma, mma.getA(), mma.getAcc());
  if (auto start = dyn_cast<MmaStartOp>(op))
    return collectProduct(start, start.getA(), start.getAcc());
  if (auto wait = dyn_cast<MmaWaitOp>(op))
    return connect(wait.getValue(), wait.getResult());
  if (auto branch = dyn_cast<RegionBranchOpInterface>(op)) {
    RegionBranchSuccessorMapping handedOn;
    branch.getSuccessorOperandInputMapping(handedOn);
    for (auto &[operand, inputs] : handedOn)
      for (Value input : inputs)
        connect(operand->get(), input);
    return;
  }
  if (auto branch = dyn_cast<BranchOpInterface>(op)) {
    for (auto [i, target] : llvm::enumerate(op->getSuccessors()))
      for (auto [argument, operand] : llvm::zip(
               target->getArguments().drop_front(
                   branch.getSuccessorOperands(i).getProducedOperandCount()),
               branch.getSuccessorOperands(i).getForwardedOperands()))
        connect(operand, argument);
    return;
  }
  if (op->hasTrait<OpTrait::IsTerminator>())
    return; // Handed on by what it ends.
  // All others compute elements from elements, or choose among them.
  SmallVector<Value> together(op->getOperands());
  llvm::append_range(together, op->getResults());
  llvm::erase_if(together, [](Value value) { return !isLaidOut(value); });
  for (size_t i = 1; i < together.size(); ++i)
    connect(together[i - 1], together[i]);
}

LogicalResult Layouts::spread(Value from, FragmentLayoutInterface layout) {
  SmallVector<Value> changed{from};
  while (!changed.empty()) {
    Value value = changed.pop_back_val();
    auto [it, isNew] = layouts.try_emplace(value, layout);
    if (isNew)
      llvm::append_range(changed, alike[value]);
    else if (it->second != layout) // [U36]
      return emitError(value.getLoc())
             << "[U36] expected one layout of what is computed together, got "
             << it->second << " and " << layout;
  }
  return success();
}

LogicalResult Layouts::assign() {
  for (BlockArgument argument : kernel.getArguments())
    note(argument);
  kernel.walk([&](Operation *op) { collect(op); });
  for (auto [value, layout] : given)
    if (failed(spread(value, layout)))
      return failure();
  // No product has a say in what is left.
  auto any = MmaFragmentAttr::get(kernel.getContext());
  for (auto &[value, others] : alike)
    if (!layouts.contains(value) && failed(spread(value, any)))
      return failure();
  apply();
  return success();
}

void Layouts::apply() {
  for (auto [value, layout] : layouts)
    value.setType(withLayout(value.getType(), layout));
  // Without attributions of memory, which are arguments of the block too.
  SmallVector<Type> arguments(kernel.getBody().getArgumentTypes());
  arguments.truncate(kernel.getNumArguments());
  kernel.setFunctionType(FunctionType::get(kernel.getContext(), arguments,
                                           kernel.getResultTypes()));
}

struct AssignLayouts
    : unisparse::impl::UniTileAssignLayoutsBase<AssignLayouts> {
  void runOnOperation() override {
    for (auto kernel : getOperation().getOps<gpu::GPUFuncOp>())
      if (failed(Layouts(kernel).assign()))
        return signalPassFailure();
  }
};

} // namespace
