// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Dialect/UniTile/Utils/SpecialisedMemory.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

SmallVector<SpecialisedMemory::Tile> SpecialisedMemory::tiles() const {
  SmallVector<Tile> tiles{{"queries", queries, depth, 1},
                          {"keys", keys, depth, stages}};
  if (width)
    tiles.push_back({"values", keys, width, stages});
  // O leaves through Q's tile where it has room there.
  if (width > depth)
    tiles.push_back({"outputs", queries, width, 1});
  return tiles;
}

SmallVector<SpecialisedMemory::Barriers> SpecialisedMemory::barriers() const {
  // A full buffer is the copy's arrival, an empty one every consumer warp's, of
  // all CTAs that it was copied to. Threads read Q and the item's words
  // themselves.
  int64_t warps = queries / 16, copies = warps * cluster;
  SmallVector<Barriers> barriers{{"full_k", stages, 1}};
  if (width)
    barriers.push_back({"full_v", stages, 1});
  barriers.push_back({"empty_k", stages, copies});
  if (width)
    barriers.push_back({"empty_v", stages, copies});
  barriers.push_back({"full_q", 1, 1});
  barriers.push_back({"empty_q", 1, 32 * warps});
  if (cluster > 1)
    barriers.push_back({"empty_other_q", 1, 1});
  if (packed)
    barriers.push_back({"full_tail", 1, 1});
  return barriers;
}

int64_t SpecialisedMemory::bytes() const {
  MLIRContext *context = element.getContext();
  int64_t end = 0;
  auto add = [&](int64_t bytes, int64_t alignment) {
    end = llvm::alignTo(end, alignment) + bytes;
  };
  for (const Tile &t : tiles())
    add(SharedType::get(context, t.rows, t.columns, element, t.stages)
            .getBytes(),
        kTileAlignment);
  for (const Barriers &b : barriers())
    add(BarriersType::get(context, b.count).getBytes(), kBarrierAlignment);
  add(4 * words, kWordsAlignment);
  return end;
}
