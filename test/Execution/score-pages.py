# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""The page of tile code that GPUs get for composite attention, run on the CPU: what is selected by its masses is right (S1 to S6, L7)."""

import dataclasses
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
from harness import Options, ends, qkv
from pages import page

BASE = Options(block=(32, 32), pool=(4, 4), p=0.7)
# What each case changes; 8:2 heads of f32, whose L7 allows 1e-4 of a row's mass.
VARIED = {
    "as it is": dict(),
    "non-causal": dict(causal=False),
    "agg=sum": dict(agg="sum"),
    "share=group": dict(share="group"),
    "share=group agg=sum": dict(share="group", agg="sum"),
    "head-pool=2": dict(head_pool=2),
    "head-pool=8": dict(head_pool=8),
    "alpha=.25 scale=.2": dict(alpha=0.25, scale=0.2),
    "scale=-1": dict(scale=-1.0),
    "scale=0": dict(scale=0.0),
    "one composite a block": dict(pool=(32, 32)),
    "composites of one row": dict(pool=(1, 1)),
    "padded rows": dict(block=(36, 32), pool=(3, 4)),
    "padded keys": dict(block=(32, 20), pool=(4, 4)),
    "padded both, agg=sum": dict(block=(100, 24), pool=(10, 4), agg="sum"),
    "fine queries": dict(block=(16, 64), pool=(1, 8)),
    "many keys": dict(block=(64, 64), pool=(8, 1)),
    "representatives": dict(representatives=8),
    "representatives, non-causal": dict(representatives=24, causal=False),
    "representatives, padded": dict(representatives=3),
    "spread": dict(spread=1),
    "representatives and spread, share=group": dict(representatives=8, spread=4, share="group"),
    "representatives and spread, head-pool=2": dict(representatives=8, spread=2, head_pool=2),
}


def varied(suite):
    for seed, (name, changes) in enumerate(VARIED.items()):
        lq, lk = ((150, 150), (77, 201))[seed % 2]
        options = dataclasses.replace(BASE, **changes)
        suite.check(page(f"{name} Lq={lq} Lk={lk}", seed, qkv(seed, 8, 2, lq, lk, 32), options, given=False, dtype="F32"))


def shapes(suite):
    for dtype in ("BF16", "F16"):
        suite.check(page(f"{dtype}, 128 columns", 40, qkv(40, 4, 1, 130, 260, 128), BASE, given=False, dtype=dtype))
    suite.check(page("B=2", 41, qkv(41, 4, 2, 90, 90, 32, batch=2), BASE, given=False, dtype="F32"))
    suite.check(page("one token", 42, qkv(42, 4, 2, 1, 1, 32), BASE, given=False, dtype="F32"))
    suite.check(page("chip with wgmma", 43, qkv(43, 4, 2, 300, 300, 32), dataclasses.replace(BASE, block=(64, 64)), given=False, dtype="F16", extra=("--chip=sm_90a",)))


def packed(suite):
    cu = ends([50, 0, 1, 65, 0, 40]), ends([75, 40, 1, 65, 0, 90])
    for name, changes in (("causal", {}), ("non-causal", dict(causal=False)), ("share=group", dict(share="group")), ("padded", dict(block=(36, 20), pool=(3, 4))), ("representatives", dict(representatives=8, spread=4))):
        options = dataclasses.replace(BASE, **changes)
        case = page(f"packed, {name}", 50, qkv(50, 8, 2, 156, 271, 32), options, given=False, cu=cu, dtype="F32")
        suite.same(f"{name}: NaN behind the ends", suite.check(case), suite.check(dataclasses.replace(case, name=f"{case.name}, NaN behind the ends"), extra=["--poison"]))
    cu = ends([130, 5, 3, 200])
    suite.check(page("packed, several tiles", 51, qkv(51, 4, 2, 338, 338, 32), BASE, given=False, cu=(cu, cu), dtype="F32"))


def cases(suite):
    varied(suite)
    shapes(suite)
    packed(suite)


harness.main(cases, __doc__)
