// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// The words of a page: what a kernel computes, without a word of when or where.
// No stages, barriers, roles, threads or addresses; unitile-pipeline,
// unitile-specialise-warps and unitile-distribute-threads put them in. Included by UniTileOps.td.
#ifndef UNISPARSE_DIALECT_UNITILE_IR_UNITILEPAGEOPS_TD
#define UNISPARSE_DIALECT_UNITILE_IR_UNITILEPAGEOPS_TD

def UniTile_TileOrFragment : AnyTypeOf<[UniTile_TileType, UniTile_FragmentType]>;
def UniTile_Tokens : StridedMemRefRankOf<[F16, BF16, F32], [4]>;
def UniTile_TokensOrRows : StridedMemRefRankOf<[F16, BF16, F32], [3, 4]>;

//===----------------------------------------------------------------------===//
// Global memory
//===----------------------------------------------------------------------===//

def UniTile_LocateOp : UniTile_Op<"locate", [MemoryEffects<[MemRead]>]> {
  let summary = "Find the sequence that owns a query block";
  let description = [{
    `slot` counts the query blocks of `by` tokens of a packed batch: sequence s
    owns slots floor(cu_q[s] / by) + s and those behind it (docs/Architecture.md,
    "Packed batches"). Gives the block's number in its sequence, the sequence's
    first query and number of queries, its first key and number of keys. Slots
    that no sequence uses belong to the sequence before them, behind its end.

    ```mlir
    func.func @locate(%slot: i32, %cu: memref<?xi32>, %n: i32) -> i32 {
      %block, %q0, %lq, %k0, %lk = unitile.locate %slot by 128 in %cu, %cu of %n : memref<?xi32>, memref<?xi32>
      return %block : i32
    }
    ```
  }];
  let arguments = (ins I32:$slot, ConfinedAttr<I64Attr, [IntPositive]>:$by,
                       MemRefRankOf<[I32], [1]>:$cu_q, MemRefRankOf<[I32], [1]>:$cu_k,
                       I32:$sequences);
  let results = (outs I32:$block, I32:$q_start, I32:$q_length, I32:$k_start, I32:$k_length);
  let assemblyFormat = [{
    $slot `by` $by `in` $cu_q `,` $cu_k `of` $sequences attr-dict `:` type($cu_q) `,` type($cu_k)
  }];
}

def UniTile_FetchOp : UniTile_Op<"fetch", [MemoryEffects<[MemRead]>]> {
  let summary = "Rows of a head's matrix as a tile";
  let description = [{
    Rows `[row, row + rows of the tile)` of the matrix [L, D] that `source` holds
    for `batch` and `head`. Rows at or past `limit` are zeros and are not read
    (P3), and so are columns that the matrix does not have.

    Under `take n of p` each p rows of the tile take n rows of the source, and
    zeros behind them: blocks of an awkward size get the rows that fragments
    want.

    Constraint U21: the tile has the source's element type, and its columns are
    those of the source, up to a multiple of 16; `0 < n <= p`, and p divides the
    tile's rows.

    ```mlir
    func.func @fetch(%k: memref<?x8x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>>, %b: i32, %h: i32, %row: i32, %end: i32) -> !unitile.tile<64x128xbf16> {
      %t = unitile.fetch %k[%b, %h] rows %row to %end
        : memref<?x8x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>> -> !unitile.tile<64x128xbf16>
      return %t : !unitile.tile<64x128xbf16>
    }
    ```
  }];
  let arguments = (ins UniTile_Tokens:$source, I32:$batch, I32:$head, I32:$row, I32:$limit,
                       OptionalAttr<I64Attr>:$take, OptionalAttr<I64Attr>:$of);
  let results = (outs UniTile_TileType:$tile);
  let assemblyFormat = [{
    $source `[` $batch `,` $head `]` `rows` $row `to` $limit (`take` $take^ `of` $of)? attr-dict
    `:` type($source) `->` qualified(type($tile))
  }];
  let builders = [
    OpBuilder<(ins "::mlir::Type":$tile, "::mlir::Value":$source, "::mlir::Value":$batch, "::mlir::Value":$head,
                   "::mlir::Value":$row, "::mlir::Value":$limit),
              [{ build($_builder, $_state, tile, source, batch, head, row, limit, ::mlir::IntegerAttr(), ::mlir::IntegerAttr()); }]>
  ];
  let hasVerifier = 1;
}

