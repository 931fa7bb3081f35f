// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The schedule of a warp-specialised score kernel: what was asked for, or the
// best that is known.
#include "Kernels.h"
#include "Schedule.h"
#include "SpecialisedSchedules.h"
#include "unisparse/Dialect/UniTile/Utils/SpecialisedMemory.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

/// Tiles of two warpgroups by as many keys as a product takes at once.
static constexpr int64_t kRows = ScoreSchedule::rows, kMostKeys = 128;
static constexpr int64_t kMostStages = 4;

/// What this kernel takes at all.
static LogicalResult verifyScore(BlockScoreOp op, const BlockRows &q,
                                 const BlockRows &k, Reason &why) {
  auto type = op.getQ().getType();
  if (!type.getElementType().isF16() && !type.getElementType().isBF16())
    return why << "expected f16 or bf16, got " << type.getElementType();
  if (type.getDimSize(3) % 16 || type.getDimSize(3) > kMostColumns)
    return why << "expected composites of a multiple of 16 columns up to "
               << kMostColumns << ", got " << type.getDimSize(3);
  if (op.getCuSeqlensQ())
    return why << "expected one sequence, got a packed batch";
  if (type.getDimSize(1) != op.getMass().getType().getDimSize(1))
    return why << "expected a mass for each head of q, got "
               << op.getMass().getType().getDimSize(1) << " for "
               << type.getDimSize(1);
  if (q.composites != q.padded || kRows % q.padded)
    return why << "expected query blocks of 8, 16, 32, 64 or 128 composites, "
                  "got "
               << q.composites;
  if (k.composites != k.padded || kMostKeys % k.padded)
    return why << "expected key blocks of 8, 16, 32, 64 or 128 composites, got "
               << k.composites;
  return success();
}

FailureOr<ScheduleAttr> unisparse::scoreScheduleOf(BlockScoreOp op,
                                                   ScheduleAttr asked,
                                                   int64_t sharedBytes,
                                                   Reason &why) {
  BlockRows q(op.getBlock().getQuery() / op.getPooling().getQuery() +
              op.getPooling().getRepresentatives()),
      k(op.getBlock().getKey() / op.getPooling().getKey());
  if (failed(verifyScore(op, q, k, why)))
    return failure();
  RankedTensorType type = op.getQ().getType();
  if (!asked)
    asked = ScheduleAttr::get(op.getContext(), 0, 0, 0, 0, 0, 0,
                              Reference::Speculative, /*overlap=*/true,
                              /*ping_pong=*/false);
  if (asked.getCluster() > 1)
    return why << "expected a cluster of 1, got " << asked.getCluster();
  int64_t ctas = asked.getCtas() ? asked.getCtas() : 1;
  if (ctas > 2)
    return why << "expected 1 or 2 ctas, got " << ctas;
  SpecialisedMemory memory{op.getQ().getType().getElementType(),
                           kRows,
                           kMostKeys,
                           tileColumns(op.getQ().getType().getDimSize(3)),
                           /*width=*/0,
                           kMostStages,
                           /*cluster=*/1,
                           /*packed=*/false,
                           /*words=*/5};
  auto stagesThatFit = [&](int64_t keys) {
    memory.keys = keys;
    memory.stages = kMostStages;
    while (memory.stages > 0 &&
           memory.bytes() > sharedBytesOfEach(sharedBytes, ctas))
      --memory.stages;
    return memory.stages;
  };
  // Composites with columns for groups of dims are long: fewer keys a step
  // then.
  int64_t keys = asked.getKeys() ? asked.getKeys() : kMostKeys;
  while (!asked.getKeys() && stagesThatFit(keys) < 2 && keys > 16 &&
         keys / 2 % k.padded == 0)
    keys /= 2;
  if (keys % k.padded || keys % 16 || keys > kMostKeys)
    return why << "expected keys that are whole blocks of " << k.padded
               << " composites, up to " << kMostKeys << ", got " << keys;
  int64_t fit = stagesThatFit(keys);
  if (fit < 2)
    return why
           << "expected composites whose tiles fit shared memory twice, got "
           << type.getDimSize(3) << " columns";
  int64_t stages = asked.getStages() ? asked.getStages() : fit;
  if (stages < 2 || stages > fit)
    return why << "expected 2 to " << fit
               << " stages, as many as fit shared memory, got " << stages;
  // A producer and two warpgroups share what a launch gives them.
  int64_t pool = registersOfWarpgroups(3, ctas);
  int64_t producer = asked.getProducerRegisters(),
          consumer = asked.getConsumerRegisters();
  if (!producer)
    producer = ctas == 1 ? 40 : 24;
  if (!consumer)
    consumer = std::min<int64_t>(240, (pool - producer) / 2 / 8 * 8);
  if (producer + 2 * consumer > pool)
    return why << "expected registers of a producer and 2 consumers that fit "
                  "the "
               << pool << " of a launch's threads, got "
               << producer + 2 * consumer;
  return ScheduleAttr::get(op.getContext(), stages, keys, ctas, /*cluster=*/1,
                           producer, consumer, asked.getReference(),
                           asked.getOverlap(), asked.getPingPong());
}
