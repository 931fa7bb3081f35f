// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/CAPI/IR.h"
#include "mlir/IR/Verifier.h"
#include "unisparse-c/UniSparse.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniSparse/Transforms/Policy.h"

using namespace mlir;
using namespace unisparse;

namespace {

/// An op of operands that may be absent, checked before anybody sees it.
template <typename Op>
class Creator {
public:
  explicit Creator(MlirLocation location)
      : b(unwrap(location)->getContext()),
        state(unwrap(location), nameIn(b.getContext())) {}

  typename Op::Properties &properties() {
    return state.getOrAddProperties<typename Op::Properties>();
  }

  MlirOperation create(ArrayRef<MlirValue> operands) {
    auto &sizes = properties().operandSegmentSizes;
    for (auto [i, operand] : llvm::enumerate(operands)) {
      sizes[i] = operand.ptr != nullptr;
      if (operand.ptr)
        state.addOperands(unwrap(operand));
    }
    for (unsigned i : {0, 1, 2})
      if (!operands[i].ptr) {
        emitError(state.location)
            << "expected q, k and v, got none for one of them";
        return {nullptr};
      }
    SmallVector<Type> types;
    if (failed(Op::inferReturnTypes(
            b.getContext(), state.location, state.operands,
            DictionaryAttr::get(b.getContext()), &properties(), {}, types)))
      return {nullptr};
    state.addTypes(types);
    Operation *op = Operation::create(state);
    if (succeeded(verify(op)))
      return wrap(op);
    op->destroy();
    return {nullptr};
  }

  UnitAttr unitIf(bool condition) {
    return condition ? b.getUnitAttr() : UnitAttr();
  }
  FloatAttr numberUnlessZero(double number) {
    return number == 0 ? FloatAttr() : b.getF64FloatAttr(number);
  }
  /// The attribute, or a default; nothing after a diagnostic on another kind.
  template <typename Attr>
  bool take(MlirAttribute given, Attr otherwise, Attr &attr) {
    attr = given.ptr ? dyn_cast<Attr>(unwrap(given)) : otherwise;
    if (!attr)
      emitError(state.location)
          << "expected a #" << Attr::name << ", got " << unwrap(given);
    return bool(attr);
  }

  Builder b;

private:
  static OperationName nameIn(MLIRContext *context) {
    context->getOrLoadDialect<UniSparseDialect>();
    return OperationName(Op::getOperationName(), context);
  }
  OperationState state;
};

MlirValue orNull(Value value) {
  return value ? wrap(value) : MlirValue{nullptr};
}

/// M1 to M3.
template <typename Op, typename Struct>
void readModification(Op op, Struct &a) {
  a.softcap = op.getSoftcap() ? op.getSoftcap()->convertToDouble() : 0;
  a.window = op.getWindowAttr() ? wrap(Attribute(op.getWindowAttr()))
                                : MlirAttribute{nullptr};
  a.sinkLogits = orNull(op.getSinkLogits());
}

} // namespace

bool unisparseOperationIsAttention(MlirOperation op) {
  return isa<AttentionOp>(unwrap(op));
}

MlirOperation unisparseAttentionCreate(MlirLocation location,
                                       const UnisparseAttention *a) {
  Creator<AttentionOp> creator(location);
  MLIRContext *context = creator.b.getContext();
  auto &p = creator.properties();
  Agg agg = a->aggregateBySum ? Agg::Sum : Agg::Max;
  // What q is otherwise is said below.
  auto q = a->q.ptr ? dyn_cast<RankedTensorType>(unwrap(a->q).getType())
                    : RankedTensorType();
  int64_t headDim =
      q && q.getRank() == 4 && q.getDimSize(3) > 0 ? q.getDimSize(3) : 1;
  if (!creator.take(a->block, BlockAttr::get(context, 128, 128), p.block) ||
      !creator.take(a->pooling, measured::pooling(context, agg, headDim),
                    p.pooling) ||
      !creator.take(a->rule, measured::rule(context, a->causal), p.rule))
    return {nullptr};
  p.agg = AggAttr::get(context, agg);
  p.share =
      ShareAttr::get(context, a->shareInGroup ? Share::Group : Share::None);
  p.causal = creator.unitIf(a->causal);
  p.return_lse = creator.unitIf(a->returnLse);
  p.scale = creator.numberUnlessZero(a->scale);
  p.alpha = creator.b.getF64FloatAttr(a->alpha == 0 ? 1 : a->alpha);
  p.softcap = creator.numberUnlessZero(a->softcap);
  if (a->window.ptr && !creator.take(a->window, WindowAttr(), p.window))
    return {nullptr};
  return creator.create(
      {a->q, a->k, a->v, a->topP, a->cuSeqlensQ, a->cuSeqlensK, a->sinkLogits});
}

