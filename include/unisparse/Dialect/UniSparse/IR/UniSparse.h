// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSE_H
#define UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSE_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/TilingInterface.h"

#include "unisparse/Dialect/UniSparse/IR/UniSparseDialect.h.inc"
#include "unisparse/Dialect/UniSparse/IR/UniSparseEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "unisparse/Dialect/UniSparse/IR/UniSparseAttrs.h.inc"

#define GET_OP_CLASSES
#include "unisparse/Dialect/UniSparse/IR/UniSparseOps.h.inc"

#endif // UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSE_H
