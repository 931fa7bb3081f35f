// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNITILE_IR_UNITILEOPS_TD
#define UNISPARSE_DIALECT_UNITILE_IR_UNITILEOPS_TD

include "unisparse/Dialect/UniTile/IR/UniTileTypes.td"
include "mlir/Dialect/LLVMIR/LLVMTypes.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class UniTile_Op<string opMnemonic, list<Trait> traits = []>
    : Op<UniTile_Dialect, opMnemonic, traits>;

/// Instructions of a chip with wgmma and TMA [U18].
def UniTile_NeedsHopper : NativeOpTrait<"NeedsHopper"> {
  let cppNamespace = "::unisparse::unitile";
}

/// What the other lanes of a warp hold.
def UniTile_Warp : Resource<"::unisparse::unitile::WarpResource">;

def UniTile_GlobalPtr : LLVM_PointerInAddressSpace<1>;
def UniTile_FragmentOrRows : AnyTypeOf<[UniTile_FragmentType, UniTile_RowsType]>;

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

def UniTile_AllocOp : UniTile_Op<"alloc",
    [MemoryEffects<[MemAlloc]>]> {
  let summary = "Reserve a tile in shared memory";
  let description = [{
    Shapes: as the result type says. `offset` is the byte at which the tile
    starts in the kernel's dynamic shared memory; `unitile-allocate-shared`
    fills it in. A multiple of 1024, as the swizzle repeats every 8 rows.

    ```mlir
    func.func @alloc() {
      %k = unitile.alloc : !unitile.shared<128x64xbf16, 2>
      return
    }
    ```
  }];
  let arguments = (ins OptionalAttr<I64Attr>:$offset);
  let results = (outs UniTile_SharedType:$tile);
  let assemblyFormat = "(`offset` $offset^)? attr-dict `:` qualified(type($tile))";
  let hasVerifier = 1;
}

def UniTile_CopyAsyncOp : UniTile_Op<"copy_async",
    [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Start copying rows of a matrix in global memory into a tile";
  let description = [{
    Copies rows `[row, row + rows)` of the row-major matrix at `source`, whose
    rows are `stride` elements apart, into stage `stage` of `tile`; rows at or
    past `limit` are filled with zeros and not read (P3). The copy belongs to
    the group that the next `unitile.commit` closes and may be read after a
    `unitile.wait` for that group and a `unitile.barrier`.

    Under `width n` the source's rows have n elements, and the tile's columns
    behind them are zero. Under `take n of p` each p rows of the tile take n
    rows of the source, and zeros behind them: blocks of an awkward size get
    the rows that fragments want.

    Rows are copied in pieces of 16 bytes: `source`, `stride` and the width are
    multiples of that, 8 16-bit elements or 4 of f32.

    Constraint U10: the width is a multiple of 16 bytes up to the tile's
    columns; `0 < n <= p`, and p divides the tile's rows.

    ```mlir
    func.func @copy(%p: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64, %stage: i32) {
      %k = unitile.alloc : !unitile.shared<128x64xbf16, 2>
      unitile.copy_async %p row %row limit %limit stride %stride to %k[%stage] : !unitile.shared<128x64xbf16, 2>
      unitile.commit
      unitile.wait 0
      unitile.barrier
      return
    }
    ```
  }];
  let arguments = (ins UniTile_GlobalPtr:$source, I32:$row, I32:$limit,
                       I64:$stride, UniTile_SharedType:$tile, I32:$stage,
                       OptionalAttr<I64Attr>:$width,
                       OptionalAttr<I64Attr>:$take, OptionalAttr<I64Attr>:$of);
  let assemblyFormat = [{
    $source `row` $row `limit` $limit `stride` $stride (`width` $width^)?
    (`take` $take^ `of` $of)? `to` $tile `[` $stage `]`
    attr-dict `:` qualified(type($tile))
  }];
  let hasVerifier = 1;
}

def UniTile_CommitOp : UniTile_Op<"commit", [MemoryEffects<[MemWrite]>]> {
  let summary = "Close a group of copies";
  let description = [{
    The copies that a thread started since its last commit are one group, which
    `unitile.wait` counts.

    ```mlir
    func.func @commit(%p: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64, %stage: i32) {
      %k = unitile.alloc : !unitile.shared<128x64xbf16, 2>
      unitile.copy_async %p row %row limit %limit stride %stride to %k[%stage] : !unitile.shared<128x64xbf16, 2>
      unitile.commit
      unitile.wait 0
      unitile.barrier
      return
    }
    ```
  }];
  let assemblyFormat = "attr-dict";
}

