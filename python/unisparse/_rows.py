# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention by rows: each rank selects for its own rows by everyone's composite keys, and then gets the blocks of K and V that
rows of its selected, and no others; or, where calls like this one needed nearly all, gets all of them while it selects.

K and V of the whole have room on every rank, and only what it has or gets is written there. Blocks stand where they stand in
the whole, so that causality, windows and modifications see the positions that they see on one device; what was not selected
is never read (A5).
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch

from . import _attention, _phases, _shares, _stages, _torch
from ._blocks import EVERY, MASSES, Job, Layout, Overlap, Row, Run, balanced, groups, jobs, overlaps
from ._config import Config
from ._ranks import Coming, Moving, Of, Picked, Ranks
from ._shares import parts

# Of masses and indices of one call that selects: so a long sequence takes several, and no rank holds L^2 of them.
SELECTING_BYTES = 1 << 30
# Of indices of every candidate, for other calls with these lengths: the last rows have few, a dense sequence has L^2.
REMEMBERED_BYTES = 1 << 22


class Selection(NamedTuple):
    """counts [B, H, R] and indices [B, H, R, W] of rows `begin` on."""

    begin: int
    counts: Any
    indices: Any


class ByRows:
    """One rank's side of a call. `asks`: whether ranks ask for blocks, or all come; `said`: the words of an error, for the others."""

    def __init__(
        self, ranks: Ranks, layout: Layout, config: Config, tensors: Dict[str, Any], sinks: Any, tables: Dict[str, Any], asks: bool,
        said: Callable[[Exception], Dict[str, Any]],
    ) -> None:  # fmt: skip
        self.ranks, self.layout, self.config, self.sinks, self.tables, self.asks, self.said = ranks, layout, config, sinks, tables, asks, said
        self.q, self.k, self.v = tensors.values()
        self.batch, self.heads, self.kv_heads = self.q.shape[0], config.heads, config.kv_heads
        rule = config.rule
        assert rule is not None
        self.rule = rule
        self.rows, self.mine = layout.rows[ranks.rank], layout.query_runs[ranks.rank]
        # As block_sparse_attention has them: one for each query head, or for each KV head.
        self.selections = self.kv_heads if config.selections <= self.kv_heads or is_dense(config) else self.heads
        head_bytes = layout.tokens * self.batch * (self.q.shape[3] + self.v.shape[3]) * self.q.element_size()
        # A modification knows query heads by their numbers among all (M5).
        self.parts = 1 if config.score_mod else parts(self.kv_heads, head_bytes)
        self.many = self.kv_heads * head_bytes >= _shares.PARTED_BYTES
        self.failed: Optional[Dict[str, Any]] = None
        self.whole: Optional[Tuple[Any, Any]] = None
        self.needed_blocks = self.other_blocks = 0

    def attempt(self, compute: Callable[[], Any]) -> Any:
        """Its result, or None: others wait, so that what fails is said when all have come as far."""
        if self.failed is not None:
            return None
        try:
            return compute()
        except Exception as error:
            self.failed = self.said(error)
            return None

    def __call__(self) -> List[Any]:
        with _phases.phase("align"):
            self.align()
        self.gather_composites()
        self.other_blocks = self.batch * self.kv_heads * (self.layout.blocks - sum(end - begin for begin, end in self.layout.owned[self.ranks.rank]))
        # Behind the composites, which are waited for, and before anything that follows from them.
        every = None if self.asks else [self.bring_part(n) for n in range(self.parts)]
        with _phases.phase("select"):
            selected: List[Selection] = self.attempt(self.select) or []
            mine = self.costs(selected)
        costs, widths = self.tell_costs(mine)
        # Now, so that the device has something to do while this process sees who computes what.
        with _phases.phase("attend last rows"):
            apart: List[Tuple[Any, ...]] = self.attempt(self.attend_apart) or []
        self.selected_blocks = sum(map(sum, costs)) - sum(map(len, costs))
        with _phases.phase("share rows out"):
            shares = balanced(costs)
            work = [list(jobs(one, self.layout.rows)) for one in shares]
        self.bring_rows(work, selected, widths)
        results = (self.attend_asking(work[self.ranks.rank]) if every is None else self.attend_all(work[self.ranks.rank], every)) + apart
        self.ranks.agree(self.failed or {}, "attend")
        return self.bring_results([[job.run for job in one] for one in work], results)

    # What a rank has, in whole blocks.

    def align(self) -> None:
        """Room for K and V, with the rank's blocks in them; its queries, and those that go to everybody."""
        layout, ranks, (b, d, dv) = self.layout, self.ranks, (self.batch, self.q.shape[3], self.v.shape[3])
        cross_q, cross_k = layout.crossing
        mine = ranks.rank

        def cut(x: Any, places: Any) -> List[Any]:
            return [x[:, :, p.place : p.place + p.size] for p in places]

        if any(x for crossing in (cross_q, cross_k) for n, one in enumerate(crossing) for m, x in enumerate(one) if n != m):
            sent = [[*cut(self.q, cross_q[rank][mine]), *cut(self.k, cross_k[rank][mine]), *cut(self.v, cross_k[rank][mine])] for rank in range(ranks.size)]
            shapes = [
                [(b, h, p.size, width) for places, h, width in ((cross_q[mine][rank], self.heads, d), (cross_k[mine][rank], self.kv_heads, d), (cross_k[mine][rank], self.kv_heads, dv)) for p in places]
                for rank in range(ranks.size)
            ]
            came = ranks.exchange(sent, shapes, self.q.dtype, "send edges of parts")
        else:
            came = [[] for _ in range(ranks.size)]
            came[mine] = [*cut(self.q, cross_q[mine][mine]), *cut(self.k, cross_k[mine][mine]), *cut(self.v, cross_k[mine][mine])]
        self.make_room()
        assert self.whole is not None
        self.keys, self.values = self.whole
        pieces: List[List[Tuple[int, Any]]] = [[] for _ in layout.wanted[mine]]
        for tensors, places_q, places_k in zip(came, cross_q[mine], cross_k[mine]):
            for x, p in zip(tensors, places_q):
                pieces[p.run].append((p.row, x))
            behind = len(places_q)
            for whole, first in ((self.keys, behind), (self.values, behind + len(places_k))):
                for x, p in zip(tensors[first:], places_k):
                    at = self.place(layout.key_runs[mine][p.run]) + p.row
                    whole[:, :, at : at + p.size] = x
        whole_runs = [self.joined(one) for one in pieces]
        self.queries, self.everybodys = whole_runs[: len(self.mine)], whole_runs[len(self.mine) :]

    def make_room(self) -> None:
        """For K and V of the whole."""
        if self.whole is None:
            tokens = self.layout.blocks * self.layout.block[1]
            self.whole = self.room(self.batch, self.kv_heads, tokens, self.q.shape[3]), self.room(self.batch, self.kv_heads, tokens, self.v.shape[3])

    def room(self, *sizes: int) -> Any:
        return _torch.allocate(torch, sizes, self.q.dtype, self.q.device)

    @staticmethod
    def joined(pieces: List[Tuple[int, Any]]) -> Any:
        ordered = [x for _, x in sorted(pieces, key=lambda one: one[0])]
        return ordered[0] if len(ordered) == 1 else torch.cat(ordered, 2)

    def place(self, run: Run) -> int:
        """Of a run of keys in the room for all."""
        span = self.layout.spans[run.sequence]
        return span.block * self.layout.block[1] + run.begin - span.key

    def of_sequence(self, whole: Any, sequence: int, keys: int, unit: int = 1) -> Any:
        at = self.layout.spans[sequence].block * self.layout.block[1] // unit
        return whole[:, :, at : at + -(-keys // unit)]

    # Selecting.

    def gather_composites(self) -> None:
        """Each rank pools its keys; composites go to ranks with rows that see them."""
        layout, ranks, unit, config = self.layout, self.ranks, self.rule.pooling[1], self.config
        if is_dense(config) or not any(row.kind == MASSES for rows in layout.rows for row in rows):
            return
        heads = self.kv_heads // max(1, self.rule.pooling[2] // (self.heads // self.kv_heads))
        width = self.q.shape[3] + (self.q.shape[3] // self.rule.spread if self.rule.spread else 0)
        self.composites = self.room(self.batch, heads, layout.blocks * layout.block[1] // unit, width)
        mine = layout.key_runs[ranks.rank]

        def pool() -> List[Any]:
            with _phases.phase("pool"):
                return [_stages.pool(config, self.keys[:, :, self.place(run) : self.place(run) + run.end - run.begin]) for run in mine]

        def size(run: Run) -> int:
            return -(-(run.end - run.begin) // unit)

        pooled = self.attempt(pool) or [self.k.new_zeros((self.batch, heads, size(run), width)) for run in mine]
        sent = [[x for run, x in zip(mine, pooled) if layout.sees(rank, run)] for rank in range(ranks.size)]
        seen = [[run for run in layout.key_runs[rank] if layout.sees(ranks.rank, run)] for rank in range(ranks.size)]
        came = ranks.exchange(sent, [[(self.batch, heads, size(run), width) for run in one] for one in seen], self.k.dtype, "send composites")
        for tensors, runs in zip(came, seen):
            for x, run in zip(tensors, runs):
                at = self.place(run) // unit
                self.composites[:, :, at : at + size(run)] = x

    def select(self) -> List[Selection]:
        layout = self.layout
        result = [self.every(self.rows[begin:end], begin) for begin, end in groups(self.rows, EVERY, len(self.rows))]
        longest = max((-(-span.keys // layout.block[1]) for span in layout.spans), default=1)
        most = max(1, SELECTING_BYTES // max(1, 8 * self.batch * self.heads * longest))
        for begin, end in groups(self.rows, MASSES, most):
            sequence = self.rows[begin].sequence
            run = Run(sequence, self.rows[begin].begin, self.rows[end - 1].end)
            keys, spare = layout.view.call(layout.spans[sequence], run, self.rule.pooling[1])
            q = padded(self.of_run(run), spare)
            # Its length is read, and nothing else: contiguous memory of that size.
            k = self.keys.view(-1)[: self.batch * self.kv_heads * keys * q.shape[3]].view(self.batch, self.kv_heads, keys, q.shape[3])
            counts, indices = _stages.select(self.config, q, k, self.of_sequence(self.composites, sequence, keys, self.rule.pooling[1]), self.tables)
            counts, indices = counts[:, :, : end - begin], indices[:, :, : end - begin]
            # The widest row's: what is behind is nothing. Of one call it is known when all have told theirs.
            if counts.numel() and most < len(self.rows):
                indices = indices[..., : int(counts.max())]
            if counts.shape[1] != self.selections:
                counts, indices = (x.repeat_interleave(self.selections // counts.shape[1], 1) for x in (counts, indices))
            result.append(Selection(begin, counts, indices))
        return sorted(result, key=lambda one: one.begin)

    def every(self, rows: Sequence[Row | Run], begin: int = 0, among: Optional[int] = None) -> Selection:
        """All candidates, of a rank's blocks or of all: once for all calls with these lengths."""
        layout, shape = self.layout, (self.batch, self.selections)
        name = (rows[0].sequence, rows[0].begin, rows[-1].end, among, shape, self.q.device)
        if name in layout.selections:
            return Selection(begin, *layout.selections[name])
        found = tuple(x.to(device=self.q.device, dtype=torch.int32).expand(*shape, *x.shape).contiguous() for x in self.candidates(rows, among))
        if found[1].nbytes <= REMEMBERED_BYTES:
            layout.selections[name] = found
        return Selection(begin, *found)

    def candidates(self, rows: Sequence[Row | Run], among: Optional[int]) -> Tuple[Any, Any]:
        layout, span = self.layout, self.layout.spans[rows[0].sequence]
        whole = Run(rows[0].sequence, rows[0].begin, rows[-1].end)
        blocks = torch.tensor(range(-(-span.keys // layout.block[1])) if among is None else layout.seen(among, whole), dtype=torch.int32)
        reach = torch.tensor([layout.view.candidates(span, row.begin, row.end, layout.block[1]) for row in rows], dtype=torch.int32).view(-1, 2)
        ends = torch.searchsorted(blocks, reach)
        counts = ends[:, 1] - ends[:, 0]
        at = ends[:, :1] + torch.arange(max(1, int(counts.max())))
        return counts, blocks[at.clamp(max=len(blocks) - 1)] if len(blocks) else at

    def of_run(self, run: Run) -> Any:
        """Queries of a run that this rank has."""
        for own, q in zip(self.mine, self.queries):
            if own.sequence == run.sequence and own.begin <= run.begin and run.end <= own.end:
                return q[:, :, run.begin - own.begin : run.end - own.begin]
        # Two parts of this rank that follow one another.
        some = [(own, q) for own, q in zip(self.mine, self.queries) if own.begin < run.end and run.begin < own.end]
        some.sort(key=lambda one: one[0].begin)
        return torch.cat([q[:, :, max(own.begin, run.begin) - own.begin : min(own.end, run.end) - own.begin] for own, q in some], 2)

    def costs(self, selected: List[Selection]) -> Any:
        """Whether this rank failed, how wide its indices are, and how many blocks each of its rows selected."""
        rows = len(self.rows)

        def counted() -> Any:
            # The widest row's, and blocks of each: on the device, which is waited for once.
            counts = torch.cat([one.counts for one in selected], 2).flatten(0, 1)
            return torch.cat([counts.max().clamp(min=1).view(1), counts.sum(0)]).long()

        mine = torch.zeros(2 + max(map(len, self.layout.rows)), dtype=torch.int64, device=self.q.device)
        found = self.attempt(counted) if rows and self.batch else None
        if found is not None:
            mine[1 : 2 + rows] = found
        if self.failed is not None:
            mine[0] = 1
        return mine

    def tell_costs(self, mine: Any) -> Tuple[List[List[int]], List[int]]:
        """How many blocks each row of each rank selected, and how wide indices are. What failed so far fails here."""
        # Where words go by the CPU, blocks that come are not waited for.
        heard = self.ranks.gathered(mine.to(self.ranks.words_device), [2 + len(rows) for rows in self.layout.rows], "tell what was selected")
        if any(one[0] for one in heard):
            self.ranks.agree(self.failed or {}, "select")
        # A row that selects nothing costs something, too.
        return [[1 + x for x in one[2:]] for one in heard], [one[1] for one in heard]

    # Attending.

    def bring_rows(self, work: List[List[Job]], selected: List[Selection], widths: List[int]) -> None:
        """Rows and their selections to the ranks that compute them."""
        mine, b, h = self.ranks.rank, self.batch, self.selections
        self.given: Dict[Job, Tuple[Any, Any, Any]] = {}  # q, counts and indices.
        moved = [[[job for job in one if job.source == source and source != rank] for source in range(self.ranks.size)] for rank, one in enumerate(work)]
        for job in work[mine]:
            if job.source == mine:
                self.given[job] = (self.of_run(job.run), *self.selection_of(selected, job.row, job.rows, widths[mine]))
        if not any(x for one in moved for x in one):
            return
        sent = [[x for job in one[mine] for x in (self.of_run(job.run), *self.selection_of(selected, job.row, job.rows, widths[mine]))] for one in moved]
        shapes = [
            [
                x
                for job in one
                for x in (
                    (b, self.heads, job.run.end - job.run.begin, self.q.shape[3]),
                    Of(torch.int32, (b, h, job.rows)),
                    Of(torch.int32, (b, h, job.rows, widths[source])),
                )
            ]
            for source, one in enumerate(moved[mine])
        ]
        came = self.ranks.exchange(sent, shapes, self.q.dtype, "send queries and selections")
        for tensors, one in zip(came, moved[mine]):
            for n, job in enumerate(one):
                self.given[job] = tuple(tensors[3 * n : 3 * n + 3])

    @staticmethod
    def selection_of(selected: List[Selection], row: int, rows: int, width: int) -> Tuple[Any, Any]:
        counts, indices = [], []
        for one in selected:
            begin, end = max(row, one.begin), min(row + rows, one.begin + one.counts.shape[2])
            if begin < end:
                counts.append(one.counts[:, :, begin - one.begin : end - one.begin])
                some = one.indices[:, :, begin - one.begin : end - one.begin, :width]
                indices.append(torch.nn.functional.pad(some, (0, width - some.shape[3])) if some.shape[3] < width else some)
        # Of one selection: a view, which nobody copies before there is need.
        return (counts[0], indices[0]) if len(counts) == 1 else (torch.cat(counts, 2), torch.cat(indices, 2))

    def masks(self, work: List[Job]) -> Any:
        """[part, B, KV heads of it, block]: what rows selected that is not here."""
        layout = self.layout
        mask = torch.zeros((self.batch, self.kv_heads, layout.blocks), dtype=torch.bool, device=self.q.device)
        for job in work:
            span = layout.spans[job.run.sequence]
            blocks = -(-span.keys // layout.block[1])
            _, counts, indices = self.given[job]
            some = torch.arange(indices.shape[3], device=indices.device) < counts[..., None]
            seen = torch.zeros((self.batch, self.selections, blocks + 1), dtype=torch.bool, device=indices.device)
            seen.scatter_(2, torch.where(some, indices, blocks).flatten(2).long(), True)
            mask[..., span.block : span.block + blocks] |= seen[..., :blocks].view(self.batch, self.kv_heads, self.selections // self.kv_heads, blocks).any(2)
        for begin, end in layout.owned[self.ranks.rank]:
            mask[..., begin:end] = False
        return mask.view(self.batch, self.parts, self.kv_heads // self.parts, layout.blocks).transpose(0, 1).contiguous()

    def bring_part(self, n: int) -> Moving:
        """All keys and values of a part of the heads, from where they are to where they are in the whole."""
        size = self.kv_heads // self.parts

        def of(rank: int) -> List[Any]:
            places = ((self.place(run), run.end - run.begin) for run in self.layout.key_runs[rank])
            return [x[:, n * size : (n + 1) * size, at : at + length] for at, length in places for x in (self.keys, self.values)]

        others = [rank != self.ranks.rank for rank in range(self.ranks.size)]
        mine = of(self.ranks.rank)
        return self.ranks.moving([mine if x else [] for x in others], [of(rank) if x else [] for rank, x in enumerate(others)], "send keys and values", self.many)

    def attending(self, work: List[Job]) -> List[Attending]:
        return self.attempt(lambda: [Attending(self, job.run, *self.given[job], self.config.return_lse, self.sinks, self.parts) for job in work]) or []

    def attend_part(self, calls: List[Attending], n: int) -> None:
        with _phases.phase("attend"):
            for call in calls:
                self.attempt(functools.partial(call, n))

    def attend_all(self, work: List[Job], every: List[Moving]) -> List[Tuple[Any, ...]]:
        """Results of this rank's jobs, where all blocks come."""
        calls = self.attending(work)
        self.needed_blocks = self.other_blocks
        for n, one in enumerate(every):
            one.wait()
            self.attend_part(calls, n)
        return [call.results() for call in calls] if self.failed is None else []

    def attend_asking(self, work: List[Job]) -> List[Tuple[Any, ...]]:
        """The same where they come that are asked for."""
        ranks, layout = self.ranks, self.layout
        shape = (self.parts, self.batch, self.kv_heads // self.parts)
        with _phases.phase("mask"):
            masks = self.attempt(lambda: self.masks(work))
        if masks is None:
            masks = torch.zeros((*shape, layout.blocks), dtype=torch.bool, device=self.q.device)
        sent = [[masks[..., begin:end].to(torch.uint8) for begin, end in one] for one in layout.owned]
        shapes = [[(*shape, end - begin) for begin, end in layout.owned[ranks.rank]] for _ in sent]
        receiving, sending = self.numbers_of(masks, ranks.exchange(sent, shapes, torch.uint8, "ask for blocks"))
        self.needed_blocks = sum(len(x) for one in receiving for x in one)
        calls = self.attending(work)
        coming: Optional[Coming] = self.bring_blocks(sending, receiving, 0)
        for n in range(self.parts):
            here, coming = coming, self.bring_blocks(sending, receiving, n + 1) if n + 1 < self.parts else None
            self.place_blocks(here, receiving, n)
            self.attend_part(calls, n)
        return [call.results() for call in calls] if self.failed is None else []

    def numbers_of(self, masks: Any, asked: List[List[Any]]) -> Tuple[List[List[Any]], List[List[Any]]]:
        """By rank and part, numbers of (batch, KV head, block) that it has for this one, and that this one has for it."""
        ranks, layout = self.ranks, self.layout
        full = torch.zeros((ranks.size, *masks.shape), dtype=torch.uint8, device=masks.device)
        for rank, tensors in enumerate(asked):
            for x, (begin, end) in zip(tensors, layout.owned[ranks.rank]):
                full[rank][..., begin:end] = x
        full[ranks.rank] = masks  # Nobody asks itself.
        with _phases.phase("wait for the device"):
            found = full.cpu()
        wanted = torch.zeros_like(found)
        for rank, one in enumerate(layout.owned):
            for begin, end in one if rank != ranks.rank else ():
                wanted[rank][..., begin:end] = found[ranks.rank][..., begin:end]
        found[ranks.rank] = 0

        def numbers(x: Any, part: int) -> Any:
            batch, head, block = x.nonzero(as_tuple=True)
            return ((batch * self.kv_heads + part * x.shape[1] + head) * layout.blocks) + block

        # To the device at once.
        every = [numbers(x, part) for those in (wanted, found) for one in those for part, x in enumerate(one)]
        there = list(torch.cat(every).to(masks.device).split([len(x) for x in every]))
        of_ranks = [there[n : n + self.parts] for n in range(0, len(there), self.parts)]
        return of_ranks[: ranks.size], of_ranks[ranks.size :]

    def by_block(self, whole: Any) -> Any:
        return whole.view(self.batch * self.kv_heads * self.layout.blocks, self.layout.block[1] * whole.shape[3])

    def bring_blocks(self, sending: List[List[Any]], receiving: List[List[Any]], n: int) -> Coming:
        wholes = [self.by_block(self.keys), self.by_block(self.values)]
        sent = [[Picked(x, one[n]) for x in wholes] if len(one[n]) else [] for one in sending]
        shapes = [[(len(one[n]), x.shape[1]) for x in wholes] if len(one[n]) else [] for one in receiving]
        return self.ranks.exchanging(sent, shapes, self.q.dtype, "send keys and values", beside=True)

    def place_blocks(self, coming: Optional[Coming], receiving: List[List[Any]], n: int) -> None:
        assert coming is not None
        for one, tensors in zip(receiving, coming.wait()):
            for whole, x in zip((self.keys, self.values), tensors):
                self.by_block(whole).index_copy_(0, one[n], x)

    def attend_apart(self) -> List[Tuple[Any, ...]]:
        """Rows that take every candidate, to the keys that are here. Sinks join when all parts have come."""
        layout, rank, result = self.layout, self.ranks.rank, []
        for run, q in zip(layout.apart[rank], self.everybodys):
            rows = [Run(run.sequence, begin, min(begin + layout.block[0], run.end)) for begin in range(run.begin, run.end, layout.block[0])]
            _, counts, indices = self.every(rows, among=rank)
            # Few rows: all heads at once, or most of a GPU has nothing to do.
            call = Attending(self, run, q, counts, indices, True, None, 1)
            call(0)
            result.append(call.results())
        return result

    # Results.

    def bring_results(self, done: List[List[Run]], results: List[Tuple[Any, ...]]) -> List[Any]:
        """To the ranks whose tokens they are of. done: the runs of every rank's jobs, in the order of its results."""
        layout, ranks, mine, config = self.layout, self.ranks, self.ranks.rank, self.config
        apart = layout.apart
        first = [len(one) for one in done]
        # What each rank computed of what each has.
        crossing = [[overlaps([*runs, *more], part) for part in layout.parts] for runs, more in zip(done, apart)]
        kinds = [(self.q.dtype, (self.v.shape[3],)), (torch.float32, ())]
        kinds = kinds[: 2 if config.return_lse or layout.split else 1]

        def kept(rank: int, places: List[Overlap]) -> List[Tuple[int, Overlap]]:
            """Without return_lse only what comes in parts has one."""
            return [(n, p) for n in range(len(kinds)) for p in places if n == 0 or config.return_lse or p.run >= first[rank]]

        sent = [[results[p.run][n][:, :, p.row : p.row + p.size] for n, p in kept(mine, places)] for places in crossing[mine]]
        those = [kept(rank, one[mine]) for rank, one in enumerate(crossing)]
        shapes = [[Of(kinds[n][0], (self.batch, self.heads, p.size, *kinds[n][1])) for n, p in one] for one in those]
        if any(x for rank, one in enumerate(crossing) for to, x in enumerate(one) if to != rank):
            came = ranks.exchange(sent, shapes, self.q.dtype, "send results")
        else:
            came = [sent[mine] if rank == mine else [] for rank in range(ranks.size)]
        returned = [self.q.new_empty((*self.q.shape[:3], *width), dtype=kind) for kind, width in kinds]
        partial: List[Dict[Tuple[int, int], List[Any]]] = [{}, {}]
        for rank, tensors in enumerate(came):
            for x, (n, p) in zip(tensors, those[rank]):
                if p.run < first[rank]:
                    returned[n][:, :, p.place : p.place + p.size] = x
                else:
                    partial[n].setdefault((p.place, p.size), []).append(x)
        for (place, size), o in partial[0].items():
            merged = merge(o, partial[1][place, size], self.sinks)
            for whole, x in zip(returned, merged):
                whole[:, :, place : place + size] = x
        return returned[: 1 + config.return_lse]


class Attending:
    """A call for some rows, by parts of the heads."""

    def __init__(self, work: ByRows, run: Run, q: Any, counts: Any, indices: Any, return_lse: bool, sinks: Any, parts: int) -> None:
        layout, self.config, self.return_lse, self.sinks, self.parts, self.tables = work.layout, work.config, return_lse, sinks, parts, work.tables
        self.length = run.end - run.begin
        keys, spare = layout.view.call(layout.spans[run.sequence], run)
        if more := -(-(self.length + spare) // layout.block[0]) - counts.shape[2]:
            counts, indices = torch.nn.functional.pad(counts, (0, more)), torch.nn.functional.pad(indices, (0, 0, 0, more))
        self.k, self.v = (work.of_sequence(x, run.sequence, keys) for x in (work.keys, work.values))
        self.q, self.counts, self.indices = padded(q, spare), counts, indices
        self.o = work.room(*self.q.shape[:3], self.v.shape[3])
        self.lse: List[Any] = []

    def __call__(self, n: int) -> None:
        def of(x: Any, axis: int = 1) -> Any:
            size = x.shape[axis] // self.parts
            return x.narrow(axis, n * size, size)

        config = self.config
        options: Dict[str, Any] = dict(causal=config.causal, scale=config.scale, softcap=config.softcap, window=config.window, score_mod=config.score_mod, score_tables=self.tables)
        found = _attention.block_sparse_attention(
            of(self.q), of(self.k), of(self.v), aligned(of(self.counts)), aligned(of(self.indices)), block=config.block,
            sinks=None if self.sinks is None else aligned(of(self.sinks, 0)), out=of(self.o), return_lse=self.return_lse, **options,
        )  # fmt: skip
        self.lse += [found[1]] if self.return_lse else []

    def results(self) -> Tuple[Any, ...]:
        lse = (self.lse[0] if self.parts == 1 else torch.cat(self.lse, 1),) if self.return_lse else ()
        return tuple(x[:, :, : self.length] for x in (self.o, *lse))


def merge(o: List[Any], lse: List[Any], sinks: Any) -> Tuple[Any, Any]:
    """Attention to several parts of the keys as attention to all of them (A1, A2, M3)."""
    every = torch.stack(lse)
    total = torch.logsumexp(every, 0)
    if sinks is not None:
        total = torch.logaddexp(total, sinks.view(1, -1, 1).to(total))
    # A row that sees nothing in a part has nothing of it.
    weights = torch.where(every == -torch.inf, 0.0, torch.exp(every - total))
    return sum(w[..., None] * x.float() for w, x in zip(weights, o)).to(o[0].dtype), total


def padded(q: Any, spare: int) -> Any:
    """With queries behind it that nobody asked for."""
    return torch.nn.functional.pad(q, (0, 0, 0, spare)) if spare else q


def aligned(x: Any) -> Any:
    """Contiguous, and where programs take it: a part of other memory may begin anywhere."""
    x = x.contiguous()
    return x.clone() if x.data_ptr() % 16 else x


def is_dense(config: Config) -> bool:
    """Whether every row takes every candidate, whatever the masses are (L3)."""
    assert config.rule is not None
    return config.rule.by_share and all(p >= 1 for p in config.rule.p)