UnisparseAttention unisparseAttentionRead(MlirOperation op) {
  auto attention = cast<AttentionOp>(unwrap(op));
  UnisparseAttention a = {};
  a.q = wrap(Value(attention.getQ()));
  a.k = wrap(Value(attention.getK()));
  a.v = wrap(Value(attention.getV()));
  a.topP = orNull(attention.getTopP());
  a.cuSeqlensQ = orNull(attention.getCuSeqlensQ());
  a.cuSeqlensK = orNull(attention.getCuSeqlensK());
  a.block = wrap(Attribute(attention.getBlock()));
  a.pooling = wrap(Attribute(attention.getPooling()));
  a.rule = wrap(Attribute(attention.getRule()));
  a.aggregateBySum = attention.getAgg() == Agg::Sum;
  a.shareInGroup = attention.getShare() == Share::Group;
  a.causal = attention.getCausal();
  a.returnLse = attention.getReturnLse();
  a.scale = attention.getScaleAttr()
                ? attention.getScaleAttr().getValueAsDouble()
                : 0;
  a.alpha = attention.getAlpha().convertToDouble();
  readModification(attention, a);
  return a;
}

bool unisparseOperationIsBlockSparseAttention(MlirOperation op) {
  return isa<BlockSparseAttentionOp>(unwrap(op));
}

MlirOperation
unisparseBlockSparseAttentionCreate(MlirLocation location,
                                    const UnisparseBlockSparseAttention *a) {
  Creator<BlockSparseAttentionOp> creator(location);
  auto &p = creator.properties();
  if (!creator.take(a->block, BlockAttr::get(creator.b.getContext(), 128, 128),
                    p.block))
    return {nullptr};
  p.causal = creator.unitIf(a->causal);
  p.return_lse = creator.unitIf(a->returnLse);
  p.scale = creator.numberUnlessZero(a->scale);
  p.softcap = creator.numberUnlessZero(a->softcap);
  if (a->window.ptr && !creator.take(a->window, WindowAttr(), p.window))
    return {nullptr};
  return creator.create({a->q, a->k, a->v, a->counts, a->indices, a->cuSeqlensQ,
                         a->cuSeqlensK, a->sinkLogits});
}

UnisparseBlockSparseAttention
unisparseBlockSparseAttentionRead(MlirOperation op) {
  auto attention = cast<BlockSparseAttentionOp>(unwrap(op));
  UnisparseBlockSparseAttention a = {};
  a.q = wrap(Value(attention.getQ()));
  a.k = wrap(Value(attention.getK()));
  a.v = wrap(Value(attention.getV()));
  a.counts = orNull(attention.getCounts());
  a.indices = orNull(attention.getIndices());
  a.cuSeqlensQ = orNull(attention.getCuSeqlensQ());
  a.cuSeqlensK = orNull(attention.getCuSeqlensK());
  a.block = wrap(Attribute(attention.getBlock()));
  a.causal = attention.getCausal();
  a.returnLse = attention.getReturnLse();
  a.scale = attention.getScaleAttr()
                ? attention.getScaleAttr().getValueAsDouble()
                : 0;
  readModification(attention, a);
  return a;
}
