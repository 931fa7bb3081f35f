// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Facts about NVIDIA chips, in one table: what a schedule may count on.
#ifndef UNISPARSE_TARGET_NVIDIA_H
#define UNISPARSE_TARGET_NVIDIA_H

#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <string>

namespace unisparse {

/// One chip as LLVM and ptxas name it.
struct NvidiaChip {
  llvm::StringLiteral name;
  /// The PTX version to emit, as LLVM's feature: the least that has the chip's
  /// instructions. An older one is a fatal error inside LLVM, so pairs are
  /// taken from here and never from a user.
  llvm::StringLiteral ptx;
  /// Shared memory that one block may ask for, in bytes (CUDA C++ Programming
  /// Guide, "Technical Specifications per Compute Capability").
  int64_t sharedBytes;
  /// 32-bit registers of a thread that a schedule may plan with. 255 is what
  /// hardware has; what ptxas needs for addresses beside fragments was found by
  /// assembling (it spills first where this is too high).
  int64_t plannedRegisters;
  /// wgmma, TMA and setmaxnreg.
  bool hasWgmma;

  /// 10 * major + minor: 90 of sm_90a.
  int64_t capability() const;
  /// griddepcontrol (PTX ISA: of sm_90 on).
  bool hasDependentLaunch() const { return capability() >= 90; }
  /// Whether code for it runs on that capability alone, as its "a" says.
  bool isExact() const { return name.ends_with("a"); }
};

/// The least CUDA version of a driver that takes PTX of a version, both as the
/// driver and LLVM write them: 12000 of 80 for CUDA 12.0 and PTX 8.0. 0 where
/// the table does not have the version.
int64_t leastDriverOf(int64_t ptxVersion);

/// All chips that kernels are compiled for.
llvm::ArrayRef<NvidiaChip> nvidiaChips();

/// "sm_80, sm_86, ...", for messages.
std::string nvidiaChipNames();

/// The chip of that name, or null.
const NvidiaChip *findNvidiaChip(llvm::StringRef name);

/// The chip of that name, or an error that lists all names.
mlir::FailureOr<const NvidiaChip *>
requireNvidiaChip(llvm::StringRef name,
                  llvm::function_ref<mlir::InFlightDiagnostic()> emitError);

/// The chip to compile for where PTX is to run on a device of that capability
/// (10 * major + minor), or null.
const NvidiaChip *nvidiaChipFor(int64_t capability);

} // namespace unisparse

#endif // UNISPARSE_TARGET_NVIDIA_H