def UniTile_PutOp : UniTile_Op<"put", [MemoryEffects<[MemWrite]>]> {
  let summary = "Write a fragment to rows of a head's matrix, or rows to its vector";
  let description = [{
    Row r of `value` goes to row `row + r` of what `target` holds for `batch` and
    `head`, a matrix [L, D] or a vector [L], unless that is at or past `limit`.
    Columns behind the matrix's are dropped.

    Constraint U21: a fragment has the target's element type and its columns, an
    even number, up to a multiple of 16; rows go to a vector of f32.

    ```mlir
    func.func @put(%x: !unitile.fragment<64x128xbf16>, %o: memref<?x8x?x128xbf16>, %b: i32, %h: i32, %row: i32, %end: i32) {
      unitile.put %x to %o[%b, %h] rows %row to %end : !unitile.fragment<64x128xbf16>, memref<?x8x?x128xbf16>
      return
    }
    ```
  }];
  let arguments = (ins UniTile_FragmentOrRows:$value, UniTile_TokensOrRows:$target,
                       I32:$batch, I32:$head, I32:$row, I32:$limit);
  let assemblyFormat = [{
    $value `to` $target `[` $batch `,` $head `]` `rows` $row `to` $limit attr-dict
    `:` qualified(type($value)) `,` type($target)
  }];
  let hasVerifier = 1;
}

def UniTile_WorkerOp : UniTile_Op<"worker", [Pure]> {
  let summary = "Which part of some memory is this CTA's own";
  let description = [{
    A number below the first size of `memory`, that no other CTA has at the same
    time: what a page keeps there from one loop to another is its own. The
    launch's grid says what there is to do; as many CTAs as there are parts do
    it, one item after the other (`unitile-persist`, `unitile-specialise-warps`).

    Constraint U31: the memory has a size to be a part of.

    ```mlir
    func.func @worker(%sums: memref<?x64x?xf32>) -> i32 {
      %w = unitile.worker of %sums : memref<?x64x?xf32>
      return %w : i32
    }
    ```
  }];
  let arguments = (ins AnyMemRef:$memory);
  let results = (outs I32:$worker);
  let assemblyFormat = "`of` $memory attr-dict `:` type($memory)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

def UniTile_DotOp : UniTile_Op<"dot", [Pure]> {
  let summary = "Multiply with a tile";
  let description = [{
    acc + a b^T, or, `by_rows`, acc + a b: `unitile.mma` and
    `unitile.mma_start` say when. Without `acc`, the product alone. f32
    accumulation.

    Constraint U22: as U2 to U4 of `unitile.mma`.

    ```mlir
    func.func @scores(%q: !unitile.tile<128x64xbf16>, %k: !unitile.tile<128x64xbf16>) -> !unitile.fragment<128x128xf32> {
      %s = unitile.dot %q, %k : !unitile.tile<128x64xbf16>, !unitile.tile<128x64xbf16> -> !unitile.fragment<128x128xf32>
      return %s : !unitile.fragment<128x128xf32>
    }
    ```
  }];
  let arguments = (ins UniTile_TileOrFragment:$a, UniTile_TileType:$b,
                       Optional<UniTile_FragmentType>:$acc, UnitAttr:$by_rows);
  let results = (outs UniTile_FragmentType:$result);
  let assemblyFormat = [{
    $a `,` $b (`,` $acc^)? (`by_rows` $by_rows^)? attr-dict
    `:` qualified(type($a)) `,` qualified(type($b)) (`,` qualified(type($acc))^)?
    `->` qualified(type($result))
  }];
  let hasVerifier = 1;
}

def UniTile_MaskOp : UniTile_Op<"mask",
    [Pure, AttrSizedOperandSegments, AllTypesMatch<["scores", "result"]>,
     OptionalTypesMatchWith<"bounds have the rows of the scores", "scores", "bounds",
                            "::unisparse::unitile::RowsType::of($_self)">]> {
  let summary = "Hide keys that a query must not see";
  let description = [{
    Column c of the scores is key `key + c`. It becomes -inf in row r unless
    key + c < limit (P3) and, with `diagonal`, key + c <= position + r, where
    `position` is that of row 0 among the keys (A1). Rows that do not stand in
    line, as composites of queries among composites of keys, have `by` a bound
    each instead, a whole number below 2^24: key + c < bound[r] (S2); no bound is
    at or below `position`. Under `from`, a number likewise, it also becomes -inf
    unless key + c >= from + r (M2). With `last`, that number is added to the scores of
    the last key, that of limit - 1: a composite of fewer tokens than others
    weighs less (S1).

    Where `when` is given and false, nothing is hidden or added: so a tile that
    no row sees the end of costs nothing.

    ```mlir
    func.func @mask(%s: !unitile.fragment<128x64xf32>, %key: i32, %end: i32, %position: i32) -> !unitile.fragment<128x64xf32> {
      %m = unitile.mask %s keys %key to %end diagonal %position : !unitile.fragment<128x64xf32>
      return %m : !unitile.fragment<128x64xf32>
    }
    func.func @composites(%s: !unitile.fragment<128x64xf32>, %key: i32, %end: i32, %position: i32, %bounds: !unitile.rows<128xf32>, %share: f32)
        -> !unitile.fragment<128x64xf32> {
      %m = unitile.mask %s keys %key to %end diagonal %position by %bounds last %share : !unitile.fragment<128x64xf32>
      return %m : !unitile.fragment<128x64xf32>
    }
    ```

    Constraint U26: bounds come with a position.
  }];
  let arguments = (ins UniTile_FragmentType:$scores, I32:$key, I32:$limit,
                       Optional<I32>:$position, Optional<UniTile_RowsType>:$bounds,
                       Optional<F32>:$last, Optional<I1>:$when, Optional<I32>:$from);
  let results = (outs UniTile_FragmentType:$result);
  let assemblyFormat = [{
    $scores `keys` $key `to` $limit (`from` $from^)? (`diagonal` $position^)?
    (`by` $bounds^)?
    (`last` $last^)? (`when` $when^)? attr-dict
    `:` qualified(type($scores))
  }];
  let hasVerifier = 1;
  let builders = [
    OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$scores, "::mlir::Value":$key, "::mlir::Value":$limit,
                   "::mlir::Value":$position, "::mlir::Value":$when)>
  ];
}

