// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Build.h"
#include "Layout.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/ValueBoundsOpInterface.h"
#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include <cmath>

using namespace mlir;
using namespace unisparse;
using namespace unisparse::raise;

namespace {
using Set = llvm::SetVector<Digit>;

/// The digits of each dimension of the op's tensors.
struct Roles {
  Index batch, kvHead, group, query, key, dim, valueDim;
};
} // namespace

static Set digitsOf(const Digits &digits, const Element &element) {
  Set set;
  for (const Index &index : element.index)
    set.insert_range(digits.current(index));
  return set;
}

/// True where two digits index one dimension of the element.
static bool shareDim(const Digits &digits, const Element &element, Digit a,
                     Digit b) {
  return llvm::any_of(element.index, [&](const Index &place) {
    Index index = digits.current(place);
    return llvm::is_contained(index, a) && llvm::is_contained(index, b);
  });
}

/// Who is batch, head, query and key: digits that all tensors have are batch or
/// KV head; those of q and o alone are queries or the heads of a KV group.
static FailureOr<Roles> rolesOf(Tracer &t, Attention &a, std::string &why) {
  const Digits &digits = t.digits;
  Set q = digitsOf(digits, a.q.element), k = digitsOf(digits, a.k.element),
      v = digitsOf(digits, a.v.element), o = digitsOf(digits, a.o);
  Roles roles;
  roles.key = digits.current(a.key);
  Index dim = digits.current(a.dim), shared, own;
  Index query = a.causalQuery ? digits.current(*a.causalQuery) : Index();
  auto refuse = [&](const Twine &text) {
    why = text.str();
    return failure();
  };
  for (Digit digit : q) {
    bool inK = k.contains(digit), inV = v.contains(digit),
         inO = o.contains(digit);
    if (llvm::is_contained(dim, digit) && inK && !inV && !inO)
      roles.dim.push_back(digit);
    else if (inK && inV && inO)
      shared.push_back(digit);
    else if (!inK && !inV && inO)
      own.push_back(digit);
    else
      return refuse(
          "expected q's dimensions to be batch, heads, queries and "
          "head_dim, got one that k, v or the output do not share so");
  }
  for (Digit digit : v)
    if (!k.contains(digit)) {
      if (!o.contains(digit))
        return refuse(
            "expected v's dimensions to be batch, heads, keys and head_dim");
      roles.valueDim.push_back(digit);
    }
  auto isKnown = [&](Digit digit) {
    return llvm::is_contained(roles.key, digit) || q.contains(digit);
  };
  if (!llvm::all_of(k, isKnown) || roles.dim.size() != dim.size() ||
      !llvm::all_of(roles.key,
                    [&](Digit d) { return k.contains(d) && v.contains(d); }) ||
      !llvm::all_of(o, [&](Digit d) { return q.contains(d) || v.contains(d); }))
    return refuse(
        "expected k's dimensions to be batch, heads, keys and head_dim");
  // Queries: what the causal mask compares; without one, what is no part of a
  // dimension of heads, the last of it.
  if (!a.causalQuery) {
    Index candidates;
    for (Digit digit : own)
      if (llvm::none_of(shared, [&](Digit s) {
            return shareDim(digits, a.q.element, s, digit);
          }))
        candidates.push_back(digit);
    if (candidates.empty() && !own.empty())
      return refuse("expected queries to have a dimension of their own in q");
    if (!candidates.empty())
      for (Digit digit : candidates)
        if (digit == candidates.back() ||
            shareDim(digits, a.q.element, digit, candidates.back()))
          query.push_back(digit);
  }
  if (!llvm::all_of(query, [&](Digit d) { return llvm::is_contained(own, d); }))
    return refuse("expected the causal mask to compare keys with queries");
  roles.query = query;
  for (Digit digit : own)
    if (!llvm::is_contained(query, digit))
      roles.group.push_back(digit);
  // KV heads: what shares a dimension with the group, or the last static digit.
  for (Digit digit : shared) {
    bool beside = llvm::any_of(roles.group, [&](Digit g) {
      return shareDim(digits, a.q.element, g, digit);
    });
    bool isLast = roles.group.empty() && digit == shared.back() &&
                  !ShapedType::isDynamic(digits.size(digit));
    (beside || isLast ? roles.kvHead : roles.batch).push_back(digit);
  }
  return roles;
}

