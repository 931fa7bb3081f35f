# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whole blocks of sequences on ranks that hold parts of them: numbers, no tensors. Parts end anywhere; a block is the rank's
that has its first token, so that composites, rows of blocks and blocks are those of the whole."""

from __future__ import annotations

import bisect
import functools
from typing import Any, Dict, Hashable, Iterator, List, NamedTuple, Sequence, Tuple

from ._shares import Segment


class Run(NamedTuple):
    """Tokens of one sequence, whole blocks of it, the last of which may end with the sequence."""

    sequence: int
    begin: int
    end: int


def runs(segments: Sequence[Segment], sequences: Sequence[Tuple[int, int]], block: int, ranks: int) -> List[List[Run]]:
    """What each rank has of the sequences, in whole blocks."""
    result: List[List[Run]] = [[] for _ in range(ranks)]
    for s in segments:
        for n, (first, last) in enumerate(sequences):
            begin, end = (min(first + -(-max(x - first, 0) // block) * block, last) for x in (s.begin, s.end))
            if begin < end:
                result[s.rank].append(Run(n, begin, end))
    return result


class Overlap(NamedTuple):
    """`size` tokens, from `row` of run number `run` and from `place` of a rank's part on."""

    run: int
    row: int
    place: int
    size: int


def overlaps(wanted: Sequence[Run], own: Sequence[Segment]) -> List[Overlap]:
    """The tokens that are in a run and in a part."""
    result = []
    for n, run in enumerate(wanted):
        for s in own:
            begin, end = max(run.begin, s.begin), min(run.end, s.end)
            if begin < end:
                result.append(Overlap(n, begin - run.begin, s.place + begin - s.begin, end - begin))
    return result


class Span(NamedTuple):
    """A sequence's queries and keys, by their places in the whole, and the number of its first block of keys."""

    query: int
    query_end: int
    key: int
    key_end: int
    block: int

    @property
    def keys(self) -> int:
        return self.key_end - self.key

    @property
    def shift(self) -> int:
        """Query i stands at position i + shift (I7)."""
        return self.keys - (self.query_end - self.query)


