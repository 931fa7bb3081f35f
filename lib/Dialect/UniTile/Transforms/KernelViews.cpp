// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "KernelViews.h"
#include "PageRules.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "unisparse/Dialect/UniTile/Utils/ExpandLocate.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace unisparse;
using namespace unisparse::unitile;

//===----------------------------------------------------------------------===//
// On the host
//===----------------------------------------------------------------------===//

static Value index(PageBuilder &p, int64_t i) {
  return arith::ConstantIndexOp::create(p.b, i);
}

Value KernelViews::hostAddress(PageBuilder &p, Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(p.b, memref);
  if (!type.getLayout().isIdentity()) {
    auto metadata = memref::ExtractStridedMetadataOp::create(p.b, memref);
    Value bytes = p.b.createOrFold<arith::MulIOp>(
        metadata.getOffset(), index(p, type.getElementTypeBitWidth() / 8));
    address = p.b.createOrFold<arith::AddIOp>(address, bytes);
  }
  address = arith::IndexCastOp::create(p.b, p.b.getI64Type(), address);
  return LLVM::IntToPtrOp::create(
      p.b, LLVM::LLVMPointerType::get(p.b.getContext(), 1), address);
}

Value KernelViews::hostStride(PageBuilder &p, Value memref, int64_t i) {
  auto type = cast<MemRefType>(memref.getType());
  if (!type.getLayout().isIdentity())
    return memref::ExtractStridedMetadataOp::create(p.b, memref)
        .getStrides()[i];
  Value stride = index(p, 1);
  for (int64_t j = type.getRank() - 1; j > i; --j)
    stride = p.b.createOrFold<arith::MulIOp>(
        p.b.createOrFold<memref::DimOp>(memref, j), stride);
  return stride;
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

Value KernelViews::take(
    Type type,
    function_ref<Value(PageBuilder &, gpu::LaunchFuncOp, Value)> host,
    Value argument) {
  Block &entry = kernel.getBody().front();
  Location loc = argument ? argument.getLoc() : kernel.getLoc();
  Value taken = entry.addArgument(type, loc);
  for (gpu::LaunchFuncOp launch : launches) {
    PageBuilder p(launch.getLoc(), OpBuilder(launch));
    Value passed = argument ? launch.getKernelOperand(
                                  cast<BlockArgument>(argument).getArgNumber())
                            : Value();
    // Addresses and sizes are those of what was cast.
    while (passed)
      if (auto cast = passed.getDefiningOp<memref::CastOp>())
        passed = cast.getSource();
      else
        break;
    launch.getKernelOperandsMutable().append(host(p, launch, passed));
  }
  return taken;
}

/// Words of the CTA's shared memory in the place of memory of a kernel's own.
static View scratchView(PageBuilder &p, MemRefType type) {
  View view{{}, type, /*contiguous=*/true, {}, {}};
  int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8;
  view.pointer = WordsOp::create(
      p.b, LLVM::LLVMPointerType::get(type.getContext(), 3), IntegerAttr(),
      p.b.getI64IntegerAttr(llvm::divideCeil(bytes, 4)));
  for (int64_t size : type.getShape().drop_front())
    view.sizes.push_back(p.i64(size));
  return view;
}

const View &KernelViews::of(Value argument) {
  auto found = views.find(argument);
  if (found != views.end())
    return found->second;
  View view;
  view.type = cast<MemRefType>(argument.getType());
  MLIRContext *context = argument.getContext();
  if (isScratch(argument)) {
    PageBuilder p(argument.getLoc(),
                  OpBuilder::atBlockBegin(&kernel.getBody().front()));
    return views.insert({argument, scratchView(p, view.type)}).first->second;
  }
  view.pointer = take(
      LLVM::LLVMPointerType::get(context, 1),
      [](PageBuilder &p, gpu::LaunchFuncOp, Value memref) {
        return hostAddress(p, memref);
      },
      argument);
  view.contiguous = view.type.getLayout().isIdentity();
  SmallVector<int64_t> strides;
  int64_t offset;
  (void)view.type.getStridesAndOffset(strides, offset);
  // Statically known ones are constants, the others arguments.
  auto number = [&](int64_t known, auto ofHost) -> Value {
    if (ShapedType::isStatic(known)) {
      PageBuilder p(kernel.getLoc(),
                    OpBuilder::atBlockBegin(&kernel.getBody().front()));
      return p.i64(known);
    }
    auto host = [&](PageBuilder &p, gpu::LaunchFuncOp, Value memref) {
      return p.b.createOrFold<arith::IndexCastOp>(p.b.getI64Type(),
                                                  ofHost(p, memref));
    };
    return take(IntegerType::get(context, 64), host, argument);
  };
  for (int64_t i = 0; i + 1 < view.type.getRank(); ++i)
    if (view.contiguous)
      view.sizes.push_back(number(
          view.type.getDimSize(i + 1), [&](PageBuilder &p, Value memref) {
            return p.b.createOrFold<memref::DimOp>(memref, i + 1);
          }));
    else
      view.strides.push_back(
          number(strides[i], [&](PageBuilder &p, Value memref) {
            return hostStride(p, memref, i);
          }));
  return views.insert({argument, view}).first->second;
}

Value View::offset(PageBuilder &p, ValueRange indices) const {
  auto times = [&](Value x, Value y) {
    return p.b.createOrFold<arith::MulIOp>(x, y);
  };
  auto plus = [&](Value x, Value y) {
    return p.b.createOrFold<arith::AddIOp>(x, y);
  };
  Value sum;
  if (contiguous) {
    sum = indices.front();
    for (auto [i, size] : llvm::enumerate(sizes)) {
      sum = times(sum, size);
      if (i + 1 < indices.size())
        sum = plus(sum, indices[i + 1]);
    }
    return sum;
  }
  for (auto [i, index] : llvm::enumerate(indices)) {
    Value term = i < strides.size() ? times(index, strides[i]) : index;
    sum = sum ? plus(sum, term) : term;
  }
  return sum;
}

Value KernelViews::matrix(PageBuilder &p, const View &view, Value batch,
                          Value head) {
  return p.at(view.pointer, view.type.getElementType(),
              view.offset(p, {p.i64(batch), p.i64(head)}));
}

//===----------------------------------------------------------------------===//
// What is left of a page
//===----------------------------------------------------------------------===//

/// Where an access begins. What its last two indices add to a matrix comes
/// last: loops go over rows.
static Value addressOf(KernelViews &views, PageBuilder &p, Value memref,
                       ValueRange indices) {
  const View &view = views.of(memref);
  SmallVector<Value> i = llvm::map_to_vector(indices, [&](Value x) -> Value {
    return arith::IndexCastOp::create(p.b, p.b.getI64Type(), x);
  });
  Type element = view.type.getElementType();
  if (view.contiguous || i.size() < 3)
    return p.at(view.pointer, element, view.offset(p, i));
  Value matrix =
      p.at(view.pointer, element, view.offset(p, ArrayRef(i).drop_back(2)));
  Value column = p.at(matrix, element, i.back());
  Value row = arith::MulIOp::create(p.b, i[i.size() - 2], view.rowStride());
  return p.at(column, element, row);
}

/// Vectors are pieces of rows that begin at multiples of their size: tokens
/// have rows of 16-byte pieces, and words of shared memory begin at 16 bytes.
static unsigned alignmentOf(Type type, Value memref) {
  auto vector = dyn_cast<VectorType>(type);
  if (!vector)
    return 0;
  unsigned bytes =
      vector.getNumElements() * vector.getElementTypeBitWidth() / 8;
  return isScratch(memref) ? std::min(bytes, 16u) : bytes;
}

static bool lowerAccess(KernelViews &views, Operation *op) {
  PageBuilder p(op->getLoc(), OpBuilder(op));
  auto load = [&](auto x, Type type) {
    Value address = addressOf(views, p, x.getOperand(0), x.getIndices());
    x->getResult(0).replaceAllUsesWith(LLVM::LoadOp::create(
        p.b, type, address, alignmentOf(type, x.getOperand(0))));
    return true;
  };
  auto store = [&](auto x, Value value) {
    Value address = addressOf(views, p, x.getOperand(1), x.getIndices());
    LLVM::StoreOp::create(p.b, value, address,
                          alignmentOf(value.getType(), x.getOperand(1)));
    return true;
  };
  return llvm::TypeSwitch<Operation *, bool>(op)
      .Case([&](memref::LoadOp x) { return load(x, x.getType()); })
      .Case([&](vector::LoadOp x) { return load(x, x.getVectorType()); })
      .Case([&](memref::StoreOp x) { return store(x, x.getValueToStore()); })
      .Case([&](vector::StoreOp x) { return store(x, x.getValueToStore()); })
      .Default(false);
}

LogicalResult KernelViews::lowerAccesses() {
  kernel.walk([](LocateOp op) {
    PageBuilder p(op.getLoc(), OpBuilder(op));
    op->replaceAllUsesWith(expandLocate(p, op));
    op->erase();
  });
  auto isArgument = [&](Value memref) {
    auto argument = dyn_cast<BlockArgument>(memref);
    return isScratch(memref) ||
           (argument && argument.getOwner() == &kernel.getBody().front());
  };
  WalkResult result = kernel.walk([&](Operation *op) {
    if (!isa<memref::LoadOp, memref::StoreOp, vector::LoadOp, vector::StoreOp>(
            op))
      return WalkResult::advance();
    bool isLoad = op->getNumResults() != 0;
    Value memref = op->getOperand(isLoad ? 0 : 1);
    if (!isArgument(memref)) {
      op->emitOpError("expected a memref that is the kernel's argument, got ")
          << memref.getType();
      return WalkResult::interrupt();
    }
    (void)lowerAccess(*this, op);
    op->erase();
    return WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  kernel.walk([](memref::AllocaOp op) {
    if (op.use_empty())
      op.erase();
  });
  // A size is that of the launch's.
  SmallVector<memref::DimOp> sizes;
  kernel.walk([&](memref::DimOp op) { sizes.push_back(op); });
  for (memref::DimOp op : sizes)
    if (std::optional<int64_t> i = op.getConstantIndex())
      lowerSize(op, *i);
  return success();
}

void KernelViews::lowerSize(memref::DimOp op, int64_t i) {
  Value &size = memorySizes[{op.getSource(), i}];
  if (!size)
    size = take(
        IntegerType::get(op.getContext(), 32),
        [&](PageBuilder &p, gpu::LaunchFuncOp, Value memref) {
          return p.b.createOrFold<arith::IndexCastOp>(
              p.b.getI32Type(), p.b.createOrFold<memref::DimOp>(memref, i));
        },
        op.getSource());
  OpBuilder b(op);
  op.replaceAllUsesWith(
      arith::IndexCastOp::create(b, op.getLoc(), b.getIndexType(), size)
          .getResult());
  op.erase();
}

LogicalResult KernelViews::finish() {
  Block &entry = kernel.getBody().front();
  for (int64_t i = entry.getNumArguments() - 1; i >= 0; --i) {
    BlockArgument argument = entry.getArgument(i);
    if (!isa<MemRefType>(argument.getType()))
      continue;
    if (!argument.use_empty())
      return (*argument.user_begin())
                 ->emitOpError(
                     "expected only reads and writes of a page's words of "
                     "the kernel's argument #")
             << i;
    entry.eraseArgument(i);
    for (gpu::LaunchFuncOp launch : launches)
      launch.getKernelOperandsMutable().erase(i);
  }
  kernel.setFunctionType(FunctionType::get(
      kernel.getContext(), entry.getArgumentTypes(), TypeRange{}));
  return success();
}

bool unisparse::hasWalk(gpu::GPUFuncOp kernel) {
  return kernel.walk([](WalkOp) { return WalkResult::interrupt(); })
      .wasInterrupted();
}

SmallVector<KernelViews> unisparse::pagesScheduledBy(
    ModuleOp module, function_ref<bool(gpu::GPUFuncOp, Attribute)> match) {
  SmallVector<KernelViews> pages;
  llvm::DenseMap<Operation *, SmallVector<gpu::LaunchFuncOp>> launches;
  module.walk([&](gpu::LaunchFuncOp launch) {
    if (Operation *kernel =
            SymbolTable::lookupNearestSymbolFrom(launch, launch.getKernel()))
      launches[kernel].push_back(launch);
  });
  module.walk([&](gpu::GPUFuncOp kernel) {
    Attribute schedule = kernel->getAttr(kScheduleAttr);
    if (schedule && match(kernel, schedule))
      pages.emplace_back(kernel, launches.lookup(kernel));
  });
  return pages;
}
