// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "HostLibrary.h"
#include "../common/CommandLine.h"
#include "Linker.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "unisparse-rt/cpu.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::compile;
using namespace unisparse::tools;

ArrayRef<StringRef> compile::cpuLevels() {
#if defined(__x86_64__)
  static const StringRef levels[] = {"x86-64", "x86-64-v2", "x86-64-v3",
                                     "x86-64-v4", "x86-64-v4-bf16"};
#else
  static const StringRef levels[] = {"generic"};
#endif
  return levels;
}

VectorBits compile::vectorsOf(StringRef level) {
  return StringSwitch<VectorBits>(level)
      .Cases({"x86-64-v4", "x86-64-v4-bf16"}, VectorBits::V512)
      .Case("x86-64-v3", VectorBits::V256)
      .Default(VectorBits::V128);
}

bool compile::multipliesBF16(StringRef level) {
  return level.ends_with("-bf16");
}

namespace {

/// What the runtime gives an address: cpu.h. Other functions are libm's.
bool isImport(const Function &f) {
  static const StringSet<> names{
      "malloc", "calloc", "aligned_alloc",      "free",
      "puts",   "abort",  "unisparse_violation"};
  return f.isDeclaration() &&
         (names.contains(f.getName()) || f.getName().starts_with("__kmpc_") ||
          f.getName().starts_with("omp_"));
}

class LibraryBuilder {
public:
  LibraryBuilder(Module &module, StringRef level)
      : module(module), context(module.getContext()), b(context), level(level) {
  }

  void addRun(StringRef entry);
  void addTable();

private:
  void findRegions();
  void importCalls();
  Constant *text(StringRef bytes) { return b.CreateGlobalString(bytes); }

  Module &module;
  LLVMContext &context;
  IRBuilder<> b;
  StringRef level;
  Function *run = nullptr;
  GlobalVariable *imports = nullptr;
  StructType *importType = nullptr;
  /// Functions that run inside parallel regions.
  SmallPtrSet<Function *, 16> regions;
  MapVector<std::pair<Function *, unsigned>, unsigned> slots;
};

/// void run(ptr *memrefs): the entry takes each by itself.
void LibraryBuilder::addRun(StringRef entry) {
  Function *callee = module.getFunction(("_mlir_ciface_" + entry).str());
  Type *pointer = b.getPtrTy();
  run = Function::Create(FunctionType::get(b.getVoidTy(), {pointer}, false),
                         GlobalValue::ExternalLinkage, "unisparse_cpu_run_code",
                         module);
  b.SetInsertPoint(BasicBlock::Create(context, "", run));
  SmallVector<Value *> arguments;
  for (unsigned i = 0; i < callee->arg_size(); ++i)
    arguments.push_back(b.CreateLoad(
        pointer, b.CreateConstInBoundsGEP1_64(pointer, run->getArg(0), i)));
  b.CreateCall(callee, arguments);
  b.CreateRetVoid();
  // The host hears of violations, and the rest is nobody's to call or replace.
  if (Function *violation = module.getFunction("unisparse_violation")) {
    violation->deleteBody();
    violation->setLinkage(GlobalValue::ExternalLinkage);
  }
  for (Function &f : module)
    if (!f.isDeclaration() && &f != run)
      f.setLinkage(GlobalValue::InternalLinkage);
  for (GlobalVariable &global : module.globals())
    if (!global.isDeclaration())
      global.setLinkage(GlobalValue::InternalLinkage);
}

/// What OpenMP is given to run, and what that calls.
void LibraryBuilder::findRegions() {
  SmallVector<Function *> open;
  auto enter = [&](Value *value) {
    auto *f = dyn_cast<Function>(value);
    if (f && !f->isDeclaration() && regions.insert(f).second)
      open.push_back(f);
  };
  for (Function &f : module)
    if (f.getName().starts_with("__kmpc_fork"))
      for (User *user : f.users())
        if (auto *call = dyn_cast<CallBase>(user))
          for (Use &argument : call->args())
            enter(argument);
  while (!open.empty())
    for (Instruction &i : instructions(open.pop_back_val()))
      if (auto *call = dyn_cast<CallBase>(&i))
        enter(call->getCalledOperand());
}

void LibraryBuilder::importCalls() {
  constexpr unsigned kAddressField = 2;
  SmallVector<std::pair<CallBase *, unsigned>> calls;
  for (Function &f : module) {
    if (!isImport(f))
      continue;
    for (User *user : f.users())
      if (auto *call = dyn_cast<CallBase>(user)) {
        std::pair key(&f, unsigned(regions.contains(call->getFunction())));
        calls.push_back(
            {call, slots.insert({key, slots.size()}).first->second});
      }
  }
  Type *pointer = b.getPtrTy(), *i64 = b.getInt64Ty();
  importType = StructType::get(context, {pointer, i64, pointer});
  SmallVector<Constant *> entries;
  for (auto [key, number] : slots)
    entries.push_back(ConstantStruct::get(
        importType, {text(key.first->getName()), b.getInt64(key.second),
                     ConstantPointerNull::get(cast<PointerType>(pointer))}));
  auto *type = ArrayType::get(importType, entries.size());
  imports = new GlobalVariable(
      module, type, /*isConstant=*/false, GlobalValue::InternalLinkage,
      ConstantArray::get(type, entries), "unisparse_cpu_imports");
  for (auto [call, number] : calls) {
    b.SetInsertPoint(call);
    Value *slot = b.CreateInBoundsGEP(
        type, imports,
        {b.getInt64(0), b.getInt64(number), b.getInt32(kAddressField)});
    call->setCalledOperand(b.CreateLoad(pointer, slot));
  }
}

/// unisparse_cpu_library of cpu.h. Behind optimization, which knows what malloc
/// and free are.
void LibraryBuilder::addTable() {
  findRegions();
  importCalls();
  run->setLinkage(GlobalValue::InternalLinkage);
  Constant *fields[] = {b.getInt64(slots.size()), text(level), imports, run};
  auto *value = ConstantStruct::getAnon(context, fields);
  auto *table = new GlobalVariable(
      module, value->getType(), /*isConstant=*/true,
      GlobalValue::ExternalLinkage, value, UNISPARSE_CPU_SYMBOL);
  table->setDSOLocal(false);
}

Expected<std::string> emitObject(Module &module, TargetMachine &machine) {
  SmallString<0> object;
  raw_svector_ostream os(object);
  legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, os, nullptr,
                                  CodeGenFileType::ObjectFile))
    return failure("--target", "expected a target that object files can be "
                               "written for, got " +
                                   machine.getTargetTriple().str());
  passes.run(module);
  return object.str().str();
}

