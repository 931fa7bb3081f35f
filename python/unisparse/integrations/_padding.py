# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Batches whose sequences have fewer tokens than their tensors: found in masks, and attended to without padding."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch

from .._attention import attention


class Part(NamedTuple):
    """Queries and keys of one sequence of a batch; the last query is aligned with the last key where causal."""

    query: int
    query_end: int
    key: int
    key_end: int


def spans_of(there: Any) -> Optional[List[Tuple[int, int]]]:
    """Of a mask [B, L] the keys of each sequence; None where they have holes. Waits for the device once."""
    there, length = there.bool(), there.shape[1]
    if not length:
        return [(0, 0)] * there.shape[0]
    places = torch.arange(length, device=there.device)
    first, end = torch.where(there, places, length).amin(1), torch.where(there, places + 1, 0).amax(1)
    result = []
    for begin, stop, count in torch.stack([first, end, there.sum(1)], 1).tolist():
        if count != max(stop - begin, 0):
            return None
        result.append((begin, stop) if count else (0, 0))
    return result


class Packing:
    """What the layers that share a mask share."""

    def __init__(self) -> None:
        self._ends: Dict[Any, Tuple[Any, Any]] = {}

    def ends(self, parts: Sequence[Part], device: Any) -> Tuple[Any, Any]:
        """cu_seqlens of queries and keys."""
        name = (device, tuple(parts))
        if name not in self._ends:
            queries, keys = [0], [0]
            for part in parts:
                queries.append(queries[-1] + part.query_end - part.query)
                keys.append(keys[-1] + part.key_end - part.key)
            queries_and_keys = [torch.tensor(x, dtype=torch.int32, device=device) for x in (queries, keys)]
            self._ends[name] = queries_and_keys[0], queries_and_keys[1]
        return self._ends[name]

    def attend(self, query: Any, key: Any, value: Any, parts: Sequence[Part], options: Dict[str, Any]) -> Any:
        """Sequences behind one another -> o [B, L, H, D], 0 where a query is of no part."""
        q = torch.cat([query[n, :, part.query : part.query_end] for n, part in enumerate(parts)], 1)[None]
        k, v = (torch.cat([x[n, :, part.key : part.key_end] for n, part in enumerate(parts)], 1)[None] for x in (key, value))
        packed = attention(q, k, v, cu_seqlens=self.ends(parts, query.device), **options)[0].transpose(0, 1)
        o, begin = packed.new_zeros((query.shape[0], query.shape[2], *packed.shape[1:])), 0
        for n, part in enumerate(parts):
            rows = part.query_end - part.query
            o[n, part.query : part.query_end] = packed[begin : begin + rows]
            begin += rows
        return o
