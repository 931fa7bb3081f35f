# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The two functions that people call: they check, name the configuration, and hand over to the backend of the tensors. A
call like an earlier one finds the plan of that one, and nothing is checked or named twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Hashable, Literal, Mapping, Optional, Sequence, Tuple, TypedDict, TypeVar, Union, overload

from . import _again, _config, _cuda, _host, _layout, _plan
from ._checks import (
    check_ends, check_lengths, check_out, check_selection, check_sinks, check_tables, check_tensors, ends_of, shape, tables_of,
)  # fmt: skip

if TYPE_CHECKING:
    from typing_extensions import Unpack

# What unisparse.ops puts here: whether torch.compile or torch.export looks on, and the functions by operators, which
# those see whole.
compiling: Callable[[], bool] = lambda: False
tracing: Callable[[], bool] = lambda: False  # By torch.compile, which reads this very code.
operators: Dict[str, Callable[..., Any]] = {}

# Calls in C by what leads their arguments: q, k and v; and counts and indices.
_IN_C = _again.native is not None
_CALLS, _GIVEN_CALLS = _again.Calls(3, 512), _again.Calls(5, 512)
_attention_again, _block_sparse_attention_again = _CALLS.again, _GIVEN_CALLS.again

T = TypeVar("T")  # Arrays of one kind: torch tensors or NumPy arrays.
Ends = Union[T, Sequence[T], None]


class _Computation(TypedDict, total=False):
    block: Sequence[int]
    causal: bool
    scale: Optional[float]
    softcap: Optional[float]
    window: Optional[Sequence[Optional[int]]]
    sinks: Any
    score_mod: Optional[str]
    score_tables: Optional[Mapping[str, Any]]
    layout: Literal["bhsd", "bshd"]


class _Choosing(_Computation, total=False):
    p: Union[float, Sequence[float], None]
    relax: Optional[float]
    top_k: Optional[int]
    threshold: Optional[float]
    random: Optional[float]
    seed: int
    pooling: Sequence[int]
    representatives: Optional[int]
    spread: Optional[int]
    agg: str
    share: Optional[str]
    alpha: float
    sink: int
    local: int
    last: Optional[int]
    min_blocks: int
    max_blocks: Optional[int]
    dense_below: int
    estimate_with_region: bool