/// The operand as a tensor: cut out of the product's body where it is computed
/// there.
static Value materialize(OpBuilder &b, Location loc, Operand &operand) {
  if (!operand.inlined)
    return operand.element.tensor;
  linalg::LinalgOp op = operand.inlined->scope->op;
  MLIRContext *context = b.getContext();
  DenseMap<unsigned, unsigned> place;
  SmallVector<OpFoldResult> sizes(operand.loops.size());
  for (auto [i, loop] : llvm::enumerate(operand.loops))
    place[loop] = i;
  SmallVector<AffineExpr> dims(op.getNumLoops(),
                               getAffineConstantExpr(0, context));
  for (auto [loop, i] : place)
    dims[loop] = getAffineDimExpr(i, context);
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  SmallVector<unsigned> numbers;
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    for (auto [i, expr] : llvm::enumerate(map.getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(expr);
          dim && place.contains(dim.getPosition()))
        sizes[place[dim.getPosition()]] =
            tensor::getMixedSize(b, loc, input->get(), i);
    bool isUsed = llvm::all_of(map.getResults(), [&](AffineExpr expr) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      return !dim || place.contains(dim.getPosition());
    });
    if (!isUsed)
      continue;
    inputs.push_back(input->get());
    maps.push_back(
        map.replaceDimsAndSymbols(dims, {}, operand.loops.size(), 0));
    numbers.push_back(input->getOperandNumber());
  }
  maps.push_back(b.getMultiDimIdentityMap(operand.loops.size()));
  Value empty = tensor::EmptyOp::create(b, loc, sizes, operand.type);
  SmallVector<utils::IteratorType> loops(operand.loops.size(),
                                         utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, loc, empty.getType(), inputs, empty, maps, loops,
      [&](OpBuilder &b, Location loc, ValueRange arguments) {
        IRMapping mapping;
        for (auto [i, number] : llvm::enumerate(numbers))
          mapping.map(op.getBlock()->getArgument(number), arguments[i]);
        llvm::SetVector<Operation *> slice;
        std::function<void(Value)> visit = [&](Value value) {
          Operation *def = value.getDefiningOp();
          if (!def || def->getBlock() != op.getBlock() || slice.contains(def))
            return;
          for (Value operand : def->getOperands())
            visit(operand);
          slice.insert(def);
        };
        visit(operand.inlined->value);
        for (Operation *def : slice) {
          Operation *copy = b.clone(*def, mapping);
          if (auto index = dyn_cast<linalg::IndexOp>(copy))
            index.setDim(place[index.getDim()]);
        }
        linalg::YieldOp::create(b, loc, mapping.lookup(operand.inlined->value));
      });
  return generic->getResult(0);
}

Value unisparse::raise::convertElements(OpBuilder &b, Location loc,
                                        Value tensor, Type element) {
  Type from = getElementTypeOrSelf(tensor);
  if (from == element)
    return tensor;
  int64_t rank = cast<RankedTensorType>(tensor.getType()).getRank();
  Value empty = tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, tensor), element);
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(rank));
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  bool widens = element.getIntOrFloatBitWidth() > from.getIntOrFloatBitWidth();
  auto generic = linalg::GenericOp::create(
      b, loc, empty.getType(), tensor, empty, maps, loops,
      [&](OpBuilder &b, Location loc, ValueRange arguments) {
        Value x = arguments[0];
        // Types of one width go through f32.
        if (!widens &&
            element.getIntOrFloatBitWidth() == from.getIntOrFloatBitWidth())
          x = arith::ExtFOp::create(b, loc, b.getF32Type(), x);
        Value y = widens ? Value(arith::ExtFOp::create(b, loc, element, x))
                         : Value(arith::TruncFOp::create(b, loc, element, x));
        linalg::YieldOp::create(b, loc, y);
      });
  return generic->getResult(0);
}

/// What the op's verifier says against it.
static LogicalResult verifyQuietly(Operation *op, std::string &why) {
  ScopedDiagnosticHandler handler(op->getContext(), [&](Diagnostic &d) {
    if (why.empty())
      why = d.str();
    return success();
  });
  if (succeeded(verify(op)))
    return success();
  StringRef text = why;
  text.consume_front("'" + op->getName().getStringRef().str() + "' op ");
  why = text.str();
  return failure();
}

