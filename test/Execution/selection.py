# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Every rule and guard of the selection, and proof that the check of each would not pass another selection."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import checks
import harness
import numpy as np
from checks import O
from harness import Case, Options, ends, qkv

# Small blocks: rows long enough for an order among many.
SMALL = dict(block=(32, 32), pool=(8, 8))

# What each case changes, against the heads 8:2 (g = 4) at p = .7.
VARIED = {
    "agg=sum": dict(agg="sum"),
    "p=0": dict(p=0.0),
    "p=.5": dict(p=0.5),
    "p=1": dict(p=1.0),
    "p per head": dict(p=(0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0)),
    "share=group": dict(share="group"),
    "share=group, p per KV head": dict(share="group", p=(0.3, 0.9)),
    "share=group agg=sum": dict(share="group", agg="sum"),
    "head-pool=2": dict(head_pool=2),
    "head-pool=4, a whole group": dict(head_pool=4),
    "head-pool=8, two groups": dict(head_pool=8),
    "head-pool=2, p per head": dict(head_pool=2, p=(0.2, 0.9, 0.2, 0.9, 0.0, 1.0, 0.5, 0.5)),
    "head-pool=2 share=group": dict(head_pool=2, share="group"),
    "head-pool=8 share=group": dict(head_pool=8, share="group"),
    "top-k=1": dict(top_k=1),
    "top-k=5": dict(top_k=5),
    "top-k=5 sink=0": dict(top_k=5, sink=0),
    "top-k=1000": dict(top_k=1000),
    "top-k=6 max-blocks=3": dict(top_k=6, max_blocks=3),
    "sink=0": dict(sink=0),
    "sink=3 p=.3": dict(sink=3, p=0.3),
    "sink=1000": dict(sink=1000),
    "local=3 p=.3": dict(local=3, p=0.3),
    "local=1000": dict(local=1000),
    "min-blocks=6": dict(min_blocks=6, p=0.2),
    "min-blocks=6 p=0": dict(min_blocks=6, p=0.0),
    "max-blocks=0": dict(max_blocks=0),
    "max-blocks=2": dict(max_blocks=2),
    "max-blocks=3 p=1": dict(max_blocks=3, p=1.0),
    "min-blocks=8 max-blocks=2": dict(min_blocks=8, max_blocks=2),
    "dense-below=480": dict(dense_below=480),
    "dense-below=480 top-k=1": dict(dense_below=480, top_k=1),
    "alpha=2": dict(alpha=2.0),
    "alpha=.25 scale=.2": dict(alpha=0.25, scale=0.2),
    "dense": dict(dense=True),
    "last=1": dict(last=1),
    "last=3 top-k=2": dict(last=3, top_k=2),
    "last=2 max-blocks=1": dict(last=2, max_blocks=1),
    "last=1000": dict(last=1000),
    "threshold=.3": dict(threshold=0.3),
    "threshold=.02 sink=2 local=4 last=2": dict(threshold=0.02, sink=2, local=4, last=2),
    "threshold=0": dict(threshold=0.0),
    "threshold=1 sink=0 local=0": dict(threshold=1.0, sink=0, local=0),
    "threshold=.3 agg=sum share=group": dict(threshold=0.3, agg="sum", share="group"),
    "random=.25": dict(random=0.25),
    "random=.25 seed": dict(random=0.25, seed=4294967295),
    "random=.1 sink=0 local=0 last=1": dict(random=0.1, sink=0, local=0, last=1),
    "random=.5 head-pool=2": dict(random=0.5, head_pool=2, seed=1),
    "random=.5 share=group max-blocks=3": dict(random=0.5, share="group", max_blocks=3),
    "random=0": dict(random=0.0),
    "random=1": dict(random=1.0),
    "dense-below=480 random=.1": dict(dense_below=480, random=0.1),
}


def masses(case):
    return [checks.oracle_masses(case, s) for s in case.sequences()]


