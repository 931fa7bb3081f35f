// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "ScoreTables.h"
#include "CommandLine.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::tools;

static constexpr StringLiteral kOption = "--score-tables";
static constexpr size_t kMostDims = 4;
/// What a program's other inputs, and a text's other values, are called.
static constexpr StringLiteral kTaken[] = {"q",
                                           "k",
                                           "v",
                                           "composites",
                                           "cu_seqlens_q",
                                           "cu_seqlens_k",
                                           "counts",
                                           "indices",
                                           "sink_logits",
                                           "logit",
                                           "batch",
                                           "head"};

mlir::RankedTensorType ScoreTable::type(mlir::MLIRContext *context) const {
  mlir::Builder b(context);
  auto type = StringSwitch<mlir::Type>(element)
                  .Case("f16", b.getF16Type())
                  .Case("bf16", b.getBF16Type())
                  .Case("i32", b.getI32Type())
                  .Default(b.getF32Type());
  return mlir::RankedTensorType::get(shape, type);
}

static bool isName(StringRef text) {
  auto isInside = [](char c) { return isAlnum(c) || c == '_'; };
  return !text.empty() && !isDigit(text.front()) && all_of(text, isInside);
}

static Error parseTable(StringRef text, ScoreTable &table) {
  auto [name, type] = text.trim().split(':');
  if (!isName(name))
    return usage(kOption, "[M5] NAME:TYPE like bias:4x?xf32", text);
  if (is_contained(kTaken, name))
    return usage(kOption,
                 "[M5] a name that no other value has, not one of " +
                     join(ArrayRef(kTaken), ", "),
                 name);
  table.name = name.str();
  SmallVector<StringRef> parts;
  type.split(parts, 'x');
  StringRef element = parts.pop_back_val();
  bool isKnown = is_contained({"f32", "f16", "bf16", "i32"}, element);
  if (!isKnown || parts.empty() || parts.size() > kMostDims)
    return usage(kOption,
                 "[M5] 1 to 4 sizes and f32, f16, bf16 or i32, as in 4x?xf32, "
                 "for " +
                     name,
                 type);
  table.element = element.str();
  for (StringRef part : parts) {
    int64_t size = mlir::ShapedType::kDynamic;
    if (part != "?" && (part.getAsInteger(10, size) || size < 1))
      return usage(kOption, "[M5] sizes above 0, or ?, for " + name, part);
    table.shape.push_back(size);
  }
  return Error::success();
}

Error tools::parseScoreTables(StringRef text, std::vector<ScoreTable> &tables) {
  SmallVector<StringRef> parts;
  text.split(parts, ',');
  for (StringRef part : parts) {
    ScoreTable table;
    if (Error e = parseTable(part, table))
      return e;
    auto isSame = [&](const ScoreTable &t) { return t.name == table.name; };
    if (any_of(tables, isSame))
      return usage(kOption, "[M5] every name once", table.name);
    tables.push_back(std::move(table));
  }
  return Error::success();
}
