// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Which dims of a stage may lie on several devices. Three loops are shared by
// operands and results, and may be split: batch, heads (query heads and the KV
// heads of their groups go together) and rows of queries. Every other dim has a
// loop of its own, which stays whole. What the op cannot split is gathered:
// upstream's passes put the resharding in front of it.
#include "unisparse/Dialect/UniSparse/Transforms/Sharding.h"
#include "mlir/Dialect/Shard/IR/ShardOps.h"
#include "mlir/Dialect/Shard/Interfaces/ShardingInterfaceImpl.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace unisparse;
using mlir::shard::Sharding;
using mlir::shard::ShardingOption;

namespace {

enum Axis : unsigned { Batch, Heads, Rows, Whole };
constexpr unsigned kSharedAxes = Whole;

/// The axes of the tensors of an op; those that are not named here are whole.
struct Axes {
  llvm::SmallDenseMap<Value, SmallVector<Axis>> of;
  /// What a part of the rows has to be a multiple of; 0 where rows are whole.
  int64_t rows = 0;

  void set(Value value, std::initializer_list<Axis> axes) {
    if (value)
      of[value] = axes;
  }
  /// An op may take one tensor twice, and keys lie along it as rows do.
  bool knows(Value value) const { return of.count(value); }
};

} // namespace

/// A part of the queries sees what all of them see, but for positions, which
/// count from the end of the queries (I7, M2, M5), and sequences of a packed
/// batch.
static bool mayCutRows(BlockSparseAttentionOp op) {
  return !op.hasPositions() && op.getModification().empty() &&
         !op.getCuSeqlensQ();
}

static Axes axesOf(Operation *op) {
  Axes axes;
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](PoolOp op) {
        // Whole composites, and whole query blocks with representatives (P5).
        if (!op.getCuSeqlens())
          axes.rows = op.getRepresentatives() ? op.getBlock() : op.getBy();
        axes.set(op.getX(), {Batch, Heads, Rows, Whole});
        axes.set(op.getComposites(), {Batch, Heads, Rows, Whole});
        axes.set(op.getRows(), {Batch, Heads, Rows, Whole});
        // Rows are counted from the first of the sequence.
        if (op.getRows() && !op.getRows().use_empty())
          axes.rows = 0;
      })
      .Case([&](BlockScoreOp op) {
        for (Value value : {op.getQ(), op.getK(), op.getRows(), op.getMass()})
          axes.set(value, {Batch, Heads, Whole, Whole});
      })
      .Case([&](BlockSelectOp op) {
        axes.set(op.getMass(), {Batch, Heads, Whole, Whole});
        axes.set(op.getTopP(), {Heads});
        axes.set(op.getCounts(), {Batch, Heads, Whole});
        axes.set(op.getIndices(), {Batch, Heads, Whole, Whole});
        axes.set(op.getDensity(), {Batch, Heads});
      })
      .Case([&](BlockSparseAttentionOp op) {
        if (mayCutRows(op))
          axes.rows = op.getCounts() ? op.getBlock().getQuery() : 1;
        axes.set(op.getQ(), {Batch, Heads, Rows, Whole});
        axes.set(op.getSinkLogits(), {Heads}); // M3
        axes.set(op.getCounts(), {Batch, Heads, Rows});
        axes.set(op.getIndices(), {Batch, Heads, Rows, Whole});
        axes.set(op.getO(), {Batch, Heads, Rows, Whole});
        axes.set(op.getLse(), {Batch, Heads, Rows});
        for (Value value : {op.getK(), op.getV()}) {
          // Queries that are keys too cannot be cut and be whole.
          if (axes.knows(value))
            axes.rows = 0;
          axes.set(value, {Batch, Heads, Whole, Whole});
        }
        if (!axes.rows)
          axes.set(op.getQ(), {Batch, Heads, Whole, Whole});
      })
      .Case([&](AttentionOp op) {
        // Its density is one of all rows.
        for (Value value :
             {op.getQ(), op.getK(), op.getV(), op.getO(), op.getIndices()})
          axes.set(value, {Batch, Heads, Whole, Whole});
        for (Value value : {op.getLse(), op.getCounts()})
          axes.set(value, {Batch, Heads, Whole});
        axes.set(op.getTopP(), {Heads});
        axes.set(op.getSinkLogits(), {Heads});
        axes.set(op.getDensity(), {Batch, Heads});
      });
  return axes;
}

