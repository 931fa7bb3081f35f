// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "HopperAttendKernel.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/SymbolTable.h"
#include "unisparse/Conversion/Passes.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Target/Nvidia.h"

namespace unisparse {
#define GEN_PASS_DEF_CONVERTUNISPARSETOUNITILE
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// Of H100 SXM and H200. Blocks beyond the rows of query blocks end at once,
/// blocks beyond the multiprocessors come late and find nothing left.
constexpr int64_t kMultiprocessors = 132;

/// Where the sequences of a packed batch end, how many there are, and the slots
/// of their query blocks.
struct PackedSlots {
  Value cuQ, cuK, sequences, slots;
};

/// Emits the launch of one kernel in an op's place.
class Launch {
public:
  Launch(OpBuilder &builder, BlockSparseAttentionOp op, const AttendSpec &spec)
      : b(op.getLoc(), builder), op(op), s(spec) {}

  /// Returns the op's results as tensors of new device buffers.
  SmallVector<Value> emit(gpu::GPUFuncOp kernel);
  /// The same for a kernel of HopperAttendKernel.h.
  SmallVector<Value> emitHopper(gpu::GPUFuncOp kernel,
                                const HopperSchedule &schedule);

private:
  Value buffer(Value tensor) {
    auto type = cast<RankedTensorType>(tensor.getType());
    return bufferization::ToBufferOp::create(
        b, MemRefType::get(type.getShape(), type.getElementType()), tensor,
        /*read_only=*/true);
  }
  /// The address of a contiguous buffer, in global memory.
  Value pointer(Value buffer) {
    Value address = memref::ExtractAlignedPointerAsIndexOp::create(b, buffer);
    address = arith::IndexCastOp::create(b, b.getI64Type(), address);
    return LLVM::IntToPtrOp::create(
        b, LLVM::LLVMPointerType::get(b.getContext(), 1), address);
  }
  Value dim(Value buffer, int64_t i) {
    return b.createOrFold<memref::DimOp>(buffer, i);
  }
  Value index(int64_t i) { return arith::ConstantIndexOp::create(b, i); }
  Value i32(Value index) {
    return arith::IndexCastOp::create(b, b.getI32Type(), index);
  }
  Value ceilDiv(Value x, int64_t y) {
    return b.createOrFold<arith::CeilDivUIOp>(x, index(y));
  }
  Value result(Type tensorType, Value q);
  PackedSlots packedSlots(Value q);
  /// [head_dim, length, batch * heads] in boxes of 64 columns.
  Value tensorMap(Value buffer, int64_t boxRows);
  SmallVector<Value> asTensors(ArrayRef<Value> results);

