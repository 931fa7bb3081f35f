# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled programs on torch tensors, and the process's memory of them."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, Dict, Hashable, List, Optional, Sequence, Tuple, Union

from . import _again, _artifacts, _plan, _torch
from ._config import Config
from ._errors import unexpected
from ._plan import Plan
from ._runtime import Loaded

# Programs by file and device. They stay for the process's life: a launch outlives the call that made it, and a CUDA graph
# outlives both.
_loaded: Dict[Tuple[Hashable, int], Loaded] = {}
_lock = threading.Lock()


def _identity(path: str) -> Hashable:
    """Which file it is: another one under its name is another program."""
    try:
        found = os.stat(path)
    except OSError:
        return path  # Loading it says what is wrong.
    return os.path.abspath(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Program:
    """An artifact file, called with torch CUDA tensors in the order of its inputs; gives the list of its outputs.

    It is loaded on a device when first called there, and stays loaded: dropping the object frees nothing, unload() does.
    `inputs`, `outputs` and `chip` of `loaded(device)` describe it.
    """

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise unexpected("path", "the path of an artifact", type(path).__name__)
        self.path = os.fspath(path)
        self._file = _identity(self.path)
        self._calls = _again.Calls(-1, 16)
        self._again = self._calls.again

    def __reduce__(self) -> Any:
        return type(self), (self.path,)

    def loaded(self, device: int = 0) -> Loaded:
        """What unisparse_program_load made, by CUDA device number."""
        found = _loaded.get((self._file, device))
        if found is None:
            with _lock:
                found = _loaded.get((self._file, device))
                if found is None:
                    found = _loaded[self._file, device] = Loaded(self.path, device)
        return found

    def unload(self) -> None:
        """Frees it on every device. Its launches must have run, and no CUDA graph may hold one that will run again: wait for
        the device first. Calls that were bound are of no use afterwards; the program itself is loaded anew when called."""
        with _lock:
            for place in [place for place in _loaded if place[0] == self._file]:
                loaded = _loaded.pop(place)
                _plan.forget(loaded)
                loaded.close()

    def kernels(self, device: int = 0) -> List[Tuple[str, str]]:
        """[(name, schedule)] of what it launches, in order: "#unitile.schedule<...>" is the warp-specialised kernel,
        "#unitile.tiles<...>" a portable one, "" one that comes in one form only."""
        return self.loaded(device).kernels

    def plan(self, tensors: Sequence[Any]) -> Plan:
        """The plan for tensors like these; made when there is none yet."""
        name = _plan.key(self._file, tensors, ())
        found: Any = _plan.known(name)
        if found is not None:
            if found.torch.is_grad_enabled():
                _torch.expect_no_gradient(dict(zip(found.names, tensors)))
            return found  # type: ignore[no-any-return]
        if not tensors:
            raise unexpected("inputs", "at least one tensor", 0)
        device = _torch.expect({f"input {n}": x for n, x in enumerate(tensors)}, _torch.DEVICE_TYPE)
        made: Plan = _plan.remember(name, Plan(self.loaded(device.index or 0), tensors))
        return made

    def __call__(self, *tensors: Any) -> List[Any]:
        result: Optional[List[Any]] = self._again(*tensors)
        if result is None:
            plan = self.plan(tensors)
            result = plan(tensors)
            self._calls.remember(plan, tensors, None, result, ())
        return result

    def bind(self, *tensors: Any) -> Call:
        """Checks once, allocates once: the result, called, launches on the current stream into its `outputs`, over and over."""
        return Call(self.plan(tensors), tensors)


class Call:
    """A program with its tensors. It may be called on any stream; calls on several streams write to the same outputs and
    workspace, so their order is the caller's to see to."""

    def __init__(self, plan: Plan, tensors: Sequence[Any]) -> None:
        self._plan, self._frame = plan, plan.frame()
        self.outputs, self._workspace = plan.allocate()
        self._tensors = (*tensors, *self.outputs, self._workspace)  # Keeps their memory.
        plan.fill(self._frame, tensors, self.outputs)
        # The allocator knows that this stream uses the memory, and no other.
        self._streams = {_torch.stream_of(plan.torch, plan.device)}
        self._bound: Any = None
        self._again: Callable[[], Any] = _again.unknown

    def __call__(self) -> List[Any]:
        result: Optional[List[Any]] = self._again()
        return self._call() if result is None else result

    def _call(self) -> List[Any]:
        plan = self._plan
        stream = _torch.stream_of(plan.torch, plan.device)
        if stream not in self._streams:
            self._record(stream)
        plan.run(self._frame, self._workspace, stream)
        if self._bound is None or not self._bound.also(stream):
            self._bound = _again.bound(plan, self._frame, self._workspace, stream, self.outputs)
            self._again = _again.unknown if self._bound is None else self._bound.again
        return self.outputs

    def _record(self, stream: Any) -> None:
        """Tells the allocator: memory that is dropped while this stream is at work goes back when the work is done."""
        current = self._plan.torch.cuda.current_stream(self._plan.device)
        for x in self._tensors:
            x.record_stream(current)
        self._streams.add(stream)


_programs: Dict[Config, Program] = {}
_programs_lock = threading.Lock()


def program_for(config: Config) -> Program:
    """The program of a configuration, its artifact found or compiled by the first call with it."""
    return _artifacts.once(_programs, _programs_lock, config, lambda: Program(_artifacts.find(config)))