/// Whether masses are numbers drawn for this head of this batch (L10), or
/// logits depend on which it is (M5, M6), which a device that has a part of
/// them would take for another.
static bool countsHeads(Operation *op) {
  auto isRandom = [](RuleAttr rule) {
    return rule.getKind() == RuleKind::Random;
  };
  if (auto select = dyn_cast<BlockSelectOp>(op))
    return isRandom(select.getRule());
  if (auto attend = dyn_cast<BlockSparseAttentionOp>(op))
    return !attend.getModification().empty();
  if (auto score = dyn_cast<BlockScoreOp>(op))
    return !score.getModification().empty();
  auto attention = dyn_cast<AttentionOp>(op);
  return attention && (isRandom(attention.getRule()) ||
                       !attention.getModification().empty());
}

static SmallVector<Value> valuesOf(Operation *op) {
  SmallVector<Value> values(op->getOperands());
  llvm::append_range(values, op->getResults());
  return values;
}

/// How many parts the grid's axes make, or dynamic.
static int64_t partsOf(Operation *op, const ShardingOption &option,
                       unsigned axis) {
  SymbolTableCollection tables;
  shard::GridOp grid = shard::getGridOrNull(op, option.grid, tables);
  if (!grid)
    return ShapedType::kDynamic;
  return shard::collectiveProcessGroupSize(option.shardingArray[axis], grid);
}

/// Whether so many parts of an axis are what the op would compute of them.
static bool maySplit(Operation *op, const Axes &axes, unsigned axis,
                     int64_t parts) {
  if (axis >= kSharedAxes || ShapedType::isDynamic(parts) ||
      (axis != Rows && countsHeads(op)) || (axis == Rows && !axes.rows))
    return false;
  for (Value value : valuesOf(op)) {
    auto found = axes.of.find(value);
    if (found == axes.of.end())
      continue;
    auto type = cast<RankedTensorType>(value.getType());
    for (auto [i, own] : llvm::enumerate(found->second)) {
      if (own != axis)
        continue;
      // Heads are static wherever something is lowered; a batch may be dynamic,
      // whose parts are the caller's to make even.
      if (type.isDynamicDim(i) ? axis != Batch : type.getDimSize(i) % parts)
        return false;
    }
  }
  if (axis != Rows)
    return true;
  // The first operand has the tokens.
  auto tokens = cast<RankedTensorType>(op->getOperand(0).getType());
  return tokens.getDimSize(2) / parts % axes.rows == 0;
}

/// The op on a device's part of its operands. Results that nobody uses have no
/// annotation; types say what they are.
static LogicalResult clonePart(Operation *op, ArrayRef<Sharding> shardings,
                               IRMapping &mapping,
                               SymbolTableCollection &tables, OpBuilder &b) {
  Operation *part = b.clone(*op, mapping);
  SmallVector<Type> types;
  if (failed(cast<InferTypeOpInterface>(part).inferReturnTypes(
          op->getContext(), op->getLoc(), part->getOperands(),
          part->getAttrDictionary(), part->getPropertiesStorage(),
          part->getRegions(), types)))
    return failure();
  for (auto [result, sharding, type] :
       llvm::zip_equal(part->getResults(), shardings, types)) {
    if (sharding)
      type = shard::shardType(
          result.getType(),
          shard::getGridOrNull(op, sharding.getGridAttr(), tables), sharding);
    result.setType(type);
  }
  return success();
}

