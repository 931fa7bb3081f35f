// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNITILE_IR_UNITILETYPES_TD
#define UNISPARSE_DIALECT_UNITILE_IR_UNITILETYPES_TD

include "unisparse/Dialect/UniTile/IR/UniTileLayouts.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

class UniTile_Type<string name, string typeMnemonic>
    : TypeDef<UniTile_Dialect, name> {
  let mnemonic = typeMnemonic;
  let genVerifyDecl = 1;
}

/// Null until `unitile-assign-layouts`.
def UniTile_LayoutParameter
    : OptionalParameter<"::unisparse::unitile::FragmentLayoutInterface">;

/// Rows and columns that threads hold.
class UniTile_MatrixType<string name, string typeMnemonic>
    : UniTile_Type<name, typeMnemonic> {
  let parameters = (ins "int64_t":$rows, "int64_t":$columns,
                        "::mlir::Type":$elementType,
                        UniTile_LayoutParameter:$layout);
  let hasCustomAssemblyFormat = 1;
  let skipDefaultBuilders = 1;
  let builders = [TypeBuilder<(ins
      "int64_t":$rows, "int64_t":$columns, "::mlir::Type":$elementType,
      CArg<"::unisparse::unitile::FragmentLayoutInterface", "{}">:$layout), [{
    return $_get($_ctxt, rows, columns, elementType, layout);
  }]>];
}

def UniTile_SharedType : UniTile_Type<"Shared", "shared"> {
  let summary = "Stages of a tile in shared memory";
  let description = [{
    `!unitile.shared<128x64xbf16, 2>`: two tiles of 128 rows and 64 columns of
    f16, bf16 or f32, in the dialect's shared layout. Rows are a multiple of 8,
    columns of 16.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$columns,
                        "::mlir::Type":$elementType,
                        DefaultValuedParameter<"int64_t", "1">:$stages);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    /// Columns of a panel, whose rows are 128 bytes.
    int64_t getPanelColumns() const { return 8 * getPieceColumns(); }
    /// Columns in 16 bytes: what the swizzle and a copy move as one.
    int64_t getPieceColumns() const {
      return 128 / getElementType().getIntOrFloatBitWidth();
    }
    int64_t getPanels() const {
      return (getColumns() + getPanelColumns() - 1) / getPanelColumns();
    }
    int64_t getStageBytes() const { return getPanels() * getRows() * 128; }
    int64_t getBytes() const { return getStageBytes() * getStages(); }
  }];
}

def UniTile_FragmentType : UniTile_MatrixType<"Fragment", "fragment"> {
  let summary = "A matrix in the registers of a group of warps";
  let description = [{
    `!unitile.fragment<128x64xf32>`: which thread holds what is not said yet.
    `!unitile.fragment<128x64xf32, #unitile.mma_fragment>`: in this layout, as
    `unitile-assign-layouts` has it. Rows are a multiple of 16, columns of 8.
  }];
}

def UniTile_PendingType : UniTile_MatrixType<"Pending", "pending"> {
  let summary = "A fragment that tensor cores are still computing";
  let description = [{
    `!unitile.pending<128x64xf32>`: what `unitile.mma_start` gives, in registers
    that nothing may read or write yet. Only `unitile.mma_wait` takes it, and
    gives the fragment of the same rows, columns, elements and layout, whose
    rules it keeps.
  }];
  let extraClassDeclaration = [{
    /// What a fragment is before its wait.
    static PendingType of(::unisparse::unitile::FragmentType fragment);
    /// What it is behind its wait.
    ::unisparse::unitile::FragmentType getFragment();
  }];
}

def UniTile_RowsType : UniTile_Type<"Rows", "rows"> {
  let summary = "One value for each row of a fragment";
  let description = [{
    `!unitile.rows<128xf32>`: every thread holds the values of the rows that it
    holds elements of, in fragments of the same layout.
  }];
  let parameters = (ins "int64_t":$rows, "::mlir::Type":$elementType,
                        UniTile_LayoutParameter:$layout);
  let hasCustomAssemblyFormat = 1;
  let skipDefaultBuilders = 1;
  let builders = [TypeBuilder<(ins
      "int64_t":$rows, "::mlir::Type":$elementType,
      CArg<"::unisparse::unitile::FragmentLayoutInterface", "{}">:$layout), [{
    return $_get($_ctxt, rows, elementType, layout);
  }]>];
  let extraClassDeclaration = [{
    /// Of a fragment's rows, in f32.
    static RowsType of(::mlir::Type fragment);
  }];
}

