// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Layout.h"

using namespace mlir;
using namespace unisparse::unitile;

Held::Held(Type type, int64_t warps) : layout(layoutOf(type)) {
  auto fragment = dyn_cast<FragmentType>(type);
  auto ofRows = dyn_cast<RowsType>(type);
  for (Position place :
       layout.getOffsets(ofRows ? ofRows.getRows() : fragment.getRows(),
                         ofRows ? 8 : fragment.getColumns(), warps)) {
    auto known = llvm::find(rows, place.row);
    if (!ofRows || known == rows.end())
      elements.push_back(place), rowNumbers.push_back(known - rows.begin());
    if (known == rows.end())
      rows.push_back(place.row);
  }
}

SmallVector<int64_t> Held::elementsOf(int64_t number) const {
  SmallVector<int64_t> all;
  for (auto [i, of] : llvm::enumerate(rowNumbers))
    if (of == number)
      all.push_back(i);
  return all;
}

int64_t Held::at(Position place) const {
  if (places.empty())
    for (auto [i, element] : llvm::enumerate(elements))
      places.try_emplace({element.row, element.column}, i);
  return places.at({place.row, place.column});
}

SmallVector<int64_t> Held::matrixRows() const {
  return llvm::filter_to_vector(rows,
                                [](int64_t row) { return row % 16 == 0; });
}

std::array<Position, 4> unisparse::unitile::matricesAt(Position place) {
  auto [row, column] = place;
  return {Position{row, column},
          {row + 8, column},
          {row, column + 8},
          {row + 8, column + 8}};
}

Value Thread::i32(int64_t value) {
  return arith::ConstantIntOp::create(b, value, 32);
}
Value Thread::add(Value x, Value y) {
  return b.createOrFold<arith::AddIOp>(x, y);
}
Value Thread::mul(Value x, int64_t y) {
  return b.createOrFold<arith::MulIOp>(x, i32(y));
}
// Unsigned: a power of two is then one instruction.
Value Thread::div(Value x, int64_t y) {
  return b.createOrFold<arith::DivUIOp>(x, i32(y));
}
Value Thread::rem(Value x, int64_t y) {
  return b.createOrFold<arith::RemUIOp>(x, i32(y));
}
Value Thread::bitXor(Value x, Value y) {
  return b.createOrFold<arith::XOrIOp>(x, y);
}
Value Thread::less(Value x, Value y) {
  return arith::CmpIOp::create(b, arith::CmpIPredicate::slt, x, y);
}

Value Thread::id() {
  if (!warps.first)
    return NVVM::ThreadIdXOp::create(b, b.getI32Type());
  if (!cachedId)
    cachedId = add(ptx(b.getI32Type(), "mov.u32 $0, %tid.x;", "=r", {}),
                   -32 * warps.first);
  return cachedId;
}
Value Thread::lane() { return rem(id(), 32); }
Value Thread::warp() { return div(id(), 32); }

Value Thread::row(FragmentLayoutInterface layout, int64_t offset) {
  return add(expand(layout.getBase().getResult(0)), offset);
}

Value Thread::column(FragmentLayoutInterface layout, int64_t offset) {
  return add(expand(layout.getBase().getResult(1)), offset);
}

// Not by affine's own expansion, which divides what may be negative.
Value Thread::expand(AffineExpr expr) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return dim.getPosition() ? warp() : lane();
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return i32(constant.getValue());
  auto binary = cast<AffineBinaryOpExpr>(expr);
  Value x = expand(binary.getLHS());
  if (expr.getKind() == AffineExprKind::Add)
    return add(x, expand(binary.getRHS()));
  int64_t y = cast<AffineConstantExpr>(binary.getRHS()).getValue();
  if (expr.getKind() == AffineExprKind::Mul)
    return mul(x, y);
  return expr.getKind() == AffineExprKind::Mod ? rem(x, y) : div(x, y);
}

Value Thread::shuffle(Value x, int64_t distance) {
  return NVVM::ShflOp::create(b, x.getType(), i32(-1), x, i32(distance),
                              i32(31), NVVM::ShflKind::bfly, UnitAttr());
}

Value Thread::combine(Combine how, Value x, Value y) {
  if (how == Combine::Max)
    return arith::MaxNumFOp::create(b, x, y);
  return arith::AddFOp::create(b, x, y);
}

Value Thread::ptx(Type result, StringRef text, StringRef constraints,
                  ValueRange operands) {
  auto op = LLVM::InlineAsmOp::create(
      b, result ? TypeRange{result} : TypeRange{}, operands, text, constraints,
      /*has_side_effects=*/true, /*is_align_stack=*/false,
      LLVM::TailCallKind::None,
      LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT),
      ArrayAttr());
  return result ? op.getResult(0) : Value();
}

