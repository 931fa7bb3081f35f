# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What an artifact is compiled for: a configuration, its options, its file name.

Lengths, the batch and the number of packed sequences are dynamic; everything here is static. Each option has the name
that unisparse-compile gives it, so the list of options *is* the configuration, and its digest names the file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import operator
import re
import sys
import textwrap
from typing import Any, Mapping, Optional, Sequence, Tuple, TypeVar

from ._errors import unexpected

T = TypeVar("T")

# docs/Artifact.md.
FORMAT_VERSION = 4

# The score_mod that has a name.
ALIBI = "alibi"


# The measured policy: of those that keep 99% of dense attention's answers on every measured model and length, the one
# that takes the least time (benchmarks/NOTES.md, "Accuracy"). The tools have the same one.
SHARE, RELAX = 0.8, 0.5  # L3, L11: of this share alone.


def measured_representatives(agg: str, pooled_queries: int) -> int:
    """P5: rows stand for themselves where a block's mass is a maximum, and where a composite query is no row already."""
    return 16 if agg == "max" and pooled_queries > 1 else 0


def measured_spread(head_dim: int, pooled_keys: int) -> int:
    """P6: groups of 4 dims, or of fewer where the columns behind head_dim would not be a multiple of 8, which tiles are
    made of. 0 where a composite key is a key."""
    return next(dims for columns in (8, 1) for dims in (4, 3, 2, 1) if head_dim % (dims * columns) == 0) if pooled_keys > 1 else 0


def measured_last(causal: bool) -> int:
    """L8: the end of a prompt asks the question; without causality there is no end."""
    return 1 if causal else 0


@dataclasses.dataclass(frozen=True)
class Rule:
    """How blocks are scored and selected (P1 to L10)."""

    pooling: Tuple[int, int, int] = (8, 8, 1)
    representatives: int = 0
    spread: int = 0
    agg: str = "max"
    share: str = "none"
    p: Tuple[float, ...] = (SHARE,)
    relax: float = RELAX
    top_k: Optional[int] = None
    threshold: Optional[float] = None
    random: Optional[float] = None
    seed: int = 0
    sink: int = 1
    local: int = 1
    last: int = 0
    min_blocks: int = 0
    max_blocks: Optional[int] = None
    dense_below: int = 0
    alpha: float = 1.0

    def options(self) -> list[str]:
        if self.top_k is not None:
            size = [f"--top-k={self.top_k}"]
        elif self.threshold is not None:
            size = [f"--threshold={self.threshold!r}"]
        elif self.random is not None:
            size = [f"--random={self.random!r}", f"--seed={self.seed}"]
        else:
            size = [f"--p={','.join(map(repr, self.p))}", f"--relax={self.relax!r}"]
        most = [f"--max-blocks={self.max_blocks}"] if self.max_blocks is not None else []
        return [
            "--pool={}x{}".format(*self.pooling),
            f"--head-pool={self.pooling[2]}",
            f"--representatives={self.representatives}",
            f"--spread={self.spread}",
            f"--agg={self.agg}",
            f"--share={self.share}",
            *size,
            f"--sink={self.sink}",
            f"--local={self.local}",
            f"--last={self.last}",
            f"--min-blocks={self.min_blocks}",
            *most,
            f"--dense-below={self.dense_below}",
            f"--alpha={self.alpha!r}",
        ]

    def describe(self) -> str:
        size = f"p{self.p[0]:g}" if len(self.p) == 1 else "pheads"
        if self.top_k is not None:
            size = f"k{self.top_k}"
        elif self.threshold is not None:
            size = f"a{self.threshold:g}"
        elif self.random is not None:
            size = f"r{self.random:g}"
        estimate = "c" + "x".join(map(str, self.pooling))
        estimate += (f"t{self.representatives}" if self.representatives else "") + (f"s{self.spread}" if self.spread else "")
        return estimate + f"-{self.agg}" + ("-group" if self.share == "group" else "") + f"-{size}"

    @property
    def by_share(self) -> bool:
        """Whether p decides."""
        return self.top_k is None and self.threshold is None and self.random is None

    def selections(self, heads: int, kv_heads: int) -> int:
        """How many distinct selections there are: the heads of counts and indices."""
        composites = heads // self.pooling[2]
        distinct = min(composites, kv_heads) if self.share == "group" else composites
        return distinct if not self.by_share or len(self.p) == 1 else max(distinct, len(self.p))


