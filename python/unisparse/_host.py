# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors in host memory: a program for this CPU, run in this process on the memory that they have. What sizes, strides
and types decide is decided once, in a plan; a call fills in addresses and runs."""

from __future__ import annotations

import ctypes
import threading
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from . import _again, _artifacts, _torch
from ._config import Config
from ._errors import Error, Status, unexpected
from ._library import Library, Values, library
from ._plan import Frame
from ._runtime import Tensor, check, place

# What code is led by; in the order of unisparse_cpu_values.
_LED = ("cu_seqlens_q", "cu_seqlens_k", "counts", "indices")

_programs: Dict[Config, Library] = {}
_lock = threading.Lock()


def program_for(config: Config) -> Library:
    """The program of a configuration, found or compiled by the first call with it."""
    return _artifacts.once(_programs, _lock, config, lambda: Library(_artifacts.find(config, _artifacts.cpu())))


def unload() -> None:
    """Closes all programs and drops their plans, when nothing runs one any more; a later call finds its program anew."""
    with _lock:
        while _programs:
            _programs.popitem()[1].close()


class _Frame(Frame):
    """With the values that lead the code."""

    def __init__(self, inputs: ctypes.Array[Tensor], outputs: ctypes.Array[Tensor], led: Mapping[str, int], lengths: Tuple[int, ...]) -> None:
        super().__init__(inputs, outputs)
        self._values = Values(*(ctypes.addressof(self.inputs[led[name]]) if name in led else None for name in _LED), *lengths)
        self.values = ctypes.addressof(self._values)


class Planned:
    """The plan of a function's call: from the function's tensors, in their order, to the results it gives, in theirs.
    `backend`: the module of the tensors' kind, _numpy or _cpu."""

    def __init__(self, backend: Any, config: Config, tensors: Mapping[str, Any], results: Sequence[str]) -> None:
        if config.packed and tensors["q"].shape[0] != 1:
            raise unexpected("q", "[I8] batch 1 beside cu_seqlens", tensors["q"].shape[0], Status.BAD_SHAPE)
        self._names, self._backend, self.torch = list(tensors), backend, _torch.torch_of(tensors["q"])
        # q, k and v may lie as they do. What cannot be read so is copied, by each call.
        given = {name: backend.readable(x, strided=name in ("q", "k", "v")) for name, x in tensors.items()}
        self._copied = [(n, name in ("q", "k", "v")) for n, (name, x) in enumerate(given.items()) if x is not tensors[name]]
        self._lengths = (tensors["q"].shape[2], tensors["k"].shape[2], *config.block)
        self._check_values = library().unisparse_cpu_check_values
        self._describe(given, list(given), (Tensor * 0)())
        frame = self._frame()
        check(self._check_values(frame.values))  # Before any program is looked for.
        self.loaded = program = program_for(config)
        inputs, outputs = ([x[0] for x in signatures] for signatures in (program.inputs, program.outputs))
        if set(inputs) != set(given):
            raise Error(f"{program.path}: expected the inputs {', '.join(given)}, got {', '.join(inputs)}", Status.BAD_ARTIFACT)
        self._order = None if inputs == self._names else [self._names.index(name) for name in inputs]
        self._describe(given, inputs, None)
        for x in self._inputs:
            x.data = None
        self._make = [backend.maker(tensors["q"], kind, x.sizes[:rank]) for (_, kind, rank), x in zip(program.outputs, self._outputs)]
        self._o, self._pick = outputs.index("o"), [outputs.index(name) for name in results]
        self.launch = self._launch()

    def _launch(self) -> Any:
        """What _again.py has of a call of torch's tensors, none of which is copied."""
        if self.torch is None or self._copied:
            return None
        dtypes = [getattr(self.torch, _torch.NAMES[kind]) for _, kind, _ in self.loaded.outputs]
        led = tuple(self._led.get(name, -1) for name in _LED)
        host = place(self.loaded.run), place(self._check_values), led, self._lengths, self.torch.get_num_threads
        order = self._order or range(len(self._names))
        return _again.launch(self.torch, self.torch.device("cpu"), self.loaded, 0, order, self._outputs, dtypes, self._pick, self._o, host=host)

    def _describe(self, given: Mapping[str, Any], names: Sequence[str], outputs: Any) -> None:
        """The structures that frames start as. `outputs`: the program's, where it is not asked for them."""
        self._inputs = (Tensor * len(names))(*(self._backend.describe(name, given[name]) for name in names))
        self._outputs = self.loaded.prepare(self._inputs) if outputs is None else outputs
        self._led = {name: n for n, name in enumerate(names) if name in _LED}
        self._frames: List[_Frame] = []

    def _frame(self) -> _Frame:
        try:
            return self._frames.pop()
        except IndexError:
            return _Frame(self._inputs, self._outputs, self._led, self._lengths)

    def _frame_of(self, o: Tensor) -> _Frame:
        """One whose o has the strides of this one."""
        frame = _Frame(self._inputs, self._outputs, self._led, self._lengths)
        frame.outputs[self._o].strides = o.strides
        return frame

    def _read(self, tensors: Sequence[Any]) -> Sequence[Any]:
        """The inputs as the program has them. Copies live until it has run."""
        if self.torch is not None and self.torch.is_grad_enabled():
            for x in tensors:
                if x.requires_grad:
                    _torch.expect_no_gradient(dict(zip(self._names, tensors)))
        if self._copied:
            tensors = list(tensors)
            for n, strided in self._copied:
                tensors[n] = self._backend.readable(tensors[n], strided)
        return tensors if self._order is None else [tensors[n] for n in self._order]

    def __call__(self, tensors: Sequence[Any], out: Any = None) -> Any:
        """`out` becomes o where programs can write it."""
        backend, program, address = self._backend, self.loaded, self._backend.address
        given = self._read(tensors)
        written = out is not None and backend.may_be_written(out, given)
        # Strides of `out` are no plan's.
        frame = self._frame_of(backend.describe("out", out)) if written else self._frame()
        for place, x in zip(frame.inputs, given):
            place.data = address(x)
        (inputs, outputs), handle, count = frame.places, program.handle, len(given)
        if self._led and (status := self._check_values(frame.values)):
            check(status)
        if written:
            made = [out if n == self._o else make() for n, make in enumerate(self._make)]
        else:
            made = [make() for make in self._make]
        for place, x in zip(frame.outputs, made):
            place.data = address(x)
        if status := program.run(handle, inputs, count, outputs, len(made), backend.threads(self.torch)):
            check(status)
        if not written:
            self._frames.append(frame)
        pick = self._pick
        return made[pick[0]] if len(pick) == 1 else tuple([made[n] for n in pick])
