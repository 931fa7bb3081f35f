# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The door of torch's CUDA tensors: an artifact for the configuration, launched on the current stream."""

from . import _torch
from ._errors import Error, Status, unexpected
from ._program import program_for

element = _torch.element
expect = _torch.expect_cuda

# An artifact's tensors are told apart by element and rank, as unisparse-run has it for a program's results. Where
# several are of one kind, they come in this order.
_FLOAT = ("f32", "f16", "bf16")
_INPUTS = {(_FLOAT, 4): ("q", "k", "v"), (("i32",), 3): ("counts",), (("i32",), 4): ("indices",),
           (("f32",), 1): ("top_p",), (("i32",), 1): ("cu_seqlens_q", "cu_seqlens_k")}
_OUTPUTS = {(_FLOAT, 4): ("o",), (("f32",), 3): ("lse",), (("i32",), 3): ("counts",), (("i32",), 4): ("indices",),
            (("f32",), 2): ("density",)}


def expect_integers(named):
    for name, x in named.items():
        if element(x) != "i32":
            raise unexpected(name, "int32", x.dtype, Status.BAD_SHAPE)


def names(signatures, kinds):
    """What each tensor of an artifact is."""
    left = {key: list(value) for key, value in kinds.items()}
    result = []
    for name, kind, rank in signatures:
        found = next((x for (elements, r), x in left.items() if r == rank and kind in elements and x), None)
        if not found:
            raise Error(f"artifact: expected tensors of attention, got {name}, {kind} of rank {rank}", Status.BAD_ARTIFACT)
        result.append(found.pop(0))
    return result


def run(config, tensors):
    program, device = program_for(config), tensors["q"].device
    expect(tensors)  # One device for all.
    loaded = program.loaded(device.index)
    wanted = names(loaded.inputs, _INPUTS)
    if "top_p" in wanted:
        tensors = {**tensors, "top_p": _shares(_torch.torch_of(tensors["q"]), config.rule.p, device)}
    if set(wanted) != set(tensors):
        raise Error(f"artifact: expected one of {', '.join(tensors)}, got one of {', '.join(wanted)}", Status.BAD_ARTIFACT)
    results = program(*(tensors[name] for name in wanted))
    return dict(zip(names(loaded.outputs, _OUTPUTS), results))


_constants = {}


def _shares(torch, p, device):
    """Shares per head, on the device once."""
    key = (p, device)
    if key not in _constants:
        _constants[key] = torch.tensor(p, dtype=torch.float32, device=device)
    return _constants[key]
