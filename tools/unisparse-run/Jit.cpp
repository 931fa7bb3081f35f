// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Machine code in this process, and what it calls.
#include "../common/Process.h"
#include "Compile.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/TargetSelect.h"
#include <atomic>
#include <chrono>
#include <cstdlib>

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
// The C library's functions. What a program defines under these names is
// another function: see isolateNames.
//===----------------------------------------------------------------------===//

void *orEnd(void *memory, size_t bytes) {
  if (!memory && bytes)
    tools::endWithoutMemory(bytes);
  return memory;
}

/// Compiled code does not look at what it gets, and frees it with free.
extern "C" void *allocate(size_t bytes) {
  return orEnd(std::malloc(bytes), bytes);
}
extern "C" void *allocateZeros(size_t count, size_t bytes) {
  return orEnd(std::calloc(count, bytes), count && bytes ? count * bytes : 0);
}
extern "C" void *allocateAligned(size_t alignment, size_t bytes) {
  return orEnd(std::aligned_alloc(alignment, bytes), bytes);
}

/// An assertion that does not hold says so with puts and ends with abort; its
/// text is a constant of compiled code's.
std::atomic<const char *> message = nullptr;
extern "C" int keepMessage(const char *text) {
  message = text;
  return 0;
}
extern "C" [[noreturn]] void endWithMessage() {
  const char *text = message;
  tools::endProcess(text ? llvm::StringRef(text).trim()
                         : "the program ended itself");
}

/// unisparse-rt/violation.h. Without --program everything was checked before.
extern "C" [[noreturn]] void endOnViolation(const char *rule, int64_t left,
                                            int64_t right) {
  tools::endProcess(
      llvm::formatv("--program: {0}, got {1} and {2}", rule, left, right)
          .str());
}

} // namespace

llvm::Expected<std::unique_ptr<ExecutionEngine>>
run::jit(ModuleOp module, StringRef entry, int64_t optLevel) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  auto host = llvm::orc::JITTargetMachineBuilder::detectHost();
  if (!host)
    return host.takeError();
  auto codeGen = *llvm::CodeGenOpt::getLevel(optLevel);
  host->setCodeGenOptLevel(codeGen);
  auto machine = host->createTargetMachine();
  if (!machine)
    return machine.takeError();
  auto optimize = makeOptimizingTransformer(optLevel, 0, machine->get());
  ExecutionEngineOptions options;
  options.transformer = optimize;
  options.jitCodeGenOptLevel = codeGen;
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
    add("unisparse_violation", &endOnViolation);
    // Names of the C library that compiled code calls and does not look behind.
    add("malloc", &allocate);
    add("calloc", &allocateZeros);
    add("aligned_alloc", &allocateAligned);
    add("puts", &keepMessage);
    add("abort", &endWithMessage);
    return symbols;
  });
  (*engine)->initialize();
  // Codegen happens on the first look-up; it belongs to compiling.
  if (auto main = (*engine)->lookupPacked(("_mlir_ciface_" + entry).str());
      !main)
    return main.takeError();
  return std::move(*engine);
}
