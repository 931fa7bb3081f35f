# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How fast this machine's links and kernels are, for mode="auto": measured by the first call of a group with a configuration."""

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


def measured(ranks: Ranks, config: Config, said: Callable[[Exception], Dict[str, Any]]) -> Rates:
    """The slowest rank's. A collective call, by the ranks that agree on the configuration."""
    kernel = dataclasses.replace(config, rule=None, selections=config.kv_heads, causal=False, packed=False, return_lse=False)
    name = (ranks.group.group_name, ranks.device.type, kernel)
    if name not in _measured:
        block = 0.0
        failed: Dict[str, Any] = {}
        try:
            block = _attend(config, ranks.device)
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


class Known:
    """What calls by rows with a configuration came to: the share of candidates that were selected, and of the others' blocks
    that came to a rank."""

    def __init__(self) -> None:
        self._of: Dict[Hashable, Tuple[float, float]] = {}

    def remember(self, config: Config, density: float, came: float) -> None:
        # To two digits, so that layers which select alike say the same.
        self._of[config] = float(f"{density:.2g}"), float(f"{came:.2g}")

    def __call__(self, config: Config) -> Optional[Tuple[float, float]]:
        return self._of.get(config)


known = Known()
