// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// How large what is static may be where it is lowered. Beyond these bounds
// nothing could run, and code that is unrolled for a size would not end.
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "unisparse/Dialect/UniSparse/Transforms/Contracts.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace unisparse;

namespace {

/// Tiles hold blocks of whole rows, in memory many times over and partly
/// unrolled.
constexpr int64_t kMostRows = 4096, kMostColumns = 4096;
/// What a grid holds along its second dimension.
constexpr int64_t kMostHeads = 65535;
/// Positions have 32 bits.
constexpr int64_t kMostTokens = INT32_MAX;

/// Positions and addresses of every tensor.
LogicalResult expectAddressable(Operation *op) {
  SmallVector<Type> types(op->getOperandTypes());
  llvm::append_range(types, op->getResultTypes());
  for (Type type : types) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor)
      continue;
    int64_t bytes = llvm::divideCeil(tensor.getElementTypeBitWidth(), 8);
    for (int64_t size : tensor.getShape()) {
      if (size > kMostTokens)
        return op->emitOpError()
               << "expected sizes below 2^31 to be lowered, got " << tensor;
      // Dynamic sizes are negative.
      if (llvm::MulOverflow(bytes, std::max<int64_t>(size, 1), bytes))
        return op->emitOpError() << "expected a tensor of less than 2^63 bytes "
                                    "to be lowered, got "
                                 << tensor;
    }
  }
  return success();
}

LogicalResult expectAtMost(Operation *op, int64_t most, StringRef what, Value v,
                           int64_t i) {
  auto type = cast<ShapedType>(v.getType());
  if (type.getDimSize(i) <= most)
    return success();
  return op->emitOpError() << "expected a " << what << " of at most " << most
                           << " to be lowered, got " << type;
}

LogicalResult expectRows(Operation *op, ValueRange tokens) {
  for (Value v : tokens)
    if (failed(expectAtMost(op, kMostHeads, "number of heads", v, 1)) ||
        failed(expectAtMost(op, kMostColumns, "head_dim", v, 3)))
      return failure();
  return success();
}

LogicalResult expectBlock(Operation *op, BlockAttr block) {
  if (block.getQuery() <= kMostRows && block.getKey() <= kMostRows)
    return success();
  return op->emitOpError() << "expected blocks of at most " << kMostRows << 'x'
                           << kMostRows << " to be lowered, got "
                           << block.getQuery() << 'x' << block.getKey();
}

LogicalResult expectBelow(Operation *op, StringRef what,
                          ArrayRef<int64_t> values) {
  for (int64_t value : values)
    if (value > kMostTokens)
      return op->emitOpError() << "expected " << what
                               << " below 2^31 to be lowered, got " << value;
  return success();
}

LogicalResult verifyOwn(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([](PoolOp op) -> LogicalResult {
        if (failed(expectRows(op, {op.getX()})))
          return failure();
        return expectBelow(op, "factors",
                           {int64_t(op.getBy()), int64_t(op.getHeads())});
      })
      .Case([](BlockScoreOp op) -> LogicalResult {
        if (failed(expectBlock(op, op.getBlock())) ||
            failed(expectBelow(op, "lengths", op.getStaticLengths())))
          return failure();
        return expectRows(op, {op.getQ(), op.getK()});
      })
      .Case([](BlockSelectOp op) -> LogicalResult {
        if (failed(expectBlock(op, op.getBlock())) ||
            failed(expectBelow(op, "lengths", op.getStaticLengths())) ||
            failed(expectAtMost(op, kMostHeads, "number of heads", op.getMass(),
                                1)))
          return failure();
        return op.getTopP() ? expectAtMost(op, kMostHeads, "number of shares",
                                           op.getTopP(), 0)
                            : success();
      })
      .Case([](BlockSparseAttentionOp op) -> LogicalResult {
        if (failed(expectBlock(op, op.getBlock())))
          return failure();
        return expectRows(op, {op.getQ(), op.getK(), op.getV()});
      })
      .Default(success());
}

} // namespace

LogicalResult unisparse::verifyBounds(Operation *op) {
  if (isa_and_nonnull<UniSparseDialect>(op->getDialect()) &&
      failed(expectAddressable(op)))
    return failure();
  return verifyOwn(op);
}
