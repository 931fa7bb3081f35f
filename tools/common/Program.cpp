// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Program.h"
#include "ScoreMod.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "unisparse/Support/AtomicFile.h"
#include "unisparse/Support/RegularFile.h"
#include "unisparse/Target/LaunchPlan.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace unisparse;
using namespace unisparse::tools;

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

namespace {
/// The arguments of a function, and the ops on them.
struct FunctionBuilder {
  FunctionBuilder(OpBuilder &builder, const Computation &computation)
      : b(UnknownLoc::get(builder.getContext()), builder), c(computation) {}

  BlockAttr block() {
    return BlockAttr::get(b.getContext(), c.blockQ, c.blockK);
  }
  FloatAttr scale() {
    return c.scale ? b.getF64FloatAttr(*c.scale) : FloatAttr();
  }
  FloatAttr softcap() {
    return c.softcap ? b.getF64FloatAttr(*c.softcap) : FloatAttr();
  }
  WindowAttr window() {
    return c.hasWindow()
               ? WindowAttr::get(b.getContext(), c.windowLeft, c.windowRight)
               : WindowAttr();
  }
  UnitAttr unitIf(bool holds) { return holds ? b.getUnitAttr() : UnitAttr(); }

  RuleAttr rule() {
    MLIRContext *context = b.getContext();
    if (c.dense)
      return RuleAttr::getAll(context);
    RuleKind kind = c.rule();
    FloatAttr share;
    if (kind == RuleKind::Threshold)
      share = b.getF64FloatAttr(*c.threshold);
    else if (kind == RuleKind::Random)
      share = b.getF64FloatAttr(*c.random);
    else if (kind == RuleKind::TopP && c.p.size() == 1)
      share = b.getF64FloatAttr(c.p[0]);
    return RuleAttr::get(context, kind, share, c.topK.value_or(0), c.sink,
                         c.local, c.minBlocks, c.maxBlocks, c.denseBelow,
                         c.lastBlocks(), kind == RuleKind::Random ? c.seed : 0,
                         kind == RuleKind::TopP && c.relax != 0
                             ? b.getF64FloatAttr(c.relax)
                             : FloatAttr());
  }

  AttentionOp attention(bool returnLse) {
    Value shares;
    if (c.p.size() > 1 && c.rule() == RuleKind::TopP) {
      SmallVector<float> values(c.p.begin(), c.p.end());
      auto type = RankedTensorType::get({static_cast<int64_t>(values.size())},
                                        b.getF32Type());
      shares = arith::ConstantOp::create(
          b, DenseElementsAttr::get(type, ArrayRef<float>(values)));
    }
    int64_t headDim = cast<RankedTensorType>(q.getType()).getDimSize(3);
    // A dense rule pools nothing: the factors only have to be valid (I5, I6).
    auto pooling =
        c.dense ? PoolingAttr::get(b.getContext(), 1, 1, 1)
                : PoolingAttr::get(b.getContext(), c.poolQ, c.poolK, c.headPool,
                                   c.representativeRows(), c.spreadOf(headDim));
    return AttentionOp::create(
        b, q, k, v, shares, cuQ, cuK, block(), pooling, rule(),
        AggAttr::get(b.getContext(), c.agg),
        ShareAttr::get(b.getContext(), c.share), unitIf(c.causal),
        unitIf(returnLse), scale(), b.getF64FloatAttr(c.alpha), softcap(),
        window(), sinks, tables, unitIf(c.estimateWithRegion), modifications());
  }

  BlockSparseAttentionOp attend(bool dense, bool returnLse) {
    return BlockSparseAttentionOp::create(
        b, q, k, v, dense ? Value() : counts, dense ? Value() : indices, cuQ,
        cuK, block(), c.causal, returnLse, scale(), softcap(), window(), sinks,
        tables, modifications());
  }

