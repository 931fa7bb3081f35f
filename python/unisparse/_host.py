# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors in host memory: a program for this CPU, run in this process on the memory that they have."""

from __future__ import annotations

import threading
from typing import Any, Dict, Mapping

from . import _artifacts
from ._config import Config
from ._errors import Error, Status, unexpected
from ._library import Library
from ._runtime import Tensor

_programs: Dict[Config, Library] = {}
_lock = threading.Lock()


def program_for(config: Config) -> Library:
    """The program of a configuration, found or compiled by the first call with it."""
    return _artifacts.once(_programs, _lock, config, lambda: Library(_artifacts.find(config, _artifacts.cpu())))


def run(door: Any, config: Config, tensors: Mapping[str, Any], out: Any) -> Dict[str, Any]:
    """`door`: the module of the tensors' kind, _numpy or _cpu. `out` becomes o where programs can write it."""
    _check_ends(door, tensors)
    if not config.rule:
        _check_selection(door, config, tensors)
    program = program_for(config)
    names = [name for name, _, _ in program.inputs]
    if set(names) != set(tensors):
        raise Error(f"{program.path}: expected the inputs {', '.join(tensors)}, got {', '.join(names)}", Status.BAD_ARTIFACT)
    # q, k and v may lie as they do; what is copied lives until the program has run.
    given = [door.readable(tensors[name], strided=name in ("q", "k", "v")) for name in names]
    inputs = (Tensor * len(given))(*map(door.describe, names, given))
    outputs, results = program.prepare(inputs), {}
    for (name, kind, rank), place in zip(program.outputs, outputs):
        if name == "o" and out is not None and door.may_be_written(out, given):
            result = out
        else:
            result = door.empty(tensors["q"], kind, tuple(place.sizes[:rank]))
        place.data = door.describe(name, result).data
        results[name] = result
    program.run(inputs, outputs, door.threads(tensors["q"]))
    return results


def _check_ends(door: Any, tensors: Mapping[str, Any]) -> None:
    """I8, before anything is made of the ends: they say how many rows a selection has."""
    arrays = {name: door.numbers(x) for name, x in tensors.items() if name.startswith("cu_seqlens")}
    if not arrays:
        return
    if tensors["q"].shape[0] != 1:
        raise unexpected("q", "[I8] batch 1 beside cu_seqlens", tensors["q"].shape[0], Status.BAD_SHAPE)
    for (name, x), of in zip(arrays.items(), "qk"):
        ends, length = x.astype("int64"), tensors[of].shape[2]
        if not len(ends):
            raise unexpected(name, "[I8] S + 1 ends of S sequences", "none", Status.BAD_SHAPE)
        if ends[0] != 0:
            raise unexpected(name, "[I8] to start with 0", ends[0], Status.BAD_SHAPE)
        for n in (ends[1:] < ends[:-1]).nonzero()[0][:1]:
            raise unexpected(name, "[I8] no entry below the one before", f"{ends[n + 1]} behind {ends[n]}", Status.BAD_SHAPE)
        if ends[-1] != length:
            raise unexpected(name, f"[I8] to end with the length {length}", ends[-1], Status.BAD_SHAPE)
    first, second = map(len, arrays.values())
    if first != second:
        raise unexpected("cu_seqlens_k", f"[I8] as many entries as cu_seqlens_q, {first}", second, Status.BAD_SHAPE)


def _limits(door: Any, config: Config, tensors: Mapping[str, Any]) -> Any:
    """Key blocks of the sequence that each row of a selection belongs to; none where no sequence has the row."""
    import numpy

    bq, bk = config.block
    lengths = tensors["q"].shape[2], tensors["k"].shape[2]
    if "cu_seqlens_q" not in tensors:
        return numpy.full(-(-lengths[0] // bq), -(-lengths[1] // bk))
    q, k = (door.numbers(tensors[f"cu_seqlens_{of}"]).tolist() for of in "qk")
    limits = numpy.full(lengths[0] // bq + len(q) - 1, -1)
    for s in range(len(q) - 1):
        first = q[s] // bq + s
        limits[first : first - (q[s] - q[s + 1]) // bq] = -((k[s] - k[s + 1]) // bk)
    return limits


def _check_selection(door: Any, config: Config, tensors: Mapping[str, Any]) -> None:
    """L6: compiled code goes where a selection sends it."""
    import numpy

    counts, indices = (door.numbers(tensors[name]) for name in ("counts", "indices"))
    limits = _limits(door, config, tensors)
    if counts.shape[2] != len(limits):
        raise unexpected("counts", f"[A4] {len(limits)} rows (slots of a packed batch)", counts.shape[2], Status.BAD_SHAPE)
    owned, columns = limits >= 0, indices.shape[3]
    most = numpy.minimum(limits, columns)
    for b, h, r in numpy.argwhere(owned & ((counts < 0) | (counts > most)))[:1]:
        raise unexpected("counts", f"[L6] a count in [0, {most[r]}] {_place(b, h, r)}", counts[b, h, r], Status.BAD_SHAPE)
    used = owned[:, None] & (numpy.arange(columns) < counts[..., None])
    for b, h, r, n in numpy.argwhere(used & ((indices < 0) | (indices >= limits[:, None])))[:1]:
        raise unexpected("indices", f"[L6] key blocks in [0, {limits[r]}) {_place(b, h, r)}", indices[b, h, r, n], Status.BAD_SHAPE)
    for b, h, r, n in numpy.argwhere(used[..., 1:] & (indices[..., 1:] <= indices[..., :-1]))[:1]:
        got = f"{indices[b, h, r, n + 1]} behind {indices[b, h, r, n]}"
        raise unexpected("indices", f"[L6] ascending key blocks {_place(b, h, r)}", got, Status.BAD_SHAPE)


def _place(b: int, h: int, r: int) -> str:
    return f"in batch {b}, head {h}, row {r}"
