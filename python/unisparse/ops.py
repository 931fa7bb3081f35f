# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""torch.ops.unisparse.attention and .block_sparse_attention: what torch.compile and torch.export see whole. Those with _out
behind their names put o into `memory`: torch.compile refuses one with strides that is called out.

Importing this module imports torch and registers them; `import unisparse` does so where torch was imported before it.
Their options are those of the functions, typed as schemas allow: p is a list, cu_seqlens two tensors or none. Results
that are not asked for are empty tensors.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import _attention as functions
from ._attention import attention, block_sparse_attention
from ._checks import ends_of
from ._config import SHARE, Rule
from ._errors import Error, Status, unexpected
from ._torch import expect_no_gradient

try:
    import torch
    from torch.library import Library, register_fake
except ImportError:
    raise Error("unisparse.ops: expected torch 2.4 or newer, got none") from None

_COMPUTATION = "int[] block=[128, 128], bool causal=True, float? scale=None, bool return_lse=False"
_MODIFICATION = (
    "float? softcap=None, int[]? window=None, Tensor? sinks=None, str? score_mod=None, "
    "Tensor[]? score_tables=None, str[]? score_table_names=None"
)
_CHOOSING = (
    "float[]? p=None, int? top_k=None, int[] pooling=[8, 8, 1], str agg='max', str? share=None, float alpha=1.0, int sink=1, "
    "int local=1, int min_blocks=0, int? max_blocks=None, int dense_below=0, bool return_selection=False, "
    "float? threshold=None, float? random=None, int seed=0, int? representatives=None, int? spread=None, int? last=None, float? relax=None, "
    "bool estimate_with_region=False"
)
_ENDS = "Tensor? cu_seqlens_q=None, Tensor? cu_seqlens_k=None"

_library = Library("unisparse", "DEF")
_library.define(
    f"attention(Tensor q, Tensor k, Tensor v, *, {_ENDS}, {_COMPUTATION}, {_CHOOSING}, {_MODIFICATION}) "
    "-> (Tensor o, Tensor lse, Tensor counts, Tensor indices)"
)
_library.define(
    f"block_sparse_attention(Tensor q, Tensor k, Tensor v, Tensor counts, Tensor indices, *, {_ENDS}, {_COMPUTATION}, {_MODIFICATION}) "
    "-> (Tensor o, Tensor lse)"
)
_library.define(
    f"attention_out(Tensor q, Tensor k, Tensor v, *, Tensor(a!) memory, {_ENDS}, {_COMPUTATION}, {_CHOOSING}, {_MODIFICATION}) "
    "-> (Tensor lse, Tensor counts, Tensor indices)"
)
_library.define(
    "block_sparse_attention_out(Tensor q, Tensor k, Tensor v, Tensor counts, Tensor indices, *, "
    f"Tensor(a!) memory, {_ENDS}, {_COMPUTATION}, {_MODIFICATION}) -> Tensor lse"
)

Ends = Optional[torch.Tensor]


def _pair(cu_seqlens_q: Ends, cu_seqlens_k: Ends) -> Any:
    if (cu_seqlens_q is None) != (cu_seqlens_k is None):
        missing, there = ("cu_seqlens_q", "cu_seqlens_k") if cu_seqlens_q is None else ("cu_seqlens_k", "cu_seqlens_q")
        raise unexpected(missing, f"[I8] a tensor, as {there} is one", "None")
    return None if cu_seqlens_q is None else (cu_seqlens_q, cu_seqlens_k)


def _named(score_tables: Optional[Sequence[torch.Tensor]], names: Optional[Sequence[str]]) -> Dict[str, torch.Tensor]:
    """The tables of a call by their names (M5), which schemas have apart."""
    tables, names = score_tables or (), names or ()
    if len(tables) != len(names) or len(set(names)) != len(names):
        raise unexpected("score_table_names", f"[M5] a name of its own for each of the {len(tables)} score_tables", ", ".join(names) or "none")
    return dict(zip(names, tables))