  /// How many regions an op has, which `modify` fills.
  unsigned modifications() const { return scoreMod ? 1 : 0; }
  template <typename OpTy>
  OpTy modify(OpTy op) {
    if (scoreMod)
      op.getModification().front().takeBody(*scoreMod);
    return op;
  }

  ImplicitLocOpBuilder b;
  const Computation &c;
  std::unique_ptr<Region> scoreMod;
  Value q, k, v, composites, cuQ, cuK, counts, indices, sinks;
  SmallVector<Value> tables;
};

using Named = std::pair<StringRef, Value>;

/// One stage of attention: the very op that the whole decomposes into. What
/// else it decomposes into is dead.
llvm::Expected<SmallVector<Named>> stageOf(FunctionBuilder &f,
                                           const TensorTypes &t, Stage stage) {
  if (!f.q) {
    SmallVector<OpFoldResult> sizes =
        tensor::getMixedSizes(f.b, f.b.getLoc(), f.k);
    sizes[1] = f.b.getIndexAttr(t.q.getDimSize(1));
    f.q = tensor::EmptyOp::create(f.b, sizes, t.q.getElementType());
    f.cuQ = f.cuK;
  }
  f.v = f.k;
  AttentionOp whole = f.modify(f.attention(/*returnLse=*/false));
  if (failed(verify(whole)))
    return llvm::createStringError("the options make no valid program");
  FailureOr<SmallVector<Value>> stages = whole.decomposeOperation(f.b);
  PoolOp pool;
  for (Operation *user : f.k.getUsers())
    if (auto op = dyn_cast<PoolOp>(user))
      pool = op;
  if (failed(stages) || (stage == Stage::Pool && !pool))
    return failure("--stage",
                   "expected a rule that reads masses beside pool, got "
                   "one that takes blocks without");
  whole.erase();
  if (stage == Stage::Pool)
    return SmallVector<Named>{{"composites", pool.getComposites()}};
  if (pool)
    pool.getComposites().replaceAllUsesWith(f.composites);
  return SmallVector<Named>{{"counts", (*stages)[1]},
                            {"indices", (*stages)[2]}};
}

/// Erases what nothing uses, users first.
void eraseDead(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op))
      op.erase();
}

llvm::Expected<SmallVector<Named>> resultsOf(FunctionBuilder &f,
                                             const TensorTypes &t, Stage stage,
                                             const Returns &returns) {
  if (!attends(stage))
    return stageOf(f, t, stage);
  if (stage != Stage::Attention) {
    BlockSparseAttentionOp op =
        f.modify(f.attend(stage == Stage::Dense, returns.lse));
    return SmallVector<Named>{{"o", op.getO()}, {"lse", op.getLse()}};
  }
  AttentionOp op = f.modify(f.attention(returns.lse));
  SmallVector<Named> results{{"o", op.getO()}, {"lse", op.getLse()}};
  if (returns.selection)
    results.append({{"counts", op.getCounts()}, {"indices", op.getIndices()}});
  if (returns.density)
    results.push_back({"density", op.getDensity()});
  return results;
}
} // namespace

void tools::protectArguments(func::FuncOp function) {
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    function.setArgAttr(i, "bufferization.writable",
                        BoolAttr::get(function.getContext(), false));
}

