# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
# RUN: %python %s --tool=%unisparse_run --tmp=%t --target=tile-cpu
"""Masses from outside, whatever they hold (L3): NaN and what is below zero count as none, the infinite come first, and no row ends
out of range or not at all. And the density that the program asks for."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import numpy as np
from checks import O
from harness import Case, Options

HEADS, ROWS, COLUMNS = 2, 24, 40
TENSOR = "tensor<1x{}x{}x{}xf32>"
# The first rows of q, [1, H, R, J], are masses. The density is written as an LSE, one for each of q's rows.
PROGRAM = """func.func @select(%q: {shape}, %k: {keys}, %v: {keys}) -> (tensor<1x{h}x{r}xi32>, tensor<1x{h}x{r}x{j}xi32>, tensor<1x{h}x{q}xf32>) {{
  %m = tensor.extract_slice %q[0, 0, 0, 0] [1, {h}, {r}, {j}] [1, 1, 1, 1] : {shape} to {mass}
  %c, %i, %d = unisparse.block_select %m lengths [{q}, {n}] block <{size}x{size}> rule <{rule}> {causal}
    : ({mass}) -> (tensor<1x{h}x{r}xi32>, tensor<1x{h}x{r}x{j}xi32>, tensor<1x{h}xf32>)
  %e = tensor.empty() : tensor<1x{h}x{q}xf32>
  %b = linalg.broadcast ins(%d : tensor<1x{h}xf32>) outs(%e : tensor<1x{h}x{q}xf32>) dimensions = [2]
  return %c, %i, %b : tensor<1x{h}x{r}xi32>, tensor<1x{h}x{r}x{j}xi32>, tensor<1x{h}x{q}xf32>
}}
"""
RULES = {
    "top_p = 0.5": dict(p=0.5),
    "top_p = 0.0": dict(p=0.0),
    "top_p = 1.0": dict(p=1.0),
    "top_p = 1.0, max_blocks = 3": dict(p=1.0, max_blocks=3),
    "top_p = 0.9, sink = 0, local = 0, min_blocks = 5": dict(p=0.9, n_sink=0, n_local=0, min_blocks=5),
    "top_p = 0.5, relax = 0.0": dict(p=0.5),
    "top_p = 0.75, relax = 0.8": dict(p=0.75, relax=0.8),
    "top_p = 0.4, relax = 1000": dict(p=0.4, relax=1000.0),
    "top_p = 1.0, sink = 0, relax = 0.5": dict(p=1.0, n_sink=0, relax=0.5),
    "top_k = 4": dict(top_k=4),
    "top_k = 9, max_blocks = 2": dict(top_k=9, max_blocks=2),
    "top_k = 2, last = 3": dict(top_k=2, n_last=3),
    "threshold = 0.5": dict(threshold=0.5),
    "threshold = 1.0, sink = 0, local = 0": dict(threshold=1.0, n_sink=0, n_local=0),
    "random = 0.3, seed = 9": dict(share_of=0.3),
}
# Tokens of a block: rows with relax have to reach from 4,096 candidate keys to above 8,192.
SIZE = lambda rule: 256 if "relax" in rule else 1  # noqa: E731
# Of these GPUs have no kernel, and say so.
NO_KERNEL = ("last", "threshold", "random")
NAN, INF = np.nan, np.inf


def draw(seed):
    """Masses, multiples of 1/64 so that every sum is exact; each row with other kinds of what is no mass."""
    rng = np.random.default_rng(seed)
    mass = rng.integers(0, 64, (HEADS, ROWS, COLUMNS)).astype(np.float32) / 64
    kinds = [(NAN,), (INF,), (-INF,), (-1.0,), (-0.0,), (NAN, INF), (NAN, -INF, INF, -2.0), (np.float32(1e-45),)]
    for h, r in np.ndindex(HEADS, ROWS):
        kind = kinds[(h + r) % len(kinds)]
        share = (0.1, 0.5, 1.0)[r % 3]
        mass[h, r] = np.where(rng.random(COLUMNS) < share, rng.choice(kind, COLUMNS), mass[h, r])
    return mass


def expected(mass, causal, rule):
    clean = np.where(mass > 0, mass, 0).astype(np.float64)
    if "share_of" in rule:
        clean = np.stack([O.random_mass(ROWS, COLUMNS, 9, h) for h in range(HEADS)])
    size = SIZE(rule)
    return np.stack([O.select(m, ROWS * size, COLUMNS * size, size, size, causal=causal, **rule) for m in clean])


def got(tensors):
    """The mask, or what is wrong with counts and indices (L6)."""
    counts, indices = (tensors[n].data[0] for n in ("counts", "indices"))
    mask = np.zeros(indices.shape, bool)
    for h, r in np.ndindex(*counts.shape):
        n, row = counts[h, r], indices[h, r]
        if not 0 <= n <= COLUMNS or (row < 0).any() or (row >= COLUMNS).any() or (np.diff(row[:n]) <= 0).any() or row[n:].any():
            return f"head {h}, row {r}: {n} blocks {row}"
        mask[h, r, row[:n]] = True
    return mask


def cases(suite):
    for number, (rule, options) in enumerate(RULES.items()):
        for causal in (True, False):
            mass, path = draw(number), os.path.join(suite.tmp, "program.mlir")
            if "relax" in rule:  # Of a sum of denormals, a share that is no simple fraction is rounded by much.
                mass[mass == np.float32(1e-45)] = 0.25
            size = SIZE(rule)
            lq, lk = ROWS * size, COLUMNS * size
            shapes = dict(shape=TENSOR.format(HEADS, lq, COLUMNS), mass=TENSOR.format(HEADS, ROWS, COLUMNS), keys=TENSOR.format(HEADS, lk, COLUMNS))
            names = dict(shapes, size=size, q=lq, n=lk, h=HEADS, r=ROWS, j=COLUMNS, rule=rule, causal="causal" if causal else "")
            with open(path, "w") as file:
                file.write(PROGRAM.format(**names))
            keys = np.zeros((1, HEADS, lk, COLUMNS), np.float32)
            queries = np.pad(mass, ((0, 0), (0, lq - ROWS), (0, 0)))
            case = Case(f"{rule} causal={causal}", queries[None], keys, keys, Options(), extra=(f"--program={path}",))
            try:
                tensors, _ = suite.run(case)
            except harness.Failure as failure:
                refused = suite.target and any(word in rule for word in NO_KERNEL) and "at the tile level" in str(failure)
                suite.expect(case.name, refused, str(failure))
                continue
            mask, want = got(tensors), expected(mass, causal, options)
            wrong = mask if isinstance(mask, str) else [f"head {h}, row {r}: expected {np.flatnonzero(want[h, r])}, got {np.flatnonzero(mask[h, r])} of {mass[h, r]}" for h, r in np.argwhere((mask != want).any(2))[:3]]
            suite.expect(case.name, not wrong, str(wrong))
            candidates = sum(COLUMNS - ROWS + 1 + r if causal else COLUMNS for r in range(ROWS))
            density = tensors["counts"].data[0].sum(1) / candidates
            written = tensors["lse"].data[0]
            suite.expect(f"{case.name}: density", np.allclose(written, density[:, None], rtol=1e-6), f"expected {density}, got {written}")
            suite.rows += HEADS * ROWS


harness.main(cases, __doc__)
