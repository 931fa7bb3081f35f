# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What mode="auto" knows: how fast this machine's links and kernels are, which the first call of a group measures that asks, and
what calls took and came to."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Callable, Dict, Hashable, Optional, Tuple

import torch

from . import _attention
from ._config import Config
from ._ranks import Ranks
from ._shares import Rates

# So much to each other rank; so many blocks of queries and keys, which the CPU takes long for.
_LINK_BYTES = 4 << 20
_BLOCKS = {"cpu": 2}
_MOST_BLOCKS = 32

_measured: Dict[Hashable, Rates] = {}


def _seconds(call: Callable[[], Any], device: Any) -> float:
    """The best of three, behind one that compiles and allocates."""
    best = float("inf")
    for n in range(4):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if n:
            best = min(best, time.perf_counter() - start)
    return best


def _attend(config: Config, device: Any) -> float:
    """Seconds of one query head's block of queries with one block of keys."""
    blocks = _BLOCKS.get(device.type, _MOST_BLOCKS)
    tokens = blocks * max(config.block)
    rows, columns = (-(-tokens // size) for size in config.block)
    element = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[config.dtype]
    q, k, v = (
        torch.randn(1, heads, tokens, width, device=device).to(element)
        for heads, width in ((config.heads, config.head_dim), (config.kv_heads, config.head_dim), (config.kv_heads, config.value_dim))
    )
    # As many blocks in each row, whatever it may see: the same work on every chip.
    counts = torch.full((1, config.kv_heads, rows), columns, dtype=torch.int32, device=device)
    indices = torch.arange(columns, dtype=torch.int32, device=device).expand(*counts.shape, columns).contiguous()
    took = _seconds(lambda: _attention.block_sparse_attention(q, k, v, counts, indices, block=config.block, causal=False, scale=config.scale), device)
    return took / (config.heads * rows * columns)


def measured(ranks: Ranks, config: Config, kernel: bool, said: Callable[[Exception], Dict[str, Any]]) -> Rates:
    """The slowest rank's. A collective call, by the ranks that agree on the configuration. Without `kernel` no block's."""
    name = (ranks.group.group_name, ranks.device.type, dataclasses.replace(config, rule=None, selections=config.kv_heads, causal=False, packed=False, return_lse=False) if kernel else None)
    if name not in _measured:
        block = 0.0
        failed: Dict[str, Any] = {}
        try:
            block = _attend(config, ranks.device) if kernel else 0.0
        except Exception as error:
            failed = said(error)
        one = torch.zeros(_LINK_BYTES, dtype=torch.uint8, device=ranks.device)
        shapes = [[(_LINK_BYTES,)]] * ranks.size
        link = _seconds(lambda: ranks.exchange([[one]] * ranks.size, shapes, one.dtype, _PROBE), ranks.device)
        few = [[one[:1]]] * ranks.size, [[(1,)]] * ranks.size
        step = _seconds(lambda: [ranks.exchange(*few, one.dtype, _PROBE), ranks.agree({}, _PROBE)], ranks.device) / 2
        ranks.sent.pop(_PROBE, None)
        # In picoseconds, of a block, of a byte and of a step.
        picoseconds = [int(failed != {}), int(block * 1e12), int(max(0.0, link - step) * 1e12 / max(1, _LINK_BYTES * (ranks.size - 1))), int(step * 1e12)]
        heard = ranks.numbers(picoseconds, [4] * ranks.size, "tell rates")
        if any(x[0] for x in heard):
            ranks.agree(failed, "measure rates")
        _measured[name] = Rates(*(max(x[n] for x in heard) * 1e-12 for n in (2, 1, 3)))
    return _measured[name]


_PROBE = "measure the links"

# Where a rank needs such a share of others' blocks, all come to all without being asked for, while ranks select: to that rank the
# rest takes little longer, and the others get theirs beside it. From time to time ranks ask, as selections change.
UNASKED = 0.75
ASKING_CALLS = 32

# What a call took is news where it differs by more: ranks that say the same again need no words for it.
_NEWS = 0.2


class Known:
    """What calls came to, by what they are like: by rows the share of candidates that were selected, and of the others' blocks that
    came to a rank; and seconds, of any."""

    def __init__(self) -> None:
        self._of: Dict[Hashable, Dict[str, float]] = {}
        self._times: Dict[Tuple[Hashable, str], Tuple[Any, Any, float]] = {}

    def remember(self, kind: Hashable, **found: float) -> None:
        # To two digits, so that layers which select alike say the same.
        self._of.setdefault(kind, {}).update({name: float(f"{x:.2g}") for name, x in found.items()})

    def took(self, kind: Hashable, what: str, begin: Any, end: Any, times: float = 1.0) -> None:
        """A call took `times` what is between two moments, the second of which a device may not have reached yet. The first call of
        a kind compiles, loads and allocates: it is no measure."""
        known = self._of.setdefault(kind, {})
        if what not in known:
            known[what] = 0.0
        elif self._heard(kind, what):
            self._times[kind, what] = begin, end, times

    def is_new(self, kind: Hashable, mode: str) -> bool:
        """Whether no call of the kind has come through by this mode."""
        return mode not in self._of.get(kind, ())

    def unasked(self, kind: Hashable) -> Tuple[bool, bool]:
        """Of a call by rows: whether nearly all blocks came to this rank, and whether it is time to ask again."""
        known = self._of.setdefault(kind, {})
        known["calls"] = known.get("calls", 0) + 1
        return known.get("came", -1.0) >= UNASKED, known["calls"] % ASKING_CALLS == 0

    def _heard(self, kind: Hashable, what: str) -> bool:
        """Whether the last time of a call of a kind is known."""
        if (kind, what) not in self._times:
            return True
        begin, end, times = self._times[kind, what]
        seconds = _between(begin, end)
        if seconds is None:
            return False
        del self._times[kind, what]
        before = self._of[kind][what]
        if abs(seconds * times - before) > _NEWS * before:
            self.remember(kind, **{what: seconds * times})
        return True

    def __call__(self, kind: Hashable) -> Dict[str, float]:
        for what in [what for one, what in self._times if one == kind]:
            self._heard(kind, what)
        return {name: x for name, x in self._of.get(kind, {}).items() if x and name != "calls"}


def moment(device: Any) -> Any:
    """Now; on a GPU when its stream has come as far."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def _between(begin: Any, end: Any) -> Optional[float]:
    """Seconds, where both have been."""
    if isinstance(begin, float):
        return float(end - begin)
    return float(begin.elapsed_time(end)) / 1e3 if end.query() else None


known = Known()
