# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The backend of torch's CPU tensors."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from . import _torch

element, describe, maker = _torch.element, _torch.describe, _torch.maker


def expect(named: Mapping[str, Any]) -> None:
    _torch.expect(named, "cpu")


def address(x: Any) -> Any:
    return x.data_ptr()


def readable(x: Any, strided: bool) -> Any:
    """x as programs read it: rows one after another or, `strided`, apart; x itself where it is that."""
    if x.is_contiguous() or strided and (x.shape[-1] < 2 or x.stride(-1) == 1):
        return x
    return x.detach().contiguous()


def may_be_written(out: Any, inputs: Sequence[Any]) -> bool:
    """Whether a program may write it while it reads those: rows that follow one another or lie apart."""
    return (out.shape[-1] < 2 or out.stride(-1) == 1) and _torch.apart(out, inputs)


def threads(torch: Any) -> int:
    """As torch has it: torch.set_num_threads."""
    return int(torch.get_num_threads())
