// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Dialect/UniSparse/IR/Modification.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

using namespace mlir;
using namespace unisparse;

/// The logit, batch, head, position of the query and of the key.
static constexpr unsigned kArguments = 5;

static bool isScalar(Type type) { return type.isIntOrIndexOrFloat(); }

/// Whether every target has numbers of the type: LLVM would call a library for
/// wider ones, and nothing lowers conversions to narrower floats.
static bool isOfTargets(Type type) {
  if (auto integer = dyn_cast<IntegerType>(type))
    return integer.getWidth() <= 64;
  return type.isIndex() || type.isF16() || type.isBF16() || type.isF32() ||
         type.isF64();
}

/// Whether every target has it, on scalars and on vectors.
static bool isElementwise(Operation *op) {
  // GPUs have no remainder, and LLVM rounds by a mode one number at a time.
  if (isa<arith::RemFOp>(op) || op->hasAttr("roundingmode"))
    return false;
  bool known = isa<math::AbsFOp, math::AbsIOp, math::CeilOp, math::CopySignOp,
                   math::ExpOp, math::Exp2Op, math::FloorOp, math::FmaOp,
                   math::LogOp, math::Log2Op, math::RsqrtOp, math::RoundEvenOp,
                   math::SqrtOp, math::TanhOp, math::TruncOp>(op) ||
               (isa_and_nonnull<arith::ArithDialect>(op->getDialect()) &&
                OpTrait::hasElementwiseMappableTraits(op));
  return known || isa<arith::ConstantOp>(op);
}

/// Whether a division of integers has a quotient, whatever it divides: CPUs
/// trap where it has none.
static bool hasQuotient(Operation &op) {
  if (!isa<arith::DivSIOp, arith::DivUIOp, arith::CeilDivSIOp,
           arith::CeilDivUIOp, arith::FloorDivSIOp, arith::RemSIOp,
           arith::RemUIOp>(op))
    return true;
  APInt divisor;
  // The least integer over -1 is none.
  return matchPattern(op.getOperand(1), m_ConstantInt(&divisor)) &&
         !divisor.isZero() && !divisor.isAllOnes();
}

static LogicalResult verifyOp(Operation &op, Block &body) {
  if (!hasQuotient(op))
    return op.emitOpError("[M5] expected a constant divisor other than 0 and "
                          "-1 in a modification of logits");
  for (Type type : op.getResultTypes())
    if (isScalar(type) && !isOfTargets(type))
      return op.emitOpError(
                 "[M5] expected integers of at most 64 bits, f16, "
                 "bf16, f32 or f64 in a modification of logits, got ")
             << type;
  if (auto read = dyn_cast<tensor::ExtractOp>(op)) {
    auto table = dyn_cast<BlockArgument>(read.getTensor());
    if (table && table.getOwner() == &body)
      return success();
  } else if (isElementwise(&op) &&
             llvm::all_of(op.getResultTypes(), isScalar)) {
    bool isF32 = !isa<FloatType>(op.getResult(0).getType()) ||
                 op.getResult(0).getType().isF32();
    if (isF32 || !isa<math::MathDialect>(op.getDialect()))
      return success();
  }
  return op.emitOpError(
      "[M5] expected scalars of arith, but no remf or rounding "
      "mode, the ops of math that every target has, on f32, "
      "and tensor.extract of a table in a modification of "
      "logits");
}

LogicalResult unisparse::verifyModification(Operation *op, RegionRange regions,
                                            ValueRange tables) {
  if (regions.empty()) {
    if (tables.empty())
      return success();
    return op->emitOpError("[M5] expected tables beside a modification only, "
                           "got ")
           << tables.size() << " without one";
  }
  if (regions.size() > 1 || !regions.front()->hasOneBlock())
    return op->emitOpError("[M5] expected one modification of one block, got ")
           << regions.size() << " regions of "
           << regions.front()->getBlocks().size() << " blocks";
  for (Value table : tables) // An index outside of it has a nearest entry.
    if (auto type = cast<RankedTensorType>(table.getType());
        llvm::is_contained(type.getShape(), 0))
      return op->emitOpError("[M5] expected tables with entries, got ") << type;
  Block &body = regions.front()->front();
  Builder b(op->getContext());
  SmallVector<Type> expected{b.getF32Type()};
  expected.append(kArguments - 1, b.getI32Type());
  llvm::append_range(expected, tables.getTypes());
  if (!llvm::equal(body.getArgumentTypes(), expected)) {
    InFlightDiagnostic error = op->emitOpError(
        "[M5] expected a modification of (logit, batch, head, query position, "
        "key position, tables), ");
    return error << TypeRange(expected) << ", got "
                 << TypeRange(body.getArgumentTypes());
  }
  if (!isa<YieldOp>(body.back()))
    return op->emitOpError("[M5] expected a modification that ends with "
                           "unisparse.yield, got ")
           << body.back().getName();
  for (Operation &inner : body.without_terminator())
    if (failed(verifyOp(inner, body)))
      return failure();
  return success();
}

/// Clones the body; what its values became is in `mapping`.
static void copyBody(OpBuilder &b, Block &body, ValueRange arguments,
                     const ModificationForm &form, IRMapping &mapping) {
  mapping.map(body.getArguments().take_front(kArguments), arguments);
  for (Operation &op : body.without_terminator()) {
    if (auto read = dyn_cast<tensor::ExtractOp>(op)) {
      unsigned table =
          cast<BlockArgument>(read.getTensor()).getArgNumber() - kArguments;
      SmallVector<Value> indices = llvm::map_to_vector(
          read.getIndices(), [&](Value i) { return mapping.lookup(i); });
      mapping.map(read.getResult(), form.read(table, indices));
      continue;
    }
    if (isa<arith::ConstantOp>(op)) {
      mapping.map(op.getResult(0), form.constant(b.clone(op)->getResult(0)));
      continue;
    }
    Operation *copy = b.clone(op, mapping);
    for (Value result : copy->getResults())
      result.setType(form.type(result.getType()));
  }
}

