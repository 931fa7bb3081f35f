# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Comparisons of a run with the oracle: selections by L6 and L7, outputs by A1 to A3.

Every function returns what is wrong, in words; an empty list means that everything was compared and held.
"""

import hashlib
import os
import sys

import numpy as np
from safetensors import UNIT_ROUNDOFF, round_to

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Oracle"))
import oracle as O

# L7's eps. A half's own masses are off by the rounding of the composites.
EPS = {"F32": 1e-4, "F16": 0.02, "BF16": 0.02}


def shapes(case, tensors):
    """Are all results there, with the types and shapes of the contract?"""
    hq, _ = case.heads
    rows, columns = case.selection_shape()
    lead, lq = case.lead(), case.q.shape[-2]
    want = {
        "o": (case.dtype, (*lead, hq, lq, case.v.shape[-1])),
        "lse": ("F32", (*lead, hq, lq)),
        "counts": ("I32", (*lead, hq, rows)),
        "indices": ("I32", (*lead, hq, rows, columns)),
    }
    wrong = []
    for name, (dtype, shape) in want.items():
        if name not in tensors:
            wrong.append(f"output: no tensor '{name}' among {sorted(tensors)}")
            continue
        got = tensors[name]
        if (got.dtype, got.data.shape) != (dtype, shape):
            wrong.append(f"{name}: expected {dtype}{list(shape)}, got {got.dtype}{list(got.data.shape)}")
    return wrong


def masks(case, counts, indices):
    """L6 -> what is wrong, and the masks [Hq, R, J] of each sequence."""
    hq, _ = case.heads
    counts = counts.reshape(case.batches, *counts.shape[-2:])
    indices = indices.reshape(case.batches, *indices.shape[-3:])
    wrong, result = [], []
    for number, s in enumerate(case.sequences()):
        c, i = counts[s.batch, :, s.rows], indices[s.batch, :, s.rows]
        mask = np.zeros((*c.shape, s.columns), bool)
        for h, r in np.ndindex(*c.shape):
            n, row = c[h, r], i[h, r]
            where = f"sequence {number}, head {h}, row {r}"
            if not 0 <= n <= s.columns:
                wrong.append(f"counts [L6]: {where}: {n} of {s.columns} blocks")
                continue
            taken = row[:n]
            if (taken < 0).any() or (taken >= s.columns).any():
                wrong.append(f"indices [L6]: {where}: {taken} out of [0, {s.columns})")
                continue
            if (np.diff(taken) <= 0).any():
                wrong.append(f"indices [L6]: {where}: {taken} do not ascend")
            if row[n:].any():
                wrong.append(f"indices [L6]: {where}: {row[n:]} behind the count {n}, expected zeros")
            mask[h, r, taken] = True
        result.append(mask)
    return wrong, result


def selection(case, got):
    """L7: are the masks of each sequence what the options ask for? Returns what is wrong and how many rows were compared."""
    wrong, rows = [], 0
    for number, (s, mask) in enumerate(zip(case.sequences(), got)):
        for h, violation in enumerate(_sequence_selection(case, s, mask)):
            rows += len(mask[h])
            if violation:
                wrong.append(f"selection [L7]: sequence {number}, head {h}, {violation}")
        wrong += [f"selection: sequence {number}, {w}" for w in _shared_selection(case, mask)]
    return wrong, rows


LARGEST = {"F32": float(np.finfo(np.float32).max), "F16": 65504.0, "BF16": float.fromhex("0x1.fep127")}


def oracle_masses(case, s):
    """M64 [Hq, R, J] of a sequence, with composites rounded to the type that holds them (P2, P6); or the random ones (L10)."""
    o, most = case.options, LARGEST[case.dtype]
    share = None if o.share == "none" else o.share
    if o.random is not None:
        return _random_masses(case, s)
    store = lambda x: round_to(np.clip(x, -most, most), case.dtype)
    rest = (o.alpha, o.agg, share, store, o.representatives, o.spread, o.softcap, o.window)
    if "--estimate-with-region" in case.extra:
        modify = lambda head: case.modification(s.batch, head)["modify"]
        return O.masses(s.q, s.k, *o.pool, o.head_pool, *o.block, case.scale, o.causal, *rest, modify)
    # Cases that differ in the rule alone have the same masses.
    given = (o.pool, o.head_pool, o.block, case.scale, o.causal, share, case.dtype, *(x for x in rest if x is not store))
    key = (*given, *(bit for x in (s.q, s.k) for bit in (x.shape, str(x.dtype), hashlib.blake2b(np.ascontiguousarray(x)).digest())))
    if key not in _masses:
        if len(_masses) == 32:
            _masses.clear()
        _masses[key] = O.masses(s.q, s.k, *o.pool, o.head_pool, *o.block, case.scale, o.causal, *rest, lambda head: None)
    return _masses[key]


_masses = {}


def _random_masses(case, s):
    """L10: a head's masses follow from the number of its selection among those of the batch."""
    o, (hq, hkv) = case.options, case.heads
    selections = hq // o.head_pool
    if o.share == "group":
        selections = min(selections, hkv)
    rows, columns = -(-s.lq // o.block[0]), -(-s.lk // o.block[1])
    units = s.batch * selections + np.arange(hq) * selections // hq
    return np.stack([O.random_mass(rows, columns, o.seed, int(unit)) for unit in units])


def _sequence_selection(case, s, mask):
    """What is wrong with each head's mask, '' for nothing."""
    o = case.options
    if not s.lq:
        return []
    if o.dense:
        want = O.every_candidate(s.lq, s.lk, *o.block, o.causal, o.window)
        return ["" if (m == want).all() else "not every candidate of a dense run" for m in mask]
    m64 = oracle_masses(case, s)
    if not np.isfinite(m64).all():
        return ["the oracle's own masses are not finite"] * len(mask)
    p = O.head_shares(o.p, *case.heads, o.share)
    return [
        O.selection_valid(mask[h], m64[h], s.lq, s.lk, *o.block, float(p[h]), o.causal, EPS[case.dtype], **o.rule())
        for h in range(len(mask))
    ]


def _shared_selection(case, mask):
    """S6 and P4: heads that share masses and p share the selection."""
    o, (hq, hkv) = case.options, case.heads
    sizes = {}
    if o.share == "group":
        sizes["a KV group"] = hq // hkv
    if o.head_pool > 1 and np.size(o.p) == 1 and o.share == "none":
        sizes["pooled heads"] = o.head_pool
    wrong = []
    for what, size in sizes.items():
        grouped = mask.reshape(hq // size, size, *mask.shape[1:])
        if (grouped != grouped[:, :1]).any():
            wrong.append(f"{what} of {size} heads: expected one selection, got several")
    return wrong


def density(case, got, report):
    """Does the report agree with the selection?"""
    o, (hq, _) = case.options, case.heads
    chosen = sum(int(m.sum()) for m in got)
    per_head = np.zeros(hq)
    candidates = np.zeros(hq)
    for s, mask in zip(case.sequences(), got):
        every = O.every_candidate(s.lq, s.lk, *o.block, o.causal, o.window)
        if (mask & ~every).any():
            return []  # A selection from outside that leaves the candidates has no density.
        per_head += mask.sum((1, 2))
        candidates += every.sum()
    wrong = []
    for key, want in (("selected_blocks", chosen), ("candidate_blocks", int(candidates.sum()))):
        if report.get(key) != want:
            wrong.append(f"--json: {key}: expected {want}, got {report.get(key)}")
    share = lambda x, of: np.where(of > 0, x / np.maximum(1, of), 1.0)  # Of no candidates, all are selected.
    want = share(chosen, candidates.sum())
    if not abs(report.get("density", np.nan) - want) <= 1e-5:
        wrong.append(f"--json: density: expected {want:.6f}, got {report.get('density')}")
    heads = np.asarray(report.get("density_per_head"), float)
    want = share(per_head, candidates)
    if heads.size != hq * case.batches or heads.size and not np.allclose(heads.reshape(-1, hq).mean(0), want, atol=1e-5):
        wrong.append(f"--json: density_per_head: expected {want}, got {report.get('density_per_head')}")
    return wrong


def outputs(case, got, o, lse):
    """A1 to A3, on the selection `got`. Returns what is wrong and how many rows were compared."""
    hq, hkv = case.heads
    o, lse = o.reshape(case.batches, *o.shape[-3:]), lse.reshape(case.batches, *lse.shape[-2:])
    worst = {"o": _Worst(case.dtype), "lse": _Worst("F32")}
    wrong, rows, heads = [], 0, []
    for number, (s, mask) in enumerate(zip(case.sequences(), got)):
        for h in range(hq):
            k, v = s.k[h // (hq // hkv)], s.v[h // (hq // hkv)]
            args = (s.q[h], k, v, mask[h], *case.options.block, case.scale, case.options.causal, case.modification(s.batch, h))
            exact = by_row(O.attend, *args)
            mine = o[s.batch, h, s.tokens], lse[s.batch, h, s.tokens]
            rows += len(mine[0])
            sees = ~np.isneginf(exact[1])
            if not (mine[0][~sees] == 0).all() or not np.isneginf(mine[1][~sees]).all():
                wrong.append(f"outputs [A2]: sequence {number}, head {h}: a row that sees nothing is not o = 0, lse = -inf")
            exact = [x[sees] for x in exact]
            errors = [w.add(f"sequence {number}, head {h}", x[sees], y) for w, x, y in zip(worst.values(), mine, exact)]
            heads.append((errors, args, exact, sees))
    _measure_plain(case, worst, heads)
    return wrong + [f"{name} [A3]: {w.verdict()}" for name, w in worst.items() if w.verdict()], rows


def _measure_plain(case, worst, heads):
    """A3's yardstick is the largest error of a plain computation. To measure more of it raises the bounds and nothing else,
    so that no more is measured than the errors need, the heads with the largest first."""
    small = case.q.shape[-2] * case.k.shape[-2] <= 1 << 20
    heads = sorted(heads, key=lambda head: head[0], reverse=True)
    for variant in (2, 0, 1) if small else (2,):
        for _, args, exact, sees in heads:
            if not any(w.verdict() for w in worst.values()):
                return
            for w, x, y in zip(worst.values(), by_row(_plain(case.dtype, variant), *args), exact):
                w.measure(x[sees], y)


def by_row(attend, q, k, v, mask, bq, bk, scale, causal, modification):
    """attend() one query block at a time, over the keys that it may see: the same results for less time and memory."""
    o, lse = np.zeros((len(q), v.shape[1])), np.zeros(len(q))
    for r in range(len(mask)):
        rows = slice(r * bq, min((r + 1) * bq, len(q)))
        right = O.reach(causal, modification["window"])[1]
        # Behind a query block's last row are the keys to its right, so that rows keep their places among the keys.
        seen = len(k) if right is None else min(len(k), len(k) - len(q) + rows.stop + right)
        last = len(k) - len(q) + rows.stop
        shifted = modification | {"window": _shifted(modification["window"], seen - last)}
        if modification["modify"] is not None:
            shifted["modify"] = lambda s, i, t, by=seen - last: modification["modify"](s, i - by, t)
        o[rows], lse[rows] = attend(q[rows], k[:seen], v[:seen], mask[r : r + 1, : -(-seen // bk)], bq, bk, scale,
                                    causal and seen == last, **shifted)
    return o, lse


def _shifted(window, by):
    """The same keys for queries whose last stands `by` keys before the last key."""
    left, right = window
    return (left if left < 0 else left + by, right if right < 0 else right - by)


def _plain(dtype, variant):
    """A3's yardstick: attend() with operands of the input type and accumulation in float32.

    The order of a plain sum is anybody's choice, and with few rows the largest error depends on it: the variants are
    three choices, and the yardstick is the worst of them. The first two add one product after the other; the third is
    as NumPy's BLAS does it, and alone does for large cases, where the largest error of many rows is steady.
    """

    def attend(q, k, v, mask, bq, bk, scale, causal, softcap, window, sink, modify):
        q, k, v = (x.astype(np.float32) for x in (q, k, v))
        keep = O.visible(mask, len(q), len(k), bq, bk, causal, window)
        places = np.arange(len(q))[:, None] + len(k) - len(q), np.arange(len(k))[None]
        used = np.flatnonzero(keep.any(0))
        keep, k, v, scale = keep[:, used], k[used], v[used], np.float32(scale)
        multiply = (_sum_up, _sum_down, np.matmul)[variant]
        s = multiply(scale * q, k.T) if variant == 1 else scale * multiply(q, k.T)
        if softcap is not None:
            s = O.cap(s, np.float32(softcap), tanh=lambda x: _tanh(x, dtype, variant))
        if modify is not None:
            s = modify(s, places[0], places[1][:, used]).astype(np.float32)
        s = np.where(keep, s, np.float32(-np.inf))
        m = np.maximum(s.max(1, keepdims=True, initial=-np.inf), np.float32(sink))
        m = np.where(np.isfinite(m), m, np.float32(0))
        e = np.exp(s - m)
        z = e.sum(1, keepdims=True) if variant == 2 else multiply(e, np.ones((len(k), 1), np.float32))
        z = z + np.exp(np.float32(sink) - m)
        with np.errstate(divide="ignore"):
            return multiply(round_to(e, dtype), v) / np.where(z > 0, z, 1), (m + np.log(z))[:, 0]

    return attend


def _tanh(x, dtype, variant):
    """M4: in float32; of 16-bit inputs off by 2^-12 of itself: up, down, or up and down by turns."""
    y = np.tanh(x)
    if dtype == "F32":
        return y
    signs = 1 - 2 * (np.arange(x.shape[-1]) % 2) if variant == 2 else 1 - 2 * variant
    return (y * (1 + signs * 2.0**-12)).astype(np.float32)


def _sum_up(a, b):
    """a @ b in float32, one product after the other: NumPy adds up along the first dimension in that order."""
    total = np.zeros((len(a), b.shape[1]), np.float32)
    at_once = 32
    terms = np.empty((at_once + 1, *total.shape), np.float32)
    for i in range(0, len(b), at_once):
        n = min(at_once, len(b) - i)
        terms[0] = total
        np.multiply(a.T[i : i + n, :, None], b[i : i + n, None, :], out=terms[1 : n + 1])
        np.add.reduce(terms[: n + 1], axis=0, out=total)
    return total


def _sum_down(a, b):
    return _sum_up(a[:, ::-1], b[::-1])


class _Worst:
    """The largest error of a result against the bound of A3."""

    def __init__(self, dtype):
        self.dtype, self.error, self.plain, self.size, self.where = dtype, 0.0, 0.0, 0.0, ""

    def add(self, where, got, exact):
        """Returns the largest error of `got`."""
        if not exact.size:
            return 0.0
        self.size = max(self.size, np.abs(exact).max())
        error = np.abs(got.astype(np.float64) - exact)
        largest = np.inf if np.isnan(error).any() else error.max()
        if largest > self.error:
            place = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
            self.error = largest
            self.where = f"{where}, at {tuple(map(int, place))}: expected {exact[place]:.9g}, got {got[place]:.9g}"
        return largest

    def measure(self, plain, exact):
        if exact.size:
            self.plain = max(self.plain, np.abs(plain - exact).max())

    def bound(self):
        smallest = 2.0**-25 if self.dtype == "F16" else 0.0  # Half of f16's smallest subnormal.
        return 2 * self.plain + max(UNIT_ROUNDOFF[self.dtype] * self.size, smallest)

    def verdict(self):
        if self.error <= self.bound():
            return ""
        return f"{self.where}: error {self.error:.3g}, bound {self.bound():.3g} (plain computation {self.plain:.3g})"
