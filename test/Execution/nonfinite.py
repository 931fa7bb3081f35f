# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""A5: non-finite K and V that a row does not see change no bit of it; A2: what sees nothing is o = 0, lse = -inf all the same."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import dataclasses

import checks
import harness
import numpy as np
from checks import O
from harness import Case, Options, ends, qkv, random_selection

BAD = (np.nan, np.inf, -np.inf)
SMALL = Options(block=(32, 32))


def undisturbed(case, keys, values):
    """Which rows [B, H, Lq] keep their bits. keys, values: which rows of K and V [Lk] are not finite, in every head."""
    _, masks = checks.masks(case, *case.selection)
    hq, _ = case.heads
    batches = int(np.prod(case.lead(), dtype=int))
    kept = np.ones((batches, hq, case.q.shape[-2]), bool)
    starts = [0] if case.cu is None else case.cu[1][:-1]
    for number, (s, mask) in enumerate(zip(case.sequences(), masks)):
        start = starts[number % len(starts)]
        bad = [x[start : start + s.lk] for x in (keys, values)]
        for h in range(hq):
            kept[s.batch, h, s.tokens] = O.undisturbed(mask[h], s.lq, s.lk, *case.options.block, case.options.causal, *bad)
    return kept


def rows_of(tensors, kept):
    """o and lse of some rows; a selection is given, so it stays what it is."""
    if not tensors:
        return None
    return {n: t._replace(data=t.data.reshape(*kept.shape, -1)[kept] if n in ("o", "lse") else t.data) for n, t in tensors.items()}


def compare(suite, case, keys, values, bad):
    """Runs the case as it is, which is held against the oracle, and with `bad` where keys and values say."""
    clean = suite.check(case)
    dirty = dataclasses.replace(case, name=f"{case.name}, {bad}")
    dirty.k, dirty.v = (np.where(at[:, None], np.float32(bad), x) for at, x in ((keys, case.k), (values, case.v)))
    kept = undisturbed(case, keys, values)
    try:
        tensors, _ = suite.run(dirty)
    except harness.Failure as failure:
        suite.expect(dirty.name, False, str(failure))
        return
    suite.expect(f"{dirty.name}: rows to compare", 0 < kept.sum() < kept.size, f"{kept.sum()} of {kept.size} rows are undisturbed")
    suite.same(f"{dirty.name}: undisturbed rows", rows_of(clean, kept), rows_of(tensors, kept))


def given(name, data, rows, options=SMALL, **kw):
    """rows: for each query block the key blocks it takes, in every head."""
    case = Case(name, *data, options, **kw)
    r, j = case.selection_shape()
    counts, indices = np.zeros((*case.lead(), case.heads[0], r), np.int32), np.zeros((*case.lead(), case.heads[0], r, j), np.int32)
    for n, blocks in enumerate(rows):
        counts[..., n] = len(blocks)
        indices[..., n, : len(blocks)] = blocks
    case.selection = counts, indices
    return case


def at(length, *places):
    """Which of `length` rows are among the places."""
    return np.isin(np.arange(length), places)


def by_kind(suite, bad):
    """Each of A5's places by itself."""
    data, none = qkv(1, 2, 1, 128, 128, 64), at(128)
    some = given("a block that is not selected", data, [[0], [0], [0, 2], [0, 1]])
    compare(suite, some, at(128, 40, 100), at(128, 33, 127), bad)
    blind = given("a row that sees nothing", data, [[1], [3], [], [2, 3]])
    compare(suite, blind, at(128, 50, 120), at(128, 40, 127), bad)
    compare(suite, given("of a row that sees nothing, V alone", data, [[1], [3], [], [0, 1]]), none, at(128, 40, 127), bad)
    wide = given("half of a row that sees nothing", data, [[3], [7]], Options(block=(64, 16)))
    compare(suite, wide, at(128, 60, 125), at(128, 63, 127), bad)
    hidden = given("K masked inside a visited block", data, [[0], [0, 1], [1, 2], [0, 3]])
    compare(suite, hidden, at(128, 20, 63, 80, 127), none, bad)
    packed = given("another sequence", data, [[0], [0, 1], [0], [0]], cu=(ends([20, 50, 58]), ends([20, 50, 58])))
    compare(suite, packed, at(128, 20, 69), at(128, 25, 69), bad)
    compare(suite, dataclasses.replace(packed, name="the sequence before"), at(128, 19), at(128, 0, 19), bad)


def anywhere(suite, seed, bad, options, dtype="F32", cu=None, lengths=(150, 190), batch=None):
    """Any selection, any places."""
    rng = np.random.default_rng(seed)
    case = Case(f"seed {seed}", *qkv(seed, 4, 2, *lengths, 64, 32, batch), options, dtype=dtype, cu=cu)
    case.selection = random_selection(rng, case, density=0.4)
    compare(suite, case, *(rng.random((2, lengths[1])) < 0.02), bad)


def not_a_candidate(suite):
    """An estimate sees no more: a block behind every query of a row changes neither its selection nor its output."""
    case = Case("estimated", *qkv(5, 4, 2, 160, 160, 64), Options(block=(32, 32), p=0.6))
    clean = suite.check(case)
    dirty = dataclasses.replace(case, name="estimated, NaN in the last block", k=case.k.copy(), v=case.v.copy())
    dirty.k[:, 128:], dirty.v[:, 128:] = np.nan, np.nan
    tensors, _ = suite.run(dirty)
    cut = lambda t: t and {n: x._replace(data=x.data[:, : 128 if n in ("o", "lse") else 4]) for n, x in t.items()}
    suite.same(dirty.name, cut(clean), cut(tensors))


def cases(suite):
    for bad in BAD:
        by_kind(suite, bad)
    cu = ends([40, 0, 7, 103]), ends([60, 10, 7, 113])
    for seed, bad in enumerate(BAD * 2):
        dtype = ("F32", "F16", "BF16")[seed % 3]
        anywhere(suite, 10 + seed, bad, Options(block=((32, 32), (48, 16))[seed % 2], pool=(8, 8)), dtype)
        anywhere(suite, 20 + seed, bad, Options(block=(32, 32), causal=bool(seed % 2)), dtype, batch=2)
        anywhere(suite, 30 + seed, bad, Options(block=(16, 32)), dtype, cu)
    not_a_candidate(suite)


harness.main(cases, __doc__)
