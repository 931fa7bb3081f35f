// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Properties of ops that earlier versions of the dialect wrote otherwise.

#include "mlir/Bytecode/BytecodeImplementation.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/Versioning.h"

using namespace mlir;
using namespace unisparse::unitile;

/// Products have a place for an atom from this version on.
static constexpr uint64_t kAtoms = 3;
/// Of MLIR: numbers of operands are no attribute any more.
static constexpr uint64_t kNativeSegments = 6;

template <typename Properties>
static LogicalResult readProduct(DialectBytecodeReader &reader,
                                 Properties &properties) {
  FailureOr<const DialectVersion *> version =
      reader.getDialectVersion<UniTileDialect>();
  bool atoms =
      succeeded(version) &&
      static_cast<const unisparse::NumberedVersion *>(*version)->number >=
          kAtoms;
  if (atoms && failed(reader.readOptionalAttribute(properties.atom)))
    return failure();
  return reader.readOptionalAttribute(properties.by_rows);
}

template <typename Properties>
static void writeProduct(DialectBytecodeWriter &writer,
                         const Properties &properties) {
  writer.writeOptionalAttribute(properties.atom);
  writer.writeOptionalAttribute(properties.by_rows);
}

LogicalResult MmaOp::readProperties(DialectBytecodeReader &reader,
                                    OperationState &state) {
  return readProduct(reader, state.getOrAddProperties<Properties>());
}

void MmaOp::writeProperties(DialectBytecodeWriter &writer) {
  writeProduct(writer, getProperties());
}

LogicalResult MmaStartOp::readProperties(DialectBytecodeReader &reader,
                                         OperationState &state) {
  auto &properties = state.getOrAddProperties<Properties>();
  if (failed(readProduct(reader, properties)))
    return failure();
  MutableArrayRef<int32_t> segments(properties.operandSegmentSizes);
  if (reader.getBytecodeVersion() >= kNativeSegments)
    return reader.readSparseArray(segments);
  DenseI32ArrayAttr attr;
  if (failed(reader.readAttribute(attr)))
    return failure();
  if (attr.size() != static_cast<int64_t>(segments.size()))
    return reader.emitError() << "expected " << segments.size()
                              << " numbers of operands, got " << attr.size();
  llvm::copy(attr.asArrayRef(), segments.begin());
  return success();
}

void MmaStartOp::writeProperties(DialectBytecodeWriter &writer) {
  Properties &properties = getProperties();
  writeProduct(writer, properties);
  ArrayRef<int32_t> segments(properties.operandSegmentSizes);
  if (writer.getBytecodeVersion() >= kNativeSegments)
    writer.writeSparseArray(segments);
  else
    writer.writeAttribute(DenseI32ArrayAttr::get(getContext(), segments));
}