Value Thread::sharedAddress(Value pointer) {
  return LLVM::PtrToIntOp::create(b, b.getI32Type(), pointer);
}

// Text, as NVVM's mapa gives a pointer of 64 bits. Not volatile: it may be
// shared and moved.
Value Thread::inBlock(Value sharedAddress, int64_t block) {
  auto op = LLVM::InlineAsmOp::create(
      b, b.getI32Type(), ValueRange{sharedAddress, i32(block)},
      "mapa.shared::cluster.u32 $0, $1, $2;", "=r,r,r",
      /*has_side_effects=*/false, /*is_align_stack=*/false,
      LLVM::TailCallKind::None,
      LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT),
      ArrayAttr());
  return op.getResult(0);
}

Value Thread::advance(Value base, Value bytes) {
  return LLVM::GEPOp::create(b, base.getType(), b.getI8Type(), base,
                             ArrayRef<LLVM::GEPArg>{bytes});
}

Value Thread::stage(Value base, SharedType tile, Value stage) {
  if (tile.getStages() == 1)
    return base;
  return advance(base, mul(stage, tile.getStageBytes()));
}

Value Thread::matrixAddress(Value base, SharedType tile, Value row,
                            int64_t rowOffset, int64_t column, bool downFirst) {
  // Lanes 8 m .. 8 m + 7 name the rows of matrix m.
  Value l = lane(), within = rem(l, 8);
  Value odd = rem(div(l, 8), 2), upper = div(l, 16);
  Value down = downFirst ? odd : upper, right = downFirst ? upper : odd;
  Value r = add(add(row, within), add(mul(down, 8), rowOffset));
  int64_t panel = column / 64, piece = (column % 64) / 8;
  // Rows that start at multiples of 8 have r % 8 == within; an even piece plus
  // 0 or 1 is an or, so the permutation is one xor.
  Value swizzled = bitXor(bitXor(right, within), i32(piece));
  Value offset =
      add(add(mul(r, 128), mul(swizzled, 16)), panel * tile.getRows() * 128);
  return advance(base, offset);
}

SmallVector<Value> Thread::loadMatrices(Value base, SharedType tile, Value row,
                                        int64_t rowOffset, int64_t column,
                                        bool downFirst, bool transpose) {
  Value address = matrixAddress(base, tile, row, rowOffset, column, downFirst);
  auto i32Type = b.getI32Type();
  auto type = LLVM::LLVMStructType::getLiteral(
      b.getContext(), {i32Type, i32Type, i32Type, i32Type});
  Value loaded = NVVM::LdMatrixOp::create(
      b, type, address, /*num=*/4,
      transpose ? NVVM::MMALayout::col : NVVM::MMALayout::row,
      NVVM::LdStMatrixShapeAttr::get(b.getContext(), 8, 8),
      NVVM::LdStMatrixEltType::B16);
  SmallVector<Value> words;
  for (int64_t i = 0; i < 4; ++i)
    words.push_back(LLVM::ExtractValueOp::create(b, loaded, i));
  return words;
}

Value Thread::loadF32(Type type, Value base, SharedType tile, int64_t row,
                      Value down, int64_t column, Value right) {
  int64_t panel = column / 32, piece = (column % 32) / 4;
  // As above: rows modulo 8 are `down`, and an even piece plus 0 or 1 is an or.
  Value swizzled = bitXor(bitXor(div(right, 4), down), i32(piece));
  Value offset =
      add(add(mul(down, 128), mul(rem(right, 4), 4)),
          add(mul(swizzled, 16), row * 128 + panel * tile.getRows() * 128));
  return LLVM::LoadOp::create(b, type, advance(base, offset));
}

SmallVector<Value> unisparse::unitile::unpack(OpBuilder &b, Location loc,
                                              Value vector) {
  SmallVector<Value> scalars;
  for (int64_t i = 0, n = cast<VectorType>(vector.getType()).getNumElements();
       i < n; ++i)
    scalars.push_back(vector::ExtractOp::create(b, loc, vector, i));
  return scalars;
}

Value unisparse::unitile::pack(OpBuilder &b, Location loc,
                               ArrayRef<Value> scalars) {
  auto type = VectorType::get({static_cast<int64_t>(scalars.size())},
                              scalars.front().getType());
  return vector::FromElementsOp::create(b, loc, type, scalars);
}