@dataclasses.dataclass(frozen=True)
class Config:
    """One artifact. `rule` is None where the selection is given. `selections`: how many heads a selection has. `only`: "pool" or
    "select", a stage of attention as a program of its own."""

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
    softcap: Optional[float] = None
    window: Tuple[int, int] = (-1, -1)
    sinks: bool = False
    score_mod: Optional[str] = None
    score_tables: Tuple[Tuple[str, str], ...] = ()
    score_mod_heads: Optional[Tuple[int, int]] = None
    estimate_with_region: bool = False
    packed: bool = False
    return_lse: bool = False
    return_selection: bool = False
    only: str = ""

    @property
    def stage(self) -> str:
        return self.only or ("attention" if self.rule else "block_sparse_attention")

    def pool(self) -> Config:
        """Of the same attention: k to composite keys."""
        assert self.rule is not None
        rule = Rule(pooling=self.rule.pooling, spread=self.rule.spread)
        return Config(self.heads, self.kv_heads, self.head_dim, self.head_dim, self.dtype, self.block, rule, self.selections, only="pool")

    def select(self) -> Config:
        """Of the same attention, one sequence of it: q and composite keys to counts and indices. Which rows and sequences take
        all, is the caller's."""
        assert self.rule is not None
        rule = dataclasses.replace(self.rule, last=0, dense_below=0)
        score_mod = self.score_mod if self.estimate_with_region else None
        tables = self.score_tables if self.estimate_with_region else ()
        without = dict(sinks=False, score_mod=score_mod, score_tables=tables, packed=False, return_lse=False, return_selection=False)
        return dataclasses.replace(self, value_dim=self.head_dim, rule=rule, only="select", **without)  # type: ignore[arg-type]

    def computation(self) -> list[str]:
        """The options that unisparse-compile and unisparse-run share. Defaults are said aloud: they may change."""
        return [
            "--block={}x{}".format(*self.block),
            *(self.rule.options() if self.rule else [f"--share={'none' if self.selections == self.heads else 'group'}"]),
            *([] if self.causal else ["--no-causal"]),
            *([] if self.scale is None else [f"--scale={self.scale!r}"]),
            *([] if self.softcap is None else [f"--softcap={self.softcap!r}"]),
            *([] if self.window == (-1, -1) else ["--window={},{}".format(*self.window)]),
            *(["--sink-logits"] if self.sinks else []),
            *([] if self.score_mod is None else [f"--score-mod={self.score_mod}"]),
            *([] if self.score_mod_heads is None else ["--score-mod-heads={},{}".format(*self.score_mod_heads)]),
            *(["--score-tables=" + ",".join(map(":".join, self.score_tables))] if self.score_tables else []),
            *(["--estimate-with-region"] if self.estimate_with_region else []),
        ]

    def options(self) -> list[str]:
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

    def digest(self) -> str:
        text = "\n".join([f"format {FORMAT_VERSION}", *self.options()])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def file_name(self, suffix: str = ".usp") -> str:
        """Readable first, unique by the digest of every option."""
        parts = [
            self.stage,
            self.dtype,
            f"h{self.heads}x{self.kv_heads}",
            f"d{self.head_dim}x{self.value_dim}",
            "b{}x{}".format(*self.block),
        ]
        parts += [self.rule.describe()] if self.rule else []
        switches = {"causal": self.causal, "packed": self.packed, "sinks": self.sinks}
        if self.softcap is not None:
            parts.append(f"cap{self.softcap:g}")
        if self.window != (-1, -1):
            parts.append("w{}x{}".format(*self.window))
        parts += [word for word, on in switches.items() if on]
        if self.score_mod is not None:
            parts.append("alibi" if self.score_mod == ALIBI else "mod")
        return "-".join([*parts, self.digest()]) + suffix


def _is_bool(value: Any) -> bool:
    """True, False, and NumPy's, which is no bool of Python's."""
    numpy = sys.modules.get("numpy")
    return isinstance(value, bool) or (numpy is not None and isinstance(value, numpy.bool_))