def UniTile_SoftmaxOp : UniTile_Op<"softmax",
    [Pure, AllTypesMatch<["old_reference", "reference"]>, AllTypesMatch<["old_sum", "sum"]>,
     AllTypesMatch<["old_output", "output"]>]> {
  let summary = "One step of the online softmax";
  let description = [{
    With x = scale * scores * log2(e), all in f32:

        reference   = max(old_reference, max over a row of x)
        probability = exp2(x - reference), rounded to its element type
        sum         = old_sum * exp2(old_reference - reference) + the row's probabilities
        output      = old_output * exp2(old_reference - reference)

    The reference is finite, so that a row of -inf has probabilities of 0 and
    never NaN: a state begins with a reference of -1e30, sum and output 0. The
    probabilities are those before rounding where they are summed. `sum` is rows,
    or, in a kernel, a fragment of 8 columns (`unitile.fold`) that is added up
    once behind all steps: no thread asks another for a sum in a step.

    `speculative`: a reference that is too low only has to be noticed. The old
    one stays as long as the row's sums of this step remain in range (2^64; 2^15
    for f16 probabilities), and the step is taken again where they do not. The
    results divided by their sum are the same up to rounding.

    `settled R`: scores are bounded, and any reference from R to R + 1 does for all
    of them: neither exponentials nor their sums leave the range of f32, nor
    probabilities that of their type. A row takes the one of these that is a
    whole number away from the largest x of its first step, so that the largest
    probability is rounded as little as one of 1 would be, and keeps it; output is
    what it was. A row that sees small scores alone has small probabilities: what
    they are multiplied with has to leave their products in range, too.

    Constraint U23: rows agree; probabilities have the scores' shape; a scale
    above 0; under `speculative` a sum of 8 columns; not `speculative` and
    `settled` both, and an R of at most 2^20 in size.

    ```mlir
    func.func @step(%s: !unitile.fragment<128x64xf32>, %m: !unitile.rows<128xf32>, %l: !unitile.rows<128xf32>, %o: !unitile.fragment<128x128xf32>)
        -> !unitile.fragment<128x64xbf16> {
      %p, %m1, %l1, %o1 = unitile.softmax %s scale 0.125 from %m, %l, %o
        : !unitile.fragment<128x64xf32>, !unitile.rows<128xf32>, !unitile.rows<128xf32>, !unitile.fragment<128x128xf32> -> !unitile.fragment<128x64xbf16>
      return %p : !unitile.fragment<128x64xbf16>
    }
    ```
  }];
  let arguments = (ins UniTile_FragmentType:$scores, F64Attr:$scale,
                       UniTile_RowsType:$old_reference,
                       UniTile_FragmentOrRows:$old_sum,
                       UniTile_FragmentType:$old_output, UnitAttr:$speculative,
                       OptionalAttr<F64Attr>:$settled);
  let results = (outs UniTile_FragmentType:$probabilities, UniTile_RowsType:$reference,
                      UniTile_FragmentOrRows:$sum, UniTile_FragmentType:$output);
  let assemblyFormat = [{
    (`speculative` $speculative^)? (`settled` $settled^)? $scores `scale` $scale
    `from` $old_reference `,` $old_sum `,` $old_output attr-dict
    `:` qualified(type($scores)) `,` qualified(type($old_reference)) `,` qualified(type($old_sum)) `,`
    qualified(type($old_output)) `->` qualified(type($probabilities))
  }];
  // Files of before version 5 have no settled reference.
  let useCustomPropertiesEncoding = 1;
  let hasVerifier = 1;
}

