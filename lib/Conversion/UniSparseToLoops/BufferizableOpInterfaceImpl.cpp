// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "unisparse/Conversion/UniSparseToLoops.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace unisparse;

namespace {

/// The mass of a rule that does not go by masses is never read.
bool isShapeOnly(Operation *op, Value tensor) {
  auto select = dyn_cast<BlockSelectOp>(op);
  return select && !select.getRule().readsMass() && tensor == select.getMass();
}

/// `buffer`, or a copy of it where its layout may put gaps between the elements
/// of a row: rows are read as vectors.
Value withContiguousRows(OpBuilder &b, Location loc, Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  if (type.isLastDimUnitStride())
    return buffer;
  auto plain = MemRefType::get(type.getShape(), type.getElementType());
  SmallVector<Value> sizes;
  for (int64_t i = 0; i < type.getRank(); ++i)
    if (type.isDynamicDim(i))
      sizes.push_back(memref::DimOp::create(b, loc, buffer, i));
  Value copy = memref::AllocOp::create(b, loc, plain, sizes);
  memref::CopyOp::create(b, loc, buffer, copy);
  return copy;
}

/// A stage reads its operands and writes new buffers.
template <typename OpTy>
struct StageModel
    : BufferizableOpInterface::ExternalModel<StageModel<OpTy>, OpTy> {
  bool bufferizesToAllocation(Operation *, Value) const { return true; }

  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    return !isShapeOnly(op, operand.get());
  }

  bool bufferizesToMemoryWrite(Operation *, OpOperand &,
                               const AnalysisState &) const {
    return false;
  }

  AliasingValueList getAliasingValues(Operation *, OpOperand &,
                                      const AnalysisState &) const {
    return {};
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    SmallVector<Value> buffers;
    for (Value tensor : tensorOperandSlots(op)) {
      if (!tensor) {
        buffers.push_back(Value());
        continue;
      }
      FailureOr<Value> buffer = getBuffer(rewriter, tensor, options, state);
      if (failed(buffer))
        return failure();
      buffers.push_back(
          isShapeOnly(op, tensor)
              ? *buffer
              : withContiguousRows(rewriter, op->getLoc(), *buffer));
    }
    FailureOr<SmallVector<Value>> results = lowerToLoops(rewriter, op, buffers);
    if (failed(results))
      return failure();
    replaceOpWithBufferizedValues(rewriter, op, *results);
    return success();
  }
};

} // namespace

void unisparse::registerBufferizableOpInterfaceModels(
    DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, UniSparseDialect *) {
    context->loadDialect<affine::AffineDialect, arith::ArithDialect,
                         bufferization::BufferizationDialect,
                         cf::ControlFlowDialect, linalg::LinalgDialect,
                         math::MathDialect, memref::MemRefDialect,
                         scf::SCFDialect, vector::VectorDialect>();
    PoolOp::attachInterface<StageModel<PoolOp>>(*context);
    BlockScoreOp::attachInterface<StageModel<BlockScoreOp>>(*context);
    BlockSelectOp::attachInterface<StageModel<BlockSelectOp>>(*context);
    BlockSparseAttentionOp::attachInterface<StageModel<BlockSparseAttentionOp>>(
        *context);
  });
}
