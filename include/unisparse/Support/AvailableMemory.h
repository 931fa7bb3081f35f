// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_SUPPORT_AVAILABLEMEMORY_H
#define UNISPARSE_SUPPORT_AVAILABLEMEMORY_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>

namespace unisparse {

/// Memory that this process can still allocate, and what bounds it.
struct AvailableMemory {
  uint64_t bytes = UINT64_MAX;
  /// "physical memory", "the limit of address space", "the control group".
  llvm::StringRef bound = "physical memory";
};

/// The least of what the system has available (MemAvailable), what limits of
/// the process (RLIMIT_AS, RLIMIT_DATA) leave, and what its control groups
/// leave, those above it included. What the system does not say is no bound.
AvailableMemory readAvailableMemory();

/// What the control groups leave: `groups` is the text of /proc/self/cgroup,
/// `root` the folder where the groups are mounted. For tests.
uint64_t readControlGroups(llvm::StringRef groups, llvm::StringRef root);

} // namespace unisparse

#endif // UNISPARSE_SUPPORT_AVAILABLEMEMORY_H
