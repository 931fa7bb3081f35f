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
    `!unitile.shared<128x64xbf16, 2>`: two tiles of 128 rows and 64 columns,
    16-bit elements, in the dialect's shared layout. Rows are a multiple of 8,
    columns of 16.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$columns,
                        "::mlir::Type":$elementType,
                        DefaultValuedParameter<"int64_t", "1">:$stages);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    /// Panels of 64 columns.
    int64_t getPanels() const { return (getColumns() + 63) / 64; }
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

#endif // UNISPARSE_DIALECT_UNITILE_IR_UNITILETYPES_TD
