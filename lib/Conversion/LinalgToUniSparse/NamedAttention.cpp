// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "NamedAttention.h"
#include "Build.h"
#include "Mask.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "unisparse/Dialect/UniSparse/IR/Check.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Dialect/UniSparse/Transforms/Policy.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::raise;

static constexpr StringRef kTMTensor = "tm_tensor.attention",
                           kTorch = "torch.aten.scaled_dot_product_attention",
                           kComposite = "stablehlo.composite",
                           kCompositeName = "unisparse.attention";

bool unisparse::raise::isNamedAttention(Operation *op) {
  StringRef name = op->getName().getStringRef();
  if (name != kComposite)
    return name == kTMTensor || name == kTorch;
  auto composite = op->getAttrOfType<StringAttr>("name");
  return composite && composite.getValue() == kCompositeName;
}

static LogicalResult refuse(std::string &why, const Twine &text) {
  why = text.str();
  return failure();
}

//===----------------------------------------------------------------------===//
// tm_tensor.attention: q, k, v [batch, length, head_dim], perhaps a mask, and
// where the result goes.
//===----------------------------------------------------------------------===//

/// The mask's element over (query, key) as what it hides.
static LogicalResult readMask(Tracer &t, Value mask, Attention &a, Index batch,
                              Index query, std::string &why) {
  Term term = t.withoutCasts(t.resolve(Element{mask, {batch, query, a.key}}));
  bool isSeen = true;
  if (!getElementTypeOrSelf(mask.getType()).isInteger(1)) {
    if (term.number() == 0.0)
      return success();
    if (!term.dyn<arith::SelectOp>())
      return refuse(why,
                    "expected a causal mask, got a tensor of unknown contents");
    std::optional<double> onTrue = t.operand(term, 1).number(),
                          onFalse = t.operand(term, 2).number();
    isSeen = onTrue == 0.0;
    std::optional<double> seen = isSeen ? onTrue : onFalse,
                          hidden = isSeen ? onFalse : onTrue;
    if (seen != 0.0 || !hidden || !(*hidden <= -3e4))
      return refuse(why, "expected a mask that adds 0 or -inf");
    term = t.operand(term, 0);
  }
  FailureOr<CausalMask> causal = matchCausalMask(t, term, isSeen, a.key, why);
  if (failed(causal))
    return failure();
  a.causalQuery = causal->query;
  a.causalOffset = causal->offset;
  return success();
}

static LogicalResult raiseTMTensor(RewriterBase &b, Operation *op,
                                   std::string &why) {
  if (op->getNumResults() != 1 ||
      (op->getNumOperands() != 4 && op->getNumOperands() != 5))
    return refuse(why, "expected q, k, v, perhaps a mask, and an output, got " +
                           Twine(op->getNumOperands()) + " operands");
  SmallVector<Value> tensors(op->getOperands());
  tensors.push_back(op->getResult(0));
  for (Value value : tensors)
    if (auto type = dyn_cast<RankedTensorType>(value.getType());
        !type || type.getRank() != 3)
      return refuse(why, "expected tensors [batch, length, head_dim]");
  Tracer t;
  Attention a;
  a.root = op;
  Value q = op->getOperand(0), k = op->getOperand(1), v = op->getOperand(2);
  Index batch = t.digits.fresh(q, 0), query = t.digits.fresh(q, 1);
  a.dim = t.digits.fresh(q, 2);
  a.key = t.digits.fresh(k, 1);
  Index valueDim = t.digits.fresh(v, 2);
  a.q = sourceOf(t, {q, {batch, query, a.dim}});
  a.k = sourceOf(t, {k, {batch, a.key, a.dim}});
  a.v = sourceOf(t, {v, {batch, a.key, valueDim}});
  a.o = {op->getResult(0), {batch, query, valueDim}};
  int64_t headDim = cast<RankedTensorType>(q.getType()).getDimSize(2);
  if (ShapedType::isDynamic(headDim))
    return refuse(why, "expected a static head_dim");
  a.scale = logitScale({}, headDim);
  if (Attribute given = op->getAttr("scale")) {
    auto scale = dyn_cast<FloatAttr>(given);
    if (!scale)
      return refuse(why, "expected scale to be a float");
    a.scale = scale.getValueAsDouble();
  }
  if (op->getNumOperands() == 5 &&
      failed(readMask(t, op->getOperand(3), a, batch, query, why)))
    return failure();
  return buildAttention(b, t, a, why);
}

