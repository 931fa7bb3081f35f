// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A modification of logits (M5) as text.
#ifndef UNISPARSE_TOOLS_COMMON_SCOREMOD_H
#define UNISPARSE_TOOLS_COMMON_SCOREMOD_H

#include "Computation.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Region.h"
#include "llvm/Support/Error.h"

namespace unisparse::tools {

/// The text that `alibi` stands for: of so many query heads, and whether a key
/// may be ahead of its query.
std::string alibi(int64_t heads, bool ahead);

/// The text that stands for biases by the distance alone.
constexpr llvm::StringLiteral kAlibi = "alibi";

/// The region whose body the text of the computation is, of %logit, %batch,
/// %head, %q, %k and the tables by their names, or that `alibi` stands for; of
/// an attention of so many query heads.
llvm::Expected<std::unique_ptr<mlir::Region>>
parseScoreMod(mlir::MLIRContext &context, const Computation &computation,
              int64_t heads);

} // namespace unisparse::tools

#endif // UNISPARSE_TOOLS_COMMON_SCOREMOD_H
