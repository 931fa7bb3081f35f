# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Representatives (P5) and spread (P6): the selections they lead to, at every shape that a block can have; what holds for any
estimate holds for this one too: chunks, threads, neighbours, constant keys, numbers at the ends of the range."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import dataclasses

import checks
import harness
import numpy as np
from checks import O
from harness import Case, Options, ends, qkv

SMALL = dict(block=(32, 32), pool=(8, 8), p=0.6)
BOTH = dict(representatives=6, spread=4)

VARIED = {
    "representatives=1": dict(representatives=1),
    "representatives=6": dict(representatives=6),
    "representatives=32, all": dict(representatives=32),
    "representatives=100": dict(representatives=100),
    "spread=1": dict(spread=1),
    "spread=4": dict(spread=4),
    "spread=64": dict(spread=64),
    "both": BOTH,
    "both, last=1": dict(**BOTH, last=1),
    "both, causal=False": dict(**BOTH, causal=False),
    "both, share=group": dict(**BOTH, share="group"),
    "both, head-pool=2": dict(**BOTH, head_pool=2),
    "both, head-pool=8, two groups": dict(**BOTH, head_pool=8),
    "spread=2 agg=sum": dict(spread=2, agg="sum"),
    "both, alpha=-2 scale=.1": dict(**BOTH, alpha=-2.0, scale=0.1),
    "both, pool 1x1": dict(**BOTH, pool=(1, 1)),
    "both, pool 32x4": dict(**BOTH, pool=(32, 4)),
    "both, block 48x20": dict(representatives=5, spread=1, block=(48, 20), pool=(6, 5)),
    "both, threshold": dict(**BOTH, threshold=0.2),
}


