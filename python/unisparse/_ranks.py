# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What ranks say to one another: torch.distributed's collectives, and words where one of them fails. A rank that has not
come when the others' patience ends is named by what it last wrote to the group's store."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

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
        """-> what every rank said, in words of JSON. "error" of one is the error of all."""
        text = json.dumps(said).encode()
        if len(text) > _MESSAGE_BYTES:
            text = json.dumps({"error": f"expected a message of at most {_MESSAGE_BYTES} bytes, got {len(text)}"}).encode()
        mine = torch.frombuffer(bytearray(text.ljust(_MESSAGE_BYTES)), dtype=torch.uint8).to(self.device)
        every = torch.empty(self.size * _MESSAGE_BYTES, dtype=torch.uint8, device=self.device)
        with self.step(what):
            dist.all_gather_into_tensor(every, mine, group=self.group)
            texts = bytes(every.tolist())
        heard: List[Dict[str, Any]] = [json.loads(texts[n * _MESSAGE_BYTES : (n + 1) * _MESSAGE_BYTES]) for n in range(self.size)]
        for name, one in zip(self.names, heard):
            if "error" in one:
                raise Error(f"{name}: {one['error']}", one.get("status", Status.BAD_ARGUMENT))
        return heard

    def exchange(self, sent: Sequence[Sequence[Any]], shapes: Sequence[Sequence[Tuple[int, ...]]], dtype: Any, what: str) -> List[List[Any]]:
        """Tensors for every rank -> those of every rank, of the shapes that are known. This rank's own are what it gave."""
        return self.exchanging(sent, shapes, dtype, what).wait()

    def exchanging(
        self, sent: Sequence[Sequence[Any]], shapes: Sequence[Sequence[Tuple[int, ...]]], dtype: Any, what: str, beside: bool = False
    ) -> Coming:
        """The same, and `beside` what this rank does until it waits for them; then nobody writes down that it has come so far."""
        width = dtype.itemsize
        given = [sum(_product(x.shape) for x in one) * width * (rank != self.rank) for rank, one in enumerate(sent)]
        flat = torch.empty(sum(given) // width, dtype=dtype, device=self.device)
        begin = 0
        for x in (x for rank, one in enumerate(sent) if rank != self.rank for x in one):
            end = begin + _product(x.shape)
            place = flat[begin:end].view(x.shape)
            if isinstance(x, Picked):
                torch.index_select(x.whole, 0, x.rows, out=place)
            else:
                place.copy_(x)
            begin = end
        counts = [[_product(shape) * (rank != self.rank) for shape in one] for rank, one in enumerate(shapes)]
        taken = [sum(one) * width for one in counts]
        self.sent[what] = self.sent.get(what, 0) + sum(given)
        # As bytes, which every backend knows.
        received = torch.empty(sum(taken), dtype=torch.uint8, device=self.device)
        with self.step(what, marked=not beside):
            work = dist.all_to_all_single(received, flat.view(torch.uint8), taken, given, group=self.group, async_op=beside)
        return Coming(self, work, what, flat, received.view(dtype), shapes, sent[self.rank])

    def numbers(self, mine: Sequence[int], lengths: Sequence[int], what: str) -> List[List[int]]:
        """Whole numbers of every rank, as many as are known."""
        padded = torch.tensor([*mine, *[0] * (max(lengths) - len(mine))]).to(self.device)
        every = torch.empty(self.size * max(lengths), dtype=padded.dtype, device=self.device)
        with self.step(what):
            dist.all_gather_into_tensor(every, padded, group=self.group)
            found = every.view(self.size, -1).tolist()
        return [one[:length] for one, length in zip(found, lengths)]


class Picked(NamedTuple):
    """Rows of a matrix, of which nobody makes a copy of its own before they are sent."""

    whole: Any
    rows: Any

    @property
    def shape(self) -> Tuple[int, int]:
        return len(self.rows), self.whole.shape[1]


class Coming:
    """What other ranks send."""

    def __init__(self, ranks: Ranks, work: Any, what: str, flat: Any, whole: Any, shapes: Sequence[Sequence[Tuple[int, ...]]], own: Sequence[Any]) -> None:
        self._ranks, self._work, self._what = ranks, work, what
        self._flat, self._whole, self._shapes, self._own = flat, whole, shapes, own

    def wait(self) -> List[List[Any]]:
        if self._work is not None:
            with self._ranks.step(self._what, marked=False):
                self._work.wait()
        result: List[List[Any]] = []
        begin = 0
        for rank, one in enumerate(self._shapes):
            tensors = list(self._own) if rank == self._ranks.rank else []
            for shape in one if rank != self._ranks.rank else ():
                end = begin + _product(shape)
                tensors.append(self._whole[begin:end].view(shape))
                begin = end
            result.append(tensors)
        return result


_steps: Dict[str, List[int]] = {}


def _product(shape: Tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result
