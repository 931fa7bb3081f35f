# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Calls at the driver's speed: what sizes, strides and types decide is decided once, in a plan. A call then fills in
addresses and launches; on the CPU, see _host.py, it runs."""

from __future__ import annotations

import ctypes
import threading
from typing import Any, Dict, Hashable, List, Optional, Sequence, Tuple

from . import _again, _numpy, _torch
from ._errors import unexpected
from ._runtime import ELEMENTS, Loaded, Tensor, check

# Prompts of every length ask for a plan each. One holds some hundred bytes of descriptions, and no tensor.
MOST_PLANS = 2048


class Frame:
    """The structures of one launch. Two threads may run one plan: each takes a frame of its own."""

    def __init__(self, inputs: ctypes.Array[Tensor], outputs: ctypes.Array[Tensor]) -> None:
        self.arrays = type(inputs).from_buffer_copy(inputs), type(outputs).from_buffer_copy(outputs)
        self.inputs, self.outputs = map(list, self.arrays)
        self.places = tuple(map(ctypes.addressof, self.arrays))


class Plan:
    """A program for inputs of given sizes, strides and types on one device."""

    def __init__(self, loaded: Loaded, tensors: Sequence[Any]) -> None:
        if not tensors:
            raise unexpected("inputs", "at least one tensor", 0)
        names = [f"input {n}" for n in range(len(tensors))]
        self.torch, self.device, self.loaded = _torch.torch_of(tensors[0]), tensors[0].device, loaded
        names = [name for name, _, _ in loaded.inputs] + names[len(loaded.inputs) :]
        self.names = names
        inputs = (Tensor * len(tensors))(*map(_torch.describe, names, tensors))
        self._outputs, self.workspace_bytes = loaded.prepare(inputs)
        for x in inputs:
            x.data = None
        self._inputs = inputs
        self._shapes = [
            (tuple(x.sizes[: x.rank]), getattr(self.torch, _torch.NAMES[ELEMENTS[x.element]])) for x in self._outputs
        ]
        self._frames: List[Frame] = []
        every = range(len(self._shapes))
        self.launch = self.launch_of(range(len(tensors)), every, 0)

    def launch_of(self, order: Sequence[int], pick: Sequence[int], o: int) -> Any:
        """What _again.py has of a call: the place of each input among its tensors, of each result among the outputs."""
        if not self._shapes or not _again.native:
            return None
        dtypes = [dtype for _, dtype in self._shapes]
        return _again.launch(self.torch, self.device, self.loaded, self.workspace_bytes, order, self._outputs, dtypes, pick, o, device_plans=self.loaded.plans)

    def frame(self) -> Frame:
        try:
            return self._frames.pop()
        except IndexError:
            return Frame(self._inputs, self._outputs)

    def frame_into(self, out: Any, place: int) -> Frame:
        """One whose output at `place` has the strides of `out`, which are no plan's."""
        frame = Frame(self._inputs, self._outputs)
        frame.outputs[place].strides = _torch.describe("out", out).strides
        return frame

    def allocate(self, out: Any = None, place: int = 0) -> Tuple[List[Any], Any]:
        """Outputs, `out` being the one at `place` where it is given, and the workspace."""
        torch, device, allocate = self.torch, self.device, _torch.allocate
        if out is None:
            outputs = [allocate(torch, shape, dtype, device) for shape, dtype in self._shapes]
        else:
            outputs = [out if n == place else allocate(torch, shape, dtype, device) for n, (shape, dtype) in enumerate(self._shapes)]
        return outputs, allocate(torch, (self.workspace_bytes,), torch.uint8, device)

    def fill(self, frame: Frame, tensors: Sequence[Any], outputs: Sequence[Any]) -> None:
        try:
            for place, x in zip(frame.inputs, tensors):
                place.data = x.data_ptr()
        except RuntimeError:
            for name, x in zip(self.names, tensors):
                _torch.address(name, x)
            raise
        for place, x in zip(frame.outputs, outputs):
            place.data = x.data_ptr()

    def run(self, frame: Frame, workspace: Any, stream: Any) -> None:
        loaded, (inputs, outputs) = self.loaded, frame.places
        status = loaded.run(
            loaded.handle, inputs, len(frame.inputs), outputs, len(frame.outputs), workspace.data_ptr(), self.workspace_bytes, stream
        )
        if status:
            check(status)

    def __call__(self, tensors: Sequence[Any], out: Any = None, place: int = 0) -> List[Any]:
        """Launches on the current stream into new outputs, and `out` where it is given."""
        apart = out is not None and not out.is_contiguous()
        frame = self.frame_into(out, place) if apart else self.frame()
        outputs, workspace = self.allocate(out, place)
        self.fill(frame, tensors, outputs)
        self.run(frame, workspace, _torch.stream_of(self.torch, self.device))
        if not apart:
            self._frames.append(frame)
        return outputs


_plans: Dict[Hashable, Any] = {}
_lock = threading.Lock()
known = _plans.get

# Of these, equal values of one type mean one thing for good: a tensor or an array as an option may change.
_PLAIN = frozenset({bool, int, float, str, type(None)})
_PLAIN_OR_TUPLE = _PLAIN | {tuple}


def key(function: Hashable, tensors: Sequence[Any], options: Tuple[Any, ...]) -> Optional[Hashable]:
    """What a call of a function is known by; None where it has to be looked at anew."""
    kinds = tuple(map(type, options))
    inner = [type(y) for x in options if type(x) is tuple for y in x]
    if not (_PLAIN_OR_TUPLE.issuperset(kinds) and _PLAIN.issuperset(inner)):
        return None
    try:
        state = _numpy.state if _numpy.is_array(tensors[0] if tensors else None) else _torch.state
        return (function, options, kinds, tuple(inner), *map(state, tensors))
    except (AttributeError, RuntimeError, TypeError):  # No tensors, or of a layout without strides, or of two kinds.
        return None


def remember(name: Optional[Hashable], plan: Any) -> Any:
    if name is not None:
        with _lock:
            while len(_plans) >= MOST_PLANS:
                del _plans[next(iter(_plans))]
            _plans[name] = plan
    return plan


def forget(loaded: Any = None) -> None:
    """Drops the plans of a program, or all."""
    _again.forget()
    with _lock:
        for name in [name for name, plan in _plans.items() if loaded in (None, plan.loaded)]:
            del _plans[name]
