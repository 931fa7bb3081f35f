// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Products of Hopper's tensor cores: wgmma m64nNk16, a in registers or in a
// tile, b in a tile, both tiles read by descriptors; the sums are in flight
// until waited for.
#include "Layout.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace unisparse::unitile;

namespace {

/// Bits of a shared-memory descriptor (PTX ISA, "Matrix Descriptor"):
///   0-13  address >> 4            16-29  leading offset >> 4
///   32-45 stride offset >> 4      62-63  1: 128-byte swizzle
/// The stride is that of the next 8 rows of 128 bytes, in both orders. The
/// leading offset is that of the next 64 columns where b's rows are summed over
/// (by_rows), and unused otherwise.
constexpr uint32_t kDescriptorHigh = (1u << 30) | (1024 >> 4);

/// Bytes from one step of 16 to the next.
int64_t stepBytes(SharedType tile, bool byRows, int64_t step) {
  if (byRows)
    return step * 16 * 128;
  return step / 4 * tile.getRows() * 128 + step % 4 * 32;
}

/// "{$5, $6, $7}"
std::string registers(int64_t first, int64_t count) {
  std::string text = "{";
  for (int64_t i = 0; i < count; ++i)
    text += (i ? ", $" : "$") + std::to_string(first + i);
  return text + "}";
}

/// `what` n times, each behind a comma.
std::string repeat(StringRef what, int64_t n) {
  std::string text;
  for (int64_t i = 0; i < n; ++i)
    (text += ",") += what;
  return text;
}

Type structOf(OpBuilder &b, Type element, int64_t count) {
  return LLVM::LLVMStructType::getLiteral(b.getContext(),
                                          SmallVector<Type>(count, element));
}

Value fromStruct(OpBuilder &b, Location loc, Value value, int64_t count) {
  SmallVector<Value> scalars;
  for (int64_t i = 0; i < count; ++i)
    scalars.push_back(LLVM::ExtractValueOp::create(b, loc, value, i));
  return pack(b, loc, scalars);
}

/// The words of a 16-bit fragment, in pairs of neighbours.
SmallVector<Value> wordsOf(OpBuilder &b, Location loc, Value fragment) {
  SmallVector<Value> elements = unpack(b, loc, fragment), words;
  for (size_t i = 0; i < elements.size(); i += 2)
    words.push_back(LLVM::BitcastOp::create(
        b, loc, b.getI32Type(), pack(b, loc, {elements[i], elements[i + 1]})));
  return words;
}

struct MmaFencePattern : TilePattern<MmaFenceOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(MmaFenceOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<NVVM::WgmmaFenceAlignedOp>(op);
    return success();
  }
};

