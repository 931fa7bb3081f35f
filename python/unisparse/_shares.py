# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who computes what where several ranks hold parts of a sequence: numbers, no tensors."""

from __future__ import annotations

import bisect
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


class Piece(NamedTuple):
    """Rows of one sequence, which has `keys` keys: queries `query` to `query_end`, keys `key` to `key_end`. The last `spare`
    keys, and as many queries that nobody asked for, make the last composite key whole. `last`: all of its rows are among the
    sequence's last ones, which take every candidate (L8); else none is."""

    query: int
    query_end: int
    key: int
    key_end: int
    keys: int
    spare: int
    last: bool


def row_shares(
    sequences: Sequence[Tuple[int, int, int, int]], block: Tuple[int, int], composite: int, causal: bool, last: int, ranks: int
) -> List[List[Piece]]:
    """Rows of blocks, each as costly as it has candidates, in `ranks` even ranges. sequences: (query, query_end, key,
    key_end). A piece's blocks and composites are those of the whole sequence, so that it selects what the whole would."""
    ends, total = [], 0  # Of the cost, by rows of blocks.
    for query, query_end, key, key_end in sequences:
        shift, keys = key_end - key - (query_end - query), key_end - key
        for row in range(-(-(query_end - query) // block[0])):
            seen = min(shift + (row + 1) * block[0], keys) if causal else keys
            total += 1 + -(-seen // block[1])  # A row that sees nothing costs something, too.
            ends.append(total)
    cuts = [0] + [bisect.bisect_right(ends, rank * total // ranks) for rank in range(1, ranks)] + [len(ends)]
    result: List[List[Piece]] = [[] for _ in range(ranks)]
    first = 0
    for query, query_end, key, key_end in sequences:
        length, keys = query_end - query, key_end - key
        rows = -(-length // block[0])
        dense = max(rows - last, 0)  # From this row on.
        for rank in range(ranks):
            begin, end = (min(max(cut - first, 0), rows) for cut in (cuts[rank], cuts[rank + 1]))
            for one, other, is_last in ((begin, min(end, dense), False), (max(begin, dense), end, True)):
                if one < other:
                    stop = min(other * block[0], length)
                    seen = keys - length + stop
                    spare = min(-seen % composite, length - stop) if causal else 0
                    key_stop = key + (seen + spare if causal else keys)
                    result[rank].append(Piece(query + one * block[0], query + stop, key, key_stop, keys, spare, is_last))
        first += rows
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


def crossings(pieces: Sequence[Piece], own: Sequence[Segment]) -> List[Crossing]:
    """The rows that are in a piece and in a part."""
    result = []
    for n, piece in enumerate(pieces):
        for s in own:
            begin, end = max(piece.query, s.begin), min(piece.query_end, s.end)
            if begin < end:
                result.append(Crossing(n, begin - piece.query, s.place + begin - s.begin, end - begin))
    return result


class Crossing(NamedTuple):
    """`size` rows, from `row` of piece number `piece` and from `place` of a rank's part on."""

    piece: int
    row: int
    place: int
    size: int
