// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/AffineMap.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace unisparse::unitile;

#include "unisparse/Dialect/UniTile/IR/UniTileInterfaces.cpp.inc"

FragmentLayoutInterface unisparse::unitile::layoutOf(Type type) {
  return llvm::TypeSwitch<Type, FragmentLayoutInterface>(type)
      .Case<FragmentType, PendingType, RowsType>(
          [](auto type) { return type.getLayout(); })
      .Default([](Type) { return FragmentLayoutInterface(); });
}

Type unisparse::unitile::withLayout(Type type, FragmentLayoutInterface layout) {
  return llvm::TypeSwitch<Type, Type>(type)
      .Case<FragmentType, PendingType>([&](auto type) -> Type {
        return decltype(type)::get(type.getContext(), type.getRows(),
                                   type.getColumns(), type.getElementType(),
                                   layout);
      })
      .Case([&](RowsType type) -> Type {
        return RowsType::get(type.getContext(), type.getRows(),
                             type.getElementType(), layout);
      })
      .Default(type);
}

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

static AffineMap
baseOf(MLIRContext *context,
       function_ref<std::pair<AffineExpr, AffineExpr>(AffineExpr lane,
                                                      AffineExpr warp)>
           place) {
  auto [row, column] =
      place(getAffineDimExpr(0, context), getAffineDimExpr(1, context));
  return AffineMap::get(/*dimCount=*/2, /*symbolCount=*/0, {row, column},
                        context);
}

int64_t MmaFragmentAttr::getWarpRows() const { return 16; }

AffineMap MmaFragmentAttr::getBase() const {
  return baseOf(getContext(), [](AffineExpr lane, AffineExpr warp) {
    return std::pair(warp * 16 + lane.floorDiv(4), lane % 4 * 2);
  });
}

// Bit 0 of an element's number is the column of a pair, bit 1 the upper or
// lower 8 rows; then come the eights of columns, then the pieces of rows.
SmallVector<Position> MmaFragmentAttr::getOffsets(int64_t rows, int64_t columns,
                                                  int64_t warps) const {
  SmallVector<Position> offsets;
  for (int64_t piece = 0; piece < rows; piece += 16 * warps)
    for (int64_t eight = 0; eight < columns; eight += 8)
      for (int64_t half : {0, 8})
        for (int64_t pair : {0, 1})
          offsets.push_back({piece + half, eight + pair});
  return offsets;
}

SmallVector<int64_t> MmaFragmentAttr::getRowLanes() const { return {1, 2}; }
bool MmaFragmentAttr::isOfMatrices() const { return true; }

int64_t RowFragmentAttr::getWarpRows() const { return 32; }

AffineMap RowFragmentAttr::getBase() const {
  return baseOf(getContext(), [](AffineExpr lane, AffineExpr warp) {
    return std::pair(warp * 32 + lane,
                     getAffineConstantExpr(0, lane.getContext()));
  });
}

SmallVector<Position> RowFragmentAttr::getOffsets(int64_t rows, int64_t columns,
                                                  int64_t warps) const {
  SmallVector<Position> offsets;
  for (int64_t piece = 0; piece < rows; piece += 32 * warps)
    for (int64_t column = 0; column < columns; ++column)
      offsets.push_back({piece, column});
  return offsets;
}

SmallVector<int64_t> RowFragmentAttr::getRowLanes() const { return {}; }
bool RowFragmentAttr::isOfMatrices() const { return false; }

//===----------------------------------------------------------------------===//
// Atoms
//===----------------------------------------------------------------------===//

static bool has16Bits(Type element) {
  return element.isF16() || element.isBF16();
}

int64_t MmaSyncAttr::getK() const { return 16; }
bool MmaSyncAttr::takes(Type element) const { return has16Bits(element); }
bool MmaSyncAttr::isAsynchronous() const { return false; }
FragmentLayoutInterface MmaSyncAttr::getLayoutOfA() const {
  return MmaFragmentAttr::get(getContext());
}
FragmentLayoutInterface MmaSyncAttr::getLayoutOfSums() const {
  return MmaFragmentAttr::get(getContext());
}

int64_t Mma3xTF32Attr::getK() const { return 8; }
bool Mma3xTF32Attr::takes(Type element) const { return element.isF32(); }
bool Mma3xTF32Attr::isAsynchronous() const { return false; }
FragmentLayoutInterface Mma3xTF32Attr::getLayoutOfA() const {
  return MmaFragmentAttr::get(getContext());
}
FragmentLayoutInterface Mma3xTF32Attr::getLayoutOfSums() const {
  return MmaFragmentAttr::get(getContext());
}

int64_t WgmmaAttr::getK() const { return 16; }
bool WgmmaAttr::takes(Type element) const { return has16Bits(element); }
bool WgmmaAttr::isAsynchronous() const { return true; }
FragmentLayoutInterface WgmmaAttr::getLayoutOfA() const {
  return MmaFragmentAttr::get(getContext());
}
FragmentLayoutInterface WgmmaAttr::getLayoutOfSums() const {
  return MmaFragmentAttr::get(getContext());
}