def spans(sequences: Sequence[Tuple[int, int, int, int]], block: int) -> List[Span]:
    result, at = [], 0
    for query, query_end, key, key_end in sequences:
        result.append(Span(query, query_end, key, key_end, at))
        at += -(-(key_end - key) // block)
    return result


class View(NamedTuple):
    """What decides which keys a query sees: causality (A1) and a window (M2)."""

    causal: bool
    window: Tuple[int, int]

    @property
    def positions(self) -> bool:
        return self.causal or self.window != (-1, -1)

    def reach(self, span: Span, end: int) -> int:
        """How many of the sequence's keys queries up to `end` see."""
        right = 0 if self.causal else self.window[1]
        return span.keys if right < 0 else max(0, min(span.keys, span.shift + end - span.query + right))

    def call(self, span: Span, run: Run, composite: int = 1) -> Tuple[int, int]:
        """How many keys a call for some of a sequence's queries has, whole composites of them, and how many queries that nobody
        asked for stand behind them, as its last query is to see its last key."""
        if not self.positions:
            return span.keys, 0
        keys = min(span.keys, -(-self.reach(span, run.end) // composite) * composite)
        return keys, keys - span.shift - (run.end - span.query)

    def candidates(self, span: Span, begin: int, end: int, block: int) -> Tuple[int, int]:
        """The blocks, from and to, that queries `begin` to `end` see (L1)."""
        last = self.reach(span, end)
        first = max(0, span.shift + begin - span.query - self.window[0]) if self.window[0] >= 0 else 0
        return first // block, max(first // block, -(-last // block))


# How a row of blocks gets its selection: by its masses; every candidate; or every candidate, and the ranks that have keys of its
# sequence attend to these each.
MASSES, EVERY, SPLIT = range(3)


class Row(NamedTuple):
    sequence: int
    begin: int
    end: int
    kind: int


class Share(NamedTuple):
    """Rows `begin` to `end`, by their numbers on `source`."""

    source: int
    begin: int
    end: int


MOST_UNEVEN = 1.03


def balanced(costs: Sequence[Sequence[int]]) -> List[List[Share]]:
    """Who computes which rows, when the rows of each rank cost so much. Rows stay where they are as far as that is even; those
    that have too much give their last rows away, to those that have least."""
    loads = [sum(one) for one in costs]
    target = sum(loads) / len(loads)
    kept = [len(one) for one in costs]
    given: List[List[Share]] = [[] for _ in costs]
    if max(loads) > MOST_UNEVEN * target:
        for source in sorted(range(len(loads)), key=lambda r: -loads[r]):
            while loads[source] > target and kept[source]:
                to = min(range(len(loads)), key=lambda r: loads[r])
                end, moved = kept[source], 0
                while kept[source]:
                    cost = costs[source][kept[source] - 1]
                    # No more than evens it out, and no row that only changes places.
                    if loads[source] - moved - cost / 2 < target or loads[to] + moved + cost / 2 > target:
                        break
                    moved += cost
                    kept[source] -= 1
                if kept[source] == end:
                    break
                loads[source] -= moved
                loads[to] += moved
                given[to].append(Share(source, kept[source], end))
    return [[*([Share(rank, 0, kept[rank])] if kept[rank] else []), *given[rank]] for rank in range(len(costs))]


class Job(NamedTuple):
    """Rows of one sequence that follow one another: a call. `row`: the first one's number on `source`."""

    source: int
    row: int
    rows: int
    run: Run


class Rows(List[Row]):
    """A rank's rows, and behind which of them there is a gap."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__(rows)
        self.stops = [n for n in range(1, len(rows)) if rows[n].sequence != rows[n - 1].sequence or rows[n].begin != rows[n - 1].end]
        self.stops.append(len(rows))


def jobs(shares: Sequence[Share], rows: Sequence[Rows]) -> Iterator[Job]:
    for share in shares:
        mine, at = rows[share.source], share.begin
        while at < share.end:
            stop = min(share.end, mine.stops[bisect.bisect_right(mine.stops, at)])
            yield Job(share.source, at, stop - at, Run(mine[at].sequence, mine[at].begin, mine[stop - 1].end))
            at = stop


class Layout:
    """Who has what and who computes what as far as lengths tell: the same on every rank."""

    def __init__(
        self, ranks: int, sequences: Sequence[Tuple[int, int, int, int]], queries: Sequence[Segment], keys: Sequence[Segment],
        block: Tuple[int, int], composite: int, view: View, dense: bool, last: int, dense_below: int, heads: Tuple[int, int],
    ) -> None:  # fmt: skip
        self.ranks, self.block, self.composite, self.view = ranks, block, composite, view
        self.spans = spans(sequences, block[1])
        self.blocks = sum(-(-s.keys // block[1]) for s in self.spans)
        self.tokens = sum(s.end - s.begin for s in keys)
        self.parts = [[s for s in queries if s.rank == rank] for rank in range(ranks)]
        self.key_parts = [[s for s in keys if s.rank == rank] for rank in range(ranks)]
        self.query_runs = runs(queries, [(s.query, s.query_end) for s in self.spans], block[0], ranks)
        self.key_runs = runs(keys, [(s.key, s.key_end) for s in self.spans], block[1], ranks)
        self.owned = [[self._blocks(run) for run in mine] for mine in self.key_runs]
        self.rows: List[Rows] = []
        split: Dict[int, List[Tuple[int, int]]] = {}
        holders = [{rank for rank, mine in enumerate(self.key_runs) for run in mine if run.sequence == n} for n in range(len(sequences))]
        for rank, mine in enumerate(self.query_runs):
            rows: List[Row] = []
            for run in mine:
                span = self.spans[run.sequence]
                every = dense or span.keys <= dense_below
                tail = span.query + max(-(-(span.query_end - span.query) // block[0]) - last, 0) * block[0]
                # A rank that has all keys of a sequence asks nobody for them.
                apart = not every and holders[run.sequence] != {rank} and self._is_split(span, tail, heads)
                for begin in range(run.begin, run.end, block[0]):
                    end, is_last = min(begin + block[0], run.end), begin >= tail
                    if is_last and apart:
                        split.setdefault(run.sequence, []).append((begin, end))
                    else:
                        rows.append(Row(run.sequence, begin, end, EVERY if every or is_last else MASSES))
            self.rows.append(Rows(rows))
        # Rows that follow one another, whosever they are.
        self.split = [Run(sequence, min(x for x, _ in one), max(x for _, x in one)) for sequence, one in sorted(split.items())]
        self.splitters = [[rank for rank in range(ranks) if self.seen(rank, run)] for run in self.split]
        self.apart = [[run for run, those in zip(self.split, self.splitters) if rank in those] for rank in range(ranks)]
        # Of queries that each rank is to have: those of its rows, and what it attends to apart.
        self.wanted = [[*runs, *more] for runs, more in zip(self.query_runs, self.apart)]
        # What calls with these lengths plan once, on a device.
        self.selections: Dict[Hashable, Any] = {}

    def _blocks(self, run: Run) -> Tuple[int, int]:
        """Of all, from and to."""
        span = self.spans[run.sequence]
        first = span.block + (run.begin - span.key) // self.block[1]
        return first, first + -(-(run.end - run.begin) // self.block[1])

    def _is_split(self, span: Span, tail: int, heads: Tuple[int, int]) -> bool:
        """Whether less moves when the queries go to the keys."""
        rows, missing = span.query_end - tail, span.keys * (self.ranks - 1) // self.ranks
        return self.ranks > 1 and rows > 0 and missing * heads[1] > (self.ranks - 1) * rows * heads[0]

    def seen(self, rank: int, run: Run) -> List[int]:
        """The rank's blocks of the sequence, by their numbers there, that some of these queries see."""
        span = self.spans[run.sequence]
        first, last = self.view.candidates(span, run.begin, run.end, self.block[1])
        blocks = (b - span.block for one, (begin, end) in zip(self.key_runs[rank], self.owned[rank]) if one.sequence == run.sequence for b in range(begin, end))
        return [b for b in blocks if first <= b < last]

    @functools.cached_property
    def crossing(self) -> Tuple[List[List[List[Overlap]]], List[List[List[Overlap]]]]:
        """Queries and keys in whole blocks that each rank is to have, as far as each has them."""
        queries = [[overlaps(runs, part) for part in self.parts] for runs in self.wanted]
        return queries, [[overlaps(runs, part) for part in self.key_parts] for runs in self.key_runs]

    def sees(self, rank: int, run: Run) -> bool:
        """Whether a row of the rank's whose masses count sees keys as early as these."""
        return self._reach[rank].get(run.sequence, 0) > run.begin - self.spans[run.sequence].key

    @functools.cached_property
    def _reach(self) -> List[Dict[int, int]]:
        result: List[Dict[int, int]] = []
        for rows in self.rows:
            result.append({})
            for row in rows:
                if row.kind == MASSES:
                    keys, _ = self.view.call(self.spans[row.sequence], Run(row.sequence, row.begin, row.end), self.composite)
                    result[-1][row.sequence] = max(result[-1].get(row.sequence, 0), keys)
        return result


@functools.lru_cache(maxsize=16)
def layout(
    ranks: int, sequences: Tuple[Tuple[int, int, int, int], ...], queries: Tuple[Segment, ...], keys: Tuple[Segment, ...], block: Tuple[int, int],
    composite: int, view: View, dense: bool, last: int, dense_below: int, heads: Tuple[int, int],
) -> Layout:  # fmt: skip
    """Layers of a model call with the same lengths, one after another."""
    return Layout(ranks, sequences, queries, keys, block, composite, view, dense, last, dense_below, heads)


@functools.lru_cache(maxsize=16)
def candidates(sequences: Tuple[Tuple[int, int, int, int], ...], block: Tuple[int, int], causal: bool) -> int:
    """Pairs of blocks that attention without selection and window computes, of one head."""
    result = 0
    for query, query_end, key, key_end in sequences:
        length, keys = query_end - query, key_end - key
        for row in range(-(-length // block[0])):
            seen = min(keys, keys - length + (row + 1) * block[0]) if causal else keys
            result += -(-max(seen, 0) // block[1])
    return result


def groups(rows: Sequence[Row], kind: int, most: int) -> List[Tuple[int, int]]:
    """Rows of a kind, by their numbers from and to, that follow one another in a sequence: at most `most`."""
    result: List[Tuple[int, int]] = []
    for n, row in enumerate(rows):
        if row.kind != kind:
            continue
        if result and result[-1][1] == n and n - result[-1][0] < most and rows[n - 1].end == row.begin and rows[n - 1].sequence == row.sequence:
            result[-1] = result[-1][0], n + 1
        else:
            result.append((n, n + 1))
    return result
