# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What an artifact is compiled for: a configuration, its options, its file name.

Lengths, the batch and the number of packed sequences are dynamic; everything here is static. Each option has the name
that unisparse-compile gives it, so the list of options *is* the configuration, and its digest names the file.
"""

import dataclasses
import hashlib
import math
import operator
from typing import Optional, Tuple

from ._errors import unexpected

# docs/Artifact.md.
FORMAT_VERSION = 2


@dataclasses.dataclass(frozen=True)
class Rule:
    """How blocks are scored and selected (S1 to L5)."""

    pooling: Tuple[int, int, int] = (8, 8, 1)
    agg: str = "max"
    share: str = "none"
    p: Tuple[float, ...] = (0.9,)
    top_k: Optional[int] = None
    sink: int = 1
    local: int = 1
    min_blocks: int = 0
    max_blocks: Optional[int] = None
    dense_below: int = 0
    alpha: float = 1.0

    def options(self):
        size = [f"--top-k={self.top_k}"] if self.top_k is not None else [f"--p={','.join(map(repr, self.p))}"]
        most = [f"--max-blocks={self.max_blocks}"] if self.max_blocks is not None else []
        return [
            "--pool={}x{}".format(*self.pooling),
            f"--head-pool={self.pooling[2]}",
            f"--agg={self.agg}",
            f"--share={self.share}",
            *size,
            f"--sink={self.sink}",
            f"--local={self.local}",
            f"--min-blocks={self.min_blocks}",
            *most,
            f"--dense-below={self.dense_below}",
            f"--alpha={self.alpha!r}",
        ]

    def describe(self):
        size = f"k{self.top_k}" if self.top_k is not None else f"p{self.p[0]:g}" if len(self.p) == 1 else "pheads"
        return "c" + "x".join(map(str, self.pooling)) + f"-{self.agg}" + ("-group" if self.share == "group" else "") + f"-{size}"

    def selections(self, heads, kv_heads):
        """How many distinct selections there are: the heads of counts and indices."""
        composites = heads // self.pooling[2]
        distinct = min(composites, kv_heads) if self.share == "group" else composites
        return distinct if self.top_k is not None or len(self.p) == 1 else max(distinct, len(self.p))


@dataclasses.dataclass(frozen=True)
class Config:
    """One artifact. `rule` is None where the selection is given. `selections`: how many heads a selection has."""

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    dtype: str
    block: Tuple[int, int] = (128, 128)
    rule: Optional[Rule] = None
    selections: int = 0
    causal: bool = True
    scale: Optional[float] = None
    packed: bool = False
    return_lse: bool = False
    return_selection: bool = False

    @property
    def stage(self):
        return "attention" if self.rule else "block_sparse_attention"

    def computation(self):
        """The options that unisparse-compile and unisparse-run share. Defaults are said aloud: they may change."""
        return [
            "--block={}x{}".format(*self.block),
            *(self.rule.options() if self.rule else [f"--share={'none' if self.selections == self.heads else 'group'}"]),
            *([] if self.causal else ["--no-causal"]),
            *([] if self.scale is None else [f"--scale={self.scale!r}"]),
        ]

    def options(self):
        """Everything that unisparse-compile has to know."""
        switches = ("packed", "return_lse", "return_selection")
        return [
            f"--stage={self.stage}",
            f"--heads={self.heads}",
            f"--kv-heads={self.kv_heads}",
            f"--head-dim={self.head_dim}",
            f"--value-dim={self.value_dim}",
            f"--dtype={self.dtype}",
            *self.computation(),
            *("--" + switch.replace("_", "-") for switch in switches if getattr(self, switch)),
        ]

    def digest(self):
        text = "\n".join([f"format {FORMAT_VERSION}", *self.options()])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def file_name(self):
        """Readable first, unique by the digest of every option."""
        parts = [
            self.stage,
            self.dtype,
            f"h{self.heads}x{self.kv_heads}",
            f"d{self.head_dim}x{self.value_dim}",
            "b{}x{}".format(*self.block),
        ]
        parts += [self.rule.describe()] if self.rule else []
        parts += [word for word, on in (("causal", self.causal), ("packed", self.packed)) if on]
        return "-".join([*parts, self.digest()]) + ".usp"


def integer(argument, value, least):
    try:
        number = operator.index(value) if not isinstance(value, bool) else None
    except TypeError:
        number = None
    if number is None or number < least:
        raise unexpected(argument, f"an integer of at least {least}", repr(value))
    return number


def number(argument, value):
    try:
        result = float(value) if not isinstance(value, (str, bool)) else math.nan
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        raise unexpected(argument, "a finite number", repr(value))
    return result


def choice(argument, value, choices):
    for one in choices:
        if type(value) is type(one) and value == one:
            return one
    raise unexpected(argument, " or ".join(map(repr, choices)), repr(value))


def flag(argument, value):
    return choice(argument, value, (True, False))


def sizes(argument, value, counts, what):
    """A tuple of positive integers, as many as one of `counts` says."""
    try:
        result = tuple(value)
    except TypeError:
        result = ()
    if len(result) not in counts:
        raise unexpected(argument, what, repr(value))
    return tuple(integer(argument, x, 1) for x in result)


def shares(p, heads, kv_heads, share):
    """L5: one p, or one for each query head, or one for each KV head under share = group."""
    many = not isinstance(p, str) and getattr(p, "ndim", 1) > 0 and hasattr(p, "__iter__")
    result = tuple(number("p", x) for x in p) if many else (number("p", p),)
    for x in result:
        if not 0 <= x <= 1:
            raise unexpected("p", "[L3] shares in [0, 1]", repr(x))
    named, kind = (kv_heads, "KV") if share == "group" else (heads, "query")
    if len(result) not in (1, named):
        raise unexpected("p", f"[L5] one number or one for each of the {named} {kind} heads", f"{len(result)} of them")
    return result


def make_rule(heads, kv_heads, block, *, p, top_k, pooling, agg, share, alpha, sink, local, min_blocks, max_blocks, dense_below):
    """The options of attention that choose blocks, checked; heads, kv_heads and block are."""
    pooling = sizes("pooling", pooling, (2, 3), "(queries, keys) or (queries, keys, heads)")
    pooling = pooling if len(pooling) == 3 else (*pooling, 1)
    for what, factor, size in zip(("query", "key"), pooling, block):
        if size % factor:
            raise unexpected("pooling", f"[I5] a {what} factor that divides the {what} block {size}", factor)
    group, pooled = heads // kv_heads, pooling[2]
    if heads % pooled or (group % pooled and pooled % group):
        raise unexpected(
            "pooling",
            f"[I6] pooled heads that divide the {heads} query heads, and divide or are a multiple of the {group} of a KV head",
            pooled,
        )
    share = choice("share", share, (None, "none", "group")) or "none"
    return Rule(
        pooling=pooling,
        agg=choice("agg", agg, ("max", "sum")),
        share=share,
        p=shares(p, heads, kv_heads, share),
        top_k=None if top_k is None else integer("top_k", top_k, 1),
        sink=integer("sink", sink, 0),
        local=integer("local", local, 0),
        min_blocks=integer("min_blocks", min_blocks, 0),
        max_blocks=None if max_blocks is None else integer("max_blocks", max_blocks, 0),
        dense_below=integer("dense_below", dense_below, 0),
        alpha=number("alpha", alpha),
    )


def make(
    heads, kv_heads, head_dim, value_dim, dtype, packed, *, block, causal, scale, return_lse, return_selection=False, selections=0, **rule
):
    """The configuration of a call: `rule` holds the options that choose blocks, or nothing where the selection is given."""
    block = sizes("block", block, (2,), "(queries, keys)")
    rule = make_rule(heads, kv_heads, block, **rule) if rule else None
    return Config(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_dim=value_dim,
        dtype=dtype,
        block=block,
        rule=rule,
        selections=rule.selections(heads, kv_heads) if rule else selections,
        causal=flag("causal", causal),
        scale=None if scale is None else number("scale", scale),
        packed=packed,
        return_lse=flag("return_lse", return_lse),
        return_selection=flag("return_selection", return_selection),
    )
