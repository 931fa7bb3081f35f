# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""torch's side: tensors as the runtime sees them. torch itself is never imported here, only found where it is."""

import sys

from ._errors import Status, unexpected
from ._runtime import ELEMENTS, MAX_RANK, Tensor

_NAMES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i32": "int32"}
_ELEMENTS = {f"torch.{name}": element for element, name in _NAMES.items()}


def torch_of(x):
    """The torch module whose tensor x is, or None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(x, getattr(torch, "Tensor", ())) else None


def element(x):
    """ "bf16" and so on; None for a type that no artifact takes."""
    return _ELEMENTS.get(str(x.dtype))


def expect_cuda(named):
    """All tensors on one CUDA device, none that wants a gradient. named: {argument: tensor} -> the device."""
    (first, leader), *_ = named.items()
    torch = torch_of(leader)
    for name, x in named.items():
        if torch_of(x) is None:
            raise unexpected(name, f"a torch tensor, as {first} is", type(x).__name__)
        if x.device.type != "cuda":
            raise unexpected(name, "a tensor on CUDA (for the CPU pass NumPy arrays)", f"one on {x.device}", Status.WRONG_DEVICE)
        if x.device != leader.device:
            raise unexpected(name, f"a tensor on {leader.device}, as {first}", f"one on {x.device}", Status.WRONG_DEVICE)
        if x.requires_grad and torch.is_grad_enabled():
            raise unexpected(name, "a tensor without gradient, or torch.no_grad(): there is no backward pass", "requires_grad=True")
    return leader.device


def describe(name, x):
    """A torch tensor as unisparse_tensor: its own memory, sizes and strides."""
    kind = element(x)
    if kind is None:
        raise unexpected(name, "elements of " + ", ".join(_NAMES.values()), x.dtype, Status.BAD_SHAPE)
    if x.dim() > MAX_RANK:
        raise unexpected(name, f"at most {MAX_RANK} dimensions", x.dim(), Status.BAD_SHAPE)
    result = Tensor(data=x.data_ptr() or None, element=ELEMENTS.index(kind), rank=x.dim())
    result.sizes[: x.dim()] = list(x.shape)
    result.strides[: x.dim()] = list(x.stride())
    return result


def allocate(torch, sizes, dtype, device):
    """Memory of an output or of a workspace, from torch's caching allocator: unspecified contents. Tests put their own here."""
    return torch.empty(sizes, dtype=dtype, device=device)


def allocate_outputs(torch, outputs, device):
    """Makes a tensor for every described output, and fills in its address."""
    result = []
    for output in outputs:
        shape = tuple(output.sizes[: output.rank])
        result.append(allocate(torch, shape, getattr(torch, _NAMES[ELEMENTS[output.element]]), device))
        output.data = result[-1].data_ptr() or None
    return result
