# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What integrations share: how many calls were ours, how many went back to the library, and why; their options."""

from __future__ import annotations

import dataclasses
import inspect
import threading
from typing import Any, Dict, Mapping, Tuple

from .. import _config
from .._attention import attention
from .._errors import unexpected
from .._sdpa import Selecting
from .._torch import torch_of

_lock = threading.Lock()


@dataclasses.dataclass
class Report:
    """Calls of attention. `fallback`: reason -> how many calls the library's own attention served for it."""

    sparse: int = 0
    fallback: Dict[str, int] = dataclasses.field(default_factory=dict)

    def count(self, reason: str = "") -> None:
        with _lock:
            if reason:
                self.fallback[reason] = self.fallback.get(reason, 0) + 1
            else:
                self.sparse += 1

    def add(self, other: Report) -> None:
        self.sparse += other.sparse
        for reason, calls in other.fallback.items():
            self.fallback[reason] = self.fallback.get(reason, 0) + calls

    def __str__(self) -> str:
        reasons = ", ".join(f"{calls} {reason}" for reason, calls in sorted(self.fallback.items(), key=lambda x: -x[1]))
        return f"{self.sparse} sparse, {sum(self.fallback.values())} fallback" + (f" ({reasons})" if reasons else "")


def check_options(options: Mapping[str, Any]) -> Dict[str, Any]:
    """Options of `attention` that choose blocks, checked as far as they can be before there are heads."""
    for name in options:
        if name not in Selecting.__annotations__:
            raise unexpected(name, f"an option among {', '.join(Selecting.__annotations__)}", "none of them")
    every = {name: x.default for name, x in inspect.signature(attention).parameters.items() if name in Selecting.__annotations__}
    every.update(options)
    p, pooling = (_config.several(every[name]) or () for name in ("p", "pooling"))
    heads = len(p) or 1
    if len(pooling) == 3 and heads == 1:
        heads = _config.integer("pooling", pooling[2], 1)
    head_dim = max(_config.integer("spread", every["spread"] or 0, 0), 1)
    _config.make(heads, heads, head_dim, head_dim, "f32", False, causal=True, scale=None, return_lse=False, **every)
    return dict(options)


def autocast(*tensors: Any) -> Tuple[Any, ...]:
    """In the type that torch.autocast wants attention in, where it is on: it does so for SDPA."""
    torch, device = torch_of(tensors[0]), tensors[0].device.type
    if device not in ("cpu", "cuda") or not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(x.to(dtype) if x.is_floating_point() and x.dtype != torch.float64 else x for x in tensors)
