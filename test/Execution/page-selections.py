# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t --target=tile-cpu
"""The pages of pool, select and density that GPUs get, run on the CPU: every rule and guard (L1 to L6), pooling of every form (P1 to
P4), packed batches, and nothing read behind an end (P3)."""

import dataclasses
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import numpy as np
from harness import Case, Options, ends, qkv

SMALL = dict(block=(16, 16), pool=(4, 4))
# More than 32 key blocks, what a warp looks at together.
LENGTH, DIM = 560, 16

RULES = {
    "p=.5": dict(p=0.5),
    "p=1": dict(p=1.0),
    "p per head": dict(p=(0.0, 0.3, 0.6, 1.0)),
    "share=group, p per KV head": dict(share="group", p=(0.3, 0.9)),
    "head-pool=2": dict(head_pool=2),
    "head-pool=4, two groups, p per head": dict(head_pool=4, p=(0.2, 0.9, 0.2, 0.9)),
    "top-k=5": dict(top_k=5),
    "top-k=5 sink=0": dict(top_k=5, sink=0),
    "top-k=6 max-blocks=3": dict(top_k=6, max_blocks=3),
    "sink=3 local=3 p=.3": dict(sink=3, local=3, p=0.3),
    "min-blocks=6 p=0": dict(min_blocks=6, p=0.0),
    "max-blocks=0": dict(max_blocks=0),
    "max-blocks=3 p=1": dict(max_blocks=3, p=1.0),
    "min-blocks=8 max-blocks=2": dict(min_blocks=8, max_blocks=2),
    "dense-below=561": dict(dense_below=561),
    "dense-below=560": dict(dense_below=560),
    "dense": dict(dense=True),
    "last=2": dict(last=2),
    "last=1000 top-k=1": dict(last=1000, top_k=1),
    "threshold=.3": dict(threshold=0.3),
    "threshold=1 sink=0 local=0": dict(threshold=1.0, sink=0, local=0),
    "threshold=.05 last=1 share=group": dict(threshold=0.05, last=1, share="group"),
    "random=.25": dict(random=0.25, seed=4294967295),
    "random=.1 sink=0 local=0 max-blocks=2": dict(random=0.1, sink=0, local=0, max_blocks=2),
    "random=.5 head-pool=2": dict(random=0.5, head_pool=2, seed=1, last=1),
}


def selections(suite):
    for seed, (name, change) in enumerate(RULES.items()):
        options = Options(**{"p": 0.7, **SMALL, "causal": seed % 3 != 2, **change})
        suite.check(Case(name, *qkv(seed, 4, 2, LENGTH, LENGTH, DIM), options))
    # Masses that are all alike: the smaller index goes first.
    q, k, v = qkv(30, 2, 1, LENGTH, LENGTH, DIM)
    for rule in (dict(top_k=7), dict(p=0.4)):
        suite.check(Case(f"ties {rule}", q * 0, k, v, Options(**SMALL, causal=False, **rule)))


