// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Every pass and pipeline of the project, at every nesting, on programs of
// every level: it works or it says why. What aborts ends this program, which
// then prints what was running.
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "unisparse/InitAll.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/PrettyStackTrace.h"
#include "llvm/Support/Signals.h"
#include "gtest/gtest.h"

using namespace mlir;

namespace {

/// Names of what the project registers, as --help lists passes and pipelines;
/// upstream's join afterwards.
const std::vector<std::string> &ourPasses() {
  static const std::vector<std::string> names = [] {
    unisparse::registerPasses();
    static PassPipelineCLParser option("passes", "The project's");
    const char *words[] = {"PassesTest"};
    llvm::cl::ParseCommandLineOptions(1, words);
    testing::internal::CaptureStdout();
    llvm::cl::PrintHelpMessage(/*Hidden=*/true);
    llvm::outs().flush();
    std::string text = testing::internal::GetCapturedStdout();
    mlir::registerAllPasses();
    std::vector<std::string> found;
    // Options of the process stand further left, those of passes further right.
    for (StringRef line : llvm::split(text, '\n'))
      if (line.consume_front("      --"))
        found.push_back(line.split(' ').first.str());
    return found;
  }();
  return names;
}

const DialectRegistry &dialects() {
  static const DialectRegistry *registry = [] {
    auto *all = new DialectRegistry;
    unisparse::registerAllDialects(*all);
    llvm::sys::PrintStackTraceOnErrorSignal("PassesTest");
    llvm::EnablePrettyStackTrace();
    return all;
  }();
  return *registry;
}

std::string printed(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  OpPrintingFlags flags;
  flags.printGenericOpForm();
  module->print(os, flags);
  return text;
}

struct Outcome {
  bool parsed = false; ///< The pipeline is one that can be built.
  bool succeeded = false;
  std::string said;  ///< The first error, of parsing or of running.
  std::string after; ///< The program, where all went well.
};

/// `passes`, on a manager for modules or for any op, over `program`: in a
/// context of its own, where no other pass has loaded a dialect before.
Outcome run(StringRef passes, StringRef program, bool anyOp = false,
            MLIRContext::Threading threads = MLIRContext::Threading::DISABLED) {
  std::string note = ("running " + passes + " on\n" + program).str();
  llvm::PrettyStackTraceString trace(note.c_str());
  Outcome outcome;
  MLIRContext context(dialects(), threads);
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &d) {
    if (d.getSeverity() == DiagnosticSeverity::Error && outcome.said.empty())
      outcome.said = d.str();
    return success();
  });
  auto module = parseSourceString<ModuleOp>(program, &context);
  EXPECT_TRUE(module) << outcome.said << "\n" << program.str();
  if (!module)
    return outcome;
  PassManager pm = anyOp ? PassManager(&context)
                         : PassManager(&context, ModuleOp::getOperationName());
  std::string complaint;
  llvm::raw_string_ostream os(complaint);
  if (failed(parsePassPipeline(passes, pm, os))) {
    if (outcome.said.empty())
      outcome.said = complaint;
    return outcome;
  }
  outcome.parsed = true;
  outcome.succeeded = succeeded(pm.run(*module));
  if (outcome.succeeded)
    outcome.after = printed(*module);
  return outcome;
}

struct Program {
  std::string name, text;
};

constexpr StringLiteral kAttention = R"(
func.func @f(%q: tensor<1x4x128x32xf16>, %k: tensor<1x2x128x32xf16>) -> tensor<1x4x128x32xf16> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <64x64> pooling <8x8> rule <top_p = 0.5> causal
    : (tensor<1x4x128x32xf16>, tensor<1x2x128x32xf16>, tensor<1x2x128x32xf16>)
      -> (tensor<1x4x128x32xf16>, tensor<1x4x2xi32>, tensor<1x4x2x2xi32>, tensor<1x4xf32>)
  return %o : tensor<1x4x128x32xf16>
})";