def valid(case, s, r, mask, m64, p):
    """Is row r? The others are right."""
    o = case.options
    return O.row_valid(r, mask, m64, s.lq, s.lk, *o.block, p, o.causal, checks.EPS[case.dtype], **o.rule()) == ""


def selected(base):
    """The masks that the base options give."""
    return [np.stack([O.select(x, s.lq, s.lk, *base.options.block, 0.7) for x in m]) for s, m in zip(base.sequences(), masses(base))]


def tells_apart(suite, case, other):
    """Would the masks `other`, of the base options, fail the check of this case?"""
    wrong, _ = checks.selection(case, other)
    suite.expect(f"{case.name}: told from the base options", wrong, "the check passes the selection of other options")


def mutations(f, m, mask, eps):
    """Masks of one row that are wrong for certain, made from a right one."""
    n = len(f)
    for j in np.flatnonzero(f):
        yield "a forced block missing", mask & (np.arange(len(mask)) != j)
    if n < len(mask):
        yield "a block outside the candidates", mask | (np.arange(len(mask)) == n)
    free, out = np.flatnonzero(mask[:n] & ~f), np.flatnonzero(~mask[:n])
    if len(free) and len(out):
        best, worst = free[np.argmax(m[free])], out[np.argmin(m[out])]
        if m[best] - m[worst] > 2 * eps * m[:n].sum():
            swapped = mask.copy()
            swapped[best], swapped[worst] = False, True
            yield "the best block swapped for the worst", swapped


def rejects_mutations(suite, case, tensors):
    """The masks that the tool returned pass; each of them with one row made wrong must not."""
    tried = passed = 0
    _, masks = checks.masks(case, tensors["counts"].data, tensors["indices"].data)
    p = O.head_shares(case.options.p, *case.heads, case.options.share)
    for s, mask, m64 in zip(case.sequences(), masks, masses(case)):
        for h, r in np.ndindex(*mask.shape[:2]):
            f = O.forced(r, s.lq, s.lk, *case.options.block, case.options.causal, case.options.sink, case.options.local)
            for _, row in mutations(f, m64[h, r], mask[h, r], checks.EPS[case.dtype]):
                changed = mask[h].copy()
                changed[r] = row
                tried += 1
                passed += valid(case, s, r, changed, m64[h], float(p[h]))
    suite.expect(f"{case.name}: wrong masks", tried and not passed, f"{passed} of {tried} wrong masks pass the check")


def cases(suite):
    data = qkv(1, 8, 2, 480, 480, 64)
    base = Case("base", *data, Options(p=0.7, **SMALL))
    tensors = suite.check(base)
    if tensors:
        rejects_mutations(suite, base, tensors)
    other = selected(base)
    for number, (name, change) in enumerate(VARIED.items()):
        case = Case(name, *data, Options(**{"p": 0.7, **SMALL, **change}))
        tensors = suite.check(case, extra=[f"--threads={1 + number % 2}"])
        tells_apart(suite, case, other)
        if tensors and not case.options.dense and not case.options.dense_below:
            rejects_mutations(suite, case, tensors)
    suite.check(Case("dense-below=479", *data, Options(p=0.7, dense_below=479, **SMALL)))
    for name in ("agg=sum", "share=group", "head-pool=2", "top-k=5", "min-blocks=6", "sink=3 p=.3", "last=1", "threshold=.3", "random=.25 seed"):
        more = qkv(2, 8, 2, 200, 333, 64, batch=2)
        suite.check(Case(f"{name} causal=False B=2", *more, Options(**{"p": 0.5, **SMALL, "causal": False, **VARIED[name]})))
    cu = ends([33, 0, 100, 67]), ends([40, 0, 200, 93])
    for name in ("last=1", "threshold=.3", "random=.25 seed"):
        suite.check(Case(f"{name} packed", *qkv(3, 8, 2, 200, 333, 64), Options(**{"p": 0.5, **SMALL, **VARIED[name]}), cu=cu))


harness.main(cases, __doc__)
