# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""docs/SPEC.md in torch float64, all heads of a sequence at once: the oracle for sizes at which NumPy is too slow.

`against_oracle` compares it with test/Oracle/oracle.py. Labels are SPEC.md's.
"""

import math

import torch

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
UNIT_ROUNDOFF = {"f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8}
# The smallest difference that a type can tell apart around 0: half of f16's smallest subnormal.
SMALLEST = {"f32": 0.0, "f16": 2.0**-25, "bf16": 0.0}


def pool(x, c):
    """x [H, L, D] -> means of c consecutive rows [H, ceil(L / c), D] and how many rows each holds (P1)."""
    length = x.shape[1]
    n = -(-length // c)
    padded = torch.nn.functional.pad(x, (0, 0, 0, n * c - length))
    rows = (length - torch.arange(n, device=x.device) * c).clamp(max=c).double()
    return padded.reshape(x.shape[0], n, c, x.shape[2]).sum(2) / rows[:, None], rows


def representatives(q, bq, t):
    """q [H, L, D] -> the rows that lie farthest from the mean of their block of bq (P5): [H, R, t], ascending, and which of
    these there are."""
    length, r = q.shape[1], -(-q.shape[1] // bq)
    means = pool(q, bq)[0].repeat_interleave(bq, 1)[:, :length]
    far = torch.nn.functional.pad((q - means).norm(dim=2), (0, r * bq - length), value=-1.0).reshape(len(q), r, bq)
    order = torch.sort(far, descending=True, stable=True, dim=2)
    there = order.values[..., :t] >= 0
    rows = torch.where(there, order.indices[..., :t], bq).sort(-1)[0] + torch.arange(r, device=q.device)[:, None] * bq
    return rows.clamp(max=max(length - 1, 0)), there.sum(-1, keepdim=True) > torch.arange(t, device=q.device)


def groups(x, size):
    """x [H, L, D] -> [H, L, D / size, size]"""
    return x.reshape(*x.shape[:2], -1, size)


def spread_of(k, ck, size, means):
    """P6: the variance of each composite's rows, over groups of consecutive dims [H, ceil(L / ck), D / size]."""
    rest = k - means.repeat_interleave(ck, 1)[:, : k.shape[1]]
    return groups(pool(rest**2, ck)[0], size).mean(3)


def reach(causal, window=(-1, -1)):
    """How far a query sees to its left and to its right (A1, M2), None for no limit."""
    left, right = (None if side is None or side < 0 else side for side in window)
    return left, 0 if causal else right


def capped(x, softcap, tanh=torch.tanh):
    """M1."""
    return x if softcap is None else softcap * tanh(x / softcap)