/// One attention, level after level on both ways down.
std::vector<Program> levels() {
  std::vector<Program> programs{{"attention", kAttention.str()}};
  auto lower = [&](size_t from, StringRef name, StringRef passes) {
    Outcome outcome = run(passes, programs[from].text);
    EXPECT_TRUE(outcome.succeeded) << name.str() << ": " << outcome.said;
    if (outcome.succeeded)
      programs.push_back({name.str(), outcome.after});
    return programs.size() - 1;
  };
  StringRef bufferize =
      "one-shot-bufferize{bufferize-function-boundaries "
      "function-boundary-type-conversion=identity-layout-map},cse";
  size_t stages =
      lower(0, "stages", "unisparse-decompose-attention,canonicalize");
  size_t loops = lower(stages, "loops", "convert-unisparse-to-loops");
  size_t buffers = lower(loops, "buffers", bufferize);
  lower(buffers, "threads",
        "buffer-deallocation-pipeline,convert-bufferization-to-memref,"
        "func.func(convert-linalg-to-loops),convert-scf-to-openmp");
  lower(0, "llvm", "unisparse-to-cpu-pipeline");
  size_t schedule =
      lower(stages, "schedule", "unisparse-select-schedule{chip=sm_90a}");
  size_t pages = lower(schedule, "pages", "convert-unisparse-to-unitile");
  size_t host = lower(pages, "host", bufferize);
  lower(host, "laid out", "gpu.module(unitile-allocate-shared{limit=232448})");
  lower(pages, "specialised",
        "unitile-specialise-warps,gpu.module(unitile-decompose-softmax)");
  size_t portable =
      lower(stages, "portable pages", "convert-unisparse-to-unitile");
  lower(portable, "tile code",
        "unitile-persist,unitile-pipeline,"
        "gpu.module(unitile-decompose-softmax)");
  lower(portable, "tile loops",
        "unitile-walk-to-for,gpu.module(unitile-decompose-softmax)");
  lower(0, "nvvm", "unisparse-to-gpu-pipeline{format=llvm chip=sm_80}");
  lower(0, "ptx", "unisparse-to-gpu-pipeline{chip=sm_80}");
  return programs;
}

