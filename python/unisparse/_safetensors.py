# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The files that unisparse-run reads and writes: arrays of NumPy's own types, bfloat16 as its bits."""

from __future__ import annotations

import json
import pathlib
import struct
import sys
from typing import Any, Dict, Mapping, NamedTuple

# By element type of an artifact: the file's name of it, NumPy's for its little-endian bits.
_TYPES = {"f32": ("F32", "<f4"), "f16": ("F16", "<f2"), "bf16": ("BF16", "<u2"), "i32": ("I32", "<i4")}
_KINDS = {name: (kind, bits) for kind, (name, bits) in _TYPES.items()}


class Host(NamedTuple):
    """An array in host memory: its element type ("bf16"), and the array, bfloat16 as uint16."""

    kind: str
    data: Any


def write(path: str, tensors: Mapping[str, Host]) -> None:
    """The size of a JSON header, the header, the bytes."""
    import numpy

    header, data, end = {}, [], 0
    for name, (kind, x) in tensors.items():
        # Whatever order its bytes have and its dimensions lie in.
        data.append(numpy.ascontiguousarray(x, _TYPES[kind][1]).tobytes())
        header[name] = {"dtype": _TYPES[kind][0], "shape": list(x.shape), "data_offsets": [end, end + len(data[-1])]}
        end += len(data[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def read(path: str) -> Dict[str, Host]:
    import numpy

    content = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    result = {}
    for name, entry in json.loads(content[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + x for x in entry["data_offsets"])
            kind, bits = _KINDS[entry["dtype"]]
            x = numpy.frombuffer(content[begin:end], bits).reshape(entry["shape"])
            result[name] = Host(kind, x.astype(x.dtype.newbyteorder(sys.byteorder)))
    return result
