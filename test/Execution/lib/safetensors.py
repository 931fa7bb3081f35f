# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A minimal reader and writer of safetensors files, and rounding to their element types.

An element type goes by its name in the format. NumPy has no bf16: a BF16 tensor is a float32 array here, whose values
are bf16's.
"""

import collections
import json
import struct

import numpy as np

Tensor = collections.namedtuple("Tensor", ["dtype", "data"])

_STORAGE = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1"}

# Half the distance between 1 and the next number: what one rounding costs, relative to the value.
UNIT_ROUNDOFF = {"F32": 2.0**-24, "F16": 2.0**-11, "BF16": 2.0**-8}


def bf16_bits(x):
    """float -> the uint16 of the nearest bf16, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FC0), rounded)


def bf16_values(bits):
    """The inverse of bf16_bits, exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def round_to(x, dtype):
    """The values of x as `dtype` holds them, in an array of x's own type."""
    x = np.asarray(x)
    if dtype == "BF16":
        return bf16_values(bf16_bits(x)).astype(x.dtype)
    return x.astype(_STORAGE[dtype]).astype(x.dtype)


def encode(tensor):
    """The bytes of a tensor's data."""
    data = bf16_bits(tensor.data) if tensor.dtype == "BF16" else tensor.data
    return np.ascontiguousarray(data, _STORAGE[tensor.dtype]).tobytes()


def pack(header, data, align=8):
    """A file's bytes from a header (an object, or raw bytes) and its data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % align)
    return struct.pack("<Q", len(text)) + text + data


def serialize(tensors, metadata=None, align=8):
    """{name: Tensor} -> a file's bytes. Data is laid out in the order given; align=1 leaves the header unpadded."""
    header, data = {} if metadata is None else {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        raw = encode(tensor)
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(np.shape(tensor.data)),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return pack(header, data, align)


def write(path, tensors, **options):
    with open(path, "wb") as file:
        file.write(serialize(tensors, **options))


def read(path):
    """A file -> {name: Tensor}. Raises ValueError where the file is not sound."""
    with open(path, "rb") as file:
        content = file.read()
    if len(content) < 8:
        raise ValueError(f"{path}: {len(content)} bytes")
    (size,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + size].decode("utf-8")), content[8 + size :]
    header.pop("__metadata__", None)
    tensors, covered = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if begin != covered or end > len(data):
            raise ValueError(f"{path}: tensor {name!r} at [{begin}, {end}), expected it to begin at {covered}")
        covered = end
        raw = np.frombuffer(data[begin:end], _STORAGE[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = Tensor(entry["dtype"], bf16_values(raw) if entry["dtype"] == "BF16" else raw)
    if covered != len(data):
        raise ValueError(f"{path}: {len(data) - covered} bytes behind the last tensor")
    return tensors
