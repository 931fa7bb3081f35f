//===- SelectionMap.h - A picture of a block selection ----------*- C++ -*-===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Draws which key blocks each head selected, one panel per head, as a PNG.
//
//===----------------------------------------------------------------------===//

#ifndef UNISPARSE_SUPPORT_SELECTIONMAP_H
#define UNISPARSE_SUPPORT_SELECTIONMAP_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>

namespace unisparse {

/// The most heads of a map: panels become too small to be read beyond this.
inline constexpr int64_t kMaxMapHeads = 1024;
/// The most query blocks of a map.
inline constexpr int64_t kMaxMapRows = 1 << 20;

/// A selection (L6) with what is needed to label it. The arrays are the
/// caller's.
struct SelectionMap {
  /// H, at most kMaxMapHeads. A batch is drawn as batch * H heads.
  int64_t heads = 0;
  /// R, the query blocks: ceil(lq / queryBlock), at most kMaxMapRows.
  int64_t rows = 0;
  /// J, the room for indices per row.
  int64_t maxBlocks = 0;
  /// The key blocks: ceil(lk / keyBlock).
  int64_t keyBlocks = 0;
  /// Tokens per block.
  int64_t queryBlock = 0;
  int64_t keyBlock = 0;
  /// Tokens.
  int64_t lq = 0;
  int64_t lk = 0;
  bool causal = false;
  /// [heads * rows]: how many blocks a row selected.
  llvm::ArrayRef<int32_t> counts;
  /// [heads * rows * maxBlocks]: which, ascending within a row.
  llvm::ArrayRef<int32_t> indices;
  /// [rows]: how many key blocks a row may see (L1).
  llvm::ArrayRef<int64_t> candidates;
  /// [rows]: the first of them, under a window (M2); empty where it is block 0.
  llvm::ArrayRef<int64_t> firstCandidates;
  /// [heads]: what the panels are labelled with.
  llvm::ArrayRef<double> densityPerHead;
  /// E.g. "sample.safetensors  top-p 0.9  block 128x128".
  std::string title;
};

/// Draws `map` to a PNG of at most 4000 x 4000 pixels and writes it with
/// writeFileAtomically. Blocks smaller than a pixel are averaged by area, and
/// drawn darker than their share, so that a lone column stays visible. A map
/// whose fields contradict each other is an error of the form "PATH: what,
/// expected X, got Y".
llvm::Error writeSelectionMap(llvm::StringRef path, const SelectionMap &map);

} // namespace unisparse

#endif // UNISPARSE_SUPPORT_SELECTIONMAP_H
