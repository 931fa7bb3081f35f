// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Properties in bytecode: attributes in the order in which they came into
// being, so that a file of an earlier version ends where its attributes do.
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/Versioning.h"

using namespace mlir;
using namespace unisparse;

namespace {

/// The version of the dialect that a file is of; 1 where it says none.
FailureOr<uint64_t> versionOf(DialectBytecodeReader &reader) {
  FailureOr<const DialectVersion *> version =
      reader.getDialectVersion<UniSparseDialect>();
  if (failed(version))
    return uint64_t(1);
  return static_cast<const NumberedVersion *>(*version)->number;
}

/// Reads what `describe` names.
struct Reader {
  DialectBytecodeReader &from;
  uint64_t version;
  LogicalResult result = success();

  template <typename Attr>
  void required(Attr &attr) {
    if (succeeded(result))
      result = from.readAttribute(attr);
  }
  template <typename Attr>
  void optional(Attr &attr) {
    if (succeeded(result))
      result = from.readOptionalAttribute(attr);
  }
  template <size_t n>
  void segments(std::array<int32_t, n> &sizes) {
    if (succeeded(result))
      result = from.readSparseArray(MutableArrayRef<int32_t>(sizes));
  }
  bool has(uint64_t since) const { return version >= since; }
};

/// Writes what `describe` names.
struct Writer {
  DialectBytecodeWriter &to;

  void required(Attribute attr) { to.writeAttribute(attr); }
  void optional(Attribute attr) { to.writeOptionalAttribute(attr); }
  template <size_t n>
  void segments(std::array<int32_t, n> &sizes) {
    to.writeSparseArray(ArrayRef<int32_t>(sizes));
  }
  bool has(uint64_t) const { return true; }
};

template <typename IO>
void describe(IO &io, PoolOp::Properties &p) {
  io.required(p.by);
  io.optional(p.heads);
  if (!io.has(2))
    return;
  for (IntegerAttr *attr : {&p.representatives, &p.block, &p.spread, &p.norms})
    io.optional(*attr);
  io.optional(p.factor);
}

/// What modifies logits, of the ops that have it.
template <typename IO, typename Properties>
void describeModified(IO &io, Properties &p) {
  if (!io.has(3))
    return;
  io.optional(p.softcap);
  io.optional(p.window);
}

template <typename IO>
void describe(IO &io, BlockScoreOp::Properties &p) {
  io.optional(p.agg);
  io.optional(p.alpha);
  io.required(p.block);
  io.optional(p.causal);
  io.required(p.pooling);
  io.optional(p.scale);
  io.optional(p.share);
  io.required(p.static_lengths);
  io.segments(p.operandSegmentSizes);
  describeModified(io, p);
}

template <typename IO>
void describe(IO &io, BlockSelectOp::Properties &p) {
  io.required(p.block);
  io.optional(p.causal);
  io.required(p.rule);
  io.required(p.static_lengths);
  io.segments(p.operandSegmentSizes);
  if (io.has(3))
    io.optional(p.window);
}

template <typename IO>
void describe(IO &io, BlockSparseAttentionOp::Properties &p) {
  io.required(p.block);
  io.optional(p.causal);
  io.optional(p.return_lse);
  io.optional(p.scale);
  io.segments(p.operandSegmentSizes);
  describeModified(io, p);
}

template <typename IO>
void describe(IO &io, AttentionOp::Properties &p) {
  io.optional(p.agg);
  io.optional(p.alpha);
  io.required(p.block);
  io.optional(p.causal);
  io.required(p.pooling);
  io.optional(p.return_lse);
  io.required(p.rule);
  io.optional(p.scale);
  io.optional(p.share);
  io.segments(p.operandSegmentSizes);
  describeModified(io, p);
  if (io.has(4))
    io.optional(p.estimate_with_region);
}

template <typename OpTy>
LogicalResult read(DialectBytecodeReader &reader, OperationState &state) {
  FailureOr<uint64_t> version = versionOf(reader);
  if (failed(version))
    return failure();
  Reader io{reader, *version};
  describe(io, state.getOrAddProperties<typename OpTy::Properties>());
  return io.result;
}

template <typename OpTy>
void write(OpTy op, DialectBytecodeWriter &writer) {
  Writer io{writer};
  describe(io, op.getProperties());
}

} // namespace

LogicalResult PoolOp::readProperties(DialectBytecodeReader &reader,
                                     OperationState &state) {
  return read<PoolOp>(reader, state);
}
LogicalResult BlockScoreOp::readProperties(DialectBytecodeReader &reader,
                                           OperationState &state) {
  return read<BlockScoreOp>(reader, state);
}
LogicalResult BlockSelectOp::readProperties(DialectBytecodeReader &reader,
                                            OperationState &state) {
  return read<BlockSelectOp>(reader, state);
}
LogicalResult
BlockSparseAttentionOp::readProperties(DialectBytecodeReader &reader,
                                       OperationState &state) {
  return read<BlockSparseAttentionOp>(reader, state);
}
LogicalResult AttentionOp::readProperties(DialectBytecodeReader &reader,
                                          OperationState &state) {
  return read<AttentionOp>(reader, state);
}

void PoolOp::writeProperties(DialectBytecodeWriter &w) { write(*this, w); }
void BlockScoreOp::writeProperties(DialectBytecodeWriter &w) {
  write(*this, w);
}
void BlockSelectOp::writeProperties(DialectBytecodeWriter &w) {
  write(*this, w);
}
void BlockSparseAttentionOp::writeProperties(DialectBytecodeWriter &w) {
  write(*this, w);
}
void AttentionOp::writeProperties(DialectBytecodeWriter &w) { write(*this, w); }