def estimates(suite):
    """P5 and P6, whose pages are those of pool too."""
    base = dict(block=(16, 16), pool=(4, 4), p=0.6)
    for seed, (name, change) in enumerate({
        "representatives=1": dict(representatives=1),
        "representatives=5 spread=1": dict(representatives=5, spread=1),
        "representatives=16, all": dict(representatives=16, spread=4),
        "spread=4": dict(spread=4),
        "spread=2 head-pool=2": dict(spread=2, head_pool=2),
        "spread=4 representatives=3 head-pool=4, two groups": dict(spread=4, representatives=3, head_pool=4),
        "representatives=3 causal=False": dict(representatives=3, causal=False),
    }.items()):
        suite.check(Case(name, *qkv(60 + seed, 4, 2, 150, 163, DIM), Options(**{**base, **change})))
    for dtype, spread in (("F16", 6), ("BF16", 1)):
        suite.check(Case(f"estimate {dtype}", *qkv(70, 4, 2, 100, 130, 48), Options(**base, representatives=4, spread=spread), dtype=dtype))
    suite.check(Case("estimate, groups of 6 dims", *qkv(71, 4, 2, 100, 130, 24), Options(**base, spread=6, representatives=2), dtype="F32"))
    for seed, (lq, lk) in enumerate([(1, 1), (3, 40), (17, 17)]):
        suite.check(Case(f"estimate Lq={lq} Lk={lk}", *qkv(72 + seed, 4, 2, lq, lk, DIM), Options(**base, representatives=5, spread=4)))
    case = Case("estimate packed", *qkv(76, 4, 2, 131, 197, DIM), Options(**base, representatives=5, spread=4), cu=(ends([33, 1, 0, 97]), ends([40, 60, 0, 97])))
    clean = suite.check(case)
    suite.same("estimate packed, NaN around", clean, suite.check(dataclasses.replace(case, name="estimate packed, poisoned"), extra=["--poison"]))
    q, k, v = qkv(77, 2, 1, 100, 100, DIM)
    suite.check(Case("estimate, equal rows", np.repeat(q[:, ::5], 5, 1), k, v, Options(**base, representatives=7)))


def pools(suite):
    small = dict(block=(16, 16), p=0.6)
    for seed, pool in enumerate([(1, 1), (8, 2), (16, 16), (1, 8)]):
        suite.check(Case(f"pool {pool}", *qkv(40 + seed, 4, 2, 100, 130, DIM), Options(**small, pool=pool)))
    # More rows than are summed side by side on a GPU, and a last composite with fewer.
    suite.check(Case("pool (32, 20)", *qkv(45, 4, 2, 150, 163, DIM), Options(block=(64, 40), pool=(32, 20), p=0.6)))
    for seed, (lq, lk) in enumerate([(1, 1), (7, 7), (17, 40)]):
        suite.check(Case(f"Lq={lq} Lk={lk}", *qkv(50 + seed, 4, 2, lq, lk, DIM), Options(**small, pool=(4, 4))))
    suite.check(Case("Lq > Lk, B=2", *qkv(55, 4, 2, 130, 50, DIM, batch=2), Options(**SMALL, causal=False, p=0.6)))
    for seed, dtype in enumerate(("F16", "BF16")):
        suite.check(Case(dtype, *qkv(60 + seed, 4, 2, 131, 131, 40), Options(**SMALL, p=0.6, head_pool=2), dtype=dtype))


def packed(suite):
    batches = {
        "packed": ([50, 0, 1, 65, 0], [75, 40, 1, 65, 0]),
        "packed, one": ([131], [131]),
        "packed, short": ([1, 3, 2, 1], [1, 3, 2, 1]),
    }
    for seed, (name, (lq, lk)) in enumerate(batches.items()):
        data = qkv(70 + seed, 4, 2, sum(lq), sum(lk), DIM)
        changes = (dict(p=0.6), dict(top_k=3, share="group", agg="sum"), dict(dense_below=60, p=0.2), dict(dense=True))
        for change in changes[: 4 if seed == 0 else 1]:
            suite.check(Case(f"{name} {change}", *data, Options(**SMALL, **change), cu=(ends(lq), ends(lk))))


def unread(suite):
    """NaN around every buffer changes no bit (P3)."""
    for seed, (lq, lk) in enumerate([(1, 1), (33, 70)]):
        case = Case(f"ends {lq} {lk}", *qkv(80 + seed, 4, 2, lq, lk, DIM), Options(**SMALL, p=0.6))
        poisoned = suite.check(dataclasses.replace(case, name=f"{case.name}, poisoned"), extra=["--poison"])
        suite.same(f"{case.name}, bits", suite.check(case), poisoned)


def cases(suite):
    selections(suite)
    pools(suite)
    estimates(suite)
    packed(suite)
    unread(suite)


harness.main(cases, __doc__)
