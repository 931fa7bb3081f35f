// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Compile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "unisparse/Pipelines/Pipelines.h"
#include "unisparse/Support/AtomicFile.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"
#include <chrono>

using namespace mlir;
using namespace unisparse;
using namespace unisparse::run;

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

/// Inputs are not to be written in place: they serve every repetition.
void protectArguments(func::FuncOp function) {
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    function.setArgAttr(i, "bufferization.writable",
                        BoolAttr::get(function.getContext(), false));
}

struct ProgramBuilder {
  ProgramBuilder(MLIRContext *context, const Options &options, const Inputs &in)
      : b(UnknownLoc::get(context), context), o(options), in(in) {}

  void build(ModuleOp module) {
    b.setInsertionPointToEnd(module.getBody());
    addFunction(kMain,
                [&] { return o.selection.empty() ? select() : given(); });
    if (o.compareDense)
      addFunction(kDense, [&] { return attend(Value(), Value()); });
  }

private:
  /// A function of all inputs that returns what `body` makes of them.
  void addFunction(StringRef name, function_ref<Operation *()> body) {
    SmallVector<Type> types;
    for (const Tensor *t :
         {&in.q, &in.k, &in.v, &in.cuQ, &in.cuK, &in.counts, &in.indices})
      if (*t)
        types.push_back(typeOf(b.getContext(), *t));
    auto function = func::FuncOp::create(b, name, b.getFunctionType(types, {}));
    function->setAttr("llvm.emit_c_interface", b.getUnitAttr());
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(function.addEntryBlock());
    protectArguments(function);
    auto next = function.getArguments().begin();
    for (auto [value, t] : {std::pair{&q, &in.q},
                            {&k, &in.k},
                            {&v, &in.v},
                            {&cuQ, &in.cuQ},
                            {&cuK, &in.cuK},
                            {&counts, &in.counts},
                            {&indices, &in.indices}})
      *value = *t ? Value(*next++) : Value();
    Operation *result = body();
    func::ReturnOp::create(b, result->getResults());
    function.setType(b.getFunctionType(types, result->getResultTypes()));
  }

  BlockAttr block() {
    return BlockAttr::get(b.getContext(), o.blockQ, o.blockK);
  }
  FloatAttr scale() {
    return o.scale ? b.getF64FloatAttr(*o.scale) : FloatAttr();
  }

  RuleAttr rule() {
    MLIRContext *context = b.getContext();
    if (o.dense)
      return RuleAttr::getAll(context);
    FloatAttr share =
        o.p.size() == 1 && !o.topK ? b.getF64FloatAttr(o.p[0]) : FloatAttr();
    return RuleAttr::get(context, o.topK ? RuleKind::TopK : RuleKind::TopP,
                         share, o.topK.value_or(0), o.sink, o.local,
                         o.minBlocks, o.maxBlocks, o.denseBelow);
  }

  Operation *select() {
    Value shares;
    if (o.p.size() > 1 && !o.topK && !o.dense) {
      SmallVector<float> values(o.p.begin(), o.p.end());
      auto type = RankedTensorType::get({static_cast<int64_t>(values.size())},
                                        b.getF32Type());
      shares = arith::ConstantOp::create(
          b, DenseElementsAttr::get(type, ArrayRef<float>(values)));
    }
    return AttentionOp::create(
        b, q, k, v, shares, cuQ, cuK, block(),
        PoolingAttr::get(b.getContext(), o.poolQ, o.poolK, o.headPool), rule(),
        AggAttr::get(b.getContext(), o.agg),
        ShareAttr::get(b.getContext(), o.share),
        o.causal ? b.getUnitAttr() : UnitAttr(), b.getUnitAttr(), scale(),
        b.getF64FloatAttr(o.alpha));
  }

  Operation *given() { return attend(counts, indices); }

  Operation *attend(Value counts, Value indices) {
    return BlockSparseAttentionOp::create(b, q, k, v, counts, indices, cuQ, cuK,
                                          block(), o.causal,
                                          /*return_lse=*/true, scale());
  }

  ImplicitLocOpBuilder b;
  const Options &o;
  const Inputs &in;
  Value q, k, v, cuQ, cuK, counts, indices;
};

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

