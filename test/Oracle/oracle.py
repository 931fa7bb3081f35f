# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""docs/SPEC.md in NumPy float64: the reference that every execution test compares with. Slow on purpose.

Labels (P1, S2, L3, A1, ...) are those of SPEC.md. Functions take one sequence; those without an `H` axis take one head.
"""

import numpy as np


def exact(x):
    """The `store` of a computation that keeps its composites in float64."""
    return x


def pool(x, c):
    """x [L, D] -> means of c consecutive rows [ceil(L/c), D] and how many rows each holds (P1)."""
    n = -(-len(x) // c)
    rows = [x[a * c : (a + 1) * c] for a in range(n)]
    means = np.stack([r.mean(0) for r in rows]) if n else np.zeros((0, x.shape[1]))
    return means, np.array([len(r) for r in rows], int)


def pool_heads(q, k, ch):
    """P4: q [Hq, L, D], k [Hkv, L, D] -> the same with ch query heads averaged, and the KV heads that go with them."""
    g = len(q) // len(k)
    q = q.reshape(len(q) // ch, ch, *q.shape[1:]).mean(1)
    if ch > g:
        m = ch // g
        k = k.reshape(len(k) // m, m, *k.shape[1:]).mean(1)
    return q, k


def block_mass(q, k, cq, ck, bq, bk, scale, causal=True, alpha=1.0, agg="max", store=exact):
    """q [Lq, D], k [Lk, D] -> M [R, J] (S1-S5). `store` rounds composites to the type they are kept in (P2)."""
    lq, lk = len(q), len(k)
    r, j, mq, mk = -(-lq // bq), -(-lk // bk), bq // cq, bk // ck
    if not r or not j:
        return np.zeros((r, j))
    qt, nq = pool(q, cq)
    kt, nk = pool(k, ck)
    s = alpha * scale * (store(qt) @ store(kt).T) + np.log(nk / ck)[None]
    if causal:
        last = lk - lq + np.minimum((np.arange(len(nq)) + 1) * cq, lq) - 1
        s = np.where(np.arange(len(nk))[None] * ck <= last[:, None], s, -np.inf)
    p = np.exp(s - s.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    w = np.stack([p[:, x * mk : (x + 1) * mk].sum(1) for x in range(j)], 1)
    rows = [slice(x * mq, (x + 1) * mq) for x in range(r)]
    if agg == "max":
        return np.stack([w[a].max(0) for a in rows])
    return np.stack([(nq[a, None] * w[a]).sum(0) / nq[a].sum() for a in rows])


def masses(q, k, cq, ck, ch, bq, bk, scale, causal=True, alpha=1.0, agg="max", share=None, store=exact):
    """q [Hq, Lq, D], k [Hkv, Lk, D] -> M [Hq, R, J] (P1-S6), repeated over heads that share one."""
    hq, hkv = len(q), len(k)
    qh, kh = pool_heads(q, k, ch)
    m = [block_mass(qh[h], kh[h * len(kh) // len(qh)], cq, ck, bq, bk, scale, causal, alpha, agg, store) for h in range(len(qh))]
    m = np.repeat(np.stack(m), ch, 0)
    if share == "group":
        g = hq // hkv
        m = np.repeat(m.reshape(hkv, g, *m.shape[1:]).mean(1), g, 0)
    return m


def candidates(r, lq, lk, bq, bk, causal):
    """Number of key blocks that query block r may see (L1): they are 0 .. n-1."""
    return min((lk - lq + min((r + 1) * bq, lq) - 1) // bk + 1, -(-lk // bk)) if causal else -(-lk // bk)


def forced(r, lq, lk, bq, bk, causal, n_sink=1, n_local=1):
    """L2: which of the candidates of query block r are taken whatever their mass."""
    n = candidates(r, lq, lk, bq, bk, causal)
    f = np.zeros(n, bool)
    f[:n_sink] = True
    if causal:
        f[max(0, (lk - lq + r * bq) // bk - (n_local - 1)) :] = True
    return f


def every_candidate(lq, lk, bq, bk, causal):
    """The mask [R, J] of dense attention."""
    mask = np.zeros((-(-lq // bq), -(-lk // bk)), bool)
    for r in range(len(mask)):
        mask[r, : candidates(r, lq, lk, bq, bk, causal)] = True
    return mask


def select(m, lq, lk, bq, bk, p=0.9, causal=True, n_sink=1, n_local=1, min_blocks=0, max_blocks=None, top_k=None, dense_below=0):
    """M [R, J] -> mask [R, J] (L1-L4)."""
    if lk <= dense_below:
        return every_candidate(lq, lk, bq, bk, causal)
    mask = np.zeros(m.shape, bool)
    for r in range(len(m)):
        f = forced(r, lq, lk, bq, bk, causal, n_sink, n_local)
        row, take = m[r, : len(f)], f.copy()
        if top_k is None and p >= 1 and max_blocks is None:
            mask[r, : len(f)] = True
            continue
        mass, count, extra = row[f].sum(), int(f.sum()), 0
        for j in np.argsort(-row, kind="stable"):
            if take[j]:
                continue
            if top_k is not None:
                if count >= top_k:
                    break
            elif p < 1 and not (p > 0 and mass < p * row.sum()) and count >= min_blocks:
                break
            if max_blocks is not None and extra >= max_blocks:
                break
            take[j] = True
            mass, count, extra = mass + row[j], count + 1, extra + 1
        mask[r, : len(f)] = take
    return mask


def visible(mask, lq, lk, bq, bk, causal=True):
    """mask [R, J] -> which keys each row sees [Lq, Lk] (A1)."""
    keep = np.repeat(np.repeat(mask, bq, 0)[:lq], bk, 1)[:, :lk]
    return keep & (np.arange(lk)[None] <= np.arange(lq)[:, None] + lk - lq) if causal else keep


def attend(q, k, v, mask, bq, bk, scale, causal=True):
    """q [Lq, D], k [Lk, D], v [Lk, Dv], mask [R, J] -> o [Lq, Dv], lse [Lq] (A1, A2).

    What a row does not see is no part of its sums, so that a non-finite K or V there changes nothing in it (A5).
    """
    keep, finite = visible(mask, len(q), len(k), bq, bk, causal), np.isfinite(v).all(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = np.where(keep, scale * (q @ k.T), -np.inf)
        m = s.max(1, keepdims=True, initial=-np.inf)
        m = np.where(np.isfinite(m), m, 0)
        e = np.exp(s - m)
        z = e.sum(1, keepdims=True)
        o = e[:, finite] @ v[finite]
        for t in np.flatnonzero(~finite):
            o += np.where(keep[:, t, None], e[:, t, None] * v[t], 0)
        return o / np.where(z == 0, 1, z), (m + np.log(z))[:, 0]


def undisturbed(mask, lq, lk, bq, bk, causal, bad_k, bad_v):
    """A5: which rows [Lq] the rows of K and V that are not finite, bad_k and bad_v [Lk], may not change: those that see no
    such K and visit no such V, and those that see nothing at all."""
    keep = visible(mask, lq, lk, bq, bk, causal)
    visits = visible(mask, lq, lk, bq, bk, causal=False)
    return ~((keep & bad_k).any(1) | (visits & bad_v).any(1)) | ~keep.any(1)


def head_shares(p, hq, hkv, share=None):
    """L5: one p, one per query head, or one per KV head under share = group -> Hq values."""
    return np.repeat(p, hq // hkv) if share == "group" and np.size(p) == hkv else np.broadcast_to(p, (hq,))


def attention(q, k, v, cq=8, ck=8, ch=1, bq=128, bk=128, p=0.9, causal=True, scale=None, alpha=1.0, agg="max", share=None, **sel):
    """q [Hq, Lq, D], k [Hkv, Lk, D], v [Hkv, Lk, Dv] -> o, lse, mask [Hq, R, J]. `sel`: the options of select()."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    hq, hkv, lq, lk = len(q), len(k), q.shape[1], k.shape[1]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    m = masses(q, k, cq, ck, ch, bq, bk, scale, causal, alpha, agg, share)
    p = head_shares(p, hq, hkv, share)
    mask = np.stack([select(m[h], lq, lk, bq, bk, p[h], causal, **sel) for h in range(hq)])
    g = hq // hkv
    o, lse = zip(*(attend(q[h], k[h // g], v[h // g], mask[h], bq, bk, scale, causal) for h in range(hq)))
    return np.stack(o), np.stack(lse), mask


def selection_valid(mask, m64, lq, lk, bq, bk, p=0.9, causal=True, eps=0.02, n_sink=1, n_local=1,
                    min_blocks=0, max_blocks=None, top_k=None, dense_below=0):
    """L7: is a mask [R, J] made in low precision acceptable, given the oracle's M? '' or the first violation.

    L7 speaks of p alone. With the guards of L3 and with top-k the same idea holds: F is in S, S is in C, no left-out
    block beats a taken non-forced one by more than eps, and S is as large as some masses within eps of M64 would make
    it. Where the rule fixes the size (top-k, p = 0, p >= 1, max_blocks reached) nothing is left to eps.
    """
    dense = lk <= dense_below
    for r in range(len(m64)):
        f = forced(r, lq, lk, bq, bk, causal, n_sink, n_local)
        s, row = np.asarray(mask[r, : len(f)], bool), m64[r, : len(f)]
        if mask[r, len(f) :].any():
            return f"row {r}: a block outside the {len(f)} candidates"
        if dense:
            if not s.all():
                return f"row {r}: {s.sum()} of {len(f)} blocks in a sequence that is dense by dense_below"
            continue
        if (f & ~s).any():
            return f"row {r}: forced block {int(np.argmax(f & ~s))} missing"
        wrong = _wrong_size(s, f, row, p, eps, min_blocks, max_blocks, top_k) or _wrong_order(s, f, row, eps)
        if wrong:
            return f"row {r}: {wrong}"
    return ""


def _wrong_size(s, f, row, p, eps, min_blocks, max_blocks, top_k):
    """Does the rule take as many blocks as s has, given the forced ones f?"""
    count, fixed, total = int(s.sum()), int(f.sum()), row.sum()
    most = len(f) if max_blocks is None else min(len(f), fixed + max_blocks)
    if top_k is not None or p >= 1 or p == 0:
        goal = top_k if top_k is not None else len(f) if p >= 1 else min_blocks
        goal = min(max(goal, fixed), most)
        return f"{count} blocks, the rule takes {goal}" if count != goal else ""
    if count > most:
        return f"{count} blocks, max_blocks allows {most}"
    mass = row[s].sum()
    if count < most and mass < (p - eps) * total:
        return f"mass {mass / total:.6f} < p - eps"
    if count < min(most, min_blocks):
        return f"{count} blocks, min_blocks asks for {min_blocks}"
    free = s & ~f
    if free.any() and mass - row[free].min() >= (p + eps) * total and count > min_blocks:
        return "more blocks than p needs"
    return ""


def _wrong_order(s, f, row, eps):
    """Is a left-out block better than a taken one?"""
    free, out = s & ~f, ~s
    if free.any() and out.any() and row[out].max() > row[free].min() + eps * row.sum():
        return "a left-out block beats a taken one"
    return ""
