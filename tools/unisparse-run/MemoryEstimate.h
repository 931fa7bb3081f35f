// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a run will allocate, before it allocates any of it.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_MEMORYESTIMATE_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_MEMORYESTIMATE_H

#include "Tensors.h"
#include "mlir/IR/BuiltinOps.h"
#include "unisparse/Support/AvailableMemory.h"

namespace unisparse::run {

/// A sum, and what it is of. In floating point: sizes of a program need not be
/// sizes that there can be.
class MemoryEstimate {
public:
  /// `cause` is the option or the file to change.
  void add(llvm::StringRef what, llvm::StringRef cause, double bytes);
  double total() const;
  /// Error, about the cause of the largest part, where the sum is more than
  /// there is.
  llvm::Error check(const AvailableMemory &available) const;

private:
  struct Part {
    std::string what, cause;
    double bytes;
  };
  llvm::SmallVector<Part> parts;
};

/// Of the tensors of the input and of a selection.
void addInputs(MemoryEstimate &estimate, const Options &o, const Inputs &in);

/// Of the stages in `module`: what compiled code for this machine allocates on
/// `threads` threads with `strip` lanes in a strip, or, where the target is a
/// GPU, their results, which are copied here. docs/Architecture.md has the
/// formulas. Sizes that the program leaves open are the inputs'.
void addStages(MemoryEstimate &estimate, const Options &o, const Inputs &in,
               mlir::ModuleOp module, int threads, int64_t strip);

/// Of what is made of the results: densities and, where there is a selection,
/// that as a file has it.
void addReport(MemoryEstimate &estimate, const Options &o, const Inputs &in,
               bool selects);

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_MEMORYESTIMATE_H