def UniTile_SoftmaxSumsOp : UniTile_Op<"softmax_sums",
    [Pure, AllTypesMatch<["old_reference", "reference"]>, AllTypesMatch<["old_sum", "sum"]>]> {
  let summary = "One step of an online softmax that weighs nothing";
  let description = [{
    As `unitile.softmax`, for who wants to know how much of a row's mass stands
    where: instead of the probabilities, their sums over each `columns`
    neighbouring columns (`unitile.sum_groups`), relative to the reference of
    this step, and no output.

    Constraint U27: as U23; sums as of `unitile.sum_groups`.

    ```mlir
    func.func @step(%s: !unitile.fragment<128x128xf32>, %m: !unitile.rows<128xf32>, %l: !unitile.rows<128xf32>) -> !unitile.fragment<128x8xf32> {
      %sums, %m1, %l1 = unitile.softmax_sums %s columns 16 scale 0.125 from %m, %l
        : !unitile.fragment<128x128xf32>, !unitile.rows<128xf32>, !unitile.rows<128xf32> -> !unitile.fragment<128x8xf32>
      return %sums : !unitile.fragment<128x8xf32>
    }
    ```
  }];
  let arguments = (ins UniTile_FragmentType:$scores, ConfinedAttr<I64Attr, [IntPositive]>:$columns,
                       F64Attr:$scale, UniTile_RowsType:$old_reference,
                       UniTile_FragmentOrRows:$old_sum, UnitAttr:$speculative);
  let results = (outs UniTile_FragmentType:$sums, UniTile_RowsType:$reference,
                      UniTile_FragmentOrRows:$sum);
  let assemblyFormat = [{
    (`speculative` $speculative^)? $scores `columns` $columns `scale` $scale `from` $old_reference `,` $old_sum attr-dict
    `:` qualified(type($scores)) `,` qualified(type($old_reference)) `,` qualified(type($old_sum))
    `->` qualified(type($sums))
  }];
  let hasVerifier = 1;
}

