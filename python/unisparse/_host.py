# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors in host memory: the installed program unisparse-run on temporary files. For small things and for checking:
every call writes the tensors to a file, starts a process that compiles for this CPU, and reads the results back."""

from __future__ import annotations

import tempfile
from typing import Any, Dict, Mapping

from . import _compiler
from ._config import Config
from ._errors import Error, Status, unexpected
from ._safetensors import Host, read, write


def run(config: Config, tensors: Mapping[str, Host]) -> Dict[str, Host]:
    _check_ends(tensors)
    program = _compiler.tool("unisparse-run", "UNISPARSE_RUN")
    if not program:
        raise Error("unisparse-run: expected the program in PATH or UNISPARSE_RUN, got neither", Status.BAD_FILE)
    slots = _Slots(config, tensors)
    try:
        with tempfile.TemporaryDirectory(prefix="unisparse-") as folder:
            return slots.from_file(_run_in(folder, program, config, tensors, slots))
    except OSError as error:
        raise Error(f"temporary files: expected room for the tensors, got {error}", Status.BAD_FILE) from None


def _run_in(folder: str, program: str, config: Config, tensors: Mapping[str, Host], slots: _Slots) -> Dict[str, Host]:
    files = {name: f"{folder}/{name}.safetensors" for name in ("in", "selection", "out")}
    write(files["in"], {name: x for name, x in tensors.items() if name not in ("counts", "indices")})
    options = config.computation()
    if not config.rule:
        write(files["selection"], slots.to_file({name: tensors[name].data for name in ("counts", "indices")}))
        options.append(f"--selection={files['selection']}")
    try:
        _compiler.run([program, files["in"], *options, f"--output={files['out']}", "--json"], "CPU")
    except Error as error:  # Of files that nobody sees, the tensor's name is enough.
        said = str(error)
        for path in files.values():
            said = said.replace(f"{path}: ", "")
        raise Error(said, error.status) from None
    return read(files["out"])


def _check_ends(tensors: Mapping[str, Host]) -> None:
    """I8, before anything is made of the ends: they say how many rows a selection has."""
    entries = [len(x.data) for name, x in tensors.items() if name.startswith("cu_seqlens")]
    if not entries:
        return
    if tensors["q"].data.shape[0] != 1:
        raise unexpected("q", "[I8] batch 1 beside cu_seqlens", tensors["q"].data.shape[0], Status.BAD_SHAPE)
    for name, of in (("cu_seqlens_q", "q"), ("cu_seqlens_k", "k")):
        ends, length = tensors[name].data.astype("int64"), tensors[of].data.shape[2]
        if not len(ends):
            raise unexpected(name, "[I8] S + 1 ends of S sequences", "none", Status.BAD_SHAPE)
        if ends[0] != 0:
            raise unexpected(name, "[I8] to start with 0", ends[0], Status.BAD_SHAPE)
        for n in (ends[1:] < ends[:-1]).nonzero()[0][:1]:
            raise unexpected(name, "[I8] no entry below the one before", f"{ends[n + 1]} behind {ends[n]}", Status.BAD_SHAPE)
        if ends[-1] != length:
            raise unexpected(name, f"[I8] to end with the length {length}", ends[-1], Status.BAD_SHAPE)
    if entries[0] != entries[1]:
        raise unexpected("cu_seqlens_k", f"[I8] as many entries as cu_seqlens_q, {entries[0]}", entries[1], Status.BAD_SHAPE)


class _Slots:
    """Selections of files and of compiled programs differ in two ways: a file has a selection for every query head, and
    in a packed batch the rows of the sequences without the spare ones that compiled programs have between them."""

    def __init__(self, config: Config, tensors: Mapping[str, Host]) -> None:
        self.heads, self.selections = config.heads, config.selections
        bq, bk = config.block
        self.columns = -(-tensors["k"].data.shape[2] // bk)
        self.rows = None  # Where the rows of a file stand, None for one after another.
        if "cu_seqlens_q" in tensors:
            ends = tensors["cu_seqlens_q"].data.tolist()
            self.slots = tensors["q"].data.shape[2] // bq + len(ends) - 1
            self.rows = [begin // bq + s + r for s, (begin, end) in enumerate(zip(ends, ends[1:])) for r in range(-((begin - end) // bq))]

    def to_file(self, selection: Mapping[str, Any]) -> Dict[str, Host]:
        result = {}
        for name, x in selection.items():
            if self.rows is not None:
                if x.shape[2] != self.slots:
                    raise unexpected(name, f"[A4] {self.slots} rows (slots of a packed batch)", x.shape[2], Status.BAD_SHAPE)
                x = x[:, :, self.rows]
            result[name] = Host("i32", x.repeat(self.heads // self.selections, 1))
        return result

    def from_file(self, results: Dict[str, Host]) -> Dict[str, Host]:
        import numpy

        for name in ("counts", "indices"):
            x = results[name].data[:, :: self.heads // self.selections]
            if self.rows is not None:
                spread = numpy.zeros((*x.shape[:2], self.slots, *x.shape[3:]), numpy.int32)
                spread[:, :, self.rows] = x
                x = spread
            if name == "indices":  # A file has as many as the longest sequence needs.
                x = numpy.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.columns - x.shape[3])))
            results[name] = Host("i32", numpy.ascontiguousarray(x))
        return results