namespace {

template <typename OpTy>
struct ShardingModel
    : shard::ShardingInterface::ExternalModel<ShardingModel<OpTy>, OpTy> {
  SmallVector<utils::IteratorType> getLoopIteratorTypes(Operation *op) const {
    return SmallVector<utils::IteratorType>(
        getIndexingMaps(op).front().getNumDims(),
        utils::IteratorType::parallel);
  }

  SmallVector<AffineMap> getIndexingMaps(Operation *op) const {
    Axes axes = axesOf(op);
    SmallVector<SmallVector<unsigned>> loops;
    unsigned count = kSharedAxes;
    for (Value value : valuesOf(op)) {
      SmallVector<unsigned> &own = loops.emplace_back();
      auto type = dyn_cast<RankedTensorType>(value.getType());
      auto found = axes.of.find(value);
      for (int64_t i = 0, e = type ? type.getRank() : 0; i < e; ++i) {
        Axis axis = found == axes.of.end() ? Whole : found->second[i];
        own.push_back(axis == Whole ? count++ : axis);
      }
    }
    SmallVector<AffineMap> maps;
    for (ArrayRef<unsigned> own : loops) {
      SmallVector<AffineExpr> exprs;
      for (unsigned loop : own)
        exprs.push_back(getAffineDimExpr(loop, op->getContext()));
      maps.push_back(AffineMap::get(count, 0, exprs, op->getContext()));
    }
    return maps;
  }

  FailureOr<ShardingOption>
  getShardingOption(Operation *op, ArrayRef<Sharding> operands,
                    ArrayRef<Sharding> results) const {
    FailureOr<ShardingOption> option =
        shard::detail::defaultGetShardingOption(op, operands, results);
    if (failed(option) || option->empty)
      return option;
    Axes axes = axesOf(op);
    for (unsigned axis = 0; axis < option->shardingArray.size(); ++axis)
      if (!option->shardingArray[axis].empty() &&
          !maySplit(op, axes, axis, partsOf(op, *option, axis)))
        option->shardingArray[axis].clear();
    shard::removeTrailingEmptySubArray(option->shardingArray);
    return option;
  }

  LogicalResult partition(Operation *op, ArrayRef<Value> operands,
                          ArrayRef<Sharding> operandShardings,
                          ArrayRef<Sharding> resultShardings,
                          IRMapping &mapping, SymbolTableCollection &tables,
                          OpBuilder &b) const {
    // Annotations may be anybody's, not propagation's alone.
    Axes axes = axesOf(op);
    std::vector<Sharding> shardings(operandShardings.begin(),
                                    operandShardings.end());
    shardings.insert(shardings.end(), resultShardings.begin(),
                     resultShardings.end());
    for (auto [value, sharding] : llvm::zip_equal(valuesOf(op), shardings)) {
      if (!sharding)
        continue;
      auto found = axes.of.find(value);
      for (auto [i, split] : llvm::enumerate(sharding.getSplitAxes())) {
        if (split.empty())
          continue;
        unsigned axis = found == axes.of.end() ? Whole : found->second[i];
        ShardingOption option;
        option.grid = sharding.getGridAttr();
        option.shardingArray.resize(Whole + 1);
        option.shardingArray[axis] = llvm::to_vector(split.asArrayRef());
        if (!maySplit(op, axes, axis, partsOf(op, option, axis)))
          return op->emitOpError("expected dim ")
                 << i << " of " << value.getType()
                 << " to be whole on every device, got it split along "
                 << sharding.getGridAttr();
      }
    }
    return clonePart(op, resultShardings, mapping, tables, b);
  }
};

} // namespace

void unisparse::registerShardingInterfaceModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, UniSparseDialect *dialect) {
    PoolOp::attachInterface<ShardingModel<PoolOp>>(*context);
    BlockScoreOp::attachInterface<ShardingModel<BlockScoreOp>>(*context);
    BlockSelectOp::attachInterface<ShardingModel<BlockSelectOp>>(*context);
    BlockSparseAttentionOp::attachInterface<
        ShardingModel<BlockSparseAttentionOp>>(*context);
    AttentionOp::attachInterface<ShardingModel<AttentionOp>>(*context);
  });
}
