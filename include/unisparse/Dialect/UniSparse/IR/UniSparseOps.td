// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSEOPS_TD
#define UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSEOPS_TD

include "unisparse/Dialect/UniSparse/IR/UniSparseAttrs.td"
include "unisparse/Dialect/UniSparse/IR/UniSparseTensors.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/TilingInterface.td"

class UniSparse_Op<string opMnemonic, list<Trait> traits = []>
    : Op<UniSparse_Dialect, opMnemonic, !listconcat(traits, [
        NoMemoryEffect,
        // Not always: what packed ends, given selections and dynamic lengths
        // promise may only hold where the op stands.
        DeclareOpInterfaceMethods<ConditionallySpeculatable>,
        DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>,
        DeclareOpInterfaceMethods<InferTypeOpInterface>,
        DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface,
                                  ["reifyResultShapes"]>])> {
  let hasVerifier = 1;
}

def UniSparse_PoolOp : UniSparse_Op<"pool", [
    DeclareOpInterfaceMethods<TilingInterface,
      ["getIterationDomain", "getLoopIteratorTypes", "getResultTilePosition",
       "getTiledImplementation", "generateResultTileValue"]>]> {
  let summary = "Average tokens (and heads) into composite tokens";
  let description = [{
    Composite `a` of a sequence is the mean of its rows
    `[a * by, min((a + 1) * by, L))`, of the rows that exist and never of
    padding [P1], accumulated in f32 and rounded once to the element type [P2].
    With `heads = n` the mean also runs over `n` consecutive heads [P4].

    Shapes: `[B, H, L, D] -> [B, H / heads, ceil(L / by), D]`; a packed batch of
    `S` sequences has `floor(L / by) + S` composite slots (see the dialect).
    Slots that hold no composite have unspecified contents.

    `representatives t of Bq` [P5]: composites come by query blocks of `Bq` rows,
    each `Bq / by` means and then, by ascending row, the `t` rows of the block
    that lie farthest from its mean: `[B, H / heads, R * (Bq / by + t), D]` with
    `R = ceil(L / Bq)` query blocks, or slots of a packed batch. The second
    result names these rows, `[B, H / heads, R, t]`, counted from the first of
    their sequence. A block that ends early repeats its last mean in the place
    of means that it has not, and its last representative likewise: a maximum
    over its composites is the same, and every block has as many.

    `spread s` [P6], of keys, appends a column for each group of `s` consecutive
    dims: the mean over the group of the variance of the composite's rows.
    `norms s times f`, of queries, appends `f` times the squared norm of the
    composite, as it is stored, restricted to the group. With `f = alpha * scale / 2` the dot
    product of both is S1's. They are rounded to the element type, to its
    largest finite number where they are beyond it. Under either the composites
    have `D + D / s` columns.

    Constraints
    - P1: `by >= 1`.
    - P4: `heads >= 1` and divides `H`.
    - P5: `by` divides `Bq`; `1 <= t <= Bq`.
    - P6: `s` divides `D`; not both `spread` and `norms`; `f` is finite and given
      with `norms` only.
    - I8: with `cu_seqlens`, `B` is 1 and `cu_seqlens` has at least one entry.

    ```mlir
    func.func @pool(%q: tensor<1x8x1000x64xf16>) -> tensor<1x4x125x64xf16> {
      %0 = unisparse.pool %q by 8 heads 2 : (tensor<1x8x1000x64xf16>) -> tensor<1x4x125x64xf16>
      return %0 : tensor<1x4x125x64xf16>
    }
    func.func @pool_for_estimate(%q: tensor<1x8x1000x64xf16>, %k: tensor<1x8x1000x64xf16>)
        -> (tensor<1x8x256x128xf16>, tensor<1x8x8x16xi32>, tensor<1x8x125x128xf16>) {
      %0, %rows = unisparse.pool %q by 8 representatives 16 of 128 norms 1 times 0.0625
        : (tensor<1x8x1000x64xf16>) -> (tensor<1x8x256x128xf16>, tensor<1x8x8x16xi32>)
      %1 = unisparse.pool %k by 8 spread 1 : (tensor<1x8x1000x64xf16>) -> tensor<1x8x125x128xf16>
      return %0, %rows, %1 : tensor<1x8x256x128xf16>, tensor<1x8x8x16xi32>, tensor<1x8x125x128xf16>
    }
    ```
  }];
  let arguments = (ins UniSparse_Tokens:$x,
                       Optional<UniSparse_CuSeqlens>:$cu_seqlens,
                       I64Attr:$by, DefaultValuedAttr<I64Attr, "1">:$heads,
                       DefaultValuedAttr<I64Attr, "0">:$representatives,
                       DefaultValuedAttr<I64Attr, "0">:$block,
                       DefaultValuedAttr<I64Attr, "0">:$spread,
                       DefaultValuedAttr<I64Attr, "0">:$norms,
                       OptionalAttr<F64Attr>:$factor);
  let results = (outs UniSparse_Tokens:$composites,
                      Optional<UniSparse_Rows>:$rows);
  let builders = [OpBuilder<(ins "::mlir::Value":$x, "::mlir::Value":$cuSeqlens,
                                 "int64_t":$by, "int64_t":$heads)>];
  let assemblyFormat = [{
    $x (`cu_seqlens` `(` $cu_seqlens^ `)`)? `by` $by (`heads` $heads^)?
    (`representatives` $representatives^ `of` $block)? (`spread` $spread^)?
    (`norms` $norms^ `times` $factor)? attr-dict
    `:` functional-type(operands, results)
  }];
  let hasFolder = 1;
  // Files of version 1 know of `by` and `heads` only.
  let useCustomPropertiesEncoding = 1;
  let extraClassDeclaration = [{
    /// Dims of a group that adds a column, of keys or of queries; 0 for none.
    int64_t groupDims() { return getSpread() ? getSpread() : getNorms(); }
    /// Composite rows of a query block, where it has representatives.
    int64_t rowsOfBlock() { return getBlock() / getBy() + getRepresentatives(); }
  }];
}

