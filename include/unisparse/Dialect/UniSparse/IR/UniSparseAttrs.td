// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSEATTRS_TD
#define UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSEATTRS_TD

include "unisparse/Dialect/UniSparse/IR/UniSparseDialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

class UniSparse_Attr<string name, string attrMnemonic>
    : AttrDef<UniSparse_Dialect, name> {
  let mnemonic = attrMnemonic;
  let genVerifyDecl = 1;
}

def UniSparse_BlockAttr : UniSparse_Attr<"Block", "block"> {
  let summary = "Rows and columns of an attention block";
  let description = [{
    `#unisparse.block<128x64>`: 128 queries (Bq) by 64 keys (Bk). Both are
    positive [I5]; neither has to divide a length.
  }];
  let parameters = (ins "int64_t":$query, "int64_t":$key);
  let assemblyFormat = "`<` custom<Pair>($query, $key) `>`";
}

def UniSparse_PoolingAttr : UniSparse_Attr<"Pooling", "pooling"> {
  let summary = "How many tokens and heads a composite token averages";
  let description = [{
    `#unisparse.pooling<8x4, heads = 2>`: composites average 8 queries (cq),
    4 keys (ck) [P1] and 2 consecutive query heads (ch, default 1) [P4].

    `#unisparse.pooling<8x8, representatives = 16, spread = 1>`: a query block
    gives, besides its means, the 16 rows that lie farthest from its mean [P5];
    a key composite also gives the variance of its keys, averaged over groups of
    1 consecutive dim [P6]. Both are 0, none, unless asked for.
  }];
  let parameters = (ins "int64_t":$query, "int64_t":$key,
                        DefaultValuedParameter<"int64_t", "1">:$heads,
                        DefaultValuedParameter<"int64_t", "0">:$representatives,
                        DefaultValuedParameter<"int64_t", "0">:$spread);
  let builders = [AttrBuilder<(ins "int64_t":$query, "int64_t":$key,
                                   CArg<"int64_t", "1">:$heads), [{
    return $_get($_ctxt, query, key, heads, 0, 0);
  }]>];
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    /// Composite rows of one query block of `rows` rows: its means, then its
    /// representatives.
    int64_t rowsOfBlock(int64_t rows) const {
      return rows / getQuery() + getRepresentatives();
    }
    /// Without what changes nothing for blocks of `rows` queries: rows that are
    /// composites already, or more representatives than rows [P5]; the spread
    /// of single keys, which is 0 [P6].
    PoolingAttr simplified(int64_t rows) const;
  }];
}

def UniSparse_RuleKind : I32EnumAttr<"RuleKind", "what ends a row's selection", [
    I32EnumAttrCase<"TopP", 0, "top_p">,
    I32EnumAttrCase<"TopK", 1, "top_k">,
    I32EnumAttrCase<"All", 2, "all">,
    I32EnumAttrCase<"Threshold", 3, "threshold">,
    I32EnumAttrCase<"Random", 4, "random">]> {
  let cppNamespace = "::unisparse";
  let genSpecializedAttr = 0;
}

