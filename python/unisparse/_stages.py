# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Stages of attention as programs of their own, for those who hold parts of a sequence: k to composite keys, and from q and
composite keys to a selection. Torch tensors, which are right: the caller has checked them."""

from __future__ import annotations

import ctypes
from typing import Any, Dict, List, Mapping, Tuple

from . import _cpu, _host, _program, _torch
from ._checks import backend_of
from ._config import Config
from ._runtime import Tensor, check


def pool(config: Config, k: Any) -> Any:
    """Composites of k [B, Hkv, L, D], whose first token begins one."""
    return _run(config.pool(), {"k": k})["composites"]


def select(config: Config, q: Any, k: Any, composites: Any, tables: Mapping[str, Any]) -> Tuple[Any, Any]:
    """counts and indices of q's rows. Of k only the length is read; of the tables what the estimate reads (M6)."""
    found = _run(config.select(), {"q": q, "k": k, "composites": composites, **tables})
    return found["counts"], found["indices"]


def _run(config: Config, named: Mapping[str, Any]) -> Dict[str, Any]:
    first = next(iter(named.values()))
    if backend_of("k", first) is _cpu:
        return _on_host(config, named)
    program = _program.program_for(config)
    loaded = program.loaded(first.device.index or 0)
    outputs = program(*(named[name] for name, _, _ in loaded.inputs))
    return {name: x for (name, _, _), x in zip(loaded.outputs, outputs)}


def _on_host(config: Config, named: Mapping[str, Any]) -> Dict[str, Any]:
    program, torch = _host.program_for(config), _torch.torch_of(next(iter(named.values())))
    given = [_cpu.readable(named[name], strided=True) for name, _, _ in program.inputs]
    inputs = (Tensor * len(given))(*(_cpu.describe(name, x) for (name, _, _), x in zip(program.inputs, given)))
    outputs = program.prepare(inputs)
    made: List[Any] = []
    for (_, kind, rank), place in zip(program.outputs, outputs):
        made.append(_cpu.maker(given[0], kind, place.sizes[:rank])())
        place.data = made[-1].data_ptr()
    addresses = ctypes.addressof(inputs), ctypes.addressof(outputs)
    check(program.run(program.handle, addresses[0], len(given), addresses[1], len(made), _cpu.threads(torch)))
    return {name: x for (name, _, _), x in zip(program.outputs, made)}