/// What the ops that know both sequences take: their lengths, mixed static and
/// dynamic, and the packed batch's ends.
defvar lengthsArguments = (ins Variadic<Index>:$lengths,
                               DenseI64ArrayAttr:$static_lengths,
                               Optional<UniSparse_CuSeqlens>:$cu_seqlens_q,
                               Optional<UniSparse_CuSeqlens>:$cu_seqlens_k);

/// Of the ops that know what a query sees.
defvar positionsDeclaration = [{
    /// Whether queries have positions among the keys: I7 holds.
    bool hasPositions() { return getCausal() || getWindow(); }
}];

def UniSparse_BlockScoreOp : UniSparse_Op<"block_score", [
    AttrSizedOperandSegments, IsolatedFromAbove]> {
  let summary = "Attention between composite tokens, summed over key blocks";
  let description = [{
    `P(a, .)` is the softmax over the composite keys `b` visible to composite
    query `a` of `alpha * scale * <q_a, k_b> + ln(n_b / ck)`, where `n_b` is the
    number of rows in `b` [S1-S3]; `W(a, j)` sums it over key block `j` [S4].
    The mass `M(r, j)` of query block `r` is the maximum of `W(a, j)` over its
    composite rows, or their mean weighted by `n_a` under `agg sum` [S5]. Under
    `share group` masses are averaged over the query heads of a KV head [S6].
    Logits never exist outside a tile.

    Under `pooling <.., representatives = t>` q's composites come by query blocks,
    as `unisparse.pool .. representatives t of Bq` gives them, and `rows` names
    the representatives: the row of one, not the last of a mean's, decides what
    it sees [P5, S2]. Under `spread = s` both have `D / s` columns more, q's
    `norms` and k's `spread`; the product runs over all of them [P6, S1].

    `modify` takes the region of `unisparse.block_sparse_attention` [M5] where it
    has a part in the estimate [M6]: of the capped logits, before `ln(n_b / ck)`,
    at the middle tokens of their composites.

    Shapes: composites `[B, Hq, A, D]` and `[B, Hkv, C, D]`, f32 mass
    `[B, H, R, J]` with `H = Hq`, or `Hkv` under `share group`; `R = ceil(Lq / Bq)`
    and `J = ceil(Lk / Bk)` (a packed batch: `floor(Lq / Bq) + S` and
    `ceil(Lk / Bk)`). `lengths [Lq, Lk]` are the lengths in tokens. Blocks that
    are no candidates [L1] have mass 0. With representatives
    `A = R * (Bq / cq + t)` and `rows` is `[B, Hq, R, t]`.

    Constraints
    - I1: one element type; I2: equal `B` and `D`; I3: `Hkv` divides `Hq`.
    - I5: `cq` divides `Bq` and `ck` divides `Bk`.
    - I7: causal needs `Lq <= Lk`.
    - I8: both `cu_seqlens` or none; then `B` is 1 and both have one size.
    - S1: `scale` and `alpha` are finite; `scale` defaults to `D ** -0.5`.
    - S4: `A` and `C` are the composites of `lengths`.
    - P5: `rows` beside representatives and only then, with q's batch and heads,
      `R` and `t`; `agg max` with them.
    - P6: composites of `D + D / s` columns.
    - M1: `softcap` is above 0 and finite, as are its inverse and its product
      with log2(e); M2: a window needs I7; M5: as for
      `unisparse.block_sparse_attention`.

    ```mlir
    func.func @score(%q: tensor<1x8x512x64xf16>, %k: tensor<1x2x512x64xf16>) -> tensor<1x8x32x32xf32> {
      %0 = unisparse.block_score %q, %k lengths [4096, 4096] block <128x128> pooling <8x8> causal
        : (tensor<1x8x512x64xf16>, tensor<1x2x512x64xf16>) -> tensor<1x8x32x32xf32>
      return %0 : tensor<1x8x32x32xf32>
    }
    ```
  }];
  let arguments = !con((ins UniSparse_Tokens:$q, UniSparse_Tokens:$k),
                       lengthsArguments,
                       (ins UniSparse_BlockAttr:$block,
                            UniSparse_PoolingAttr:$pooling,
                            DefaultValuedAttr<UniSparse_AggAttr, "::unisparse::Agg::Max">:$agg,
                            DefaultValuedAttr<UniSparse_ShareAttr, "::unisparse::Share::None">:$share,
                            UnitAttr:$causal,
                            OptionalAttr<F64Attr>:$scale,
                            DefaultValuedAttr<F64Attr, "1.0">:$alpha,
                            // The last operand: files of version 1 have none.
                            Optional<UniSparse_Rows>:$rows,
                            OptionalAttr<F64Attr>:$softcap,
                            OptionalAttr<UniSparse_WindowAttr>:$window,
                            // The last operands: files before version 4 have none.
                            Variadic<UniSparse_Table>:$tables));
  let regions = (region VariadicRegion<AnyRegion>:$modification);
  let results = (outs UniSparse_Mass:$mass);
  let assemblyFormat = [{
    $q `,` $k (`rows` `(` $rows^ `)`)? (`tables` `(` $tables^ `)`)?
    `lengths` custom<DynamicIndexList>($lengths, $static_lengths)
    (`cu_seqlens` `(` $cu_seqlens_q^ `,` $cu_seqlens_k `)`)?
    `block` $block `pooling` $pooling (`agg` `` $agg^)? (`share` `` $share^)?
    (`causal` $causal^)? (`scale` $scale^)? (`alpha` $alpha^)?
    (`softcap` $softcap^)? (`window` $window^)? attr-dict
    (`modify` $modification^)? `:` functional-type(operands, results)
  }];
  let extraClassDeclaration = positionsDeclaration # [{
    /// D: what the composites have without the columns of their spread [P6].
    int64_t getHeadDim();
    /// The factor of the logits [S1] without alpha: `scale`, or its default.
    double getLogitScale();
  }];
  let hasCanonicalizer = 1;
  let hasRegionVerifier = 1;
  // Files of versions 1 and 2 know nothing of modifications [M1, M2].
  let useCustomPropertiesEncoding = 1;
}

