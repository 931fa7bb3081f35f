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


# What one round more costs, about the .1 ms that a call of few tokens takes on an H200 (benchmarks/NOTES.md), as bytes at NVLink's
# 4.5e11 a second one way.
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


class Timed(NamedTuple):
    """Seconds that calls like this one took, where some did: by heads, by rows, and attention alone if one device had all heads."""

    heads: Optional[float] = None
    rows: Optional[float] = None
    attend: Optional[float] = None


class Work(NamedTuple):
    """What "auto" decides by. `candidates`: pairs of blocks, of all query heads; `token`: bytes of q, k and v of one head.
    `density`, `came`: the shares of them that are selected, and of others' blocks that come to a rank by rows."""

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
    timed: Timed = Timed()


# Collectives of a call of either mode. By rows each rank plans what comes next between two, which takes as long as one.
HEADS_STEPS, ROWS_STEPS = 4, 2 * 7

# K and V come by so many parts of the KV heads, of which one is waited for; the others come while heads before them attend.
MOST_PARTS = 4
# Bytes of K and V of the whole: where they are fewer, all come at once.
PARTED_BYTES = 1 << 28


def parts(kv_heads: int, head_bytes: int) -> int:
    return math.gcd(kv_heads, MOST_PARTS) if kv_heads * head_bytes >= PARTED_BYTES else 1


def untold(work: Work) -> Optional[Choice]:
    """The mode where nothing is to be measured: both have been timed; or even heads, which no call has tried yet."""
    shares, timed = head_shares(work.heads, work.kv_heads, work.unit, len(work.queries)), work.timed
    if timed.heads is not None and timed.rows is not None:
        return Choice("heads" if timed.heads <= timed.rows else "rows", f"calls by heads took {timed.heads * 1e3:.3g} ms, by rows {timed.rows * 1e3:.3g} ms")
    if timed.heads is not None or len({s.queries for s in shares}) > 1:
        return None
    return Choice("heads", f"each rank takes {shares[0].queries} of {work.heads} heads, and no call by heads has been timed")


def choose(work: Work, rates: Rates) -> Choice:
    """The mode that takes less time, of the rank that takes most: as timed, else by rates."""
    ranks, shares = len(work.queries), head_shares(work.heads, work.kv_heads, work.unit, len(work.queries))
    q, k, v = (work.batch * x for x in work.token)
    attend = work.candidates * work.density * rates.block if work.timed.attend is None else work.timed.attend
    sent = [sum(one) for one in traffic(shares, work.queries, work.keys, (q, k, v))]
    by_heads = max(sent)
    waited = max(x / max(1, len(rounds(s, work.heads // work.kv_heads, work.unit, x))) for s, x in zip(shares, sent))
    longest = max(work.keys) * work.kv_heads * (ranks - 1)
    composites, blocks = longest * k * work.composite, longest * (k + v) * work.came
    first = 1 / parts(work.kv_heads, sum(work.keys) * (k + v))
    uneven = max(s.queries for s in shares) / work.heads
    modes = (
        ("heads", work.timed.heads, HEADS_STEPS, waited, attend * uneven, by_heads - waited),
        ("rows", work.timed.rows, ROWS_STEPS, composites + blocks * first, attend / ranks, blocks * (1 - first)),
    )
    told, taken = [], []
    for name, timed, steps, first_bytes, computing, beside in modes:
        cost = steps * rates.step, first_bytes * rates.byte, max(computing, beside * rates.byte)
        taken.append(sum(cost) if timed is None else timed)
        fixed, transfer, rest = (f"{x * 1e3:.3g} ms" for x in cost)
        told.append(f"{name} {fixed} of steps, {transfer} of transfers and {rest} of attention" if timed is None else f"{name} {timed * 1e3:.3g} ms as calls took")
    mode = "heads" if taken[0] <= taken[1] else "rows"
    density = f"{work.density:.2f} of the blocks are selected and " if work.timed.attend is None else ""
    return Choice(mode, f"by {told[0]}, by {told[1]}, where {density}{work.came:.2f} of others' come")
