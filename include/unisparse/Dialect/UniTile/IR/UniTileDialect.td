// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNITILE_IR_UNITILEDIALECT_TD
#define UNISPARSE_DIALECT_UNITILE_IR_UNITILEDIALECT_TD

include "mlir/IR/OpBase.td"

def UniTile_Dialect : Dialect {
  let name = "unitile";
  let cppNamespace = "::unisparse::unitile";
  let summary = "Tiles of a GPU kernel: in shared memory, in registers, in flight";
  let description = [{
    A kernel is a page of tile code. Every op is executed by all threads of a
    group of warps together: each holds its part of a fragment, and a layout in
    the type says which part, from `unitile-assign-layouts` on.

    | type | lives in | holds |
    |---|---|---|
    | `!unitile.shared<128x64xbf16, 2>` | shared memory | 2 stages of a tile |
    | `!unitile.fragment<128x64xf32>` | registers | a matrix, spread over threads |
    | `!unitile.rows<128xf32>` | registers | one value for each row of a fragment |

    **Fragment layouts** are attributes behind `FragmentLayoutInterface`: where a
    thread's elements are, which lanes share a row. **Atoms** are attributes behind
    `MmaAtomInterface`: the instruction that a product becomes, and the layouts of
    its operands. Nothing but what makes an atom's own instruction knows either by
    name.

    **Shared layout.** Columns lie in panels of 128 bytes a row (64 16-bit
    elements, 32 of f32), rows one after another; the eight 16-byte pieces of a
    row are permuted by `piece ^ (row % 8)`. That is the 128-byte swizzle of TMA
    and wgmma, and free of bank conflicts under ldmatrix. Element (r, c) of a
    tile of R rows, whose elements have E bytes, P = 16 / E of them in a piece:

        c / (8 P) * R * 128 + r * 128 + ((c % (8 P) / P) ^ (r % 8)) * 16 + c % P * E

    Example: (3, 17) of a 128-row tile of bf16 is in piece 2, at 3 * 128 + (2 ^ 3) * 16 + 2 = 402;
    of f32 in piece 4, at 3 * 128 + (4 ^ 3) * 16 + 4 = 500.
  }];
  // Parsers of ops make pointers.
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let extraClassDeclaration = [{
    void registerTypes();
    void registerAttributes();
  }];
}

#endif // UNISPARSE_DIALECT_UNITILE_IR_UNITILEDIALECT_TD