FailureOr<Value> unisparse::raise::createDenseAttention(
    OpBuilder &b, Location loc, Value q, Value k, Value v, bool causal,
    std::optional<double> scale, Type element, std::string &why) {
  int64_t dim = cast<RankedTensorType>(q.getType()).getDimSize(3);
  // The default is not written; a square root twice is it but for rounding.
  if (scale && std::abs(*scale / logitScale({}, dim) - 1) < 1e-6)
    scale.reset();
  auto op = BlockSparseAttentionOp::create(
      b, loc, q, k, v, /*counts=*/{}, /*indices=*/{}, /*cu_seqlens_q=*/{},
      /*cu_seqlens_k=*/{}, BlockAttr::get(b.getContext(), 128, 128), causal,
      /*return_lse=*/false, scale ? b.getF64FloatAttr(*scale) : FloatAttr(),
      /*softcap=*/FloatAttr(), /*window=*/WindowAttr(),
      /*sink_logits=*/Value(), /*tables=*/ValueRange(),
      /*modificationCount=*/0);
  if (failed(verifyQuietly(op, why)))
    return failure();
  if (!isa<FloatType>(element)) {
    llvm::raw_string_ostream(why)
        << "expected a result of floats, got " << element;
    return failure();
  }
  return convertElements(b, loc, op.getO(), element);
}

/// True where everybody who reads the result narrows it to `type` at once.
static bool isOnlyNarrowed(Value result, Type type) {
  return llvm::all_of(result.getUses(), [&](OpOperand &use) {
    Operation *user = use.getOwner();
    if (isa<tensor::DimOp>(user))
      return true;
    if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp,
            linalg::TransposeOp>(user))
      return use.getOperandNumber() == 0 &&
             isOnlyNarrowed(user->getResult(0), type);
    auto op = dyn_cast<linalg::LinalgOp>(user);
    if (!op || op.isDpsInit(&use))
      return false;
    return llvm::all_of(
        op.getMatchingBlockArgument(&use).getUsers(), [&](Operation *user) {
          if (isa<arith::TruncFOp>(user))
            return user->getResult(0).getType() == type;
          // A copy.
          return isa<linalg::YieldOp>(user) && op->getNumResults() == 1 &&
                 isOnlyNarrowed(op->getResult(0), type);
        });
  });
}

/// A dimension's size from where it was made: to ask the tensor itself would
/// keep what computes it.
static Value sizeOf(OpBuilder &b, Location loc, Value tensor, int64_t dim) {
  while (auto result = dyn_cast<OpResult>(tensor)) {
    Operation *def = result.getOwner();
    if (auto op = dyn_cast<DestinationStyleOpInterface>(def))
      tensor = op.getTiedOpOperand(result)->get();
    else if (auto op = dyn_cast<tensor::EmptyOp>(def))
      return getValueOrCreateConstantIndexOp(b, loc, op.getMixedSizes()[dim]);
    else if (auto op = dyn_cast<tensor::ExpandShapeOp>(def))
      return getValueOrCreateConstantIndexOp(b, loc,
                                             op.getMixedOutputShape()[dim]);
    else
      break;
  }
  return tensor::DimOp::create(b, loc, tensor, dim);
}

/// Equal where `digit` of a dynamic size reads dimension `dim`: proven, or
/// asserted. `names` are what `label` calls the two.
static void expectLength(OpBuilder &b, Location loc, const Digits &digits,
                         Value tensor, int64_t dim, Digit digit,
                         StringRef label,
                         std::pair<StringRef, StringRef> names) {
  auto [other, otherDim] = digits.origin(digit);
  FailureOr<bool> isEqual =
      ValueBoundsConstraintSet::areEqual({tensor, dim}, {other, otherDim});
  if (succeeded(isEqual) && *isEqual)
    return;
  Value size = sizeOf(b, loc, tensor, dim);
  Value expected = sizeOf(b, loc, other, otherDim);
  createCheck(b, loc, label, {size, names.first.str()}, CheckRelation::Equal,
              {expected, names.second.str()});
}

