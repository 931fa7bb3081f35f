# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s
"""Properties that the oracle must have, and proof that its checker of selections tells right from wrong."""

import itertools
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import numpy as np
import oracle as O

SHAPES = [(200, 200), (256, 256), (70, 333), (33, 100), (1, 97)]


def qkv(lq, lk, d=32, seed=0):
    r = np.random.default_rng(seed)
    return r.normal(size=(lq, d)) * 2, r.normal(size=(lk, d)) * 2, r.normal(size=(lk, d))


def all_mass_is_dense():
    for (lq, lk), causal in itertools.product(SHAPES, (True, False)):
        q, k, v = qkv(lq, lk)
        m = O.block_mass(q, k, 8, 8, 32, 32, 32**-0.5, causal, agg="sum")
        assert np.allclose(m.sum(1), 1)
        o, l = O.attend(q, k, v, O.select(m, lq, lk, 32, 32, 1.0, causal), 32, 32, 32**-0.5, causal)
        d, ld = O.attend(q, k, v, np.ones_like(m, bool), 32, 32, 32**-0.5, causal)
        assert np.allclose(o, d) and np.allclose(l, ld)
        yield f"{lq}x{lk} causal={causal}"


def selected_mass_reaches_p_and_is_valid():
    q, k, _ = qkv(200, 333)
    for agg, p in itertools.product(("max", "sum"), (0, 0.5, 0.9, 0.99)):
        m = O.block_mass(q, k, 8, 8, 32, 32, 32**-0.5, agg=agg)
        s = O.select(m, 200, 333, 32, 32, p)
        assert ((m * s).sum(1) >= p * m.sum(1) - 1e-12).all()
        assert O.selection_valid(s, m, 200, 333, 32, 32, p, eps=1e-9) == ""
        yield f"agg={agg} p={p}"


def c1_is_the_true_block_mass():
    q, k, _ = qkv(200, 200)
    m = O.block_mass(q, k, 1, 1, 32, 32, 32**-0.5, agg="sum")
    s = np.where(np.tril(np.ones((200, 200), bool)), np.exp(32**-0.5 * q @ k.T), 0)
    s /= s.sum(1, keepdims=True)
    rows = [s[r * 32 : (r + 1) * 32] for r in range(7)]
    assert np.allclose(m, [[x[:, j * 32 : (j + 1) * 32].sum() / len(x) for j in range(7)] for x in rows])
    yield "200x200"


