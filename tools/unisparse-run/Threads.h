// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// OpenMP's threads: how many there are to be, and that they start.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_THREADS_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_THREADS_H

#include "llvm/Support/Error.h"
#include <cstdint>
#include <optional>

namespace unisparse::run {

/// Starts the threads that compiled code will run on: `asked` of them, or as
/// many as OpenMP's variables say. Returns how many there are, which
/// OMP_THREAD_LIMIT may lower. Called once, before anything else of OpenMP is:
/// its runtime ends the process over variables and threads that cannot be.
llvm::Expected<int> startThreads(std::optional<int64_t> asked);

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_THREADS_H