def UniTile_SumGroupsOp : UniTile_Op<"sum_groups", [MemoryEffects<[MemRead<UniTile_Warp>]>]> {
  let summary = "Sum each group of neighbouring columns";
  let description = [{
    Column j of the result is the sum over columns [columns j, columns (j + 1)).
    Columns behind the last group's, up to a multiple of 8, are 0. Lanes ask each
    other for what they hold: all threads of a warp execute it together.

    Constraint U28: groups have a multiple of 8 columns and divide the fragment;
    the result has its rows and a column for each group, up to a multiple of 8;
    both are f32.

    ```mlir
    func.func @sums(%p: !unitile.fragment<64x128xf32>) -> !unitile.fragment<64x8xf32> {
      %s = unitile.sum_groups %p columns 16 : !unitile.fragment<64x128xf32> -> !unitile.fragment<64x8xf32>
      return %s : !unitile.fragment<64x8xf32>
    }
    ```
  }];
  let arguments = (ins UniTile_FragmentType:$value, ConfinedAttr<I64Attr, [IntPositive]>:$columns);
  let results = (outs UniTile_FragmentType:$result);
  let assemblyFormat = [{
    $value `columns` $columns attr-dict `:` qualified(type($value)) `->` qualified(type($result))
  }];
  let hasVerifier = 1;
}

def UniTile_ReferenceOp : UniTile_Op<"reference", [Pure]> {
  let summary = "What the exponentials of a row's first scores are taken relative to";
  let description = [{
    The row's largest score, times scale and log2(e), but no less than -1e30: the
    first half of a `unitile.softmax` that has no state yet. `settled`: as there.

    ```mlir
    func.func @reference(%s: !unitile.fragment<128x64xf32>) -> !unitile.rows<128xf32> {
      %m = unitile.reference %s scale 0.125 : !unitile.fragment<128x64xf32> -> !unitile.rows<128xf32>
      return %m : !unitile.rows<128xf32>
    }
    ```
  }];
  let arguments = (ins UniTile_FragmentType:$scores, F64Attr:$scale,
                       OptionalAttr<F64Attr>:$settled);
  let results = (outs UniTile_RowsType:$reference);
  let assemblyFormat = [{
    (`settled` $settled^)? $scores `scale` $scale attr-dict
    `:` qualified(type($scores)) `->` qualified(type($reference))
  }];
  let useCustomPropertiesEncoding = 1;
  let hasVerifier = 1;
}

def UniTile_ExponentialsOp : UniTile_Op<"exponentials", [Pure]> {
  let summary = "Probabilities relative to a reference, and their sums";
  let description = [{
    exp2(scale * scores * log2(e) - reference), rounded, and their sums before
    that, over columns 8 apart: the second half of a `unitile.softmax` that has
    no state yet.

    ```mlir
    func.func @exponentials(%s: !unitile.fragment<128x64xf32>, %m: !unitile.rows<128xf32>) -> !unitile.fragment<128x64xbf16> {
      %p, %l = unitile.exponentials %s scale 0.125 from %m : !unitile.fragment<128x64xf32>, !unitile.rows<128xf32>
        -> !unitile.fragment<128x64xbf16>, !unitile.fragment<128x8xf32>
      return %p : !unitile.fragment<128x64xbf16>
    }
    ```
  }];
  let arguments = (ins UniTile_FragmentType:$scores, F64Attr:$scale, UniTile_RowsType:$reference);
  let results = (outs UniTile_FragmentType:$probabilities, UniTile_FragmentType:$sum);
  let assemblyFormat = [{
    $scores `scale` $scale `from` $reference attr-dict `:` qualified(type($scores)) `,` qualified(type($reference))
    `->` qualified(type($probabilities)) `,` qualified(type($sum))
  }];
}

def UniTile_InverseOp : UniTile_Op<"inverse", [Pure, AllTypesMatch<["sum", "result"]>]> {
  let summary = "1 / sum of an online softmax";
  let description = [{
    0 where nothing was seen (A2): a row whose inverse is 0 has an output of 0
    whatever its O holds (A5). `exact` rounds the quotient correctly.

    ```mlir
    func.func @end(%l: !unitile.rows<128xf32>) -> !unitile.rows<128xf32> {
      %0 = unitile.inverse %l : !unitile.rows<128xf32>
      return %0 : !unitile.rows<128xf32>
    }
    ```
  }];
  let arguments = (ins UniTile_RowsType:$sum, UnitAttr:$exact);
  let results = (outs UniTile_RowsType:$result);
  let assemblyFormat = "(`exact` $exact^)? $sum attr-dict `:` qualified(type($sum))";
}