def modifications_are_what_they_say():
    """M1 to M3, each by its definition."""
    q, k, v = qkv(70, 100)
    every = np.ones((3, 4), bool)
    plain = lambda s: (np.exp(s) @ v / np.exp(s).sum(1, keepdims=True), np.log(np.exp(s).sum(1)))
    s = 32**-0.5 * q @ k.T
    o, l = O.attend(q, k, v, every, 32, 32, 32**-0.5, False, softcap=2.0)
    assert all(np.allclose(x, y) for x, y in zip((o, l), plain(2 * np.tanh(s / 2))))
    yield "softcap"
    t, i = np.arange(100)[None], np.arange(70)[:, None] + 30
    for left, right, causal in ((5, 9, False), (40, -1, False), (-1, 3, False), (7, 50, True), (0, 0, False)):
        seen = (t >= i - left if left >= 0 else True) & (t <= i + (0 if causal else right) if causal or right >= 0 else True)
        o, l = O.attend(q, k, v, every, 32, 32, 32**-0.5, causal, window=(left, right))
        assert all(np.allclose(x, y) for x, y in zip((o, l), plain(np.where(seen, s, -np.inf))))
        # No block outside of the candidates has a key that is seen, every candidate has; nor has one mass.
        blocks = np.array([[seen[r : r + 32, j : j + 32].any() for j in range(0, 100, 32)] for r in range(0, 70, 32)])
        assert (blocks == O.every_candidate(70, 100, 32, 32, causal, (left, right))).all()
        m = O.block_mass(q, k, 8, 8, 32, 32, 32**-0.5, causal, window=(left, right))
        assert (m[~blocks] == 0).all() and (m[blocks] > 0).all()
        one = O.block_mass(q, k, 1, 1, 32, 32, 32**-0.5, causal, agg="sum", softcap=3.0, window=(left, right))
        p = np.where(seen, np.exp(3 * np.tanh(s / 3)), 0)
        p /= p.sum(1, keepdims=True)
        assert np.allclose(one[0], [p[:32, j : j + 32].sum() / 32 for j in range(0, 100, 32)])
        mask = O.select(m, 70, 100, 32, 32, 0.5, causal, window=(left, right))
        assert not (mask & ~blocks).any() and O.selection_valid(mask, m, 70, 100, 32, 32, 0.5, causal, 1e-9, window=(left, right)) == ""
        yield f"window {left}, {right}, causal={causal}"
    o, l = O.attend(q, k, v, every, 32, 32, 32**-0.5, False, sink=1.5)
    wide = np.concatenate([s, np.full((70, 1), 1.5)], 1)
    e = np.exp(wide)
    assert np.allclose(o, e[:, :-1] @ v / e.sum(1, keepdims=True)) and np.allclose(l, np.log(e.sum(1)))
    o, l = O.attend(q, k, v, np.zeros((3, 4), bool), 32, 32, 32**-0.5, False, sink=1.5)
    assert (o == 0).all() and np.allclose(l, 1.5)
    yield "sink"


