# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %unisparse_run %t
"""Who asks for nothing gets the measured policy, from the tools and from Python alike."""

import inspect
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("Execution/lib", "../python"):
    sys.path.insert(0, os.path.join(HERE, "..", folder))

import numpy as np
import safetensors
from unisparse import _attention, _config

TOOL, TMP = sys.argv[1:]
shutil.rmtree(TMP, ignore_errors=True)
os.makedirs(TMP)

# head_dim, options of Python, the same ones of the tool, what the op has to say.
CASES = [
    (64, {}, [], "pooling <8x8, representatives = 16, spread = 4> rule <top_p = 0.8, last = 1, relax = 0.5> causal"),
    (80, dict(causal=False), ["--no-causal"], "pooling <8x8, representatives = 16, spread = 2> rule <top_p = 0.8, relax = 0.5>"),
    (24, dict(agg="sum"), ["--agg=sum"], "pooling <8x8, spread = 3> rule <top_p = 0.8, last = 1, relax = 0.5> agg sum causal"),
    (20, dict(p=0.9), ["--p=0.9"], "pooling <8x8, representatives = 16, spread = 4> rule <top_p = 0.9, last = 1> causal"),
    (64, dict(pooling=(1, 1)), ["--pool=1x1"], "pooling <1x1> rule <top_p = 0.8, last = 1, relax = 0.5> causal"),
    (8, dict(p=0.9, relax=0.25), ["--p=0.9", "--relax=0.25"], "spread = 1> rule <top_p = 0.9, last = 1, relax = 0.25> causal"),
    (7, dict(top_k=2), ["--top-k=2"], "pooling <8x8, representatives = 16, spread = 1> rule <top_k = 2, last = 1> causal"),
    (
        64,
        dict(p=0.9, representatives=0, spread=0, last=0),
        ["--p=0.9", "--representatives=0", "--spread=0", "--last=0"],
        "pooling <8x8> rule <top_p = 0.9> causal",
    ),
]


def program(name, head_dim, options):
    """The op that unisparse-run makes of options, in one line."""
    file, folder = os.path.join(TMP, f"{head_dim}.safetensors"), os.path.join(TMP, name)
    x = np.zeros((1, 2, 32, head_dim))
    safetensors.write(file, {name: safetensors.Tensor("F32", x) for name in "qkv"})
    done = subprocess.run([TOOL, file, "--block=32x32", "--opt-level=0", *options, f"--dump-ir={folder}"], capture_output=True, text=True, timeout=600)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr}")
    with open(os.path.join(folder, "00-input.mlir")) as text:
        return next(line for line in text if "unisparse.attention" in line)


defaults = {x.name: x.default for x in inspect.signature(_attention.attention).parameters.values() if x.name in _attention._CHOOSING}
for number, (head_dim, chosen, options, expected) in enumerate(CASES):
    every = {**defaults, "causal": True, **chosen}
    config = _config.make(2, 2, head_dim, head_dim, "f32", False, block=(32, 32), scale=None, return_lse=False, **every)
    tool, python = (program(f"{who}-{number}", head_dim, words) for who, words in (("tool", options), ("python", config.computation())))
    if f"{expected} " not in tool:
        sys.exit(f"head_dim {head_dim}, {options}: expected {expected}, got {tool}")
    if tool != python:
        sys.exit(f"head_dim {head_dim}, {options}: expected what the tool makes, {tool}, got of Python's {config.computation()} {python}")
print(f"{len(CASES)} cases")
