// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What is compared: sizes, indices, and what they are called.
#include "SizeRules.h"
#include "mlir/Analysis/DataFlow/IntegerRangeAnalysis.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace unisparse;

//===----------------------------------------------------------------------===//
// Sizes and their names
//===----------------------------------------------------------------------===//

SmallVector<int64_t> unisparse::keptDims(OffsetSizeAndStrideOpInterface slice,
                                         const llvm::SmallBitVector &dropped) {
  SmallVector<int64_t> kept;
  for (int64_t i = 0, e = slice.getMixedSizes().size(); i < e; ++i)
    if (!dropped.test(i))
      kept.push_back(i);
  return kept;
}

bool unisparse::isElementwise(Operation *op) {
  return OpTrait::hasElementwiseMappableTraits(op) &&
         llvm::any_of(op->getResultTypes(), llvm::IsaPred<RankedTensorType>);
}

SmallVector<Value> unisparse::tensorsAmong(ValueRange values) {
  return llvm::filter_to_vector(values, [](Value value) {
    return isa<RankedTensorType>(value.getType());
  });
}

/// What a size is a size of, where that says more.
Value SizeRules::originOf(Value size) {
  if (auto dim = size.getDefiningOp<tensor::DimOp>())
    if (std::optional<int64_t> i = dim.getConstantIndex())
      if (auto type = dyn_cast<RankedTensorType>(dim.getSource().getType());
          type && *i >= 0 && *i < type.getRank())
        return sizeOf(dim.getSource(), *i);
  return size;
}

/// By what makes the tensor, so that nobody has to make it for its size; null
/// where that does not say.
Value SizeRules::sizeByMaker(Operation *maker, Value tensor, int64_t i) {
  auto given = [&](OpFoldResult size) {
    auto value = dyn_cast<Value>(size);
    return value ? originOf(value) : this->value(size);
  };
  return llvm::TypeSwitch<Operation *, Value>(maker)
      .Case([&](tensor::CastOp cast) {
        return isa<RankedTensorType>(cast.getSource().getType())
                   ? sizeOf(cast.getSource(), i)
                   : Value();
      })
      .Case([&](tensor::EmptyOp empty) {
        return originOf(empty.getDynamicSize(i));
      })
      .Case([&](tensor::ExpandShapeOp expand) {
        return given(expand.getMixedOutputShape()[i]);
      })
      .Case([&](tensor::ExtractSliceOp slice) {
        return given(
            slice.getMixedSizes()[keptDims(slice, slice.getDroppedDims())[i]]);
      })
      .Case([&](DestinationStyleOpInterface op) {
        return sizeOf(op.getTiedOpOperand(cast<OpResult>(tensor))->get(), i);
      })
      .Default([&](Operation *op) {
        return isElementwise(op)
                   ? sizeOf(tensorsAmong(op->getOperands()).front(), i)
                   : Value();
      });
}

Value SizeRules::sizeOf(Value tensor, int64_t i) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(i))
    return index(type.getDimSize(i));
  if (Value size = known.lookup({tensor, i}))
    return size;
  Operation *maker = tensor.getDefiningOp();
  Value size = maker ? sizeByMaker(maker, tensor, i) : Value();
  if (!size) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointAfterValue(tensor);
    size = b.createOrFold<tensor::DimOp>(tensor, i);
  }
  // Constants are one in each place, and may stand behind others of their kind.
  if (!matchPattern(size, m_Constant()))
    known[{tensor, i}] = size;
  return size;
}

std::string SizeRules::nameOf(Value tensor) const {
  std::string name = tensorNameOf(tensor);
  if (!name.empty())
    return name;
  if (std::optional<unsigned> i = argumentNumberOf(tensor))
    return ("input " + Twine(*i)).str();
  for (OpOperand &operand : op->getOpOperands())
    if (operand.get() == tensor)
      return ("operand " + Twine(operand.getOperandNumber())).str();
  return "its result";
}

void SizeRules::notNegative(OpFoldResult x, const Twine &name) {
  auto dynamic = dyn_cast<Value>(x);
  if (dynamic && failed(dataflow::staticallyNonNegative(ranges, dynamic)))
    require(constant(index(0), 0), CheckRelation::AtMost,
            {dynamic, name.str()});
}
