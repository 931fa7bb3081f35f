// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// From a module that went through the CPU pipeline to a shared library that
// unisparse-rt/cpu.h opens.
#ifndef UNISPARSE_TOOLS_UNISPARSE_COMPILE_HOSTLIBRARY_H
#define UNISPARSE_TOOLS_UNISPARSE_COMPILE_HOSTLIBRARY_H

#include "mlir/IR/BuiltinOps.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "llvm/Support/Error.h"

namespace unisparse::compile {

/// The levels of CPUs that can be compiled for on this machine, worst first.
llvm::ArrayRef<llvm::StringRef> cpuLevels();

/// The vectors that a level has.
VectorBits vectorsOf(llvm::StringRef level);
/// Whether they have AVX512-BF16.
bool multipliesBF16(llvm::StringRef level);

/// The bytes of the library of `module`, in LLVM's dialect, whose function
/// `entry` has a C interface, optimized by LLVM as `optLevel` says, 0 to 3.
/// `linker` is a program that links as ld does; empty, it is searched for.
llvm::Expected<std::string> buildHostLibrary(mlir::ModuleOp module,
                                             llvm::StringRef entry,
                                             llvm::StringRef level,
                                             int64_t optLevel,
                                             llvm::StringRef linker);

} // namespace unisparse::compile

#endif // UNISPARSE_TOOLS_UNISPARSE_COMPILE_HOSTLIBRARY_H
