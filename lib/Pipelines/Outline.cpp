// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Each attention of a larger program, compiled for GPUs by itself, and a call
// in its place. An attention is unisparse.attention or block_sparse_attention
// and, of what its selection is computed by, everything from the estimate on:
// the stages, and a program's own linalg between them.
#include "ArtifactCall.h"
#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Pass/PassManager.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniSparse/IR/Names.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "unisparse/Target/LaunchPlan.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEOUTLINE
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

/// The ops of one attention, in the order of their block.
struct Group {
  SmallVector<Operation *> ops;
  /// What they take from around them, and what is used of them there.
  SmallVector<Value> inputs, outputs;
};

/// What of an attention's selection is its own: everything behind tokens.
class Gathering {
public:
  explicit Gathering(Operation *attend) : attend(attend) {}
  FailureOr<Group> gather();

private:
  bool mayJoin(Operation *op) const;
  bool visit(Value value);
  LogicalResult takeInputs(Group &group);

  Operation *attend;
  /// Whether an op depends on a stage, of those that were visited.
  llvm::DenseMap<Operation *, bool> onStage;
  /// Tokens: q, k and v.
  llvm::SmallDenseSet<Value> tokens;
};

} // namespace

static bool isStage(Operation *op) {
  return isa<PoolOp, BlockScoreOp, BlockSelectOp>(op);
}

/// Cheap and without inputs: copied to where it is used.
static bool isCopied(Operation *op) {
  return op->hasTrait<OpTrait::ConstantLike>() ||
         (isa<tensor::EmptyOp>(op) && !op->getNumOperands());
}

bool Gathering::mayJoin(Operation *op) const {
  return op && op->getBlock() == attend->getBlock() && isMemoryEffectFree(op) &&
         isa_and_nonnull<UniSparseDialect, linalg::LinalgDialect,
                         arith::ArithDialect, math::MathDialect,
                         tensor::TensorDialect>(op->getDialect()) &&
         !isa<AttentionOp, BlockSparseAttentionOp>(op);
}

/// Whether a value of the selection depends on a stage.
bool Gathering::visit(Value value) {
  Operation *op = value.getDefiningOp();
  if (tokens.contains(value) || !mayJoin(op))
    return false;
  auto [place, isNew] = onStage.insert({op, isStage(op)});
  if (!isNew)
    return place->second;
  bool depends = isStage(op);
  SetVector<Value> used(op->operand_begin(), op->operand_end());
  for (Region &region : op->getRegions())
    region.walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (!op->isAncestor(operand.getParentBlock()->getParentOp()))
          used.insert(operand);
    });
  for (Value operand : used)
    depends |= visit(operand);
  return onStage[op] = depends;
}

LogicalResult Gathering::takeInputs(Group &group) {
  // q, k and v first, as a reader expects them.
  SetVector<Value> inputs;
  for (Value operand : attend->getOperands())
    if (tokens.contains(operand))
      inputs.insert(operand);
  llvm::SmallPtrSet<Operation *, 16> own(group.ops.begin(), group.ops.end());
  SmallVector<Operation *> copied;
  auto take = [&](Value value) {
    Operation *def = value.getDefiningOp();
    if (def && own.contains(def))
      return;
    if (def && isCopied(def)) {
      if (own.insert(def).second)
        copied.push_back(def);
      return;
    }
    inputs.insert(value);
  };
  for (Operation *op : group.ops) {
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (inner == op ||
            !op->isAncestor(operand.getParentBlock()->getParentOp()))
          take(operand);
    });
    for (Value result : op->getResults())
      if (llvm::any_of(result.getUsers(), [&](Operation *user) {
            Operation *here = attend->getBlock()->findAncestorOpInBlock(*user);
            return !here || !own.contains(here);
          }))
        group.outputs.push_back(result);
  }
  group.ops.insert(group.ops.begin(), copied.begin(), copied.end());
  group.inputs = inputs.takeVector();
  for (Value input : group.inputs)
    if (!isa<RankedTensorType>(input.getType()))
      return attend->emitOpError("expected an attention that takes tensors to "
                                 "be outlined, got one that takes ")
             << input.getType();
  return success();
}

FailureOr<Group> Gathering::gather() {
  Group group;
  if (auto op = dyn_cast<BlockSparseAttentionOp>(attend)) {
    for (Value value : {Value(op.getQ()), Value(op.getK()), Value(op.getV())})
      tokens.insert(value);
    for (Value value : {Value(op.getCounts()), Value(op.getIndices())})
      if (value)
        (void)visit(value);
  }
  for (Operation &op : *attend->getBlock())
    if (&op == attend || onStage.lookup(&op))
      group.ops.push_back(&op);
  // What only leads to stages comes along where it takes no more than tokens:
  // another compression, sizes.
  for (bool changed = true; changed;) {
    changed = false;
    for (Operation &op : *attend->getBlock()) {
      auto found = onStage.find(&op);
      if (found == onStage.end() || found->second || isCopied(&op))
        continue;
      auto comes = [&](Value operand) {
        Operation *def = operand.getDefiningOp();
        return tokens.contains(operand) ||
               (def && (isCopied(def) || onStage.lookup(def)));
      };
      if (llvm::all_of(op.getOperands(), comes)) {
        found->second = changed = true;
        group.ops.push_back(&op);
      }
    }
  }
  llvm::sort(group.ops,
             [](Operation *x, Operation *y) { return x->isBeforeInBlock(y); });
  if (failed(takeInputs(group)))
    return failure();
  return group;
}