//===----------------------------------------------------------------------===//
// torch.aten.scaled_dot_product_attention(q, k, v, attn_mask, dropout_p,
// is_causal, scale, enable_gqa)
//===----------------------------------------------------------------------===//

/// !torch.vtensor<[2,8,?,64],f32> as tensor<2x8x?x64xf32>.
static RankedTensorType builtinTypeOf(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  StringRef rest = text;
  if (!rest.consume_front("!torch.vtensor<["))
    return {};
  auto [sizes, element] = rest.split("],");
  std::string builtin = "tensor<";
  for (StringRef size : llvm::split(sizes, ','))
    builtin += size.trim().str() + "x";
  builtin += element.str();
  ScopedDiagnosticHandler quiet(type.getContext(),
                                [](Diagnostic &) { return success(); });
  return dyn_cast_or_null<RankedTensorType>(
      parseType(builtin, type.getContext()));
}

static Attribute torchConstant(Value value, StringRef kind) {
  Operation *def = value.getDefiningOp();
  return def && def->getName().getStringRef() ==
                     ("torch.constant." + kind).str()
             ? def->getAttr("value")
             : Attribute();
}

static bool isTorchNone(Value value) {
  Operation *def = value.getDefiningOp();
  return def && def->getName().getStringRef() == "torch.constant.none";
}

/// What a front end says that a result is.
static LogicalResult castTo(OpBuilder &b, Location loc, RankedTensorType type,
                            Value &value, std::string &why) {
  if (value.getType() == type)
    return success();
  if (!tensor::CastOp::areCastCompatible(value.getType(), type)) {
    llvm::raw_string_ostream(why)
        << "expected a result like " << value.getType() << ", got " << type;
    return failure();
  }
  value = tensor::CastOp::create(b, loc, type, value);
  return success();
}

/// [I7] A mask that begins at the first query needs as many queries as keys:
/// known, or asserted.
static LogicalResult expectSquare(OpBuilder *b, Location loc,
                                  RankedTensorType q, RankedTensorType k,
                                  Value qValue, Value kValue,
                                  std::string &why) {
  int64_t lq = q.getDimSize(2), lk = k.getDimSize(2);
  bool isDynamic = ShapedType::isDynamic(lq) || ShapedType::isDynamic(lk);
  if (!isDynamic && lq != lk)
    return refuse(
        why, "[I7] expected as many queries as keys of is_causal, whose mask "
             "begins at the first query, got " +
                 Twine(lq) + " and " + Twine(lk));
  if (!isDynamic || !b)
    return success();
  auto length = [&](Value tensor) {
    return tensor::DimOp::create(*b, loc, tensor, 2).getResult();
  };
  NamedValue queries{length(qValue), "queries of is_causal"},
      keys{length(kValue), "its keys"};
  createCheck(*b, loc, "I7", queries, CheckRelation::Equal, keys);
  return success();
}

static LogicalResult raiseTorch(RewriterBase &b, Operation *op,
                                std::string &why) {
  if (op->getNumOperands() < 7 || op->getNumResults() != 1)
    return refuse(why, "expected at least 7 operands, got " +
                           Twine(op->getNumOperands()));
  RankedTensorType types[3];
  for (unsigned i : {0, 1, 2}) {
    types[i] = builtinTypeOf(op->getOperand(i).getType());
    if (!types[i] || types[i].getRank() != 4)
      return refuse(why, "expected q, k and v to be !torch.vtensor of [batch, "
                         "heads, length, head_dim]");
  }
  RankedTensorType result = builtinTypeOf(op->getResult(0).getType());
  if (!result)
    return refuse(why, "expected a result of a known shape");
  if (!isTorchNone(op->getOperand(3)))
    return refuse(why,
                  "expected no attn_mask, got a tensor of unknown contents");
  auto dropout =
      dyn_cast_or_null<FloatAttr>(torchConstant(op->getOperand(4), "float"));
  if (!dropout || dropout.getValueAsDouble() != 0)
    return refuse(why, "expected dropout_p to be 0");
  auto causal =
      dyn_cast_or_null<IntegerAttr>(torchConstant(op->getOperand(5), "bool"));
  if (!causal)
    return refuse(why, "expected is_causal to be a constant");
  std::optional<double> scale;
  if (!isTorchNone(op->getOperand(6))) {
    auto given =
        dyn_cast_or_null<FloatAttr>(torchConstant(op->getOperand(6), "float"));
    if (!given)
      return refuse(why, "expected scale to be a constant or none");
    scale = given.getValueAsDouble();
  }
  bool isCausal = !causal.getValue().isZero();
  Location loc = op->getLoc();
  if (isCausal &&
      failed(expectSquare(nullptr, loc, types[0], types[1], {}, {}, why)))
    return failure();
  auto convert = [&](StringRef name, Value value, Type type) {
    OperationState state(loc, name);
    state.addOperands(value);
    state.addTypes(type);
    return b.create(state)->getResult(0);
  };
  b.setInsertionPoint(op);
  Value tensors[3];
  for (unsigned i : {0, 1, 2})
    tensors[i] =
        convert("torch_c.to_builtin_tensor", op->getOperand(i), types[i]);
  if (isCausal)
    (void)expectSquare(&b, loc, types[0], types[1], tensors[0], tensors[1],
                       why);
  FailureOr<Value> o =
      createDenseAttention(b, loc, tensors[0], tensors[1], tensors[2], isCausal,
                           scale, result.getElementType(), why);
  if (failed(o) || failed(castTo(b, loc, result, *o, why)))
    return failure();
  b.replaceOp(op, convert("torch_c.from_builtin_tensor", *o,
                          op->getResult(0).getType()));
  return success();
}