@overload
def attention(
    q: T, k: T, v: T, *, cu_seqlens: Ends[T] = None, out: Optional[T] = None, return_lse: Literal[False] = False,
    return_selection: Literal[False] = False, **options: Unpack[_Choosing],
) -> T: ...  # fmt: skip
@overload
def attention(
    q: T, k: T, v: T, *, cu_seqlens: Ends[T] = None, out: Optional[T] = None, return_lse: Literal[True],
    return_selection: bool = False, **options: Unpack[_Choosing],
) -> Tuple[T, ...]: ...  # fmt: skip
@overload
def attention(
    q: T, k: T, v: T, *, cu_seqlens: Ends[T] = None, out: Optional[T] = None, return_lse: bool = False,
    return_selection: Literal[True], **options: Unpack[_Choosing],
) -> Tuple[T, ...]: ...  # fmt: skip
@overload
def attention(
    q: T, k: T, v: T, *, cu_seqlens: Ends[T] = None, out: Optional[T] = None, return_lse: bool = False,
    return_selection: bool = False, **options: Unpack[_Choosing],
) -> Union[T, Tuple[T, ...]]: ...  # fmt: skip
def attention(
    q: Any,
    k: Any,
    v: Any,
    *,
    p: Any = None,
    relax: Any = None,
    top_k: Any = None,
    threshold: Any = None,
    random: Any = None,
    seed: Any = 0,
    block: Any = (128, 128),
    pooling: Any = (8, 8, 1),
    representatives: Any = None,
    spread: Any = None,
    agg: Any = "max",
    share: Any = None,
    causal: Any = True,
    scale: Any = None,
    softcap: Any = None,
    window: Any = None,
    sinks: Any = None,
    score_mod: Any = None,
    score_tables: Any = None,
    estimate_with_region: Any = False,
    alpha: Any = 1.0,
    sink: Any = 1,
    local: Any = 1,
    last: Any = None,
    min_blocks: Any = 0,
    max_blocks: Any = None,
    dense_below: Any = 0,
    cu_seqlens: Any = None,
    layout: Any = "bhsd",
    out: Any = None,
    return_lse: Any = False,
    return_selection: Any = False,
) -> Any:
    """Block-sparse attention that selects its own blocks: q [B, Hq, Lq, D], k [B, Hkv, Lk, D], v [B, Hkv, Lk, Dv] -> o.

    p            share of the attention's mass to select, one or one per head (L3, L5); .8 unless given
    relax        how much more of the mass a long row may leave out: 1 + relax times from 16K keys on (L11); .5 unless p is given
    top_k        so many key blocks a row instead (L4)
    threshold    blocks of at least this share of a row's largest mass instead (L9)
    random, seed this share of the blocks instead, at random: the baseline of an ablation (L10)
    block        (queries, keys) of a block
    pooling      (queries, keys) or (queries, keys, query heads) of a composite token
    representatives    rows of a query block that are scored by themselves, besides its means (P5); 16 unless given, 0 with agg="sum"
    spread       dims of a group whose keys' variance is scored too; 0: none (P6); 4 unless given, or fewer that divide D
    agg          how composite rows make a block's mass: "max" or "sum" (S5)
    share        "group": the query heads of a KV head share a selection (S6)
    causal       query i sees the keys up to i + Lk - Lq: the last query sees the last key
    scale, alpha factor of all logits, D ** -0.5 unless given; further factor of the estimate's
    softcap      logits x become softcap * tanh(x / softcap) (M1)
    window       (left, right): tokens that a query sees to either side of itself, -1 or None for no limit (M2)
    sinks        [Hq] float32: logits that join the sum of each head's softmax, with no value (M3)
    score_mod    "alibi": minus the distance times a slope of the head is added to logits; or the body of an MLIR region,
                 ops of arith and math on %logit (f32), %batch, %head, %q and %k (i32, positions of query and key), that
                 ends with unisparse.yield %y : f32 (M5)
    score_tables {name: array}: what the text reads as %name, by tensor.extract; an index outside gives the nearest entry
    estimate_with_region    the estimate's logits are modified too, at the middle tokens of their composites (M6)
    sink, local, min_blocks, max_blocks    guards of the selection (L2, L3)
    last         so many last query blocks of a sequence take every candidate (L8); 1 where causal unless given
    dense_below  sequences of at most so many keys are dense

    p, relax, representatives, spread and last unless given are the measured policy: at least 99% of dense attention's answers on
    a model made for retrieval and on Gemma 3 270M, at 4K to 32K tokens. p with representatives = 0, spread = 0,
    last = 0 is the paper's plain form.

    cu_seqlens   ends of packed sequences (then B = 1): one int32 array for q and k, or a pair
    layout       "bshd": q, k, v and o are [B, L, H, D], in a packed batch [tokens, H, D] too
    out          where o goes: of its sizes and type, with any strides that leave each element memory of its own

    Returns o [B, Hq, Lq, Dv]; with return_lse or return_selection a tuple: o, then lse [B, Hq, Lq] in float32, then
    counts [B, H, R] and indices [B, H, R, J] in int32, H being the number of distinct selections. In a packed batch row
    r of sequence s stands at cu_seqlens[s] // Bq + s + r of R, and spare rows have count 0.
    """
    if _IN_C and not tracing():
        result = _attention_again(
            q, k, v, cu_seqlens, sinks, score_tables, layout, out,
            p, relax, top_k, threshold, random, seed, pooling, representatives, spread, agg, share, alpha,
            sink, local, last, min_blocks, max_blocks, dense_below,
            block, causal, scale, softcap, window, score_mod, return_lse, return_selection, estimate_with_region,
        )  # fmt: skip
        if result is not None:
            return result
    rule = (_frozen(p), relax, top_k, threshold, random, seed, _frozen(pooling), representatives, spread, agg, share, alpha)
    choosing = (*rule, sink, local, last, min_blocks, max_blocks, dense_below)
    computation = (_frozen(block), causal, scale, softcap, _frozen(window), score_mod, return_lse, return_selection, estimate_with_region)
    if layout != "bhsd" or out is not None:
        if out is None and not compiling():
            out = _layout.memory(layout, q, v)
        return _layout.placed(_attention, (q, k, v), cu_seqlens, layout, out, choosing, computation, sinks, tables_of(score_tables))
    return _attention((q, k, v), cu_seqlens, None, choosing, computation, sinks, tables_of(score_tables))


