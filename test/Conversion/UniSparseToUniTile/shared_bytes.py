# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %unisparse_opt
"""A launch asks for the shared memory that unitile-allocate-shared lays out, for every one of Inputs/configurations.py: the
host counts it before anything is laid out, and a block that asked for less would write over its end."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

import configurations

PIPELINE = ("builtin.module(unisparse-decompose-attention,canonicalize,unisparse-select-schedule{{chip={}}},convert-unisparse-to-unitile,unitile-persist,unitile-pipeline,unitile-specialise-warps,"
            "canonicalize,gpu.module(unitile-allocate-shared{{limit=232448}}))")
compared = 0
for chip in ("sm_80", "sm_86", "sm_90a"):
    configs = configurations.of_chip(chip, every=True)
    source = "// -----\n".join(c.program() for c in configs)
    run = subprocess.run([sys.argv[1], "-", "-split-input-file", f"--pass-pipeline={PIPELINE.format(chip)}"], input=source, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[:2000]
    parts = run.stdout.split("// -----")
    assert len(parts) == len(configs), f"{chip}: {len(parts)} modules for {len(configs)} programs"
    for config, text in zip(configs, parts):
        placed = {name: int((re.search(r"unitile\.shared_bytes = (\d+)", line) or [0, 0])[1])
                  for name, line in re.findall(r"gpu\.func @(\w+)\((.*)", text)}
        launches = re.findall(r"gpu\.launch_func\s+@unisparse_kernels::@(\w+) .*?dynamic_shared_memory_size %(\w+)", text)
        assert {n for n, _ in launches} == set(placed), f"{chip}.{config.name}: {launches}, {placed}"
        for name, value in launches:
            asked = int(re.search(rf"%{value} = arith\.constant (\d+) : i32", text)[1])
            assert asked >= placed[name], f"{chip}.{config.name}.{name}: {asked} bytes asked for, {placed[name]} laid out"
            assert asked - placed[name] < 1024, f"{chip}.{config.name}.{name}: {asked} bytes asked for, only {placed[name]} laid out"
            compared += placed[name] > 0
assert compared > 100, compared
print(f"{compared} kernels with shared memory compared")
