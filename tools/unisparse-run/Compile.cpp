// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Compile.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "llvm/TargetParser/Host.h"
#include <chrono>

using namespace mlir;
using namespace unisparse;
using namespace unisparse::run;
using namespace unisparse::tools;

using Clock = std::chrono::steady_clock;

Type run::elementType(MLIRContext *context, DType dtype) {
  switch (dtype) {
  case DType::F16:
    return Float16Type::get(context);
  case DType::BF16:
    return BFloat16Type::get(context);
  case DType::I32:
    return IntegerType::get(context, 32);
  default:
    return Float32Type::get(context);
  }
}

RankedTensorType run::typeOf(MLIRContext *context, const Tensor &t) {
  return RankedTensorType::get(t.shape, elementType(context, t.dtype));
}

namespace {

//===----------------------------------------------------------------------===//
// IR
//===----------------------------------------------------------------------===//

/// What a function takes: these tensors on the CPU; on a GPU, as in an
/// artifact, any batch, lengths and numbers of blocks.
TensorTypes typesOf(MLIRContext *context, const Options &o, const Inputs &in) {
  auto type = [&](const Tensor &t) {
    if (!t)
      return RankedTensorType();
    SmallVector<int64_t, 4> shape(t.shape);
    if (!o.cuda) {
      // Code for a static size of 0 would have places out of its bounds.
      llvm::replace(shape, int64_t(0), ShapedType::kDynamic);
      return RankedTensorType::get(shape, elementType(context, t.dtype));
    }
    bool hasHeads = shape.size() > 1;
    for (auto [i, size] : llvm::enumerate(shape)) {
      bool isFixed = hasHeads && (i == 1 || (i == 3 && &t != &in.indices) ||
                                  (i == 0 && in.packed()));
      size = isFixed ? size : ShapedType::kDynamic;
    }
    return RankedTensorType::get(shape, elementType(context, t.dtype));
  };
  TensorTypes types;
  types.q = type(in.q), types.k = type(in.k), types.v = type(in.v);
  types.cuQ = type(in.cuQ), types.cuK = type(in.cuK);
  types.counts = type(in.counts), types.indices = type(in.indices);
  if (in.sinks)
    types.sinks = typeOf(context, in.sinks);
  for (const ScoreTable &table : o.scoreTables)
    types.tables.push_back({table.name, table.type(context)});
  return types;
}

/// The function of the options, and dense attention to compare with.
llvm::Error buildProgram(ModuleOp module, const Options &o, const Inputs &in) {
  TensorTypes types = typesOf(module.getContext(), o, in);
  Stage stage = o.selection.empty() ? Stage::Attention : Stage::Selected;
  auto add = [&](StringRef name, Stage stage) -> llvm::Error {
    llvm::Expected<func::FuncOp> function =
        addFunction(module, name, o, types, stage, Returns(), /*named=*/o.cuda);
    if (!function)
      return function.takeError();
    (*function)->setAttr("llvm.emit_c_interface",
                         UnitAttr::get(module.getContext()));
    return llvm::Error::success();
  };
  if (llvm::Error e = add(kMain, stage))
    return e;
  return o.compareDense ? add(kDense, Stage::Dense) : llvm::Error::success();
}

Signature signatureOf(func::FuncOp function) {
  Signature s;
  s.name = function.getName().str();
  for (Type type : function.getArgumentTypes())
    s.arguments.push_back(cast<RankedTensorType>(type));
  for (Type type : function.getResultTypes())
    s.results.push_back(cast<RankedTensorType>(type));
  return s;
}

//===----------------------------------------------------------------------===//
// Machine code
//===----------------------------------------------------------------------===//

/// Widest vectors this machine works on.
VectorBits hostVectors() {
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  if (features.lookup("avx512f"))
    return VectorBits::V512;
  return features.lookup("avx2") ? VectorBits::V256 : VectorBits::V128;
}

llvm::Error runPipeline(ModuleOp module, const Options &o,
                        const FirstError &said) {
  CPUPipelineOptions options;
  options.vectorBits = hostVectors();
  options.bf16Dot = llvm::sys::getHostCPUFeatures().lookup("avx512bf16");
  options.instrument = true;
  options.pages = o.pages;
  options.descending = o.descending;
  if (!o.chip.empty())
    options.chip = o.chip;
  return runCPUPipeline(module, options, o.dumpIR, said);
}

/// Both functions of a module as artifacts for one chip.
llvm::Error compileArtifacts(ModuleOp module, const Options &o,
                             Compiled &compiled, const FirstError &said) {
  GPUPipelineOptions options;
  options.chip = o.chip;
  options.callerStrides = true;
  if (llvm::Error e = runGPUPipeline(module, options, o.dumpIR, said))
    return e;
  for (auto [function, image] : {std::pair{&compiled.main, &compiled.mainImage},
                                 {&compiled.dense, &compiled.denseImage}}) {
    if (function->name.empty())
      continue;
    llvm::Expected<artifact::Artifact> plan =
        translate(module, function->name, said);
    if (!plan)
      return plan.takeError();
    *image = artifact::write(*plan);
  }
  return llvm::Error::success();
}

} // namespace

int64_t run::hostStrip() {
  return 2 * static_cast<int64_t>(hostVectors()) / 32;
}

llvm::Expected<Program> run::readOrBuild(MLIRContext &context, Options &options,
                                         const Inputs &in,
                                         const FirstError &said) {
  if (!options.program.empty())
    return readProgram(context, options, in, said);
  Program program;
  program.module = ModuleOp::create(UnknownLoc::get(&context));
  if (llvm::Error e = buildProgram(*program.module, options, in))
    return std::move(e);
  if (failed(mlir::verify(*program.module)))
    return said.orElse(
        llvm::createStringError("the options make no valid program"));
  program.entry = program.module->lookupSymbol<func::FuncOp>(kMain);
  program.returns = {true, true, true, true, true};
  if (options.selection.empty())
    return std::move(program);
  program.returns.counts = program.returns.indices = false;
  return std::move(program);
}

llvm::Expected<Compiled> run::compile(Program &program, const Options &options,
                                      const FirstError &said) {
  auto start = Clock::now();
  ModuleOp module = *program.module;
  if (!options.program.empty() && !options.cuda)
    isolateNames(module);
  Compiled compiled;
  compiled.main = signatureOf(program.entry);
  if (options.compareDense)
    compiled.dense = signatureOf(module.lookupSymbol<func::FuncOp>(kDense));
  auto passed = [&] {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  if (options.cuda) {
    if (llvm::Error e = compileArtifacts(module, options, compiled, said))
      return std::move(e);
    compiled.seconds = passed();
    return std::move(compiled);
  }
  if (llvm::Error e = runPipeline(module, options, said))
    return std::move(e);
  if (llvm::Error e = jit(module, compiled.main.name, options.optLevel)
                          .moveInto(compiled.engine))
    return std::move(e);
  compiled.seconds = passed();
  return std::move(compiled);
}