def UniTile_WaitOp : UniTile_Op<"wait", [MemoryEffects<[MemWrite]>]> {
  let summary = "Wait until at most so many groups of this thread are in flight";
  let description = [{
    The latest `groups` groups may still be in flight; all before them have
    arrived. Other threads' copies are seen behind a `unitile.barrier`.

    ```mlir
    func.func @wait(%p: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64, %stage: i32) {
      %k = unitile.alloc : !unitile.shared<128x64xbf16, 2>
      unitile.copy_async %p row %row limit %limit stride %stride to %k[%stage] : !unitile.shared<128x64xbf16, 2>
      unitile.commit
      unitile.wait 0
      unitile.barrier
      return
    }
    ```
  }];
  let arguments = (ins ConfinedAttr<I32Attr, [IntNonNegative]>:$groups);
  let assemblyFormat = "$groups attr-dict";
}

def UniTile_BarrierOp : UniTile_Op<"barrier", [MemoryEffects<[MemWrite]>]> {
  let summary = "Wait for all threads of the block, their writes visible";
  let description = [{
    Stands between the wait for a copy and the reads of what other threads
    copied, and between the last reads of a stage and the copy that overwrites
    it. Under `cluster`, for all threads of all blocks of the cluster; under
    `consumers`, for those of `unitile.partitions` alone, who execute it. It waits for
    ever where some do not come by: U33 of `unitile-verify-tile-contract`.

    ```mlir
    func.func @barrier(%p: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64, %stage: i32) {
      %k = unitile.alloc : !unitile.shared<128x64xbf16, 2>
      unitile.copy_async %p row %row limit %limit stride %stride to %k[%stage] : !unitile.shared<128x64xbf16, 2>
      unitile.commit
      unitile.wait 0
      unitile.barrier
      return
    }
    ```
  }];
  let arguments = (ins UnitAttr:$cluster, UnitAttr:$consumers);
  let assemblyFormat = "(`cluster` $cluster^)? (`consumers` $consumers^)? attr-dict";
}

//===----------------------------------------------------------------------===//
// Fragments
//===----------------------------------------------------------------------===//

def UniTile_FillOp : UniTile_Op<"fill", [Pure]> {
  let summary = "A fragment, or rows, of one value";
  let description = [{
    ```mlir
    func.func @fill(%x: f32) -> !unitile.rows<128xf32> {
      %0 = unitile.fill %x : f32 -> !unitile.rows<128xf32>
      return %0 : !unitile.rows<128xf32>
    }
    ```
  }];
  let arguments = (ins AnyFloat:$value);
  let results = (outs UniTile_FragmentOrRows:$result);
  let assemblyFormat = "$value attr-dict `:` type($value) `->` qualified(type($result))";
  let hasVerifier = 1;
}

def UniTile_LoadOp : UniTile_Op<"load", [MemoryEffects<[MemRead]>]> {
  let summary = "Read a tile into a fragment";
  let description = [{
    The whole of a stage, as the A operand of `unitile.mma`.

    Constraint U1: the fragment has the tile's rows, columns and element type.

    ```mlir
    func.func @load(%stage: i32) -> !unitile.fragment<128x64xbf16> {
      %q = unitile.alloc : !unitile.shared<128x64xbf16, 2>
      %0 = unitile.load %q[%stage] : !unitile.shared<128x64xbf16, 2> -> !unitile.fragment<128x64xbf16>
      return %0 : !unitile.fragment<128x64xbf16>
    }
    ```
  }];
  let arguments = (ins UniTile_SharedType:$tile, I32:$stage);
  let results = (outs UniTile_FragmentType:$result);
  let assemblyFormat =
      "$tile `[` $stage `]` attr-dict `:` qualified(type($tile)) `->` qualified(type($result))";
  let hasVerifier = 1;
}

