// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The attend kernel for chips with wgmma and a copy engine: the same
// arithmetic as AttendKernel's, on another schedule.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERATTENDKERNEL_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERATTENDKERNEL_H

#include "AttendKernel.h"

namespace unisparse {

/// How a row's softmax reference follows its scores.
enum class SoftmaxReference {
  /// The largest score so far, as in the portable kernel: O is rescaled in
  /// every block.
  Running,
  /// The largest score of the row's first block. Later blocks only check that
  /// their sums stay below 2^64; P, O and the sum are floating-point and share
  /// the reference, so a low one costs no precision. A block that fails moves
  /// the reference and is taken again, its scores still in registers.
  Speculative,
};

/// All that is decided about when things happen, in one place: change a number
/// here and the page follows.
struct HopperSchedule {
  /// Pairs of a K and a V tile between the producer and the consumers.
  int64_t stages = 3;
  /// Query rows of a warpgroup: wgmma's M. A block has blockQ / 64 of them.
  static constexpr int64_t rowsPerGroup = 64;
  /// Registers of a thread by role; 0 leaves all with the same number.
  /// (1 + groups) * 128 threads share 65536.
  int64_t producerRegisters = 40, consumerRegisters = 232;
  SoftmaxReference reference = SoftmaxReference::Speculative;
  /// Start a block's scores together with the previous block's output, so that
  /// its exponentials run while the tensor cores work; also across rows, whose
  /// blocks form one stream. Off: one after the other.
  bool overlap = true;

  /// What a launch asks for, as unitile-allocate-shared places it.
  int64_t sharedBytes(const AttendSpec &spec) const;
};

/// The schedule for a kernel, or a failure that says why this kernel has none.
/// `sharedBytes` is what a block may have.
mlir::FailureOr<HopperSchedule>
hopperScheduleOf(const AttendSpec &spec, int64_t sharedBytes,
                 llvm::function_ref<mlir::InFlightDiagnostic()> emitError);

/// Arguments of the kernel, in order: tensor maps of q, k, v and o (128 bytes by
/// value each; [head_dim, length, batch * heads], boxes of 64 columns and, for
/// q blockQ, k and v blockK, o 64 rows, 128-byte swizzle); pointers to lse, then
/// counts and indices, where the spec has them, and to one i32 that is 0 when
/// the kernel starts; then i32 Lq, Lk, query block slots, key blocks, batch.
/// Any number of blocks of threads along x, one for each multiprocessor at most.
mlir::gpu::GPUFuncOp buildHopperAttendKernel(mlir::OpBuilder &builder,
                                             mlir::Location loc,
                                             mlir::StringRef name,
                                             const AttendSpec &spec,
                                             const HopperSchedule &schedule);

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_HOPPERATTENDKERNEL_H
