# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What ranks say to one another: torch.distributed's collectives, and words where one of them fails. A rank that has not
come when the others' patience ends is named by what it last wrote to the group's store."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any, Dict, Iterator, List, Sequence, Tuple

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

    def _place(self, rank: int) -> str:
        return f"unisparse/{self.group.group_name}/{rank}"

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Around a collective."""
        self._steps[0] += 1
        try:
            store = dist.distributed_c10d._get_default_store()
            store.set(self._place(self.rank), str(self._steps[0]))
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
        mine = torch.tensor(list(text.ljust(_MESSAGE_BYTES)), dtype=torch.uint8).to(self.device)
        every = [torch.empty_like(mine) for _ in range(self.size)]
        with self.step(what):
            dist.all_gather(every, mine, group=self.group)
            heard: List[Dict[str, Any]] = [json.loads(bytes(x.tolist())) for x in every]
        for name, one in zip(self.names, heard):
            if "error" in one:
                raise Error(f"{name}: {one['error']}", one.get("status", Status.BAD_ARGUMENT))
        return heard

    def exchange(self, sent: Sequence[Sequence[Any]], shapes: Sequence[Sequence[Tuple[int, ...]]], dtype: Any, what: str) -> List[List[Any]]:
        """Tensors for every rank -> those of every rank, of the shapes that are known."""
        width = dtype.itemsize
        pieces = [x.reshape(-1) for one in sent for x in one]
        flat = torch.cat(pieces) if pieces else torch.empty(0, dtype=dtype, device=self.device)
        given = [sum(x.numel() for x in one) * width for one in sent]
        counts = [[_product(shape) for shape in one] for one in shapes]
        taken = [sum(one) * width for one in counts]
        sent_bytes[0] += sum(given) - given[self.rank]
        # As bytes, which every backend knows.
        received = torch.empty(sum(taken), dtype=torch.uint8, device=self.device)
        with self.step(what):
            dist.all_to_all_single(received, flat.view(torch.uint8), taken, given, group=self.group)
        whole, begin = received.view(dtype), 0
        result = []
        for one, sizes in zip(shapes, counts):
            tensors = []
            for shape, size in zip(one, sizes):
                tensors.append(whole[begin : begin + size].view(shape))
                begin += size
            result.append(tensors)
        return result

    def gather(self, x: Any, lengths: Sequence[int], what: str) -> List[Any]:
        """x [B, H, L, D] of every rank, whose lengths are known."""
        longest = max(lengths)
        padded = x.new_zeros((*x.shape[:2], longest, x.shape[3]))
        padded[:, :, : x.shape[2]] = x
        every = [torch.empty_like(padded) for _ in range(self.size)]
        sent_bytes[0] += padded.nbytes * (self.size - 1)
        with self.step(what):
            dist.all_gather([y.view(torch.uint8) for y in every], padded.view(torch.uint8), group=self.group)
        return [y[:, :, :length] for y, length in zip(every, lengths)]


_steps: Dict[str, List[int]] = {}
# To other ranks, by this process's calls so far, as if each went straight to its place.
sent_bytes = [0]


def _product(shape: Tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result
