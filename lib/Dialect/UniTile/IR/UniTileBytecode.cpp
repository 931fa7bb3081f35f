// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Properties of ops that earlier versions of the dialect wrote otherwise.

#include "mlir/Bytecode/BytecodeImplementation.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "unisparse/Dialect/Versioning.h"

using namespace mlir;
using namespace unisparse::unitile;

/// Products have a place for an atom from this version on,
static constexpr uint64_t kAtoms = 3;
/// and softmaxes one for a settled reference from this one.
static constexpr uint64_t kSettled = 5;
/// Of MLIR: numbers of operands are no attribute any more.
static constexpr uint64_t kNativeSegments = 6;

static bool isFrom(DialectBytecodeReader &reader, uint64_t least) {
  FailureOr<const DialectVersion *> version =
      reader.getDialectVersion<UniTileDialect>();
  return succeeded(version) &&
         static_cast<const unisparse::NumberedVersion *>(*version)->number >=
             least;
}

template <typename Properties>
static LogicalResult readProduct(DialectBytecodeReader &reader,
                                 Properties &properties) {
  if (isFrom(reader, kAtoms) &&
      failed(reader.readOptionalAttribute(properties.atom)))
    return failure();
  return reader.readOptionalAttribute(properties.by_rows);
}

template <typename Properties>
static void writeProduct(DialectBytecodeWriter &writer,
                         const Properties &properties) {
  writer.writeOptionalAttribute(properties.atom);
  writer.writeOptionalAttribute(properties.by_rows);
}

template <typename Properties>
static LogicalResult readReference(DialectBytecodeReader &reader,
                                   Properties &properties) {
  if (failed(reader.readAttribute(properties.scale)))
    return failure();
  return isFrom(reader, kSettled)
             ? reader.readOptionalAttribute(properties.settled)
             : success();
}

template <typename Properties>
static void writeReference(DialectBytecodeWriter &writer,
                           const Properties &properties) {
  writer.writeAttribute(properties.scale);
  writer.writeOptionalAttribute(properties.settled);
}

LogicalResult ReferenceOp::readProperties(DialectBytecodeReader &reader,
                                          OperationState &state) {
  return readReference(reader, state.getOrAddProperties<Properties>());
}

void ReferenceOp::writeProperties(DialectBytecodeWriter &writer) {
  writeReference(writer, getProperties());
}

LogicalResult SoftmaxOp::readProperties(DialectBytecodeReader &reader,
                                        OperationState &state) {
  auto &properties = state.getOrAddProperties<Properties>();
  if (failed(readReference(reader, properties)))
    return failure();
  return reader.readOptionalAttribute(properties.speculative);
}

void SoftmaxOp::writeProperties(DialectBytecodeWriter &writer) {
  writeReference(writer, getProperties());
  writer.writeOptionalAttribute(getProperties().speculative);
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