def UniTile_LseOp : UniTile_Op<"lse",
    [Pure, AllTypesMatch<["reference", "sum", "result"]>]> {
  let summary = "Log-sum-exp of an online softmax";
  let description = [{
    (reference + log2 sum) ln 2: natural, and -inf where nothing was seen (A2).

    ```mlir
    func.func @end(%m: !unitile.rows<128xf32>, %l: !unitile.rows<128xf32>) -> !unitile.rows<128xf32> {
      %0 = unitile.lse %m, %l : !unitile.rows<128xf32>
      return %0 : !unitile.rows<128xf32>
    }
    ```
  }];
  let arguments = (ins UniTile_RowsType:$reference, UniTile_RowsType:$sum);
  let results = (outs UniTile_RowsType:$result);
  let assemblyFormat = "$reference `,` $sum attr-dict `:` qualified(type($sum))";
}

//===----------------------------------------------------------------------===//
// Data-parallel loops
//===----------------------------------------------------------------------===//

def UniTile_RankOp : UniTile_Op<"rank", [MemoryEffects<[MemRead<UniTile_Warp>]>]> {
  let summary = "How many iterations before this one say yes";
  let description = [{
    In the body of an `scf.parallel`: the number of iterations with a smaller
    induction variable that have `yes`. So a loop without an order writes what it
    takes in ascending order: rank is the place of each. Outside of such a loop
    there is no iteration before this one, and it is 0.

    Stands directly in the loop's body, where every iteration comes by: what is
    ranked crosses iterations. `unitile-distribute-threads` makes a ballot of it,
    `unitile-parallel-to-for` a count that the loop carries.

    The even numbers below n, one behind the other, and how many there are:
    ```mlir
    func.func @evens(%n: index, %out: memref<?xi32>) -> i32 {
      %lo = arith.constant 0 : index
      %step = arith.constant 1 : index
      %zero = arith.constant 0 : i32
      %two = arith.constant 2 : i32
      %count = scf.parallel (%i) = (%lo) to (%n) step (%step) init (%zero) -> i32 {
        %j = arith.index_cast %i : index to i32
        %odd = arith.remui %j, %two : i32
        %even = arith.cmpi eq, %odd, %zero : i32
        %rank = unitile.rank %even
        scf.if %even {
          %at = arith.index_cast %rank : i32 to index
          memref.store %j, %out[%at] : memref<?xi32>
        }
        %one = arith.extui %even : i1 to i32
        scf.reduce(%one : i32) {
        ^bb0(%x: i32, %y: i32):
          %sum = arith.addi %x, %y : i32
          scf.reduce.return %sum : i32
        }
      }
      return %count : i32
    }
    ```
  }];
  let arguments = (ins I1:$yes);
  let results = (outs I32:$rank);
  let assemblyFormat = "$yes attr-dict";
}

//===----------------------------------------------------------------------===//
// The walk
//===----------------------------------------------------------------------===//

