// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the values of a host function stand for in a launch plan.
#ifndef UNISPARSE_LIB_TARGET_HOSTVALUES_H
#define UNISPARSE_LIB_TARGET_HOSTVALUES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "unisparse/Target/Artifact.h"

namespace unisparse {

/// Numbers are formulas of sizes, memrefs are whole buffers, and pointers are
/// buffers' addresses. Filled in as ops are met in order.
class HostValues {
public:
  /// A memref whose sizes are formulas; contiguous.
  void defineBuffer(mlir::Value memref, artifact::Buffer buffer,
                    llvm::ArrayRef<artifact::Expr> sizes);
  /// Output `index`, of which a caller gives the strides; rows are contiguous.
  void defineStridedOutput(mlir::Value memref, uint32_t index,
                           llvm::ArrayRef<artifact::Expr> sizes);
  /// Input `index`, of which sizes and strides are what a caller gives.
  /// Diagnoses a layout that inputs cannot have.
  mlir::LogicalResult defineInput(mlir::BlockArgument memref, uint32_t index,
                                  llvm::ArrayRef<artifact::Expr> sizes);

  /// Takes a memref.dim, a memref.cast, metadata, arithmetic, a pointer.
  /// Fails, after a diagnostic, on what the plan cannot hold.
  mlir::LogicalResult visit(mlir::Operation *op);

  /// Formulas and buffers of `user`'s operands; diagnosed there where a value
  /// is something else.
  mlir::FailureOr<artifact::Expr> exprOf(mlir::Value value,
                                         mlir::Operation *user) const;
  mlir::FailureOr<artifact::Buffer> bufferOf(mlir::Value memref,
                                             mlir::Operation *user) const;
  /// Null where the value is no address.
  const artifact::Buffer *addressOf(mlir::Value value) const;
  llvm::ArrayRef<artifact::Expr> sizesOf(mlir::Value memref) const {
    return memrefs.find(memref)->second.sizes;
  }

  /// The sizes that a reshape (memref.collapse_shape or expand_shape) gives a
  /// buffer of sizes `source`.
  mlir::FailureOr<llvm::SmallVector<artifact::Expr>>
  reshapedSizes(mlir::Operation *op,
                llvm::ArrayRef<artifact::Expr> source) const;

  /// Whether somebody reads the strides of that input or output: where nobody
  /// does, kernels take it for contiguous.
  bool readsStrides(artifact::BufferKind kind, uint32_t index) const {
    return llvm::is_contained(strided, std::pair(kind, index));
  }

private:
  struct Memref {
    artifact::Buffer buffer;
    llvm::SmallVector<artifact::Expr> sizes, strides;
    bool hasOwnStrides = false; ///< Strides that a caller chooses.
  };

  void setStrides(mlir::Value memref, int64_t tensor);
  mlir::LogicalResult define(mlir::Value value, artifact::Expr expr);
  mlir::LogicalResult visitDim(mlir::Operation *op);
  mlir::LogicalResult visitMemrefCast(mlir::Operation *op);
  mlir::LogicalResult visitReshape(mlir::Operation *op);
  mlir::LogicalResult visitMetadata(mlir::Operation *op);
  mlir::LogicalResult visitConstant(mlir::Operation *op);
  mlir::LogicalResult visitCast(mlir::Operation *op);
  mlir::LogicalResult visitBinary(mlir::Operation *op, artifact::TermOp kind);
  mlir::LogicalResult visitDivSI(mlir::Operation *op);
  mlir::LogicalResult visitApply(mlir::Operation *op);

  llvm::DenseMap<mlir::Value, artifact::Expr> exprs;
  llvm::DenseMap<mlir::Value, Memref> memrefs;
  llvm::DenseMap<mlir::Value, artifact::Buffer> addresses;
  llvm::SmallVector<std::pair<artifact::BufferKind, uint32_t>> strided;
};

} // namespace unisparse

#endif // UNISPARSE_LIB_TARGET_HOSTVALUES_H
