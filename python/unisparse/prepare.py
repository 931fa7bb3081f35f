# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles artifacts ahead of time, for machines without the compiler.

    python -m unisparse prepare --list SPEC.json --out DIR [--chips sm_80,sm_90a] [--cpu x86-64-v3] [--jobs 2]

SPEC.json is a list of objects. Each has heads, kv_heads, head_dim and dtype ("f32", "f16", "bf16"), may have value_dim
(head_dim unless given) and packed (true for cu_seqlens), and the options of unisparse.attention by their names. With
selection_heads (heads or kv_heads) it is a program of unisparse.block_sparse_attention instead, with stage ("pool" or
"select") that stage of attention, which unisparse.distributed runs by rows. DIR then serves as UNISPARSE_ARTIFACTS. Every file is compiled anew: what lies in DIR may be another compiler's, or for other chips. With
--cpu there is a program for CPUs of that level beside each; --chips "" leaves out those for GPUs.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import pathlib
import sys
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from . import _artifacts, _config
from ._attention import attention, block_sparse_attention
from ._errors import Error, unexpected


def configuration(entry: Any) -> _config.Config:
    """An object of SPEC.json -> Config."""
    if not isinstance(entry, dict):
        raise unexpected("entry", "an object with heads, kv_heads, head_dim, dtype and options", json.dumps(entry))
    entry = dict(entry)
    heads, kv_heads, head_dim = (_config.integer(name, entry.pop(name, None), 1) for name in ("heads", "kv_heads", "head_dim"))
    value_dim = _config.integer("value_dim", entry.pop("value_dim", head_dim), 1)
    if heads % kv_heads:
        raise unexpected("kv_heads", f"[I3] a number that divides heads, {heads}", kv_heads)
    dtype = _config.choice("dtype", entry.pop("dtype", None), ("f32", "f16", "bf16"))
    packed = _config.flag("packed", entry.pop("packed", False))
    selections = entry.pop("selection_heads", None)
    stage = _config.choice("stage", entry.pop("stage", None), (None, "pool", "select"))
    if stage and selections is not None:
        raise unexpected("stage", "none beside selection_heads", repr(stage))
    function: Any = attention if selections is None else block_sparse_attention
    options = {name: value for name, value in function.__kwdefaults__.items() if name not in ("cu_seqlens", "layout", "out")}
    for name in entry:
        if name not in options:
            raise unexpected(name, f"an option of {function.__name__}: {', '.join(options)}", "none")
    options.update(entry)
    if selections is not None:
        options["selections"] = _config.choice("selection_heads", selections, (heads, kv_heads))
    made = _config.make(heads, kv_heads, head_dim, value_dim, dtype, packed, **options)
    return made.pool() if stage == "pool" else made.select() if stage == "select" else made


def read(path: Union[str, pathlib.Path]) -> List[_config.Config]:
    """The configurations of a SPEC.json."""
    try:
        entries = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise unexpected(str(path), "a file that can be read", error.strerror) from None
    except (ValueError, RecursionError) as error:
        raise unexpected(str(path), "JSON", error) from None
    if not isinstance(entries, list):
        raise unexpected(str(path), "a list of objects", f"a JSON {'object' if isinstance(entries, dict) else json.dumps(entries)}")
    result = []
    for n, entry in enumerate(entries):
        try:
            result.append(configuration(entry))
        except Error as error:
            raise Error(f"{path}: entry {n}: {error}", error.status) from None
    return result


def prepare(
    configs: Iterable[_config.Config],
    folder: Union[str, os.PathLike[str]],
    chips: Sequence[str],
    jobs: int = 1,
    report: Callable[[str], object] = print,
    cpu: Optional[str] = None,
) -> Dict[str, str]:
    """Compiles each configuration into folder, for GPUs where there are chips, for CPUs where there is a level -> {file
    name: what went wrong}."""
    place = pathlib.Path(folder)
    targets = ([_artifacts.gpus(chips)] if chips else []) + ([_artifacts.cpu(cpu)] if cpu else [])

    def one(wanted: Tuple[_config.Config, _artifacts.Target]) -> Tuple[str, Optional[str]]:
        config, target = wanted
        name = config.file_name(target.suffix)
        try:
            _artifacts.compile(config, place / name, target)
            return name, None
        except Error as error:
            return name, str(error) if str(error).startswith(name) else f"{name}: {error}"

    if not _artifacts.compiler():
        raise unexpected("compiler", "unisparse-compile in PATH or UNISPARSE_COMPILE", "neither")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unexpected(str(place), "a folder that can be made", error.strerror) from None
    failures, wanted = {}, [(config, target) for config in dict.fromkeys(configs) for target in targets]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for done, (name, failure) in enumerate(pool.map(one, wanted), 1):
            report(f"[{done}/{len(wanted)}] {failure or name}")
            if failure:
                failures[name] = failure
    return failures


def main(words: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m unisparse prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", required=True, type=pathlib.Path, help="configurations, JSON")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder for the artifacts")
    parser.add_argument("--chips", default=",".join(_artifacts.chips()), help="what unisparse-compile's --chip takes, one or more")
    parser.add_argument("--cpu", help="what unisparse-compile's --cpu takes: programs for CPUs of this level too")
    parser.add_argument("--jobs", type=int, default=1, help="compilers at a time")
    arguments = parser.parse_args(words)
    try:
        jobs = _config.integer("--jobs", arguments.jobs, 1)
        failures = prepare(read(arguments.list), arguments.out, _artifacts.split(arguments.chips), jobs, cpu=arguments.cpu)
    except Error as error:
        sys.exit(f"prepare: {error}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
