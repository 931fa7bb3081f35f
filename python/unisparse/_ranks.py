# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What ranks say to one another: torch.distributed's collectives, and words where one of them fails. A rank that has not
come when the others' patience ends is named by what it last wrote to the group's store."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import operator
import time
import weakref
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import torch
import torch.distributed as dist

from . import _phases
from ._errors import Error, Status, unexpected

_MESSAGE_BYTES = 4096
_PATIENCE_SECONDS = 2


class Ranks:
    def __init__(self, group: Any, device: Any) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise unexpected("group", "torch.distributed.init_process_group to have been called", "none")
        if hasattr(group, "get_group"):
            if group.ndim != 1:
                raise unexpected("group", "a DeviceMesh of one dimension (mesh[name] is one)", f"{group.ndim}")
            group = group.get_group()
        self.group = group if group is not None else dist.group.WORLD
        if not isinstance(self.group, dist.ProcessGroup):
            raise unexpected("group", "a process group or a DeviceMesh", type(group).__name__)
        members = _members.setdefault(self.group, {})
        if device not in members:
            members[device] = _Member(self.group, device)
        self.device, self.member = device, members[device]
        self.rank, self.size, self.names, self.words_device = self.member.rank, self.member.size, self.member.names, self.member.words_device
        self._steps = _steps.setdefault(self.group.group_name, [0])
        self.wanted = 0
        self.sent: Dict[str, int] = {}  # Bytes to other ranks, by what they are.

    def _place(self, rank: int) -> str:
        return f"unisparse/{self.group.group_name}/{rank}"

    @contextlib.contextmanager
    def step(self, what: str, marked: bool = True) -> Iterator[None]:
        """Around a collective."""
        try:
            if marked:
                self._steps[0] += 1
                self.member.store.set(self._place(self.rank), str(self._steps[0]))
            yield
        except Error:
            raise
        except (RuntimeError, ValueError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise Error(f"{self._late()}: expected to {what}, got {said[0]}", Status.BAD_ARGUMENT) from None

    def _late(self) -> str:
        """Who has not come as far as this rank, after some patience: a fast failure is not to name slow ones."""
        store, late, patience = self.member.store, list(range(self.size)), time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                late = [r for r in late if not store.check([self._place(r)]) or int(store.get(self._place(r))) < self._steps[0]]
            except (RuntimeError, ValueError):
                return "the rank that holds the group's store"
            if not late or time.monotonic() > patience:
                return ", ".join(self.names[rank] for rank in late) or "a rank"
            time.sleep(0.05)

    def agree(self, said: Dict[str, Any], what: str, wants: int = 0) -> List[Dict[str, Any]]:
        """-> what every rank said, in words of JSON. "error" of one is the error of all. Ranks tell one another three numbers, and
        the words where these are new: layers of a model say the same again and again. The third is what they want, bits that are
        no words' to say, as they change; `self.wanted` is what some rank wants."""
        text = json.dumps(said).encode()
        if len(text) > _MESSAGE_BYTES:
            text = json.dumps({"error": f"expected a message of at most {_MESSAGE_BYTES} bytes, got {len(text)}"}).encode()
        known = _known.setdefault(self.group.group_name, _Known())
        told = self.numbers([known.state, _digest(text), wants], [3] * self.size, what)
        name = tuple(digest for _, digest, _ in told)
        self.wanted = functools.reduce(operator.or_, (bits for _, _, bits in told))
        # Whether words are sent is for all ranks the same: those that know others than the first have all start anew.
        if any(state != told[0][0] for state, _, _ in told):
            known.forget()
        if name not in known.words:
            with self.beside():
                mine = torch.frombuffer(bytearray(text.ljust(_MESSAGE_BYTES)), dtype=torch.uint8).to(self.words_device)
                every = torch.empty(self.size * _MESSAGE_BYTES, dtype=torch.uint8, device=self.words_device)
                with self.step(what):
                    dist.all_gather_into_tensor(every, mine, group=self.group)
                    texts = bytes(every.tolist())
            known.remember(name, [json.loads(texts[n * _MESSAGE_BYTES : (n + 1) * _MESSAGE_BYTES]) for n in range(self.size)])
        heard = known.words[name]
        for rank, one in zip(self.names, heard):
            if "error" in one:
                raise Error(f"{rank}: {one['error']}", one.get("status", Status.BAD_ARGUMENT))
        return heard

    def exchange(self, sent: Sequence[Sequence[Any]], shapes: Sequence[Sequence[Union[Of, Tuple[int, ...]]]], dtype: Any, what: str) -> List[List[Any]]:
        """Tensors for every rank -> those of every rank, of the shapes that are known, and of `dtype` but for an Of. This rank's own
        are what it gave."""
        return self.exchanging(sent, shapes, dtype, what).wait()

    def exchanging(
        self, sent: Sequence[Sequence[Any]], shapes: Sequence[Sequence[Union[Of, Tuple[int, ...]]]], dtype: Any, what: str, beside: bool = False
    ) -> Coming:
        """The same, and `beside` what this rank does until it waits for them; then nobody writes down that it has come so far."""
        ours, theirs = (
            [[] if rank == self.rank else [_piece(x, dtype) for x in one] for rank, one in enumerate(which)] for which in ([[_described(x) for x in one] for one in sent], shapes)
        )
        given, taken = ([sum(_room(x) for x in one) for one in which] for which in (ours, theirs))
        # As bytes, which every backend knows.
        flat, received = (torch.empty(sum(sizes), dtype=torch.uint8, device=self.device) for sizes in (given, taken))
        places = self._places(flat, ours)
        with _phases.phase(f"pack: {what}"):
            for x, place in zip((x for rank, one in enumerate(sent) if rank != self.rank for x in one), (place for one in places for place in one)):
                if isinstance(x, Picked):
                    torch.index_select(x.whole, 0, x.rows, out=place)
                else:
                    place.copy_(x)
        self.sent[what] = self.sent.get(what, 0) + sum(_size(x) for one in ours for x in one)
        begin = _phases.moment()
        with self.step(what, marked=not beside):
            work = dist.all_to_all_single(received, flat, taken, given, group=self.group, async_op=True)
        coming = Coming(self, work, what, flat, self._places(received, theirs), sent[self.rank], begin)
        if not beside:
            coming.wait()
        return coming

    def moving(self, sent: Sequence[Sequence[Any]], into: Sequence[Sequence[Any]], what: str, apart: bool) -> Moving:
        """[B, H, tokens, ...] for every rank, to where they belong there: `into` has the same sizes. All in one message to each rank;
        or `apart`, a message for each head, from where its tokens lie to where they belong, and nobody makes a copy of them."""
        begin = _phases.moment()
        if not apart:
            shapes = [[_described(x) for x in one] for one in into]
            return Moving(self, what, begin, own=(sent[self.rank], into[self.rank]), coming=self.exchanging(sent, shapes, torch.uint8, what, beside=True), into=into)
        self._start()
        ops: List[Any] = []
        for rank, peer in enumerate(self.member.globals):
            if rank == self.rank:
                continue
            given = [x if rows_lie(x) else x.contiguous() for x in sent[rank] if x.numel()]
            taken = [x for x in into[rank] if x.numel()]
            self.sent[what] = self.sent.get(what, 0) + sum(x.nbytes for x in given)
            # Two ranks have the messages between them in one order; gloo asks for their numbers, too.
            for op, tensors in ((dist.isend, given), (dist.irecv, taken)):
                rows = (row for x in tensors for one in x.unbind(0) for row in one.unbind(0))
                ops += [dist.P2POp(op, row, peer, self.group, n) for n, row in enumerate(rows)]
        # Who does not come is named where all say whether they have come through.
        with self.step(what, marked=False):
            works = dist.batch_isend_irecv(ops) if ops else []
        return Moving(self, what, begin, own=(sent[self.rank], into[self.rank]), works=works, kept=ops)

    def _start(self) -> None:
        """Before messages of which some ranks may have none: a backend's first call is everybody's."""
        if self.device.type != self.words_device.type and not self.member.started:
            one = torch.zeros(1, dtype=torch.uint8, device=self.device)
            with self.step("start"):
                dist.all_gather_into_tensor(torch.empty(self.size, dtype=torch.uint8, device=self.device), one, group=self.group)
            self.member.started = True

    @staticmethod
    def _places(flat: Any, pieces: List[List[Of]]) -> List[List[Any]]:
        result: List[List[Any]] = []
        begin = 0
        for one in pieces:
            result.append([])
            for piece in one:
                result[-1].append(flat[begin : begin + _size(piece)].view(piece.dtype).view(piece.shape))
                begin += _room(piece)
        return result

    def numbers(self, mine: Sequence[int], lengths: Sequence[int], what: str) -> List[List[int]]:
        """Whole numbers of every rank, as many as are known. They wait for nothing that this rank's device does."""
        with self.beside():
            return self.gathered(torch.tensor([*mine, *[0] * (max(lengths) - len(mine))]).to(self.words_device), lengths, what)

    def gathered(self, padded: Any, lengths: Sequence[int], what: str) -> List[List[int]]:
        """The same of a tensor, of the greatest length."""
        every = torch.empty(self.size * max(lengths), dtype=padded.dtype, device=padded.device)
        with _phases.phase(f"agree: {what}"), self.step(what):
            dist.all_gather_into_tensor(every, padded, group=self.group)
            found = every.view(self.size, -1).tolist()
        return [one[:length] for one, length in zip(found, lengths)]

    def beside(self) -> Any:
        """Where what is said is sent: on a GPU a stream of its own, so that no rank waits for its kernels to hear others' words."""
        stream = self.stream() if self.words_device.type == "cuda" else None
        return torch.cuda.stream(stream) if stream is not None else contextlib.nullcontext()

    def stream(self) -> Any:
        """One beside the caller's, for words and for what waits for transfers. None on the CPU."""
        if self.device.type != "cuda":
            return None
        if self.device not in _streams:
            _streams[self.device] = torch.cuda.Stream(self.device)
        return _streams[self.device]


class Of(NamedTuple):
    """A piece of an exchange of several types."""

    dtype: Any
    shape: Tuple[int, ...]


def _described(x: Any) -> Of:
    return Of(x.dtype, tuple(x.shape))


def _piece(x: Any, dtype: Any) -> Of:
    return x if isinstance(x, Of) else Of(dtype, x)


def _size(piece: Of) -> int:
    return math.prod(piece.shape) * int(piece.dtype.itemsize)


def _room(piece: Of) -> int:
    """Bytes from its first to the next one's, so that each may be read as what it is."""
    return -(-_size(piece) // 16) * 16


class Picked(NamedTuple):
    """Rows of a matrix, of which nobody makes a copy of its own before they are sent."""

    whole: Any
    rows: Any

    @property
    def shape(self) -> Tuple[int, int]:
        return len(self.rows), self.whole.shape[1]

    @property
    def dtype(self) -> Any:
        return self.whole.dtype


class Coming:
    """What other ranks send."""

    def __init__(self, ranks: Ranks, work: Any, what: str, flat: Any, tensors: List[List[Any]], own: Sequence[Any], begin: Any) -> None:
        self._ranks, self._work, self._what, self._flat, self._tensors = ranks, work, what, flat, tensors
        self._tensors[ranks.rank] = list(own)
        self._begin = begin

    def wait(self) -> List[List[Any]]:
        if self._work is not None:
            with self._ranks.step(self._what, marked=False):
                _phases.awaited(self._what, self._begin, [self._work])
            self._work = None
        return self._tensors


class Moving:
    """What other ranks send to where it belongs."""

    def __init__(
        self, ranks: Ranks, what: str, begin: Any, own: Tuple[Sequence[Any], Sequence[Any]], works: Sequence[Any] = (), kept: Any = None,
        coming: Optional[Coming] = None, into: Sequence[Sequence[Any]] = (),
    ) -> None:  # fmt: skip
        self._ranks, self._what, self._begin, self._own, self._works, self._kept, self._coming, self._into = ranks, what, begin, own, works, kept, coming, into
        self._here = False

    def keep(self) -> None:
        """This rank's own, while others' are on their way."""
        if self._own[0]:
            with _phases.phase(f"keep: {self._what}"):
                for x, place in zip(*self._own):
                    place.copy_(x)
        self._own = (), ()

    def wait(self) -> None:
        if self._here:
            return
        self._here = True
        self.keep()
        if self._coming is not None:
            came = self._coming.wait()
            with _phases.phase(f"unpack: {self._what}"):
                for rank, (tensors, places) in enumerate(zip(came, self._into)):
                    for x, place in zip(tensors, places) if rank != self._ranks.rank else ():
                        place.copy_(x)
            return
        with self._ranks.step(self._what, marked=False):
            _phases.awaited(self._what, self._begin, list(self._works))
        self._kept = None


def rows_lie(x: Any) -> bool:
    """Whether the tokens of each head of [B, H, tokens, ...] follow one another in memory."""
    return not x.numel() or bool(x[0, 0].is_contiguous())


_MOST_WORDS = 256


class _Known:
    """What a group's ranks said, by their digests: the same on each of them, of which `state` is the proof."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.words: Dict[Tuple[int, ...], List[Dict[str, Any]]] = {}
        self.state = 0

    def remember(self, name: Tuple[int, ...], words: List[Dict[str, Any]]) -> None:
        if len(self.words) >= _MOST_WORDS:
            self.forget()
        self.words[name] = words
        self.state = _digest(repr((self.state, name)).encode())


def _digest(text: bytes) -> int:
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


class _Member:
    """What does not change from call to call: a group as this rank knows it."""

    def __init__(self, group: Any, device: Any) -> None:
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        if self.rank < 0:
            raise unexpected("group", "one that this rank is a member of", "another")
        try:
            group._get_backend(torch.device(device))
        except RuntimeError:
            wanted = f"a tensor on a device of the group's backends, {dist.get_backend_config(group)}"
            raise unexpected("q", wanted, f"one on {device}", Status.WRONG_DEVICE) from None
        self.globals = [dist.get_global_rank(group, rank) for rank in range(self.size)]
        self.names = [f"rank {rank}" for rank in self.globals]
        self.started = False
        self.store = dist.distributed_c10d._get_default_store()
        # The CPU, where the group has a backend for it: words then wait for no transfer that goes before them.
        self.words_device = torch.device("cpu")
        try:
            group._get_backend(self.words_device)
        except RuntimeError:
            self.words_device = device


_members: Any = weakref.WeakKeyDictionary()
_known: Dict[str, _Known] = {}
_streams: Dict[Any, Any] = {}
_steps: Dict[str, List[int]] = {}
