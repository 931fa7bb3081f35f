// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What the ops' tensors look like, for ops of other dialects too: this file
// defines none.
#ifndef UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSETENSORS_TD
#define UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSETENSORS_TD

include "mlir/IR/OpBase.td"

def UniSparse_Element : AnyTypeOf<[F32, F16, BF16]>;
/// [batch, heads, length, head_dim]
def UniSparse_Tokens : TensorRankOf<[UniSparse_Element], [4]>;
/// [batch, heads, R, J]
def UniSparse_Mass : TensorRankOf<[F32], [4]>;
/// [batch, heads, R]
def UniSparse_Counts : TensorRankOf<[I32], [3]>;
/// [batch, heads, R, J]
def UniSparse_Indices : TensorRankOf<[I32], [4]>;
/// Ends of packed sequences: [S + 1], first 0, ascending, last the length.
def UniSparse_CuSeqlens : TensorRankOf<[I32], [1]>;
/// [batch, heads, R, t] rows of a sequence
def UniSparse_Rows : TensorRankOf<[I32], [4]>;
/// [heads]
def UniSparse_Share_P : TensorRankOf<[F32], [1]>;
/// [heads of q]
def UniSparse_Sinks : TensorRankOf<[F32], [1]>;
/// What a modification of logits reads.
def UniSparse_Table : TensorRankOf<[F32, F16, BF16, I32], [1, 2, 3, 4]>;

#endif // UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSETENSORS_TD