llvm::Expected<func::FuncOp>
tools::addFunction(ModuleOp module, StringRef name,
                   const Computation &computation, const TensorTypes &t,
                   Stage stage, const Returns &returns, bool named) {
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  FunctionBuilder f(builder, computation);
  if (!computation.scoreMod.empty())
    if (llvm::Error e =
            parseScoreMod(*module.getContext(), computation, t.q.getDimSize(1))
                .moveInto(f.scoreMod))
      return std::move(e);
  f.tables.resize(t.tables.size());
  SmallVector<std::tuple<StringRef, RankedTensorType, Value *>> arguments{
      {"q", stage == Stage::Pool ? RankedTensorType() : t.q, &f.q},
      {"k", t.k, &f.k},
      {"v", t.v, &f.v},
      {"composites", t.composites, &f.composites},
      {"cu_seqlens_q", t.cuQ, &f.cuQ},
      {"cu_seqlens_k", t.cuK, &f.cuK},
      {"counts", t.counts, &f.counts},
      {"indices", t.indices, &f.indices},
      {"sink_logits", t.sinks, &f.sinks}};
  for (auto [table, value] : llvm::zip_equal(t.tables, f.tables))
    arguments.push_back({table.first, table.second, &value});
  SmallVector<Type> types;
  for (auto &[what, type, value] : arguments)
    if (type)
      types.push_back(type);
  auto function =
      func::FuncOp::create(f.b, name, f.b.getFunctionType(types, {}));
  f.b.setInsertionPointToStart(function.addEntryBlock());
  unsigned next = 0;
  for (auto &[what, type, value] : arguments)
    if (type) {
      if (named)
        function.setArgAttr(next, kNameAttr, f.b.getStringAttr(what));
      *value = function.getArgument(next++);
    }
  protectArguments(function);
  SmallVector<Value> values;
  SmallVector<StringRef> names;
  llvm::Expected<SmallVector<Named>> results = resultsOf(f, t, stage, returns);
  if (!results)
    return results.takeError();
  for (auto [what, value] : *results)
    if (value) {
      values.push_back(value);
      names.push_back(what);
    }
  func::ReturnOp::create(f.b, values);
  eraseDead(function.getBody().front());
  function.setType(f.b.getFunctionType(types, TypeRange(values)));
  if (named)
    for (auto [i, what] : llvm::enumerate(names))
      function.setResultAttr(i, kNameAttr, f.b.getStringAttr(what));
  return function;
}

//===----------------------------------------------------------------------===//
// Around a pipeline
//===----------------------------------------------------------------------===//

namespace {
/// MLIR's own file tree scatters the passes of one pipeline over folders by the
/// op they ran on.
class DumpIR : public PassInstrumentation {
public:
  explicit DumpIR(StringRef folder) : folder(folder) {}

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

  /// A file that cannot be written is an error of the run's (FirstError), and
  /// the last one that is tried.
  void runAfterPass(Pass *pass, Operation *op) override {
    StringRef name = pass->getArgument();
    if (name.empty() || failed)
      return;
    if (llvm::Error e = write(name, op)) {
      failed = true;
      emitError(UnknownLoc::get(op->getContext()))
          << llvm::toString(std::move(e));
    }
  }

private:
  std::string folder, last;
  int count = 0;
  bool failed = false;
};
} // namespace

llvm::Error tools::dumpIR(PassManager &pm, StringRef folder, ModuleOp module) {
  if (std::error_code error = llvm::sys::fs::create_directories(folder))
    return failure(folder, "cannot create: " + error.message());
  // One module, one file a pass, in order: no threads beside one another.
  module.getContext()->disableMultithreading();
  auto dump = std::make_unique<DumpIR>(folder);
  if (llvm::Error e = dump->write("input", module))
    return e;
  pm.addInstrumentation(std::move(dump));
  return llvm::Error::success();
}

FirstError::FirstError(MLIRContext *context)
    : handler(context, [this](Diagnostic &d) {
        if (d.getSeverity() == DiagnosticSeverity::Error && text.empty()) {
          llvm::raw_string_ostream os(text);
          if (auto at = dyn_cast<FileLineColLoc>(d.getLocation()))
            os << at.getFilename().getValue() << ':' << at.getLine() << ':'
               << at.getColumn() << ": ";
          os << d;
          std::replace(text.begin(), text.end(), '\n', ' ');
        }
        return success();
      }) {}

llvm::Error FirstError::orElse(llvm::Error error) const {
  if (text.empty())
    return error;
  llvm::consumeError(std::move(error));
  return llvm::createStringError(text);
}

