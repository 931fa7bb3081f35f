# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention of image and video transformers by ours, while a context lasts.

    from unisparse.integrations.diffusers import sparse_attention
    with sparse_attention() as report:
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
import weakref
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from .. import _config, maps
from .._attention import attention
from .._errors import Error, Status
from .._torch import element
from ._common import Report, autocast, check_options
from ._padding import Packing, Part, spans_of

try:
    import torch
except ImportError:
    raise Error("unisparse.integrations.diffusers: expected torch, got none") from None


@contextlib.contextmanager
def sparse_attention(
    p: Any = None, *, min_length: int = 1024, min_queries: int = 64, map_folder: Optional[Union[str, os.PathLike[str]]] = None,
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
        self.paddings: Dict[int, _Padding] = {}

    def in_place_of_sdpa(self, sdpa: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(sdpa)
        def attend(
            query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
            scale: Optional[float] = None, enable_gqa: bool = False,
        ) -> Any:  # fmt: skip
            query, key, value = autocast(query, key, value)
            padding = self._padding(key, attn_mask)
            reason = self._reason(query, key, value, attn_mask, padding, dropout_p, is_causal, enable_gqa)
            self._count(reason)
            if not reason:
                return self._attend(query, key, value, padding, bool(is_causal), scale)
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
            padding = self._padding(k, mask)
            reason = more[0].strip("_") if more else self._reason(q, k, v, mask, padding, dropout, causal, grouped)
            self._count(reason)
            if reason:
                return backend(query=query, key=key, value=value, **kwargs)
            return self._attend(q, k, v, padding, bool(causal), scale).transpose(1, 2)

        return attend

    def _count(self, reason: str) -> None:
        if not torch.compiler.is_compiling():
            self.report.count(reason)

    def _padding(self, k: Any, mask: Any) -> Optional[_Padding]:
        """Which keys are there, where that is all that a mask says: [B, 1, 1, Lk] or [B, Lk]. Layers that share a mask wait
        for the device once."""
        if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool or mask.is_meta or torch.compiler.is_compiling() or k.dim() != 4:
            return None
        sizes = tuple(mask.shape)
        if len(sizes) not in (2, 4) or sizes[-1] != k.shape[2] or (len(sizes) == 4 and sizes[1:3] != (1, 1)) or sizes[0] not in (1, k.shape[0]):
            return None
        if len(sizes) == 2 and sizes[0] != k.shape[0]:
            return None
        version = None if mask.is_inference() else mask._version  # Whether one of these was written since, nobody knows.
        known = self.paddings.get(id(mask))
        if known is None or version is None or known.mask() is not mask or known.version != version:
            spans = spans_of(mask.reshape(sizes[0], -1).expand(k.shape[0], -1))
            self.paddings = {name: x for name, x in self.paddings.items() if x.mask() is not None}
            known = self.paddings[id(mask)] = _Padding(weakref.ref(mask), version, spans)
        return known

    def _reason(self, q: Any, k: Any, v: Any, mask: Any, padding: Optional[_Padding], dropout: Optional[float], causal: Optional[bool], grouped: Optional[bool]) -> str:  # fmt: skip
        """Why this call is left as it is; "" if it is ours."""
        if not q.dim() == k.dim() == v.dim() == 4:
            return "dimensions"
        heads, kv_heads = q.shape[1], k.shape[1]
        there = [end - begin for begin, end in (padding.spans if padding is not None else None) or []]
        fit = q.shape[0] == k.shape[0] == v.shape[0] and k.shape[1:3] == v.shape[1:3] and q.shape[3] == k.shape[3]
        for reason, holds in (
            ("sizes", not fit or not kv_heads or heads % kv_heads or (heads != kv_heads and not grouped)),
            ("type", not (element(q) == element(k) == element(v) in ("f32", "f16", "bf16"))),
            ("device", not (q.device == k.device == v.device) or q.device.type not in ("cpu", "cuda")),
            ("short", k.shape[2] < max(self.min_length, 1)),
            ("few queries", q.shape[2] < max(self.min_queries, 1)),
            ("mask", mask is not None and (bool(causal) or not min(there, default=0))),
            ("short", mask is not None and max(there, default=0) < self.min_length),
            ("dropout", bool(dropout)),
            ("gradient", torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)),
            ("more queries than keys", causal and q.shape[2] > k.shape[2]),
        ):
            if holds:
                return reason
        return ""

    def _attend(self, q: Any, k: Any, v: Any, padding: Optional[_Padding], causal: bool, scale: Optional[float]) -> Any:
        if padding is not None and padding.spans:
            (begin, end), *others = padding.spans
            if any(one != (begin, end) for one in others):
                parts = [Part(0, q.shape[2], *one) for one in padding.spans]
                return padding.packing.attend(q, k, v, parts, {**self.options, "causal": False, "scale": scale}).transpose(1, 2)
            k, v = k[:, :, begin:end], v[:, :, begin:end]
        if causal:  # From the top left: later keys are seen by nobody.
            k, v = k[:, :, : q.shape[2]], v[:, :, : q.shape[2]]
        options = {**self.options, "causal": causal, "scale": scale}
        if self.maps is None or not (path := self.maps.next(q.shape[2], k.shape[2])):
            return attention(q, k, v, **options)
        o, counts, indices = attention(q, k, v, **options, return_selection=True)
        maps.draw(path, counts, indices, queries=q.shape[2], keys=k.shape[2], block=options.get("block", (128, 128)), causal=causal)
        return o


class _Padding:
    """The keys that a mask leaves, and the mask they were read from."""

    def __init__(self, mask: Any, version: Optional[int], spans: Optional[List[Tuple[int, int]]]) -> None:
        self.mask, self.version, self.spans, self.packing = mask, version, spans, Packing()


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
