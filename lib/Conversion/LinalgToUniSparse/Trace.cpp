// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Trace.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/ValueBoundsOpInterface.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace unisparse::raise;

std::optional<double> Term::number() const {
  if (kind != Constant)
    return std::nullopt;
  if (auto real = dyn_cast<FloatAttr>(constant))
    return real.getValueAsDouble();
  if (auto whole = dyn_cast<IntegerAttr>(constant))
    return whole.getValue().roundToDouble(!whole.getType().isInteger(1) &&
                                          !whole.getType().isUnsignedInteger());
  return std::nullopt;
}

std::optional<unsigned> unisparse::raise::reductionLoop(linalg::LinalgOp op) {
  SmallVector<unsigned> loops;
  op.getReductionDims(loops);
  if (loops.size() != 1 || op.getNumParallelLoops() + 1 != op.getNumLoops())
    return std::nullopt;
  return loops[0];
}

bool unisparse::raise::runsInParallel(linalg::LinalgOp op) {
  return op.hasPureTensorSemantics() &&
         op.getNumParallelLoops() == op.getNumLoops();
}

const Scope *Tracer::keep(Scope scope) {
  scopes.push_back(std::move(scope));
  return &scopes.back();
}

//===----------------------------------------------------------------------===//
// Indices
//===----------------------------------------------------------------------===//

/// Operand of `op` at the scope's loops; none where its map is not a plain one.
static std::optional<Element> elementAt(const Scope &scope,
                                        OpOperand &operand) {
  Element element{operand.get(), {}};
  AffineMap map = scope.op.getMatchingIndexingMap(&operand);
  for (AffineExpr result : map.getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(result))
      element.index.push_back(scope.loops[dim.getPosition()]);
    else if (auto zero = dyn_cast<AffineConstantExpr>(result);
             zero && zero.getValue() == 0)
      element.index.push_back({});
    else
      return std::nullopt;
  }
  return element;
}

const Scope *Tracer::enter(linalg::LinalgOp op) {
  Scope scope{op, {}};
  scope.loops.resize(op.getNumLoops());
  SmallVector<bool> isBound(op.getNumLoops());
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (auto [i, result] : llvm::enumerate(map.getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(result);
          dim && !isBound[dim.getPosition()]) {
        scope.loops[dim.getPosition()] = digits.fresh(operand.get(), i);
        isBound[dim.getPosition()] = true;
      }
  }
  return llvm::all_of(isBound, [](bool b) { return b; }) ? keep(scope)
                                                         : nullptr;
}

/// Binds loops to where the op's result is `element`.
static bool bindLoops(linalg::LinalgOp op, const Element &element,
                      Scope &scope) {
  unsigned number = cast<OpResult>(element.tensor).getResultNumber();
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(number));
  scope.op = op;
  scope.loops.resize(op.getNumLoops());
  for (auto [result, index] :
       llvm::zip_equal(map.getResults(), element.index)) {
    auto dim = dyn_cast<AffineDimExpr>(result);
    if (dim)
      scope.loops[dim.getPosition()] = index;
    else if (!index.empty())
      return false;
  }
  return map.isProjectedPermutation(/*allowZeroInResults=*/true);
}

const Scope *Tracer::enterReduction(const Element &element,
                                    ArrayRef<Digit> reduced) {
  auto op = element.tensor.getDefiningOp<linalg::LinalgOp>();
  if (!op || !op.hasPureTensorSemantics())
    return nullptr;
  std::optional<unsigned> loop = reductionLoop(op);
  Scope scope;
  if (!loop || !bindLoops(op, element, scope))
    return nullptr;
  scope.loops[*loop] = Index(reduced);
  if (recording)
    passed.insert(op);
  return keep(scope);
}

//===----------------------------------------------------------------------===//
// From an element to what computes it
//===----------------------------------------------------------------------===//

/// Where an element of a reshape's result lies in its source.
static LogicalResult throughReshape(Digits &digits, Value source,
                                    ArrayRef<ReassociationIndices> groups,
                                    bool expands, Element &element) {
  SmallVector<Index> index;
  auto type = cast<RankedTensorType>(source.getType());
  if (expands) {
    for (const ReassociationIndices &group : groups) {
      Index joined;
      for (int64_t dim : group)
        joined.append(element.index[dim]);
      index.push_back(joined);
    }
  } else {
    for (auto [group, whole] : llvm::zip_equal(groups, element.index)) {
      SmallVector<int64_t> sizes;
      for (int64_t dim : group)
        sizes.push_back(type.getDimSize(dim));
      SmallVector<Index> parts;
      if (failed(digits.split(whole, sizes, parts)))
        return failure();
      index.append(parts.begin(), parts.end());
    }
  }
  element = {source, index};
  return success();
}