static Value resultOf(Region &region) {
  return cast<YieldOp>(region.front().getTerminator()).getLogit();
}

Value unisparse::copyModification(OpBuilder &b, Region &region,
                                  ValueRange arguments,
                                  const ModificationForm &form) {
  IRMapping mapping;
  copyBody(b, region.front(), arguments, form, mapping);
  return mapping.lookup(resultOf(region));
}

//===----------------------------------------------------------------------===//
// A logit whose unit is left to the softmax
//===----------------------------------------------------------------------===//

namespace {
/// What is known of the values of a body, in one pass over it.
struct BodyValues {
  explicit BodyValues(Block &body) {
    logits.insert(body.getArgument(0));
    positions.insert(body.getArgument(3));
    positions.insert(body.getArgument(4));
    for (Operation &op : body.without_terminator())
      add(op);
  }

  /// The operands of an op that have to be in the unit of its result: all that
  /// it adds or chooses from, and one factor. None where there is no such op.
  SmallVector<unsigned> operandsInUnit(Operation &op) const {
    if (isa<arith::AddFOp, arith::SubFOp, arith::MaxNumFOp, arith::MaximumFOp,
            arith::MinNumFOp, arith::MinimumFOp>(op))
      return {0, 1};
    if (isa<arith::NegFOp>(op))
      return {0};
    if (isa<arith::SelectOp>(op) && !logits.contains(op.getOperand(0)))
      return {1, 2};
    if (!isa<arith::MulFOp>(op))
      return {};
    Value x = op.getOperand(0), y = op.getOperand(1);
    if (logits.contains(x) && logits.contains(y))
      return {};
    if (logits.contains(x) || logits.contains(y))
      return {logits.contains(x) ? 0u : 1u};
    return {positions.contains(x) ? 1u : 0u};
  }

  DenseSet<Value> logits;    ///< Depend on the logit.
  DenseSet<Value> positions; ///< On where the query or the key is.
  DenseSet<Value> inUnit;    ///< Of `logits`, those with its unit as a factor.
  DenseSet<Value> free;      ///< Not of `logits`; a factor costs no element.

private:
  void add(Operation &op) {
    auto isIn = [&](const DenseSet<Value> &set) {
      return [&](Value value) { return set.contains(value); };
    };
    Value result = op.getResult(0);
    bool hasLogit = llvm::any_of(op.getOperands(), isIn(logits)),
         hasPosition = llvm::any_of(op.getOperands(), isIn(positions));
    if (hasLogit)
      logits.insert(op.result_begin(), op.result_end());
    if (hasPosition)
      positions.insert(op.result_begin(), op.result_end());
    SmallVector<unsigned> scaled = operandsInUnit(op);
    auto are = [&](auto is) {
      return !scaled.empty() && llvm::all_of(scaled, [&](unsigned i) {
        return is(op.getOperand(i));
      });
    };
    if (hasLogit && are([&](Value x) {
          return x == op.getBlock()->getArgument(0) || !logits.contains(x) ||
                 inUnit.contains(x);
        }))
      inUnit.insert(result);
    if (!hasLogit && (!hasPosition || are(isIn(free))))
      free.insert(result);
  }
};

/// Copies what a body's result is made of anew, in its unit.
struct InUnit {
  OpBuilder &b;
  IRMapping &mapping; ///< What the body's values became.
  double inverse;
  BodyValues values;
  DenseMap<Value, Value> done = DenseMap<Value, Value>();

  Value of(Value value) {
    if (Value known = done.lookup(value))
      return known;
    Value made = make(value);
    done[value] = made;
    return made;
  }

private:
  Value make(Value value) {
    if (isa<BlockArgument>(value)) // The logit: no other is of f32.
      return mapping.lookup(value);
    Operation *op = value.getDefiningOp();
    bool isScaled =
        values.inUnit.contains(value) ||
        (values.free.contains(value) && values.positions.contains(value));
    if (!isScaled)
      return times(mapping.lookup(value));
    SmallVector<unsigned> operands = values.operandsInUnit(*op);
    SmallVector<Value> scaled = llvm::map_to_vector(
        operands, [&](unsigned i) { return of(op->getOperand(i)); });
    IRMapping own = mapping; // Others read the value in its own unit.
    Operation *copy = b.clone(*op, own);
    for (auto [i, operand] : llvm::zip_equal(operands, scaled))
      copy->setOperand(i, operand);
    return copy->getResult(0);
  }

  Value times(Value x) {
    Value factor =
        arith::ConstantOp::create(b, x.getLoc(), b.getF32FloatAttr(inverse));
    return arith::MulFOp::create(b, x.getLoc(), x, factor);
  }
};
} // namespace

bool unisparse::scalesWithLogit(Region &region) {
  Value result = resultOf(region);
  BodyValues values(region.front());
  return isa<BlockArgument>(result) || values.inUnit.contains(result);
}

Value unisparse::copyModification(OpBuilder &b, Region &region,
                                  ValueRange arguments,
                                  const ModificationForm &form, double unit) {
  IRMapping mapping;
  copyBody(b, region.front(), arguments, form, mapping);
  InUnit copy{b, mapping, 1.0 / unit, BodyValues(region.front())};
  return copy.of(resultOf(region));
}
