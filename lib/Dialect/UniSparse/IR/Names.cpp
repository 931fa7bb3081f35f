// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "unisparse/Dialect/UniSparse/IR/Names.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "unisparse/Dialect/UniSparse/IR/UniSparse.h"

using namespace mlir;
using namespace unisparse;

static Value withoutCasts(Value tensor) {
  while (auto cast = tensor.getDefiningOp<tensor::CastOp>())
    tensor = cast.getSource();
  return tensor;
}

/// The argument, and the function.
static std::pair<BlockArgument, FunctionOpInterface> argumentOf(Value tensor) {
  auto argument = dyn_cast<BlockArgument>(withoutCasts(tensor));
  if (!argument || !argument.getOwner()->isEntryBlock())
    return {};
  auto function =
      dyn_cast<FunctionOpInterface>(argument.getOwner()->getParentOp());
  return {function ? argument : BlockArgument(), function};
}

static std::string nameIn(Location loc) {
  if (auto call = dyn_cast<CallSiteLoc>(loc))
    return nameIn(call.getCallee());
  auto name = dyn_cast<NameLoc>(loc);
  return name ? name.getName().str() : "";
}

std::optional<unsigned> unisparse::argumentNumberOf(Value tensor) {
  BlockArgument argument = argumentOf(tensor).first;
  return argument ? std::optional(argument.getArgNumber()) : std::nullopt;
}

std::string unisparse::argumentNameOf(Value tensor) {
  auto [argument, function] = argumentOf(tensor);
  if (!argument)
    return "";
  auto name =
      function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), kNameAttr);
  return name ? name.str() : nameIn(argument.getLoc());
}

std::string unisparse::tensorNameOf(Value tensor, StringRef otherwise) {
  if (!tensor)
    return otherwise.str();
  tensor = withoutCasts(tensor);
  Operation *maker = tensor.getDefiningOp();
  std::string name = !maker ? argumentNameOf(tensor)
                     : isa<UniSparseDialect>(maker->getDialect())
                         ? ""
                         : nameIn(maker->getLoc());
  return name.empty() ? otherwise.str() : name;
}
