// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNITILE_IR_UNITILE_H
#define UNISPARSE_DIALECT_UNITILE_IR_UNITILE_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/LLVMIR/LLVMTypes.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace unisparse::unitile {
/// Of an element, relative to its thread's first one.
struct Position {
  int64_t row, column;
  bool operator==(const Position &other) const {
    return row == other.row && column == other.column;
  }
};

/// Of ops whose instructions only a chip with wgmma and TMA has
/// [U18].
template <typename ConcreteOp>
struct NeedsHopper : mlir::OpTrait::TraitBase<ConcreteOp, NeedsHopper> {};

/// What the other lanes of a warp hold. An op that reads it has to be executed
/// by all of them together: where it stands, and not where some may not come
/// by.
struct WarpResource : mlir::SideEffects::Resource::Base<WarpResource> {
  llvm::StringRef getName() override { return "Warp"; }
};
} // namespace unisparse::unitile

#include "unisparse/Dialect/UniTile/IR/UniTileDialect.h.inc"
#include "unisparse/Dialect/UniTile/IR/UniTileEnums.h.inc"
#include "unisparse/Dialect/UniTile/IR/UniTileInterfaces.h.inc"

#define GET_ATTRDEF_CLASSES
#include "unisparse/Dialect/UniTile/IR/UniTileAttrs.h.inc"

#define GET_TYPEDEF_CLASSES
#include "unisparse/Dialect/UniTile/IR/UniTileTypes.h.inc"

#define GET_OP_CLASSES
#include "unisparse/Dialect/UniTile/IR/UniTileOps.h.inc"

namespace unisparse::unitile {
/// Of a fragment, pending or not, or of rows; null where the type says none, or
/// is another.
FragmentLayoutInterface layoutOf(mlir::Type type);
mlir::Type withLayout(mlir::Type type, FragmentLayoutInterface layout);

/// Marks a kernel's pointer argument that is a tensor map: 128 bytes by value.
inline constexpr llvm::StringLiteral kTensorMapAttr = "unitile.tensor_map";
/// Their numbers, on a kernel that is NVVM's.
inline constexpr llvm::StringLiteral kTensorMapsAttr = "unitile.tensor_maps";
/// Where a schedule is found, on an op and on a kernel.
inline constexpr llvm::StringLiteral kScheduleAttr = "unitile.schedule";
/// On a launch: it may begin before the one in front of it has ended.
inline constexpr llvm::StringLiteral kOverlapsAttr = "unitile.overlaps";
/// On a kernel: the shared memory that its tiles take.
inline constexpr llvm::StringLiteral kSharedBytesAttr = "unitile.shared_bytes";
} // namespace unisparse::unitile

#endif // UNISPARSE_DIALECT_UNITILE_IR_UNITILE_H
