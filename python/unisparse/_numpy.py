# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The backend of NumPy arrays. NumPy is never imported before there is one."""

from __future__ import annotations

import functools
import sys
from typing import Any, Callable, Mapping, Optional, Sequence, Tuple

from ._errors import unexpected
from ._runtime import ELEMENTS, Tensor

# NumPy has bfloat16 only where ml_dtypes has brought it. A name stands for both orders of bytes.
_KINDS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "int32": "i32"}


def is_array(x: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(x, numpy.ndarray)


def element(x: Any) -> Optional[str]:
    return _KINDS.get(x.dtype.name)


def expect(named: Mapping[str, Any]) -> None:
    """Arrays that hold what lies in their memory, in whatever order of bytes and dimensions."""
    import numpy

    for name, x in named.items():
        if not is_array(x):
            raise unexpected(name, "a NumPy array, as q is", type(x).__name__)
        if numpy.ma.is_masked(x):
            raise unexpected(name, "an array without masked elements (x.filled(value) makes one)", f"{int(numpy.ma.getmaskarray(x).sum())} of them")


def state(x: Any) -> Tuple[Any, ...]:
    """All that a plan depends on, hashable. Raises for what is no plain array: a mask may change."""
    if type(x) is not sys.modules["numpy"].ndarray:
        raise TypeError
    return x.shape, x.strides, x.dtype, x.flags.aligned


def address(x: Any) -> Any:
    return x.__array_interface__["data"][0]


def readable(x: Any, strided: bool) -> Any:
    """x as programs read it: this machine's order of bytes, rows one after another or, `strided`, apart; x itself where it
    is that."""
    import numpy

    x = numpy.asarray(x)
    plain = x.dtype.isnative and x.flags.aligned
    if plain and (x.flags.c_contiguous or strided and _has_rows(x)):
        return x
    return x.astype(x.dtype.newbyteorder("="), order="C")


def _has_rows(x: Any) -> bool:
    size = x.itemsize
    return (x.shape[-1] < 2 or x.strides[-1] == size) and all(stride >= 0 and stride % size == 0 for stride in x.strides)


def describe(name: str, x: Any) -> Tensor:
    size, rank = x.itemsize, x.ndim
    result = Tensor(data=address(x), element=ELEMENTS.index(_KINDS[x.dtype.name]), rank=rank)
    result.sizes[:rank] = x.shape
    result.strides[:rank] = [stride // size for stride in x.strides]
    return result


def maker(q: Any, kind: str, sizes: Sequence[int]) -> Callable[[], Any]:
    """Of new arrays beside q: of its type, or what else results are of."""
    import numpy

    types = {"f32": numpy.float32, "i32": numpy.int32}
    return functools.partial(numpy.empty, tuple(sizes), q.dtype.newbyteorder("=") if kind == element(q) else types[kind])


def may_be_written(out: Any, inputs: Sequence[Any]) -> bool:
    """Whether a program may write it while it reads those: rows that follow one another or lie apart."""
    import numpy

    plain = out.flags.aligned and out.dtype.isnative and (out.flags.c_contiguous or _has_rows(out))
    return plain and not any(numpy.may_share_memory(out, x) for x in inputs)


def threads(torch: Any) -> int:
    """As OpenMP has it: OMP_NUM_THREADS, or what a library that sets it for this thread said."""
    return 0
