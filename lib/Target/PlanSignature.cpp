// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What a caller sees of a plan, and the kernels' image.
#include "PlanBuilder.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "unisparse/Target/LaunchPlan.h"
#include "unisparse/Target/Nvidia.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::artifact;

std::optional<Element> unisparse::elementOf(Type type) {
  if (type.isF32())
    return Element::F32;
  if (type.isF16())
    return Element::F16;
  if (type.isBF16())
    return Element::BF16;
  if (type.isSignlessInteger(32))
    return Element::I32;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Signature
//===----------------------------------------------------------------------===//

LogicalResult PlanBuilder::addInput(BlockArgument argument) {
  uint32_t index = argument.getArgNumber();
  auto type = dyn_cast<MemRefType>(argument.getType());
  std::optional<Element> element =
      type ? elementOf(type.getElementType()) : std::nullopt;
  if (!element || type.getRank() > int64_t(kMaxRank))
    return function.emitOpError("expected argument ")
           << index << " to be a buffer of f32, f16, bf16 or i32 of at most "
           << kMaxRank << " dimensions, got " << argument.getType();
  Input input;
  input.name = argumentNameOf(argument);
  if (input.name.empty())
    input.name = ("input " + Twine(index)).str();
  input.element = *element;
  SmallVector<Expr> sizes;
  for (auto [i, size] : llvm::enumerate(type.getShape())) {
    if (!ShapedType::isDynamic(size)) {
      input.dims.push_back(size);
      sizes.push_back(constant(size));
      continue;
    }
    int64_t symbol = plan.symbols.size();
    plan.symbols.push_back(
        (Twine(input.name) + ".size(" + Twine(i) + ")").str());
    input.dims.push_back(-1 - symbol);
    sizes.push_back({{TermOp::Symbol, symbol}});
  }
  plan.inputs.push_back(std::move(input));
  return values.defineInput(argument, index, sizes);
}

LogicalResult PlanBuilder::addInputs() {
  for (BlockArgument argument : function.getArguments())
    if (failed(addInput(argument)))
      return failure();
  return success();
}

/// What is returned has to be allocated here, once.
LogicalResult PlanBuilder::findOutputs() {
  auto ret = cast<func::ReturnOp>(function.getBody().front().getTerminator());
  for (auto [i, result] : llvm::enumerate(ret.getOperands())) {
    Value source = result;
    while (isa_and_nonnull<memref::CastOp, memref::CollapseShapeOp,
                           memref::ExpandShapeOp>(source.getDefiningOp()))
      source = source.getDefiningOp()->getOperand(0);
    StringRef allocation = binary ? gpu::AllocOp::getOperationName()
                                  : memref::AllocOp::getOperationName();
    Operation *alloc = source.getDefiningOp();
    if (!alloc || alloc->getName().getStringRef() != allocation)
      return ret.emitOpError("expected result ")
             << i << " to be allocated by " << allocation << ", got "
             << (source.getDefiningOp()
                     ? "the result of '" +
                           source.getDefiningOp()->getName().getStringRef() +
                           "'"
                     : Twine("an argument"))
             << (binary ? ""
                        : "; return a linalg.copy of it into a tensor.empty");
    if (!outputs.insert({source, i}).second)
      return ret.emitOpError("expected result ")
             << i << " to be a buffer of its own, got that of result "
             << outputs[source];
    auto type = dyn_cast<MemRefType>(result.getType());
    std::optional<Element> element =
        type ? elementOf(type.getElementType()) : std::nullopt;
    if (!element || type.getRank() > int64_t(kMaxRank))
      return alloc->emitOpError("expected result ")
             << i << " to be a buffer of f32, f16, bf16 or i32 of at most "
             << kMaxRank << " dimensions, got " << result.getType();
    Output output;
    auto name = function.getResultAttrOfType<StringAttr>(i, kNameAttr);
    output.name = name ? name.str() : ("output " + Twine(i)).str();
    output.element = *element;
    plan.outputs.push_back(std::move(output));
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Image
//===----------------------------------------------------------------------===//

/// 10 * major + minor of the first "<prefix>M.N" in an image, or 0.
static int64_t versionBehind(StringRef image, StringRef prefix) {
  size_t at = image.find(prefix);
  if (at == StringRef::npos)
    return 0;
  StringRef text = image.substr(at + prefix.size()).ltrim();
  unsigned major, minor;
  if (text.consumeInteger(10, major) || !text.consume_front(".") ||
      text.consumeInteger(10, minor))
    return 0;
  return 10 * major + minor;
}

/// PTX says which version it is. Machine code runs on any driver of the major
/// version of the tools that made it, which leave their name in it.
static int64_t leastDriverFor(ImageKind kind, StringRef image,
                              const NvidiaChip &chip) {
  if (kind == ImageKind::PTX)
    return leastDriverOf(versionBehind(image, ".version"));
  if (int64_t tools = versionBehind(image, "compilation tools, release "))
    return tools / 10 * 1000;
  int64_t ptx = 0;
  chip.ptx.drop_front(StringRef("+ptx").size()).getAsInteger(10, ptx);
  return leastDriverOf(ptx);
}

LogicalResult PlanBuilder::addImage() {
  auto object = binary.getObjects().size() == 1
                    ? dyn_cast<gpu::ObjectAttr>(binary.getObjects()[0])
                    : gpu::ObjectAttr();
  auto target = object ? dyn_cast<NVVM::NVVMTargetAttr>(object.getTarget())
                       : NVVM::NVVMTargetAttr();
  if (!target || (object.getFormat() != gpu::CompilationTarget::Assembly &&
                  object.getFormat() != gpu::CompilationTarget::Binary))
    return binary.emitOpError(
        "expected one object of PTX or machine code for an NVIDIA chip");
  const NvidiaChip *chip = findNvidiaChip(target.getChip());
  if (!chip)
    return binary.emitOpError("expected a chip of the table, got '")
           << target.getChip() << "'";
  variant.chip = chip->name.str();
  variant.capability = chip->capability();
  variant.exact = chip->isExact();
  variant.kind = object.getFormat() == gpu::CompilationTarget::Assembly
                     ? ImageKind::PTX
                     : ImageKind::MachineCode;
  variant.image = object.getObject().getValue().str();
  variant.leastDriver = leastDriverFor(variant.kind, variant.image, *chip);
  if (!variant.leastDriver)
    return binary.emitOpError("expected PTX with a known .version");
  return success();
}