/// libm, and for f16 where a CPU has no instructions for it, what compilers
/// have their runtimes for.
SmallVector<StringRef> librariesOf(StringRef object) {
  SmallVector<StringRef> libraries{"libm.so.6"};
  if (object.contains("__extendhfsf2") || object.contains("__truncsfhf2"))
    libraries.push_back("libgcc_s.so.1");
  return libraries;
}

Expected<std::unique_ptr<TargetMachine>> machineFor(StringRef level,
                                                    int64_t optLevel) {
  InitializeNativeTarget();
  InitializeNativeTargetAsmPrinter();
  Triple triple(sys::getDefaultTargetTriple());
  std::string problem;
  const Target *target = TargetRegistry::lookupTarget(triple, problem);
  if (!target)
    return failure("--target",
                   "expected one that this LLVM has, got: " + Twine(problem));
  // LLVM knows the psABI's levels as CPUs, and what is beyond them as features.
  bool bf16 = level.consume_back("-bf16");
  return std::unique_ptr<TargetMachine>(target->createTargetMachine(
      triple, level, bf16 ? "+avx512bf16" : "", TargetOptions(), Reloc::PIC_,
      std::nullopt, *CodeGenOpt::getLevel(optLevel)));
}

} // namespace

Expected<std::string>
compile::buildHostLibrary(mlir::ModuleOp module, StringRef entry,
                          StringRef level, int64_t optLevel, StringRef linker) {
  LLVMContext context;
  std::unique_ptr<Module> code =
      mlir::translateModuleToLLVMIR(module, context, "unisparse");
  if (!code)
    return createStringError("expected code for LLVM, got none");
  auto machine = machineFor(level, optLevel);
  if (!machine)
    return machine.takeError();
  auto prepare = [&](Module &m) {
    m.setTargetTriple((*machine)->getTargetTriple());
    m.setDataLayout((*machine)->createDataLayout());
  };
  prepare(*code);
  code->setPICLevel(PICLevel::BigPIC);
  LibraryBuilder builder(*code, level);
  builder.addRun(entry);
  if (Error e = mlir::makeOptimizingTransformer(optLevel, 0,
                                                machine->get())(code.get()))
    return std::move(e);
  builder.addTable();
  Expected<std::string> object = emitObject(*code, **machine);
  if (!object)
    return object.takeError();
  Module nothing("empty", context);
  prepare(nothing);
  Expected<std::string> empty = emitObject(nothing, **machine);
  if (!empty)
    return empty.takeError();
  return linkShared(*object, *empty, librariesOf(*object), linker);
}
