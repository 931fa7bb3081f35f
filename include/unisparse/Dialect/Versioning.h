// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Versions of the dialects in bytecode. Attributes, types and properties are
// written in their textual form, which a version covers too.
#ifndef UNISPARSE_DIALECT_VERSIONING_H
#define UNISPARSE_DIALECT_VERSIONING_H

#include "mlir/Bytecode/BytecodeImplementation.h"

namespace unisparse {

struct NumberedVersion : mlir::DialectVersion {
  explicit NumberedVersion(uint64_t number) : number(number) {}
  uint64_t number;
};

/// Writes and reads one number. A file of a later version is refused in words;
/// one of an earlier version goes through `upgrade`, once for each version in
/// between. A file without a version is one from before there were any, which
/// is read as it is.
class NumberedBytecode : public mlir::BytecodeDialectInterface {
public:
  NumberedBytecode(mlir::Dialect *dialect, uint64_t current)
      : BytecodeDialectInterface(dialect), current(current) {}

  void writeVersion(mlir::DialectBytecodeWriter &writer) const override {
    writer.writeVarInt(current);
  }

  std::unique_ptr<mlir::DialectVersion>
  readVersion(mlir::DialectBytecodeReader &reader) const override {
    uint64_t number;
    if (failed(reader.readVarInt(number)))
      return nullptr;
    if (number > current) {
      reader.emitError() << "expected version " << current
                         << " or earlier of dialect "
                         << getDialect()->getNamespace() << ", got " << number
                         << ", which a later UniSparse wrote";
      return nullptr;
    }
    return std::make_unique<NumberedVersion>(number);
  }

  mlir::LogicalResult
  upgradeFromVersion(mlir::Operation *top,
                     const mlir::DialectVersion &version) const override {
    for (uint64_t from = static_cast<const NumberedVersion &>(version).number;
         from < current; ++from)
      if (failed(upgrade(top, from)))
        return mlir::failure();
    return mlir::success();
  }

protected:
  /// Turns what version `from` wrote into what version `from + 1` would have.
  virtual mlir::LogicalResult upgrade(mlir::Operation *top,
                                      uint64_t from) const {
    return mlir::success();
  }

private:
  uint64_t current;
};

} // namespace unisparse

#endif // UNISPARSE_DIALECT_VERSIONING_H
