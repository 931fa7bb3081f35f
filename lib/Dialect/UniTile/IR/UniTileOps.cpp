// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/Builders.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"

using namespace mlir;
using namespace unisparse::unitile;

#define GET_OP_CLASSES
#include "unisparse/Dialect/UniTile/IR/UniTileOps.cpp.inc"

/// Rows of a fragment or of rows.
static int64_t rowsOf(Type type) {
  if (auto fragment = dyn_cast<FragmentType>(type))
    return fragment.getRows();
  return cast<RowsType>(type).getRows();
}

static Type elementOf(Type type) {
  if (auto fragment = dyn_cast<FragmentType>(type))
    return fragment.getElementType();
  return cast<RowsType>(type).getElementType();
}

LogicalResult AllocOp::verify() {
  // The swizzle repeats every 8 rows of 128 bytes.
  if (getOffset() && (*getOffset() < 0 || *getOffset() % 1024 != 0))
    return emitOpError("expected an offset that is a multiple of 1024, got ")
           << *getOffset();
  return success();
}

LogicalResult FillOp::verify() {
  if (getValue().getType() == elementOf(getResult().getType()))
    return success();
  return emitOpError("expected a value of type ")
         << elementOf(getResult().getType()) << ", got "
         << getValue().getType();
}

/// Rows and element type of a tile in registers. No type is made to compare
/// with: a tile may have rows that no fragment has.
static LogicalResult verifyRows(Operation *op, SharedType tile,
                                FragmentType got) { // [U1]
  if (got.getRows() != tile.getRows())
    return op->emitOpError("[U1] expected a fragment with the tile's ")
           << tile.getRows() << " rows, got " << got;
  if (got.getElementType() != tile.getElementType())
    return op->emitOpError("[U1] expected a fragment with the tile's element "
                           "type ")
           << tile.getElementType() << ", got " << got;
  return success();
}

LogicalResult LoadOp::verify() {
  SharedType tile = getTile().getType();
  FragmentType result = getResult().getType();
  if (failed(verifyRows(*this, tile, result)))
    return failure();
  if (result.getColumns() != tile.getColumns()) // [U1]
    return emitOpError("[U1] expected a fragment with the tile's ")
           << tile.getColumns() << " columns, got " << result;
  return success();
}

LogicalResult WriteOp::verify() {
  SharedType tile = getTile().getType();
  FragmentType value = getValue().getType();
  if (value.getColumns() > tile.getColumns()) // [U1]
    return emitOpError("[U1] expected at most ")
           << tile.getColumns() << " columns, got " << value.getColumns();
  return verifyRows(*this, tile, value);
}

LogicalResult TensorStoreOp::verify() {
  int64_t columns = getTile().getType().getColumns();
  if (getColumns().value_or(1) > uint64_t(columns))
    return emitOpError("expected at most ")
           << columns << " columns, got " << *getColumns();
  return success();
}

/// U2 to U4 of a product.
template <typename AType, typename BType>
static LogicalResult verifyProduct(Operation *op, AType a, BType b,
                                   FragmentType acc, bool byRows) {
  if (a.getElementType() != b.getElementType()) // [U2]
    return op->emitOpError("[U2] expected a with b's element type ")
           << b.getElementType() << ", got " << a.getElementType();
  if (!acc.getElementType().isF32()) // [U2]
    return op->emitOpError("[U2] expected an f32 accumulator, got ")
           << acc.getElementType();
  if (a.getRows() != acc.getRows()) // [U3]
    return op->emitOpError("[U3] expected a with the accumulator's ")
           << acc.getRows() << " rows, got " << a.getRows();
  int64_t summed = byRows ? b.getRows() : b.getColumns(),
          kept = byRows ? b.getColumns() : b.getRows();
  if (a.getColumns() != summed) // [U4]
    return op->emitOpError("[U4] expected a with ")
           << summed << " columns to go with b, got " << a.getColumns();
  if (acc.getColumns() != kept) // [U4]
    return op->emitOpError("[U4] expected an accumulator with ")
           << kept << " columns to go with b, got " << acc.getColumns();
  if (!b.getElementType().isF32() && b.getRows() % 16) // [U4]
    return op->emitOpError("[U4] expected a multiple of 16 rows of ")
           << b.getElementType() << " in b, got " << b.getRows();
  return success();
}

