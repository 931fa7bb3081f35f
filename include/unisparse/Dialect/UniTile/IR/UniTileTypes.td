// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNITILE_IR_UNITILETYPES_TD
#define UNISPARSE_DIALECT_UNITILE_IR_UNITILETYPES_TD

include "unisparse/Dialect/UniTile/IR/UniTileDialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

class UniTile_Type<string name, string typeMnemonic>
    : TypeDef<UniTile_Dialect, name> {
  let mnemonic = typeMnemonic;
  let genVerifyDecl = 1;
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

def UniTile_FragmentType : UniTile_Type<"Fragment", "fragment"> {
  let summary = "A matrix in the registers of a group of warps";
  let description = [{
    `!unitile.fragment<128x64xf32>`, in the dialect's fragment layout. Rows are
    a multiple of 16, columns of 8.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$columns,
                        "::mlir::Type":$elementType);
  let hasCustomAssemblyFormat = 1;
}

def UniTile_RowsType : UniTile_Type<"Rows", "rows"> {
  let summary = "One value for each row of a fragment";
  let description = [{
    `!unitile.rows<128xf32>`: every thread holds the values of the rows that it
    holds elements of.
  }];
  let parameters = (ins "int64_t":$rows, "::mlir::Type":$elementType);
  let hasCustomAssemblyFormat = 1;
}

def UniTile_Combine : I32EnumAttr<"Combine", "how values of a row are combined", [
    I32EnumAttrCase<"Max", 0, "max">, I32EnumAttrCase<"Add", 1, "add">]> {
  let cppNamespace = "::unisparse::unitile";
  let genSpecializedAttr = 0;
}
def UniTile_CombineAttr : EnumAttr<UniTile_Dialect, UniTile_Combine, "combine">;

def UniTile_ScheduleAttr : AttrDef<UniTile_Dialect, "Schedule"> {
  let mnemonic = "schedule";
  let summary = "How a product kernel cuts its work into tiles";
  let description = [{
    `#unitile.schedule<rows = 128, keys = 64>`: a block of threads computes tiles
    of 128 rows, 16 a warp, and takes 64 keys (composite keys, when scoring) at
    a time. As the attribute `unitile.schedule` of `unisparse.block_score` or
    `unisparse.block_sparse_attention` it overrides what
    `unisparse-select-schedule` would choose.

    Constraint U13: both are multiples of 16, up to 128 (rows) and 256 (keys).
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$keys);
  let assemblyFormat = "`<` `rows` `=` $rows `,` `keys` `=` $keys `>`";
  let genVerifyDecl = 1;
}

#endif // UNISPARSE_DIALECT_UNITILE_IR_UNITILETYPES_TD
