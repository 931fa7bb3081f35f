// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNITILE_IR_UNITILELAYOUTS_TD
#define UNISPARSE_DIALECT_UNITILE_IR_UNITILELAYOUTS_TD

include "unisparse/Dialect/UniTile/IR/UniTileDialect.td"
include "unisparse/Dialect/UniTile/IR/UniTileInterfaces.td"
include "mlir/IR/AttrTypeBase.td"

//===----------------------------------------------------------------------===//
// Layouts: who holds what
//===----------------------------------------------------------------------===//

def UniTile_MmaFragmentAttr : AttrDef<UniTile_Dialect, "MmaFragment",
    [DeclareAttrInterfaceMethods<UniTile_FragmentLayoutInterface>]> {
  let mnemonic = "mma_fragment";
  let summary = "What mma.sync and wgmma leave in their accumulators";
  let description = [{
    `#unitile.mma_fragment`: warp `w` of `W` holds rows `[16 w, 16 w + 16)` of
    each piece of `16 W` rows. Within 16 x 8 elements, lane `l` holds rows `l / 4`
    and `l / 4 + 8`, columns `2 (l % 4)` and `2 (l % 4) + 1` (PTX ISA, "Matrix
    Fragments for mma.m16n8k16" and "Register Fragments for
    wgmma.mma_async.m64nNk16"). Four lanes share a row.

    A 16-bit fragment in this layout is the A operand of the next product as it
    is. So is an f32 one: mma.sync m16n8k8 wants columns `l % 4` and `l % 4 + 4`
    of a lane, and a sum over columns may take them in any order, so a lane's
    neighbours play these two, in A and in B.
  }];
}

def UniTile_RowFragmentAttr : AttrDef<UniTile_Dialect, "RowFragment",
    [DeclareAttrInterfaceMethods<UniTile_FragmentLayoutInterface>]> {
  let mnemonic = "row_fragment";
  let summary = "A thread for each row";
  let description = [{
    `#unitile.row_fragment`: warp `w` of `W` holds rows `[32 w, 32 w + 32)` of each
    piece of `32 W` rows, lane `l` all columns of row `l`. Nothing crosses lanes
    where a row is reduced. No atom below has it; what is computed without a
    product may ask for it.
  }];
}

//===----------------------------------------------------------------------===//
// Atoms: what one instruction multiplies
//===----------------------------------------------------------------------===//

class UniTile_Atom<string name, string attrMnemonic>
    : AttrDef<UniTile_Dialect, name,
              [DeclareAttrInterfaceMethods<UniTile_MmaAtomInterface>]> {
  let mnemonic = attrMnemonic;
}

def UniTile_MmaSyncAttr : UniTile_Atom<"MmaSync", "mma_sync"> {
  let summary = "mma.sync m16n8k16 of f16 or bf16";
  let description = [{
    `#unitile.mma_sync`: a warp multiplies 16 rows of a with 8 columns; b comes by
    ldmatrix. Every chip from sm_80 on has it.
  }];
}

def UniTile_Mma3xTF32Attr : UniTile_Atom<"Mma3xTF32", "mma_3xtf32"> {
  let summary = "mma.sync m16n8k8 of f32 as two tf32 each, three products of four";
  let description = [{
    `#unitile.mma_3xtf32`: `unitile.mma` says what that is good for. Every chip from
    sm_80 on has it.
  }];
}

def UniTile_WgmmaAttr : UniTile_Atom<"Wgmma", "wgmma"> {
  let summary = "wgmma m64nNk16 of f16 or bf16";
  let description = [{
    `#unitile.wgmma`: a warpgroup multiplies 64 rows of a, in registers or in a
    tile, with all columns. For `unitile.mma_start`, on chips that have it (U18).
  }];
}

#endif // UNISPARSE_DIALECT_UNITILE_IR_UNITILELAYOUTS_TD
