// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ScoreMod.h"
#include "CommandLine.h"
#include "ScoreModErrors.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace unisparse;

namespace {
/// What stands in front of the text, on its first line, and behind it. No name
/// of the program is one of the region's, whatever that calls its values.
struct Around {
  Around(MLIRContext &context, ArrayRef<tools::ScoreTable> tables) {
    std::string arguments, operands, named, types;
    for (auto [n, table] : llvm::enumerate(tables)) {
      std::string type;
      llvm::raw_string_ostream(type) << table.type(&context);
      arguments += llvm::formatv(", %unisparse_{0}: {1}", n, type);
      operands += llvm::formatv("{0}%unisparse_{1}", n ? ", " : "", n);
      named += llvm::formatv(", %{0}: {1}", table.name, type);
      types += ", " + type;
    }
    if (!tables.empty())
      operands = " tables(" + operands + ")";
    before = llvm::formatv(
        "func.func @f(%unisparse_x: tensor<1x1x1x16xf32>{0}) {{ "
        "%unisparse_o = unisparse.block_sparse_attention %unisparse_x, "
        "%unisparse_x, %unisparse_x{1} block <16x16> modify {{ "
        "^bb0(%logit: f32, %batch: i32, %head: i32, %q: i32, %k: i32{2}): ",
        arguments, operands, named);
    behind = "\n} : (tensor<1x1x1x16xf32>, tensor<1x1x1x16xf32>, "
             "tensor<1x1x1x16xf32>" +
             types + ") -> tensor<1x1x1x16xf32> return }";
  }
  std::string before, behind;
};
} // namespace

static constexpr llvm::StringLiteral kOption = "--score-mod";

/// Where in the text a location of what is parsed is, if it is one of a place.
static std::optional<tools::TextOffset> offsetOf(Location loc, StringRef text,
                                                 const Around &around) {
  auto at = dyn_cast<FileLineColLoc>(loc);
  if (!at || at.getFilename() != kOption)
    return std::nullopt;
  size_t column = at.getColumn() - 1, start = 0;
  if (at.getLine() == 1) // MLIR says the last token's end where a line begins.
    column -= std::min(column, around.before.size());
  for (unsigned line = 1; line < at.getLine(); ++line) {
    size_t newline = text.find('\n', start);
    if (newline == StringRef::npos) // Behind the text.
      return text.size();
    start = newline + 1;
  }
  return std::min(start + column, text.size());
}

std::string tools::alibi(int64_t heads, bool ahead) {
  // The slopes of n heads, a power of two, are 2^(-8/n), 2^(-16/n), ...; of
  // other numbers those of the power below, then every second one of twice the
  // power.
  int64_t power = llvm::bit_floor(static_cast<uint64_t>(heads));
  std::string text = llvm::formatv(R"(
%one = arith.constant 1 : i32
%ratio = arith.constant {0:E} : f32
%number = arith.addi %head, %one : i32
%n = arith.sitofp %number : i32 to f32
%exponent = arith.mulf %n, %ratio : f32)",
                                   -8.0 / power);
  StringRef exponent = "%exponent";
  if (power != heads) {
    text += llvm::formatv(R"(
%power = arith.constant {0} : i32
%half = arith.constant {1:E} : f32
%past = arith.subi %head, %power : i32
%twice = arith.addi %past, %past : i32
%odd = arith.addi %twice, %one : i32
%m = arith.sitofp %odd : i32 to f32
%between = arith.mulf %m, %half : f32
%first = arith.cmpi slt, %head, %power : i32
%all = arith.select %first, %exponent, %between : f32)",
                          power, -4.0 / power);
    exponent = "%all";
  }
  text += llvm::formatv(R"(
%slope = math.exp2 {0} : f32
%ahead = arith.subi %k, %q : i32)",
                        exponent);
  text += ahead ? R"(
%far = math.absi %ahead : i32
%distance = arith.sitofp %far : i32 to f32
%down = arith.negf %slope : f32
%bias = arith.mulf %distance, %down : f32)"
                : R"(
%distance = arith.sitofp %ahead : i32 to f32
%bias = arith.mulf %distance, %slope : f32)";
  return text + R"(
%y = arith.addf %logit, %bias : f32
unisparse.yield %y : f32)";
}

/// Heads of the region become those from `first` on.
static void renumberHeads(Region &region, int64_t first) {
  Value head = region.getArgument(2);
  OpBuilder b(head.getContext()); // The region is in no op.
  b.setInsertionPointToStart(&region.front());
  Location loc = head.getLoc();
  auto constant = arith::ConstantIntOp::create(b, loc, first, 32);
  auto number = arith::AddIOp::create(b, loc, head, constant);
  head.replaceAllUsesExcept(number, number);
}

/// A table that is not read is a name that was mistaken.
static llvm::Error expectRead(Region &region,
                              ArrayRef<tools::ScoreTable> tables) {
  for (auto [table, argument] :
       llvm::zip_equal(tables, region.getArguments().take_back(tables.size())))
    if (argument.use_empty())
      return tools::failure("--score-tables",
                            "[M5] expected tables that the text reads, got '" +
                                table.name + "', which it does not");
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<Region>>
tools::parseScoreMod(MLIRContext &context, const Computation &computation,
                     int64_t heads) {
  StringRef text = computation.scoreMod;
  auto [first, all] = computation.headsOf.value_or(std::pair(0, heads));
  if (first + heads > all)
    return failure("--score-mod-heads", "[M5] expected " + Twine(heads) +
                                            " heads from the first on, got " +
                                            Twine(first) + " of " + Twine(all));
  // No key is ahead of a causal query; the middle of a composite is ahead of
  // some of the queries that see it (M6).
  bool ahead = !computation.causal || computation.estimateWithRegion;
  std::string body = text == kAlibi ? alibi(all, ahead) : text.str();
  if (std::optional<std::string> foreign = findForeign(body))
    return llvm::createStringError(kOption + ":" + *foreign);
  Around around(context, computation.scoreTables);
  std::string said;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &d) {
    if (d.getSeverity() == DiagnosticSeverity::Error && said.empty())
      said = translate(body, offsetOf(d.getLocation(), body, around), d.str());
    return success();
  });
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(
      around.before + body + around.behind, &context, kOption);
  BlockSparseAttentionOp op;
  if (module)
    module->walk([&](BlockSparseAttentionOp found) { op = found; });
  if (!op || op.getModification().size() != 1)
    return llvm::createStringError(
        kOption + (said.empty()
                       ? ": [M5] expected alibi, or the body of a region"
                       : ":" + said));
  if (llvm::Error e =
          expectRead(op.getModification().front(), computation.scoreTables))
    return std::move(e);
  auto region = std::make_unique<Region>();
  region->takeBody(op.getModification().front());
  if (first)
    renumberHeads(*region, first);
  return region;
}
