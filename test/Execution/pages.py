# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""The page of tile code that GPUs get for attention, run on the CPU: what it says is right (A1 to A5, P3), in either order of walking."""

import dataclasses
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import numpy as np
from harness import Options, ends, qkv
from pages import both, page, results


def selections(suite):
    for seed, (density, empty) in enumerate([(0.5, 0.2), (0.1, 0.0), (1.0, 0.5), (0.0, 1.0)]):
        for causal in (True, False):
            name = f"density {density}, {empty} empty, causal={causal}"
            suite.check(page(name, seed, qkv(seed, 4, 2, 100, 100, 32), Options(block=(32, 16), causal=causal), density=density, empty_rows=empty))
    suite.check(page("dense", 10, qkv(10, 4, 2, 130, 130, 32), Options(block=(32, 32), dense=True), given=False))
    suite.check(page("dense, causal=False", 11, qkv(11, 4, 2, 130, 130, 32), Options(block=(32, 32), dense=True, causal=False), given=False))
    # The other stages are loops of the CPU's own, on the same arguments.
    suite.check(page("selects", 12, qkv(12, 4, 2, 200, 200, 64), Options(block=(32, 32), p=0.6), given=False))
    suite.check(page("one KV head for all", 13, qkv(13, 8, 1, 100, 100, 32)))
    suite.check(page("no groups", 14, qkv(14, 3, 3, 100, 100, 32)))


def columns(suite):
    """Rows of indices are as long as the largest count, or longer: the same results from less memory."""
    cu = ends([50, 0, 1, 65, 0]), ends([75, 40, 1, 65, 0])
    for seed, (name, data, more) in enumerate([("alone", qkv(15, 4, 2, 130, 170, 32), {}), ("packed", qkv(16, 4, 2, 116, 181, 32), dict(cu=cu))]):
        case = page(f"{name}: all columns", 35 + seed, data, **more)
        counts, indices = case.selection
        np.minimum(counts, 2, out=counts)
        indices[..., 2:] = 0
        wide = suite.check(case)
        for n in (1, 2, indices.shape[-1] + 3):
            given = np.minimum(counts, n), np.zeros((*counts.shape, n), np.int32)
            most = min(2, n)
            given[1][..., :most] = np.where(np.arange(most) < given[0][..., None], indices[..., :most], 0)
            got = results(suite, dataclasses.replace(case, name=f"{name}: {n} columns", selection=given))
            if not (wide and got):
                continue
            suite.expect(f"{name}: {n} columns: they stay", got["indices"].data.shape[-1] == min(n, indices.shape[-1]), f"got {got['indices'].data.shape}")
            if n >= 2:
                same = all(wide[x].data.tobytes() == got[x].data.tobytes() for x in ("o", "lse"))
                suite.expect(f"{name}: {n} columns: o, lse", same, "expected the same bits as with all columns")


def lengths(suite):
    for seed, (lq, lk) in enumerate([(1, 1), (1, 77), (33, 33), (64, 64), (65, 130)]):
        suite.check(page(f"Lq={lq} Lk={lk}", 20 + seed, qkv(20 + seed, 4, 2, lq, lk, 32)))
    suite.check(page("Lq > Lk, B=2", 30, qkv(30, 4, 2, 130, 50, 32, batch=2), Options(block=(32, 32), causal=False)))
    both(suite, page("Lq < Lk, B=2", 31, qkv(31, 4, 2, 70, 133, 32, batch=2), density=0.8))
    cu = ends([50, 0, 1, 65, 0]), ends([75, 40, 1, 65, 0])
    both(suite, page("packed", 32, qkv(32, 4, 2, 116, 181, 32, batch=1), density=0.8, cu=cu))
    suite.check(page("packed causal=False", 33, qkv(33, 4, 2, 116, 181, 32), Options(block=(32, 32), causal=False), cu=cu))
    suite.check(page("packed dense", 34, qkv(34, 4, 2, 116, 181, 32), Options(block=(32, 32), dense=True), given=False, cu=cu))


def unseen(suite):
    """Nothing that a row may not see changes a bit of it (A5, P3)."""
    case = page("ragged", 70, qkv(70, 4, 2, 70, 75, 36), dtype="F32")
    suite.same("behind the ends", suite.check(case), suite.check(dataclasses.replace(case, name="NaN behind the ends"), extra=["--poison"]))
    case = page("every other block", 71, qkv(71, 4, 2, 130, 130, 32))
    for row in np.ndindex(case.selection[0].shape):
        chosen = range(0, row[-1] + 1, 2)
        case.selection[0][row] = len(chosen)
        case.selection[1][row] = 0
        case.selection[1][row][: len(chosen)] = chosen
    dirty = dataclasses.replace(case, name="NaN in the blocks between", k=case.k.copy(), v=case.v.copy())
    for x in (dirty.k, dirty.v):
        for j in range(1, 5, 2):
            x[:, 32 * j : 32 * (j + 1)] = np.nan
    suite.same("unselected blocks", suite.check(case), results(suite, dirty))
    # Only the last block: rows of the query blocks before it see nothing of it.
    case = page("above the diagonal", 72, qkv(72, 4, 2, 128, 128, 32))
    case.selection[0][:], case.selection[1][:] = 1, 0
    case.selection[1][..., 0] = 3
    dirty = dataclasses.replace(case, name="NaN above the diagonal", k=case.k.copy(), v=case.v.copy())
    for x in (dirty.k, dirty.v):
        x[:, 96:] = np.nan
    suite.same("rows that see nothing", suite.check(case), results(suite, dirty), select=lambda x: x[:, :96] if x.shape[1] == 128 else x)


def cases(suite):
    selections(suite)
    columns(suite)
    lengths(suite)
    unseen(suite)


harness.main(cases, __doc__)