/// Writes the module after every pass that changed it: 00-input.mlir,
/// 01-canonicalize.mlir, ... (MLIR's own file tree scatters the passes of one
/// pipeline over folders by the op they ran on.)
class DumpIR : public PassInstrumentation {
public:
  explicit DumpIR(std::string folder) : folder(std::move(folder)) {}

  llvm::Error write(StringRef pass, Operation *op) {
    while (Operation *parent = op->getParentOp())
      op = parent;
    std::string text;
    llvm::raw_string_ostream(text) << *op << '\n';
    if (text == last)
      return llvm::Error::success();
    last = text;
    std::string path =
        llvm::formatv("{0}/{1,0+2}-{2}.mlir", folder, count++, pass);
    return writeFileAtomically(path, {StringRef(text)});
  }

  void runAfterPass(Pass *pass, Operation *op) override {
    StringRef name = pass->getArgument();
    if (!name.empty())
      if (llvm::Error e = write(name, op))
        op->emitError(llvm::toString(std::move(e)));
  }

private:
  std::string folder, last;
  int count = 0;
};

llvm::Error runPipeline(ModuleOp module, const Options &o,
                        std::string &diagnostics) {
  PassManager pm(module.getContext());
  if (!o.dumpIR.empty()) {
    if (std::error_code error = llvm::sys::fs::create_directories(o.dumpIR))
      return failure(o.dumpIR, "cannot create: " + error.message());
    // One module, one file a pass, in order: no threads beside one another.
    module.getContext()->disableMultithreading();
    auto dump = std::make_unique<DumpIR>(o.dumpIR);
    if (llvm::Error e = dump->write("input", module))
      return e;
    pm.addInstrumentation(std::move(dump));
  }
  CPUPipelineOptions options;
  options.vectorBits = hostVectors();
  options.instrument = true;
  buildCPUPipeline(pm, options);
  if (failed(pm.run(module)))
    return llvm::createStringError(
        diagnostics.empty() ? "the CPU pipeline failed" : diagnostics);
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

} // namespace

llvm::Expected<Compiled> run::compile(MLIRContext &context, Options &options,
                                      const Inputs &in) {
  auto start = Clock::now();
  // The first error in full is what the user is told, in one line.
  std::string diagnostics;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &d) {
    if (d.getSeverity() == DiagnosticSeverity::Error && diagnostics.empty()) {
      llvm::raw_string_ostream os(diagnostics);
      if (auto at = dyn_cast<FileLineColLoc>(d.getLocation()))
        os << at.getFilename().getValue() << ':' << at.getLine() << ':'
           << at.getColumn() << ": ";
      os << d;
      std::replace(diagnostics.begin(), diagnostics.end(), '\n', ' ');
    }
    return mlir::success();
  });
  auto said = [&](llvm::Error e) -> llvm::Error {
    if (diagnostics.empty())
      return e;
    llvm::consumeError(std::move(e));
    return llvm::createStringError(diagnostics);
  };
  OwningOpRef<ModuleOp> owner;
  ModuleOp module;
  func::FuncOp entry;
  if (!options.program.empty()) {
    llvm::Expected<func::FuncOp> found =
        readProgram(module, owner, context, options, in);
    if (!found)
      return said(found.takeError());
    entry = *found;
    readBlocks(module, options);
    if (llvm::Error e = checkResults(entry, in, options, options.program))
      return std::move(e);
    if (llvm::Error e = checkCausal(options, in))
      return std::move(e);
  } else {
    owner = ModuleOp::create(UnknownLoc::get(&context));
    module = *owner;
    ProgramBuilder(&context, options, in).build(module);
    if (failed(mlir::verify(module)))
      return said(llvm::createStringError("the options make no valid program"));
    entry = module.lookupSymbol<func::FuncOp>(kMain);
  }
  Compiled compiled;
  compiled.main = signatureOf(entry);
  if (options.compareDense)
    compiled.dense = signatureOf(module.lookupSymbol<func::FuncOp>(kDense));
  if (llvm::Error e = runPipeline(module, options, diagnostics))
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
  compiled.seconds =
      std::chrono::duration<double>(Clock::now() - start).count();
  return std::move(compiled);
}