def _attention_kernel(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    cu_seqlens_q: Ends = None,
    cu_seqlens_k: Ends = None,
    p: Optional[Sequence[float]] = None,
    return_lse: bool = False,
    return_selection: bool = False,
    score_tables: Optional[Sequence[torch.Tensor]] = None,
    score_table_names: Optional[Sequence[str]] = None,
    **options: Any,
) -> Tuple[torch.Tensor, ...]:
    results: Any = attention(
        q,
        k,
        v,
        cu_seqlens=_pair(cu_seqlens_q, cu_seqlens_k),
        p=None if p is None else p[0] if len(p) == 1 else tuple(p),
        return_lse=return_lse,
        return_selection=return_selection,
        score_tables=_named(score_tables, score_table_names),
        **options,
    )
    found = iter(results if isinstance(results, tuple) else (results,))
    o = next(found)
    lse = next(found) if return_lse else _nothing(q, torch.float32)
    counts, indices = found if return_selection else (_nothing(q, torch.int32), _nothing(q, torch.int32))
    return o, lse, counts, indices


def _block_sparse_attention_kernel(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    counts: torch.Tensor,
    indices: torch.Tensor,
    *,
    cu_seqlens_q: Ends = None,
    cu_seqlens_k: Ends = None,
    return_lse: bool = False,
    score_tables: Optional[Sequence[torch.Tensor]] = None,
    score_table_names: Optional[Sequence[str]] = None,
    **options: Any,
) -> Tuple[torch.Tensor, ...]:
    options["score_tables"] = _named(score_tables, score_table_names)
    ends = _pair(cu_seqlens_q, cu_seqlens_k)
    results: Any = block_sparse_attention(q, k, v, counts, indices, cu_seqlens=ends, return_lse=return_lse, **options)
    return results if return_lse else (results, _nothing(q, torch.float32))


def _attention_out_kernel(*given: torch.Tensor, memory: torch.Tensor, **options: Any) -> Tuple[torch.Tensor, ...]:
    return _attention_kernel(*given, out=memory, **options)[1:]


def _block_sparse_attention_out_kernel(*given: torch.Tensor, memory: torch.Tensor, **options: Any) -> torch.Tensor:
    return _block_sparse_attention_kernel(*given, out=memory, **options)[1]


