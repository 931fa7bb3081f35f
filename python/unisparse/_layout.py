# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors as callers keep them: [B, L, H, D], [tokens, H, D], outputs of their own. Below, all are [B, H, L, D]: views."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Tuple

from . import _config, _numpy
from ._checks import backend_of
from ._errors import Status, unexpected


def _swapped(x: Any) -> Any:
    return x.swapaxes(1, 2) if _numpy.is_array(x) else x.transpose(1, 2)


def _viewed(name: str, x: Any, flat: bool) -> Any:
    backend_of(name, x)
    if len(x.shape) != (3 if flat else 4):
        wanted = "3 dimensions, as q, [tokens, heads, head_dim]" if flat else "4 dimensions, [batch, length, heads, head_dim]"
        raise unexpected(name, wanted, f"{len(x.shape)}: {list(x.shape)}", Status.BAD_SHAPE)
    return _swapped(x[None] if flat else x)


class Views(NamedTuple):
    """What is given in a layout, as [B, H, L, D]."""

    tensors: Tuple[Any, ...]
    out: Any
    layout: str
    flat: bool  # Whether it is [tokens, H, D].

    def back(self, o: Any) -> Any:
        if self.layout == "bhsd":
            return o
        return _swapped(o)[0] if self.flat else _swapped(o)


def views(tensors: Tuple[Any, ...], cu_seqlens: Any, layout: Any, out: Any) -> Views:
    """Of q, k and v, and of memory for o where there is some."""
    if _config.choice("layout", layout, ("bhsd", "bshd")) == "bhsd":
        return Views(tensors, out, "bhsd", False)
    flat = cu_seqlens is not None and len(getattr(tensors[0], "shape", ())) == 3
    turned = tuple(_viewed(name, x, flat) for name, x in zip("qkv", tensors))
    return Views(turned, None if out is None else _viewed("out", out, flat), "bshd", flat)


def memory(layout: Any, q: Any, v: Any) -> Any:
    """Memory for o as q lies. None of what is refused later."""
    if layout != "bshd" or not all(hasattr(x, "shape") for x in (q, v)):
        return None
    backend = backend_of("q", q)
    kind = backend.element(q)
    if kind not in ("f32", "f16", "bf16") or (backend is _numpy and not q.dtype.isnative):
        return None
    return backend.maker(q, kind, (*q.shape[:-1], *v.shape[-1:]))()


def placed(attend: Callable[..., Any], given: Tuple[Any, ...], cu_seqlens: Any, layout: Any, out: Any, *options: Any) -> Any:
    """`attend` on what is given, q, k and v first, in a layout, into `out` where there is one."""
    seen = views(given[:3], cu_seqlens, layout, out)
    result = attend((*seen.tensors, *given[3:]), cu_seqlens, seen.out, *options)
    o, more = (result[0], result[1:]) if isinstance(result, tuple) else (result, ())
    o = out if out is not None else seen.back(o)
    return (o, *more) if more else o


def into(out: Any, result: Any) -> Any:
    """Puts o, alone or the first of a tuple, where the caller wants it, if it is not there."""
    o, more = (result[0], result[1:]) if isinstance(result, tuple) else (result, ())
    if out is None or o is out:
        return result
    if _numpy.is_array(out):
        out[...] = o
    else:
        out.copy_(o)
    return (out, *more) if more else out
