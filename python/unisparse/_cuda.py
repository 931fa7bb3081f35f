# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The backend of torch's CUDA tensors: an artifact for the configuration, launched on the current stream."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence

from . import _torch
from ._config import Config
from ._errors import Error, Status
from ._program import program_for

element, maker = _torch.element, _torch.maker

# Rows begin at multiples of so many bytes: kernels write them in such pieces.
PIECE = 16


def expect(named: Mapping[str, Any]) -> None:
    _torch.expect(named, _torch.DEVICE_TYPE)


def may_be_written(out: Any, inputs: Sequence[Any]) -> bool:
    """Whether a program writes it as it lies. What the runtime refuses of contiguous memory, it says."""
    if out.is_contiguous():
        return True
    pieces = (out.data_ptr(), *(stride * out.element_size() for stride, size in zip(out.stride()[:-1], out.shape) if size > 1))
    return (out.shape[-1] < 2 or out.stride(-1) == 1) and not any(x % PIECE for x in pieces) and _torch.apart(out, inputs)


class Planned:
    """The plan of a function's call: from the function's tensors, in their order, to the results it gives, in theirs."""

    def __init__(self, config: Config, tensors: Mapping[str, Any], results: Sequence[str] = ()) -> None:
        expect(tensors)  # One device for all.
        program, names = program_for(config), list(tensors)
        self.loaded = program.loaded(tensors["q"].device.index or 0)
        inputs, outputs = ([name for name, _, _ in signatures] for signatures in (self.loaded.inputs, self.loaded.outputs))
        for what, wanted, found in (("inputs", names, inputs), ("outputs", results, outputs)):
            if wanted and not set(wanted) <= set(found) or what == "inputs" and len(names) != len(inputs):
                raise Error(f"{program.path}: expected the {what} {', '.join(wanted)}, got {', '.join(found)}", Status.BAD_ARTIFACT)
        self.outputs, self._names = outputs, names
        self._order = None if inputs == names else [names.index(name) for name in inputs]
        self._pick = [outputs.index(name) for name in results]
        self._plan = program.plan([tensors[name] for name in inputs])
        self.torch = self._plan.torch
        order = self._order or list(range(len(names)))
        self.launch = self._plan.launch_of(order, self._pick, self._pick[0]) if self._pick else None

    def every(self, tensors: Sequence[Any], out: Any = None) -> Sequence[Any]:
        """All outputs in the program's order; the first result is `out`, where it is given."""
        if self.torch.is_grad_enabled():
            for x in tensors:
                if x.requires_grad:
                    _torch.expect_no_gradient(dict(zip(self._names, tensors)))
        return self._plan(tensors if self._order is None else [tensors[n] for n in self._order], out, self._pick[0] if self._pick else 0)

    def __call__(self, tensors: Sequence[Any], out: Any = None) -> Any:
        # Memory that a program cannot write is the caller's to copy to.
        written = out is not None and may_be_written(out, tensors)
        outputs, pick = self.every(tensors, out if written else None), self._pick
        return outputs[pick[0]] if len(pick) == 1 else tuple([outputs[n] for n in pick])


def run(config: Config, tensors: Mapping[str, Any]) -> Dict[str, Any]:
    planned = Planned(config, tensors)
    return dict(zip(planned.outputs, planned.every(list(tensors.values()))))
