// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Schedule.h"
#include "SpecialisedSchedules.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// What a schedule may plan with where f32 operands are split as they are
/// multiplied; by assembling, for all chips.
constexpr int64_t kSplitRegisters = 84;

int64_t registersOf(const NvidiaChip &chip, Type element) {
  return element.isF32() ? kSplitRegisters : chip.plannedRegisters;
}

/// Copies of 16 bytes that a thread may have in a step: they are unrolled, and
/// with more of them ptxas spills their addresses.
constexpr int64_t kMostCopies = 32;

/// What a tile shape asks for.
struct Cost {
  explicit Cost(int64_t rows) : threads(rows / 16 * 32) {}

  int64_t threads;
  int64_t sharedBytes = 0;
  int64_t copies = 0;    ///< Of a thread, in every step.
  int64_t registers = 0; ///< Of a thread: fragments, and what copies take.

  void tile(int64_t rows, int64_t columns, Type element, int64_t stages = 1) {
    auto type =
        SharedType::get(element.getContext(), rows, columns, element, stages);
    sharedBytes += llvm::alignTo(type.getBytes(), 1024);
  }
  /// A tile that is copied while fragments live. Half a register for each 16
  /// bytes of a thread: found by assembling.
  void streamed(int64_t rows, int64_t columns, Type element,
                int64_t stages = 1) {
    tile(rows, columns, element, stages);
    int64_t pieces = rows * columns * element.getIntOrFloatBitWidth() / 128;
    copies += llvm::divideCeil(pieces, threads);
    registers += pieces / threads / 2;
  }
  /// A fragment with 16 rows a warp.
  void fragment(int64_t columns, int64_t bits) {
    registers += columns / 2 * bits / 32;
  }
  bool fitsShared(const NvidiaChip &chip) const {
    return sharedBytes <= chip.sharedBytes;
  }
  bool fits(const NvidiaChip &chip, Type element) const {
    return fitsShared(chip) && copies <= kMostCopies &&
           registers <= registersOf(chip, element);
  }
};

} // namespace

template <typename OpTy>
static FailureOr<TilesAttr>
firstThatFits(OpTy op, function_ref<Cost(int64_t, int64_t)> costOf,
              ArrayRef<std::pair<int64_t, int64_t>> shapes,
              const NvidiaChip &chip) {
  Type element = op.getQ().getType().getElementType();
  for (auto [rows, keys] : shapes)
    if (costOf(rows, keys).fits(chip, element))
      return TilesAttr::get(op.getContext(), rows, keys);
  // Registers are planned with room to spare: what asks for least of them is
  // assembled with a few words in memory at most.
  TilesAttr least;
  int64_t leastRegisters = std::numeric_limits<int64_t>::max();
  for (auto [rows, keys] : shapes) {
    Cost cost = costOf(rows, keys);
    if (!cost.fitsShared(chip) || cost.registers >= leastRegisters)
      continue;
    leastRegisters = cost.registers;
    least = TilesAttr::get(op.getContext(), rows, keys);
  }
  if (least)
    return least;
  return op.emitOpError("expected tiles that fit ")
         << chip.name << ", with " << chip.sharedBytes
         << " bytes of shared memory, got head_dim "
         << op.getQ().getType().getDimSize(3) << " of " << element;
}

FailureOr<TilesAttr> unisparse::tilesOf(BlockSparseAttentionOp op,
                                        const NvidiaChip &chip) {
  Type element = op.getQ().getType().getElementType();
  int64_t bits = element.getIntOrFloatBitWidth();
  int64_t depth = tileColumns(op.getQ().getType().getDimSize(3)),
          width = tileColumns(op.getV().getType().getDimSize(3));
  auto costOf = [&](int64_t rows, int64_t keys) {
    Cost cost(rows);
    cost.tile(rows, depth, element);
    cost.streamed(keys, depth, element);
    cost.streamed(keys, width, element);
    if (holdsQueries(op.getQ().getType()))
      cost.fragment(depth, bits);
    cost.fragment(width, 32);
    cost.fragment(keys, 32);
    cost.fragment(keys, bits);
    return cost;
  };
  // Tiles no larger than what a block fills. Rows are warps, and what K and V
  // are read for: they shrink last, but for steps of 16 keys.
  SmallVector<std::pair<int64_t, int64_t>> shapes;
  int64_t mostRows = llvm::alignTo(op.getBlock().getQuery(), 16),
          mostKeys = llvm::alignTo(op.getBlock().getKey(), 16);
  auto consider = [&](int64_t rows, int64_t keys) {
    shapes.push_back({std::min(rows, mostRows), std::min(keys, mostKeys)});
  };
  for (int64_t rows : {128, 64, 32, 16})
    for (int64_t keys : {128, 64, 32})
      consider(rows, keys);
  for (int64_t rows : {128, 64, 32, 16})
    consider(rows, 16);
  return firstThatFits(op, costOf, shapes, chip);
}