/// Programs that are unlike what pipelines make of attention.
std::vector<Program> odd() {
  std::string attention = kAttention.str();
  return {
      {"empty", ""},
      {"module in a module", "module { module @inner { " + attention + " } }"},
      {"narrow index",
       "module attributes {dlti.dl_spec = #dlti.dl_spec<index = 32>} { " +
           attention + " }"},
      {"symbols", attention + R"(
func.func private @unisparse_kernels()
func.func private @unisparse_stage_begin(f32))"},
      {"function in a gpu.module", "gpu.module @m { " + attention + " }"},
      {"declaration", "func.func private @f(tensor<4xf32>) -> tensor<?xf32>"},
      {"unknown heads", R"(
func.func @f(%q: tensor<?x?x?x?xf32>) -> tensor<?x?x?x?xf32> {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64>
    : (tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>) -> tensor<?x?x?x?xf32>
  return %o : tensor<?x?x?x?xf32>
})"},
      {"loop", R"(
func.func @f(%q: tensor<1x2x64x32xf16>, %n: index) -> tensor<1x2x64x32xf16> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%x = %q) -> (tensor<1x2x64x32xf16>) {
    %o = unisparse.block_sparse_attention %x, %q, %q block <64x64>
      : (tensor<1x2x64x32xf16>, tensor<1x2x64x32xf16>, tensor<1x2x64x32xf16>) -> tensor<1x2x64x32xf16>
    scf.yield %o : tensor<1x2x64x32xf16>
  }
  return %r : tensor<1x2x64x32xf16>
})"},
      {"other ops", R"(
func.func @f(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %e = tensor.empty() : tensor<4x8xf32>
  %s = linalg.softmax dimension(1) ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
  %y = arith.addf %s, %x : tensor<4x8xf32>
  %z = tosa.abs %y : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %z : tensor<4x8xf32>
})"},
      {"kernels", R"(
module attributes {gpu.container_module} {
  gpu.module @m {
    gpu.func @no_block_size(%x: f32) kernel {
      %0 = unitile.fill %x : f32 -> !unitile.fragment<64x16xf32>
      gpu.return
    }
    gpu.func @odd_rows(%x: f32) kernel attributes {known_block_size = array<i32: 96, 1, 1>} {
      %0 = unitile.fill %x : f32 -> !unitile.fragment<64x16xf32>
      gpu.return
    }
    gpu.func @chip(%x: !unitile.fragment<128x8xbf16>, %i: i32) {
      %t = unitile.alloc : !unitile.shared<128x16xbf16>
      unitile.write %x to %t[%i] : !unitile.fragment<128x8xbf16>, !unitile.shared<128x16xbf16>
      %b = unitile.barriers arrivals 1 : !unitile.barriers<1>
      gpu.return
    }
  }
  func.func @unitile_shared(%n: index, %x: f32) {
    gpu.launch_func @m::@no_block_size blocks in (%n, %n, %n) threads in (%n, %n, %n) args(%x : f32)
    return
  }
})"},
      {"walks", R"(
module {
  gpu.module @m {
    gpu.func @no_state(%n: i32, %s: !unitile.fragment<16x16xf32>) kernel attributes {unitile.schedule = #unitile.tiles<rows = 16, keys = 16>} {
      unitile.walk to %n block {
      ^bb0(%i: i32):
        unitile.yield %i, %i : i32, i32
      } score {
      ^bb0(%key: i32, %limit: i32):
        unitile.yield %s : !unitile.fragment<16x16xf32>
      } mask {
      ^bb0(%x: !unitile.fragment<16x16xf32>, %key: i32, %limit: i32):
        unitile.yield %x : !unitile.fragment<16x16xf32>
      } update {
      ^bb0(%x: !unitile.fragment<16x16xf32>, %key: i32, %limit: i32):
      } finish {
      }
      gpu.return
    }
    gpu.func @nothing() kernel attributes {unitile.schedule = #unitile.schedule<stages = 2, keys = 64>} {
      gpu.return
    }
  }
})"},
      {"linalg", R"(
func.func @f(%q: tensor<2x16x8xf32>, %k: tensor<2x8x16xf32>, %v: tensor<2x16x8xf32>) -> tensor<2x16x8xf32> {
  %e = tensor.empty() : tensor<2x16x16xf32>
  %z = arith.constant 0.0 : f32
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<2x16x16xf32>) -> tensor<2x16x16xf32>
  %s = linalg.batch_matmul ins(%q, %k : tensor<2x16x8xf32>, tensor<2x8x16xf32>) outs(%f : tensor<2x16x16xf32>) -> tensor<2x16x16xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<2x16x16xf32>) outs(%e : tensor<2x16x16xf32>) -> tensor<2x16x16xf32>
  %oe = tensor.empty() : tensor<2x16x8xf32>
  %of = linalg.fill ins(%z : f32) outs(%oe : tensor<2x16x8xf32>) -> tensor<2x16x8xf32>
  %o = linalg.batch_matmul ins(%p, %v : tensor<2x16x16xf32>, tensor<2x16x8xf32>) outs(%of : tensor<2x16x8xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
})"},
      {"tile code on the host", R"(
func.func @f(%x: f32) {
  %0 = unitile.fill %x : f32 -> !unitile.fragment<64x16xf32>
  return
})"},
  };
}

/// Ways to place a pass: `P` stands for it.
constexpr StringLiteral kNestings[] = {
    "P",
    "func.func(P)",
    "llvm.func(P)",
    "gpu.module(P)",
    "gpu.module(gpu.func(P))",
    "gpu.module(llvm.func(P))",
    "gpu.module(func.func(P))",
    "builtin.module(P)",
    "builtin.module(func.func(P))",
    "any(P)",
};