def UniTile_MmaOp : UniTile_Op<"mma",
    [MemoryEffects<[MemRead]>, AllTypesMatch<["acc", "result"]>]> {
  let summary = "Multiply a fragment with a tile and add";
  let description = [{
    `result = acc + a * b^T` where the rows of tile `b` are the columns of the
    result (S = Q K^T), or, under `by_rows`, `acc + a * b` where they are summed
    over (O += P V). Accumulates in f32.

    Products of f32 are as good as those of f32 arithmetic. An element is a sum
    of two tf32, `big + small`, to within 2^-23 of itself, and a product is
    `big * big + big * small + small * big`; what is left out is at most 2^-22 of
    it. Tensor cores cut off their sums, so they add up 16 columns alone, from
    zero, and these sums are rounded into acc as in f32. What holds beyond
    ordinary numbers:

    - An infinite or NaN element gives what it gives in f32: where big * big is
      not finite, the other products (NaN, as inf - inf is) are not added.
    - Elements of magnitude (2 - 2^-11) 2^127 and more count as infinite; where
      the small part would be below 2^-126, so below 2^-114, accuracy fades
      towards tf32's.
    - Of NaNs only the quiet ones are sure to stay NaN.

    Constraints
    - U2: a and b have one element type; acc is f32.
    - U3: a has the rows of acc.
    - U4: columns of a and of acc are those that b pairs with. Products of 16
      bits take 16 rows of b at a time, so b's rows are a multiple of 16.
    - U37: an atom, the instruction that it becomes, takes b's elements, waits for
      its sums, and has a and acc laid out as they are.

    ```mlir
    func.func @mma(%stage: i32, %acc: !unitile.fragment<128x128xf32>) -> !unitile.fragment<128x128xf32> {
      %q = unitile.alloc : !unitile.shared<128x64xbf16>
      %k = unitile.alloc : !unitile.shared<128x64xbf16, 2>
      %zero = arith.constant 0 : i32
      %a = unitile.load %q[%zero] : !unitile.shared<128x64xbf16> -> !unitile.fragment<128x64xbf16>
      %s = unitile.mma %a, %k[%stage], %acc : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16, 2>, !unitile.fragment<128x128xf32>
      return %s : !unitile.fragment<128x128xf32>
    }
    ```
  }];
  let arguments = (ins UniTile_FragmentType:$a, UniTile_SharedType:$b, I32:$stage,
                       UniTile_FragmentType:$acc, UnitAttr:$by_rows,
                       OptionalAttr<UniTile_MmaAtomInterface>:$atom);
  let results = (outs UniTile_FragmentType:$result);
  let assemblyFormat = [{
    $a `,` $b `[` $stage `]` `,` $acc (`by_rows` $by_rows^)? (`atom` `(` $atom^ `)`)? attr-dict
    `:` qualified(type($a)) `,` qualified(type($b)) `,` qualified(type($acc))
  }];
  // Files of before version 3 have no atom.
  let useCustomPropertiesEncoding = 1;
  let hasVerifier = 1;
}

def UniTile_MapOp : UniTile_Op<"map",
    [RecursiveMemoryEffects, RecursivelySpeculatable, SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "Compute every element of a fragment, or of rows";
  let description = [{
    The body takes one element of each input and yields one of the result; rows
    stand beside every column. Under `indices` it takes the element's row and
    column (i32; only the row where the result is rows) before them. The body
    holds ops on scalars that write nothing.

    Constraints
    - U5: inputs have the result's rows; fragments its columns.
    - U36: inputs and result are laid out alike, as a thread computes from what it
      holds.
    - U6: the body's arguments are the indices asked for and the inputs'
      element types, and it yields the result's.

    ```mlir
    func.func @exponentials(%s: !unitile.fragment<128x64xf32>, %top: !unitile.rows<128xf32>) -> !unitile.fragment<128x64xbf16> {
      %p = unitile.map ins(%s, %top : !unitile.fragment<128x64xf32>, !unitile.rows<128xf32>) -> !unitile.fragment<128x64xbf16> {
      ^bb0(%x: f32, %m: f32):
        %d = arith.subf %x, %m : f32
        %e = math.exp2 %d : f32
        %t = arith.truncf %e : f32 to bf16
        unitile.yield %t : bf16
      }
      return %p : !unitile.fragment<128x64xbf16>
    }
    ```
  }];
  let arguments = (ins Variadic<UniTile_FragmentOrRows>:$inputs, UnitAttr:$indices);
  let results = (outs UniTile_FragmentOrRows:$result);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    (`indices` $indices^)? (`ins` `(` $inputs^ `:` qualified(type($inputs)) `)`)?
    `->` qualified(type($result)) $body attr-dict
  }];
  let hasVerifier = 1;
}

