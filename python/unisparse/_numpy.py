# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The door of NumPy arrays: the installed program unisparse-run on temporary files. For small things and for checking:
every call writes the tensors to a file, starts a process that compiles for this CPU, and reads the results back."""

import json
import pathlib
import struct
import tempfile

import numpy

from . import _artifacts
from ._errors import Error, Status, unexpected

# Element types by NumPy's name: in an artifact, in a file. NumPy has bfloat16 only where ml_dtypes has brought it.
_TYPES = {"float32": ("f32", "F32"), "float16": ("f16", "F16"), "bfloat16": ("bf16", "BF16"), "int32": ("i32", "I32")}


def element(x):
    return _TYPES.get(x.dtype.name, (None,))[0]


def expect(named):
    for name, x in named.items():
        if not isinstance(x, numpy.ndarray):
            raise unexpected(name, "a NumPy array, as q is", type(x).__name__)


def write(path, tensors):
    """A safetensors file: the size of a JSON header, the header, the bytes."""
    header, data = {}, []
    end = 0
    for name, x in tensors.items():
        data.append(numpy.ascontiguousarray(x).tobytes())
        header[name] = {"dtype": _TYPES[x.dtype.name][1], "shape": list(x.shape), "data_offsets": [end, end + len(data[-1])]}
        end += len(data[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def read(path, dtype):
    """{name: array}; dtype: what the elements of o are, as the file's BF16 is no type of NumPy's own."""
    content = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    types = {"F32": numpy.float32, "I32": numpy.int32, _TYPES[dtype.name][1]: dtype}
    result = {}
    for name, entry in json.loads(content[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + x for x in entry["data_offsets"])
            result[name] = numpy.frombuffer(content[begin:end], types[entry["dtype"]]).reshape(entry["shape"]).copy()
    return result


def run(config, tensors):
    program = _artifacts.tool("unisparse-run", "UNISPARSE_RUN")
    if not program:
        raise Error("unisparse-run: expected the program in PATH or UNISPARSE_RUN, got neither", Status.BAD_FILE)
    slots = _Slots(config, tensors)
    with tempfile.TemporaryDirectory(prefix="unisparse-") as folder:
        files = {name: f"{folder}/{name}.safetensors" for name in ("in", "selection", "out")}
        write(files["in"], {name: x for name, x in tensors.items() if name not in ("counts", "indices")})
        options = config.computation()
        if not config.rule:
            write(files["selection"], slots.to_file({name: tensors[name] for name in ("counts", "indices")}))
            options.append(f"--selection={files['selection']}")
        _artifacts.run([program, files["in"], *options, f"--output={files['out']}", "--json"], "CPU")
        return slots.from_file(read(files["out"], tensors["q"].dtype))


class _Slots:
    """Selections of files and of compiled programs differ in two ways: a file has a selection for every query head, and
    in a packed batch the rows of the sequences without the spare ones that compiled programs have between them."""

    def __init__(self, config, tensors):
        self.heads, self.selections = config.heads, config.selections
        (bq, bk), ends = config.block, tensors.get("cu_seqlens_q")
        self.columns = -(-tensors["k"].shape[2] // bk)
        self.rows = None  # Where the rows of a file stand, None for one after another.
        if ends is not None:
            ends = ends.astype(numpy.int64)
            self.slots = tensors["q"].shape[2] // bq + max(len(ends) - 1, 0)
            self.rows = [
                int(begin // bq + s + r) for s, (begin, end) in enumerate(zip(ends, ends[1:])) for r in range(-((begin - end) // bq))
            ]

    def to_file(self, selection):
        result = {}
        for name, x in selection.items():
            if self.rows is not None:
                if self.rows and max(self.rows) >= x.shape[2]:
                    raise unexpected(name, f"[A4] {self.slots} rows", x.shape[2], Status.BAD_SHAPE)
                x = x[:, :, self.rows]
            result[name] = numpy.repeat(x, self.heads // self.selections, 1)
        return result

    def from_file(self, results):
        for name in ("counts", "indices"):
            x = results[name][:, :: self.heads // self.selections]
            if self.rows is not None:
                spread = numpy.zeros((*x.shape[:2], self.slots, *x.shape[3:]), numpy.int32)
                spread[:, :, self.rows] = x
                x = spread
            results[name] = numpy.ascontiguousarray(x)
        missing = self.columns - results["indices"].shape[3]  # A file has as many as the longest sequence needs.
        results["indices"] = numpy.pad(results["indices"], ((0, 0), (0, 0), (0, 0), (0, missing)))
        return results