namespace {

struct Outline : unisparse::impl::UniSparseOutlineBase<Outline> {
  using UniSparseOutlineBase::UniSparseOutlineBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    OpPassManager pm(ModuleOp::getOperationName());
    (void)buildGPUPipeline(pm, {}, [] { return InFlightDiagnostic(); });
    pm.getDependentDialects(registry);
    registry
        .insert<arith::ArithDialect, bufferization::BufferizationDialect,
                func::FuncDialect, LLVM::LLVMDialect, memref::MemRefDialect>();
  }

  void runOnOperation() override {
    if (chips.empty()) {
      emitError(getOperation().getLoc(), getArgument())
          << ": expected at least one chip, got none";
      return signalPassFailure();
    }
    SmallVector<Operation *> attentions;
    for (auto function : getOperation().getOps<func::FuncOp>())
      function.walk([&](Operation *op) {
        if (isa<AttentionOp, BlockSparseAttentionOp>(op))
          attentions.push_back(op);
      });
    if (attentions.empty())
      emitRemark(getOperation().getLoc())
          << "expected unisparse.attention or unisparse.block_sparse_attention "
             "to outline, found none; unisparse-raise-attention makes it of "
             "linalg";
    for (Operation *op : attentions)
      if (failed(outline(op)))
        return signalPassFailure();
  }

private:
  LogicalResult outline(Operation *attend);
  func::FuncOp makeFunction(const Group &group);
  FailureOr<artifact::Artifact> compile(func::FuncOp function);
};

} // namespace

/// A function of the ops, in a module of its own for the pipeline.
func::FuncOp Outline::makeFunction(const Group &group) {
  Location loc = group.ops.back()->getLoc();
  OpBuilder b(&getContext());
  b.setInsertionPointToEnd(getOperation().getBody());
  auto module = ModuleOp::create(b, loc);
  b.setInsertionPointToStart(module.getBody());
  auto function = func::FuncOp::create(
      b, loc, "attention",
      b.getFunctionType(ValueRange(group.inputs).getTypes(),
                        ValueRange(group.outputs).getTypes()));
  // Checks and reports call tensors as the program around does.
  for (auto [i, input] : llvm::enumerate(group.inputs))
    if (std::string name = tensorNameOf(input); !name.empty())
      function.setArgAttr(i, kNameAttr, b.getStringAttr(name));
  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  IRMapping mapping;
  mapping.map(group.inputs, body->getArguments());
  for (Operation *op : group.ops)
    b.clone(*op, mapping);
  SmallVector<Value> results = llvm::map_to_vector(
      group.outputs, [&](Value value) { return mapping.lookup(value); });
  func::ReturnOp::create(b, loc, results);
  return function;
}

FailureOr<artifact::Artifact> Outline::compile(func::FuncOp function) {
  auto module = function->getParentOfType<ModuleOp>();
  artifact::Artifact all;
  for (const std::string &chip : chips) {
    Operation *op = OpBuilder(module).clone(*module.getOperation());
    auto clone = cast<ModuleOp>(op);
    GPUPipelineOptions options;
    options.chip = chip;
    OpPassManager pm(ModuleOp::getOperationName());
    auto fail = [&] { return emitError(module.getLoc()); };
    bool lowered = succeeded(buildGPUPipeline(pm, options, fail)) &&
                   succeeded(runPipeline(pm, clone));
    FailureOr<artifact::Artifact> one = failure();
    if (lowered)
      one = translateToArtifact(clone, "attention");
    clone.erase();
    if (failed(one))
      return failure();
    if (llvm::Error e = artifact::merge(all, std::move(*one)))
      return emitError(module.getLoc(), llvm::toString(std::move(e)));
  }
  return all;
}

LogicalResult Outline::outline(Operation *attend) {
  FailureOr<Group> group = Gathering(attend).gather();
  if (failed(group))
    return failure();
  func::FuncOp function = makeFunction(*group);
  auto module = function->getParentOfType<ModuleOp>();
  FailureOr<artifact::Artifact> all = compile(function);
  if (failed(all)) {
    module.erase();
    return failure();
  }
  // The function comes into the program, without its ops.
  function->remove();
  module.erase();
  function.getBody().getBlocks().clear();
  function.removeArgAttrsAttr();
  function.setPrivate();
  SymbolTable(getOperation()).insert(function);
  addArtifactCall(function, *all);
  OpBuilder b(attend);
  auto call =
      func::CallOp::create(b, attend->getLoc(), function, group->inputs);
  for (auto [output, result] :
       llvm::zip_equal(group->outputs, call.getResults()))
    output.replaceAllUsesWith(result);
  Block *block = attend->getBlock();
  for (Operation *op : llvm::reverse(group->ops))
    if (op->use_empty())
      op->erase();
  // Who uses an estimate may stand in front of its attention.
  if (llvm::any_of(call->getUsers(), [&](Operation *user) {
        Operation *here = block->findAncestorOpInBlock(*user);
        return here && here->isBeforeInBlock(call);
      }))
    sortTopologically(block);
  return success();
}