struct MmaStartPattern : TilePattern<MmaStartOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(MmaStartOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    FragmentType result = op.getResult().getType().getFragment();
    if (!isa_and_present<WgmmaAttr>(op.getAtomAttr()))
      return rewriter.notifyMatchFailure(op, "expected #unitile.wgmma");
    if (result.getRows() != 16 * warps || warps % 4)
      return op.emitOpError("expected 64 rows for each of whole warpgroups, "
                            "got ")
             << result.getRows() << " rows for " << warps.count << " warps";
    Thread t(rewriter, loc, warps);
    SharedType tile = op.getB().getType();
    int64_t leading = op.getByRows() ? tile.getRows() * 128 / 16 : 1;
    Value low = descriptor(t, t.stage(adaptor.getB(), tile, adaptor.getStage()),
                           leading);

    int64_t sums = Held(result, warps).size();
    SmallVector<Value> words;
    if (isa<SharedType>(op.getA().getType()))
      words.push_back(descriptor(t, ownRows(t, adaptor.getA()), 1));
    else
      words = wordsOf(rewriter, loc, adaptor.getA());
    SmallVector<Value> operands = words;
    operands.push_back(low);
    std::string constraints =
        repeat("=&f", sums).substr(1) + repeat("r", words.size() + 1);
    if (op.getAcc()) {
      operands.push_back(
          arith::ExtUIOp::create(t.b, t.b.getI32Type(), adaptor.getWhen()));
      llvm::append_range(operands, unpack(rewriter, loc, adaptor.getAcc()));
      constraints += ",r";
      for (int64_t i = 0; i < sums; ++i)
        constraints += "," + std::to_string(i);
    }
    Value all = t.ptx(structOf(t.b, t.b.getF32Type(), sums),
                      text(op, sums, words.size()), constraints + ",~{memory}",
                      operands);
    rewriter.replaceOp(op, fromStruct(rewriter, loc, all, sums));
    return success();
  }

  /// Low word of a tile's descriptor. In a cluster a shared address carries the
  /// block's rank above bit 18.
  static Value descriptor(Thread &t, Value tile, int64_t leading) {
    Value address =
        arith::AndIOp::create(t.b, t.sharedAddress(tile), t.i32(0x3ffff));
    return arith::OrIOp::create(t.b,
                                arith::ShRUIOp::create(t.b, address, t.i32(4)),
                                t.i32(leading << 16));
  }

  /// The warpgroup's 64 rows of a tile. The number of the warpgroup is shuffled
  /// so that ptxas knows it to be the same for all of a warp, as descriptors
  /// are in uniform registers.
  static Value ownRows(Thread &t, Value tile) {
    Value group = NVVM::ShflOp::create(t.b, t.b.getI32Type(), t.i32(-1),
                                       t.div(t.id(), 128), t.i32(0), t.i32(31),
                                       NVVM::ShflKind::idx, UnitAttr());
    return t.advance(tile, t.mul(group, 64 * 128));
  }

  /// All steps of 16 and their commit: nothing may come between them.
  std::string text(MmaStartOp op, int64_t sums, int64_t words) const {
    SharedType tile = op.getB().getType();
    StringRef element = tile.getElementType().isF16() ? "f16" : "bf16";
    std::string text = "{\n"
                       ".reg .pred add;\n"
                       ".reg .b32 low, high;\n"
                       ".reg .b64 tile, own;\n";
    text += llvm::formatv("mov.b32 high, {0};\n", kDescriptorHigh);
    // Operands: the sums, a's words, the descriptor, whether to add.
    std::string when = "0";
    if (op.getAcc())
      when = "$" + std::to_string(sums + words + 1);
    text += llvm::formatv("setp.ne.b32 add, {0}, 0;\n", when);
    auto aTile = dyn_cast<SharedType>(op.getA().getType());
    int64_t steps = (op.getByRows() ? tile.getRows() : tile.getColumns()) /
                    op.getAtom()->getK();
    for (int64_t step = 0; step < steps; ++step) {
      if (step == 1)
        text += "setp.eq.b32 add, 0, 0;\n";
      // A tile as a may be transposed too, and is not.
      std::string a = registers(sums + 4 * step, 4), transposed;
      if (aTile) {
        text += llvm::formatv("add.u32 low, ${0}, {1};\n"
                              "mov.b64 own, {{low, high};\n",
                              sums, stepBytes(aTile, false, step) / 16);
        a = "own", transposed = "0, ";
      }
      text += llvm::formatv(
          "add.u32 low, ${0}, {1};\n"
          "mov.b64 tile, {{low, high};\n"
          "wgmma.mma_async.sync.aligned.m64n{2}k16.f32.{3}.{3} {4}, {5}, tile, "
          "add, 1, 1, {6}{7};\n",
          sums + words, stepBytes(tile, op.getByRows(), step) / 16,
          op.getResult().getType().getColumns(), element, registers(0, sums), a,
          transposed, op.getByRows() ? 1 : 0);
    }
    return text + "wgmma.commit_group.sync.aligned;\n}";
  }
};

/// The sums pass through the wait, so that what reads them stands behind it;
/// what was being read is read by it once more, so that its registers are not
/// written before.
struct MmaWaitPattern : TilePattern<MmaWaitOp> {
  using TilePattern::TilePattern;
  LogicalResult
  matchAndRewrite(MmaWaitOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Thread t(rewriter, loc, warps);
    SmallVector<Value> operands = unpack(rewriter, loc, adaptor.getValue());
    int64_t sums = operands.size();
    std::string constraints = repeat("=f", sums).substr(1);
    for (int64_t i = 0; i < sums; ++i)
      constraints += "," + std::to_string(i);
    if (op.getReading()) {
      SmallVector<Value> words = wordsOf(rewriter, loc, adaptor.getReading());
      constraints += repeat("r", words.size());
      llvm::append_range(operands, words);
    }
    Value all = t.ptx(
        structOf(t.b, t.b.getF32Type(), sums),
        llvm::formatv("wgmma.wait_group.sync.aligned {0};", op.getGroups())
            .str(),
        constraints + ",~{memory}", operands);
    rewriter.replaceOp(op, fromStruct(rewriter, loc, all, sums));
    return success();
  }
};

} // namespace

void unisparse::unitile::populateWgmmaPatterns(const TypeConverter &converter,
                                               RewritePatternSet &patterns,
                                               Warps warps) {
  patterns.add<MmaFencePattern, MmaStartPattern, MmaWaitPattern>(
      converter, patterns.getContext(), warps);
}
