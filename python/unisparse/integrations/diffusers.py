# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention of image and video transformers by ours, while a context lasts.

    from unisparse.integrations.diffusers import sparse_attention
    with sparse_attention(p=0.9) as report:
        video = pipeline(prompt).frames
    print(report)

It stands in for torch's scaled_dot_product_attention, so that it serves models of other libraries too, and for those
backends of Diffusers that do not call it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import sys
import threading
from typing import Any, Callable, Dict, Iterator, Optional, Union

from .. import _config, maps
from .._attention import attention
from .._errors import Error, Status
from .._torch import element
from ._common import Report, autocast, check_options

try:
    import torch
except ImportError:
    raise Error("unisparse.integrations.diffusers: expected torch, got none") from None


@contextlib.contextmanager
def sparse_attention(
    p: Any = 0.9, *, min_length: int = 1024, min_queries: int = 64, map_folder: Optional[Union[str, os.PathLike[str]]] = None,
    most_maps: int = 64, **options: Any,
) -> Iterator[Report]:  # fmt: skip
    """Calls of attention in this process select blocks by `p` and other options of `unisparse.attention`.

    min_length, min_queries    attention to fewer keys, or of fewer queries, is left as it is
    map_folder                 pictures of the first `most_maps` selections, NNNN-QUERIESxKEYS.png

    What is left as it is, is counted by its reason in the report that the context gives. Contexts may be nested, the
    innermost is asked first. Code that took scaled_dot_product_attention by name before is not reached.
    """
    ours = _Attention(
        _config.integer("min_length", min_length, 0),
        _config.integer("min_queries", min_queries, 0),
        check_options({"p": p, **options}),
        None if map_folder is None else _Maps(map_folder, _config.integer("most_maps", most_maps, 0)),
    )
    sdpa, backends = torch.nn.functional.scaled_dot_product_attention, _backends()
    before = dict(backends)
    torch.nn.functional.scaled_dot_product_attention = ours.in_place_of_sdpa(sdpa)
    backends.update({name: ours.in_place_of_backend(x) for name, x in before.items() if not _calls_sdpa(name)})
    try:
        yield ours.report
    finally:
        torch.nn.functional.scaled_dot_product_attention = sdpa
        backends.update(before)


def _backends() -> Dict[Any, Callable[..., Any]]:
    """Diffusers' own table, by name."""
    dispatch = sys.modules.get("diffusers.models.attention_dispatch")
    return getattr(getattr(dispatch, "_AttentionBackendRegistry", None), "_backends", {})


def _calls_sdpa(name: Any) -> bool:
    return "native" in str(getattr(name, "value", name))


class _Attention:
    def __init__(self, min_length: int, min_queries: int, options: Dict[str, Any], pictures: Optional[_Maps]) -> None:
        self.min_length, self.min_queries, self.options, self.maps = min_length, min_queries, options, pictures
        self.report = Report()

    def in_place_of_sdpa(self, sdpa: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(sdpa)
        def attend(
            query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
            scale: Optional[float] = None, enable_gqa: bool = False,
        ) -> Any:  # fmt: skip
            query, key, value = autocast(query, key, value)
            reason = self._reason(query, key, value, attn_mask, dropout_p, is_causal, enable_gqa)
            self._count(reason)
            if not reason:
                return self._attend(query, key, value, bool(is_causal), scale)
            return sdpa(query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa)

        return attend

    def in_place_of_backend(self, backend: Callable[..., Any]) -> Callable[..., Any]:
        """Diffusers' tensors are [B, L, H, D]."""

        @functools.wraps(backend)
        def attend(query: Any, key: Any, value: Any, **kwargs: Any) -> Any:
            q, k, v = (x.transpose(1, 2) if x.dim() == 4 else x for x in autocast(query, key, value))
            known = ("attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
            mask, dropout, causal, scale, grouped = (kwargs.get(name) for name in known)
            more = [name for name, x in kwargs.items() if name not in known and x is not None and x is not False]
            reason = f"{more[0].strip('_')}" if more else self._reason(q, k, v, mask, dropout, causal, grouped)
            self._count(reason)
            if reason:
                return backend(query=query, key=key, value=value, **kwargs)
            return self._attend(q, k, v, bool(causal), scale).transpose(1, 2)

        return attend

    def _count(self, reason: str) -> None:
        if not torch.compiler.is_compiling():
            self.report.count(reason)

    def _reason(self, q: Any, k: Any, v: Any, mask: Any, dropout: Optional[float], causal: Optional[bool], grouped: Optional[bool]) -> str:
        """Why this call is left as it is; "" if it is ours."""
        if not q.dim() == k.dim() == v.dim() == 4:
            return "dimensions"
        heads, kv_heads = q.shape[1], k.shape[1]
        fit = q.shape[0] == k.shape[0] == v.shape[0] and k.shape[1:3] == v.shape[1:3] and q.shape[3] == k.shape[3]
        for reason, holds in (
            ("sizes", not fit or not kv_heads or heads % kv_heads or (heads != kv_heads and not grouped)),
            ("type", not (element(q) == element(k) == element(v) in ("f32", "f16", "bf16"))),
            ("device", not (q.device == k.device == v.device) or q.device.type not in ("cpu", "cuda")),
            ("short", k.shape[2] < max(self.min_length, 1)),
            ("few queries", q.shape[2] < max(self.min_queries, 1)),
            ("mask", mask is not None),
            ("dropout", bool(dropout)),
            ("gradient", torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)),
            ("more queries than keys", causal and q.shape[2] > k.shape[2]),
        ):
            if holds:
                return reason
        return ""

    def _attend(self, q: Any, k: Any, v: Any, causal: bool, scale: Optional[float]) -> Any:
        if causal:  # From the top left: later keys are seen by nobody.
            k, v = k[:, :, : q.shape[2]], v[:, :, : q.shape[2]]
        options = {**self.options, "causal": causal, "scale": scale}
        if self.maps is None or not (path := self.maps.next(q.shape[2], k.shape[2])):
            return attention(q, k, v, **options)
        o, counts, indices = attention(q, k, v, **options, return_selection=True)
        maps.draw(path, counts, indices, queries=q.shape[2], keys=k.shape[2], block=options.get("block", (128, 128)), causal=causal)
        return o


class _Maps:
    def __init__(self, folder: Union[str, os.PathLike[str]], most: int) -> None:
        self.folder, self.most, self.made, self.lock = pathlib.Path(folder), most, 0, threading.Lock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Error(f"map_folder: expected a folder that can be made, got {error}", Status.BAD_FILE) from None

    def next(self, queries: int, keys: int) -> Optional[pathlib.Path]:
        """Where the next picture goes; None when there are enough, and while torch.compile traces."""
        if torch.compiler.is_compiling():
            return None
        with self.lock:
            if self.made >= self.most:
                return None
            self.made += 1
            return self.folder / f"{self.made:04}-{queries}x{keys}.png"
