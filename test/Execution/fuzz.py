# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# REQUIRES: long
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Options and shapes drawn at random, the same ones every time; with `--seconds` as many more as there is time for."""

import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import dataclasses

import harness
import numpy as np
from harness import Case, Options, ends, qkv, random_selection

CASES = 60


def one_of(rng, *values):
    return values[rng.integers(len(values))]


def draw_options(rng, hq, hkv):
    pool = tuple(int(one_of(rng, 1, 2, 4, 8, 16)) for _ in range(2))
    block = tuple(int(c * rng.integers(1, max(2, 129 // c))) for c in pool)
    group = hq // hkv
    head_pools = [n for n in (1, 1, 2, 4, 8) if hq % n == 0 and (group % n == 0 or n % group == 0)]
    share = one_of(rng, "none", "none", "group")
    shares = hkv if share == "group" else hq
    p = float(rng.choice([0, 0.3, 0.5, 0.7, 0.9, 0.95, 1]))
    if rng.integers(4) == 0:
        p = tuple(float(x) for x in rng.choice([0, 0.25, 0.5, 0.75, 0.9, 1], shares))
    return Options(
        block=block,
        pool=pool,
        head_pool=int(one_of(rng, *head_pools)),
        agg=one_of(rng, "max", "sum"),
        share=share,
        p=p,
        top_k=one_of(rng, None, None, None, int(rng.integers(1, 9))),
        sink=int(rng.integers(0, 3)),
        local=int(rng.integers(0, 4)),
        min_blocks=one_of(rng, 0, 0, int(rng.integers(1, 6))),
        max_blocks=one_of(rng, None, None, None, int(rng.integers(0, 6))),
        dense_below=one_of(rng, 0, 0, 0, 200),
        causal=bool(rng.integers(3)),
        scale=one_of(rng, None, None, 0.1),
        alpha=one_of(rng, 1.0, 1.0, 1.5),
    )


def draw_lengths(rng, causal):
    """Queries and keys of one sequence."""
    lk = int(rng.integers(1, 400))
    if rng.integers(2):
        return lk, lk
    return int(rng.integers(1, lk + 1 if causal else 400)), lk


def draw(seed):
    rng = np.random.default_rng(1000 + seed)
    hq, hkv = one_of(rng, (1, 1), (2, 2), (4, 1), (4, 2), (8, 2), (6, 3))
    options = draw_options(rng, hq, hkv)
    d = int(one_of(rng, 32, 64, 64, 80, 128))
    dv = int(one_of(rng, d, d, 32, 64))
    lengths, batch, cu = [draw_lengths(rng, options.causal)], one_of(rng, None, 1, 2), None
    if rng.integers(3) == 0:
        lengths += [draw_lengths(rng, options.causal) for _ in range(rng.integers(1, 4))]
        lengths.insert(int(rng.integers(len(lengths) + 1)), (0, 0))
        cu = tuple(ends(x) for x in zip(*lengths))
        batch = one_of(rng, None, 1)
    lq, lk = (sum(x) for x in zip(*lengths))
    case = Case("", *qkv(seed, hq, hkv, lq, lk, d, dv, batch), options, dtype=one_of(rng, "F32", "F32", "F16", "BF16"), cu=cu)
    kind = int(rng.integers(8))
    if kind == 0:
        case.options = options = Options(block=options.block, causal=options.causal, scale=options.scale, pool=options.pool)
        case.selection = random_selection(rng, case, float(rng.random()))
    elif kind == 1:
        case.extra = ("--poison",)
    case.name = f"seed {seed}: {case.dtype} {hq}:{hkv} heads, D={d}, Dv={dv}, {lengths}, {' '.join(options.args())}"
    return case


def draw_edge(seed):
    """Batches, lengths and sequences that are empty or nearly so, blocks of a few tokens, rows of a few elements."""
    rng = np.random.default_rng(2000 + seed)
    hq, hkv = one_of(rng, (1, 1), (2, 2), (4, 1), (4, 2), (6, 3))
    options = draw_options(rng, hq, hkv)
    if rng.integers(2):
        pool = tuple(int(rng.integers(1, 4)) for _ in range(2))
        options = dataclasses.replace(options, pool=pool, block=tuple(int(c * rng.integers(1, 4)) for c in pool))
    length = lambda: int(one_of(rng, 0, 0, 1, 2, rng.integers(1, 20), rng.integers(1, 150)))

    def lengths_of_one():
        lq, lk = length(), length()
        return (min(lq, lk), lk) if options.causal else (lq, lk)

    d = int(one_of(rng, 1, 3, 8, 16, 33, 64))
    dv = int(one_of(rng, d, d, 1, 5, 32))
    lengths, batch, cu = [lengths_of_one()], one_of(rng, None, 0, 1, 2), None
    if rng.integers(2):
        lengths = [lengths_of_one() for _ in range(rng.integers(0, 6))]
        cu, batch = tuple(ends([x[i] for x in lengths]) for i in (0, 1)), one_of(rng, None, 1)
    lq, lk = (sum(x[i] for x in lengths) for i in (0, 1))
    data = qkv(seed, hq, hkv, lq, lk, d, dv, batch or None)
    if batch == 0:
        data = tuple(np.zeros((0, *x.shape), np.float32) for x in data)
    case = Case("", *data, options, dtype=one_of(rng, "F32", "F32", "F16", "BF16"), cu=cu)
    if batch != 0 and rng.integers(5) == 0:
        case.options = options = Options(block=options.block, causal=options.causal, scale=options.scale, pool=options.pool)
        case.selection = random_selection(rng, case, float(rng.random()))
    case.name = f"edge {seed}: {case.dtype} {hq}:{hkv} heads, B={batch}, D={d}, Dv={dv}, {lengths}, {' '.join(options.args())}"
    return case


def cases(suite, seed, seconds):
    begin, last = time.monotonic(), seed + CASES
    while time.monotonic() < begin + seconds if seconds else seed < last:
        case = draw_edge(seed) if seed % 3 == 2 else draw(seed)
        case.opt_level = (0, 3)[seed // 2 % 2]
        suite.check(case, extra=[f"--threads={1 + seed % 2}"])
        seed += 1


harness.main(
    cases,
    __doc__,
    options=[
        ("--seed", dict(type=int, default=0, help="the first case's")),
        ("--seconds", dict(type=float, default=0, help=f"cases until then, not {CASES}")),
    ],
)
