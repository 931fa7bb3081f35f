// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Which elements a thread holds, as their layouts say, and where an element of
// a tile lies, as IR.
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
/// `unitile.partitions`, which are its last.
struct Warps {
  int64_t count = 0, first = 0;
  operator int64_t() const { return count; }
};

/// What a thread holds of a fragment, or of rows.
struct Held {
  Held(Type type, int64_t warps);

  FragmentLayoutInterface layout;
  /// In the order of its registers. Of rows, one of each of theirs.
  SmallVector<Position> elements;
  /// Of all elements, each once.
  SmallVector<int64_t> rows;
  /// Where in `rows` the row of element i is.
  SmallVector<int64_t> rowNumbers;

  int64_t size() const { return elements.size(); }
  /// The elements of rows[number].
  SmallVector<int64_t> elementsOf(int64_t number) const;
  /// The element of this place, which the thread holds.
  int64_t at(Position place) const;
  /// Of each 16 rows that the warp holds, the first, where matrices of 8 x 8
  /// are what is held.
  SmallVector<int64_t> matrixRows() const;

private:
  mutable DenseMap<std::pair<int64_t, int64_t>, int64_t> places;
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

  /// Row and column of an element of the thread's.
  Value row(FragmentLayoutInterface layout, int64_t offset);
  Value column(FragmentLayoutInterface layout, int64_t offset);

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
  /// Of the lane's and the warp's number.
  Value expand(AffineExpr expr);

  Value cachedId;
};

/// mma.sync of 16 x k of `a` with k x 8 of `b`, added to 16 x 8, of which a
/// thread holds the four of `sums` with these numbers; k has 32 bytes.
void multiply(OpBuilder &b, Location loc, ArrayRef<Value> a,
              ArrayRef<Value> words, NVVM::MMATypes kind,
              MutableArrayRef<Value> sums,
              ArrayRef<int64_t> numbers = {0, 1, 2, 3});
/// The numbers of the four from `place` on.
SmallVector<int64_t> sumsAt(const Held &held, Position place);

/// Of 16 x 16 elements from `place` on in four 8 x 8 matrices, as ldmatrix and
/// stmatrix count them: the places of what the thread holds first of each, the
/// second below the first. The next element is the right neighbour's.
std::array<Position, 4> matricesAt(Position place);

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

/// `unitile.partitions`: one warpgroup, so that registers can move.
inline constexpr int64_t kProducerWarps = 4;

/// The dynamic shared memory of every kernel of a module.
inline constexpr llvm::StringLiteral kSharedSymbol = "unitile_shared";

} // namespace unisparse::unitile

#endif // UNISPARSE_LIB_CONVERSION_UNITILETONVVM_LAYOUT_H
