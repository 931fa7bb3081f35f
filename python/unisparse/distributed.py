# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention of a sequence that several ranks hold parts of, over torch.distributed.

    o = unisparse.distributed.attention(q, k, v, group=group)

Every rank has its part of the tokens, q, k, v [B, H, L of the part, D], and gets its part of o.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from typing import Any, Callable, Dict, Hashable, List, NamedTuple, Optional, Tuple

from . import _attention, _blocks, _config, _layout, _plan
from ._checks import check_ends, check_out, check_sinks, check_tables, check_tensors, ends_of, shape, tables_of
from ._errors import Error, Status, unexpected
from ._shares import Choice, Timed, Work, choose, segments, untold

try:
    import torch
    from torch.utils.weak import WeakTensorKeyDictionary

    from . import _rates, _rows
    from ._heads import ByHeads
    from ._ranks import Ranks
except ImportError as error:
    raise Error(f"unisparse.distributed: expected torch with torch.distributed, got {error}") from None

_chosen: Optional[Choice] = None
_report: Optional[Report] = None


class Report(NamedTuple):
    """What a call moved. `sent`: bytes to other ranks, by what they are. By rows: blocks of K and V, each of one KV head, that
    came from other ranks, those that all of these have, and those that all ranks' query heads selected."""

    mode: str
    sent: Dict[str, int]
    came_blocks: int = 0
    other_blocks: int = 0
    selected_blocks: int = 0


def report() -> Optional[Report]:
    """Of this process's last call."""
    return _report


def chosen() -> Optional[Choice]:
    """Mode and reason of this process's last call with mode="auto"."""
    return _chosen


def attention(
    q: Any, k: Any, v: Any, *, group: Any = None, mode: str = "auto", parts: str = "contiguous", cu_seqlens: Any = None,
    layout: str = "bhsd", out: Any = None, return_lse: bool = False, **options: Any,
) -> Any:  # fmt: skip
    """`unisparse.attention` of the whole sequence. A collective call: each rank of the group makes it, with the same options.

    group    a process group or a DeviceMesh of one dimension; else all ranks
    mode     "heads": all tokens of some heads come to each rank, and go back; the bits are those of one device
             "rows": each rank selects for the rows that it has, and gets the blocks of K and V that they selected; a rank whose
             rows selected more than others gives some away
             "auto": one of them; `chosen` says which, and why
    parts    "contiguous": rank after rank; "zigzag": of 2n chunks, rank r has chunks r and 2n - 1 - r
    cu_seqlens    ends of packed sequences in the whole, the same on every rank

    Parts may have any lengths, none too; those of a zigzag part's chunks differ by one at most, the first being longer.
    Returns o of the part; with return_lse (o, lse). What fails on one rank is the error of all, which names it.
    """
    ranks = Ranks(group, q.device if isinstance(q, torch.Tensor) else torch.device("cpu"))
    begin = _rates.moment(ranks.device)
    call: Optional[_Call] = None
    try:
        call = _Call(ranks, _layout.views((q, k, v), cu_seqlens, layout, out), cu_seqlens, mode, parts, return_lse, options)
        said = call.summary()
    except Exception as error:
        said = _said(error, "call attention")
    heard = ranks.agree(said, "call attention", call.wants() if call is not None else 0)
    assert call is not None  # Or its error was raised.
    call.meet(heard)
    results = call.by_heads() if call.mode == "heads" else call.by_rows()
    _rates.known.took(call.kind, call.mode, begin, _rates.moment(ranks.device))
    global _report
    _report = Report(call.mode, ranks.sent, *call.blocks)
    o = call.views.back(results[0]) if out is None else _layout.into(call.views.out, results[0])
    if out is not None:
        o = out
    return (o, results[1]) if return_lse else o


