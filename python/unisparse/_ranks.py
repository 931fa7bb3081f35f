# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What ranks say to one another: torch.distributed's collectives, and words where one of them fails. A rank that has not
come when the others' patience ends is named by what it last wrote to the group's store."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple, Union

import torch
import torch.distributed as dist

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
        self.rank, self.size, self.device = dist.get_rank(self.group), dist.get_world_size(self.group), device
        if self.rank < 0:
            raise unexpected("group", "one that this rank is a member of", "another")
        try:
            self.group._get_backend(torch.device(device))
        except RuntimeError:
            wanted = f"a tensor on a device of the group's backends, {dist.get_backend_config(self.group)}"
            raise unexpected("q", wanted, f"one on {device}", Status.WRONG_DEVICE) from None
        self.names = [f"rank {dist.get_global_rank(self.group, rank)}" for rank in range(self.size)]
        self._steps = _steps.setdefault(self.group.group_name, [0])
        self.sent: Dict[str, int] = {}  # Bytes to other ranks, by what they are.

    def _place(self, rank: int) -> str:
        return f"unisparse/{self.group.group_name}/{rank}"

    @contextlib.contextmanager
    def step(self, what: str, marked: bool = True) -> Iterator[None]:
        """Around a collective."""
        try:
            if marked:
                self._steps[0] += 1
                dist.distributed_c10d._get_default_store().set(self._place(self.rank), str(self._steps[0]))
            yield
        except Error:
            raise
        except (RuntimeError, ValueError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise Error(f"{self._late()}: expected to {what}, got {said[0]}", Status.BAD_ARGUMENT) from None

    def _late(self) -> str:
        """Who has not come as far as this rank, after some patience: a fast failure is not to name slow ones."""
        store, late, patience = dist.distributed_c10d._get_default_store(), list(range(self.size)), time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                late = [r for r in late if not store.check([self._place(r)]) or int(store.get(self._place(r))) < self._steps[0]]
            except (RuntimeError, ValueError):
                return "the rank that holds the group's store"
            if not late or time.monotonic() > patience:
                return ", ".join(self.names[rank] for rank in late) or "a rank"
            time.sleep(0.05)

    def agree(self, said: Dict[str, Any], what: str) -> List[Dict[str, Any]]:
        """-> what every rank said, in words of JSON. "error" of one is the error of all. Ranks tell one another two numbers, and
        the words where these are new: layers of a model say the same again and again."""
        text = json.dumps(said).encode()
        if len(text) > _MESSAGE_BYTES:
            text = json.dumps({"error": f"expected a message of at most {_MESSAGE_BYTES} bytes, got {len(text)}"}).encode()
        known = _known.setdefault(self.group.group_name, _Known())
        told = self.numbers([known.state, _digest(text)], [2] * self.size, what)
        name = tuple(digest for _, digest in told)
        # Whether words are sent is for all ranks the same: those that know others than the first have all start anew.
        if any(state != told[0][0] for state, _ in told):
            known.forget()
        if name not in known.words:
            with self.beside():
                mine = torch.frombuffer(bytearray(text.ljust(_MESSAGE_BYTES)), dtype=torch.uint8).to(self.device)
                every = torch.empty(self.size * _MESSAGE_BYTES, dtype=torch.uint8, device=self.device)
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
        for x, place in zip((x for rank, one in enumerate(sent) if rank != self.rank for x in one), (place for one in places for place in one)):
            if isinstance(x, Picked):
                torch.index_select(x.whole, 0, x.rows, out=place)
            else:
                place.copy_(x)
        self.sent[what] = self.sent.get(what, 0) + sum(_size(x) for one in ours for x in one)
        with self.step(what, marked=not beside):
            work = dist.all_to_all_single(received, flat, taken, given, group=self.group, async_op=beside)
        return Coming(self, work, what, flat, self._places(received, theirs), sent[self.rank])

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
            return self.gathered(torch.tensor([*mine, *[0] * (max(lengths) - len(mine))]).to(self.device), lengths, what)

    def gathered(self, padded: Any, lengths: Sequence[int], what: str) -> List[List[int]]:
        """The same of a tensor, of the greatest length."""
        every = torch.empty(self.size * max(lengths), dtype=padded.dtype, device=self.device)
        with self.step(what):
            dist.all_gather_into_tensor(every, padded, group=self.group)
            found = every.view(self.size, -1).tolist()
        return [one[:length] for one, length in zip(found, lengths)]

    def beside(self) -> Any:
        """Where what is said is sent: on a GPU a stream of its own, so that no rank waits for its kernels to hear others' words."""
        if self.device.type != "cuda":
            return contextlib.nullcontext()
        if self.device not in _streams:
            _streams[self.device] = torch.cuda.Stream(self.device)
        return torch.cuda.stream(_streams[self.device])


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

    def __init__(self, ranks: Ranks, work: Any, what: str, flat: Any, tensors: List[List[Any]], own: Sequence[Any]) -> None:
        self._ranks, self._work, self._what, self._flat, self._tensors = ranks, work, what, flat, tensors
        self._tensors[ranks.rank] = list(own)

    def wait(self) -> List[List[Any]]:
        if self._work is not None:
            with self._ranks.step(self._what, marked=False):
                self._work.wait()
        return self._tensors


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


_known: Dict[str, _Known] = {}
_streams: Dict[Any, Any] = {}
_steps: Dict[str, List[int]] = {}
