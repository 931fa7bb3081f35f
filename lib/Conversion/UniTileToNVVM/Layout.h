// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Which elements a thread holds, and where an element of a tile lies: the
// dialect's two layouts as IR.
#ifndef UNISPARSE_LIB_CONVERSION_UNITILETONVVM_LAYOUT_H
#define UNISPARSE_LIB_CONVERSION_UNITILETONVVM_LAYOUT_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Transforms/DialectConversion.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

namespace unisparse::unitile {
using namespace mlir;

/// The warps that share fragments: all of the block, or the consumers of
/// `unitile.roles`, which are its last.
struct Warps {
  int64_t count = 0, first = 0;
  operator int64_t() const { return count; }
};

/// Emits i32 arithmetic about one thread of the warps that share fragments.
struct Thread {
  Thread(OpBuilder &builder, Location loc, Warps warps)
      : b(loc, builder), warps(warps) {}
  ImplicitLocOpBuilder b;
  Warps warps;

  Value i32(int64_t value);
  Value add(Value x, Value y);
  Value add(Value x, int64_t y) { return y ? add(x, i32(y)) : x; }
  Value mul(Value x, int64_t y);
  Value div(Value x, int64_t y);
  Value rem(Value x, int64_t y);
  Value bitXor(Value x, Value y);
  Value less(Value x, Value y);

  /// Among the threads of the warps. Behind roles it is read anew by every op:
  /// what is computed from it would else be kept in registers, across loops
  /// that have none to spare.
  Value id();
  Value lane(); ///< In its warp.
  Value warp();

  /// Row and column of element `i` of a fragment of `columns` columns.
  Value row(int64_t i, int64_t columns);
  Value column(int64_t i, int64_t columns);
  /// Row of entry `i` of rows.
  Value rowOfRows(int64_t i);

  /// The value of the lane whose number differs by the bits of `distance`.
  Value shuffle(Value x, int64_t distance);
  Value combine(Combine how, Value x, Value y);
  /// One statement of PTX; `constraints` and `$0` as LLVM has them. Keeps its
  /// order among others and among accesses to memory.
  Value ptx(Type result, StringRef text, StringRef constraints,
            ValueRange operands);
  /// The bits of a shared-memory address.
  Value sharedAddress(Value pointer);
  /// The bits of the same place's address in another block of the cluster.
  Value inBlock(Value sharedAddress, int64_t block);

  /// `base` moved by so many bytes.
  Value advance(Value base, Value bytes);
  /// Address of stage `stage` of a tile at `base`.
  Value stage(Value base, SharedType tile, Value stage);
  /// ldmatrix.x4: four 8 x 8 matrices of 16-bit elements whose first element is
  /// at (row, column) plus (0 or 8, 0 or 8): matrix 1 is 8 further down where
  /// `downFirst`, else to the right. `row` may depend on the warp; both are
  /// multiples of 8. Returns four i32.
  SmallVector<Value> loadMatrices(Value base, SharedType tile, Value row,
                                  int64_t rowOffset, int64_t column,
                                  bool downFirst, bool transpose);
  /// Loads a `type` from (row + down, column + right) of a tile of f32; `row`
  /// and `column` are multiples of 8, `down` and `right` are less.
  Value loadF32(Type type, Value base, SharedType tile, int64_t row, Value down,
                int64_t column, Value right);
  /// The address that this lane names to ldmatrix and stmatrix for that.
  Value matrixAddress(Value base, SharedType tile, Value row, int64_t rowOffset,
                      int64_t column, bool downFirst);

private:
  Value cachedId;
};

/// Elements that a thread holds.
inline int64_t elementsOf(FragmentType type, int64_t warps) {
  return type.getRows() * type.getColumns() / (32 * warps);
}
inline int64_t elementsOf(RowsType type, int64_t warps) {
  return type.getRows() / (8 * warps);
}
/// Pieces of 16 rows that a warp holds.
inline int64_t piecesOf(int64_t rows, int64_t warps) {
  return rows / (16 * warps);
}

/// mma.sync of 16 x k of `a` with k x 8 of `b`, added to the 16 x 8 `sums`; k
/// has 32 bytes.
void multiply(OpBuilder &b, Location loc, ArrayRef<Value> a,
              ArrayRef<Value> words, NVVM::MMATypes kind,
              MutableArrayRef<Value> sums);

/// Scalars of a vector, and back.
SmallVector<Value> unpack(OpBuilder &b, Location loc, Value vector);
Value pack(OpBuilder &b, Location loc, ArrayRef<Value> scalars);

void populateSharedPatterns(const TypeConverter &converter,
                            RewritePatternSet &patterns, Warps warps);
void populateFragmentPatterns(const TypeConverter &converter,
                              RewritePatternSet &patterns, Warps warps);
void populateMmaPatterns(const TypeConverter &converter,
                         RewritePatternSet &patterns, Warps warps);
void populateMmaF32Patterns(const TypeConverter &converter,
                            RewritePatternSet &patterns, Warps warps);
void populateBarrierPatterns(const TypeConverter &converter,
                             RewritePatternSet &patterns, Warps warps);
void populateTensorCopyPatterns(const TypeConverter &converter,
                                RewritePatternSet &patterns, Warps warps);
void populateWgmmaPatterns(const TypeConverter &converter,
                           RewritePatternSet &patterns, Warps warps);

/// The address of `offset` in the kernel's shared memory; a diagnostic where
/// nothing has given one.
FailureOr<Value> sharedPlace(Thread &t, Operation *op,
                             std::optional<uint64_t> offset);

/// A pattern that knows the kernel's number of warps.
template <typename OpTy>
struct TilePattern : OpConversionPattern<OpTy> {
  TilePattern(const TypeConverter &converter, MLIRContext *context, Warps warps)
      : OpConversionPattern<OpTy>(converter, context), warps(warps) {}
  Warps warps;
};

/// `unitile.roles`: one warpgroup, so that registers can move.
inline constexpr int64_t kProducerWarps = 4;

/// The dynamic shared memory of every kernel of a module.
inline constexpr llvm::StringLiteral kSharedSymbol = "unitile_shared";

} // namespace unisparse::unitile

#endif // UNISPARSE_LIB_CONVERSION_UNITILETONVVM_LAYOUT_H
