# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention by heads: all tokens of some heads come to each rank, and their results go back.

A rank's heads are attended to in rounds. Those of the first are waited for; the others come meanwhile, and results go back
while later rounds are at work. Each head is computed alone, so that the bits are those of one device.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch

from . import _attention, _config, _phases, _rates, _torch
from ._ranks import Moving, Ranks, rows_lie
from ._shares import Heads, Segment, head_shares, rounds, traffic


class ByHeads:
    """One rank's side of a call. `attempt`: what fails, others are told when all have come as far."""

    def __init__(
        self, ranks: Ranks, config: _config.Config, unit: int, tensors: Dict[str, Any], ends: Tuple[Any, ...], options: Dict[str, Any],
        queries: List[Segment], keys: List[Segment],
    ) -> None:  # fmt: skip
        self.ranks, self.config, self.ends, self.options = ranks, config, ends, options
        self.q, self.k, self.v = tensors.values()
        self.queries, self.keys = queries, keys
        shares = head_shares(config.heads, config.kv_heads, unit, ranks.size)
        lengths = [[sum(s.end - s.begin for s in whole if s.rank == rank) for rank in range(ranks.size)] for whole in (queries, keys)]
        token = [x.shape[0] * x.shape[3] * x.element_size() for x in (self.q, self.k, self.v)]
        moved = [sum(one) for one in traffic(shares, lengths[0], lengths[1], (token[0], token[1], token[2]))]
        # Of every rank, which the others know as well as it does.
        self.rounds = [rounds(s, config.heads // config.kv_heads, unit, bytes_) for s, bytes_ in zip(shares, moved)]
        self.mine = shares[ranks.rank]
        self.most = max(map(len, self.rounds))
        # One round: few bytes, which one message takes sooner than one of each head.
        self.apart = self.most > 1
        self.wholes: Optional[Tuple[Any, ...]] = None
        # When attention began and ended, of a rank that has heads.
        self.began: Any = None
        self.ended: Any = None

    def __call__(self, attempt: Callable[[Callable[[], Any]], Any], agree: Callable[[], Any], out: Any) -> List[Any]:
        """-> o of this rank's tokens, in `out` where its rows lie as they come, and lse where it is wanted."""
        mine, ranks = self.rounds[self.ranks.rank], self.ranks
        self.make_room(out)
        assert self.wholes is not None
        (q, k, v, o), results = self.wholes, self.results
        ready = self.event()
        coming = [self.bring((q, k, v), first, last) for first, last in ((0, 1), (1, self.most)) if first < last]
        for one in coming:
            one.keep()
        lse: List[Any] = []
        done: List[Any] = []
        for n, heads in enumerate(mine):
            coming[min(n, 1)].wait()
            if not n:
                self.began = _rates.moment(ranks.device)
            with _phases.phase("attend"):
                lse.append(attempt(lambda: self.attend(heads, (q, k, v, o))))
            done.append(self.event())
        if mine:
            self.ended = _rates.moment(ranks.device)
        for one in coming:
            one.wait()
        agree()
        with self.beside():
            self.behind(ready)
            going = [self.send_back(n, done, o, lse, results) for n in range(self.most)]
        for one in going:
            one.wait()
        if self.apart and (stream := ranks.stream()) is not None:
            torch.cuda.current_stream(ranks.device).wait_stream(stream)
        return results

    def make_room(self, out: Any) -> None:
        """For all tokens of this rank's heads, of q, k, v and o, and for results: before anything is attended to, as the memory of
        later launches is in use when results of the first round come."""
        if self.wholes is not None:
            return
        lq, lk = (sum(s.end - s.begin for s in whole) for whole in (self.queries, self.keys))
        wanted = ((self.q, self.mine.queries, lq), (self.k, self.mine.keys, lk), (self.v, self.mine.keys, lk), (self.v, self.mine.queries, lq))
        self.results = self.returned(out)
        self.wholes = tuple(_torch.allocate(torch, (x.shape[0], heads, length, x.shape[3]), x.dtype, x.device) for x, heads, length in wanted)

    def bring(self, wholes: Tuple[Any, ...], first: int, last: int) -> Moving:
        """q, k and v of rounds `first` up to `last` of every rank."""
        sent: List[List[Any]] = []
        into: List[List[Any]] = []
        for rank, every in enumerate(self.rounds):
            sent.append([])
            for heads, new in self.steps(every, first, last):
                for n, (x, (begin, end)) in enumerate(zip((self.q, self.k, self.v), (heads, new, new))):
                    sent[-1] += [x[:, begin:end, s.place : s.place + s.end - s.begin] for s in _of(self.keys if n else self.queries, self.ranks.rank)]
            into.append([])
            for heads, new in self.steps(self.rounds[self.ranks.rank], first, last):
                for n, (x, (begin, end)) in enumerate(zip(wholes, (heads, new, new))):
                    at = self.mine.key if n else self.mine.query
                    into[-1] += [x[:, begin - at : end - at, s.begin : s.end] for s in _of(self.keys if n else self.queries, rank)]
        return self.ranks.moving(sent, into, "send heads", self.apart)

    @staticmethod
    def steps(every: List[Heads], first: int, last: int) -> List[Tuple[Tuple[int, int], Tuple[int, int]]]:
        """Query heads of some rounds, and the KV heads that rounds before have not brought."""
        result = []
        for n, one in list(enumerate(every))[first:last]:
            begin = max(one.key, every[n - 1].key_end) if n else one.key
            result.append(((one.query, one.query_end), (begin, max(begin, one.key_end))))
        return result

    def attend(self, heads: Heads, wholes: Tuple[Any, ...]) -> Any:
        """A round's heads. -> lse where it is wanted."""
        q, k, v, o = wholes
        queries, keys = (slice(heads.query - self.mine.query, heads.query_end - self.mine.query), slice(heads.key - self.mine.key, heads.key_end - self.mine.key))
        options = {**self.options, **self.of_heads(heads)}
        found = _attention.attention(
            q[:, queries], k[:, keys], v[:, keys], cu_seqlens=self.ends or None, out=o[:, queries], return_lse=self.config.return_lse, **options
        )
        return found[1] if self.config.return_lse else None

    def of_heads(self, heads: Heads) -> Dict[str, Any]:
        """p of these heads, relax, which is not the same where a p is given, sinks, and their numbers among all for a score_mod."""
        rule = self.config.rule
        assert rule is not None
        part = rule.p[heads.key : heads.key_end] if rule.share == "group" else rule.p[heads.query : heads.query_end]
        sinks, score_mod = self.options["sinks"], self.config.score_mod
        return dict(
            p=rule.p[0] if len(rule.p) == 1 else part,
            relax=rule.relax,
            sinks=None if sinks is None else _aligned(sinks[heads.query : heads.query_end]),
            score_mod=None if score_mod is None else _config.OfHeads(score_mod, heads.query, self.config.heads),
        )

    def event(self) -> Any:
        """Behind what this rank's device has been given so far."""
        return torch.cuda.current_stream(self.ranks.device).record_event() if self.apart and self.ranks.device.type == "cuda" else None

    def beside(self) -> Any:
        """Where results wait for their round and no other: a stream of its own."""
        stream = self.ranks.stream() if self.apart else None
        return torch.cuda.stream(stream) if stream is not None else contextlib.nullcontext()

    def behind(self, event: Any) -> None:
        if event is not None:
            torch.cuda.current_stream(self.ranks.device).wait_event(event)

    def returned(self, out: Any) -> List[Any]:
        """Memory for o of this rank's tokens, and for lse where it is wanted."""
        q, sizes = self.q, self.q.shape[:3]
        mine = out if out is not None and (not self.apart or rows_lie(out)) else _torch.allocate(torch, (*sizes, self.v.shape[3]), q.dtype, q.device)
        return [mine, _torch.allocate(torch, sizes, torch.float32, q.device)] if self.config.return_lse else [mine]

    def send_back(self, n: int, done: List[Any], o: Any, lse: List[Any], results: List[Any]) -> Moving:
        """What came of round n of every rank."""
        mine = self.rounds[self.ranks.rank]
        given: List[Any] = []
        if n < len(mine):
            self.behind(done[n])
            at = self.mine.query
            given = [o[:, mine[n].query - at : mine[n].query_end - at], *([lse[n]] if self.config.return_lse else [])]
        sent = [[x[:, :, s.begin : s.end] for x in given for s in _of(self.queries, rank)] for rank in range(self.ranks.size)]
        own = _of(self.queries, self.ranks.rank)
        into = [
            [x[:, one[n].query : one[n].query_end, s.place : s.place + s.end - s.begin] for x in results for s in own] if n < len(one) else []
            for one in self.rounds
        ]
        moving = self.ranks.moving(sent, into, "send results", self.apart)
        moving.keep()
        return moving


def _aligned(x: Any) -> Any:
    """Where programs take it: a part of other memory may begin anywhere."""
    return x.clone() if x.data_ptr() % 16 else x


def _of(whole: List[Segment], rank: int) -> List[Segment]:
    return sorted((s for s in whole if s.rank == rank), key=lambda s: s.place)
