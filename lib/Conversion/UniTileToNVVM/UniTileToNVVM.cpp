// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Layout.h"
#include "Math.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/Transforms/Patterns.h"
#include "unisparse/Conversion/Passes.h"
#include "llvm/ADT/TypeSwitch.h"

namespace unisparse {
#define GEN_PASS_DEF_CONVERTUNITILETONVVM
#include "unisparse/Conversion/Passes.h.inc"
} // namespace unisparse

using namespace mlir;
using namespace unisparse;
using namespace unisparse::unitile;

namespace {

/// Warps of a kernel, from known_block_size; a diagnostic and 0 where that
/// does not say.
int64_t warpsOf(gpu::GPUFuncOp kernel) {
  std::optional<ArrayRef<int32_t>> size = kernel.getKnownBlockSize();
  if (!size || size->size() != 3 || (*size)[0] % 32 || (*size)[0] == 0 ||
      (*size)[1] != 1 || (*size)[2] != 1) {
    kernel.emitOpError("expected a known_block_size of whole warps along x, as "
                       "in array<i32: 128, 1, 1>");
    return 0;
  }
  return (*size)[0] / 32;
}

struct TileTypeConverter : TypeConverter {
  explicit TileTypeConverter(Warps warps) {
    addConversion([](Type type) { return type; });
    addConversion([warps](FragmentType type) -> std::optional<Type> {
      return registersOf(type, type.getRows(), type.getElementType(), warps);
    });
    // Registers too, whatever is known of what is in them.
    addConversion([this](PendingType type) -> std::optional<Type> {
      return convertType(type.getFragment());
    });
    addConversion([warps](RowsType type) -> std::optional<Type> {
      return registersOf(type, type.getRows(), type.getElementType(), warps);
    });
    addConversion([](SharedType type) -> Type {
      return LLVM::LLVMPointerType::get(type.getContext(), 3);
    });
    addConversion([](BarriersType type) -> Type {
      return LLVM::LLVMPointerType::get(type.getContext(), 3);
    });
  }