def told_apart(suite, case):
    """Means alone lead to another selection, so that the check sees the options."""
    o = case.options
    plain = dataclasses.replace(case, options=dataclasses.replace(o, representatives=0, spread=0))
    m = [checks.oracle_masses(c, s) for c in (case, plain) for s in c.sequences()]
    suite.expect(f"{case.name}: other masses", any(np.abs(a - b).max() > 1e-3 for a, b in zip(m[: len(m) // 2], m[len(m) // 2 :])), "the same masses as of means alone")


def shapes(suite):
    for seed, (lq, lk) in enumerate([(1, 1), (3, 3), (33, 33), (70, 333), (1, 97), (129, 130)]):
        suite.check(Case(f"Lq={lq} Lk={lk}", *qkv(seed, 4, 2, lq, lk, 64), Options(**SMALL, **BOTH)))
    for dtype in ("F16", "BF16"):
        suite.check(Case(f"{dtype}", *qkv(20, 4, 2, 200, 333, 80), Options(**SMALL, representatives=4, spread=16), dtype=dtype))
    suite.check(Case("B=2 D=24", *qkv(21, 4, 2, 150, 170, 24, batch=2), Options(**SMALL, representatives=4, spread=3)))
    cu = ends([33, 0, 1, 100, 66]), ends([40, 0, 1, 200, 92])
    suite.check(Case("packed", *qkv(22, 4, 2, 200, 333, 64), Options(**SMALL, **BOTH), cu=cu))
    suite.check(Case("packed, head-pool=4", *qkv(23, 4, 2, 200, 333, 64), Options(**SMALL, **BOTH, head_pool=4), cu=cu))
    suite.check(Case("defaults of blocks", *qkv(24, 2, 1, 700, 700, 64), Options(p=0.7, representatives=16, spread=1, last=1)))


def poisoned(suite):
    """P3: nothing behind a tensor is read, nothing of another sequence changes a bit."""
    case = Case("around", *qkv(30, 4, 2, 131, 197, 64), Options(**SMALL, **BOTH), cu=(ends([33, 1, 97]), ends([40, 60, 97])))
    clean = suite.check(case)
    suite.same("NaN around, bits", clean, suite.check(dataclasses.replace(case, name="NaN around"), extra=["--poison"]))
    dirty = dataclasses.replace(case, name="NaN neighbours", q=case.q.copy(), k=case.k.copy())
    dirty.q[:, 33:34], dirty.k[:, 40:100] = np.nan, np.nan
    try:
        tensors, _ = suite.run(dirty)
    except harness.Failure as failure:
        suite.expect(dirty.name, False, str(failure))
        return
    rows = lambda x: x[:, [0, 1, 3, 4, 5, 6]] if x.shape[1] == 7 else x[:, np.r_[:33, 34:131]]
    suite.same("NaN neighbours, bits", clean, tensors, rows)


def chunks(suite):
    """A chunk of a longer prefill is the same computation; results do not depend on threads."""
    q, k, v = qkv(40, 4, 2, 256, 256, 64)
    options = Options(**SMALL, **BOTH)
    whole = suite.check(Case("whole", q, k, v, options), extra=["--threads=1"])
    suite.same("threads, bits", whole, suite.check(Case("whole, more threads", q, k, v, options), extra=["--threads=2"]))
    for start in (64, 192):
        part = suite.check(Case(f"chunk from {start}", q[:, start : start + 64], k[:, : start + 64], v[:, : start + 64], options))
        if not whole or not part:
            continue
        rows = slice(start // 32, start // 32 + 2)
        same = (whole["counts"].data[:, rows] == part["counts"].data).all()
        columns = part["indices"].data.shape[-1]
        same &= (whole["indices"].data[:, rows, :columns] == part["indices"].data).all()
        same &= whole["o"].data[:, start : start + 64].tobytes() == part["o"].data.tobytes()
        suite.expect(f"chunk from {start}, bits", same, "another selection or output than in the whole")


def numbers(suite):
    """Constant keys have no spread; what f16 cannot hold is its largest number; near ties stand in for each other."""
    q, k, v = qkv(50, 4, 2, 200, 256, 64)
    constant = np.repeat(k[:, ::8], 8, 1)
    plain = suite.check(Case("constant keys", q, constant, v, Options(**SMALL), dtype="F16"))
    suite.same("constant keys, bits", plain, suite.check(Case("constant keys, spread", q, constant, v, Options(**SMALL, spread=1), dtype="F16")))
    for name, factor in (("huge", 9000.0), ("tiny", 1e-6)):
        options = Options(**SMALL, **BOTH, scale=1e-9 if factor > 1 else 1.0)
        case = Case(f"{name} f16", np.clip(q * factor, -65504, 65504), np.clip(k * factor, -65504, 65504), v, options, dtype="F16")
        try:
            tensors, report = suite.run(case)
        except harness.Failure as failure:
            suite.expect(case.name, False, str(failure))
            continue
        wrong, masks = checks.masks(case, tensors["counts"].data, tensors["indices"].data)
        wrong += checks.density(case, masks, report)
        finite = all(np.isfinite(tensors[t].data.astype(np.float64)).all() for t in ("o", "lse"))
        suite.expect(case.name, not wrong and finite, f"{wrong}, finite: {finite}")
        suite.expect(f"{case.name}: a selection", min(m.sum() for m in masks) < max(O.every_candidate(s.lq, s.lk, 32, 32, True).sum() * 4 for s in case.sequences()), "every block")
    pairs = np.repeat(q[:, ::2], 2, 1)
    pairs[:, 1::2] *= np.float32(1 + 1e-6)
    suite.check(Case("near ties", pairs, k, v, Options(**SMALL, representatives=7, spread=1)))
    suite.check(Case("ties", np.repeat(q[:, ::8], 8, 1), k, v, Options(**SMALL, representatives=7)))


def cases(suite):
    data = qkv(1, 8, 2, 300, 333, 64)
    for number, (name, change) in enumerate(VARIED.items()):
        case = Case(name, *data, Options(**{**SMALL, **change}))
        suite.check(case, extra=[f"--threads={1 + number % 2}"])
        if "1x1" not in name:
            told_apart(suite, case)
    shapes(suite)
    poisoned(suite)
    chunks(suite)
    numbers(suite)


harness.main(cases, __doc__)