  ImplicitLocOpBuilder b;
  BlockSparseAttentionOp op;
  const AttendSpec &s;
};

/// A device buffer for a result; what is dynamic of it is q's batch or length.
Value Launch::result(Type tensorType, Value q) {
  auto type = cast<RankedTensorType>(tensorType);
  SmallVector<Value> sizes;
  for (int64_t i : {0, 2})
    if (type.isDynamicDim(i))
      sizes.push_back(dim(q, i));
  return gpu::AllocOp::create(
             b, MemRefType::get(type.getShape(), type.getElementType()),
             /*asyncToken=*/Type(), ValueRange{}, sizes, ValueRange{})
      .getMemref();
}

PackedSlots Launch::packedSlots(Value q) {
  Value cuQ = buffer(op.getCuSeqlensQ());
  PackedSlots packed;
  packed.cuQ = pointer(cuQ), packed.cuK = pointer(buffer(op.getCuSeqlensK()));
  packed.sequences = b.createOrFold<arith::SubIOp>(dim(cuQ, 0), index(1));
  Value whole = b.createOrFold<arith::DivUIOp>(dim(q, 2), index(s.blockQ));
  packed.slots = b.createOrFold<arith::AddIOp>(whole, packed.sequences);
  return packed;
}

SmallVector<Value> Launch::emit(gpu::GPUFuncOp kernel) {
  Value q = buffer(op.getQ()), k = buffer(op.getK()), v = buffer(op.getV());
  SmallVector<Value> results{result(op.getO().getType(), q)};
  SmallVector<Value> arguments{pointer(q), pointer(k), pointer(v),
                               pointer(results[0])};
  if (op.getLse()) {
    results.push_back(result(op.getLse().getType(), q));
    arguments.push_back(pointer(results[1]));
  }
  for (Value tensor : {op.getCounts(), op.getIndices()})
    if (tensor)
      arguments.push_back(pointer(buffer(tensor)));
  Value slots = ceilDiv(dim(q, 2), s.blockQ), sequences = index(0);
  if (s.packed) {
    PackedSlots packed = packedSlots(q);
    arguments.append({packed.cuQ, packed.cuK});
    slots = packed.slots, sequences = packed.sequences;
  }
  arguments.append({i32(dim(q, 2)), i32(dim(k, 2)), i32(slots),
                    i32(ceilDiv(dim(k, 2), s.blockK)), i32(sequences)});
  Value one = index(1);
  Value shared = arith::ConstantIntOp::create(b, s.sharedBytes(), 32);
  gpu::LaunchFuncOp::create(
      b, kernel, gpu::KernelDim3{slots, index(s.heads), dim(q, 0)},
      gpu::KernelDim3{index(32 * s.warps()), one, one}, shared, arguments);
  return asTensors(results);
}

SmallVector<Value> Launch::asTensors(ArrayRef<Value> results) {
  SmallVector<Value> tensors;
  for (auto [memref, type] : llvm::zip_equal(results, op->getResultTypes()))
    tensors.push_back(bufferization::ToTensorOp::create(b, type, memref,
                                                        /*restrict=*/true));
  return tensors;
}

Value Launch::tensorMap(Value buffer, int64_t boxRows) {
  auto times = [&](Value x, Value y) {
    return b.createOrFold<arith::MulIOp>(x, y);
  };
  Value columns = dim(buffer, 3), length = dim(buffer, 2);
  Value matrices = times(dim(buffer, 0), dim(buffer, 1));
  Value rowBytes = times(columns, index(2));
  return TensorMapOp::create(b, pointer(buffer),
                             ValueRange{columns, length, matrices},
                             ValueRange{rowBytes, times(rowBytes, length)},
                             {64, boxRows, 1}, s.element);
}

SmallVector<Value> Launch::emitHopper(gpu::GPUFuncOp kernel,
                                      const HopperSchedule &schedule) {
  Value q = buffer(op.getQ()), k = buffer(op.getK()), v = buffer(op.getV());
  SmallVector<Value> results{result(op.getO().getType(), q)};
  SmallVector<Value> arguments{
      tensorMap(q, s.blockQ), tensorMap(k, s.blockK), tensorMap(v, s.blockK),
      tensorMap(results[0], HopperSchedule::rowsPerGroup)};
  if (s.packed)
    arguments.push_back(pointer(results[0]));
  if (op.getLse()) {
    results.push_back(result(op.getLse().getType(), q));
    arguments.push_back(pointer(results[1]));
  }
  for (Value tensor : {op.getCounts(), op.getIndices()})
    if (tensor)
      arguments.push_back(pointer(buffer(tensor)));
  Value slots = ceilDiv(dim(q, 2), s.blockQ), last = i32(dim(q, 0));
  if (s.packed) {
    PackedSlots packed = packedSlots(q);
    arguments.append({packed.cuQ, packed.cuK});
    slots = packed.slots, last = i32(packed.sequences);
  }
  Value counter =
      gpu::AllocOp::create(b, MemRefType::get({1}, b.getI32Type()), Type(),
                           ValueRange{}, ValueRange{}, ValueRange{})
          .getMemref();
  Value zero = arith::ConstantIntOp::create(b, 0, 32);
  gpu::MemsetOp::create(b, Type(), ValueRange{}, counter, zero);
  arguments.push_back(pointer(counter));
  arguments.append({i32(dim(q, 2)), i32(dim(k, 2)), i32(slots),
                    i32(ceilDiv(dim(k, 2), s.blockK)), last});
  Value one = index(1);
  Value shared = arith::ConstantIntOp::create(b, schedule.sharedBytes(s), 32);
  gpu::LaunchFuncOp::create(
      b, kernel,
      gpu::KernelDim3{index(kMultiprocessors * schedule.attr.getBlocks()), one,
                      one},
      gpu::KernelDim3{index(HopperSchedule::threads(s)), one, one}, shared,
      arguments);
  return asTensors(results);
}

struct ConvertUniSparseToUniTile
    : unisparse::impl::ConvertUniSparseToUniTileBase<
          ConvertUniSparseToUniTile> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<BlockSparseAttentionOp> ops;
    getOperation().walk([&](BlockSparseAttentionOp op) { ops.push_back(op); });
    if (ops.empty())
      return;
    gpu::GPUModuleOp kernels = kernelModule();
    IRRewriter rewriter(&getContext());
    for (BlockSparseAttentionOp op : ops) {
      FailureOr<AttendSpec> spec = attendSpecOf(op);
      if (failed(spec))
        return signalPassFailure();
      FailureOr<HopperSchedule> schedule = failure();
      if (hopper && failed(schedule = scheduleOf(op, *spec)) &&
          op->hasAttr(kScheduleAttr))
        return signalPassFailure();
      rewriter.setInsertionPointToEnd(kernels.getBody());
      gpu::GPUFuncOp kernel =
          succeeded(schedule)
              ? buildHopperAttendKernel(rewriter, op.getLoc(), "attend", *spec,
                                        *schedule)
              : buildAttendKernel(rewriter, op.getLoc(), "attend", *spec);
      // A second kernel of the name gets another one.
      SymbolTable table(kernels);
      kernel->remove();
      table.insert(kernel, kernels.getBody()->end());
      rewriter.setInsertionPoint(op);
      Launch launch(rewriter, op, *spec);
      rewriter.replaceOp(op, succeeded(schedule)
                                 ? launch.emitHopper(kernel, *schedule)
                                 : launch.emit(kernel));
    }
  }

  /// A schedule that was asked for and cannot be had is an error; without one
  /// asked for, what has none keeps the portable kernel.
  FailureOr<HopperSchedule> scheduleOf(BlockSparseAttentionOp op,
                                       const AttendSpec &spec) {
    auto asked = op->getAttrOfType<ScheduleAttr>(kScheduleAttr);
    int64_t bytes = findNvidiaChip("sm_90a")->sharedBytes;
    if (asked)
      return hopperScheduleOf(spec, asked, bytes,
                              [&] { return op.emitOpError(); });
    ScopedDiagnosticHandler quiet(&getContext(), [](Diagnostic &) {});
    return hopperScheduleOf(spec, asked, bytes,
                            [&] { return op.emitOpError(); });
  }

  gpu::GPUModuleOp kernelModule() {
    OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
    getOperation()->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                            b.getUnitAttr());
    auto kernels = gpu::GPUModuleOp::create(b, getOperation().getLoc(),
                                            "unisparse_kernels");
    SymbolTable table(getOperation());
    kernels->remove();
    table.insert(kernels, getOperation().getBody()->begin());
    return kernels;
  }
};

} // namespace
