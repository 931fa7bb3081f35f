// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Why something cannot be had, as a value.
#ifndef UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_REASON_H
#define UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_REASON_H

#include "mlir/IR/Diagnostics.h"

namespace unisparse {

/// Written as a diagnostic is, and emitted by nobody: whoever asked decides
/// whether it becomes an error or a remark. (To catch an emitted one takes a
/// handler of the whole context, which hears other threads' diagnostics too.)
class Reason {
public:
  explicit Reason(mlir::MLIRContext *context)
      : text(mlir::UnknownLoc::get(context), mlir::DiagnosticSeverity::Remark) {
  }

  template <typename Part>
  Reason &operator<<(Part &&part) {
    text << std::forward<Part>(part);
    return *this;
  }
  std::string str() const { return text.str(); }

  operator llvm::LogicalResult() const { return mlir::failure(); }
  template <typename T>
  operator mlir::FailureOr<T>() const {
    return mlir::failure();
  }

private:
  mlir::Diagnostic text;
};

} // namespace unisparse

#endif // UNISPARSE_LIB_CONVERSION_UNISPARSETOUNITILE_REASON_H
