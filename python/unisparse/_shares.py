# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who computes what where several ranks hold parts of a sequence: numbers, no tensors."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple


class Segment(NamedTuple):
    """Tokens `begin` to `end` of the whole sequence, which a rank has from its token `place` on."""

    rank: int
    place: int
    begin: int
    end: int


def segments(lengths: Sequence[int], parts: str) -> List[Segment]:
    """The whole sequence in its order. Contiguous parts follow one another; a zigzag part is the rank's chunk of the first
    half, then its chunk of the second, where ranks follow one another backwards."""
    chunks = [(rank, 0, length) for rank, length in enumerate(lengths)]
    if parts == "zigzag":
        halves = [(length + 1) // 2 for length in lengths]
        first = [(rank, 0, half) for rank, half in enumerate(halves)]
        second = [(rank, half, length - half) for rank, (half, length) in enumerate(zip(halves, lengths))]
        chunks = first + second[::-1]
    result, begin = [], 0
    for rank, place, length in chunks:
        result.append(Segment(rank, place, begin, begin + length))
        begin += length
    return result


class Heads(NamedTuple):
    """Query heads of a rank, and the KV heads that they read."""

    query: int
    query_end: int
    key: int
    key_end: int

    @property
    def queries(self) -> int:
        return self.query_end - self.query

    @property
    def keys(self) -> int:
        return self.key_end - self.key


def head_shares(heads: int, kv_heads: int, unit: int, ranks: int) -> List[Heads]:
    """`unit` query heads depend on one another. KV groups stay whole while there are enough for all ranks; beyond that the
    ranks of a group have a copy of its KV head each and share its query heads."""
    group = heads // kv_heads
    whole = max(unit, group)  # One divides the other (I6).
    groups = heads // whole
    result = []
    for rank in range(ranks):
        if ranks <= groups:
            begin, end = rank * groups // ranks * whole, (rank + 1) * groups // ranks * whole
        else:
            at = rank * groups // ranks
            members = [r for r in range(ranks) if r * groups // ranks == at]
            units, n = whole // unit, rank - members[0]
            begin, end = (at * whole + units * x // len(members) * unit for x in (n, n + 1))
        result.append(Heads(begin, end, begin // group, -(-end // group) if end > begin else begin // group))
    return result


class Choice(NamedTuple):
    mode: str
    reason: str


MOST_UNEVEN = 1.25


def choose(heads: int, kv_heads: int, unit: int, queries: Sequence[int], keys: Sequence[int], crossing: int) -> Choice:
    """Fewer bytes over the links, where heads can be shared out evenly. queries, keys: what each rank has; crossing: queries
    that another rank than theirs computes by rows."""
    ranks, shares = len(queries), head_shares(heads, kv_heads, unit, len(queries))
    uneven = max(share.queries for share in shares) * ranks / heads
    if uneven > MOST_UNEVEN:
        return Choice("rows", f"of {heads} query heads on {ranks} ranks one has {uneven:.2f} times its share")
    # Tokens of a head: q there and o back, k and v.
    by_heads = sum(2 * s.queries * (sum(queries) - q) + 2 * s.keys * (sum(keys) - k) for s, q, k in zip(shares, queries, keys))
    by_rows = 2 * heads * crossing + 2 * kv_heads * sum(keys) * (ranks - 1)
    mode = "heads" if by_heads <= by_rows else "rows"
    return Choice(mode, f"{by_heads} tokens of a head move by heads, {by_rows} by rows")