/// [U37] The instruction can do it, and the operands lie as it has them.
template <typename Product>
static LogicalResult verifyAtom(Product op, bool asynchronous,
                                FragmentType sums) {
  std::optional<MmaAtomInterface> atom = op.getAtom();
  if (!atom)
    return success();
  Type element = op.getB().getType().getElementType();
  if (!atom->takes(element))
    return op.emitOpError("[U37] expected an atom that takes ")
           << element << ", got " << *atom;
  if (atom->isAsynchronous() != asynchronous)
    return op.emitOpError("[U37] expected an atom that ")
           << (asynchronous ? "leaves its sums in flight"
                            : "waits for its sums")
           << ", got " << *atom;
  auto verify = [&](StringRef what, Type type,
                    FragmentLayoutInterface layout) -> LogicalResult {
    if (!isa<FragmentType>(type) || layoutOf(type) == layout)
      return success();
    return op.emitOpError("[U37] expected ")
           << what << " in " << layout << ", as the atom has it, got " << type;
  };
  return success(
      succeeded(verify("a", op.getA().getType(), atom->getLayoutOfA())) &&
      succeeded(verify("the result", sums, atom->getLayoutOfSums())));
}

LogicalResult MmaOp::verify() {
  if (failed(verifyProduct(*this, getA().getType(), getB().getType(),
                           getAcc().getType(), getByRows())))
    return failure();
  return verifyAtom(*this, /*asynchronous=*/false, getAcc().getType());
}

LogicalResult MmaStartOp::verify() {
  if (static_cast<bool>(getAcc()) != static_cast<bool>(getWhen()))
    return emitOpError("expected acc and when together");
  FragmentType result = getResult().getType().getFragment();
  if (getAcc() && getAcc().getType() != result)
    return emitOpError("expected acc of type ")
           << result << ", as the result behind its wait, got "
           << getAcc().getType();
  if (getB().getType().getElementType().isF32())
    return emitOpError("[U2] expected a 16-bit element type, got 'f32'");
  auto verify = [&](auto a) -> LogicalResult {
    if (failed(verifyProduct(*this, a, getB().getType(), result, getByRows())))
      return failure();
    return verifyAtom(*this, /*asynchronous=*/true, result);
  };
  auto tile = dyn_cast<SharedType>(getA().getType());
  if (!tile)
    return verify(cast<FragmentType>(getA().getType()));
  if (tile.getStages() != 1) // [U4]
    return emitOpError("[U4] expected one stage of a, got ")
           << tile.getStages();
  return verify(tile);
}

LogicalResult DotOp::verify() { // [U22]
  if (getAcc() && getAcc().getType() != getResult().getType())
    return emitOpError("[U22] expected acc of the result's type ")
           << getResult().getType() << ", got " << getAcc().getType();
  auto verify = [&](auto a) {
    return verifyProduct(*this, a, getB().getType(), getResult().getType(),
                         getByRows());
  };
  if (auto tile = dyn_cast<TileType>(getA().getType()))
    return verify(tile);
  return verify(cast<FragmentType>(getA().getType()));
}

LogicalResult TensorMapOp::verify() { // [U17]
  size_t rank = getBox().size();
  if (getSizes().size() != rank || getStrides().size() + 1 != rank)
    return emitOpError("[U17] expected ")
           << rank << " sizes and " << rank - 1 << " strides, got "
           << getSizes().size() << " and " << getStrides().size();
  return success();
}

LogicalResult PartitionsOp::verify() {
  if (getProducerRegisters().has_value() != getConsumerRegisters().has_value())
    return emitOpError("[U16] expected registers of both roles or of none");
  for (std::optional<uint32_t> registers :
       {getProducerRegisters(), getConsumerRegisters()})
    if (registers &&
        (*registers % 8 || *registers < 24 || *registers > 240)) // [U16]
      return emitOpError("[U16] expected registers that are multiples of 8 "
                         "from 24 to 240, got ")
             << *registers;
  auto kernel = dyn_cast_or_null<gpu::GPUFuncOp>((*this)->getParentOp());
  if (!kernel ||
      llvm::range_size(kernel.getBody().front().getOps<PartitionsOp>()) >
          1) // [U15]
    return emitOpError(
        "[U15] expected one unitile.partitions in a kernel's block");
  std::optional<ArrayRef<int32_t>> size = kernel.getKnownBlockSize();
  if (!size || size->empty() || (*size)[0] % 128 || (*size)[0] < 256)
    return emitOpError("[U15] expected a known_block_size of whole "
                       "warpgroups, two at least");
  // Checked here and not by what makes fragments, which is not tied to roles.
  WalkResult elsewhere = kernel.walk([&](Operation *op) {
    if (getConsumers().isAncestor(op->getParentRegion()) ||
        llvm::none_of(op->getResultTypes(),
                      llvm::IsaPred<FragmentType, PendingType, RowsType>))
      return WalkResult::advance();
    op->emitOpError("[U15] expected fragments and rows in the consumers' "
                    "region only"); // [U15]
    return WalkResult::interrupt();
  });
  return failure(elsewhere.wasInterrupted());
}