def shown(value: Any) -> str:
    """What was given, in one line of a message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else text[:97] + "..."


def _plain(value: Any) -> Any:
    """The number in an array or tensor of one element, which NumPy's and torch's numbers are; all else as it is."""
    if not hasattr(value, "ndim") or not hasattr(value, "item"):
        return value
    try:
        return value.item()
    except (TypeError, ValueError, RuntimeError):  # Of many elements.
        return value


def integer(argument: str, value: Any, least: int) -> int:
    plain = _plain(value)
    try:
        number = operator.index(plain) if not _is_bool(plain) else None
    except (TypeError, RuntimeError):
        number = None
    if number is None or number < least:
        raise unexpected(argument, f"an integer of at least {least}", shown(value))
    if number >= 1 << 63:
        raise unexpected(argument, "an integer below 2 ** 63", shown(value))
    return number


def number(argument: str, value: Any) -> float:
    plain = _plain(value)
    # float() would read text, too, in memory of any kind.
    known = not _is_bool(plain) and any(hasattr(type(plain), name) for name in ("__float__", "__index__"))
    try:
        result = float(plain) if known else math.nan
    except (TypeError, ValueError, OverflowError, RuntimeError):
        result = math.nan
    if not math.isfinite(result):
        raise unexpected(argument, "a finite number", shown(value))
    return result


def several(value: Any) -> Optional[Tuple[Any, ...]]:
    """The elements of a list, a tuple or an array. None for all else: of text, sets and dicts they mean nothing here."""
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or not hasattr(value, "__getitem__"):
        return None
    try:
        return tuple(value)
    except TypeError:  # An array without dimensions.
        return None


def choice(argument: str, value: Any, choices: Sequence[T]) -> T:
    for one in choices:
        # Strings of NumPy's are strings; 1 is not True.
        if (isinstance(value, str) if isinstance(one, str) else type(value) is type(one)) and value == one:
            return one
    raise unexpected(argument, " or ".join(map(repr, choices)), shown(value))


def flag(argument: str, value: Any) -> bool:
    return choice(argument, bool(value) if _is_bool(value) else value, (True, False))


def sizes(argument: str, value: Any, counts: Sequence[int], what: str) -> tuple[int, ...]:
    """A tuple of positive integers, as many as one of `counts` says."""
    result = several(value) or ()
    if len(result) not in counts:
        raise unexpected(argument, what, shown(value))
    return tuple(integer(argument, x, 1) for x in result)


def shares(p: Any, heads: int, kv_heads: int, share: str) -> tuple[float, ...]:
    """L5: one p, or one for each query head, or one for each KV head under share = group."""
    many = several(p)
    result = (number("p", p),) if many is None else tuple(number("p", x) for x in many)
    for x in result:
        if not 0 <= x <= 1:
            raise unexpected("p", "[L3] shares in [0, 1]", repr(x))
    named, kind = (kv_heads, "KV") if share == "group" else (heads, "query")
    if len(result) not in (1, named):
        raise unexpected("p", f"[L5] one number or one for each of the {named} {kind} heads", f"{len(result)} of them")
    return result


def relaxation(value: Any) -> float:
    """L11: how much more of the mass long rows may leave out."""
    result = number("relax", value)
    if not 0 <= result <= 1000:
        raise unexpected("relax", "[L11] a number in [0, 1000]", repr(result))
    return result


def one_share(argument: str, label: str, value: Any) -> Optional[float]:
    """A share in [0, 1], or none."""
    if value is None:
        return None
    result = number(argument, value)
    if not 0 <= result <= 1:
        raise unexpected(argument, f"{label} a share in [0, 1]", repr(result))
    return result


def soft_cap(value: Any) -> Optional[float]:
    """M1: a number that logits can be divided by and scores multiplied with in float32, or none."""
    if value is None:
        return None
    result = number("softcap", value)
    if not 2.0**-125 < result < 2.0**125:
        raise unexpected("softcap", "[M1] a number above 0 that float32 has, with its inverse, or None for no cap", shown(value))
    return result


def sides(value: Any) -> Tuple[int, int]:
    """M2: how many tokens a query sees to its left and to its right; -1 or None for no limit."""
    if value is None:
        return -1, -1
    given = several(value) or ()
    if len(given) != 2:
        raise unexpected("window", "[M2] (left, right) in tokens, -1 or None for no limit", shown(value))
    left, right = (-1 if side is None else integer("window", side, -1) for side in given)
    if max(left, right) > 1 << 30:
        raise unexpected("window", f"[M2] sides of at most {1 << 30} tokens", shown(value))
    return left, right


@dataclasses.dataclass(frozen=True)
class OfHeads:
    """M5: score_mod of a whole of `all` query heads to one who has those from `first` on."""

    score_mod: str
    first: int
    all: int


# Of a word of a command line Linux takes 128 KiB.
MOST_TEXT = 100_000


def modification(value: Any) -> Optional[str]:
    """M5: "alibi", or the text of a region's body, whose names and ops the compiler checks."""
    if value is None:
        return None
    text = textwrap.dedent(value).strip() if isinstance(value, str) else ""
    if text != ALIBI and "unisparse.yield" not in text:
        raise unexpected("score_mod", "[M5] 'alibi', or an MLIR region's body that ends with unisparse.yield", shown(value))
    # What no command line has.
    if foreign := re.search("[\0\ud800-\udfff]", text):
        before = text[: foreign.start()].split("\n")
        raise unexpected(f"score_mod:{len(before)}:{len(before[-1]) + 1}", "[M5] characters of a text", repr(foreign.group()))
    if (size := len(text.encode())) > MOST_TEXT:
        raise unexpected("score_mod", f"[M5] a text of at most {MOST_TEXT} bytes", size)
    return text