def _attention(given: Any, cu_seqlens: Any, out: Any, choosing: Any, computation: Any, sinks: Any, tables: Dict[str, Any]) -> Any:
    if compiling():
        options = dict(zip(_CHOOSING + _COMPUTATION, choosing + computation), sinks=sinks, score_tables=tables)
        wanted = options.pop("return_lse"), options.pop("return_selection")
        return operators["attention"](*given, cu_seqlens, out, *wanted, **options)
    ends = ends_of(cu_seqlens)
    tensors = (*given, *ends, *tables.values()) if sinks is None else (*given, *ends, sinks, *tables.values())
    values = (*choosing, *computation, *tables)
    name = _plan.key("attention", tensors, values)
    calls = None if tables or name is None or not _IN_C else _CALLS
    if (planned := _plan.known(name)) is not None:
        return _call(planned, tensors, out if out is None else check_out(given[0], given[2], out), calls, values)
    named = dict(zip("qkv", given))
    backend, dtype = check_tensors(named)
    named.update(check_ends(backend, given[0], ends))
    named.update(check_sinks(backend, given[0], sinks))
    options = dict(zip(_COMPUTATION + _CHOOSING, computation + choosing), score_tables=check_tables(backend, given[0], tables))
    config = _config.make(*shape(named), dtype, bool(ends), sinks=sinks is not None, **options)
    planned = _planned(backend, config, {**named, **tables}, name, out)
    return _call(planned, tensors, out, calls, values)


@overload
def block_sparse_attention(
    q: T, k: T, v: T, counts: T, indices: T, *, cu_seqlens: Ends[T] = None, out: Optional[T] = None, return_lse: Literal[False] = False,
    **options: Unpack[_Computation],
) -> T: ...  # fmt: skip
@overload
def block_sparse_attention(
    q: T, k: T, v: T, counts: T, indices: T, *, cu_seqlens: Ends[T] = None, out: Optional[T] = None, return_lse: Literal[True],
    **options: Unpack[_Computation],
) -> Tuple[T, T]: ...  # fmt: skip
@overload
def block_sparse_attention(
    q: T, k: T, v: T, counts: T, indices: T, *, cu_seqlens: Ends[T] = None, out: Optional[T] = None, return_lse: bool = False,
    **options: Unpack[_Computation],
) -> Union[T, Tuple[T, T]]: ...  # fmt: skip
def block_sparse_attention(
    q: Any,
    k: Any,
    v: Any,
    counts: Any,
    indices: Any,
    *,
    block: Any = (128, 128),
    causal: Any = True,
    scale: Any = None,
    softcap: Any = None,
    window: Any = None,
    sinks: Any = None,
    score_mod: Any = None,
    score_tables: Any = None,
    cu_seqlens: Any = None,
    layout: Any = "bhsd",
    out: Any = None,
    return_lse: Any = False,
) -> Any:
    """Exact attention over key blocks that the caller selected (A1 to A4).

    Row r of head h attends to the blocks indices[b, h, r, : counts[b, h, r]], ascending. counts [B, H, R] and indices
    [B, H, R, J] are laid out as `attention` returns them, H being Hq or Hkv. Nothing is pooled: a block may have any size
    that the target takes. softcap, window, sinks, score_mod and score_tables are those of `attention`. Returns o, with return_lse (o, lse).
    """
    if _IN_C and not tracing():
        result = _block_sparse_attention_again(
            q, k, v, counts, indices, cu_seqlens, sinks, score_tables, layout, out, block, causal, scale, softcap, window, score_mod, return_lse
        )
        if result is not None:
            return result
    computation = (_frozen(block), causal, scale, softcap, _frozen(window), score_mod, return_lse)
    if layout != "bhsd" or out is not None:
        if out is None and not compiling():
            out = _layout.memory(layout, q, v)
        return _layout.placed(_block_sparse_attention, (q, k, v, counts, indices), cu_seqlens, layout, out, computation, sinks, tables_of(score_tables))
    return _block_sparse_attention((q, k, v, counts, indices), cu_seqlens, None, computation, sinks, tables_of(score_tables))


