// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The schedule of the warp-specialised attend kernel: what was asked for, or
// the best that is known, within a multiprocessor's shared memory and
// registers.
#include "SpecialisedSchedules.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Dialect/UniTile/Utils/SpecialisedMemory.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

/// The producer's single thread needs few registers. With 32 it would spill,
/// and in some kernels by a word with 40: those that have more to spare.
static constexpr int64_t kProducerRegisters = 40, kAmpleRegisters = 56;
/// More pairs of tiles in flight gained nothing; two cost 1.4 to 2.7%.
static constexpr int64_t kMostStages = 3;
/// Of a consumer's registers, what its fragments may have.
static constexpr int64_t kFragmentRegisters = 192;

/// Shared memory of a CTA with so many stages of so many keys.
static int64_t sharedBytesOf(const AttendSpec &s, int64_t keys, int64_t cluster,
                             int64_t stages) {
  // An item's words: of a packed batch with its sequence's, in two places.
  int64_t words = s.packed ? 2 * 9 : 5;
  return SpecialisedMemory{s.element, s.blockQ, keys,     s.headDim, s.valueDim,
                           stages,    cluster,  s.packed, words}
      .bytes();
}

/// The most stages of so many keys with which so many CTAs share a
/// multiprocessor.
static int64_t stagesThatFit(const AttendSpec &s, int64_t keys, int64_t cluster,
                             int64_t ctas, int64_t sharedBytes) {
  int64_t each = sharedBytesOfEach(sharedBytes, ctas);
  int64_t stages = kMostStages;
  while (stages > 0 && sharedBytesOf(s, keys, cluster, stages) > each)
    --stages;
  return stages;
}

/// Registers of a consumer for O, S, P and, where it is held, Q.
static int64_t fragmentRegisters(const AttendSpec &s, int64_t keys) {
  return s.valueDim / 2 + keys / 2 + keys / 4 +
         (s.holdsQueries() ? s.headDim / 4 : 0);
}

static bool isPartOfBlock(const AttendSpec &s, int64_t keys) {
  return keys > 0 && keys % 16 == 0 && keys <= 128 && s.blockK % keys == 0;
}

/// The largest part of a key block whose fragments and two stages have room;
/// 0 where none has.
static int64_t keysThatFit(const AttendSpec &s, int64_t cluster,
                           int64_t sharedBytes) {
  for (int64_t keys = std::min<int64_t>(128, s.blockK); keys > 0; --keys)
    if (isPartOfBlock(s, keys) &&
        fragmentRegisters(s, keys) <= kFragmentRegisters &&
        stagesThatFit(s, keys, cluster, 1, sharedBytes) >= 2)
      return keys;
  return 0;
}

/// The cluster that was asked for, or the best known. Two CTAs can
/// share loads where heads in pairs attend to the same blocks of the same keys.
/// That gains 2 to 4% with a selection or with long rows of K and V; without
/// either, waiting for one another costs more than the copies
/// (benchmarks/NOTES.md).
static FailureOr<int64_t> clusterOf(const AttendSpec &s, int64_t asked,
                                    Reason &why) {
  bool paired =
      s.group % 2 == 0 && (!s.hasSelection || s.selectionGroup % 2 == 0);
  int64_t most = paired && !s.packed ? 2 : 1;
  if (!asked)
    return s.hasSelection || !s.holdsQueries() ? most : 1;
  if (asked == 1 || asked == most)
    return asked;
  if (most == 2)
    return why << "expected a cluster of 1 or 2, got " << asked;
  if (s.packed)
    return why << "expected a cluster of 1 for a packed batch, whose "
                  "tiles are cleared block by block, got "
               << asked;
  return why << "expected a cluster of 1 where heads do not share keys "
                "and selection in pairs, got "
             << asked;
}

/// What this kernel takes at all.
static LogicalResult verifySpec(const AttendSpec &s, Reason &why) {
  if (!s.element.isF16() && !s.element.isBF16())
    return why << "expected f16 or bf16, got " << s.element;
  if (!(s.scale > 0))
    return why << "expected a scale above 0, got " << s.scale;
  for (auto [what, size] :
       {std::pair{"head_dim", s.headDim}, {"head_dim of v", s.valueDim}})
    if (size % 16 || size > 256)
      return why << "expected a " << what
                 << " that is a multiple of 16 up to 256, got " << size;
  if (s.blockK % 16)
    return why << "expected a key block that is a multiple of 16, got "
               << s.blockK;
  if (s.blockQ != 64 && s.blockQ != 128)
    return why << "expected query blocks of 64 or 128 rows, got " << s.blockQ;
  return success();
}

