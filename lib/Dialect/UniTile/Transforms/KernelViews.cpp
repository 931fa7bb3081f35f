// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "KernelViews.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Dialect/UniTile/Utils/ExpandLocate.h"

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
    Type type, function_ref<Value(PageBuilder &, gpu::LaunchFuncOp, Value)> host,
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

const View &KernelViews::of(Value argument) {
  auto found = views.find(argument);
  if (found != views.end())
    return found->second;
  View view;
  view.type = cast<MemRefType>(argument.getType());
  MLIRContext *context = argument.getContext();
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

template <typename OpTy> static void lowerAccess(KernelViews &views, OpTy op) {
  PageBuilder p(op.getLoc(), OpBuilder(op));
  const View &view = views.of(op.getMemRef());
  SmallVector<Value> indices = llvm::map_to_vector(
      op.getIndices(), [&](Value index) -> Value {
        return arith::IndexCastOp::create(p.b, p.b.getI64Type(), index);
      });
  Value offset = view.offset(p, indices);
  if constexpr (std::is_same_v<OpTy, memref::LoadOp>)
    op.replaceAllUsesWith(p.load(view.pointer, op.getType(), offset));
  else
    p.store(op.getValueToStore(), view.pointer, offset);
  op->erase();
}

LogicalResult KernelViews::lowerAccesses() {
  kernel.walk([](LocateOp op) {
    PageBuilder p(op.getLoc(), OpBuilder(op));
    op->replaceAllUsesWith(expandLocate(p, op));
    op->erase();
  });
  SmallVector<Operation *> accesses;
  kernel.walk([&](Operation *op) {
    if (isa<memref::LoadOp, memref::StoreOp>(op))
      accesses.push_back(op);
  });
  for (Operation *op : accesses) {
    auto load = dyn_cast<memref::LoadOp>(op);
    Value memref =
        load ? load.getMemRef() : cast<memref::StoreOp>(op).getMemRef();
    auto argument = dyn_cast<BlockArgument>(memref);
    if (!argument || argument.getOwner() != &kernel.getBody().front())
      return op->emitOpError("expected a memref that is the kernel's "
                             "argument, got ")
             << memref.getType();
    if (load)
      lowerAccess(*this, load);
    else
      lowerAccess(*this, cast<memref::StoreOp>(op));
  }
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
  op.replaceAllUsesWith(arith::IndexCastOp::create(b, op.getLoc(),
                                                   b.getIndexType(), size)
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
          ->emitOpError("expected only reads and writes of a page's words of "
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

SmallVector<KernelViews>
unisparse::pagesScheduledBy(ModuleOp module,
                            function_ref<bool(Attribute)> match) {
  SmallVector<KernelViews> pages;
  llvm::DenseMap<Operation *, SmallVector<gpu::LaunchFuncOp>> launches;
  module.walk([&](gpu::LaunchFuncOp launch) {
    if (Operation *kernel =
            SymbolTable::lookupNearestSymbolFrom(launch, launch.getKernel()))
      launches[kernel].push_back(launch);
  });
  module.walk([&](gpu::GPUFuncOp kernel) {
    Attribute schedule = kernel->getAttr(kScheduleAttr);
    if (!schedule || !match(schedule))
      return;
    bool walks = kernel
                     .walk([](WalkOp) { return WalkResult::interrupt(); })
                     .wasInterrupted();
    if (walks)
      pages.emplace_back(kernel, launches.lookup(kernel));
  });
  return pages;
}