def UniSparse_RuleAttr : UniSparse_Attr<"Rule", "rule"> {
  let summary = "Which key blocks a query block selects";
  let description = [{
    One of
    - `#unisparse.rule<top_p = 0.9>`: the smallest set holding the share 0.9 of
      the candidates' mass [L3]; `top_p` without a value takes the share of
      each head from the op's `top_p` operand [L5];
    - `#unisparse.rule<top_k = 32>`: 32 blocks, the forced ones counted [L4];
    - `#unisparse.rule<all>`: every candidate [L1];
    - `#unisparse.rule<threshold = 0.1>`: the blocks whose mass is at least 0.1
      times the row's largest [L9];
    - `#unisparse.rule<random = 0.25, seed = 7>`: a quarter of the candidates by
      pseudo-random masses, the same on every target; no mass is read [L10].

    Options, shown only where they differ from their defaults:
    - `sink = 1`: the first blocks of a sequence are forced [L2];
    - `local = 1`: the blocks on the diagonal and `local - 1` before them are
      forced, causal only [L2];
    - `last = 0`: so many last query blocks of a sequence take every candidate,
      whatever the rule [L8];
    - `min_blocks = 0`: take at least so many, the forced ones counted [L3];
    - `max_blocks`: take at most so many besides the forced ones [L3];
    - `dense_below = 0`: a sequence of at most so many keys takes every
      candidate (SPEC, Defaults);
    - `relax = 0.5`: of `top_p`; what a row may leave out, 1 - p, grows with its
      candidates, to 1 + relax times from 16,384 keys on; none unless given [L11];
    - `seed = 0`: of `random`, 32 bits.
  }];
  let parameters = (ins "::unisparse::RuleKind":$kind,
      OptionalParameter<"::mlir::FloatAttr">:$p,
      "int64_t":$k, "int64_t":$sink, "int64_t":$local, "int64_t":$minBlocks,
      OptionalParameter<"std::optional<int64_t>">:$maxBlocks,
      "int64_t":$denseBelow, "int64_t":$last, "int64_t":$seed,
      OptionalParameter<"::mlir::FloatAttr">:$relax);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    /// A row's candidates, in keys, from which on and up to which relax counts
    /// more and more [L11].
    static constexpr int64_t kRelaxFrom = 4096, kRelaxTo = 16384;
    /// With more, long rows would have the forced blocks alone at most shares.
    static constexpr int64_t kMostRelax = 1000;
    /// The default guards around every candidate.
    static RuleAttr getAll(::mlir::MLIRContext *context);
    /// The number behind the rule's name, of top_p, threshold and random.
    double getValue() const { return getP().getValueAsDouble(); }
    /// True where the rule takes every candidate of every row, whatever the
    /// masses are (L3: p >= 1 with no cap).
    bool takesAll() const;
    /// Whether which blocks are taken depends on their masses.
    bool readsMass() const {
      return getKind() != RuleKind::All && getKind() != RuleKind::Random;
    }
    /// `all` where the rule cannot leave out a candidate of a sequence of at
    /// most `queries` queries, in blocks of `rows`, and `keys` keys (or any
    /// number, where dynamic), this rule elsewhere.
    RuleAttr forLengths(int64_t queries, int64_t keys, int64_t rows) const;
    /// This rule with another `dense_below`.
    RuleAttr withDenseBelow(int64_t keys) const;
  }];
}

def UniSparse_Agg : I32EnumAttr<"Agg", "how composite rows become a block's mass", [
    I32EnumAttrCase<"Max", 0, "max">,
    I32EnumAttrCase<"Sum", 1, "sum">]> {
  let cppNamespace = "::unisparse";
  let genSpecializedAttr = 0;
}
def UniSparse_AggAttr : EnumAttr<UniSparse_Dialect, UniSparse_Agg, "agg"> {
  let summary = "How composite rows become a block's mass [S5]";
}

def UniSparse_Share : I32EnumAttr<"Share", "which heads share a selection", [
    I32EnumAttrCase<"None", 0, "none">,
    I32EnumAttrCase<"Group", 1, "group">]> {
  let cppNamespace = "::unisparse";
  let genSpecializedAttr = 0;
}
def UniSparse_ShareAttr : EnumAttr<UniSparse_Dialect, UniSparse_Share, "share"> {
  let summary = "Whether the query heads of a KV group share a selection [S6]";
}

def UniSparse_CheckRelation : I32EnumAttr<"CheckRelation", "how two sizes are compared", [
    I32EnumAttrCase<"Equal", 0, "equal">,
    I32EnumAttrCase<"AtMost", 1, "at_most">,
    I32EnumAttrCase<"MultipleOf", 2, "multiple_of">]> {
  let cppNamespace = "::unisparse";
  let genSpecializedAttr = 0;
}

def UniSparse_CheckAttr : UniSparse_Attr<"Check", "check"> {
  let summary = "What an assertion about sizes compares";
  let description = [{
    `cf.assert %holds, "I7: ..." {unisparse.check = #unisparse.check<"I7", "the
    length of q" at_most "the length of k">}`: a rule of SPEC.md about sizes that
    types could not settle, checked before anything is launched. The label says
    which rule, the names what the two sides of the comparison are for people.
    An artifact takes no other assertion.
  }];
  let parameters = (ins StringRefParameter<>:$label, StringRefParameter<>:$left,
                        EnumParameter<UniSparse_CheckRelation>:$relation,
                        StringRefParameter<>:$right);
  let assemblyFormat = "`<` $label `,` $left $relation $right `>`";
  let extraClassDeclaration = [{
    /// "the length of q <= the length of k".
    std::string getText() const;
  }];
}

def UniSparse_WindowAttr : UniSparse_Attr<"Window", "window"> {
  let summary = "How far a query sees to either side, in tokens";
  let description = [{
    `#unisparse.window<left = 4095, right = 0>`: a query sees keys from 4095
    before its own position to that position [M2]. A side that is not named has
    no limit (-1); one of them has.
  }];
  let parameters = (ins "int64_t":$left, "int64_t":$right);
  let hasCustomAssemblyFormat = 1;
}

#endif // UNISPARSE_DIALECT_UNISPARSE_IR_UNISPARSEATTRS_TD
