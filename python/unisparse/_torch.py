# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""torch's side: tensors as the runtime sees them. torch itself is never imported here, only found where it is."""

from __future__ import annotations

import functools
import sys
from typing import Any, Callable, Mapping, Optional, Sequence, Tuple

from ._errors import Status, unexpected
from ._runtime import ELEMENTS, MAX_RANK, Tensor

NAMES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i32": "int32"}
_ELEMENTS = {f"torch.{name}": element for element, name in NAMES.items()}

# Where tensors of compiled programs are; a test without a GPU may say otherwise.
DEVICE_TYPE = "cuda"


def torch_of(x: Any) -> Any:
    """The torch module whose tensor x is, or None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(x, getattr(torch, "Tensor", ())) else None


def element(x: Any) -> Optional[str]:
    """ "bf16" and so on; None for a type that no artifact takes."""
    return _ELEMENTS.get(str(x.dtype))


def state(x: Any) -> Tuple[Any, ...]:
    """All that a plan depends on, hashable. Raises for what is no strided tensor."""
    return type(x), x.shape, x.stride(), x.dtype, x.device, x.layout, x.is_neg()


def expect_memory(name: str, x: Any) -> None:
    """Plain memory: what a tensor holds is what lies there."""
    torch = torch_of(x)
    if x.layout != torch.strided:
        raise unexpected(name, "a strided tensor (x.to_dense() makes one)", f"one of layout {x.layout}", Status.BAD_SHAPE)
    if type(x).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        raise unexpected(
            name,
            "a tensor with memory of its own (under torch.compile and for wrapped tensors torch.ops.unisparse is the way)",
            f"a {type(x).__name__}",
        )
    if x.is_neg() or x.is_conj():
        raise unexpected(name, "a tensor without pending negation (x.resolve_neg() carries it out)", "one with the negative bit")


def expect_no_gradient(named: Mapping[str, Any]) -> None:
    for name, x in named.items():
        if x.requires_grad and torch_of(x).is_grad_enabled():
            raise unexpected(name, "a tensor without gradient, or torch.no_grad(): there is no backward pass", "requires_grad=True")


def expect(named: Mapping[str, Any], device_type: str) -> Any:
    """All tensors on one device of that type, none that wants a gradient. named: {argument: tensor} -> the device."""
    (first, leader), *_ = named.items()
    for name, x in named.items():
        if torch_of(x) is None:
            raise unexpected(name, f"a torch tensor, as {first} is", type(x).__name__)
        if x.device.type != device_type:
            wanted = f"a tensor on {'CUDA' if device_type == 'cuda' else device_type}"
            raise unexpected(name, wanted, f"one on {x.device}", Status.WRONG_DEVICE)
        if x.device != leader.device:
            raise unexpected(name, f"a tensor on {leader.device}, as {first}", f"one on {x.device}", Status.WRONG_DEVICE)
        expect_memory(name, x)
    expect_no_gradient(named)
    return leader.device


def describe(name: str, x: Any) -> Tensor:
    """A torch tensor as unisparse_tensor: its own memory, sizes and strides."""
    kind = element(x)
    if kind is None:
        raise unexpected(name, "elements of " + ", ".join(NAMES.values()), x.dtype, Status.BAD_SHAPE)
    if x.dim() > MAX_RANK:
        raise unexpected(name, f"at most {MAX_RANK} dimensions", x.dim(), Status.BAD_SHAPE)
    result = Tensor(data=address(name, x), element=ELEMENTS.index(kind), rank=x.dim())
    result.sizes[: x.dim()] = list(x.shape)
    result.strides[: x.dim()] = list(x.stride())
    return result


def address(name: str, x: Any) -> Any:
    try:
        return x.data_ptr() or None
    except RuntimeError as error:  # Fake, functional and batched tensors.
        raise unexpected(name, "a tensor with memory of its own", str(error).splitlines()[0]) from None


def reach(x: Any) -> Tuple[int, int]:
    """The addresses from the first byte of x to behind the last: 0 and 0 where it has none."""
    if not all(x.shape):
        return 0, 0
    first = x.data_ptr()
    return first, first + (1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride()))) * x.element_size()


def apart(out: Any, inputs: Sequence[Any]) -> bool:
    """Whether out lies outside of all that the inputs reach."""
    first, last = reach(out)
    return all(last <= a or b <= first for a, b in map(reach, inputs))


def allocate(torch: Any, sizes: Any, dtype: Any, device: Any) -> Any:
    """Memory of an output or of a workspace, from torch's caching allocator: unspecified contents. Tests put their own here."""
    return torch.empty(sizes, dtype=dtype, device=device)


def maker(q: Any, kind: str, sizes: Sequence[int]) -> Callable[[], Any]:
    """Of new tensors beside q."""
    torch = torch_of(q)
    return functools.partial(allocate, torch, tuple(sizes), getattr(torch, NAMES[kind]), q.device)


def stream_of(torch: Any, device: Any) -> Any:
    """The address of the device's current stream: read from torch directly where it says how, as its own compiler does."""
    if device.index is None:  # Of the CPU, which stands for a GPU where there is none.
        return 0
    raw = getattr(getattr(torch, "_C", None), "_cuda_getCurrentRawStream", None)
    return raw(device.index) if raw else torch.cuda.current_stream(device).cuda_stream