static constexpr int64_t kScoreKeys[] = {128, 64, 32, 16};

FailureOr<TilesAttr> unisparse::tilesOf(BlockScoreOp op,
                                        const NvidiaChip &chip) {
  Type element = op.getQ().getType().getElementType();
  int64_t bits = element.getIntOrFloatBitWidth();
  int64_t depth = tileColumns(op.getQ().getType().getDimSize(3));
  BlockRows q(op.getBlock().getQuery() / op.getPooling().getQuery() +
              op.getPooling().getRepresentatives()),
      k(op.getBlock().getKey() / op.getPooling().getKey());
  if (q.padded > 128)
    return op.emitOpError("expected at most 128 composites in a query block at "
                          "the tile level, got ")
           << q.composites;
  if (k.padded > 256)
    return op.emitOpError("expected at most 256 composites in a key block at "
                          "the tile level, got ")
           << k.composites;
  auto costOf = [&](int64_t rows, int64_t keys) {
    Cost cost(rows);
    cost.tile(rows, depth, element);
    cost.streamed(keys, depth, element, /*stages=*/2);
    if (holdsQueries(op.getQ().getType()))
      cost.fragment(depth, bits);
    cost.fragment(keys, 32);
    return cost;
  };
  // Whole blocks, in sixteens of rows and keys.
  auto whole = [](int64_t about, int64_t block) {
    int64_t unit = block % 16 ? 2 * block : block;
    return std::max<int64_t>(1, about / unit) * unit;
  };
  // 64 by 128 first: two CTAs an SM hide each other's exponentials, and more
  // keys a step pay for what a step costs (benchmarks/NOTES.md).
  SmallVector<std::pair<int64_t, int64_t>> shapes;
  // f32, whose parts are split as they are multiplied, leaves registers for
  // fewer keys; long rows of it for the fewest only.
  ArrayRef<int64_t> keySizes{kScoreKeys};
  if (element.isF32())
    keySizes =
        keySizes.take_back(op.getQ().getType().getDimSize(3) > 64 ? 1 : 3);
  for (int64_t keys : keySizes)
    for (int64_t rows : {64, 32, 16})
      shapes.push_back({whole(rows, q.padded), whole(keys, k.padded)});
  return firstThatFits(op, costOf, shapes, chip);
}

//===----------------------------------------------------------------------===//
// Schedules
//===----------------------------------------------------------------------===//

static FailureOr<ScheduleAttr> specialised(BlockSparseAttentionOp op,
                                           ScheduleAttr asked,
                                           const NvidiaChip &chip,
                                           Reason &why) {
  FailureOr<AttendSchedule> schedule =
      attendScheduleOf(attendSpecOf(op), asked, chip.sharedBytes, why);
  return failed(schedule) ? FailureOr<ScheduleAttr>() : schedule->attr;
}

static FailureOr<ScheduleAttr> specialised(BlockScoreOp op, ScheduleAttr asked,
                                           const NvidiaChip &chip,
                                           Reason &why) {
  return scoreScheduleOf(op, asked, chip.sharedBytes, why);
}

template <typename OpTy>
static FailureOr<Attribute> scheduleFor(OpTy op, const NvidiaChip &chip) {
  Attribute given = op->getAttr(kScheduleAttr);
  if (isa_and_nonnull<TilesAttr>(given))
    return given;
  auto asked = dyn_cast_or_null<ScheduleAttr>(given);
  if (given && !asked)
    return op.emitOpError("expected ")
           << kScheduleAttr
           << " to be a #unitile.tiles or a #unitile.schedule, got " << given;
  if (asked && !chip.hasWgmma)
    return op.emitOpError("expected a chip with wgmma for ")
           << asked << ", got " << chip.name;
  if (chip.hasWgmma) {
    Reason why(op.getContext());
    FailureOr<ScheduleAttr> schedule = specialised(op, asked, chip, why);
    if (succeeded(schedule))
      return Attribute(*schedule);
    // A schedule that was asked for and cannot be had is an error. Without one
    // asked for, what has none keeps the portable kernel.
    if (asked)
      return op.emitOpError() << why.str();
    remark::missed(op.getLoc(), remark::RemarkOpts::name("PortableKernel")
                                    .category("unisparse-select-schedule"))
        << remark::reason("{0}", why.str());
  }
  FailureOr<TilesAttr> tiles = tilesOf(op, chip);
  return failed(tiles) ? FailureOr<Attribute>() : Attribute(*tiles);
}

FailureOr<Attribute> unisparse::scheduleOf(BlockScoreOp op,
                                           const NvidiaChip &chip) {
  return scheduleFor(op, chip);
}

FailureOr<Attribute> unisparse::scheduleOf(BlockSparseAttentionOp op,
                                           const NvidiaChip &chip) {
  return scheduleFor(op, chip);
}