/// Registers of a thread of the producer and of one of the consumers: what the
/// producer leaves is theirs, 240 at most. They share what a launch gives them,
/// a multiple of 8 for each thread: a warpgroup that asks for more than is left
/// of that waits for ever.
static FailureOr<std::pair<int64_t, int64_t>>
registersOf(const AttendSpec &s, ScheduleAttr asked, int64_t keys, int64_t ctas,
            Reason &why) {
  int64_t groups = s.blockQ / AttendSchedule::rowsPerGroup,
          producer = asked.getProducerRegisters(),
          consumer = asked.getConsumerRegisters();
  int64_t pool = registersOfWarpgroups(1 + groups, ctas);
  bool ample = ctas == 1 && (groups == 1 || fragmentRegisters(s, keys) <=
                                                kFragmentRegisters - 16);
  if (!producer)
    producer = ample ? kAmpleRegisters : kProducerRegisters;
  if (!consumer)
    consumer = std::min<int64_t>(240, (pool - producer) / groups / 8 * 8);
  int64_t all = producer + groups * consumer;
  if (all > pool)
    return why << "expected registers of a producer and " << groups
               << " consumers that fit the " << pool
               << " of a launch's threads, got " << all;
  return std::pair{producer, consumer};
}

/// Turns at the tensor cores gain 5% at 96 columns and 3% at 128, where without
/// them a kernel that is not causal is up to 13% slower, depending on where its
/// loop lies; they cost 6% at 64 (benchmarks/NOTES.md).
static bool takesTurns(const AttendSpec &s) {
  int64_t columns = std::max(s.headDim, s.valueDim);
  return s.blockQ == 128 && columns > 64 && columns <= 128;
}

FailureOr<AttendSchedule> unisparse::attendScheduleOf(const AttendSpec &s,
                                                      ScheduleAttr asked,
                                                      int64_t sharedBytes,
                                                      Reason &why) {
  if (failed(verifySpec(s, why)))
    return failure();
  MLIRContext *context = s.element.getContext();
  if (!asked)
    asked = ScheduleAttr::get(context, 0, 0, 0, 0, 0, 0, Reference::Speculative,
                              /*overlap=*/true, takesTurns(s));
  if (asked.getPingPong() && s.blockQ != 128)
    return why << "expected query blocks of 128 rows for ping_pong, got "
               << s.blockQ;
  FailureOr<int64_t> cluster = clusterOf(s, asked.getCluster(), why);
  if (failed(cluster))
    return failure();
  int64_t keys =
      asked.getKeys() ? asked.getKeys() : keysThatFit(s, *cluster, sharedBytes);
  if (!isPartOfBlock(s, keys))
    return why << "expected keys that are a part of the key block of "
               << s.blockK << ", a multiple of 16 up to 128, got " << keys;
  // One warpgroup of consumers leaves the tensor cores idle in its softmax:
  // then two CTAs share a multiprocessor, where they fit.
  int64_t ctas = asked.getCtas();
  if (!ctas)
    ctas =
        s.blockQ == 64 && stagesThatFit(s, keys, *cluster, 2, sharedBytes) >= 2
            ? 2
            : 1;
  int64_t fit =
      ctas > 0 ? stagesThatFit(s, keys, *cluster, ctas, sharedBytes) : 0;
  if (fit < 2)
    return why << "expected ctas whose shared memory holds 2 stages of " << keys
               << " keys, got " << ctas;
  int64_t stages = asked.getStages() ? asked.getStages() : fit;
  if (stages < 2 || stages > fit)
    return why << "expected 2 to " << fit
               << " stages, as many as fit shared memory, got " << stages;
  auto registers = registersOf(s, asked, keys, ctas, why);
  if (failed(registers))
    return failure();
  return AttendSchedule{
      ScheduleAttr::get(context, stages, keys, ctas, *cluster, registers->first,
                        registers->second, asked.getReference(),
                        asked.getOverlap(), asked.getPingPong())};
}

AttendSpec unisparse::attendSpecOf(BlockSparseAttentionOp op) {
  auto q = op.getQ().getType(), v = op.getV().getType();
  AttendSpec s;
  s.blockQ = op.getBlock().getQuery();
  s.blockK = op.getBlock().getKey();
  s.headDim = q.getDimSize(3);
  s.valueDim = v.getDimSize(3);
  s.heads = q.getDimSize(1);
  s.group = s.heads / v.getDimSize(1);
  s.hasSelection = static_cast<bool>(op.getCounts());
  s.selectionGroup =
      s.hasSelection
          ? s.heads / cast<ShapedType>(op.getCounts().getType()).getDimSize(1)
          : 1;
  s.element = q.getElementType();
  s.scale = logitScale(op.getScale(), s.headDim);
  s.causal = op.getCausal();
  s.packed = static_cast<bool>(op.getCuSeqlensQ());
  return s;
}
