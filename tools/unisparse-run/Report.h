// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a run tells: figures, files, pictures.
#ifndef UNISPARSE_TOOLS_UNISPARSE_RUN_REPORT_H
#define UNISPARSE_TOOLS_UNISPARSE_RUN_REPORT_H

#include "Execute.h"

namespace unisparse::run {

struct Comparison {
  double maxAbs = 0, maxRel = 0, l2 = 0, denseSeconds = 0, speedup = 0;
};

struct KernelSchedule {
  std::string kernel, schedule;
};

struct Report {
  Timing median;
  double compileSeconds = 0;
  int threads = 1;
  std::string device, chip;            ///< Of a GPU, else empty.
  std::vector<KernelSchedule> kernels; ///< Of a GPU.
  size_t deviceBytes = 0;
  size_t peakBytes = 0, runBytes = 0;
  double density = 1;
  std::vector<double> densityPerHead;
  int64_t selected = 0, candidates = 0;
  std::optional<Comparison> comparison;
};

/// A selection as a file has it: expanded to all heads of q, rows of packed
/// sequences one after another. The indices are there where a file is written.
struct FileSelection {
  llvm::SmallVector<int64_t, 4> countsShape, indicesShape;
  std::vector<int32_t> counts, indices;
};
/// What types could not say of a program's results: sizes that are known only
/// now, and that no count is larger than a row.
llvm::Error checkOutputs(const Options &o, const Inputs &in,
                         const Outputs &out);

FileSelection fileSelection(const Options &o, const Inputs &in,
                            const Outputs &out);

/// Fills in densities and block counts from a selection (L6).
void countBlocks(const Options &o, const Inputs &in, const FileSelection &s,
                 Report &report);

/// The largest absolute difference, the largest of a row's difference over its
/// largest reference value, and the Euclidean norm of all differences over that
/// of the reference. Infinite where a difference is no number.
Comparison compareOutputs(const Result &got, const Result &reference);

llvm::Error writeOutput(const Options &o, const Inputs &in, const Outputs &out,
                        const FileSelection &s);
llvm::Error writeMap(const Options &o, const Inputs &in, const FileSelection &s,
                     const Report &report);
void printJSON(const Options &o, const Inputs &in, const Report &report);
void printTable(const Options &o, const Inputs &in, const Report &report);

} // namespace unisparse::run

#endif // UNISPARSE_TOOLS_UNISPARSE_RUN_REPORT_H
