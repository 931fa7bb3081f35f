// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What people call the tensors of their programs.
#ifndef UNISPARSE_DIALECT_UNISPARSE_IR_NAMES_H
#define UNISPARSE_DIALECT_UNISPARSE_IR_NAMES_H

#include "mlir/IR/Value.h"
#include <optional>
#include <string>

namespace unisparse {

/// Argument and result attribute that names a tensor for people.
inline constexpr llvm::StringLiteral kNameAttr = "unisparse.name";

/// The function's argument that a tensor is, if only cast.
std::optional<unsigned> argumentNumberOf(mlir::Value tensor);

/// The name of the argument that a tensor is, by its attribute or else its
/// location; empty where it has none.
std::string argumentNameOf(mlir::Value tensor);

/// That, or what the location of a program's own op says that computes it, or
/// else `otherwise`. Results of unisparse ops go by it: stages share the
/// location of the op that they were. A null tensor has no name.
std::string tensorNameOf(mlir::Value tensor, llvm::StringRef otherwise = "");

} // namespace unisparse

#endif // UNISPARSE_DIALECT_UNISPARSE_IR_NAMES_H