/// Runs what `build` makes of a pipeline, with the IR after its passes in
/// `folder`, where one is named. An error without words is that `pipeline`
/// failed.
static llvm::Error
runPipeline(ModuleOp module, StringRef folder, const FirstError &said,
            const Twine &pipeline,
            llvm::function_ref<LogicalResult(PassManager &)> build) {
  PassManager pm(module.getContext());
#ifdef NDEBUG
  // Between passes it would take a tenth of a small program's time. Whoever
  // looks at the IR, unisparse-opt and builds with assertions verify it there.
  pm.enableVerifier(!folder.empty());
#endif
  if (!folder.empty())
    if (llvm::Error e = dumpIR(pm, folder, module))
      return e;
  bool runs = succeeded(build(pm)) && succeeded(pm.run(module)) &&
              succeeded(verify(module));
  return said.orElse(runs ? llvm::Error::success()
                          : llvm::createStringError(pipeline + " failed"));
}

llvm::Error tools::runGPUPipeline(ModuleOp module,
                                  const GPUPipelineOptions &options,
                                  StringRef folder, const FirstError &said) {
  auto emitError = [&] { return module.emitError(); };
  return runPipeline(module, folder, said, options.chip + ": the GPU pipeline",
                     [&](PassManager &pm) {
                       return buildGPUPipeline(pm, options, emitError);
                     });
}

llvm::Error tools::runCPUPipeline(ModuleOp module,
                                  const CPUPipelineOptions &options,
                                  StringRef folder, const FirstError &said) {
  return runPipeline(module, folder, said, "the CPU pipeline",
                     [&](PassManager &pm) {
                       buildCPUPipeline(pm, options);
                       return success();
                     });
}

/// A name that is no symbol's of this process: libraries have none like it.
static std::string isolated(StringRef name, int number) {
  std::string text = "program" + std::to_string(number) + "_";
  for (char c : name.take_front(40))
    text += llvm::isAlnum(c) ? c : '_';
  return text;
}

void tools::isolateNames(ModuleOp module) {
  SymbolTable table(module);
  int number = 0;
  for (Operation &op :
       llvm::make_early_inc_range(module.getBody()->getOperations()))
    if (auto symbol = dyn_cast<SymbolOpInterface>(op))
      // Fails only where the new name is taken, and it is not.
      (void)table.rename(&op, isolated(symbol.getName(), number++));
}

llvm::Error tools::prepareEntry(ModuleOp module, func::FuncOp entry) {
  for (auto function : module.getOps<FunctionOpInterface>()) {
    if (function.isExternal())
      return failure("program", "expected no function without a body, got @" +
                                    function.getName());
    function.setVisibility(function == entry
                               ? SymbolTable::Visibility::Public
                               : SymbolTable::Visibility::Private);
  }
  OpBuilder b(module.getContext());
  entry->setAttr(kNameAttr, b.getStringAttr(entry.getName()));
  entry->setAttr("llvm.emit_c_interface", b.getUnitAttr());
  protectArguments(entry);
  isolateNames(module);
  return llvm::Error::success();
}

void tools::loadDialects(MLIRContext &context) {
  context.loadDialect<UniSparseDialect, arith::ArithDialect, func::FuncDialect,
                      bufferization::BufferizationDialect, LLVM::LLVMDialect>();
}

llvm::Expected<OwningOpRef<ModuleOp>>
tools::parseProgram(MLIRContext &context, StringRef path,
                    const FirstError &said) {
  std::unique_ptr<llvm::MemoryBuffer> file;
  if (llvm::Error e = openRegularFile(path, kMaxProgramBytes).moveInto(file))
    return std::move(e);
  auto module = parseSourceString<ModuleOp>(file->getBuffer(), &context, path);
  if (!module)
    return said.orElse(failure(path, "expected a module of MLIR"));
  return std::move(module);
}

llvm::Expected<artifact::Artifact>
tools::translate(ModuleOp module, StringRef entry, const FirstError &said) {
  FailureOr<artifact::Artifact> plan = translateToArtifact(module, entry);
  if (failed(plan))
    return said.orElse(llvm::createStringError("no launch plan"));
  return std::move(*plan);
}