def UniTile_YieldOp : UniTile_Op<"yield",
    [Pure, Terminator, ReturnLike, ParentOneOf<["MapOp", "WalkOp"]>]> {
  let summary = "The element of unitile.map, or what a region of unitile.walk gives";
  let description = [{
    ```mlir
    func.func @yield(%x: !unitile.rows<128xf32>) -> !unitile.rows<128xf32> {
      %0 = unitile.map ins(%x : !unitile.rows<128xf32>) -> !unitile.rows<128xf32> {
      ^bb0(%e: f32):
        unitile.yield %e : f32
      }
      return %0 : !unitile.rows<128xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` qualified(type($values)))? attr-dict";
  let builders = [OpBuilder<(ins), [{ }]>];
}

def UniTile_ReduceOp : UniTile_Op<"reduce",
    [MemoryEffects<[MemRead<UniTile_Warp>]>, AllTypesMatch<["init", "result"]>]> {
  let summary = "Combine the columns of a fragment, starting from rows";
  let description = [{
    Lanes ask each other for what they hold of a row: all threads of a warp
    execute it together.

    Constraints
    - U5: the fragment has the rows of `init`; both are f32.
    - U36: they are laid out alike.

    ```mlir
    func.func @top(%s: !unitile.fragment<128x64xf32>, %m: !unitile.rows<128xf32>) -> !unitile.rows<128xf32> {
      %0 = unitile.reduce max %s, %m : !unitile.fragment<128x64xf32>, !unitile.rows<128xf32>
      return %0 : !unitile.rows<128xf32>
    }
    ```
  }];
  let arguments = (ins UniTile_CombineAttr:$combine,
                       UniTile_FragmentType:$fragment, UniTile_RowsType:$init);
  let results = (outs UniTile_RowsType:$result);
  let assemblyFormat =
      "`` $combine $fragment `,` $init attr-dict `:` qualified(type($fragment)) `,` qualified(type($init))";
  let hasVerifier = 1;
}

def UniTile_FoldOp : UniTile_Op<"fold", [Pure]> {
  let summary = "Combine the columns of a fragment that are 8 apart";
  let description = [{
    Column `c` of the result is combined from all columns `c + 8 n`. No thread
    asks another for that, so a loop folds, and one `unitile.reduce` behind it
    finishes its rows.

    Constraint U14: the result has the fragment's rows and element type, f32,
    and 8 columns.

    ```mlir
    func.func @fold(%s: !unitile.fragment<128x64xf32>) -> !unitile.fragment<128x8xf32> {
      %0 = unitile.fold add %s : !unitile.fragment<128x64xf32> -> !unitile.fragment<128x8xf32>
      return %0 : !unitile.fragment<128x8xf32>
    }
    ```
  }];
  let arguments = (ins UniTile_CombineAttr:$combine, UniTile_FragmentType:$fragment);
  let results = (outs UniTile_FragmentType:$result);
  let assemblyFormat =
      "`` $combine $fragment attr-dict `:` qualified(type($fragment)) `->` qualified(type($result))";
  let hasVerifier = 1;
}

def UniTile_AllBelowOp : UniTile_Op<"all_below", [MemoryEffects<[MemRead<UniTile_Warp>]>]> {
  let summary = "Are all elements that a warp holds below a bound?";
  let description = [{
    The same answer in every thread of a warp, all of which execute it together;
    warps may differ. NaN is below nothing.

    ```mlir
    func.func @fits(%x: !unitile.fragment<128x8xf32>, %bound: f32) -> i1 {
      %0 = unitile.all_below %x, %bound : !unitile.fragment<128x8xf32>
      return %0 : i1
    }
    ```
  }];
  let arguments = (ins UniTile_FragmentOrRows:$value, F32:$bound);
  let results = (outs I1:$result);
  let assemblyFormat = "$value `,` $bound attr-dict `:` qualified(type($value))";
}

def UniTile_BallotOp : UniTile_Op<"ballot", [MemoryEffects<[MemRead<UniTile_Warp>]>]> {
  let summary = "Which lanes of a warp say yes?";
  let description = [{
    Bit i of the result is what lane i has; the same result in every thread of a
    warp, all of which execute it together.

    ```mlir
    func.func @voters(%yes: i1) -> i32 {
      %0 = unitile.ballot %yes
      return %0 : i32
    }
    ```
  }];
  let arguments = (ins I1:$yes);
  let results = (outs I32:$lanes);
  let assemblyFormat = "$yes attr-dict";
}

def UniTile_StoreOp : UniTile_Op<"store", [MemoryEffects<[MemWrite]>]> {
  let summary = "Write a fragment, or rows, to global memory";
  let description = [{
    Row `r` goes to row `row + r` of the row-major matrix at `target`, whose
    rows are `stride` elements apart (rows: element `row + r`); rows at or past
    `limit`, and under `width n` columns from n on, are not written.

    Constraint U10: the width is even, up to the fragment's columns.

    ```mlir
    func.func @store(%x: !unitile.fragment<128x64xf32>, %o: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64) {
      unitile.store %x to %o row %row limit %limit stride %stride : !unitile.fragment<128x64xf32>
      return
    }
    ```
  }];
  let arguments = (ins UniTile_FragmentOrRows:$value, UniTile_GlobalPtr:$target,
                       I32:$row, I32:$limit, I64:$stride,
                       OptionalAttr<I64Attr>:$width);
  let assemblyFormat = [{
    $value `to` $target `row` $row `limit` $limit `stride` $stride
    (`width` $width^)? attr-dict `:` qualified(type($value))
  }];
  let hasVerifier = 1;
}

include "unisparse/Dialect/UniTile/IR/UniTileAsyncOps.td"
include "unisparse/Dialect/UniTile/IR/UniTilePageOps.td"

#endif // UNISPARSE_DIALECT_UNITILE_IR_UNITILEOPS_TD
