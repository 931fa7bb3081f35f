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
    bool isSelected = false;
    Operation *page = nullptr;
    WalkResult walked = getOperation()->walk([&](Operation *op) {
      auto choose = [&](auto typed) {
        isSelected = true;
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
          .Case([](AttentionOp op) {
            op.emitOpError("expected to be decomposed before a schedule is "
                           "selected; run unisparse-decompose-attention");
            return WalkResult::interrupt();
          })
          .Case([&](gpu::GPUFuncOp kernel) {
            if (kernel->hasAttr(unitile::kScheduleAttr))
              page = kernel;
            return WalkResult::advance();
          })
          .Default(WalkResult::advance());
    });
    if (walked.wasInterrupted())
      return signalPassFailure();
    if (page && !isSelected)
      page->emitRemark("expected stages to select schedules of, got pages, "
                       "which have theirs; run it before "
                       "convert-unisparse-to-unitile");
  }
};

} // namespace