/// True where a number of the shape operand of a reshape is the size of `dim`.
static bool isSizeOf(Value number, Value source, int64_t dim) {
  while (auto cast = number.getDefiningOp<arith::IndexCastOp>())
    number = cast.getIn();
  if (!number.getType().isIndex())
    return false;
  using Bounds = ValueBoundsConstraintSet;
  FailureOr<bool> isEqual = Bounds::areEqual(number, {source, dim});
  return succeeded(isEqual) && *isEqual;
}

/// Where an element of a tensor.reshape lies that keeps all dynamic sizes, and
/// between them the number of elements.
static LogicalResult throughDynamicReshape(Digits &digits, tensor::ReshapeOp op,
                                           Element &element) {
  auto source = dyn_cast<RankedTensorType>(op.getSource().getType());
  auto result = dyn_cast<RankedTensorType>(op.getType());
  auto shape = op.getShape().getDefiningOp<tensor::FromElementsOp>();
  if (!source || !result || !shape ||
      source.getNumDynamicDims() != result.getNumDynamicDims())
    return failure();
  SmallVector<Index> index;
  int64_t to = 0;
  for (int64_t from = 0; from < source.getRank();) {
    // A run of static sizes here and there.
    SmallVector<int64_t> sizes;
    for (; from < source.getRank() && !source.isDynamicDim(from); ++from)
      sizes.push_back(source.getDimSize(from));
    Index run;
    for (; to < result.getRank() && !result.isDynamicDim(to); ++to)
      run.append(element.index[to]);
    SmallVector<Index> parts;
    if (failed(digits.split(run, sizes, parts)))
      return failure();
    index.append(parts.begin(), parts.end());
    if (from == source.getRank())
      break;
    // The dynamic one behind it.
    if (to == result.getRank() ||
        !isSizeOf(shape.getElements()[to], op.getSource(), from))
      return failure();
    index.push_back(element.index[to++]);
    ++from;
  }
  for (; to < result.getRank(); ++to)
    if (!element.index[to].empty())
      return failure();
  element = {op.getSource(), index};
  return success();
}

/// Moves an element over one op that only moves elements.
static LogicalResult throughMovement(Digits &digits, Element &element) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(
             element.tensor.getDefiningOp())
      .Case([&](tensor::ExpandShapeOp op) {
        return throughReshape(digits, op.getSrc(), op.getReassociationIndices(),
                              /*expands=*/true, element);
      })
      .Case([&](tensor::CollapseShapeOp op) {
        return throughReshape(digits, op.getSrc(), op.getReassociationIndices(),
                              /*expands=*/false, element);
      })
      .Case([&](tensor::CastOp op) -> LogicalResult {
        if (!isa<RankedTensorType>(op.getSource().getType()))
          return failure();
        element.tensor = op.getSource();
        return success();
      })
      .Case([&](tensor::ReshapeOp op) {
        return throughDynamicReshape(digits, op, element);
      })
      .Default([](Operation *) { return failure(); });
}

std::optional<Scalar> Tracer::computed(Element &element) {
  while (Operation *def = element.tensor.getDefiningOp()) {
    Operation *moved = def;
    if (succeeded(throughMovement(digits, element))) {
      if (recording)
        passed.insert(moved);
      continue;
    }
    auto op = dyn_cast<linalg::LinalgOp>(def);
    Scope scope;
    if (!op || !runsInParallel(op) || !bindLoops(op, element, scope))
      return std::nullopt;
    if (recording)
      passed.insert(op);
    unsigned number = cast<OpResult>(element.tensor).getResultNumber();
    Value value = op.getBlock()->getTerminator()->getOperand(number);
    return Scalar{value, keep(scope)};
  }
  return std::nullopt;
}

std::optional<Element> Tracer::elementOf(Scalar scalar) {
  auto argument = dyn_cast<BlockArgument>(scalar.value);
  if (!argument || !scalar.scope ||
      argument.getOwner() != scalar.scope->op.getBlock())
    return std::nullopt;
  OpOperand &operand = scalar.scope->op->getOpOperand(argument.getArgNumber());
  if (!isa<RankedTensorType>(operand.get().getType()))
    return std::nullopt;
  return elementAt(*scalar.scope, operand);
}

/// tensor.extract at positions of loops; `dim == 1 ? 0 : i`, a broadcast of a
/// dynamic size, is i.
std::optional<Element> Tracer::extractedFrom(Scalar scalar) {
  auto op = scalar.value.getDefiningOp<tensor::ExtractOp>();
  if (!op)
    return std::nullopt;
  Element element{op.getTensor(), {}};
  for (auto [i, index] : llvm::enumerate(op.getIndices())) {
    Term term = resolve({index, scalar.scope});
    if (auto select = term.dyn<arith::SelectOp>();
        select && operand(term, 1).number() == 0.0)
      if (Term compare = operand(term, 0);
          compare.dyn<arith::CmpIOp>() &&
          compare.dyn<arith::CmpIOp>().getPredicate() ==
              arith::CmpIPredicate::eq &&
          operand(compare, 1).number() == 1.0) {
        term = operand(term, 2);
        if (term.kind == Term::Position)
          promised.append(term.position);
      }
    if (term.kind == Term::Position)
      element.index.push_back(term.position);
    else if (term.number() == 0.0 &&
             cast<RankedTensorType>(op.getTensor().getType()).getDimSize(i) ==
                 1)
      element.index.push_back({});
    else
      return std::nullopt;
  }
  return element;
}

