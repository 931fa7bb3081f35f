// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Compile.h"
#include "../common/Program.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"
#include <chrono>

using namespace mlir;
using namespace unisparse;
using namespace unisparse::run;
using namespace unisparse::tools;

StageTimes *unisparse::run::currentStages = nullptr;

namespace {
using Clock = std::chrono::steady_clock;
Clock::time_point stageStart;

extern "C" void stageBegin(int32_t) { stageStart = Clock::now(); }
extern "C" void stageEnd(int32_t stage) {
  std::chrono::duration<double> took = Clock::now() - stageStart;
  if (currentStages && stage >= 0 && stage < UNISPARSE_STAGE_COUNT)
    currentStages->seconds[stage] += took.count();
}

//===----------------------------------------------------------------------===//
// IR
//===----------------------------------------------------------------------===//

Type elementType(MLIRContext *context, DType dtype) {
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

RankedTensorType typeOf(MLIRContext *context, const Tensor &t) {
  return RankedTensorType::get(t.shape, elementType(context, t.dtype));
}

/// What a function takes: these tensors on the CPU; on a GPU, as in an
/// artifact, any batch, lengths and numbers of blocks.
TensorTypes typesOf(MLIRContext *context, const Options &o, const Inputs &in) {
  auto type = [&](const Tensor &t) {
    if (!t || !o.cuda)
      return t ? typeOf(context, t) : RankedTensorType();
    SmallVector<int64_t, 4> shape(t.shape);
    bool hasHeads = shape.size() > 1;
    for (auto [i, size] : llvm::enumerate(shape)) {
      bool isFixed = hasHeads && (i == 1 || (i == 3 && &t != &in.indices) ||
                                  (i == 0 && in.packed()));
      size = isFixed ? size : ShapedType::kDynamic;
    }
    return RankedTensorType::get(shape, elementType(context, t.dtype));
  };
  return {type(in.q),   type(in.k),      type(in.v),      type(in.cuQ),
          type(in.cuK), type(in.counts), type(in.indices)};
}

/// The function of the options, and dense attention to compare with.
void buildProgram(ModuleOp module, const Options &o, const Inputs &in) {
  TensorTypes types = typesOf(module.getContext(), o, in);
  Stage stage = o.selection.empty() ? Stage::Attention : Stage::Selected;
  auto add = [&](StringRef name, Stage stage) {
    addFunction(module, name, o, types, stage, Returns(), /*named=*/o.cuda)
        ->setAttr("llvm.emit_c_interface", UnitAttr::get(module.getContext()));
  };
  add(kMain, stage);
  if (o.compareDense)
    add(kDense, Stage::Dense);
}

//===----------------------------------------------------------------------===//
// A program of the user's
//===----------------------------------------------------------------------===//

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

/// The file's tensors have to be what the function takes.
llvm::Error checkArguments(func::FuncOp entry, const Inputs &in,
                           StringRef path) {
  SmallVector<std::pair<StringRef, const Tensor *>> tensors{
      {"q", &in.q}, {"k", &in.k}, {"v", &in.v}};
  if (in.packed()) {
    tensors.push_back({"cu_seqlens_q", &in.cuQ});
    tensors.push_back({"cu_seqlens_k", &in.cuK});
  }
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
  return llvm::Error::success();
}

/// Results are told apart by rank and element type; those that the tool reads
/// must be what the inputs make them.
llvm::Error checkResults(func::FuncOp entry, const Inputs &in, const Options &o,
                         StringRef path) {
  MLIRContext *context = entry.getContext();
  int64_t any = ShapedType::kDynamic;
  int64_t slots = in.packed()
                      ? packedSlots(in.lq(), in.cuQ.shape[0] - 1, o.blockQ)
                      : ceilUnits(in.lq(), o.blockQ);
  int64_t blocks = ceilUnits(in.lk(), o.blockK);
  Type element = elementType(context, in.q.dtype),
       f32 = Float32Type::get(context), i32 = IntegerType::get(context, 32);
  auto tensor = [](ArrayRef<int64_t> shape, Type type) {
    return RankedTensorType::get(shape, type);
  };
  const std::pair<StringRef, RankedTensorType> known[] = {
      {"o", tensor({in.batch(), in.heads(), in.lq(), in.valueDim()}, element)},
      {"lse", tensor({in.batch(), in.heads(), in.lq()}, f32)},
      {"counts", tensor({in.batch(), any, slots}, i32)},
      {"indices", tensor({in.batch(), any, slots, blocks}, i32)},
      {"density", tensor({in.batch(), any}, f32)}};
  std::string subject = (path + ": @" + entry.getName()).str();
  bool has[std::size(known)] = {};
  for (Type type : entry.getResultTypes()) {
    auto got = dyn_cast<RankedTensorType>(type);
    auto fits = [&](auto &entry) {
      return got && entry.second.getElementType() == got.getElementType() &&
             succeeded(verifyCompatibleShape(entry.second, got));
    };
    const auto *place = llvm::find_if(known, fits);
    if (place == std::end(known)) {
      std::string choices =
          llvm::join(llvm::map_range(known,
                                     [](auto &entry) {
                                       return entry.first.str() + " " +
                                              textOf(entry.second);
                                     }),
                     ", ");
      return failure(subject, "expected results among " + choices + ", got " +
                                  textOf(type));
    }
    int64_t heads = place->first == "o" || place->first == "lse"
                        ? in.heads()
                        : got.getDimSize(1);
    if (heads < 1 || in.heads() % heads)
      return failure(subject, "expected " + place->first +
                                  " with a static number of heads that divides "
                                  "q's " +
                                  Twine(in.heads()) + ", got " + textOf(type));
    has[place - known] = true;
  }
  if (has[2] != has[3])
    return failure(subject, "expected counts and indices together, got " +
                                known[has[2] ? 2 : 3].first + " alone");
  if (!o.map.empty() && !has[3])
    return failure(subject, "expected counts and indices to draw --map, got "
                            "neither");
  return llvm::Error::success();
}

llvm::Expected<func::FuncOp> readProgram(ModuleOp &module,
                                         OwningOpRef<ModuleOp> &owner,
                                         MLIRContext &context, const Options &o,
                                         const Inputs &in) {
  owner = parseSourceFile<ModuleOp>(o.program, &context);
  if (!owner)
    return failure(o.program, "expected a module of MLIR");
  module = *owner;
  llvm::Expected<func::FuncOp> entry = entryOf(module, o.program);
  if (!entry)
    return entry.takeError();
  if (llvm::Error e = checkArguments(*entry, in, o.program))
    return std::move(e);
  for (auto function : module.getOps<func::FuncOp>())
    if (function.isExternal())
      return failure(o.program, "expected no function without a body, got @" +
                                    function.getName());
  (*entry)->setAttr("llvm.emit_c_interface", UnitAttr::get(&context));
  protectArguments(*entry);
  return *entry;
}

/// Block and causality of the program's attention, for the report: they say
/// what the indices of a selection mean.
void readBlocks(ModuleOp module, Options &o) {
  module.walk([&](Operation *op) {
    auto take = [&](auto stage) {
      o.blockQ = stage.getBlock().getQuery();
      o.blockK = stage.getBlock().getKey();
      o.causal = stage.getCausal();
      return WalkResult::interrupt();
    };
    return llvm::TypeSwitch<Operation *, WalkResult>(op)
        .Case<AttentionOp, BlockSelectOp, BlockSparseAttentionOp>(take)
        .Default(WalkResult::advance());
  });
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
  PassManager pm(module.getContext());
  if (!o.dumpIR.empty()) {
    if (llvm::Error e = dumpIR(pm, o.dumpIR, module))
      return e;
  }
  CPUPipelineOptions options;
  options.vectorBits = hostVectors();
  options.instrument = true;
  buildCPUPipeline(pm, options);
  if (failed(pm.run(module)))
    return said.orElse(llvm::createStringError("the CPU pipeline failed"));
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<ExecutionEngine>> jit(ModuleOp module) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  auto host = llvm::orc::JITTargetMachineBuilder::detectHost();
  if (!host)
    return host.takeError();
  host->setCodeGenOptLevel(llvm::CodeGenOptLevel::Aggressive);
  auto machine = host->createTargetMachine();
  if (!machine)
    return machine.takeError();
  auto optimize = makeOptimizingTransformer(3, 0, machine->get());
  ExecutionEngineOptions options;
  options.transformer = optimize;
  options.jitCodeGenOptLevel = llvm::CodeGenOptLevel::Aggressive;
  auto engine = ExecutionEngine::create(module, options, std::move(*machine));
  if (!engine)
    return engine.takeError();
  (*engine)->registerSymbols([](llvm::orc::MangleAndInterner mangle) {
    llvm::orc::SymbolMap symbols;
    auto add = [&](StringRef name, auto *function) {
      symbols[mangle(name)] = {llvm::orc::ExecutorAddr::fromPtr(function),
                               llvm::JITSymbolFlags::Exported};
    };
    add("_mlir_ciface_unisparse_stage_begin", &stageBegin);
    add("_mlir_ciface_unisparse_stage_end", &stageEnd);
    return symbols;
  });
  (*engine)->initialize();
  return std::move(*engine);
}

/// Both functions of a module as artifacts for one chip.
llvm::Error compileArtifacts(ModuleOp module, const Options &o,
                             Compiled &compiled, const FirstError &said) {
  GPUPipelineOptions options;
  options.chip = o.chip;
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

llvm::Expected<Compiled> run::compile(MLIRContext &context, Options &options,
                                      const Inputs &in) {
  auto start = Clock::now();
  FirstError said(&context);
  OwningOpRef<ModuleOp> owner;
  ModuleOp module;
  func::FuncOp entry;
  if (!options.program.empty()) {
    llvm::Expected<func::FuncOp> found =
        readProgram(module, owner, context, options, in);
    if (!found)
      return said.orElse(found.takeError());
    entry = *found;
    readBlocks(module, options);
    if (llvm::Error e = checkResults(entry, in, options, options.program))
      return std::move(e);
    if (llvm::Error e = checkCausal(options, in))
      return std::move(e);
  } else {
    owner = ModuleOp::create(UnknownLoc::get(&context));
    module = *owner;
    buildProgram(module, options, in);
    if (failed(mlir::verify(module)))
      return said.orElse(
          llvm::createStringError("the options make no valid program"));
    entry = module.lookupSymbol<func::FuncOp>(kMain);
  }
  Compiled compiled;
  compiled.main = signatureOf(entry);
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
  llvm::Expected<std::unique_ptr<ExecutionEngine>> engine = jit(module);
  if (!engine)
    return engine.takeError();
  compiled.engine = std::move(*engine);
  // Codegen happens on the first look-up; it belongs to compiling.
  if (auto main =
          compiled.engine->lookupPacked("_mlir_ciface_" + compiled.main.name);
      !main)
    return main.takeError();
  compiled.seconds = passed();
  return std::move(compiled);
}
