# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles artifacts ahead of time, for machines without the compiler.

    python -m unisparse.prepare --list SPEC.json --out DIR [--chips sm_80,sm_90a] [--jobs 2]

SPEC.json is a list of objects. Each has heads, kv_heads, head_dim and dtype ("f32", "f16", "bf16"), may have value_dim
(head_dim unless given) and packed (true for cu_seqlens), and the options of unisparse.attention by their names. With
selection_heads (heads or kv_heads) it is a program of unisparse.block_sparse_attention instead. DIR then serves as
UNISPARSE_ARTIFACTS.
"""

import argparse
import concurrent.futures
import json
import pathlib
import sys

from . import _artifacts, _config
from ._attention import attention, block_sparse_attention
from ._errors import Error, unexpected


def configuration(entry):
    """An object of SPEC.json -> Config."""
    entry = dict(entry)
    shape = {name: _config.integer(name, entry.pop(name, None), 1) for name in ("heads", "kv_heads", "head_dim")}
    value_dim = _config.integer("value_dim", entry.pop("value_dim", shape["head_dim"]), 1)
    if shape["heads"] % shape["kv_heads"]:
        raise unexpected("kv_heads", f"[I3] a number that divides heads, {shape['heads']}", shape["kv_heads"])
    dtype = _config.choice("dtype", entry.pop("dtype", None), ("f32", "f16", "bf16"))
    packed = _config.flag("packed", entry.pop("packed", False))
    selections = entry.pop("selection_heads", None)
    function = attention if selections is None else block_sparse_attention
    options = {name: value for name, value in function.__kwdefaults__.items() if name != "cu_seqlens"}
    for name in entry:
        if name not in options:
            raise unexpected(name, f"an option of {function.__name__}: {', '.join(options)}", "none")
    options.update(entry)
    if selections is not None:
        options["selections"] = _config.choice("selection_heads", selections, (shape["heads"], shape["kv_heads"]))
    return _config.make(*shape.values(), value_dim, dtype, packed, **options)


def prepare(configs, folder, chips, jobs=1, report=print):
    """Compiles each configuration into folder, those already there left out -> {file name: what went wrong}."""

    def one(config):
        path = pathlib.Path(folder) / config.file_name()
        if path.exists():
            return path.name, None
        try:
            _artifacts.compile(config, path, chips)
            return path.name, None
        except Error as error:
            return path.name, str(error)

    if not _artifacts.compiler():
        raise unexpected("compiler", "unisparse-compile in PATH or UNISPARSE_COMPILE", "neither")
    failures, configs = {}, list(dict.fromkeys(configs))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for done, (name, failure) in enumerate(pool.map(one, configs), 1):
            report(f"[{done}/{len(configs)}] {failure or name}")
            if failure:
                failures[name] = failure
    return failures


def main():
    parser = argparse.ArgumentParser(
        prog="python -m unisparse.prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", required=True, type=pathlib.Path, help="configurations, JSON")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder for the artifacts")
    parser.add_argument("--chips", default=",".join(_artifacts.chips()), help="what unisparse-compile's --chip takes, one or more")
    parser.add_argument("--jobs", type=int, default=1, help="compilers at a time")
    arguments = parser.parse_args()
    try:
        entries = json.loads(arguments.list.read_text())
        failures = prepare(map(configuration, entries), arguments.out, arguments.chips.split(","), max(1, arguments.jobs))
    except (Error, OSError, ValueError) as error:
        sys.exit(f"prepare: {error}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