//===----------------------------------------------------------------------===//
// Terms
//===----------------------------------------------------------------------===//

Term Tracer::fromConstant(Value value) {
  Term term;
  Attribute attr;
  if (!matchPattern(value, m_Constant(&attr)))
    return term;
  if (auto splat = dyn_cast<SplatElementsAttr>(attr))
    attr = splat.getSplatValue<Attribute>();
  if (auto typed = dyn_cast<TypedAttr>(attr);
      typed && isa<FloatAttr, IntegerAttr>(attr)) {
    term.kind = Term::Constant;
    term.constant = typed;
  }
  return term;
}

Term Tracer::resolve(Element element) {
  if (std::optional<Scalar> scalar = computed(element))
    return resolve(*scalar);
  Term term = fromConstant(element.tensor);
  if (term.kind == Term::Constant)
    return term;
  term.kind = Term::Leaf;
  term.element = element;
  return term;
}

Term Tracer::resolve(Scalar scalar) {
  Term term;
  term.scalar = scalar;
  if (auto argument = dyn_cast<BlockArgument>(scalar.value)) {
    bool isOurs =
        scalar.scope && argument.getOwner() == scalar.scope->op.getBlock();
    if (!isOurs) {
      term.kind = Term::Leaf;
      term.element = {scalar.value, {}};
      return term;
    }
    OpOperand &operand =
        scalar.scope->op->getOpOperand(argument.getArgNumber());
    if (scalar.scope->op.isDpsInit(&operand) &&
        !runsInParallel(scalar.scope->op)) {
      term.kind = Term::Accumulator;
      return term;
    }
    if (!isa<RankedTensorType>(operand.get().getType()))
      return resolve({operand.get(), nullptr});
    if (std::optional<Element> element = elementOf(scalar))
      return resolve(*element);
    return term;
  }
  Term constant = fromConstant(scalar.value);
  if (constant.kind == Term::Constant)
    return constant;
  Operation *op = scalar.value.getDefiningOp();
  if (auto index = dyn_cast<linalg::IndexOp>(op); index && scalar.scope) {
    term.kind = Term::Position;
    term.position = scalar.scope->loops[index.getDim()];
    return term;
  }
  if (isa<arith::IndexCastOp, arith::ExtSIOp, arith::ExtUIOp>(op)) {
    // A position is a small number of any type; i1 is none.
    Term inner = resolve({op->getOperand(0), scalar.scope});
    if (inner.kind == Term::Position)
      return inner;
  }
  if (std::optional<Element> element = extractedFrom(scalar))
    return resolve(*element);
  bool isInside = scalar.scope && op->getBlock() == scalar.scope->op.getBlock();
  term.kind = isInside ? Term::Operation : Term::Leaf;
  if (!isInside)
    term.element = {scalar.value, {}};
  return term;
}

Term Tracer::yielded(const Scope *scope, unsigned result) {
  linalg::LinalgOp op = scope->op;
  return resolve({op.getBlock()->getTerminator()->getOperand(result), scope});
}

Term Tracer::withoutCasts(Term term) {
  while (term.dyn<arith::ExtFOp>() || term.dyn<arith::TruncFOp>())
    term = operand(term, 0);
  return term;
}

bool Tracer::equal(const Term &a, const Term &b) {
  if (a.kind != b.kind)
    return false;
  switch (a.kind) {
  case Term::Constant:
    return a.constant == b.constant;
  case Term::Position:
    return digits.same(a.position, b.position);
  case Term::Leaf:
    return a.element.tensor == b.element.tensor &&
           llvm::equal(a.element.index, b.element.index,
                       [&](const Index &i, const Index &j) {
                         return digits.same(i, j);
                       });
  case Term::Operation: {
    if (a.scalar.value == b.scalar.value && a.scalar.scope == b.scalar.scope)
      return true;
    Operation *x = a.op(), *y = b.op();
    if (x->getName() != y->getName() ||
        x->getNumOperands() != y->getNumOperands() || x->getNumRegions() ||
        x->getRawDictionaryAttrs() != y->getRawDictionaryAttrs() ||
        x->getPropertiesAsAttribute() != y->getPropertiesAsAttribute())
      return false;
    for (unsigned i = 0; i < x->getNumOperands(); ++i)
      if (!equal(operand(a, i), operand(b, i)))
        return false;
    return true;
  }
  case Term::Accumulator:
  case Term::Unknown:
    return false;
  }
  return false;
}