def _block_sparse_attention(given: Any, cu_seqlens: Any, out: Any, computation: Any, sinks: Any, tables: Dict[str, Any]) -> Any:
    options = dict(zip(_COMPUTATION, computation))
    if compiling():
        return_lse = options.pop("return_lse")
        return operators["block_sparse_attention"](*given, cu_seqlens, out, return_lse, sinks=sinks, score_tables=tables, **options)
    ends = ends_of(cu_seqlens)
    tensors = (*given, *ends, *tables.values()) if sinks is None else (*given, *ends, sinks, *tables.values())
    values = (*computation, *tables)
    name = _plan.key("block_sparse_attention", tensors, values)
    calls = None if tables or name is None or not _IN_C else _GIVEN_CALLS
    if (planned := _plan.known(name)) is not None:
        return _call(planned, tensors, out if out is None else check_out(given[0], given[2], out), calls, values)
    q, k, v, counts, indices = given
    named = {"q": q, "k": k, "v": v}
    backend, dtype = check_tensors(named)
    selection = check_selection(backend, q, k, counts, indices)
    rest = {**check_ends(backend, q, ends), **check_sinks(backend, q, sinks)}
    options.update(selections=counts.shape[1], score_tables=check_tables(backend, q, tables))
    config = _config.make(*shape(named), dtype, bool(ends), sinks=sinks is not None, **options)
    planned = _planned(backend, config, {**named, **selection, **rest, **tables}, name, out)
    return _call(planned, tensors, out, calls, values)


_CHOOSING = (
    "p", "relax", "top_k", "threshold", "random", "seed", "pooling", "representatives", "spread", "agg", "share", "alpha",
    "sink", "local", "last", "min_blocks", "max_blocks", "dense_below",
)  # fmt: skip
_COMPUTATION = ("block", "causal", "scale", "softcap", "window", "score_mod", "return_lse", "return_selection", "estimate_with_region")


def _frozen(x: Any) -> Any:
    """A list cannot be looked up; a tuple of the same says the same."""
    return tuple(x) if type(x) is list else x


def _planned(backend: Any, config: _config.Config, tensors: Dict[str, Any], name: Optional[Hashable], out: Any) -> Any:
    check_lengths(config, tensors)
    if out is not None:
        check_out(tensors["q"], tensors["v"], out)
    names = ["o"] + ["lse"] * config.return_lse + ["counts", "indices"] * config.return_selection
    made = _cuda.Planned(config, tensors, names) if backend is _cuda else _host.Planned(backend, config, tensors, names)
    return _plan.remember(name, made)


def _call(planned: Any, tensors: Tuple[Any, ...], out: Any, calls: Optional[_again.Calls], options: Tuple[Any, ...]) -> Any:
    """`calls`: where the next one like it is to be found."""
    result = planned(tensors, out)
    if calls is not None:
        calls.remember(planned, tensors, out, result, options)
    return result if out is None else _layout.into(out, result)
