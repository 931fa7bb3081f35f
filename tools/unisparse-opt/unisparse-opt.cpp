// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "../common/VersionPrinter.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "unisparse/InitAll.h"

int main(int argc, char **argv) {
  unisparse::tools::setVersionPrinter();
  mlir::DialectRegistry registry;
  unisparse::registerAllDialects(registry);
  unisparse::registerAllPasses();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "UniSparse optimizer driver\n", registry));
}
