# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Packed variable-length batches: each sequence is computed as if alone, whatever its neighbours hold (P3)."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import numpy as np
from harness import Case, Options, ends, qkv

# Lengths of the sequences: queries, and keys where there are more.
BATCHES = {
    "one": ([300], None),
    "even": ([128, 128, 256], None),
    "uneven": ([1, 127, 130, 7, 300], None),
    "empty between": ([0, 100, 0, 0, 65, 0], None),
    "chunks": ([5, 64, 129, 1], [300, 64, 257, 1]),
    "keys of an empty query": ([0, 40], [70, 100]),
}


def packed(name, seed, lengths, options, batch=1, heads=(4, 2), dtype="F32", dim=64, **kw):
    lq, lk = lengths[0], lengths[1] or lengths[0]
    q, k, v = qkv(seed, *heads, sum(lq), sum(lk), dim, batch=batch)
    return Case(name, q, k, v, options, dtype=dtype, cu=(ends(lq), ends(lk)), **kw)


def poison_neighbours(suite):
    """With every other sequence all NaN, a sequence's results keep their bits."""
    lengths = ([70, 130, 1, 200], [70, 300, 90, 200])
    case = packed("neighbours", 50, lengths, Options(block=(64, 64), p=0.6))
    clean = suite.check(case)
    for s in range(4):
        dirty = Case(f"NaN around sequence {s}", case.q.copy(), case.k.copy(), case.v.copy(), case.options, cu=case.cu)
        for x, cu in zip((dirty.q, dirty.k, dirty.v), (case.cu[0], case.cu[1], case.cu[1])):
            x[..., : cu[s], :] = np.nan
            x[..., cu[s + 1] :, :] = np.nan
        place = case.sequences()[s]
        try:
            tensors, _ = suite.run(dirty)
        except harness.Failure as failure:
            suite.expect(dirty.name, False, str(failure))
            continue
        alone = Case(dirty.name, case.q[..., place.tokens, :], *(x[..., case.cu[1][s] : case.cu[1][s + 1], :] for x in (case.k, case.v)), case.options)
        suite.check_tensors(alone, part(tensors, place))
        suite.same(f"{dirty.name}, bits", part(clean, place), part(tensors, place))


def part(tensors, s):
    """The results of one sequence."""
    if not tensors:
        return None
    at = {"o": (s.tokens, slice(None)), "lse": (s.tokens,), "counts": (s.rows,), "indices": (s.rows, slice(0, s.columns))}
    return {name: tensors[name]._replace(data=tensors[name].data[(..., *index)]) for name, index in at.items()}


def cases(suite):
    for seed, (name, lengths) in enumerate(BATCHES.items()):
        for causal in (True, False):
            options = Options(block=(64, 64), causal=causal, p=0.6)
            suite.check(packed(f"{name} causal={causal}", seed, lengths, options, batch=1 if causal else None, opt_level=3 * causal))
    uneven = BATCHES["uneven"]
    suite.check(packed("more queries", 10, ([100, 30], [20, 130]), Options(block=(64, 64), causal=False, p=0.6)))
    suite.check(packed("queries without keys", 11, ([40, 30], [0, 130]), Options(block=(64, 64), causal=False, p=0.6)))
    suite.check(packed("default blocks", 12, ([200, 129, 300], None), Options()))
    suite.check(packed("block 96x40", 13, uneven, Options(block=(96, 40), pool=(8, 4), p=0.6)))
    suite.check(packed("head-pool, agg", 14, uneven, Options(block=(32, 32), head_pool=2, agg="sum", p=0.6)))
    suite.check(packed("share, top-k", 15, uneven, Options(block=(32, 32), share="group", top_k=3)))
    suite.check(packed("guards", 16, BATCHES["chunks"], Options(block=(32, 32), sink=2, local=2, min_blocks=3, max_blocks=4)))
    suite.check(packed("p per head", 17, uneven, Options(block=(32, 32), p=(0.0, 0.5, 0.9, 1.0))))
    suite.check(packed("dense-below, by sequence", 18, uneven, Options(block=(32, 32), dense_below=130, p=0.2)))
    suite.check(packed("dense", 19, uneven, Options(block=(32, 32), dense=True)))
    suite.check(packed("F16", 20, uneven, Options(block=(64, 64), p=0.6), dtype="F16"))
    suite.check(packed("BF16", 21, BATCHES["chunks"], Options(block=(64, 64), p=0.6), dtype="BF16"))
    poison_neighbours(suite)


harness.main(cases, __doc__)