def masses(q, k, pooling, block, scale, causal=True, alpha=1.0, agg="max", share="none", dtype=None, reps=0, spread=0,
           softcap=None, window=(-1, -1), modify=None):
    """q [Hq, Lq, D], k [Hkv, Lk, D], float64 -> M [Hq, R, J] (P1 to S6, M1, M2, M6). dtype: what composites are kept in (P2).
    modify: of the estimate's logits, positions of queries and of keys."""
    (cq, ck, ch), (bq, bk) = pooling, block
    (hq, lq, _), (hkv, lk, _) = q.shape, k.shape
    r, j, g = -(-lq // bq), -(-lk // bk), hq // hkv
    if not r or not j:
        return q.new_zeros(hq, r, j)
    most = None if dtype is None else torch.finfo(DTYPES[dtype]).max
    store = (lambda x: x) if dtype is None else (lambda x: x.clamp(-most, most).to(DTYPES[dtype]).double())
    q = q.reshape(hq // ch, ch, lq, -1).mean(1)  # P4
    if ch > g:
        k = k.reshape(hq // ch, ch // g, lk, -1).mean(1)
    (qt, nq), (kt, nk) = pool(q, cq), pool(k, ck)
    first = (torch.arange(len(nq), device=q.device) * cq).expand(len(q), -1)
    last = (first + cq).clamp(max=lq) - 1
    kt = store(kt)
    if spread:  # P6, as columns of the composites.
        kt = torch.cat([kt, store(spread_of(k, ck, spread, pool(k, ck)[0]))], 2)
    kt = kt.repeat_interleave(len(q) // len(k), 0)

    left, right = reach(causal, window)

    def weights(qt, first, last):
        """W of some composite rows, each with its first and last token (S1 to S4)."""
        qt = store(qt)
        if spread:
            qt = torch.cat([qt, store(0.5 * alpha * scale * (groups(qt, spread) ** 2).sum(3))], 2)
        s = capped(alpha * scale * (qt @ kt.transpose(1, 2)), softcap)
        start = torch.arange(len(nk), device=q.device) * ck
        if modify is not None:  # M6: a composite stands where its middle token does.
            s = modify(s, ((first + last) // 2 + lk - lq)[..., None], start + (nk.long() - 1) // 2)
        s = s + torch.log(nk / ck)
        if right is not None:
            s = s.masked_fill(start > lk - lq + last[..., None] + right, -math.inf)
        if left is not None:
            s = s.masked_fill(start + nk - 1 < lk - lq + first[..., None] - left, -math.inf)
        p = torch.softmax(s, -1)
        return torch.nn.functional.pad(p, (0, j * (bk // ck) - len(nk))).reshape(*p.shape[:2], j, bk // ck).sum(3)

    w = weights(qt, first, last)
    missing = r * (bq // cq) - len(nq)
    w = torch.nn.functional.pad(w, (0, 0, 0, missing)).reshape(len(q), r, bq // cq, j)
    if agg == "max":  # S5
        m = w.amax(2)
        if reps:  # P5
            rows, there = representatives(q, bq, reps)
            flat = rows.reshape(len(q), -1)
            w = weights(torch.gather(q, 1, flat[..., None].expand(-1, -1, q.shape[2])), flat, flat).reshape(len(q), r, reps, j)
            m = torch.maximum(m, torch.where(there[..., None], w, torch.zeros_like(w)).amax(2))
    else:
        n = torch.nn.functional.pad(nq, (0, missing)).reshape(r, bq // cq, 1)
        m = (n * w).sum(2) / n.sum(1)
    m = m.repeat_interleave(ch, 0)
    return m.reshape(hkv, g, r, j).mean(1).repeat_interleave(g, 0) if share == "group" else m  # S6


def visible(mask, lq, lk, block, causal, window=(-1, -1)):
    """mask [H, R, J] -> which keys each query sees [H, Lq, Lk] (A1, M2)."""
    keep = mask.repeat_interleave(block[0], 1)[:, :lq].repeat_interleave(block[1], 2)[:, :, :lk]
    left, right = reach(causal, window)
    distance = torch.arange(lk, device=mask.device)[None] - (torch.arange(lq, device=mask.device)[:, None] + lk - lq)
    if right is not None:
        keep = keep & (distance <= right)
    return keep if left is None else keep & (distance >= -left)


def undisturbed(mask, lq, lk, block, causal, bad_k, bad_v, window=(-1, -1)):
    """A5: which rows [H, Lq] the rows of K and V that are not finite, bad_k and bad_v [Lk], may not change: those that see
    no such K and visit no such V, and those that see nothing at all."""
    keep, visits = visible(mask, lq, lk, block, causal, window), visible(mask, lq, lk, block, False)
    return ~((keep & bad_k).any(-1) | (visits & bad_v).any(-1)) | ~keep.any(-1)


def attend(q, k, v, keep, scale, softcap=None, sinks=None, modify=None):
    """q [H, Lq, D], k, v [Hkv, Lk, .], keep [H, Lq, Lk] -> o, lse in the type of q (A1, A2, M1, M3, M5); what is not finite
    reaches the rows that see it and no others (A5). modify: of logits [H, Lq, Lk]."""
    g = len(q) // len(k)
    e, m, sink = _exponentials(q, k.repeat_interleave(g, 0), keep, scale, 0.0, softcap, sinks, modify=modify)
    z, v = e.sum(-1, keepdim=True) + sink, v.repeat_interleave(g, 0)
    o, bad = e @ torch.nan_to_num(v, 0.0, 0.0, 0.0), ~torch.isfinite(v).all(-1)
    if bad.any():
        o = torch.where((keep & bad[:, None]).any(-1, keepdim=True), torch.full_like(o, math.nan), o)
    return o / torch.where(z == 0, torch.ones_like(z), z), (m + torch.log(z))[..., 0]


def _exponentials(q, k, keep, scale, shift, softcap=None, sinks=None, tanh=torch.tanh, modify=None):
    """exp(logit - m), m, and the exponential of each head's sink, [H, 1, 1] or 0."""
    s = capped(scale * (q @ k.transpose(1, 2)), softcap, tanh)
    s = (s if modify is None else modify(s)).masked_fill(~keep, -math.inf)
    m = s.amax(-1, keepdim=True) if s.shape[-1] else s.new_full((*s.shape[:2], 1), -math.inf)
    if sinks is not None:
        sinks = sinks.to(s.dtype)[:, None, None]
        m = torch.maximum(m, sinks)
    m = torch.where(torch.isfinite(m), m, torch.zeros_like(m)) + shift
    return torch.exp(s - m), m, 0.0 if sinks is None else torch.exp(sinks - m)


def _coarse_tanh(variant):
    """M4: tanh of 16-bit inputs, off by 2^-12 of itself: up, down, or up and down by turns."""

    def tanh(x):
        signs = 1 - 2 * (torch.arange(x.shape[-1], device=x.device) % 2) if variant == 2 else 1 - 2 * variant
        return torch.tanh(x) * (1 + signs * 2.0**-12)

    return tanh


def plain(q, k, v, keep, scale, dtype, variant, softcap=None, sinks=None, modify=None):
    """A3's yardstick: operands of the input type, accumulation in float32. Not rounded at the end.

    The reference that exponentials are taken against and the order of sums are anybody's choice, and with few rows the
    largest error depends on them: the variants are three choices, and the yardstick is the worst of them.
    """
    g = len(q) // len(k)
    q, k, v = q.float(), k.float().repeat_interleave(g, 0), v.float().repeat_interleave(g, 0)
    if variant == 2:  # Keys last to first, the scale on the query.
        q, k, v, keep, scale = scale * q, k.flip(1), v.flip(1), keep.flip(2), 1.0
        if modify is not None:
            forward, modify = modify, lambda s: forward(s.flip(2)).flip(2)
    tanh = torch.tanh if dtype == "f32" else _coarse_tanh(variant)
    e, m, sink = _exponentials(q, k, keep, scale, (0.0, 0.3, -0.55)[variant], softcap, sinks, tanh, modify)
    z = e.sum(-1, keepdim=True) + sink
    p = e.to(DTYPES[dtype]).float()
    return p @ v / torch.where(z > 0, z, torch.ones_like(z)), (m + torch.log(z))[..., 0]


def against_oracle(oracle):
    """Compares with the NumPy oracle on small cases -> how many agreed. Raises where one does not."""
    import numpy

    done = 0
    whole = (-1, -1)
    for lq, lk, causal, pooling, agg, share, reps, spread, softcap, window in (
        (70, 70, True, (8, 8, 1), "max", "none", 0, 0, None, whole),
        (33, 100, True, (4, 8, 2), "sum", "none", 0, 4, None, whole),
        (65, 31, False, (16, 2, 4), "max", "none", 5, 0, None, whole),
        (1, 97, True, (1, 1, 1), "sum", "group", 0, 0, None, whole),
        (64, 64, True, (8, 8, 1), "max", "group", 0, 0, None, whole),
        (70, 90, True, (8, 8, 2), "max", "none", 12, 1, None, whole),
        (70, 90, True, (8, 8, 1), "max", "none", 12, 1, 2.0, (20, -1)),
        (65, 131, False, (16, 2, 1), "sum", "none", 0, 0, 3.0, (30, 9)),
    ):
        rng = numpy.random.default_rng(done)
        q, k, v = (rng.normal(size=size) * 2 for size in ((4, lq, 24), (2, lk, 24), (2, lk, 16)))
        tq, tk, tv = (torch.from_numpy(x) for x in (q, k, v))
        more = dict(reps=reps, spread=spread, softcap=softcap, window=window)
        theirs, ours = {}, {}
        if (*pooling, 1)[2] == 1:
            slopes = torch.tensor([0.5, 0.1, 0.02, 0.0], dtype=torch.float64)
            theirs["modify"] = lambda h: lambda s, i, t: s - float(slopes[h]) * abs(t - i)
            ours["modify"] = lambda s, i, t: s - slopes[:, None, None] * (t - i).abs()
        want = oracle.masses(q, k, *pooling, 16, 16, 0.3, causal, 1.5, agg, None if share == "none" else share, **more, **theirs)
        got = masses(tq, tk, pooling, (16, 16), 0.3, causal, 1.5, agg, share, **more, **ours)
        assert numpy.allclose(got.numpy(), want, rtol=1e-10, atol=1e-14), ("masses", lq, lk, pooling, agg, share, reps, spread)
        mask = rng.random(want.shape) < 0.5
        sinks = None if softcap is None else torch.linspace(-2, 3, 4)
        o, lse = attend(tq, tk, tv, visible(torch.from_numpy(mask), lq, lk, (16, 16), causal, window), 0.3, softcap, sinks)
        for h in range(4):
            sink = -numpy.inf if sinks is None else float(sinks[h])
            oo, ll = oracle.attend(q[h], k[h // 2], v[h // 2], mask[h], 16, 16, 0.3, causal, softcap, window, sink)
            assert numpy.allclose(o[h].numpy(), oo) and numpy.allclose(lse[h].numpy(), ll), ("attend", lq, lk)
            keys = torch.from_numpy(rng.random((2, lk)) < 0.1)
            kept = undisturbed(torch.from_numpy(mask), lq, lk, (16, 16), causal, *keys, window)[h].numpy()
            assert (kept == oracle.undisturbed(mask[h], lq, lk, 16, 16, causal, *keys.numpy(), window)).all(), ("undisturbed", lq, lk)
        done += 1
    return done
