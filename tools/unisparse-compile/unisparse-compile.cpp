// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// unisparse-compile: a program, or options, to an artifact or a shared library
// that the runtime takes.
#include "../common/OutputFiles.h"
#include "../common/Process.h"
#include "HostLibrary.h"
#include "Options.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/Verifier.h"
#include "unisparse/InitAll.h"
#include "unisparse/Support/AtomicFile.h"
#include "unisparse/Support/RegularFile.h"
#include "unisparse/Target/LaunchPlan.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::compile;
using namespace unisparse::tools;

namespace {

/// Of k: heads that are pooled over are groups of KV heads [P4], and a spread
/// has columns of its own [P6].
RankedTensorType compositesOf(const Options &o, int64_t batch, Type element) {
  int64_t pooled = std::max<int64_t>(1, o.headPool / (o.heads / o.kvHeads));
  int64_t spread = o.spreadOf(o.headDim);
  int64_t columns = o.headDim + (spread ? o.headDim / spread : 0);
  return RankedTensorType::get(
      {batch, o.kvHeads / pooled, ShapedType::kDynamic, columns}, element);
}

TensorTypes typesOf(MLIRContext *context, const Options &o) {
  constexpr int64_t any = ShapedType::kDynamic;
  Builder b(context);
  int64_t batch = o.packed ? 1 : any;
  int64_t selectionHeads = o.share == Share::Group ? o.kvHeads : o.heads;
  Type element = llvm::StringSwitch<Type>(o.dtype)
                     .Case("f16", b.getF16Type())
                     .Case("bf16", b.getBF16Type())
                     .Default(b.getF32Type());
  auto tensor = [](ArrayRef<int64_t> shape, Type type) {
    return RankedTensorType::get(shape, type);
  };
  TensorTypes types;
  types.q = tensor({batch, o.heads, any, o.headDim}, element);
  types.k = tensor({batch, o.kvHeads, any, o.headDim}, element);
  types.v = tensor({batch, o.kvHeads, any, o.valueDim}, element);
  if (o.packed)
    types.cuQ = types.cuK = tensor({any}, b.getI32Type());
  if (!attends(o.stage)) {
    types.v = {};
    if (o.stage == Stage::Pool)
      types.cuQ = {};
    else
      types.composites = compositesOf(o, batch, element);
  }
  if (o.stage == Stage::Selected) {
    types.counts = tensor({batch, selectionHeads, any}, b.getI32Type());
    types.indices = tensor({batch, selectionHeads, any, any}, b.getI32Type());
  }
  if (o.sinkLogits)
    types.sinks = tensor({o.heads}, b.getF32Type());
  for (const ScoreTable &table : o.scoreTables)
    types.tables.push_back({table.name, table.type(context)});
  return types;
}

llvm::Expected<OwningOpRef<ModuleOp>>
readOrBuild(MLIRContext &context, const Options &o, const FirstError &said) {
  if (!o.program.empty())
    return parseProgram(context, o.program, said);
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  Returns returns;
  returns.lse = o.returnLse;
  returns.selection = o.returnSelection;
  returns.density = false;
  if (llvm::Error e = addFunction(*module, "main", o, typesOf(&context, o),
                                  o.stage, returns, /*named=*/true)
                          .takeError())
    return said.orElse(std::move(e));
  if (failed(verify(*module)))
    return said.orElse(
        llvm::createStringError("the options make no valid program"));
  return std::move(module);
}

llvm::Expected<artifact::Artifact> compileAll(MLIRContext &context,
                                              const Options &o) {
  FirstError said(&context);
  llvm::Expected<OwningOpRef<ModuleOp>> module = readOrBuild(context, o, said);
  if (!module)
    return module.takeError();
  // What has its kernels compiled has been through the pipeline.
  bool isCompiled = !(*module)->getOps<gpu::BinaryOp>().empty();
  if (isCompiled == !o.chips.empty())
    return failure("--chip", isCompiled ? "expected none beside a program that "
                                          "is compiled, got " +
                                              o.chips.front()
                                        : "expected at least one, got none");
  if (isCompiled)
    return translate(**module, o.entry, said);
  artifact::Artifact all;
  for (StringRef chip : o.chips) {
    OwningOpRef<ModuleOp> clone = (*module)->clone();
    std::string folder = o.dumpIR.empty() ? "" : o.dumpIR + "/" + chip.str();
    GPUPipelineOptions options;
    options.chip = chip.str();
    options.format = o.format;
    options.overlap = o.overlap;
    options.callerStrides = true;
    if (llvm::Error e = runGPUPipeline(*clone, options, folder, said))
      return std::move(e);
    llvm::Expected<artifact::Artifact> one = translate(*clone, o.entry, said);
    if (!one)
      return one.takeError();
    if (llvm::Error e = artifact::merge(all, std::move(*one)))
      return std::move(e);
  }
  return std::move(all);
}

/// Callers keep q, k and v as [B, L, H, D] too, and composites of some of the
/// keys: their rows alone follow one another.
void allowStrides(func::FuncOp function) {
  constexpr int64_t any = ShapedType::kDynamic;
  for (auto [i, type] :
       llvm::enumerate(function.getArgumentTypes().take_front(3)))
    if (cast<RankedTensorType>(type).getRank() == 4)
      function.setArgAttr(
          i, bufferization::BufferizationDialect::kBufferLayoutAttrName,
          StridedLayoutAttr::get(function.getContext(), /*offset=*/0,
                                 {any, any, any, 1}));
}

llvm::Expected<std::string> compileLibrary(MLIRContext &context,
                                           const Options &o) {
  FirstError said(&context);
  llvm::Expected<OwningOpRef<ModuleOp>> module = readOrBuild(context, o, said);
  if (!module)
    return module.takeError();
  FailureOr<func::FuncOp> entry = entryOf(**module, o.entry);
  if (failed(entry))
    return said.orElse(llvm::createStringError("no function"));
  if (o.program.empty())
    allowStrides(*entry);
  if (llvm::Error e = prepareEntry(**module, *entry))
    return std::move(e);
  CPUPipelineOptions options;
  options.vectorBits = vectorsOf(o.cpu);
  options.bf16Dot = multipliesBF16(o.cpu);
  options.library = true;
  std::string name = entry->getName().str();
  if (llvm::Error e = runCPUPipeline(**module, options, o.dumpIR, said))
    return std::move(e);
  auto description = (**module)->getAttrOfType<StringAttr>(kDescriptionAttr);
  llvm::Expected<std::string> library =
      buildHostLibrary(**module, name, o.cpu, o.optLevel, o.linker);
  if (!library)
    return said.orElse(library.takeError());
  std::string file = artifact::appendDescription(*library, description);
  // What would be refused is not written.
  if (llvm::Error e = artifact::readDescription(file).takeError())
    return std::move(e);
  return std::move(file);
}

llvm::Error show(const Options &o) {
  if (llvm::Error e = checkOutputStream())
    return e;
  std::unique_ptr<llvm::MemoryBuffer> file;
  if (llvm::Error e = openRegularFile(o.show, kMaxProgramBytes).moveInto(file))
    return e;
  llvm::StringRef bytes = file->getBuffer();
  llvm::Expected<artifact::Artifact> all =
      artifact::hasDescription(bytes) ? artifact::readDescription(bytes)
                                      : artifact::read(bytes);
  if (!all)
    return failure(o.show, llvm::toString(all.takeError()));
  artifact::print(*all, llvm::outs());
  return llvm::Error::success();
}

llvm::Error runAll(const Options &o) {
  if (!o.show.empty())
    return show(o);
  if (llvm::Error e = checkOptions(o))
    return e;
  RunFiles files;
  files.inputs = {{"PROGRAM.mlir", o.program}};
  files.outputs = {{"-o", o.output}};
  files.dumpIR = {"--dump-ir", o.dumpIR};
  if (llvm::Error e = checkFiles(files))
    return e;
  DialectRegistry registry;
  registerAllDialects(registry);
  MLIRContext context(registry);
  loadDialects(context);
  if (o.target == compile::Target::Cpu) {
    llvm::Expected<std::string> library = compileLibrary(context, o);
    return library ? writeFileAtomically(o.output, {*library})
                   : library.takeError();
  }
  llvm::Expected<artifact::Artifact> all = compileAll(context, o);
  if (!all)
    return all.takeError();
  std::string bytes = artifact::write(*all);
  // What would be refused is not written.
  if (llvm::Error e = artifact::read(bytes).takeError())
    return e;
  return writeFileAtomically(o.output, {bytes});
}

} // namespace

int main(int argc, char **argv) {
  startProcess("unisparse-compile");
  Options options;
  if (std::optional<int> status = parseOptions(argc, argv, options))
    return *status;
  if (llvm::Error e = runAll(options)) {
    printError("unisparse-compile", std::move(e));
    return 1;
  }
  return 0;
}
