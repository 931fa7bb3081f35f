# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cases of modified attention (M1 to M4), for the CPU's loops and for the pages that GPUs get."""

import itertools

import numpy as np
from harness import Case, Options, ends, qkv, random_selection

# Logits of qkv() are about 4: caps that bend them, windows that cut blocks, sinks that weigh.
MODIFICATIONS = {
    "softcap": dict(softcap=3.0),
    "window": dict(window=(45, 20)),
    "sinks": dict(sinks=True),
}


def modified(name, data, options=None, sinks=False, seed=0, extra=(), **kw):
    """A case with options of Options; `sinks`: of each head another."""
    heads = data[0].shape[-3]
    values = np.linspace(-2, 7, heads) if sinks else None
    return Case(name, *data, Options(**(options or {})), sinks=values, extra=extra, **kw)


def named(*names):
    """The options of some modifications together, and what is no option."""
    together = {}
    for name in names:
        together.update(MODIFICATIONS[name])
    sinks = together.pop("sinks", False)
    return together, sinks


def combinations():
    """Each alone and in pairs, and all."""
    for n in (1, 2, 3):
        for names in itertools.combinations(MODIFICATIONS, n):
            yield " and ".join(names), named(*names)


def given(case, seed, **how):
    case.selection = random_selection(np.random.default_rng(seed), case, **how)
    return case


def saturated(seed, sign):
    """Queries and keys whose products are all of a sign, and so large that a cap is all that is left of them."""
    q, k, v = qkv(seed, 4, 2, 70, 130, 32)
    return 20 + 4 * np.abs(q), sign * (20 + 4 * np.abs(k)), v


def cases(suite, extra=(), dtypes=("F32", "BF16")):
    small = dict(block=(32, 32), p=0.6)
    for seed, ((what, (options, sinks)), causal) in enumerate(itertools.product(combinations(), (True, False))):
        name, options = f"{what}, causal={causal}", {**small, **options, "causal": causal}
        suite.check(modified(name, qkv(seed, 4, 2, 150, 180, 32), options, sinks, dtype=dtypes[seed % len(dtypes)], extra=extra))
    cu = ends([50, 0, 1, 65, 0]), ends([75, 40, 1, 65, 0])
    for seed, (what, (options, sinks)) in enumerate(combinations()):
        data = qkv(20 + seed, 4, 2, 116, 181, 64)
        suite.check(modified(f"packed, {what}", data, {**small, **options}, sinks, cu=cu, extra=extra, dtype=dtypes[seed % len(dtypes)]))
    everything, sinks = named(*MODIFICATIONS)
    both = {**small, **everything}
    for seed, causal in enumerate((True, False)):
        case = modified(f"a given selection, causal={causal}", qkv(30 + seed, 4, 2, 130, 170, 32), {**both, "causal": causal}, sinks, extra=extra)
        suite.check(given(case, 30 + seed, density=0.7))
        suite.check(modified(f"dense, causal={causal}", qkv(32 + seed, 4, 2, 130, 170, 32), {**both, "causal": causal, "dense": True, "p": 0.9}, sinks, extra=extra))
    # A cap bounds logits, and with them exponentials: all of a row at either end of what a reference is settled for, with a
    # sink far from them, and a cap that is too large for one.
    for seed, (cap, sign, sinks) in enumerate(itertools.product((0.5, 50.0, 53.0, 100.0), (1, -1), (False, True))):
        options = {**small, "softcap": cap, "causal": sign > 0, "dense": True}
        dtype = "BF16" if sinks else dtypes[seed // 2 % len(dtypes)]
        suite.check(modified(f"logits at {sign * cap}, sinks={sinks}", saturated(80 + seed, sign), options, sinks, extra=extra, dtype=dtype))
    # What such a reference wants of V, at both ends (M4).
    for sign, size in itertools.product((1, -1), (2.0**-24, 2.0**60)):
        q, k, v = saturated(100, sign)
        v = np.sign(v) * (1 + np.abs(v)) * size / (8 if size > 1 else 1)
        options = {**small, "softcap": 53.0, "causal": sign > 0, "dense": True}
        suite.check(modified(f"logits at {sign * 53}, v of {size}", (q, k, v), options, extra=extra, dtype="BF16"))
    # Where a window begins and ends.
    for seed, (left, right) in enumerate([(1, 0), (2, -1), (-1, 0), (31, 32), (64, 63), (1000, 5), (-1, 200)]):
        options = {**small, "window": (left, right), "causal": seed % 3 == 2}
        suite.check(modified(f"window {left}, {right}", qkv(40 + seed, 2, 1, 130, 150, 32), options, extra=extra))
    # The last block's only composite stands in for those that it has not (P5), and sees what it sees.
    short = {**small, "block": (32, 16), "p": 0.5, "window": (40, -1), "representatives": 3}
    suite.check(modified("a short last block, representatives and window", qkv(50, 4, 2, 66, 130, 32), short, extra=extra))
    # The estimate: other rules, shared masses, representatives and spread, blocks that tiles do not divide.
    rules = [dict(top_k=2), dict(threshold=0.3), dict(random=0.5, seed=3), dict(share="group"), dict(agg="sum"), dict(last=1), dict(sink=0),
             dict(representatives=4, spread=4), dict(block=(48, 40), pool=(8, 4)), dict(head_pool=2), dict(block=(64, 16), pool=(16, 8))]
    for seed, rule in enumerate(rules):
        causal, name = seed % 2 == 0, ", ".join(f"{k}={v}" for k, v in rule.items())
        options = {**small, "softcap": 4.0, "window": (70, 40), "causal": causal, **rule}
        if {"top_k", "threshold", "random"} & set(rule):
            options.pop("p")
        suite.check(modified(name, qkv(60 + seed, 4, 2, 190, 230, 32), options, extra=extra))
