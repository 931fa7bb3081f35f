// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a warp-specialised kernel keeps in shared memory, in one list: whoever
// chooses a schedule asks how much that is, unitile-specialise-warps reserves
// it.
#ifndef UNISPARSE_DIALECT_UNITILE_UTILS_SPECIALISEDMEMORY_H
#define UNISPARSE_DIALECT_UNITILE_UTILS_SPECIALISEDMEMORY_H

#include "mlir/IR/Types.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/MathExtras.h"

namespace unisparse {

/// Of what a kernel reserves of shared memory: the swizzle of tiles repeats
/// every 1024 bytes, words are copied by 16.
inline constexpr int64_t kTileAlignment = 1024, kBarrierAlignment = 8,
                         kWordsAlignment = 16;

struct SpecialisedMemory {
  mlir::Type element;
  int64_t queries; ///< Rows of a query tile, 64 for each consumer warpgroup.
  int64_t keys;    ///< Rows of a tile of keys or values.
  int64_t depth;   ///< Columns of queries and keys.
  int64_t width;   ///< Columns of values; 0 where a walk has none.
  int64_t stages;
  int64_t cluster; ///< CTAs that a key tile is copied to.
  bool packed;     ///< Sequences end in the middle of memory.
  int64_t words;   ///< Of work items, 4 bytes each.

  struct Tile {
    llvm::StringLiteral name;
    int64_t rows, columns, stages;
  };
  struct Barriers {
    llvm::StringLiteral name;
    int64_t count, arrivals;
  };
  llvm::SmallVector<Tile> tiles() const;
  llvm::SmallVector<Barriers> barriers() const;
  /// What a launch has to ask for.
  int64_t bytes() const;
};

/// Shared memory, in bytes, of each of the `ctas` that share a multiprocessor
/// which gives one alone at most `most`: the hardware takes 1 KiB for each CTA
/// (CUDA C++ Programming Guide, "Shared Memory" of capability 8.x and 9.0).
inline int64_t sharedBytesOfEach(int64_t most, int64_t ctas) {
  constexpr int64_t kReserved = 1024;
  return (most + kReserved) / ctas - kReserved;
}

/// The registers, summed over its warpgroups, that a thread of each may have
/// together: a launch gives all threads alike, in eights, of the 64 Ki that
/// `ctas` share.
inline int64_t registersOfWarpgroups(int64_t warpgroups, int64_t ctas) {
  constexpr int64_t kRegisters = 64 * 1024;
  return llvm::alignDown(kRegisters / 128 / ctas / warpgroups, 8) * warpgroups;
}

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNITILE_UTILS_SPECIALISEDMEMORY_H