  /// What a thread holds of a type whose rows share out among the warps.
  static Type registersOf(Type type, int64_t rows, Type element, Warps warps) {
    FragmentLayoutInterface layout = layoutOf(type);
    if (!layout || rows % (layout.getWarpRows() * warps))
      return Type();
    return VectorType::get({Held(type, warps).size()}, element);
  }
};

struct ConvertUniTileToNVVM
    : unisparse::impl::ConvertUniTileToNVVMBase<ConvertUniTileToNVVM> {
  void runOnOperation() override {
    if (failed(declareSharedMemory()))
      return signalPassFailure();
    for (auto kernel : getOperation().getOps<gpu::GPUFuncOp>())
      if (failed(convert(kernel)))
        return signalPassFailure();
    lowerMathToIntrinsics(getOperation());
  }

  /// One symbol for the shared memory that a launch asks for.
  LogicalResult declareSharedMemory() {
    if (Operation *symbol = getOperation().lookupSymbol(kSharedSymbol)) {
      auto global = dyn_cast<LLVM::GlobalOp>(symbol);
      if (global && global.getAddrSpace() == 3)
        return success();
      return symbol->emitOpError("expected @")
             << kSharedSymbol << " to be the kernels' shared memory";
    }
    OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), 0);
    LLVM::GlobalOp::create(b, getOperation().getLoc(), type,
                           /*isConstant=*/false, LLVM::Linkage::External,
                           kSharedSymbol, Attribute(), /*alignment=*/1024,
                           /*addrSpace=*/3);
    return success();
  }

  LogicalResult convert(gpu::GPUFuncOp kernel) {
    bool hasTiles = kernel
                        .walk([](Operation *op) {
                          return isa<UniTileDialect>(op->getDialect())
                                     ? WalkResult::interrupt()
                                     : WalkResult::advance();
                        })
                        .wasInterrupted();
    if (!hasTiles)
      return success();
    Warps warps{warpsOf(kernel)};
    if (!warps)
      return failure();
    // Behind roles, fragments are the consumers'.
    for (auto roles : kernel.getBody().front().getOps<PartitionsOp>()) {
      (void)roles;
      warps = {warps - kProducerWarps, kProducerWarps};
    }
    TileTypeConverter converter(warps);
    if (failed(checkLayouts(kernel)) ||
        failed(checkRows(kernel, converter, warps)))
      return failure();
    noteMaps(kernel);
    RewritePatternSet patterns(&getContext());
    ConversionTarget target(getContext());
    target.addIllegalDialect<UniTileDialect>();
    target.addIllegalOp<math::ExpOp, math::Exp2Op, math::LogOp, math::Log2Op,
                        math::RsqrtOp, math::TanhOp>();
    target.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
    scf::populateSCFStructuralTypeConversionsAndLegality(converter, patterns,
                                                         target);
    populateSharedPatterns(converter, patterns, warps);
    populateFragmentPatterns(converter, patterns, warps);
    populateMmaPatterns(converter, patterns, warps);
    populateMmaF32Patterns(converter, patterns, warps);
    populateBarrierPatterns(converter, patterns, warps);
    populateTensorCopyPatterns(converter, patterns, warps);
    populateWgmmaPatterns(converter, patterns, warps);
    return applyPartialConversion(kernel, target, std::move(patterns));
  }

  /// The conversion of functions drops what it does not know of arguments, but
  /// keeps what stands on the function.
  void noteMaps(gpu::GPUFuncOp kernel) {
    SmallVector<int32_t> maps;
    for (unsigned i = 0; i < kernel.getNumArguments(); ++i)
      if (kernel.removeArgAttr(i, kTensorMapAttr))
        maps.push_back(i);
    if (!maps.empty())
      kernel->setAttr(kTensorMapsAttr,
                      DenseI32ArrayAttr::get(&getContext(), maps));
  }

  /// Who holds what, and by which instructions it is multiplied.
  LogicalResult checkLayouts(gpu::GPUFuncOp kernel) {
    WalkResult result = kernel.walk([&](Operation *op) {
      bool lacksAtom = llvm::TypeSwitch<Operation *, bool>(op)
                           .Case<MmaOp, MmaStartOp>(
                               [](auto op) { return !op.getAtomAttr(); })
                           .Default(false);
      bool lacksLayout = llvm::any_of(op->getResultTypes(), [](Type type) {
        return isa<FragmentType, PendingType, RowsType>(type) &&
               !layoutOf(type);
      });
      if (lacksAtom || lacksLayout) {
        op->emitOpError("expected ") << (lacksLayout ? "a layout" : "an atom")
                                     << "; run unitile-assign-layouts";
        return WalkResult::interrupt();
      }
      // What ldmatrix and stmatrix hand out.
      Type moved =
          llvm::TypeSwitch<Operation *, Type>(op)
              .Case([](LoadOp load) { return load.getType(); })
              .Case([](WriteOp write) { return write.getValue().getType(); })
              .Default(Type());
      if (!moved || layoutOf(moved).isOfMatrices())
        return WalkResult::advance();
      op->emitOpError("expected a layout of matrices of 8 x 8, got ") << moved;
      return WalkResult::interrupt();
    });
    return failure(result.wasInterrupted());
  }

  /// Fragments have to share out among the warps.
  LogicalResult checkRows(gpu::GPUFuncOp kernel, TypeConverter &converter,
                          Warps warps) {
    WalkResult result = kernel.walk([&](Operation *op) {
      for (Type type : op->getResultTypes())
        if (isa<FragmentType, PendingType, RowsType>(type) &&
            !converter.convertType(type)) {
          int64_t each = layoutOf(type).getWarpRows();
          op->emitOpError("expected a number of rows that is a multiple of ")
              << each * warps.count << ", " << each
              << " for each of the kernel's " << warps.count << " warps, got "
              << type;
          return WalkResult::interrupt();
        }
      return WalkResult::advance();
    });
    return failure(result.wasInterrupted());
  }
};

} // namespace