def UniSparse_BlockSelectOp : UniSparse_Op<"block_select", [AttrSizedOperandSegments]> {
  let summary = "Choose the key blocks of every query block";
  let description = [{
    Candidates are the key blocks that any row of a query block may see, under
    a `window` too [L1, M2].
    The forced ones [L2] are taken, then the others in order of mass, ties by
    the smaller index, until the `rule` is met [L3, L4, L9-L11]. The last blocks
    of a sequence may take all [L8]. A mass that is NaN or below zero counts as
    none.

    Shapes: f32 mass `[B, Hm, R, J]` gives `counts` i32 `[B, H, R]`, `indices`
    i32 `[B, H, R, J]`, ascending within a row and 0 behind `counts` [L6], and
    `density` f32 `[B, H]`, selected over candidate blocks of all rows. `H` is
    `Hm`, or `Hp` where the operand `top_p` [Hp] names more heads [L5]. Under
    `rule <all>` and `rule <random>` only the shape of `mass` matters;
    canonicalisation then puts a `tensor.empty` in its place, so that nothing
    computes it.

    Constraints
    - I7, I8 as for `unisparse.block_score`.
    - L2: `sink >= 0`, `local >= 0`; L3: `0 <= p <= 1`, `min_blocks >= 0`,
      `max_blocks >= 0`; L4: `top_k >= 1`; L8: `last >= 0`; L9: `threshold` in
      [0, 1], beside neither `min_blocks` nor `max_blocks`; L10: `random` in
      [0, 1], without `min_blocks`, `seed` of 32 bits and only there; L11:
      `relax` in [0, 1000], beside `top_p` only.
    - L5: the operand `top_p` comes with `rule <top_p>` and only with it; one of
      `Hp` and `Hm` divides the other.
    - L6: `R` and `J` are the blocks of `lengths`.

    ```mlir
    func.func @select(%m: tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>) {
      %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <top_p = 0.8, local = 2, relax = 0.5> causal
        : (tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
      return %c, %i, %d : tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>
    }
    ```
  }];
  let arguments = !con((ins UniSparse_Mass:$mass, Optional<UniSparse_Share_P>:$top_p),
                       lengthsArguments,
                       (ins UniSparse_BlockAttr:$block,
                            UniSparse_RuleAttr:$rule, UnitAttr:$causal,
                            OptionalAttr<UniSparse_WindowAttr>:$window));
  let results = (outs UniSparse_Counts:$counts, UniSparse_Indices:$indices,
                      TensorRankOf<[F32], [2]>:$density);
  let assemblyFormat = [{
    $mass (`top_p` `(` $top_p^ `)`)?
    `lengths` custom<DynamicIndexList>($lengths, $static_lengths)
    (`cu_seqlens` `(` $cu_seqlens_q^ `,` $cu_seqlens_k `)`)?
    `block` $block `rule` $rule (`causal` $causal^)? (`window` $window^)?
    attr-dict `:` functional-type(operands, results)
  }];
  let hasCanonicalizer = 1;
  // Files of versions 1 and 2 know nothing of modifications [M1, M2].
  let useCustomPropertiesEncoding = 1;
  let extraClassDeclaration = positionsDeclaration;
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

def UniSparse_YieldOp : Op<UniSparse_Dialect, "yield", [
    Pure, Terminator,
    ParentOneOf<["BlockSparseAttentionOp", "AttentionOp", "BlockScoreOp"]>]> {
  let summary = "The logit that a modification makes";
  let description = [{
    Ends the region of `unisparse.block_sparse_attention`, of
    `unisparse.attention` [M5] and of `unisparse.block_score` [M6].
  }];
  let arguments = (ins F32:$logit);
  let assemblyFormat = "$logit attr-dict `:` type($logit)";
}

def UniSparse_BlockSparseAttentionOp : UniSparse_Op<"block_sparse_attention", [
    AttrSizedOperandSegments, IsolatedFromAbove,
    DeclareOpInterfaceMethods<TilingInterface,
      ["getIterationDomain", "getLoopIteratorTypes", "getResultTilePosition",
       "getTiledImplementation"]>]> {
  let summary = "Exact attention over selected key blocks";
  let description = [{
    `o_i` is the softmax over the keys `t` of the selected blocks, with
    `t <= i + Lk - Lq` when causal, of `scale * <q_i, k_t>`, times `v` [A1];
    `lse_i` is the natural logarithm of the sum of exponentials. A row that sees
    nothing has `o = 0` and `lse = -inf` [A2]. Any selection that satisfies L6
    is executed as given [A4]; without one every candidate is selected.

    Models modify the logits: `softcap c` makes `c * tanh(x / c)` of each [M1], a
    `window` hides keys by their distance [M2], and the exponential of a head's
    `sink_logits` joins the sum of its softmax, with no value [M3]. `modify` takes
    a region from (logit, batch, head, query position, key position) to a logit,
    of f32 and i32 [M5]: ops of arith but remf and rounding modes, on integers of
    at most 64 bits, f16, bf16, f32 and f64, those of math that every target has
    (absf, absi, ceil, copysign, exp, exp2, floor, fma, log, log2, rsqrt,
    roundeven, sqrt, tanh, trunc), and `tensor.extract` from the `tables`, which
    are its further arguments; an index outside of a table reads the nearest
    entry. It follows the scale and the soft cap, and comes before what is hidden
    is. Positions count from the sequence's first key.

    Shapes: q `[B, Hq, Lq, D]`, k `[B, Hkv, Lk, D]`, v `[B, Hkv, Lk, Dv]`,
    counts `[B, H, R]`, indices `[B, H, R, J]`, o `[B, Hq, Lq, Dv]`, f32 lse
    `[B, Hq, Lq]` (only with `return_lse`). Query head `h` follows the selection
    of head `h * H / Hq`; in a packed batch indices count from the sequence's
    own first key.

    Constraints
    - I1: one element type; I2: equal `B` and `D`; I3: `Hkv` divides `Hq`;
      I4: k and v agree in `Hkv` and `Lk`.
    - I7, I8 as for `unisparse.block_score`.
    - A1: `scale` is finite; it defaults to `D ** -0.5`.
    - M1: `softcap` is above 0 and finite, as are its inverse and its product
      with log2(e); M2: a window needs I7; M3: one sink logit a query head.
    - M5: one region of one block, with arguments f32, i32, i32, i32, i32 and the
      tables', and of such ops alone; tables beside it only.
    - A4: counts and indices together or not at all; `H` divides `Hq`; `R` is
      the blocks of the queries, `J` any number that no count exceeds. What they
      hold is the caller's promise.

    ```mlir
    func.func @attend(%q: tensor<1x8x4096x64xf16>, %k: tensor<1x2x4096x64xf16>, %v: tensor<1x2x4096x64xf16>,
                      %c: tensor<1x2x32xi32>, %i: tensor<1x2x32x32xi32>) -> (tensor<1x8x4096x64xf16>, tensor<1x8x4096xf32>) {
      %o, %lse = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <128x128> causal return_lse
        : (tensor<1x8x4096x64xf16>, tensor<1x2x4096x64xf16>, tensor<1x2x4096x64xf16>, tensor<1x2x32xi32>, tensor<1x2x32x32xi32>)
          -> (tensor<1x8x4096x64xf16>, tensor<1x8x4096xf32>)
      return %o, %lse : tensor<1x8x4096x64xf16>, tensor<1x8x4096xf32>
    }
    func.func @modified(%q: tensor<1x8x4096x64xf16>, %k: tensor<1x2x4096x64xf16>, %v: tensor<1x2x4096x64xf16>, %s: tensor<8xf32>)
        -> tensor<1x8x4096x64xf16> {
      %o = unisparse.block_sparse_attention %q, %k, %v sink_logits(%s) block <128x128> causal softcap 50.0 window <left = 1023>
        : (tensor<1x8x4096x64xf16>, tensor<1x2x4096x64xf16>, tensor<1x2x4096x64xf16>, tensor<8xf32>) -> tensor<1x8x4096x64xf16>
      return %o : tensor<1x8x4096x64xf16>
    }
    // ALiBi: minus the distance, times a slope of the head.
    func.func @alibi(%q: tensor<1x8x4096x64xf16>, %k: tensor<1x8x4096x64xf16>, %slopes: tensor<8xf32>) -> tensor<1x8x4096x64xf16> {
      %o = unisparse.block_sparse_attention %q, %k, %k tables(%slopes) block <128x128> causal modify {
      ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32, %table: tensor<8xf32>):
        %head = arith.index_cast %h : i32 to index
        %slope = tensor.extract %table[%head] : tensor<8xf32>
        %d = arith.subi %t, %i : i32
        %distance = arith.sitofp %d : i32 to f32
        %bias = arith.mulf %distance, %slope : f32
        %y = arith.addf %x, %bias : f32
        unisparse.yield %y : f32
      } : (tensor<1x8x4096x64xf16>, tensor<1x8x4096x64xf16>, tensor<1x8x4096x64xf16>, tensor<8xf32>) -> tensor<1x8x4096x64xf16>
      return %o : tensor<1x8x4096x64xf16>
    }
    ```
  }];
  let arguments = (ins UniSparse_Tokens:$q, UniSparse_Tokens:$k, UniSparse_Tokens:$v,
                       Optional<UniSparse_Counts>:$counts,
                       Optional<UniSparse_Indices>:$indices,
                       Optional<UniSparse_CuSeqlens>:$cu_seqlens_q,
                       Optional<UniSparse_CuSeqlens>:$cu_seqlens_k,
                       UniSparse_BlockAttr:$block, UnitAttr:$causal,
                       UnitAttr:$return_lse, OptionalAttr<F64Attr>:$scale,
                       OptionalAttr<F64Attr>:$softcap,
                       OptionalAttr<UniSparse_WindowAttr>:$window,
                       // The last operand: files of versions 1 and 2 have none.
                       Optional<UniSparse_Sinks>:$sink_logits,
                       Variadic<UniSparse_Table>:$tables);
  let regions = (region VariadicRegion<AnyRegion>:$modification);
  let results = (outs UniSparse_Tokens:$o, Optional<TensorRankOf<[F32], [3]>>:$lse);
  let assemblyFormat = [{
    $q `,` $k `,` $v (`selection` `(` $counts^ `,` $indices `)`)?
    (`cu_seqlens` `(` $cu_seqlens_q^ `,` $cu_seqlens_k `)`)?
    (`sink_logits` `(` $sink_logits^ `)`)? (`tables` `(` $tables^ `)`)?
    `block` $block (`causal` $causal^)? (`return_lse` $return_lse^)?
    (`scale` $scale^)? (`softcap` $softcap^)? (`window` $window^)? attr-dict
    (`modify` $modification^)? `:` functional-type(operands, results)
  }];
  let hasCanonicalizer = 1;
  let hasRegionVerifier = 1;
  // Files of versions 1 and 2 know nothing of modifications [M1, M2].
  let useCustomPropertiesEncoding = 1;
  let extraClassDeclaration = positionsDeclaration;
}

def UniSparse_AttentionOp : UniSparse_Op<"attention", [
    AttrSizedOperandSegments, IsolatedFromAbove,
    AggregatedOpInterface]> {
  let summary = "Block-sparse attention that selects its own blocks";
  let description = [{
    The whole of SPEC.md in one op: pool, score, select, attend. It decomposes
    into the four (`unisparse-decompose-attention`); a rule that takes every
    candidate decomposes into dense attention with nothing pooled or scored.
    Under `estimate_with_region` the estimate's logits are modified too [M6].

    Shapes as for the four ops. `counts`, `indices` and `density` have as many
    heads as there are distinct selections: `Hq / ch`, at most `Hkv` under
    `share group`, and no fewer than the operand `top_p` names.

    Constraints
    - I1: one element type; I2: equal `B` and `D`; I3: `Hkv` divides `Hq`;
      I4: k and v agree in `Hkv` and `Lk`.
    - I5: `cq` divides `Bq`, `ck` divides `Bk`, unless the rule takes every
      candidate and nothing is pooled; I6: `ch` divides `Hq`, and one of `ch` and
      `g = Hq / Hkv` divides the other.
    - I7: causal needs `Lq <= Lk`; I8: both `cu_seqlens` or none, then `B` is 1.
    - S1, L2-L4, L8-L11, M1-M3, M5: as for the ops that take these attributes.
    - P5: `agg max` beside representatives; P6: `spread` divides `D`.
    - M6: `estimate_with_region` beside a modification, and `ch` is 1 with it.
    - L5: the operand `top_p` has `Hq` values, or `Hkv` under `share group`.

    ```mlir
    func.func @attention(%q: tensor<1x8x4096x64xf16>, %k: tensor<1x2x4096x64xf16>, %v: tensor<1x2x4096x64xf16>)
        -> (tensor<1x8x4096x64xf16>, tensor<1x8xf32>) {
      %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.9> causal
        : (tensor<1x8x4096x64xf16>, tensor<1x2x4096x64xf16>, tensor<1x2x4096x64xf16>)
          -> (tensor<1x8x4096x64xf16>, tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
      return %o, %d : tensor<1x8x4096x64xf16>, tensor<1x8xf32>
    }
    ```
  }];
  let arguments = (ins UniSparse_Tokens:$q, UniSparse_Tokens:$k, UniSparse_Tokens:$v,
                       Optional<UniSparse_Share_P>:$top_p,
                       Optional<UniSparse_CuSeqlens>:$cu_seqlens_q,
                       Optional<UniSparse_CuSeqlens>:$cu_seqlens_k,
                       UniSparse_BlockAttr:$block, UniSparse_PoolingAttr:$pooling,
                       UniSparse_RuleAttr:$rule,
                       DefaultValuedAttr<UniSparse_AggAttr, "::unisparse::Agg::Max">:$agg,
                       DefaultValuedAttr<UniSparse_ShareAttr, "::unisparse::Share::None">:$share,
                       UnitAttr:$causal, UnitAttr:$return_lse,
                       OptionalAttr<F64Attr>:$scale,
                       DefaultValuedAttr<F64Attr, "1.0">:$alpha,
                       OptionalAttr<F64Attr>:$softcap,
                       OptionalAttr<UniSparse_WindowAttr>:$window,
                       // The last operand: files of versions 1 and 2 have none.
                       Optional<UniSparse_Sinks>:$sink_logits,
                       Variadic<UniSparse_Table>:$tables,
                       UnitAttr:$estimate_with_region);
  let regions = (region VariadicRegion<AnyRegion>:$modification);
  let results = (outs UniSparse_Tokens:$o, Optional<TensorRankOf<[F32], [3]>>:$lse,
                      UniSparse_Counts:$counts, UniSparse_Indices:$indices,
                      TensorRankOf<[F32], [2]>:$density);
  let assemblyFormat = [{
    $q `,` $k `,` $v (`top_p` `(` $top_p^ `)`)?
    (`cu_seqlens` `(` $cu_seqlens_q^ `,` $cu_seqlens_k `)`)?
    (`sink_logits` `(` $sink_logits^ `)`)? (`tables` `(` $tables^ `)`)?
    `block` $block `pooling` $pooling `rule` $rule (`agg` `` $agg^)? (`share` `` $share^)?
    (`causal` $causal^)? (`return_lse` $return_lse^)? (`scale` $scale^)? (`alpha` $alpha^)?
    (`softcap` $softcap^)? (`window` $window^)?
    (`estimate_with_region` $estimate_with_region^)? attr-dict
    (`modify` $modification^)? `:` functional-type(operands, results)
  }];
  let hasCanonicalizer = 1;
  let hasRegionVerifier = 1;
  // Files of versions 1 and 2 know nothing of modifications [M1, M2].
  let useCustomPropertiesEncoding = 1;
  let extraClassDeclaration = positionsDeclaration # [{
    /// The rule, or `all` where the lengths make it that.
    RuleAttr effectiveRule();
    /// Whether anything is pooled and scored: not where the rule takes what it
    /// takes whatever the masses are.
    bool pools();
    /// AggregatedOpInterface: the four stages, one value per result.
    ::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>
    decomposeOperation(::mlir::OpBuilder &b);
  }];
}

#endif // UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSEOPS_TD
