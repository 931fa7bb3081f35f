// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Kernels.h"
#include "Schedule.h"
#include "unisparse/Conversion/Passes.h"
#include "llvm/ADT/TypeSwitch.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSESELECTSCHEDULE
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;

namespace {

struct SelectSchedule
    : unisparse::impl::UniSparseSelectScheduleBase<SelectSchedule> {
  using Base::Base;
  void runOnOperation() override {
    FailureOr<const NvidiaChip *> known =
        requireNvidiaChip(chip, [&] { return getOperation()->emitError(); });
    if (failed(known))
      return signalPassFailure();
    WalkResult walked = getOperation()->walk([&](Operation *op) {
      auto choose = [&](auto typed) {
        FailureOr<Attribute> schedule = failure();
        if (succeeded(checkHeadDims(typed)))
          schedule = scheduleOf(typed, **known);
        if (failed(schedule))
          return WalkResult::interrupt();
        op->setAttr(unitile::kScheduleAttr, *schedule);
        return WalkResult::advance();
      };
      return llvm::TypeSwitch<Operation *, WalkResult>(op)
          .Case<BlockScoreOp, BlockSparseAttentionOp>(choose)
          .Default(WalkResult::advance());
    });
    if (walked.wasInterrupted())
      signalPassFailure();
  }
};

} // namespace
