// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The tables that a modification's text reads (M5): inputs with names.
#ifndef UNISPARSE_TOOLS_COMMON_SCORETABLES_H
#define UNISPARSE_TOOLS_COMMON_SCORETABLES_H

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace unisparse::tools {

/// `bias:4x?xf32`: an input that a text calls %bias.
struct ScoreTable {
  std::string name;
  llvm::SmallVector<int64_t, 4> shape; ///< Dynamic for `?`.
  std::string element;                 ///< f32, f16, bf16 or i32

  mlir::RankedTensorType type(mlir::MLIRContext *context) const;
};

/// `slopes:?xf32,bias:4x?xf32`
llvm::Error parseScoreTables(llvm::StringRef text,
                             std::vector<ScoreTable> &tables);

} // namespace unisparse::tools

#endif // UNISPARSE_TOOLS_COMMON_SCORETABLES_H