def UniTile_WalkOp : UniTile_Op<"walk", [RecursiveMemoryEffects,
    SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "Go through a query tile's key tiles, in any order";
  let description = [{
    For each n in [0, count), in whichever order a schedule likes:

    | region | takes | gives |
    |---|---|---|
    | `block` | n | the first key of tile n in its sequence, and where visible keys end |
    | `score` | these two | the scores |
    | `mask` | scores, key, limit | the scores, hidden where a query must not see |
    | `update` | scores, key, limit, state | the state |

    and, once, behind all tiles, `finish` with the state. Regions may use what is
    computed in front of the walk, but not each other's values. `group` is how
    many neighbouring heads of the grid's y walk through the same K and V.

    Constraints
    - U24: the regions' arguments and yields are as in the table; the state has
      the types of `from`.

    Dense attention, as a page:

    ```mlir
    gpu.module @m {
      gpu.func @attend(%q: memref<?x2x?x64xbf16>, %k: memref<?x2x?x64xbf16>, %v: memref<?x2x?x64xbf16>, %o: memref<?x2x?x64xbf16>,
                       %b: i32, %h: i32, %first: i32, %lq: i32, %lk: i32, %count: i32) kernel {
        %c64 = arith.constant 64 : i32
        %zero = arith.constant 0.0 : f32
        %lowest = arith.constant -1.0e+30 : f32
        %qt = unitile.fetch %q[%b, %h] rows %first to %lq : memref<?x2x?x64xbf16> -> !unitile.tile<64x64xbf16>
        %o0 = unitile.fill %zero : f32 -> !unitile.fragment<64x64xf32>
        %m0 = unitile.fill %lowest : f32 -> !unitile.rows<64xf32>
        %l0 = unitile.fill %zero : f32 -> !unitile.rows<64xf32>
        unitile.walk to %count from(%o0, %m0, %l0 : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>, !unitile.rows<64xf32>) block {
        ^bb0(%n: i32):
          %key = arith.muli %n, %c64 : i32
          unitile.yield %key, %lk : i32, i32
        } score {
        ^bb0(%key: i32, %limit: i32):
          %kt = unitile.fetch %k[%b, %h] rows %key to %limit : memref<?x2x?x64xbf16> -> !unitile.tile<64x64xbf16>
          %s = unitile.dot %qt, %kt : !unitile.tile<64x64xbf16>, !unitile.tile<64x64xbf16> -> !unitile.fragment<64x64xf32>
          unitile.yield %s : !unitile.fragment<64x64xf32>
        } mask {
        ^bb0(%s: !unitile.fragment<64x64xf32>, %key: i32, %limit: i32):
          %masked = unitile.mask %s keys %key to %limit : !unitile.fragment<64x64xf32>
          unitile.yield %masked : !unitile.fragment<64x64xf32>
        } update {
        ^bb0(%s: !unitile.fragment<64x64xf32>, %key: i32, %limit: i32, %o1: !unitile.fragment<64x64xf32>, %m1: !unitile.rows<64xf32>, %l1: !unitile.rows<64xf32>):
          %p, %m2, %l2, %o2 = unitile.softmax %s scale 0.125 from %m1, %l1, %o1
            : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>, !unitile.rows<64xf32>, !unitile.fragment<64x64xf32> -> !unitile.fragment<64x64xbf16>
          %vt = unitile.fetch %v[%b, %h] rows %key to %limit : memref<?x2x?x64xbf16> -> !unitile.tile<64x64xbf16>
          %o3 = unitile.dot %p, %vt, %o2 by_rows
            : !unitile.fragment<64x64xbf16>, !unitile.tile<64x64xbf16>, !unitile.fragment<64x64xf32> -> !unitile.fragment<64x64xf32>
          unitile.yield %o3, %m2, %l2 : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>, !unitile.rows<64xf32>
        } finish {
        ^bb0(%o4: !unitile.fragment<64x64xf32>, %m4: !unitile.rows<64xf32>, %l4: !unitile.rows<64xf32>):
          %inverse = unitile.inverse %l4 : !unitile.rows<64xf32>
          %x = unitile.map ins(%o4, %inverse : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>) -> !unitile.fragment<64x64xbf16> {
          ^bb0(%e: f32, %i: f32):
            %y = arith.mulf %e, %i : f32
            %r = arith.truncf %y : f32 to bf16
            unitile.yield %r : bf16
          }
          unitile.put %x to %o[%b, %h] rows %first to %lq : !unitile.fragment<64x64xbf16>, memref<?x2x?x64xbf16>
          unitile.yield
        }
        gpu.return
      }
    }
    ```
  }];
  let arguments = (ins I32:$count, Variadic<AnyType>:$inits,
                       DefaultValuedAttr<ConfinedAttr<I64Attr, [IntPositive]>, "1">:$group);
  let regions = (region SizedRegion<1>:$block, SizedRegion<1>:$score, SizedRegion<1>:$mask,
                        SizedRegion<1>:$update, SizedRegion<1>:$finish);
  let assemblyFormat = [{
    `to` $count (`group` $group^)? (`from` `(` $inits^ `:` qualified(type($inits)) `)`)?
    `block` $block `score` $score `mask` $mask `update` $update `finish` $finish attr-dict
  }];
  let hasVerifier = 1;
}

#endif // UNISPARSE_DIALECT_UNITILE_IR_UNITILEPAGEOPS_TD