LogicalResult FoldOp::verify() { // [U14]
  FragmentType from = getFragment().getType();
  auto expected =
      FragmentType::get(getContext(), from.getRows(), 8,
                        Float32Type::get(getContext()), from.getLayout());
  if (!from.getElementType().isF32())
    return emitOpError("[U14] expected an f32 fragment, got ") << from;
  if (getResult().getType() != expected)
    return emitOpError("[U14] expected ")
           << expected << ", got " << getResult().getType();
  return success();
}

/// [U36] A thread computes from what it holds.
static LogicalResult verifyAlike(Operation *op, Type x, Type y) {
  if (layoutOf(x) == layoutOf(y))
    return success();
  return op->emitOpError("[U36] expected one layout of all operands and "
                         "results, got ")
         << x << " and " << y;
}

LogicalResult MapOp::verify() {
  Type result = getResult().getType();
  auto fragment = dyn_cast<FragmentType>(result);
  SmallVector<Type> expected;
  if (getIndices()) // [U6]
    expected.assign(fragment ? 2 : 1, IntegerType::get(getContext(), 32));
  for (Value input : getInputs()) {
    if (rowsOf(input.getType()) != rowsOf(result)) // [U5]
      return emitOpError("[U5] expected inputs with the result's ")
             << rowsOf(result) << " rows, got " << input.getType();
    if (failed(verifyAlike(*this, input.getType(), result))) // [U36]
      return failure();
    auto in = dyn_cast<FragmentType>(input.getType());
    if (in && (!fragment || in.getColumns() != fragment.getColumns())) // [U5]
      return emitOpError("[U5] expected fragments with the result's columns, "
                         "got ")
             << in << " beside " << result;
    expected.push_back(elementOf(input.getType()));
  }
  Block &block = getBody().front();
  if (TypeRange(block.getArgumentTypes()) != TypeRange(expected)) // [U6]
    return emitOpError("[U6] expected a body that takes (")
           << TypeRange(expected) << "), got (" << block.getArgumentTypes()
           << ")";
  auto yield = cast<YieldOp>(block.getTerminator());
  if (yield.getNumOperands() != 1 ||
      yield.getOperand(0).getType() != elementOf(result))
    return emitOpError("[U6] expected a body that yields ")
           << elementOf(result);
  for (Operation &op : block.without_terminator()) // [U6]
    if (op.getNumRegions() ||
        !(isPure(&op) || (hasSingleEffect<MemoryEffects::Read>(&op) &&
                          !isa<UniTileDialect>(op.getDialect()))))
      return op.emitOpError("[U6] expected only ops that write nothing in "
                            "unitile.map");
  return success();
}

LogicalResult ReduceOp::verify() {
  FragmentType fragment = getFragment().getType();
  RowsType init = getInit().getType();
  if (fragment.getRows() != init.getRows()) // [U5]
    return emitOpError("[U5] expected init with the fragment's ")
           << fragment.getRows() << " rows, got " << init.getRows();
  if (!fragment.getElementType().isF32())
    return emitOpError("expected an f32 fragment, got ")
           << fragment.getElementType();
  return verifyAlike(*this, fragment, init); // [U36]
}

LogicalResult CopyAsyncOp::verify() { // [U10]
  SharedType tile = getTile().getType();
  int64_t piece = 128 / tile.getElementType().getIntOrFloatBitWidth();
  if (std::optional<int64_t> width = getWidth())
    if (*width <= 0 || *width % piece || *width > tile.getColumns())
      return emitOpError("[U10] expected a width that is a multiple of ")
             << piece << " up to " << tile.getColumns() << ", got " << *width;
  if (getTake().has_value() != getOf().has_value())
    return emitOpError("[U10] expected take and of together");
  if (getTake() && (*getTake() <= 0 || *getTake() > *getOf() ||
                    tile.getRows() % *getOf() != 0))
    return emitOpError("[U10] expected 0 < take <= of, and of to divide ")
           << tile.getRows() << " rows, got take " << *getTake() << " of "
           << *getOf();
  return success();
}

LogicalResult StoreOp::verify() { // [U10]
  std::optional<int64_t> width = getWidth();
  if (!width)
    return success();
  auto fragment = dyn_cast<FragmentType>(getValue().getType());
  if (!fragment)
    return emitOpError("[U10] expected a width with a fragment only");
  if (*width <= 0 || *width % 2 || *width > fragment.getColumns())
    return emitOpError("[U10] expected an even width up to ")
           << fragment.getColumns() << ", got " << *width;
  return success();
}
