// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSEDIALECT_TD
#define UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSEDIALECT_TD

include "mlir/IR/OpBase.td"

def UniSparse_Dialect : Dialect {
  let name = "unisparse";
  let cppNamespace = "::unisparse";
  let summary = "Training-free block-sparse attention on tensors";
  let description = [{
    The stages of UniSparse (arXiv 2512.14082) as ops on ranked tensors
    `[batch, heads, length, head_dim]`:

    | op | paper | SPEC labels |
    |---|---|---|
    | `unisparse.pool` | composite tokens | P1-P4 |
    | `unisparse.block_score` | composite attention, block mass | S1-S6 |
    | `unisparse.block_select` | top-p / top-k block selection | L1-L6 |
    | `unisparse.block_sparse_attention` | exact attention over the selection | A1-A4 |
    | `unisparse.attention` | the whole | all |

    Every op takes tensors and gives tensors, with no effect on memory; it may
    be moved to where it would not have run unless it relies on a promise about
    values (packed ends, a given selection) or dynamic lengths. The labels are those of
    docs/SPEC.md; the verifiers' messages and the tests carry them.

    A packed variable-length batch holds its sequences one after another along
    `length` (then `batch` is 1) and names their ends with two `cu_seqlens`
    operands. Per-block and per-composite results of such a batch use *slots*:
    with granularity `f` (the block or the pooling factor), sequence `s` owns
    the slots from `floor(cu[s] / f) + s` on, so every shape is known without
    reading `cu_seqlens`: `floor(L / f) + S` slots for `S` sequences.
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let extraClassDeclaration = "void registerAttributes();";
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
}

#endif // UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSEDIALECT_TD