# What tables may have, as types say it.
TABLE_ELEMENTS = ("f32", "f16", "bf16", "i32")
# What a program's other inputs, and a text's other values, are called.
_TAKEN = ("q", "k", "v", "composites", "cu_seqlens_q", "cu_seqlens_k", "counts", "indices", "sink_logits", "logit", "batch", "head")


def tables(value: Any, score_mod: Optional[str]) -> Tuple[Tuple[str, str], ...]:
    """M5: what score_mod reads, names and types, in an order that calls need not have."""
    if value is None or value == {}:
        return ()
    if not isinstance(value, dict):
        raise unexpected("score_tables", "[M5] types by names, as {'bias': '?x?xf32'}", shown(value))
    if score_mod is None or score_mod == ALIBI:
        raise unexpected("score_tables", "[M5] the text of a region as score_mod beside it", "none" if score_mod is None else score_mod)
    for name, text in value.items():
        if not isinstance(name, str) or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name in _TAKEN:
            raise unexpected("score_tables", f"[M5] names of letters, digits and _, not among {', '.join(_TAKEN)}", shown(name))
        if not isinstance(text, str) or not re.fullmatch(rf"(([1-9][0-9]{{0,8}}|\?)x){{1,4}}({'|'.join(TABLE_ELEMENTS)})", text):
            raise unexpected(f"score_tables[{name!r}]", "[M5] 1 to 4 sizes and an element type, as '?x?xf32'", shown(text))
    return tuple(sorted(value.items()))


def estimated(value: Any, score_mod: Optional[str], rule: Optional[Rule]) -> bool:
    """M6: whether the estimate is modified too."""
    result = flag("estimate_with_region", value)
    if result and score_mod is None:
        raise unexpected("estimate_with_region", "[M6] score_mod beside it", "none")
    if result and rule and rule.pooling[2] != 1:
        raise unexpected("pooling", "[M6] composites of one head beside estimate_with_region", rule.pooling[2])
    return result


def check_together(rule: Rule) -> None:
    """What goes with what: one rule, what it takes, the aggregation that representatives need."""
    given = [name for name in ("top_k", "threshold", "random") if getattr(rule, name) is not None]
    if len(given) > 1:
        raise unexpected(given[1], f"one rule, and {given[0]} is one", repr(getattr(rule, given[1])))
    if rule.random is None and rule.seed:
        raise unexpected("seed", "[L10] random beside it", repr(rule.seed))
    if rule.seed > 0xFFFFFFFF:
        raise unexpected("seed", "[L10] a number below 2 ** 32", repr(rule.seed))
    for name, label in (("threshold", "[L9]"), ("random", "[L10]")):
        if getattr(rule, name) is not None and rule.min_blocks:
            raise unexpected("min_blocks", f"{label} none beside {name}", rule.min_blocks)
    if rule.threshold is not None and rule.max_blocks is not None:
        raise unexpected("max_blocks", "[L9] none beside threshold", rule.max_blocks)
    if rule.representatives and rule.agg != "max":
        raise unexpected("agg", "[P5] 'max' beside representatives", repr(rule.agg))


