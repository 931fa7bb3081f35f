# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who computes what where several ranks hold parts of a sequence: numbers, no tensors."""

from __future__ import annotations

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple


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


def traffic(shares: Sequence[Heads], queries: Sequence[int], keys: Sequence[int], token: Tuple[int, int, int]) -> List[Tuple[int, int]]:
    """Bytes that each rank sends by heads: of q, k and v, and of o. token: bytes of q, k and v of a token and a head."""
    heads, copies = sum(s.queries for s in shares), sum(s.keys for s in shares)
    return [
        ((heads - s.queries) * own * token[0] + (copies - s.keys) * own_keys * (token[1] + token[2]), s.queries * (sum(queries) - own) * token[2])
        for s, own, own_keys in zip(shares, queries, keys)
    ]


# What a device needs to start, fill up and run empty in one round more, .12 ms of a dozen launches on an H200, as bytes at the
# 4e11 a second of its links.
ROUND_BYTES = 48 << 20


def rounds(mine: Heads, group: int, unit: int, moved: int) -> List[Heads]:
    """A rank's heads in equal parts, which programs of one kind take one after another while others come and go: of `moved` bytes
    in n rounds only an n-th is waited for. KV groups stay whole where there are several."""
    if not mine.queries:
        return []
    whole = max(unit, group)
    piece = whole if mine.queries > whole else unit
    pieces = mine.queries // piece
    n = min((n for n in range(1, pieces + 1) if pieces % n == 0), key=lambda n: moved / n + n * ROUND_BYTES)
    size = mine.queries // n
    return [Heads(at, at + size, at // group, -(-(at + size) // group)) for at in range(mine.query, mine.query_end, size)]


class Rates(NamedTuple):
    """Seconds of a byte that a rank sends, of one query head's block of queries with one block of keys, and of a step: what
    ranks say or send to one another costs as much, however little it is."""

    byte: float
    block: float
    step: float


class Choice(NamedTuple):
    mode: str
    reason: str


class Work(NamedTuple):
    """What "auto" decides by. `candidates`: pairs of blocks, of all query heads; `token`: bytes of q, k and v of one head.
    `density`, `came`: the shares of them that are selected, and of others' blocks that come to a rank by rows. `known`: whether a
    call by rows has told these."""

    heads: int
    kv_heads: int
    unit: int
    batch: int
    queries: Sequence[int]
    keys: Sequence[int]
    token: Tuple[int, int, int]
    composite: float
    candidates: int
    density: float
    came: float
    known: bool = True


# Steps of a call of either mode; by rows with what this process plans between them, which takes as long.
HEADS_STEPS, ROWS_STEPS = 4, 16
# Calls by rows are of one sequence and a part of the heads each; they take up to so many times what one call for all takes.
ROWS_SLOWER = 1.3

# K and V come by so many parts of the KV heads, of which one is waited for; the others come while heads before them attend.
MOST_PARTS = 4
# Bytes of K and V of the whole: where they are fewer, all come at once.
PARTED_BYTES = 1 << 28


def parts(kv_heads: int, head_bytes: int) -> int:
    return math.gcd(kv_heads, MOST_PARTS) if kv_heads * head_bytes >= PARTED_BYTES else 1


def untold(work: Work) -> Optional[Choice]:
    """The mode where nothing is to be measured: even heads, of which one call is certain, before rows, of which none has told."""
    shares = head_shares(work.heads, work.kv_heads, work.unit, len(work.queries))
    if work.known or len({s.queries for s in shares}) > 1:
        return None
    return Choice("heads", f"each rank takes {shares[0].queries} of {work.heads} heads, and no call by rows has told how many blocks are selected")


def choose(work: Work, rates: Rates) -> Choice:
    """The mode that takes less time, of the rank that takes most."""
    ranks, shares = len(work.queries), head_shares(work.heads, work.kv_heads, work.unit, len(work.queries))
    q, k, v = (work.batch * x for x in work.token)
    attend = work.candidates * work.density * rates.block
    by_heads = max(
        # Queries and keys of others' heads; what comes of its heads back.
        (work.heads - s.queries) * own * q + (sum(x.keys for x in shares) - s.keys) * keys * (k + v) + s.queries * (sum(work.queries) - own) * v
        for s, own, keys in zip(shares, work.queries, work.keys)
    )
    longest = max(work.keys) * work.kv_heads * (ranks - 1)
    composites, blocks = longest * k * work.composite, longest * (k + v) * work.came
    first = 1 / parts(work.kv_heads, sum(work.keys) * (k + v))
    uneven = max(s.queries for s in shares) / work.heads
    heads = HEADS_STEPS * rates.step, by_heads * rates.byte, attend * uneven
    rows = ROWS_STEPS * rates.step, (composites + blocks * first) * rates.byte, max(attend / ranks * ROWS_SLOWER, blocks * (1 - first) * rates.byte)
    mode = "heads" if sum(heads) <= sum(rows) else "rows"
    told = [
        f"{name} {fixed * 1e3:.3g} ms of steps, {transfer * 1e3:.3g} ms of transfers and {rest * 1e3:.3g} ms of attention"
        for name, (fixed, transfer, rest) in (("heads", heads), ("rows", rows))
    ]
    return Choice(mode, f"by {told[0]}, by {told[1]}, where {work.density:.2f} of the blocks are selected and {work.came:.2f} of others' come")