def _nothing(q: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return q.new_empty((0,), dtype=dtype)


def _outputs(q: torch.Tensor, v: torch.Tensor, return_lse: bool, **others: Ends) -> List[torch.Tensor]:
    """Of a fake call; torch takes it, too, for one tensor on the meta device among others that have memory."""
    for name, x in {**others, "v": v}.items():
        if x is not None and x.device != q.device:
            raise unexpected(name, f"a tensor on {q.device}, as q", f"one on {x.device}", Status.WRONG_DEVICE)
    o = q.new_empty((*q.shape[:3], v.shape[3]))
    return [o, q.new_empty(q.shape[:3], dtype=torch.float32) if return_lse else _nothing(q, torch.float32)]


def _attention_fake(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    cu_seqlens_q: Ends = None,
    cu_seqlens_k: Ends = None,
    block: Sequence[int] = (128, 128),
    return_lse: bool = False,
    p: Optional[Sequence[float]] = None,
    top_k: Optional[int] = None,
    pooling: Sequence[int] = (8, 8, 1),
    share: Optional[str] = None,
    return_selection: bool = False,
    threshold: Optional[float] = None,
    random: Optional[float] = None,
    sinks: Ends = None,
    **options: Any,
) -> Tuple[torch.Tensor, ...]:
    _pair(cu_seqlens_q, cu_seqlens_k)
    outputs = _outputs(q, v, return_lse, k=k, cu_seqlens_q=cu_seqlens_q, cu_seqlens_k=cu_seqlens_k, sinks=sinks)
    if not return_selection:
        return (*outputs, _nothing(q, torch.int32), _nothing(q, torch.int32))
    heads, kv_heads = q.shape[1], k.shape[1]
    pooled = (pooling[0], pooling[1], (*pooling, 1)[2])
    rule = Rule(pooling=pooled, share=share or "none", p=tuple(p or (SHARE,)), top_k=top_k, threshold=threshold, random=random)
    rows = -(-q.shape[2] // block[0]) if cu_seqlens_q is None else q.shape[2] // block[0] + cu_seqlens_q.shape[0] - 1
    counts = q.new_empty((q.shape[0], rule.selections(heads, kv_heads), rows), dtype=torch.int32)
    return (*outputs, counts, counts.new_empty((*counts.shape, -(-k.shape[2] // block[1]))))


def _block_sparse_attention_fake(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, counts: torch.Tensor, indices: torch.Tensor, *,
    cu_seqlens_q: Ends = None, cu_seqlens_k: Ends = None, return_lse: bool = False, sinks: Ends = None, **options: Any,
) -> Tuple[torch.Tensor, ...]:  # fmt: skip
    _pair(cu_seqlens_q, cu_seqlens_k)
    others = dict(k=k, counts=counts, indices=indices, cu_seqlens_q=cu_seqlens_q, cu_seqlens_k=cu_seqlens_k, sinks=sinks)
    return tuple(_outputs(q, v, return_lse, **others))


def _attention_out_fake(*given: torch.Tensor, memory: torch.Tensor, **options: Any) -> Tuple[torch.Tensor, ...]:
    return _attention_fake(*given, **options)[1:]


def _block_sparse_attention_out_fake(*given: torch.Tensor, memory: torch.Tensor, **options: Any) -> torch.Tensor:
    return _block_sparse_attention_fake(*given, **options)[1]


def _without_gradient(name: str) -> Any:
    """Above the kernels of devices, where gradients would be recorded: there is no backward pass, and the call says so, not
    the backward pass that misses it."""
    op = getattr(torch.ops.unisparse, name).default
    names = [argument.name for argument in op._schema.arguments]

    def below(*arguments: Any, **options: Any) -> Any:
        given = dict(zip(names, arguments), **options)
        expect_no_gradient({n: x for n, x in given.items() if isinstance(x, torch.Tensor)})
        expect_no_gradient({f"score_tables[{n}]": x for n, x in enumerate(given.get("score_tables") or ())})
        with torch._C._AutoDispatchBelowAutograd():
            return op(*arguments, **options)

    return below


for _name, _kernel, _fake in (
    ("attention", _attention_kernel, _attention_fake),
    ("block_sparse_attention", _block_sparse_attention_kernel, _block_sparse_attention_fake),
    ("attention_out", _attention_out_kernel, _attention_out_fake),
    ("block_sparse_attention_out", _block_sparse_attention_out_kernel, _block_sparse_attention_out_fake),
):
    register_fake(f"unisparse::{_name}", _fake, lib=_library)
    for _device in ("CPU", "CUDA"):
        _library.impl(_name, _kernel, _device)
    _library.impl(_name, _without_gradient(_name), "Autograd")


def _apart(score_tables: Dict[str, Any]) -> Dict[str, Any]:
    return dict(score_tables=list(score_tables.values()), score_table_names=list(score_tables)) if score_tables else {}


def _sides(options: Dict[str, Any]) -> None:
    """A window as schemas have it: -1 for None."""
    window = options["window"]
    if isinstance(window, (list, tuple)):
        options["window"] = [-1 if side is None else side for side in window]


def _by_operator(
    q: Any, k: Any, v: Any, cu_seqlens: Any, out: Any, return_lse: bool, return_selection: bool, *, p: Any, score_tables: Dict[str, Any], **options: Any,
) -> Any:  # fmt: skip
    """The function `attention` by its operator, for those who trace it."""
    options.update(_apart(score_tables))
    _sides(options)
    ends = dict(zip(("cu_seqlens_q", "cu_seqlens_k"), ends_of(cu_seqlens)))
    shares = None if p is None else list(p) if isinstance(p, (list, tuple)) else [p]
    wanted = dict(return_lse=return_lse, return_selection=return_selection)
    if out is None:
        o, lse, counts, indices = torch.ops.unisparse.attention(q, k, v, p=shares, **ends, **wanted, **options)
    else:
        o, (lse, counts, indices) = out, torch.ops.unisparse.attention_out(q, k, v, memory=out, p=shares, **ends, **wanted, **options)
    results = (o, *((lse,) if return_lse else ()), *((counts, indices) if return_selection else ()))
    return results if len(results) > 1 else o


def _given_by_operator(
    q: Any, k: Any, v: Any, counts: Any, indices: Any, cu_seqlens: Any, out: Any, return_lse: bool, *, score_tables: Dict[str, Any], **options: Any,
) -> Any:  # fmt: skip
    options.update(_apart(score_tables))
    _sides(options)
    ends = dict(zip(("cu_seqlens_q", "cu_seqlens_k"), ends_of(cu_seqlens)))
    options.update(ends, return_lse=return_lse)
    if out is None:
        o, lse = torch.ops.unisparse.block_sparse_attention(q, k, v, counts, indices, **options)
    else:
        o, lse = out, torch.ops.unisparse.block_sparse_attention_out(q, k, v, counts, indices, memory=out, **options)
    return (o, lse) if return_lse else o


functions.operators.update(attention=_by_operator, block_sparse_attention=_given_by_operator)
functions.compiling = torch.compiler.is_compiling
functions.tracing = torch.compiler.is_dynamo_compiling
