// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// A program of the user's: what it has to be for the tensors of a file.
#include "Compile.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "unisparse/Dialect/UniSparse/IR/Names.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::run;
using namespace unisparse::tools;

namespace {

std::string textOf(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

/// The one public function with a body.
llvm::Expected<func::FuncOp> entryOf(ModuleOp module, StringRef path) {
  func::FuncOp entry;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal() || !function.isPublic())
      continue;
    if (entry)
      return failure(path, "expected one public function, got @" +
                               entry.getName() + " and @" + function.getName());
    entry = function;
  }
  if (!entry)
    return failure(path, "expected one public function, got none");
  return entry;
}

using NamedTensors = SmallVector<std::pair<StringRef, const Tensor *>>;

/// The file's tensors, in the order of arguments.
NamedTensors tensorsOf(const Inputs &in) {
  NamedTensors tensors{{"q", &in.q}, {"k", &in.k}, {"v", &in.v}};
  if (in.packed()) {
    tensors.push_back({"cu_seqlens_q", &in.cuQ});
    tensors.push_back({"cu_seqlens_k", &in.cuK});
  }
  if (in.sinks)
    tensors.push_back({"sink_logits", &in.sinks});
  return tensors;
}

/// They have to be what the function takes. An argument that has no name gets
/// the file's.
llvm::Error checkArguments(func::FuncOp entry, const Inputs &in,
                           StringRef path) {
  NamedTensors tensors = tensorsOf(in);
  std::string subject = (path + ": @" + entry.getName()).str();
  if (entry.getNumArguments() != tensors.size())
    return failure(subject, "expected the file's " + Twine(tensors.size()) +
                                " tensors as arguments, got " +
                                Twine(entry.getNumArguments()));
  for (auto [type, named] :
       llvm::zip_equal(entry.getArgumentTypes(), tensors)) {
    RankedTensorType got = typeOf(entry.getContext(), *named.second);
    auto want = dyn_cast<RankedTensorType>(type);
    if (!want || want.getElementType() != got.getElementType() ||
        failed(verifyCompatibleShape(want, got)))
      return failure(subject, "expected argument '" + named.first +
                                  "' to take " + textOf(got) + ", got " +
                                  textOf(type));
  }
  for (auto [argument, named] : llvm::zip_equal(entry.getArguments(), tensors))
    if (argumentNameOf(argument).empty())
      entry.setArgAttr(argument.getArgNumber(), kNameAttr,
                       StringAttr::get(entry.getContext(), named.first));
  return llvm::Error::success();
}

/// Of results that no kind has, the elements are none of the tool's.
ReturnedType returnedType(Type type) {
  ReturnedType returned;
  returned.text = textOf(type);
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return returned;
  for (int64_t size : tensor.getShape())
    returned.shape.push_back(ShapedType::isDynamic(size) ? -1 : size);
  for (DType dtype : {DType::F32, DType::F16, DType::BF16, DType::I32})
    if (elementType(type.getContext(), dtype) == tensor.getElementType())
      returned.dtype = dtype;
  return returned;
}

/// Block and causality of the program's attention, for the report: they say
/// what the indices of a selection mean.
void readBlocks(ModuleOp module, Options &o) {
  module.walk([&](Operation *op) {
    auto take = [&](auto stage) {
      o.blockQ = stage.getBlock().getQuery();
      o.blockK = stage.getBlock().getKey();
      o.causal = stage.getCausal();
      if (WindowAttr window = stage.getWindowAttr()) {
        o.windowLeft = window.getLeft();
        o.windowRight = window.getRight();
      }
      return WalkResult::interrupt();
    };
    return llvm::TypeSwitch<Operation *, WalkResult>(op)
        .Case<AttentionOp, BlockSelectOp, BlockSparseAttentionOp>(take)
        .Default(WalkResult::advance());
  });
}

} // namespace

llvm::Expected<Program> run::readProgram(MLIRContext &context, Options &o,
                                         const Inputs &in,
                                         const FirstError &said) {
  Program program;
  if (llvm::Error e =
          parseProgram(context, o.program, said).moveInto(program.module))
    return std::move(e);
  ModuleOp module = *program.module;
  if (llvm::Error e = entryOf(module, o.program).moveInto(program.entry))
    return std::move(e);
  if (llvm::Error e = checkArguments(program.entry, in, o.program))
    return std::move(e);
  for (auto function : module.getOps<FunctionOpInterface>())
    if (function.isExternal())
      return failure(o.program, "expected no function without a body, got @" +
                                    function.getName());
  program.entry->setAttr("llvm.emit_c_interface", UnitAttr::get(&context));
  protectArguments(program.entry);
  readBlocks(module, o);
  SmallVector<ReturnedType> types = llvm::map_to_vector(
      program.entry.getResultTypes(), [](Type t) { return returnedType(t); });
  std::string subject = (o.program + ": @" + program.entry.getName()).str();
  if (llvm::Error e =
          checkReturns(subject, types, o, in).moveInto(program.returns))
    return std::move(e);
  if (llvm::Error e = checkPositions(o, in))
    return std::move(e);
  return std::move(program);
}
