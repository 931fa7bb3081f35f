# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""torch's signature of attention, over selected blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence, TypeVar, TypedDict, Union

from . import _config
from ._attention import attention
from ._checks import backend_of
from ._errors import Error, Status, renamed, unexpected

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class Selecting(TypedDict, total=False):
    """Options of `attention` that SDPA has not."""

    block: Sequence[int]
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


class Modifying(Selecting, total=False):
    """And those that change the logits."""

    softcap: Optional[float]
    window: Optional[Sequence[Optional[int]]]
    sinks: Any
    score_mod: Optional[str]
    score_tables: Optional[Mapping[str, Any]]
    estimate_with_region: bool


def sdpa(
    query: T,
    key: T,
    value: T,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Optional[float] = None,
    enable_gqa: bool = False,
    **options: Unpack[Modifying],
) -> T:
    """torch.nn.functional.scaled_dot_product_attention over the blocks that `attention` selects: its arguments in their
    order and with their meaning, then options of `attention` by name. p = 1 is SDPA itself.

    is_causal is SDPA's: query i sees the keys up to i, counted from the first ("top-left"), where `attention` aligns the
    last query with the last key. Keys behind the last query are then seen by none, and are left out. More queries than
    keys are refused. Masks and dropout are refused too, as is a gradient.
    """
    q: Any = query
    k: Any = key
    v: Any = value
    if attn_mask is not None:
        wanted = "None, as only causal masks are compiled (is_causal=True; cu_seqlens of unisparse.attention for packed sequences)"
        raise unexpected("attn_mask", wanted, f"a {type(attn_mask).__name__}")
    # What is plainly right is not looked at twice.
    if not (type(dropout_p) is float and dropout_p == 0) and _config.number("dropout_p", dropout_p) != 0:
        raise unexpected("dropout_p", "0, as there is no dropout", dropout_p)
    causal = is_causal if type(is_causal) is bool else _config.flag("is_causal", is_causal)
    grouped = enable_gqa if type(enable_gqa) is bool else _config.flag("enable_gqa", enable_gqa)
    for name in options:
        if name not in _OPTIONS:
            raise unexpected(name, f"an option among {', '.join(Modifying.__annotations__)}", "none of them")
    for name, x in (("query", q), ("key", k), ("value", v)):
        if len(getattr(x, "shape", ())) != 4:
            backend_of(name, x)
            raise unexpected(name, "4 dimensions: [batch, heads, length, head_dim]", list(x.shape), Status.BAD_SHAPE)
    (_, heads, queries, _), (_, kv_heads, keys, _) = q.shape, k.shape
    if not grouped and heads != kv_heads:
        raise unexpected("key", f"query's {heads} heads, or enable_gqa=True", kv_heads, Status.BAD_SHAPE)
    if causal and queries > keys:
        raise unexpected("query", f"no more queries than the {keys} keys under is_causal", queries, Status.BAD_SHAPE)
    if causal and queries < keys:
        k, v = k[:, :, :queries], v[:, :, :queries]
    try:
        result: T = attention(q, k, v, causal=causal, scale=scale, **options)
    except Error as error:
        raise renamed(error, _NAMES) from None
    return result


_OPTIONS = frozenset(Modifying.__annotations__)
_NAMES = {"q": "query", "k": "key", "v": "value"}
