// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// linalg.generic as a page: a point of its grid makes 256 elements of the
// results, each by itself, from the last dims to the first.
#include "LinalgPage.h"
#include "KernelPage.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// Elements that a CTA makes, one a thread.
constexpr int64_t kElements = 256;
/// Numbers that a table in code may have; each costs a comparison.
constexpr int64_t kTable = 256;

/// A kernel whose grid covers the elements of a result.
class ElementPage : public KernelPage {
public:
  ElementPage(HostSide &host, gpu::GPUModuleOp kernels, StringRef name)
      : KernelPage(kernels, host.b.getLoc(), name), host(host) {
    kernel()->setAttr(kScheduleAttr,
                      ThreadsAttr::get(b.getContext(), kElements, 1, 0));
  }

  /// Writes the kernel and launches it over `sizes` (index values of the host,
  /// of which the page has `own`): `body` emits what one point does.
  void write(ArrayRef<Value> sizes, ArrayRef<Value> own,
             function_ref<void(ArrayRef<Value>)> body);

  HostSide &host;
};

/// The page of one op.
struct GenericPage {
  HostSide &host;
  linalg::GenericOp op;
  ElementPage page;
  /// Of loops, on the host (index) and in the page (i32).
  SmallVector<Value> sizes = {}, own = {};
  /// What an operand is in the page: a memref, or one value.
  SmallVector<Value> operands = {};
  /// What the body takes from around the op: numbers, and memrefs of tensors
  /// that it reads where it likes.
  llvm::SmallDenseMap<Value, Value> around{};
  SmallVector<Value> results = {}, outputs = {};

  LogicalResult check();
  void takeSizes();
  void takeOperands();
  void build();

private:
  Value read(OpOperand &operand, ArrayRef<Value> at);
  SmallVector<Value> indicesOf(OpOperand &operand, ArrayRef<Value> at);
  SmallVector<Value> payload(ArrayRef<Value> at, ValueRange sums);
  SmallVector<Value> reduce(ArrayRef<unsigned> loops, SmallVector<Value> &at,
                            ValueRange sums);
};

} // namespace

void ElementPage::write(ArrayRef<Value> sizes, ArrayRef<Value> own,
                        function_ref<void(ArrayRef<Value>)> body) {
  Value all = host.index(1);
  for (Value size : sizes)
    all = host.b.createOrFold<arith::MulIOp>(all, size);
  // Kernels count in 32 bits.
  host.require("size", all, "elements of one result", CheckRelation::AtMost,
               host.index(std::numeric_limits<int32_t>::max()), "2147483647");
  Value count = take("elements", host.i32(all));
  Value first = mul(blockId(gpu::Dimension::x), kElements);
  parallel(i32(0), i32(kElements), {}, [&](Value i) -> SmallVector<Value> {
    Value n = add(first, i);
    ifThen(less(n, count), [&] {
      SmallVector<Value> at(own.size());
      for (int64_t d = own.size() - 1; d >= 0; --d) {
        at[d] = d ? b.createOrFold<arith::RemUIOp>(n, own[d]) : n;
        n = d ? b.createOrFold<arith::DivUIOp>(n, own[d]) : n;
      }
      body(at);
    });
    return {};
  });
  finish();
  host.launch(kernel(),
              {host.ceilDiv(all, kElements), host.index(1), host.index(1)},
              /*threads=*/1, /*sharedBytes=*/0, launchOperands());
}

Value unisparse::constantFillOf(Value tensor) {
  auto fill = tensor.getDefiningOp<linalg::GenericOp>();
  std::optional<Value> value;
  if (fill)
    value = linalg::isaFillOpInterface(fill);
  if (!value || !matchPattern(*value, m_Constant()))
    return {};
  return *value;
}

static LogicalResult checkElement(Operation *op, Type type) {
  if (type.isIntOrFloat() && type.getIntOrFloatBitWidth() % 8 == 0)
    return success();
  return op->emitOpError("expected elements of whole bytes on a GPU, got ")
         << type;
}

/// Kernels count elements in 32 bits.
static LogicalResult checkSize(Operation *op, RankedTensorType type) {
  double elements = 1;
  for (int64_t size : type.getShape())
    elements *= ShapedType::isDynamic(size) ? 1 : double(size);
  if (elements <= std::numeric_limits<int32_t>::max())
    return success();
  return op->emitOpError("expected at most 2147483647 elements on a GPU, got ")
         << type;
}

