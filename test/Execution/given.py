# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Selections from outside are executed as given (A4); rows that see nothing are o = 0, lse = -inf (A2)."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import numpy as np
from harness import Case, Options, ends, qkv, random_selection

SMALL = Options(block=(32, 32))


def given(name, seed, data, options=SMALL, **kw):
    how = {key: kw.pop(key) for key in ("density", "empty_rows", "candidates_only") if key in kw}
    case = Case(name, *data, options, **kw)
    case.selection = random_selection(np.random.default_rng(seed), case, **how)
    return case


def nothing_visible(suite):
    """Only blocks above the diagonal, and a diagonal block alone where Bq > Bk: all or some of a row's queries see nothing."""
    case = given("above the diagonal", 30, qkv(30, 2, 1, 128, 128, 64))
    counts, indices = (np.zeros_like(x) for x in case.selection)
    counts[:, :3], indices[:, :3, 0] = 1, 3
    case.selection = counts, indices
    tensors = suite.check(case)
    if tensors:
        suite.expect("above the diagonal, o", not tensors["o"].data.any(), "expected o = 0 everywhere")
    case = given("the end of the diagonal alone", 31, qkv(31, 2, 1, 128, 128, 64), Options(block=(64, 16)))
    counts, indices = (np.zeros_like(x) for x in case.selection)
    counts[:], indices[:, 0, 0], indices[:, 1, 0] = 1, 3, 7
    case.selection = counts, indices
    suite.check(case)


def round_trip(suite):
    """What a run selected, given back, gives the same results."""
    data = qkv(40, 4, 2, 300, 333, 64)
    first = suite.check(Case("selected", *data, Options(block=(64, 64), p=0.6)))
    if not first:
        return
    back = Case("given back", *data, Options(block=(64, 64)), selection=(first["counts"].data, first["indices"].data))
    second = suite.check(back)
    suite.same("selected and given back", first, second)


def cases(suite):
    for seed, (density, empty) in enumerate([(0.5, 0.2), (0.1, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 1.0)]):
        for causal in (True, False):
            options = Options(block=(32, 32), causal=causal)
            name = f"density {density}, {empty} empty, causal={causal}"
            suite.check(given(name, seed, qkv(seed, 4, 2, 200, 200, 64), options, density=density, empty_rows=empty))
    suite.check(given("candidates only", 10, qkv(10, 4, 2, 300, 300, 64), candidates_only=True))
    suite.check(given("Lq < Lk, B=2", 11, qkv(11, 4, 2, 100, 333, 64, batch=2)))
    suite.check(given("Lq=1", 12, qkv(12, 4, 2, 1, 333, 64)))
    suite.check(given("Lq > Lk", 13, qkv(13, 4, 2, 333, 100, 64), Options(block=(32, 32), causal=False)))
    suite.check(given("block 96x40", 14, qkv(14, 4, 2, 300, 300, 80, 32), Options(block=(96, 40), pool=(8, 4))))
    suite.check(given("default blocks, D=128", 15, qkv(15, 8, 2, 500, 500, 128), Options()))
    suite.check(given("scale", 16, qkv(16, 4, 2, 200, 200, 64), Options(block=(32, 32), scale=0.05)))
    for seed, dtype in enumerate(("F16", "BF16")):
        suite.check(given(dtype, 20 + seed, qkv(20 + seed, 4, 2, 200, 200, 64), dtype=dtype))
    cu = ends([100, 0, 1, 130]), ends([150, 40, 1, 130])
    suite.check(given("packed", 22, qkv(22, 4, 2, 231, 321, 64, batch=1), cu=cu))
    suite.check(given("packed causal=False", 23, qkv(23, 4, 2, 231, 321, 64), Options(block=(32, 32), causal=False), cu=cu))
    nothing_visible(suite)
    round_trip(suite)


harness.main(cases, __doc__)
