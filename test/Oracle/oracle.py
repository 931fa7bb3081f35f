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


def representatives(q, bq, t):
    """P5: q [Lq, D] -> for each query block the rows (ascending) that lie farthest from the block's mean, t of them or all."""
    rows = []
    for r in range(0, len(q), bq):
        far = np.linalg.norm(q[r : r + bq] - q[r : r + bq].mean(0), axis=1)
        rows.append(np.sort(r + np.argsort(-far, kind="stable")[:t]))
    return rows


def groups(x, size):
    """x [L, D] -> [L, D / size, size]"""
    return x.reshape(len(x), -1, size)


def spread_of(k, ck, group):
    """P6: k [Lk, D] -> population variance of each composite's rows, averaged over groups of consecutive dims [ceil(Lk/ck), D / group]."""
    v = np.stack([k[b : b + ck].var(0) for b in range(0, len(k), ck)])
    return groups(v, group).mean(2)


def cap(x, softcap, tanh=np.tanh):
    """M1: logits under a soft cap, or as they are where that is None."""
    return x if softcap is None else softcap * tanh(x / softcap)


def block_mass(q, k, cq, ck, bq, bk, scale, causal=True, alpha=1.0, agg="max", store=exact, reps=0, spread=0,
               softcap=None, window=(-1, -1), modify=None):
    """q [Lq, D], k [Lk, D] -> M [R, J] (S1-S5, M1, M2, M6). `store` rounds composites to the type they are kept in (P2).
    reps: representative rows of a query block (P5); spread: dims of a group (P6), 0 for none; modify: of the estimate's
    logits, positions of queries and of keys."""
    lq, lk = len(q), len(k)
    r, j, mk = -(-lq // bq), -(-lk // bk), bk // ck
    if not r or not j:
        return np.zeros((r, j))
    assert not reps or agg == "max"
    qt, nq = pool(q, cq)
    kt, nk = pool(k, ck)
    # Of each composite row: its first and last token, and its query block.
    first, block = np.arange(len(nq)) * cq, np.arange(len(nq)) // (bq // cq)
    last = np.minimum(first + cq, lq) - 1
    if reps:
        single = np.concatenate(representatives(q, bq, reps))
        qt, nq = np.concatenate([qt, q[single]]), np.concatenate([nq, np.ones(len(single), int)])
        first, last = np.concatenate([first, single]), np.concatenate([last, single])
        block = np.concatenate([block, single // bq])
    qs, ks = store(qt), store(kt)
    if spread:
        qs = np.concatenate([qs, store(0.5 * alpha * scale * (groups(qs, spread) ** 2).sum(2))], 1)
        ks = np.concatenate([ks, store(spread_of(k, ck, spread))], 1)
    s = cap(alpha * scale * (qs @ ks.T), softcap)
    start = np.arange(len(nk))[None] * ck
    if modify is not None:  # M6: a composite stands where its middle token does.
        s = modify(s, ((first + last) // 2 + lk - lq)[:, None], start + (nk - 1)[None] // 2)
    s = s + np.log(nk / ck)[None]
    left, right = reach(causal, window)
    if right is not None:
        s = np.where(start <= (lk - lq + last + right)[:, None], s, -np.inf)
    if left is not None:
        s = np.where(start + nk[None] - 1 >= (lk - lq + first - left)[:, None], s, -np.inf)
    p = np.exp(s - np.maximum(s.max(1, keepdims=True), np.finfo(float).min))
    p /= np.where(p.any(1, keepdims=True), p.sum(1, keepdims=True), 1)  # Of a composite to which f leaves nothing, 0 (M6).
    w = np.stack([p[:, x * mk : (x + 1) * mk].sum(1) for x in range(j)], 1)
    rows = [block == x for x in range(r)]
    if agg == "max":
        return np.stack([w[a].max(0) for a in rows])
    return np.stack([(nq[a, None] * w[a]).sum(0) / nq[a].sum() for a in rows])


def masses(q, k, cq, ck, ch, bq, bk, scale, causal=True, alpha=1.0, agg="max", share=None, store=exact, reps=0, spread=0,
           softcap=None, window=(-1, -1), modify=lambda head: None):
    """q [Hq, Lq, D], k [Hkv, Lk, D] -> M [Hq, R, J] (P1-S6), repeated over heads that share one. modify: block_mass's of a head,
    of which composites then have one (M6)."""
    hq, hkv = len(q), len(k)
    qh, kh = pool_heads(q, k, ch)
    m = [
        block_mass(qh[h], kh[h * len(kh) // len(qh)], cq, ck, bq, bk, scale, causal, alpha, agg, store, reps, spread, softcap, window,
                   modify(h))
        for h in range(len(qh))
    ]
    m = np.repeat(np.stack(m), ch, 0)
    if share == "group":
        g = hq // hkv
        m = np.repeat(m.reshape(hkv, g, *m.shape[1:]).mean(1), g, 0)
    return m


def reach(causal, window=(-1, -1)):
    """How far a query sees to its left and to its right (A1, M2), None for no limit."""
    left, right = (None if side < 0 else side for side in window)
    return left, 0 if causal else right


def candidates(r, lq, lk, bq, bk, causal, window=(-1, -1)):
    """First and one past the last of the key blocks that query block r may see (L1, M2)."""
    (left, right), first, end = reach(causal, window), 0, -(-lk // bk)
    if right is not None:
        end = min((lk - lq + min((r + 1) * bq, lq) - 1 + right) // bk + 1, end)
    if left is not None:
        first = max(0, lk - lq + r * bq - left) // bk
    return first, end


def forced(r, lq, lk, bq, bk, causal, n_sink=1, n_local=1, window=(-1, -1)):
    """L2: which key blocks of query block r are taken whatever their mass, of its candidates."""
    first, end = candidates(r, lq, lk, bq, bk, causal, window)
    f = np.zeros(-(-lk // bk), bool)
    f[:n_sink] = True
    if causal:
        f[max(0, (lk - lq + r * bq) // bk - (n_local - 1)) :] = True
    return f[first:end]


def every_candidate(lq, lk, bq, bk, causal, window=(-1, -1)):
    """The mask [R, J] of dense attention."""
    mask = np.zeros((-(-lq // bq), -(-lk // bk)), bool)
    for r in range(len(mask)):
        mask[r, slice(*candidates(r, lq, lk, bq, bk, causal, window))] = True
    return mask


def select(m, lq, lk, bq, bk, p=0.9, causal=True, n_sink=1, n_local=1, min_blocks=0, max_blocks=None, top_k=None, dense_below=0,
           n_last=0, threshold=None, share_of=None, window=(-1, -1), relax=0.0):
    """M [R, J] -> mask [R, J] (L1-L4, L8, L9, L11; with random_mass as M and share_of = d, L10)."""
    asked = p
    if lk <= dense_below:
        return every_candidate(lq, lk, bq, bk, causal, window)
    mask = np.zeros(m.shape, bool)
    for r in range(len(m)):
        f = forced(r, lq, lk, bq, bk, causal, n_sink, n_local, window)
        span = slice(*candidates(r, lq, lk, bq, bk, causal, window))
        row, take = m[r, span], f.copy()
        p = relaxed(asked, relax, len(f) * bk)
        by_p = top_k is None and threshold is None and share_of is None
        if r >= len(m) - n_last or (by_p and p >= 1 and max_blocks is None):
            mask[r, span] = True
            continue
        if threshold is not None:
            mask[r, span] = f | (row >= threshold * row.max())
            continue
        if share_of is not None:
            top_k = int(np.ceil(share_of * len(f)))
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
        mask[r, span] = take
    return mask


def relaxed(p, relax, keys):
    """L11: the share that a row of so many candidate keys selects."""
    weight = min(max((keys - 4096) / 12288, 0.0), 1.0)
    return max(0.0, 1 - (1 - p) * (1 + relax * weight))


def random_mass(r, j, seed, unit=0):
    """L10: pseudo-random masses [R, J] in [0, 1) of a (batch, head) unit, the same on every target."""

    def mix(x):
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            x = (x ^ x >> np.uint64(shift)) * np.uint64(factor) & np.uint64(0xFFFFFFFF)
        return x

    x = mix(np.uint64((seed + 0x9E3779B9 * (1 + unit)) & 0xFFFFFFFF))
    x = mix(x ^ np.arange(r, dtype=np.uint64)[:, None])
    return mix(x ^ (np.arange(j, dtype=np.uint64) * np.uint64(0x9E3779B9) & np.uint64(0xFFFFFFFF))[None]) / 2.0**32


def visible(mask, lq, lk, bq, bk, causal=True, window=(-1, -1)):
    """mask [R, J] -> which keys each row sees [Lq, Lk] (A1, M2)."""
    keep = np.repeat(np.repeat(mask, bq, 0)[:lq], bk, 1)[:, :lk]
    left, right = reach(causal, window)
    distance = np.arange(lk)[None] - (np.arange(lq)[:, None] + lk - lq)
    if right is not None:
        keep = keep & (distance <= right)
    return keep if left is None else keep & (distance >= -left)


def alibi_slopes(heads):
    """M5: of a power of two of heads n, 2^(-8 / n), 2^(-16 / n), ...; of others those of the power below, then every second one
    of twice that power."""
    power = 1 << (heads.bit_length() - 1)
    slopes = lambda n: 2.0 ** (-8 * np.arange(1, n + 1) / n)
    return np.concatenate([slopes(power), slopes(2 * power)[::2][: heads - power]])


def alibi(heads, head):
    """M5: the modification of that name, as `attend` takes it."""
    slope = alibi_slopes(heads)[head]
    return lambda s, i, t: s - slope * np.abs(i - t)


def attend(q, k, v, mask, bq, bk, scale, causal=True, softcap=None, window=(-1, -1), sink=-np.inf, modify=None):
    """q [Lq, D], k [Lk, D], v [Lk, Dv], mask [R, J] -> o [Lq, Dv], lse [Lq] (A1, A2, M1-M3, M5). sink: the head's logit;
    modify: of logits, positions of queries and of keys.

    What a row does not see is no part of its sums, so that a non-finite K or V there changes nothing in it (A5).
    """
    keep = visible(mask, len(q), len(k), bq, bk, causal, window)
    i, t = np.arange(len(q))[:, None] + len(k) - len(q), np.flatnonzero(keep.any(0))
    keep, k, v = keep[:, t], k[t], v[t]  # Keys that some row sees.
    finite = np.isfinite(v).all(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = cap(scale * (q @ k.T), softcap)
        if modify is not None:
            s = modify(s, i, t[None])
        s = np.where(keep, s, -np.inf)
        m = np.maximum(s.max(1, keepdims=True, initial=-np.inf), sink)
        m = np.where(np.isfinite(m), m, 0)
        e = np.exp(s - m)
        z = e.sum(1, keepdims=True) + np.exp(sink - m)
        o = e[:, finite] @ v[finite]
        for x in np.flatnonzero(~finite):
            o += np.where(keep[:, x, None], e[:, x, None] * v[x], 0)
        return o / np.where(z == 0, 1, z), (m + np.log(z))[:, 0]


def undisturbed(mask, lq, lk, bq, bk, causal, bad_k, bad_v, window=(-1, -1)):
    """A5: which rows [Lq] the rows of K and V that are not finite, bad_k and bad_v [Lk], may not change: those that see no
    such K and visit no such V, and those that see nothing at all."""
    keep = visible(mask, lq, lk, bq, bk, causal, window)
    visits = visible(mask, lq, lk, bq, bk, causal=False)
    return ~((keep & bad_k).any(1) | (visits & bad_v).any(1)) | ~keep.any(1)


def head_shares(p, hq, hkv, share=None):
    """L5: one p, one per query head, or one per KV head under share = group -> Hq values."""
    return np.repeat(p, hq // hkv) if share == "group" and np.size(p) == hkv else np.broadcast_to(p, (hq,))


def attention(q, k, v, cq=8, ck=8, ch=1, bq=128, bk=128, p=0.9, causal=True, scale=None, alpha=1.0, agg="max", share=None,
              reps=0, spread=0, softcap=None, window=(-1, -1), sinks=None, **sel):
    """q [Hq, Lq, D], k [Hkv, Lk, D], v [Hkv, Lk, Dv] -> o, lse, mask [Hq, R, J]. `sel`: the options of select()."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    hq, hkv, lq, lk = len(q), len(k), q.shape[1], k.shape[1]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    m = masses(q, k, cq, ck, ch, bq, bk, scale, causal, alpha, agg, share, exact, reps, spread, softcap, window)
    p = head_shares(p, hq, hkv, share)
    mask = np.stack([select(m[h], lq, lk, bq, bk, p[h], causal, window=window, **sel) for h in range(hq)])
    g, sinks = hq // hkv, np.full(hq, -np.inf) if sinks is None else sinks
    o, lse = zip(*(attend(q[h], k[h // g], v[h // g], mask[h], bq, bk, scale, causal, softcap, window, sinks[h]) for h in range(hq)))
    return np.stack(o), np.stack(lse), mask


def selection_valid(mask, m64, lq, lk, bq, bk, p=0.9, causal=True, eps=0.02, n_sink=1, n_local=1,
                    min_blocks=0, max_blocks=None, top_k=None, dense_below=0, n_last=0, threshold=None, share_of=None,
                    window=(-1, -1), relax=0.0):
    """L7: is a mask [R, J] made in low precision acceptable, given the oracle's M? '' or the first violation.

    L7 speaks of p alone. With the guards of L3 and with top-k the same idea holds: F is in S, S is in C, no left-out
    block beats a taken non-forced one by more than eps, and S is as large as some masses within eps of M64 would make
    it. Where the rule fixes the size (top-k, p = 0, p >= 1, max_blocks reached) nothing is left to eps. A threshold
    is met within eps of the row's mass (L9); random masses are exact, so that the checker of L10 leaves nothing to eps.
    """
    for r in range(len(m64)):
        wrong = row_valid(r, mask, m64, lq, lk, bq, bk, p, causal, eps, n_sink, n_local, min_blocks, max_blocks, top_k, dense_below,
                          n_last, threshold, share_of, window, relax)
        if wrong:
            return f"row {r}: {wrong}"
    return ""


def row_valid(r, mask, m64, lq, lk, bq, bk, p=0.9, causal=True, eps=0.02, n_sink=1, n_local=1,
              min_blocks=0, max_blocks=None, top_k=None, dense_below=0, n_last=0, threshold=None, share_of=None,
              window=(-1, -1), relax=0.0):
    """selection_valid of row r."""
    dense = lk <= dense_below
    f = forced(r, lq, lk, bq, bk, causal, n_sink, n_local, window)
    span = slice(*candidates(r, lq, lk, bq, bk, causal, window))
    s, row = np.asarray(mask[r, span], bool), m64[r, span]
    if mask[r].sum() != s.sum():
        return f"a block outside the {len(f)} candidates"
    if dense or r >= len(m64) - n_last:
        where = "sequence that is dense by dense_below" if dense else "last row"
        return "" if s.all() else f"{s.sum()} of {len(f)} blocks in a {where}"
    if (f & ~s).any():
        return f"forced block {int(np.argmax(f & ~s))} missing"
    if threshold is not None:
        return _wrong_threshold(s, f, row, threshold, eps)
    if share_of is not None:
        top_k, eps = int(np.ceil(share_of * len(f))), 0
    return _wrong_size(s, f, row, relaxed(p, relax, len(f) * bk), eps, min_blocks, max_blocks, top_k) or _wrong_order(s, f, row, eps)


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


def _wrong_threshold(s, f, row, threshold, eps):
    """L9: is what is taken at least, and what is left out below, the share of the largest mass?"""
    least, slack = threshold * row.max(), eps * row.sum()
    if (s & ~f & (row < least - slack)).any():
        return "a block below the threshold"
    if (~s & (row >= least + slack)).any():
        return "a block left out that reaches the threshold"
    return ""


def _wrong_order(s, f, row, eps):
    """Is a left-out block better than a taken one?"""
    free, out = s & ~f, ~s
    if free.any() and out.any() and row[out].max() > row[free].min() + eps * row.sum():
        return "a left-out block beats a taken one"
    return ""
