# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The door of torch's CPU tensors."""

from __future__ import annotations

import sys
from typing import Any, Dict, Mapping, Sequence, Tuple

from . import _host, _torch
from ._config import Config

element, describe = _torch.element, _torch.describe


def expect(named: Mapping[str, Any]) -> None:
    _torch.expect(named, "cpu")


def run(config: Config, tensors: Mapping[str, Any], out: Any = None) -> Dict[str, Any]:
    return _host.run(sys.modules[__name__], config, tensors, out)


def numbers(x: Any) -> Any:
    return x.detach().numpy()


def readable(x: Any, strided: bool) -> Any:
    """x as programs read it: rows one after another or, `strided`, apart; x itself where it is that."""
    if x.is_contiguous() or strided and (x.shape[-1] < 2 or x.stride(-1) == 1):
        return x
    return x.detach().contiguous()


def empty(q: Any, kind: str, shape: Tuple[int, ...]) -> Any:
    torch = _torch.torch_of(q)
    return torch.empty(shape, dtype=getattr(torch, _torch.NAMES[kind]))


def may_be_written(out: Any, inputs: Sequence[Any]) -> bool:
    """Whether a program may write it while it reads those."""
    memory = out.untyped_storage().data_ptr()
    return bool(out.is_contiguous()) and all(x.untyped_storage().data_ptr() != memory for x in inputs)


def threads(q: Any) -> int:
    """As torch has it: torch.set_num_threads."""
    return int(_torch.torch_of(q).get_num_threads())