def estimates_with_a_region():
    """M6: of tokens, the region itself; of composites, of their middles, where a bias that is linear has its mean."""
    q, k, _ = qkv(70, 100)
    t, i = np.arange(100)[None], np.arange(70)[:, None] + 30
    modify = lambda s, i, t: s + 0.25 * (t - i)
    p = np.where(t <= i, np.exp(modify(32**-0.5 * q @ k.T, i, t)), 0)
    p /= p.sum(1, keepdims=True)
    one = O.block_mass(q, k, 1, 1, 32, 32, 32**-0.5, agg="sum", modify=modify)
    assert np.allclose(one[0], [p[:32, j : j + 32].sum() / 32 for j in range(0, 100, 32)])
    yield "tokens"
    for cq, ck in ((8, 8), (4, 16), (8, 4)):
        seen = {}
        O.block_mass(q, k, cq, ck, 32, 32, 32**-0.5, reps=3, modify=lambda s, i, t: seen.update(i=i, t=t, s=s) or s)
        rows = [np.arange(b, min(b + cq, 70)) for b in range(0, 70, cq)] + [[x] for x in np.concatenate(O.representatives(q, 32, 3))]
        columns = [np.arange(b, min(b + ck, 100)) for b in range(0, 100, ck)]
        assert seen["i"][:, 0].tolist() == [(a[0] + a[-1]) // 2 + 30 for a in rows]
        assert seen["t"][0].tolist() == [(b[0] + b[-1]) // 2 for b in columns]
        for (n, a), (m, b) in itertools.product(enumerate(rows), enumerate(columns)):
            if len(a) == cq and len(b) == ck:
                assert np.isclose(0.25 * (np.mean(b) - np.mean(a) - 30), modify(0, seen["i"], seen["t"])[n, m])
        yield f"{cq}x{ck}"
    late = lambda s, i, t: np.where(i < 62, -np.inf, s)
    masses = O.block_mass(q, k, 8, 8, 32, 32, 32**-0.5, agg="sum", modify=late)
    assert (masses[0] == 0).all() and np.isclose(masses[2].sum(), 1)
    yield "nothing left"


def chunked_prefill_is_the_same_computation():
    q, k, v = (x[None] for x in qkv(512, 512))
    kw = dict(bq=32, bk=32, p=0.9)
    o, l, m = O.attention(q, k, v, **kw)
    for s in range(0, 512, 128):
        oc, lc, mc = O.attention(q[:, s : s + 128], k[:, : s + 128], v[:, : s + 128], **kw)
        assert np.allclose(oc, o[:, s : s + 128]) and np.allclose(lc, l[:, s : s + 128])
        assert (mc == m[:, s // 32 : s // 32 + 4, : mc.shape[2]]).all()
        yield f"rows from {s}"


def gqa_equals_repeated_kv():
    r = np.random.default_rng(3)
    q, k, v = r.normal(size=(4, 96, 16)), r.normal(size=(2, 96, 16)), r.normal(size=(2, 96, 16))
    a = O.attention(q, k, v, bq=32, bk=32)
    b = O.attention(q, np.repeat(k, 2, 0), np.repeat(v, 2, 0), bq=32, bk=32)
    assert all(np.allclose(x, y) for x, y in zip(a, b))
    yield "4:2"


def head_pooling_of_equal_heads_changes_nothing():
    q, k, v = qkv(96, 96, 16)
    for ch, hkv in ((2, 2), (4, 2), (4, 1), (2, 4)):
        q4, k4, v4 = np.stack([q] * 4), np.stack([k] * hkv), np.stack([v] * hkv)
        a = O.attention(q4, k4, v4, bq=32, bk=32, p=0.5)
        b = O.attention(q4, k4, v4, bq=32, bk=32, p=0.5, ch=ch)
        assert all(np.allclose(x, y) for x, y in zip(a, b))
        yield f"ch={ch} 4:{hkv}"


def group_share_of_equal_heads_changes_nothing():
    q, k, v = qkv(96, 96, 16)
    q4, k2, v2 = np.stack([q] * 4), np.stack([k] * 2), np.stack([v] * 2)
    a = O.attention(q4, k2, v2, bq=32, bk=32, p=[0.3, 0.3, 0.8, 0.8])
    b = O.attention(q4, k2, v2, bq=32, bk=32, p=[0.3, 0.8], share="group")
    assert all(np.allclose(x, y) for x, y in zip(a, b))
    assert a[2][0].sum() < a[2][2].sum()
    yield "p per KV head"


def spread_is_the_second_cumulant():
    """Keys that are Gaussian inside a composite: mean + half the variance is the logarithm of the mean exponential."""
    r = np.random.default_rng(5)
    centre, width = r.normal(size=(40, 8)), r.uniform(0.1, 0.6, size=(40, 8))
    k = (centre[:, None] + width[:, None] * r.normal(size=(40, 4096, 8))).reshape(-1, 8)
    q = r.normal(size=(4, 8))
    kt = k.reshape(40, 4096, 8).mean(1)
    exact = np.log(np.exp(8**-0.5 * (q @ k.T)).reshape(4, 40, 4096).mean(2))
    plain = 8**-0.5 * (q @ kt.T)
    second = plain + 0.5 / 8 * (q**2 @ O.spread_of(k, 4096, 1).T)
    assert np.abs(second - exact).max() < 0.02 < np.abs(plain - exact).max()
    yield "Gaussian keys"


def spread_of_constant_composites_and_of_single_keys_changes_nothing():
    q, k, _ = qkv(200, 333)
    for ck, keys in ((1, k), (8, np.repeat(k[::8], 8, 0)[:333])):
        a, b = (O.block_mass(q, keys, 8, ck, 32, 32, 32**-0.5, spread=g) for g in (0, 4))
        assert np.allclose(a, b)
        yield f"ck={ck}"


def representatives_only_add_mass_and_all_of_them_are_single_rows():
    q, k, _ = qkv(200, 333)
    for causal in (True, False):
        plain, more = (O.block_mass(q, k, 8, 8, 32, 32, 32**-0.5, causal, reps=t) for t in (0, 4))
        assert (more >= plain - 1e-12).all() and (more > plain + 1e-3).any()
        every = O.block_mass(q, k, 8, 8, 32, 32, 32**-0.5, causal, reps=32)
        single = O.block_mass(q, k, 1, 8, 32, 32, 32**-0.5, causal)
        assert np.allclose(every, np.maximum(plain, single))
        yield f"causal={causal}"


def a_lone_retrieving_row_is_found_by_its_representative():
    """One row of a block asks for one far key: its mean hides it, the row itself does not."""
    r = np.random.default_rng(9)
    q, k = r.normal(size=(256, 32)) * 0.3, r.normal(size=(256, 32)) * 0.3
    d = r.normal(size=32)
    d *= 9 / np.linalg.norm(d)
    q[200] += d * 2
    k[70] += d * 2
    without, with_ = (O.block_mass(q, k, 8, 8, 32, 32, 32**-0.5, reps=t)[6] for t in (0, 2))
    assert with_[2] > 0.9 and without[2] < 0.5
    yield "one row of 256"


def last_blocks_take_every_candidate_and_others_are_as_before():
    q, k, _ = qkv(200, 333)
    m = O.block_mass(q, k, 8, 8, 32, 32, 32**-0.5)
    for rule in (dict(p=0.5), dict(top_k=3), dict(threshold=0.9), dict(p=0.9, max_blocks=1)):
        a, b = (O.select(m, 200, 333, 32, 32, n_last=n, **rule) for n in (0, 2))
        assert (a[:-2] == b[:-2]).all() and b[-2].sum() == O.candidates(5, 200, 333, 32, 32, True)[1] and b[-1].all()
        assert O.selection_valid(b, m, 200, 333, 32, 32, eps=1e-9, n_last=2, **rule) == ""
        assert O.selection_valid(a, m, 200, 333, 32, 32, eps=1e-9, n_last=2, **rule) != ""
        yield str(rule)


def threshold_takes_what_reaches_a_share_of_the_largest():
    q, k, _ = qkv(200, 333)
    m = O.block_mass(q, k, 8, 8, 32, 32, 32**-0.5)
    s = O.select(m, 200, 333, 32, 32, threshold=0.4)
    for r in range(len(m)):
        f = O.forced(r, 200, 333, 32, 32, True)
        assert (s[r, : len(f)] == (f | (m[r, : len(f)] >= 0.4 * m[r, : len(f)].max()))).all()
        yield f"row {r}"


def relax_leaves_out_more_of_long_rows():
    m = np.random.default_rng(3).random((1, 80)) + 0.01
    for keys, share in ((4096, 0.8), (10240, 0.7), (16384, 0.6), (20480, 0.6)):
        j = keys // 256
        row = m[:, :j] / m[:, :j].sum()
        mask = O.select(row, 256, keys, 256, 256, p=0.8, relax=1.0, n_sink=0, n_local=0)
        assert (mask == O.select(row, 256, keys, 256, 256, p=share, n_sink=0, n_local=0)).all() and not mask.all()
        assert O.select(row, 256, keys, 256, 256, p=1.0, relax=9.0).all()
        assert O.select(row, 256, keys, 256, 256, p=0.1, relax=9.0).sum() == 2 or keys == 4096
        assert O.selection_valid(mask, row, 256, keys, 256, 256, p=0.8, relax=1.0, eps=1e-9, n_sink=0, n_local=0) == ""
        if keys > 4096:
            assert O.selection_valid(mask, row, 256, keys, 256, 256, p=0.8, eps=1e-9, n_sink=0, n_local=0) != ""
        yield f"{keys} keys"


def random_is_even_and_of_the_wanted_size():
    m = O.random_mass(64, 64, seed=7, unit=3)
    assert abs(m.mean() - 0.5) < 0.02 and len(np.unique(m)) > 4000 and not np.allclose(m, O.random_mass(64, 64, 7, 4))
    s = O.select(m, 2048, 2048, 32, 32, share_of=0.25)
    assert all(s[r].sum() == max(min(2, r + 1), int(np.ceil(0.25 * (r + 1)))) for r in range(64))
    assert O.selection_valid(s, m, 2048, 2048, 32, 32, share_of=0.25) == ""
    assert O.selection_valid(s, O.random_mass(64, 64, 8, 3), 2048, 2048, 32, 32, share_of=0.25) != ""
    yield "64x64"


def a_row_that_sees_nothing_is_zero():
    q, k, v = qkv(70, 100)
    mask = np.zeros((3, 4), bool)
    mask[1, 3] = True  # Keys 96..99: of rows 32..63 (positions 62..93), none sees them.
    mask[2, 0] = True
    o, l = O.attend(q, k, v, mask, 32, 32, 1.0)
    assert (o[:64] == 0).all() and np.isneginf(l[:64]).all() and np.isfinite(l[64:]).all()
    o, l = O.attend(q, k[:0], v[:0], np.zeros((3, 0), bool), 32, 32, 1.0, causal=False)
    assert o.shape == (70, 32) and (o == 0).all() and np.isneginf(l).all()
    yield "above the diagonal, no keys"


def what_a_row_does_not_see_changes_nothing():
    """A5, and more than it asks for: exact sums hold no 0 * NaN inside a visited block either."""
    rng = np.random.default_rng(4)
    for (lq, lk), causal, bad in itertools.product(SHAPES, (True, False), (np.nan, np.inf, -np.inf)):
        q, k, v = qkv(lq, lk)
        mask = rng.random((-(-lq // 32), -(-lk // 32))) < 0.4
        clean = O.attend(q, k, v, mask, 32, 32, 0.2, causal)
        keys = rng.random((2, lk)) < 0.03
        kept = O.undisturbed(mask, lq, lk, 32, 32, causal, *keys)
        dirty_k, dirty_v = np.where(keys[0][:, None], bad, k), np.where(keys[1][:, None], bad, v)
        dirty = O.attend(q, dirty_k, dirty_v, mask, 32, 32, 0.2, causal)
        assert all(np.allclose(x[kept], y[kept]) for x, y in zip(clean, dirty)), (lq, lk, causal, bad)
        seen = (O.visible(mask, lq, lk, 32, 32, causal) & keys[1]).any(1)
        assert not np.isfinite(dirty[0][seen]).all(1).any() and np.isfinite(dirty[0][kept]).all()
        yield f"{lq}x{lk} causal={causal} {bad}"


def dense_below_takes_every_candidate():
    q, k, v = (x[None] for x in qkv(70, 100))
    for options in (dict(p=0.0), dict(top_k=1), dict(p=0.5, max_blocks=0)):
        mask = O.attention(q, k, v, bq=32, bk=32, dense_below=100, **options)[2][0]
        assert (mask == O.every_candidate(70, 100, 32, 32, True)).all()
        assert O.attention(q, k, v, bq=32, bk=32, dense_below=99, **options)[2].sum() < mask.sum()
        assert O.selection_valid(mask, np.ones((3, 4)), 70, 100, 32, 32, dense_below=100, **options) == ""
        mask[2, 1] = False
        assert O.selection_valid(mask, np.ones((3, 4)), 70, 100, 32, 32, dense_below=100, **options) != ""
        yield str(options)


def the_checker_accepts_nothing_but_the_rule():
    """Over all 2^J masks of a row: with eps -> 0 and distinct masses, only the oracle's own selection is valid."""
    rng = np.random.default_rng(11)
    bq = bk = 4
    for trial in range(150):
        lk = int(rng.integers(1, 29))
        causal = bool(rng.integers(2))
        lq = int(rng.integers(1, min(lk, bq) + 1))
        guards = dict(n_sink=int(rng.integers(0, 3)), n_local=int(rng.integers(0, 3)))
        kind = rng.integers(6)
        if kind < 2:
            guards["top_k"] = int(rng.integers(1, 9))
        elif kind == 2:
            guards["threshold"] = float(rng.choice([0, 0.3, 0.8]))
        elif kind == 3:
            guards["share_of"] = float(rng.choice([0, 0.3, 0.5, 1]))
        else:
            guards["p"] = float(rng.choice([0, 0.3, 0.5, 0.9, 1]))
            guards["min_blocks"] = int(rng.choice([0, 0, 3]))
        if rng.integers(3) == 0 and "threshold" not in guards:
            guards["max_blocks"] = int(rng.integers(0, 4))
        if rng.integers(6) == 0:
            guards["n_last"] = 1
        j = -(-lk // bk)
        m = rng.random((1, j)) + 0.05
        want = O.select(m, lq, lk, bq, bk, causal=causal, **guards)[0]
        for bits in itertools.product((False, True), repeat=j):
            mask = np.array([bits])
            ok = O.selection_valid(mask, m, lq, lk, bq, bk, causal=causal, eps=1e-12, **guards) == ""
            assert ok == (mask[0] == want).all(), (trial, guards, lq, lk, causal, m, mask, want, ok)
        yield f"{j} blocks {guards}"


def the_checker_forgives_eps_and_no_more():
    """Masks made from masses that are off by delta are valid at eps > J * delta, and some are not at a tenth of delta."""
    rng = np.random.default_rng(5)
    rejected = 0
    for options in (dict(p=0.5), dict(p=0.9, min_blocks=5), dict(top_k=6), dict(p=0.8, max_blocks=4)):
        for _ in range(50):
            m = rng.random((1, 24))
            m /= m.sum()
            delta = 1e-3
            mask = O.select(np.abs(m + delta * rng.uniform(-1, 1, m.shape)), 8, 192, 8, 8, **options)
            assert O.selection_valid(mask, m, 8, 192, 8, 8, eps=24 * delta * 2, **options) == ""
            rejected += O.selection_valid(mask, m, 8, 192, 8, 8, eps=delta / 10, **options) != ""
        yield str(options)
    assert rejected > 10, rejected


PROPERTIES = [
    all_mass_is_dense,
    selected_mass_reaches_p_and_is_valid,
    c1_is_the_true_block_mass,
    modifications_are_what_they_say,
    estimates_with_a_region,
    chunked_prefill_is_the_same_computation,
    gqa_equals_repeated_kv,
    head_pooling_of_equal_heads_changes_nothing,
    group_share_of_equal_heads_changes_nothing,
    spread_is_the_second_cumulant,
    spread_of_constant_composites_and_of_single_keys_changes_nothing,
    representatives_only_add_mass_and_all_of_them_are_single_rows,
    a_lone_retrieving_row_is_found_by_its_representative,
    last_blocks_take_every_candidate_and_others_are_as_before,
    threshold_takes_what_reaches_a_share_of_the_largest,
    relax_leaves_out_more_of_long_rows,
    random_is_even_and_of_the_wanted_size,
    a_row_that_sees_nothing_is_zero,
    what_a_row_does_not_see_changes_nothing,
    dense_below_takes_every_candidate,
    the_checker_accepts_nothing_but_the_rule,
    the_checker_forgives_eps_and_no_more,
]


def main():
    failed = 0
    for check in PROPERTIES:
        cases = 0
        try:
            for _ in check():
                cases += 1
            assert cases, "nothing was compared"
            print(f"ok    {check.__name__}: {cases} case(s)")
        except Exception as error:  # A property that cannot be computed does not hold.
            failed += 1
            print(f"FAIL  {check.__name__}, after {cases} case(s): {type(error).__name__}: {error}")
    print(f"{len(PROPERTIES)} properties, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if not __debug__:
        sys.exit("python -O removes the assertions this test consists of")
    sys.exit(main())