/// [I7] A causal op's queries stand at the end of the keys; the program's mask
/// has to say so too.
static LogicalResult checkAlignment(OpBuilder *b, Location loc, Tracer &t,
                                    Attention &a, const Roles &roles,
                                    std::string &why) {
  if (!a.causalQuery)
    return success();
  const Digits &digits = t.digits;
  auto length = [&](ArrayRef<Digit> index) {
    int64_t product = 1;
    for (Digit digit : index)
      product = ShapedType::isDynamic(digits.size(digit))
                    ? ShapedType::kDynamic
                    : product * digits.size(digit);
    return product;
  };
  int64_t lq = length(roles.query), lk = length(roles.key);
  bool isDynamic = ShapedType::isDynamic(lq) || ShapedType::isDynamic(lk);
  if (!isDynamic && a.causalOffset == lk - lq)
    return success();
  if (isDynamic && a.causalOffset == 0 && roles.query.size() == 1 &&
      roles.key.size() == 1) {
    auto [q, qDim] = digits.origin(roles.query[0]);
    auto [k, kDim] = digits.origin(roles.key[0]);
    if (q && k) {
      FailureOr<bool> isEqual =
          ValueBoundsConstraintSet::areEqual({q, qDim}, {k, kDim});
      if (b && !(succeeded(isEqual) && *isEqual))
        expectLength(
            *b, loc, digits, q, qDim, roles.key[0], "I7",
            {"queries of a causal mask that begins at the first", "its keys"});
      return success();
    }
  }
  std::string text;
  llvm::raw_string_ostream(text)
      << "[I7] expected a causal mask whose last query sees every key, as with "
         "bottom-right alignment, got one where query i of "
      << (ShapedType::isDynamic(lq) ? "?" : std::to_string(lq))
      << " sees keys up to i" << (a.causalOffset < 0 ? "" : " + ")
      << a.causalOffset << " of "
      << (ShapedType::isDynamic(lk) ? "?" : std::to_string(lk));
  why = text;
  return failure();
}

LogicalResult unisparse::raise::buildAttention(RewriterBase &b, Tracer &t,
                                               Attention &a, std::string &why) {
  Digits &digits = t.digits;
  Location loc = a.root->getLoc();
  FailureOr<Roles> found = rolesOf(t, a, why);
  if (failed(found))
    return failure();
  Roles roles = *found;
  if (failed(checkAlignment(nullptr, loc, t, a, roles, why)))
    return failure();
  Type result = getElementTypeOrSelf(a.o.tensor), element = a.q.type;
  for (Operand *operand : {&a.q, &a.k, &a.v}) {
    // [I1]
    if (!operand->type.isF32() && !operand->type.isF16() &&
        !operand->type.isBF16()) {
      llvm::raw_string_ostream(why)
          << "[I1] expected q, k and v of f32, f16 or bf16, got "
          << operand->type;
      return failure();
    }
    if (!operand->inlined &&
        !coversAll(digits, operand->element.tensor, operand->element.index)) {
      why = "expected q, k and v to be whole tensors, got a part of one";
      return failure();
    }
    if (operand->type != element)
      element = b.getF32Type();
  }
  if (!coversAll(digits, a.o.tensor, a.o.index)) {
    why = "expected the product with v to fill its tensor, got a part of one";
    return failure();
  }
  if (result.getIntOrFloatBitWidth() > element.getIntOrFloatBitWidth() &&
      !isOnlyNarrowed(a.o.tensor, element))
    element = b.getF32Type();

  b.setInsertionPoint(a.root);
  (void)checkAlignment(&b, loc, t, a, roles, why);
  auto join = [](Index first, ArrayRef<Digit> second) {
    first.append(second.begin(), second.end());
    return first;
  };
  Index heads = join(roles.kvHead, roles.group);
  auto prepare = [&](Operand &operand, ArrayRef<Index> to, const char *name) {
    Value tensor = materialize(b, loc, operand);
    for (auto [i, place] : llvm::enumerate(operand.element.index))
      if (Index index = digits.current(place);
          index.size() == 1 && llvm::is_contained(t.promised, index[0]))
        expectLength(b, loc, digits, tensor, i, index[0], "I4",
                     {(Twine("the length of ") + name).str(),
                      "that of what it is multiplied with"});
    tensor = relayout(b, loc, digits, tensor, operand.element.index, to);
    return convertElements(b, loc, tensor, element);
  };
  Value q = prepare(a.q, {roles.batch, heads, roles.query, roles.dim}, "q");
  Value k =
      prepare(a.k, {roles.batch, roles.kvHead, roles.key, roles.dim}, "k");
  Value v =
      prepare(a.v, {roles.batch, roles.kvHead, roles.key, roles.valueDim}, "v");
  FailureOr<Value> dense = createDenseAttention(
      b, loc, q, k, v, a.causalQuery.has_value(), a.scale, result, why);
  if (failed(dense))
    return failure();
  Value o =
      relayout(b, loc, digits, *dense,
               {roles.batch, heads, roles.query, roles.valueDim}, a.o.index);
  if (o.getType() != a.o.tensor.getType())
    o = tensor::CastOp::create(b, loc, a.o.tensor.getType(), o);
  b.replaceOp(a.root, o);
  return success();
}
