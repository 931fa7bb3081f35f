// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "unisparse/Transforms/Passes.h"

namespace unisparse {
#define GEN_PASS_DEF_UNISPARSEDYNAMICSCHEDULE
#include "unisparse/Transforms/Passes.h.inc"
} // namespace unisparse

using namespace mlir;

namespace {
struct DynamicSchedule
    : unisparse::impl::UniSparseDynamicScheduleBase<DynamicSchedule> {
  void runOnOperation() override {
    getOperation()->walk([](omp::WsloopOp loop) {
      if (!loop.getScheduleKind())
        loop.setScheduleKind(omp::ClauseScheduleKind::Dynamic);
    });
  }
};
} // namespace
