# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The door of NumPy arrays. NumPy is never imported before there is one."""

from __future__ import annotations

import sys
from typing import Any, Dict, Mapping, Optional

from . import _host
from ._config import Config
from ._errors import unexpected
from ._safetensors import Host

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


def _to_host(x: Any) -> Host:
    import numpy

    x, kind = numpy.asarray(x), _KINDS[x.dtype.name]
    x = x.astype(x.dtype.newbyteorder("="), copy=False)
    return Host(kind, x.view(numpy.uint16) if kind == "bf16" else x)


def run(config: Config, tensors: Mapping[str, Any]) -> Dict[str, Any]:
    results = _host.run(config, {name: _to_host(x) for name, x in tensors.items()})
    bits = tensors["q"].dtype.newbyteorder("=")
    return {name: x.data.view(bits) if x.kind == "bf16" else x.data for name, x in results.items()}