def UniTile_TileType : UniTile_Type<"Tile", "tile"> {
  let summary = "Rows of a matrix, wherever a pass keeps them";
  let description = [{
    `!unitile.tile<128x64xbf16>`: what `unitile.fetch` gives. A page does not say
    where it lies or when it arrives: `unitile-pipeline` and
    `unitile-specialise-warps` put it into stages of shared memory. Rows are a
    multiple of 8, columns of 16.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$columns,
                        "::mlir::Type":$elementType);
  let hasCustomAssemblyFormat = 1;
}

def UniTile_BarriersType : UniTile_Type<"Barriers", "barriers"> {
  let summary = "Barriers in shared memory that copies and warps arrive at";
  let description = [{
    `!unitile.barriers<3>`: three mbarriers of 8 bytes. A phase of one ends when
    all its arrivals have come and the bytes that were announced are there;
    phases are counted by their parity, from 0.
  }];
  let parameters = (ins "int64_t":$count);
  let assemblyFormat = "`<` $count `>`";
  let extraClassDeclaration = [{
    int64_t getBytes() const { return 8 * getCount(); }
  }];
}

def UniTile_Combine : I32EnumAttr<"Combine", "how values of a row are combined", [
    I32EnumAttrCase<"Max", 0, "max">, I32EnumAttrCase<"Add", 1, "add">]> {
  let cppNamespace = "::unisparse::unitile";
  let genSpecializedAttr = 0;
}
def UniTile_CombineAttr : EnumAttr<UniTile_Dialect, UniTile_Combine, "combine">;

def UniTile_TilesAttr : AttrDef<UniTile_Dialect, "Tiles"> {
  let mnemonic = "tiles";
  let summary = "How a product kernel cuts its work into tiles";
  let description = [{
    `#unitile.tiles<rows = 128, keys = 64>`: a CTA computes tiles
    of 128 rows, 16 a warp, and takes 64 keys (composite keys, when scoring) at
    a time. As the attribute `unitile.schedule` of `unisparse.block_score` or
    `unisparse.block_sparse_attention` it overrides what
    `unisparse-select-schedule` would choose.

    Constraint U13: rows and keys are multiples of 16, up to 128 and 256.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$keys);
  let assemblyFormat = "`<` `rows` `=` $rows `,` `keys` `=` $keys `>`";
  let genVerifyDecl = 1;
}

def UniTile_ThreadsAttr : AttrDef<UniTile_Dialect, "Threads"> {
  let mnemonic = "threads";
  let summary = "Which threads work on a point of a page's grid";
  let description = [{
    `#unitile.threads<lanes = 32, items = 4>`: the `scf.parallel` loops of a page
    are shared out among 32 threads; a CTA has 4 such groups, for 4 neighbouring
    points of the grid's x. As `unitile.schedule` of a kernel it is what
    `unitile-distribute-threads` puts into effect. `ctas` is how many CTAs shall
    have room on a multiprocessor at once; without, the assembler decides.

    Constraint U29: lanes and items are above 0, and their product is at most
    1024, what a CTA has; ctas is not negative.
  }];
  let parameters = (ins "int64_t":$lanes,
                        DefaultValuedParameter<"int64_t", "1">:$items,
                        DefaultValuedParameter<"int64_t", "0">:$ctas);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Schedules
//===----------------------------------------------------------------------===//

def UniTile_Reference : I32EnumAttr<"Reference",
    "what a row's exponentials are taken relative to", [
    I32EnumAttrCase<"Running", 0, "running">,
    I32EnumAttrCase<"Speculative", 1, "speculative">]> {
  let cppNamespace = "::unisparse::unitile";
  let genSpecializedAttr = 0;
}

def UniTile_ScheduleAttr : AttrDef<UniTile_Dialect, "Schedule"> {
  let mnemonic = "schedule";
  let summary = "When things happen in a warp-specialised kernel";
  let description = [{
    All that is decided about time, in one place; what is computed does not
    depend on it. As `unitile.schedule` on `unisparse.block_sparse_attention` or
    `unisparse.block_score` it asks for a schedule, on a kernel it says which one
    it has. 0 leaves a number to the compiler. Scoring has no V: `keys` are
    composite keys, whole key blocks of them; `overlap` says nothing there, and
    `cluster` is 1. Whatever it says, the rows of a CTA form one
    stream: the first scores of a row are started beside the last output of the
    row before, so neither the start nor the end of a row drains the tensor cores.
    Where head_dim, of v too, is above 128, Q has no place in registers: it stays
    in shared memory, and a row ends before the next one begins.

    | | |
    |---|---|
    | `stages` | pairs of a K and a V tile between the producer and the consumers |
    | `keys` | rows of such a tile: the key block or a part of it, a multiple of 16 up to 128 |
    | `ctas` | that share a multiprocessor |
    | `cluster` | CTAs that share every copy of K and V: 2 walk the same key blocks for two neighbouring heads |
    | `producer_registers`, `consumer_registers` | of a thread; all warps of a multiprocessor share 64 Ki |
    | `reference` | `running`: the largest score so far, O rescaled in every block. `speculative`: that of the row's first block; later blocks only check that their sums stay in range, and are taken again where not. Says nothing where the page's softmax is `settled` |
    | `overlap` | a block's exponentials begin when its scores are done; off, when the output of the block before, which is started with them, is done too |
    | `ping_pong` | the warpgroups take turns at the tensor cores |

    Example: `#unitile.schedule<stages = 2, reference = running>`. What has its
    default is not printed. Files from before version 4 of the dialect say
    `blocks` for `ctas` and `turns` for `ping_pong`; both are read.
  }];
  let parameters = (ins
    DefaultValuedParameter<"int64_t", "0">:$stages,
    DefaultValuedParameter<"int64_t", "0">:$keys,
    DefaultValuedParameter<"int64_t", "0">:$ctas,
    DefaultValuedParameter<"int64_t", "0">:$cluster,
    DefaultValuedParameter<"int64_t", "0">:$producer_registers,
    DefaultValuedParameter<"int64_t", "0">:$consumer_registers,
    DefaultValuedParameter<"::unisparse::unitile::Reference",
      "::unisparse::unitile::Reference::Speculative">:$reference,
    DefaultValuedParameter<"bool", "true">:$overlap,
    DefaultValuedParameter<"bool", "false">:$ping_pong);
  let hasCustomAssemblyFormat = 1;
}

#endif // UNISPARSE_DIALECT_UNITILE_IR_UNITILETYPES_TD
