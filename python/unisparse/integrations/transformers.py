# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Transformers' prefill by block-sparse attention.

    from unisparse.integrations.transformers import register, report
    register()
    model = AutoModelForCausalLM.from_pretrained(..., attn_implementation="unisparse")
    ...
    print(report())

Prompts and chunks of prompts are sparse, in padded batches without the padding. All else goes to another attention of
Transformers, the fallback, and report() counts it by its reason.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .. import _config
from .._attention import attention
from .._errors import Error, unexpected
from ._common import Report, autocast, check_options
from ._padding import Packing, Part, spans_of

try:
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface, masking_utils
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, causal_mask_function
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
except ImportError as error:
    raise Error(f"unisparse.integrations.transformers: expected Transformers 4.57 or newer and torch, got {error}") from None

_adapters: Dict[str, _Adapter] = {}
_bidirectional = getattr(masking_utils, "bidirectional_mask_function", None)


def register(
    name: str = "unisparse",
    p: Any = None,
    min_length: int = 4096,
    fallback: str = "sdpa",
    min_queries: int = 64,
    **options: Any,
) -> None:
    """Makes `attn_implementation=name` of Transformers our attention, with `p` and other options of `unisparse.attention`.

    min_length   sequences of fewer keys are dense: alone by the fallback, in a batch with longer ones by ours
    min_queries  so few new tokens are decoding, one by one or by speculation
    fallback     the attn_implementation that serves what is not sparse. "sdpa" knows neither softcapping nor sinks: the
                 model's eager attention serves these

    A layer's softcap, sinks and sliding window are part of what is sparse (M1 to M3).

    A name that is registered again starts with new options and a new report.
    """
    for what, x in (("name", name), ("fallback", fallback)):
        if not isinstance(x, str) or not x:
            raise unexpected(what, "the name of an attn_implementation", repr(x))
    if name == "eager" or (name not in _adapters and name in ALL_ATTENTION_FUNCTIONS.valid_keys()):
        raise unexpected("name", "one that Transformers has no attention of", repr(name))
    known = [one for one in ("eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()) if one not in _adapters and one != name]
    if fallback not in known:
        raise unexpected("fallback", f"an attn_implementation among {', '.join(sorted(known))}", repr(fallback))
    adapter = _Adapter(
        fallback,
        _config.integer("min_length", min_length, 0),
        _config.integer("min_queries", min_queries, 1),
        check_options({"p": p, **options}),
    )
    AttentionInterface.register(name, adapter.attention)
    AttentionMaskInterface.register(name, adapter.mask)
    _adapters[name] = adapter


def report(name: Optional[str] = None) -> Report:
    """What was attended since `register`, by one name or by all. Calls that torch.compile traced are not counted."""
    if name is not None and name not in _adapters:
        raise unexpected("name", f"one that was registered: {', '.join(_adapters) or 'none was'}", repr(name))
    total = Report()
    for adapter in _adapters.values() if name is None else [_adapters[name]]:
        total.add(adapter.report)
    return total


class Mask:
    """Which keys each query sees, where that is causality and padding: a span of keys for each sequence instead of one bit
    for each pair. `dense` is the mask as the fallback has it, made when somebody needs it: a model that looks into its mask
    finds that one."""

    def __init__(
        self, causal: bool, spans: Sequence[Tuple[int, int]], offset: int, dense: Callable[[], Any], window: Optional[int] = None
    ) -> None:
        self.causal, self.spans, self.offset, self.window = causal, spans, offset, window
        self._make, self._made, self.packing = dense, False, Packing()

    def parts(self, queries: int) -> List[Part]:
        if not self.causal:
            return [Part(0, queries, first, end) for first, end in self.spans]
        result = []
        for first, end in self.spans:
            begin = min(max(first - self.offset, 0), queries)
            stop = min(max(end - self.offset, begin), queries)
            result.append(Part(begin, stop, first, self.offset + stop) if begin < stop else Part(0, 0, 0, 0))
        return result

    def dense(self) -> Any:
        if not self._made:
            self._dense, self._made = self._make(), True
        return self._dense

    def to(self, *arguments: Any, **options: Any) -> Mask:
        """Layers on several devices move what they are given: spans are the host's."""
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.dense(), name)

    def __getitem__(self, index: Any) -> Any:
        return self.dense()[index]


class _Adapter:
    def __init__(self, fallback: str, min_length: int, min_queries: int, options: Dict[str, Any]) -> None:
        self.fallback, self.min_length, self.min_queries = fallback, min_length, min_queries
        self.options = {"dense_below": max(min_length - 1, 0), **options}
        self.report = Report()

    # Transformers asks for one mask per forward pass and kind of layer, and gives it to every layer's attention.

    def mask(
        self,
        *,
        kv_length: int,
        kv_offset: int = 0,
        mask_function: Any = causal_mask_function,
        attention_mask: Any = None,
        local_size: Optional[int] = None,
        allow_is_causal_skip: bool = True,
        allow_is_bidirectional_skip: bool = False,
        **given: Any,
    ) -> Any:
        given.update(kv_length=kv_length, kv_offset=kv_offset, mask_function=mask_function, attention_mask=attention_mask)
        given.update(local_size=local_size, allow_is_causal_skip=allow_is_causal_skip, allow_is_bidirectional_skip=allow_is_bidirectional_skip)

        def dense() -> Any:
            return ALL_MASK_ATTENTION_FUNCTIONS[self.fallback](**given)

        # Older releases tell queries by their positions.
        positions = given.get("cache_position")
        q_length, q_offset = (given["q_length"], given.get("q_offset", 0)) if positions is None else (len(positions), positions[:1])
        # A mask that may be skipped is what its function's name says, and a window that no key is outside of is none.
        local = local_size is not None and kv_length >= local_size
        # In these a static cache forbids skipping, too; in newer ones, callers that do more with a mask than pass it on.
        skip = allow_is_causal_skip or positions is not None
        causal = (not local and skip and mask_function is causal_mask_function) or (allow_is_causal_skip and local_size is not None)
        # Keys of a sliding window, or those of a query's own chunk: the layer's attention says which.
        window = local_size if local else None
        plain = causal or (allow_is_bidirectional_skip and not local and mask_function is _bidirectional)
        # What is traced has no values yet.
        traced = torch.compiler.is_compiling() and (attention_mask is not None or isinstance(q_offset, torch.Tensor))
        if not plain or traced or q_length < self.min_queries:
            made = dense()
            # None would say causal to our attention, whatever it says to the fallback's.
            return made if made is not None or q_length < self.min_queries else Mask(causal, [], 0, dense, window)
        spans: Optional[List[Tuple[int, int]]] = [(0, kv_length)] * given["batch_size"]
        if attention_mask is not None:
            spans = spans_of(attention_mask[:, kv_offset : kv_offset + kv_length])
        return Mask(causal, spans or [], int(q_offset) - kv_offset, dense, window)

    def attention(self, module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **kwargs: Any) -> Tuple[Any, Any]:
        causal, parts = self._parts(module, query, key, attention_mask, kwargs.get("is_causal"))
        reason = self._reason(query, key, value, attention_mask, parts, kwargs)
        if not torch.compiler.is_compiling():
            self.report.count(reason)
        if reason:
            return self._fall_back(module, query, key, value, attention_mask, kwargs)  # type: ignore[no-any-return]
        query, key, value = autocast(query, key, value)
        options = {**self.options, "causal": causal, "scale": kwargs.get("scaling"), **_modification(attention_mask, kwargs)}
        if all(part == parts[0] for part in parts):
            part = parts[0]
            o = attention(
                query[:, :, part.query : part.query_end],
                key[:, :, part.key : part.key_end],
                value[:, :, part.key : part.key_end],
                **options,
            ).transpose(1, 2)
            around = (0, 0, 0, 0, part.query, query.shape[2] - part.query_end)
            return (torch.nn.functional.pad(o, around) if any(around) else o.contiguous()), None
        return attention_mask.packing.attend(query, key, value, parts, options), None

    def _parts(self, module: Any, query: Any, key: Any, mask: Any, is_causal: Optional[bool]) -> Tuple[bool, List[Part]]:
        """What of the batch is attended to; nothing where the mask does not say."""
        queries, keys = query.shape[2], key.shape[2]
        if isinstance(mask, Mask):
            return mask.causal, mask.parts(queries) if len(mask.spans) == query.shape[0] else []
        if mask is not None:
            return False, []
        # None is what it is to SDPA: a causal mask starts at the top left, so that later keys are seen by nobody. A static
        # cache has these: its places that no token has filled.
        causal = queries > 1 and (getattr(module, "is_causal", True) if is_causal is None else is_causal)
        if causal and queries > keys:
            return causal, []
        return causal, [Part(0, queries, 0, queries if causal else keys)] * query.shape[0]

    def _reason(self, query: Any, key: Any, value: Any, mask: Any, parts: List[Part], kwargs: Dict[str, Any]) -> str:
        """Why this call is not ours; "" if it is."""
        keys = max((part.key_end - part.key for part in parts), default=0)
        window = kwargs.get("sliding_window")
        for reason, holds in (
            ("decoding", query.shape[2] < min(self.min_queries, key.shape[2])),
            ("short prompt", key.shape[2] < self.min_length or query.shape[2] < self.min_queries),
            ("position bias", kwargs.get("position_bias") is not None),
            ("sliding window", window is not None and getattr(mask, "window", None) != window and (keys or key.shape[2]) > window),
            ("mask", window is None and getattr(mask, "window", None) is not None),
            ("dropout", bool(kwargs.get("dropout"))),
            ("gradient", torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))),
            ("attention weights", bool(kwargs.get("output_attentions"))),
            ("mask", not parts),
            ("short prompt", keys < self.min_length or not keys),
        ):
            if holds:
                return reason
        return ""

    def _fall_back(self, module: Any, query: Any, key: Any, value: Any, mask: Any, kwargs: Dict[str, Any]) -> Any:
        dense = mask.dense() if isinstance(mask, Mask) else mask
        if isinstance(dense, torch.Tensor):
            dense = dense.to(query.device)
        beyond_sdpa = any(kwargs.get(name) is not None for name in ("softcap", "s_aux", "sinks"))
        eager = getattr(sys.modules.get(type(module).__module__), "eager_attention_forward", None)
        if self.fallback != "eager" and not (self.fallback == "sdpa" and beyond_sdpa):
            return ALL_ATTENTION_FUNCTIONS[self.fallback](module, query, key, value, dense, **kwargs)
        if eager is None:
            raise unexpected("fallback", f"one that serves {type(module).__name__}, which has no eager attention", repr(self.fallback))
        if self.fallback == "sdpa":
            dense = _additive(dense, query, key, kwargs.get("is_causal", getattr(module, "is_causal", True)))
        return eager(module, query, key, value, dense, **kwargs)


def _modification(mask: Any, kwargs: Dict[str, Any]) -> Dict[str, Any]:
    """M1 to M3 of a layer. Transformers' window counts the query itself."""
    sinks = next((x for x in map(kwargs.get, ("s_aux", "sinks")) if x is not None), None)
    window = mask.window if isinstance(mask, Mask) else None
    return {
        "softcap": kwargs.get("softcap"),
        "window": None if window is None else (window - 1, -1),
        "sinks": None if sinks is None else sinks.detach().float(),
    }


def _additive(mask: Any, query: Any, key: Any, is_causal: Optional[bool]) -> Any:
    """SDPA's mask as eager attention takes it: 0 where a key is seen, the type's least number elsewhere."""
    if mask is None and query.shape[2] > 1 and is_causal is not False:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()[None, None]
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill(~mask, torch.finfo(query.dtype).min)