std::string placed(StringRef nesting, StringRef pass) {
  auto [before, after] = nesting.split('P');
  return (before + pass + after).str();
}

void expectWorksOrSaysWhy(StringRef passes, const Program &program,
                          bool anyOp = false) {
  Outcome outcome = run(passes, program.text, anyOp);
  EXPECT_TRUE(outcome.succeeded || !outcome.said.empty())
      << passes.str() << (anyOp ? " on any op" : "") << " on " << program.name
      << ": failed without a word";
}

/// All of them, made once.
const std::vector<Program> &allPrograms() {
  static const std::vector<Program> all = [] {
    (void)ourPasses();
    std::vector<Program> made = levels();
    llvm::append_range(made, odd());
    return made;
  }();
  return all;
}

TEST(Passes, Enumerated) {
  // A pass that is registered otherwise would go untested.
  for (StringRef name :
       {"unisparse-to-cpu-pipeline", "unisparse-to-gpu-pipeline",
        "unitile-to-nvvm-pipeline", "convert-unisparse-to-unitile",
        "unisparse-verify-llvm-contract"})
    EXPECT_TRUE(llvm::is_contained(ourPasses(), name.str())) << name.str();
}

TEST(Passes, EveryNesting) {
  auto check = [](StringRef passes, bool anyOp) {
    // Whether it can be built does not depend on the program.
    Outcome built = run(passes, "", anyOp);
    EXPECT_TRUE(built.parsed || !built.said.empty()) << passes.str();
    if (built.parsed)
      for (const Program &program : allPrograms())
        expectWorksOrSaysWhy(passes, program, anyOp);
  };
  for (const std::string &pass : ourPasses()) {
    for (StringRef nesting : kNestings)
      check(placed(nesting, pass), /*anyOp=*/false);
    check(pass, /*anyOp=*/true);
  }
}

TEST(Passes, EveryPair) {
  for (const std::string &first : ourPasses())
    for (const std::string &second : ourPasses())
      expectWorksOrSaysWhy(first + "," + second,
                           {"attention", kAttention.str()});
}

TEST(Passes, ReasonsOfManyThreads) {
  // Of functions beside one another, one asks for what it cannot have, and all
  // others find out why they do not get the specialised kernel.
  (void)ourPasses();
  std::string program;
  for (int i = 0; i < 64; ++i)
    program += llvm::formatv(R"(
func.func @f{0}(%q: tensor<1x2x64x32xf32>) -> tensor<1x2x64x32xf32> {{
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> {1}
    : (tensor<1x2x64x32xf32>, tensor<1x2x64x32xf32>, tensor<1x2x64x32xf32>) -> tensor<1x2x64x32xf32>
  return %o : tensor<1x2x64x32xf32>
})",
                             i, i == 32 ? "{unitile.schedule = 1 : i32}" : "")
                   .str();
  for (int round = 0; round < 20; ++round)
    EXPECT_NE(run("func.func(unisparse-select-schedule{chip=sm_90a})", program,
                  /*anyOp=*/false, MLIRContext::Threading::ENABLED)
                  .said.find("to be a #unitile.tiles or a #unitile.schedule"),
              std::string::npos);
}

TEST(Passes, LeaveNothingBehind) {
  // A conversion that succeeds has converted.
  for (const Program &program : allPrograms())
    for (auto [pass, rest] :
         {std::pair{"convert-unisparse-to-loops", "\"unisparse."},
          {"convert-unisparse-to-unitile", "\"unisparse."},
          {"unisparse-decompose-attention", "\"unisparse.attention\""},
          {"unisparse-to-gpu-pipeline", "\"unisparse."},
          {"unisparse-to-cpu-pipeline", "\"unisparse."}}) {
      Outcome outcome = run(pass, program.text);
      if (outcome.succeeded)
        EXPECT_EQ(outcome.after.find(rest), std::string::npos)
            << pass << " on " << program.name;
    }
}

} // namespace