//===----------------------------------------------------------------------===//
// stablehlo.composite "unisparse.attention": q, k, v [batch, length, heads,
// head_dim], as JAX has them, and a policy.
//===----------------------------------------------------------------------===//

static LogicalResult raiseComposite(RewriterBase &b, Operation *op,
                                    std::string &why) {
  if (op->getNumOperands() != 3 || op->getNumResults() != 1)
    return refuse(why, "expected q, k and v, got " +
                           Twine(op->getNumOperands()) + " operands");
  for (Value value : op->getOperands())
    if (auto type = dyn_cast<RankedTensorType>(value.getType());
        !type || type.getRank() != 4)
      return refuse(why, "expected tensors [batch, length, heads, head_dim]");
  auto result = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!result)
    return refuse(why, "expected a result of a known rank");
  bool isCausal = false;
  std::optional<double> scale;
  NamedAttrList policy;
  if (auto attributes =
          op->getAttrOfType<DictionaryAttr>("composite_attributes"))
    for (NamedAttribute attribute : attributes) {
      auto real = dyn_cast<FloatAttr>(attribute.getValue());
      auto whole = dyn_cast<IntegerAttr>(attribute.getValue());
      StringRef name = attribute.getName();
      if (name == "causal" && whole)
        isCausal = !whole.getValue().isZero();
      else if (name == "scale" && real)
        scale = real.getValueAsDouble();
      else if (failed(addPolicyFrom(attribute, policy, why)))
        return failure();
    }
  Location loc = op->getLoc();
  b.setInsertionPoint(op);
  auto transposed = [&](Value value) {
    // [B, L, H, D] and [B, H, L, D], either way.
    SmallVector<int64_t> order{0, 2, 1, 3};
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, value),
                              permuted;
    for (int64_t i : order)
      permuted.push_back(sizes[i]);
    Value empty =
        tensor::EmptyOp::create(b, loc, permuted, getElementTypeOrSelf(value));
    return linalg::TransposeOp::create(b, loc, value, empty, order)
        ->getResult(0);
  };
  Value q = transposed(op->getOperand(0)), k = transposed(op->getOperand(1)),
        v = transposed(op->getOperand(2));
  FailureOr<Value> dense = createDenseAttention(
      b, loc, q, k, v, isCausal, scale, result.getElementType(), why);
  if (failed(dense))
    return failure();
  Operation *attend = dense->getDefiningOp();
  while (!isa<BlockSparseAttentionOp>(attend))
    attend = attend->getOperand(0).getDefiningOp();
  attend->setDiscardableAttrs(policy);
  Value o = transposed(*dense);
  if (failed(castTo(b, loc, result, o, why)))
    return failure();
  b.replaceOp(op, o);
  return success();
}

LogicalResult unisparse::raise::raiseNamedAttention(RewriterBase &b,
                                                    Operation *op,
                                                    std::string &why) {
  StringRef name = op->getName().getStringRef();
  if (name == kTMTensor)
    return raiseTMTensor(b, op, why);
  if (name == kTorch)
    return raiseTorch(b, op, why);
  return raiseComposite(b, op, why);
}