LogicalResult GenericPage::check() {
  for (OpOperand &operand : op->getOpOperands())
    if (auto type = dyn_cast<RankedTensorType>(operand.get().getType());
        type && failed(checkElement(op, type.getElementType())))
      return failure();
  for (OpOperand &init : op.getDpsInitsMutable()) {
    auto type = cast<RankedTensorType>(init.get().getType());
    if (failed(checkSize(op, type)))
      return failure();
    AffineMap map = op.getMatchingIndexingMap(&init);
    // A dim of size 1 may be no loop's, as front ends keep what they reduce.
    if (!map.isProjectedPermutation(/*allowZeroInResults=*/true) ||
        !map.getNumResults() ||
        llvm::count_if(map.getResults(), llvm::IsaPred<AffineDimExpr>) !=
            op.getNumParallelLoops())
      return op.emitOpError("expected results of rank 1 or more with an "
                            "element for each point of the parallel loops, "
                            "got the map ")
             << AffineMapAttr::get(map);
    for (AffineExpr expr : map.getResults())
      if (auto dim = dyn_cast<AffineDimExpr>(expr);
          dim && op.getIteratorTypesArray()[dim.getPosition()] !=
                     utils::IteratorType::parallel)
        return op.emitOpError("expected results that are indexed by parallel "
                              "loops, got the map ")
               << AffineMapAttr::get(map);
  }
  WalkResult result = op.getRegion().walk([&](Operation *inner) {
    if (auto extract = dyn_cast<tensor::ExtractOp>(inner)) {
      auto type = extract.getTensor().getType();
      if (!op->isProperAncestor(
              extract.getTensor().getParentBlock()->getParentOp()) &&
          type.getRank() &&
          succeeded(checkElement(inner, type.getElementType())))
        return WalkResult::advance();
    }
    if (llvm::none_of(inner->getOperandTypes(), llvm::IsaPred<ShapedType>) &&
        llvm::none_of(inner->getResultTypes(), llvm::IsaPred<ShapedType>))
      return WalkResult::advance();
    inner->emitOpError("expected a body of numbers, and tensor.extract from "
                       "tensors around it, on a GPU");
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

void GenericPage::takeSizes() {
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  for (auto [loop, range] : llvm::enumerate(ranges)) {
    if (ShapedType::isStatic(range)) {
      sizes.push_back(host.index(range));
      own.push_back(page.i32(range));
      continue;
    }
    // Loops of a linalg op always are a dim of some operand.
    Value tensor;
    unsigned dim = 0;
    (void)op.mapIterationSpaceDimToOperandDim(loop, tensor, dim);
    sizes.push_back(host.dim(tensor, dim));
    own.push_back(page.take("size", host.i32(sizes.back())));
  }
}

void GenericPage::takeOperands() {
  auto constant = [&](Value value) -> Value {
    OpBuilder::InsertionGuard guard(page.b);
    return page.b.clone(*value.getDefiningOp())->getResult(0);
  };
  for (OpOperand &operand : op->getOpOperands()) {
    Value value = operand.get();
    bool isInit = op.isDpsInit(&operand);
    if (!op.payloadUsesValueFromOperand(&operand)) {
      operands.push_back({});
    } else if (Value filled = isInit ? constantFillOf(value) : Value()) {
      operands.push_back(constant(filled));
    } else if (isa<RankedTensorType>(value.getType())) {
      operands.push_back(page.take("in", host.givenBuffer(value)));
    } else {
      operands.push_back(matchPattern(value, m_Constant()) ? constant(value)
                                                           : page.take(value));
    }
    if (!isInit)
      continue;
    // Read and written are two buffers: threads do not wait for each other.
    AffineMap map = op.getMatchingIndexingMap(&operand);
    SmallVector<Value> shape;
    for (auto [i, expr] : llvm::enumerate(map.getResults())) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      shape.push_back(dim ? sizes[dim.getPosition()] : host.dim(value, i));
    }
    results.push_back(host.result(value.getType(), shape));
    outputs.push_back(page.take("out", host.contiguousBuffer(results.back())));
  }
  // What the body takes from around it.
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(op->getRegions(), captured);
  for (Value value : captured)
    if (isa<RankedTensorType>(value.getType()))
      around[value] = page.take("table", host.givenBuffer(value));
    else
      around[value] = matchPattern(value, m_Constant()) ? constant(value)
                                                        : page.take(value);
}

SmallVector<Value> GenericPage::indicesOf(OpOperand &operand,
                                          ArrayRef<Value> at) {
  SmallVector<Value> dims =
      llvm::map_to_vector(at, [&](Value i) { return i ? page.index(i) : i; });
  // Those of loops that do not run here are not looked at.
  for (Value &dim : dims)
    if (!dim)
      dim = page.index(page.i32(0));
  return llvm::map_to_vector(
      op.getMatchingIndexingMap(&operand).getResults(), [&](AffineExpr expr) {
        return affine::expandAffineExpr(page.b, page.b.getLoc(), expr, dims,
                                        /*symbolValues=*/{});
      });
}

Value GenericPage::read(OpOperand &operand, ArrayRef<Value> at) {
  Value taken = operands[operand.getOperandNumber()];
  if (!taken || !isa<MemRefType>(taken.getType()))
    return taken;
  return memref::LoadOp::create(page.b, taken, indicesOf(operand, at));
}

/// The body at one point of all loops; of what it yields, the sums so far.
SmallVector<Value> GenericPage::payload(ArrayRef<Value> at, ValueRange sums) {
  IRMapping mapping;
  for (OpOperand &operand : op->getOpOperands()) {
    Value value = op.isDpsInit(&operand)
                      ? sums[operand.getOperandNumber() - op.getNumDpsInputs()]
                      : read(operand, at);
    if (value)
      mapping.map(op.getMatchingBlockArgument(&operand), value);
  }
  for (auto [value, own] : around)
    mapping.map(value, own);
  for (Operation &inner : op.getBody()->without_terminator()) {
    if (auto index = dyn_cast<linalg::IndexOp>(inner))
      mapping.map(index.getResult(), page.index(at[index.getDim()]));
    else if (auto extract = dyn_cast<tensor::ExtractOp>(inner))
      mapping.map(extract.getResult(),
                  memref::LoadOp::create(
                      page.b, around.lookup(extract.getTensor()),
                      llvm::map_to_vector(
                          extract.getIndices(),
                          [&](Value i) { return mapping.lookupOrDefault(i); }))
                      .getResult());
    else
      page.b.clone(inner, mapping);
  }
  return llvm::map_to_vector(
      op.getBody()->getTerminator()->getOperands(),
      [&](Value value) { return mapping.lookupOrDefault(value); });
}

SmallVector<Value> GenericPage::reduce(ArrayRef<unsigned> loops,
                                       SmallVector<Value> &at,
                                       ValueRange sums) {
  if (loops.empty())
    return payload(at, sums);
  return page.forEach(page.i32(0), own[loops.front()], 1, sums,
                      [&](Value i, ValueRange carried) {
                        at[loops.front()] = i;
                        return reduce(loops.drop_front(), at, carried);
                      });
}

void GenericPage::build() {
  SmallVector<unsigned> parallel, reduced;
  op.getParallelDims(parallel);
  op.getReductionDims(reduced);
  auto of = [&](ArrayRef<Value> values) {
    return llvm::map_to_vector(parallel,
                               [&](unsigned loop) { return values[loop]; });
  };
  page.write(of(sizes), of(own), [&](ArrayRef<Value> point) {
    SmallVector<Value> at(own.size());
    for (auto [loop, i] : llvm::zip_equal(parallel, point))
      at[loop] = i;
    SmallVector<Value> sums;
    for (OpOperand &init : op.getDpsInitsMutable()) {
      Value sum = read(init, at);
      // What the body does not read may be anything.
      if (!sum && !reduced.empty())
        sum = arith::ConstantOp::create(
            page.b,
            page.b.getZeroAttr(getElementTypeOrSelf(init.get().getType())));
      sums.push_back(sum);
    }
    sums = reduce(reduced, at, sums);
    for (auto [init, output, sum] : llvm::zip_equal(
             llvm::make_pointer_range(op.getDpsInitsMutable()), outputs, sums))
      memref::StoreOp::create(page.b, sum, output, indicesOf(*init, at));
  });
}

//===----------------------------------------------------------------------===//
// Functions of math
//===----------------------------------------------------------------------===//

/// PTX has few of them, and none of its own in f16.
static LogicalResult expandMath(gpu::GPUFuncOp kernel, Operation *source) {
  MLIRContext *context = kernel.getContext();
  {
    TypeConverter types;
    SetVector<Type> kept;
    kept.insert(Float32Type::get(context));
    kept.insert(Float64Type::get(context));
    math::populateExtendToSupportedTypesTypeConverter(
        types, kept, Float32Type::get(context));
    ConversionTarget target(*context);
    math::populateExtendToSupportedTypesConversionTarget(target, types);
    RewritePatternSet patterns(context);
    math::populateExtendToSupportedTypesPatterns(patterns, types);
    if (failed(applyPartialConversion(kernel, target, std::move(patterns))))
      return failure();
  }
  RewritePatternSet patterns(context);
  math::populateExpansionPatterns(patterns, {"sinh", "cosh", "tan", "asinh",
                                             "acosh", "atanh", "fpowi", "powf",
                                             "exp2", "rsqrt", "ctlz"});
  populateMathPolynomialApproximationPatterns(
      patterns, [](StringRef name) { return true; });
  if (failed(applyPatternsGreedily(kernel.getOperation(), std::move(patterns))))
    return source->emitOpError("expected math that ends in arith");
  WalkResult result = kernel.walk([&](Operation *op) {
    bool isFunction = isa_and_nonnull<math::MathDialect>(op->getDialect()) ||
                      isa<arith::RemFOp>(op);
    if (!isFunction ||
        isa<math::AbsFOp, math::AbsIOp, math::CopySignOp, math::CtPopOp,
            math::FloorOp, math::CeilOp, math::TruncOp, math::RoundOp,
            math::RoundEvenOp, math::FmaOp, math::SqrtOp>(op))
      return WalkResult::advance();
    source->emitOpError("expected functions that a GPU has instructions or "
                        "polynomials for, got '")
        << op->getName() << "' of " << op->getResult(0).getType();
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

FailureOr<SmallVector<Value>> unisparse::lowerToPage(HostSide &host,
                                                     gpu::GPUModuleOp kernels,
                                                     linalg::GenericOp op) {
  GenericPage generic{host, op, ElementPage(host, kernels, "linalg")};
  if (failed(generic.check()))
    return failure();
  generic.takeSizes();
  generic.takeOperands();
  generic.build();
  if (failed(expandMath(generic.page.kernel(), op)))
    return failure();
  return generic.results;
}

bool unisparse::fitsCode(arith::ConstantOp op) {
  auto type = dyn_cast<RankedTensorType>(op.getType());
  auto elements = dyn_cast<DenseElementsAttr>(op.getValue());
  return type && elements && type.getRank() &&
         (elements.isSplat() || type.getNumElements() <= kTable);
}

FailureOr<SmallVector<Value>> unisparse::lowerToPage(HostSide &host,
                                                     gpu::GPUModuleOp kernels,
                                                     arith::ConstantOp op) {
  auto elements = cast<DenseElementsAttr>(op.getValue());
  auto type = cast<RankedTensorType>(op.getType());
  if (failed(checkElement(op, type.getElementType())) ||
      failed(checkSize(op, type)))
    return failure();
  ElementPage page(host, kernels, "constant");
  Value result = host.result(type, {});
  Value output = page.take("out", host.contiguousBuffer(result));
  SmallVector<Value> sizes, own;
  for (int64_t size : type.getShape()) {
    sizes.push_back(host.index(size));
    own.push_back(page.i32(size));
  }
  page.write(sizes, own, [&](ArrayRef<Value> at) {
    auto number = [&](Attribute value) -> Value {
      return arith::ConstantOp::create(page.b, cast<TypedAttr>(value));
    };
    SmallVector<Value> indices = page.indices(at);
    if (elements.isSplat()) {
      memref::StoreOp::create(
          page.b, number(elements.getSplatValue<Attribute>()), output, indices);
      return;
    }
    Value place = page.i32(0);
    for (auto [i, size] : llvm::zip_equal(at, type.getShape()))
      place = page.add(page.mul(place, size), i);
    Value chosen;
    for (auto [i, value] : llvm::enumerate(elements.getValues<Attribute>())) {
      Value here = number(value);
      chosen = chosen ? page.select(page.compare(arith::CmpIPredicate::eq,
                                                 place, page.i32(i)),
                                    here, chosen)
                      : here;
    }
    memref::StoreOp::create(page.b, chosen, output, indices);
  });
  return SmallVector<Value>{result};
}