def _said(error: Exception, what: str) -> Dict[str, Any]:
    """An error in words that others understand."""
    if isinstance(error, Error):
        return {"error": str(error)[:2000], "status": int(error.status)}
    return {"error": f"expected to {what}, got {type(error).__name__}: {' '.join(str(error).split())}"[:2000]}


class _Call:
    """One rank's side of a call."""

    def __init__(self, ranks: Ranks, views: _layout.Views, cu_seqlens: Any, mode: Any, parts: Any, return_lse: Any, options: Dict[str, Any]) -> None:
        self.ranks, self.views, (q, k, v), self.blocks = ranks, views, views.tensors, (0, 0, 0)
        self.mode = _config.choice("mode", mode, ("heads", "rows", "auto"))
        self.parts = _config.choice("parts", parts, ("contiguous", "zigzag"))
        self.tensors = {"q": q, "k": k, "v": v}
        backend, self.dtype = check_tensors(self.tensors)
        if not isinstance(q, torch.Tensor):
            raise unexpected("q", "a torch tensor", type(q).__name__)
        ends = check_ends(backend, q, ends_of(cu_seqlens))
        self.ends = tuple(ends.values())
        # Read once: on a GPU each time waits for it.
        read = {id(x): x.tolist() for x in self.ends}
        self.numbers = [read[id(x)] for x in self.ends]
        known = _options()
        for name in options:
            if name not in known:
                raise unexpected(name, f"an option among {', '.join(known)}", "none of them")
        self.options = {**known, **options}
        sinks, self.tables = check_sinks(backend, q, self.options["sinks"]), tables_of(self.options["score_tables"])
        types = check_tables(backend, q, self.tables)
        options = {**self.options, "sinks": bool(sinks), "score_tables": types, "return_lse": return_lse}
        self.config, self.words, self.digest = _configured((*shape(self.tensors), self.dtype, bool(ends)), options)
        self.contents = [_content(name, x) for name, x in sorted({**sinks, **self.tables}.items())]
        if self.config.rule is not None and self.config.rule.random is not None:
            raise unexpected("random", "[L10] None, as a part knows no numbers of the whole's heads and rows", self.config.rule.random)
        if views.out is not None:
            check_out(q, v, views.out)
        if self.ends and q.shape[0] != 1:
            raise unexpected("q", "[I8] batch 1 beside cu_seqlens", q.shape[0], Status.BAD_SHAPE)

    def summary(self) -> Dict[str, Any]:
        q, k = self.tensors["q"], self.tensors["k"]
        same = [q.shape[0], *shape(self.tensors), self.dtype, q.device.type, self.mode, self.parts, self.words]
        known = _rates.known(self.kind) if self.mode == "auto" else None
        return dict(same=[*same, _digest(self.numbers), self.contents], queries=q.shape[2], keys=k.shape[2], known=known)

    def wants(self) -> int:
        """What this rank wants of the call, whatever the others do."""
        bits = sum(bit for mode, bit in _NEW.items() if _rates.known.is_new(self.kind, mode))
        all_come, again = _rates.known.unasked(self.kind) if self.mode != "heads" else (False, False)
        return bits | _ALL * all_come | _AGAIN * again

    def meet(self, heard: List[Dict[str, Any]]) -> None:
        """What all said is one thing, and fits together."""
        ranks = self.ranks
        for name, one in zip(ranks.names, heard):
            for what, mine, first in zip(_SAME, one["same"], heard[0]["same"]):
                if mine != first:
                    if isinstance(mine, list):
                        mine, first = (" ".join(x for x in one if x not in other) for one, other in ((mine, first), (first, mine)))
                    raise Error(f"{name}: expected {what} as on {ranks.names[0]}, {first}, got {mine}", Status.BAD_SHAPE)
        wants = ranks.wanted
        self.queries, self.keys = ([one[what] for one in heard] for what in ("queries", "keys"))
        self.query_segments, self.key_segments = (segments(x, self.parts) for x in (self.queries, self.keys))
        lq, lk = sum(self.queries), sum(self.keys)
        self.sequences = [(0, lq, 0, lk)]
        if self.ends:
            ends = self.numbers
            for name, one, length in (("cu_seqlens_q", ends[0], lq), ("cu_seqlens_k", ends[1], lk)):
                if not one or one[0] != 0 or one[-1] != length or any(x > y for x, y in zip(one, one[1:])):
                    raise unexpected(name, f"[I8] never decreasing entries from 0 to the whole length {length}", one[:8], Status.BAD_SHAPE)
            if len(ends[0]) != len(ends[1]):
                raise unexpected("cu_seqlens_k", f"[I8] as many entries as cu_seqlens_q, {len(ends[0])}", len(ends[1]), Status.BAD_SHAPE)
            self.sequences = list(zip(ends[0], ends[0][1:], ends[1], ends[1][1:]))
        for query, query_end, key, key_end in self.sequences:
            if self.config.causal and query_end - query > key_end - key:
                wanted = f"[I7] no more queries than the {key_end - key} keys under causal"
                raise unexpected("q", wanted, query_end - query, Status.BAD_SHAPE)
        if self.mode == "auto":
            global _chosen
            # What all ranks know, of the rank that most comes to, or that takes longest.
            told = [one["known"] for one in heard]
            work = self.work({name: max(one[name] for one in told) for name in told[0] if all(name in one for one in told)})
            kernel = work.timed.attend is None
            _chosen = untold(work) or choose(work, _rates.measured(ranks, self.config, kernel, lambda error: _said(error, "measure rates")))
            self.mode = _chosen.mode
        # Where a rank has not made such a call, all say whether they have memory for it.
        self.is_new, self.asks = bool(wants & _NEW[self.mode]), not wants & _ALL or bool(wants & _AGAIN)

    def candidates(self) -> int:
        """Pairs of blocks, of all query heads."""
        return int(_blocks.candidates(tuple(self.sequences), self.config.block, self.config.causal) * self.config.heads * self.tensors["q"].shape[0])

    @functools.cached_property
    def kind(self) -> Hashable:
        """Calls that take about as long as one another: by powers of two of the rank's tokens."""
        q, k = self.tensors["q"], self.tensors["k"]
        return self.digest, q.shape[0], q.shape[2].bit_length(), k.shape[2].bit_length(), self.ranks.group.group_name

    def work(self, known: Dict[str, float]) -> Work:
        rule, config = self.config.rule, self.config
        assert rule is not None
        widths = [x.shape[3] * x.element_size() for x in self.tensors.values()]
        composite = (1 + 1 / rule.spread if rule.spread else 1) / rule.pooling[1]
        return Work(
            config.heads, config.kv_heads, self.unit(), self.tensors["q"].shape[0], self.queries, self.keys,
            (widths[0], widths[1], widths[2]), composite, self.candidates(), known.get("density", _UNTOLD[0]), known.get("came", _UNTOLD[1]),
            Timed(known.get("heads"), known.get("rows"), known.get("attend")),
        )  # fmt: skip

    def unit(self) -> int:
        """So many query heads choose together (P4, S6)."""
        rule = self.config.rule
        assert rule is not None
        return max(rule.pooling[2], self.config.heads // self.config.kv_heads if rule.share == "group" else 1)

    # By heads: all tokens of some heads.

    def by_heads(self) -> Tuple[Any, ...]:
        failed: Dict[str, Any] = {}

        def attempt(compute: Callable[[], Any]) -> Any:
            try:
                return None if failed else compute()
            except Exception as error:  # Whatever it is, the others wait.
                failed.update(_said(error, "attend"))

        work = ByHeads(self.ranks, self.config, self.unit(), self.tensors, self.ends, self.options, self.query_segments, self.key_segments)
        if self.is_new:
            attempt(lambda: work.make_room(self.views.out))
            self.ranks.agree(failed, "make room")
        results = work(attempt, lambda: self.ranks.agree(failed, "attend"), self.views.out)
        if work.began is not None:
            _rates.known.took(self.kind, "attend", work.began, work.ended, self.config.heads / work.mine.queries)
        return tuple(results)

    # By rows: selected blocks, to the ranks whose rows selected them.

    def by_rows(self) -> Tuple[Any, ...]:
        work = _rows.ByRows(self.ranks, self.layout(), self.config, self.tensors, self.options["sinks"], self.tables, self.asks, lambda error: _said(error, "attend"))
        if self.is_new:
            work.attempt(work.make_room)
            self.ranks.agree(work.failed or {}, "make room")
        results = work()
        heads = work.heads // work.selections
        self.blocks = work.needed_blocks, work.other_blocks, work.selected_blocks * heads
        _rates.known.remember(self.kind, density=self.blocks[2] / max(1, self.candidates()))
        if self.asks:
            _rates.known.remember(self.kind, came=self.blocks[0] / max(1, self.blocks[1]))
        return tuple(results)

    def layout(self) -> _blocks.Layout:
        """By rows: who has what in whole blocks, and who selects."""
        config, rule = self.config, self.config.rule
        assert rule is not None
        return _blocks.layout(
            self.ranks.size, tuple(self.sequences), tuple(self.query_segments), tuple(self.key_segments), config.block, rule.pooling[1],
            _blocks.View(config.causal, config.window), _rows.is_dense(config), rule.last, rule.dense_below, (config.heads, config.kv_heads),
        )  # fmt: skip


@functools.lru_cache(maxsize=None)
def _options() -> Dict[str, Any]:
    """Those of `attention`, as they are unless given."""
    known = {name: x.default for name, x in inspect.signature(_attention.attention).parameters.items() if x.default is not x.empty}
    return {name: x for name, x in known.items() if name not in _NO_OPTIONS}


_MOST_CONFIGS = 256
_configs: Dict[Hashable, Tuple[_config.Config, List[str], str]] = {}


def _configured(shape: Tuple[Any, ...], options: Dict[str, Any]) -> Tuple[_config.Config, List[str], str]:
    """A configuration, its words and a digest of them: looked up where a call is like an earlier one."""
    values = (tuple(y for item in sorted(x.items()) for y in item) if isinstance(x, dict) else _attention._frozen(x) for x in options.values())
    name = _plan.key("distributed", (), (*shape, *options, *values))
    found = _configs.get(name)
    if name is None or found is None:
        config = _config.make(*shape, **options)
        found = config, config.options(), config.digest()
        if name is not None:
            if len(_configs) >= _MOST_CONFIGS:
                _configs.clear()
            _configs[name] = found
    return found


# The first four are named, and a selection is of no part.
_NO_OPTIONS = ("cu_seqlens", "layout", "out", "return_lse", "return_selection")
_SAME = (
    "a batch", "query heads", "KV heads", "head_dim", "value_dim", "the type", "the kind of device", "mode", "parts", "options", "cu_seqlens",
    "what sinks and score_tables hold",
)  # fmt: skip


# What a rank wants of a call, as bits.
_NEW, _ALL, _AGAIN = {"heads": 1, "rows": 2}, 4, 8

# Shares of blocks that are selected, and that come to a rank, until a call by rows has told. Policies at 16K and more tokens
# select less; rows that select apart from one another need all of K and V.
_UNTOLD = 0.25, 1.0


def _digest(values: Any) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


_contents: Any = WeakTensorKeyDictionary()


def _content(name: str, x: Any) -> str:
    """Sizes and a digest of what a tensor holds: read where it is new or was written to, as on a GPU each time waits for it."""
    version = None if x.is_inference() else x._version
    known = _contents.get(x)
    if known is None or known[0] != version:
        known = _contents[x] = version, hashlib.sha256(x.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()[:16]
    return f"{name} {'x'.join(map(str, x.shape))} {known[1]}"
