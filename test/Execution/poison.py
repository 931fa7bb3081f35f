# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""P3: nothing past the end of a sequence is read. --poison puts NaN around every input buffer; no bit may change."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import dataclasses

import harness
import numpy as np
from harness import Case, Options, ends, qkv, random_selection


def both(suite, case):
    clean = suite.check(case)
    poisoned = suite.check(dataclasses.replace(case, name=f"{case.name}, poisoned"), extra=["--poison"])
    suite.same(f"{case.name}, bits", clean, poisoned)


def cases(suite):
    for seed, (lq, lk) in enumerate([(1, 1), (7, 7), (129, 129), (1, 300), (127, 300)]):
        both(suite, Case(f"Lq={lq} Lk={lk}", *qkv(seed, 4, 2, lq, lk, 64), Options(p=0.6)))
    both(suite, Case("causal=False", *qkv(10, 4, 2, 129, 130, 80, 32, batch=2), Options(block=(64, 64), causal=False, p=0.6)))
    both(suite, Case("block 96x40", *qkv(11, 4, 2, 250, 250, 64), Options(block=(96, 40), pool=(8, 4), p=0.6)))
    for seed, dtype in enumerate(("F16", "BF16")):
        both(suite, Case(dtype, *qkv(12 + seed, 4, 2, 131, 131, 80), Options(block=(64, 64), p=0.6), dtype=dtype))
    both(suite, Case("head-pool=4", *qkv(14, 4, 2, 131, 131, 64), Options(block=(64, 64), head_pool=4, agg="sum", p=0.6)))
    cu = ends([33, 1, 97]), ends([40, 60, 97])
    both(suite, Case("packed", *qkv(15, 4, 2, 131, 197, 64), Options(block=(32, 32), p=0.6), cu=cu))
    given = Case("given", *qkv(16, 4, 2, 131, 131, 64), Options(block=(32, 32)))
    given.selection = random_selection(np.random.default_rng(16), given)
    both(suite, given)


harness.main(cases, __doc__)
