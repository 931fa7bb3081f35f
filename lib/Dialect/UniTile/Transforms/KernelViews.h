// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A page's memrefs as what a kernel is launched with: addresses and strides.
#ifndef UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_KERNELVIEWS_H
#define UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_KERNELVIEWS_H

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Dialect/UniTile/Utils/PageBuilder.h"
#include "llvm/ADT/MapVector.h"

namespace unisparse {

/// A memref inside a kernel. Of a contiguous one the sizes are passed, not the
/// strides: an offset is then one chain of products, of which nothing but the
/// end stays in registers.
struct View {
  Value pointer; ///< !llvm.ptr<1>, of its first element.
  MemRefType type;
  bool contiguous;
  /// i64: sizes of the dims behind the first, or strides in elements of all but
  /// the last.
  SmallVector<Value> sizes, strides;

  /// Where the part that the first indices (i64) name begins, in elements.
  Value offset(PageBuilder &p, ValueRange indices) const;
  /// Elements from a row to the next.
  Value rowStride() const {
    return contiguous ? sizes.back() : strides[strides.size() - 1];
  }
};

/// A kernel, its launches, and the arguments that they exchange while a pass
/// rewrites both.
class KernelViews {
public:
  KernelViews(gpu::GPUFuncOp kernel, SmallVector<gpu::LaunchFuncOp> launches)
      : kernel(kernel), launches(std::move(launches)) {}

  /// An argument's address and strides, which become arguments at its first
  /// use.
  const View &of(Value argument);
  /// A new argument; `host` gives its value in front of a launch, from what the
  /// launch passes for `argument` where there is one.
  Value take(Type type,
             function_ref<Value(PageBuilder &, gpu::LaunchFuncOp, Value)> host,
             Value argument = Value());
  /// What the first element of a head's matrix, or vector, is at.
  Value matrix(PageBuilder &p, const View &view, Value batch, Value head);
  /// Loads, stores and unitile.locate from what is left of the page.
  LogicalResult lowerAccesses();
  /// Drops the memrefs, of which no use is left.
  LogicalResult finish();

  /// A buffer's address as what a launch passes, and the elements between
  /// neighbours of a dim (index). On the host.
  static Value hostAddress(PageBuilder &p, Value memref);
  static Value hostStride(PageBuilder &p, Value memref, int64_t dim);

  gpu::GPUFuncOp kernel;
  SmallVector<gpu::LaunchFuncOp> launches;

private:
  void lowerSize(memref::DimOp op, int64_t i);

  llvm::MapVector<Value, View> views;
  llvm::DenseMap<std::pair<Value, int64_t>, Value> memorySizes;
};

/// Kernels of a module that have a schedule, with their launches, where `match`
/// says that they are the pages which a pass is for.
SmallVector<KernelViews>
pagesScheduledBy(ModuleOp module,
                 function_ref<bool(gpu::GPUFuncOp, Attribute)> match);
/// Whether a kernel has a walk: one that has none has been scheduled already.
bool hasWalk(gpu::GPUFuncOp kernel);

} // namespace unisparse

#endif // UNISPARSE_LIB_DIALECT_UNITILE_TRANSFORMS_KERNELVIEWS_H