def make_rule(
    heads: int,
    kv_heads: int,
    head_dim: int,
    block: tuple[int, int],
    causal: bool,
    *,
    p: Any,
    relax: Any,
    top_k: Any,
    threshold: Any,
    random: Any,
    seed: Any,
    pooling: Any,
    representatives: Any,
    spread: Any,
    agg: Any,
    share: Any,
    alpha: Any,
    sink: Any,
    local: Any,
    last: Any,
    min_blocks: Any,
    max_blocks: Any,
    dense_below: Any,
) -> Rule:
    """The options of attention that choose blocks, checked; heads, kv_heads, head_dim, block and causal are."""
    cq, ck, pooled = (*sizes("pooling", pooling, (2, 3), "(queries, keys) or (queries, keys, heads)"), 1)[:3]
    for what, factor, size in zip(("query", "key"), (cq, ck), block):
        if size % factor:
            raise unexpected("pooling", f"[I5] a {what} factor that divides the {what} block {size}", factor)
    group = heads // kv_heads
    if heads % pooled or (group % pooled and pooled % group):
        raise unexpected(
            "pooling",
            f"[I6] pooled heads that divide the {heads} query heads, and divide or are a multiple of the {group} of a KV head",
            pooled,
        )
    share = choice("share", share, (None, "none", "group")) or "none"
    agg = choice("agg", agg, ("max", "sum"))
    spread = measured_spread(head_dim, ck) if spread is None else integer("spread", spread, 0)
    if spread and head_dim % spread:
        raise unexpected("spread", f"[P6] a number that divides head_dim {head_dim}", spread)
    rule = Rule(
        pooling=(cq, ck, pooled),
        representatives=measured_representatives(agg, cq) if representatives is None else integer("representatives", representatives, 0),
        spread=spread,
        agg=agg,
        share=share,
        p=shares(SHARE if p is None else p, heads, kv_heads, share),
        relax=(RELAX if p is None else 0.0) if relax is None else relaxation(relax),
        top_k=None if top_k is None else integer("top_k", top_k, 1),
        threshold=one_share("threshold", "[L9]", threshold),
        random=one_share("random", "[L10]", random),
        seed=integer("seed", seed, 0),
        sink=integer("sink", sink, 0),
        local=integer("local", local, 0),
        last=measured_last(causal) if last is None else integer("last", last, 0),
        min_blocks=integer("min_blocks", min_blocks, 0),
        max_blocks=None if max_blocks is None else integer("max_blocks", max_blocks, 0),
        dense_below=integer("dense_below", dense_below, 0),
        alpha=number("alpha", alpha),
    )
    check_together(rule)
    return rule


def make(
    heads: int,
    kv_heads: int,
    head_dim: int,
    value_dim: int,
    dtype: str,
    packed: bool,
    *,
    block: Any,
    causal: Any,
    scale: Any,
    return_lse: Any,
    softcap: Any = None,
    window: Any = None,
    sinks: Any = None,
    score_mod: Any = None,
    score_tables: Any = None,
    estimate_with_region: Any = False,
    return_selection: Any = False,
    selections: int = 0,
    **choosing: Any,
) -> Config:
    """The configuration of a call: `choosing` holds the options that choose blocks, or nothing where the selection is given."""
    bq, bk = sizes("block", block, (2,), "(queries, keys)")
    causal = flag("causal", causal)
    rule = make_rule(heads, kv_heads, head_dim, (bq, bk), causal, **choosing) if choosing else None
    heads_of = None
    if isinstance(score_mod, OfHeads):
        heads_of, score_mod = (score_mod.first, score_mod.all), score_mod.score_mod
    score_mod = modification(score_mod)
    return Config(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_dim=value_dim,
        dtype=dtype,
        block=(bq, bk),
        rule=rule,
        selections=rule.selections(heads, kv_heads) if rule else selections,
        causal=causal,
        scale=None if scale is None else number("scale", scale),
        softcap=soft_cap(softcap),
        window=sides(window),
        sinks=False if sinks is None else flag("sinks", sinks),
        score_mod=score_mod,
        score_tables=tables(score_tables, score_mod),
        score_mod_heads=heads_of,
        estimate_with_region=estimated(estimate_with_region, score_mod, rule),
        packed=packed,
        return_lse=flag("return_lse", return_lse),
        return_selection=flag("return_selection", return_selection),
    )
