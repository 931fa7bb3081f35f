# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""The estimate with a region (M6), on the CPU's loops and as pages of tile code: the selections that it leads to, by a region
that no wrong place, head or batch of a composite gets past."""

import dataclasses
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import checks
import harness
import numpy as np
from checks import O
from harness import Case, Options, ends, qkv
from pages import PAGE

ESTIMATE = "--estimate-with-region"

# A bias of 0 to 3.9 that is another one at every next place.
SCATTERED = """%a = arith.constant 37 : i32
%b = arith.constant 101 : i32
%c = arith.constant 17 : i32
%d = arith.constant 29 : i32
%last = arith.constant 63 : i32
%part = arith.constant 0.0625 : f32
%ka = arith.muli %k, %a : i32
%qb = arith.muli %q, %b : i32
%hc = arith.muli %head, %c : i32
%bd = arith.muli %batch, %d : i32
%kq = arith.addi %ka, %qb : i32
%hb = arith.addi %hc, %bd : i32
%all = arith.addi %kq, %hb : i32
%low = arith.andi %all, %last : i32
%x = arith.sitofp %low : i32 to f32
%bias = arith.mulf %x, %part : f32
%y = arith.addf %logit, %bias : f32
unisparse.yield %y : f32"""


def scattered(batch, head, s, i, t):
    return s + (37 * t + 101 * i + 17 * head + 29 * batch) % 64 / 16


# No sum with the logit: its square, less where the key is far.
SQUARE = """%zero = arith.constant 0.0 : f32
%far = arith.constant 60 : i32
%d = arith.subi %q, %k : i32
%isFar = arith.cmpi sgt, %d, %far : i32
%square = arith.mulf %logit, %logit : f32
%y = arith.select %isFar, %zero, %square : f32
unisparse.yield %y : f32"""


def square(batch, head, s, i, t):
    return np.where(i - t > 60, 0.0, s * s)


# Hides every key from every second group of 8 queries, and from all others the keys behind the 40th.
HIDDEN = """%none = arith.constant 0xFF800000 : f32
%eight = arith.constant 8 : i32
%zero = arith.constant 0 : i32
%most = arith.constant 40 : i32
%bit = arith.andi %q, %eight : i32
%even = arith.cmpi eq, %bit, %zero : i32
%first = arith.cmpi slt, %k, %most : i32
%seen = arith.andi %even, %first : i1
%y = arith.select %seen, %logit, %none : f32
unisparse.yield %y : f32"""


def hidden(batch, head, s, i, t):
    return np.where((i & 8 == 0) & (t < 40), s, -np.inf)


# No number at places that no token has: root of what is left of 90 positions.
LEFT = """%last = arith.constant 89 : i32
%k0 = arith.subi %last, %k : i32
%q0 = arith.subi %last, %q : i32
%kx = arith.sitofp %k0 : i32 to f32
%qx = arith.sitofp %q0 : i32 to f32
%kr = math.sqrt %kx : f32
%qr = math.sqrt %qx : f32
%r = arith.mulf %kr, %qr : f32
%part = arith.constant 0.125 : f32
%bias = arith.mulf %r, %part : f32
%y = arith.subf %logit, %bias : f32
unisparse.yield %y : f32"""


def left(batch, head, s, i, t):
    return s - np.sqrt((89.0 - t) * (89.0 - i)) / 8


SMALL = Options(block=(32, 32), pool=(8, 8), p=0.6)
BOTH = dict(representatives=6, spread=4)
# What each case changes; 4:2 heads.
VARIED = {
    "causal": dict(),
    "non-causal": dict(causal=False),
    "agg=sum": dict(agg="sum"),
    "agg=sum, non-causal": dict(agg="sum", causal=False),
    "share=group": dict(share="group"),
    "representatives": dict(representatives=6),
    "representatives, non-causal": dict(representatives=6, causal=False),
    "more representatives than rows": dict(representatives=40),
    "representatives and spread, last": dict(**BOTH, last=1),
    "pool 1x1": dict(pool=(1, 1)),
    "pool 1x8, agg=sum": dict(pool=(1, 8), agg="sum"),
    "pool 32x4": dict(pool=(32, 4)),
    "odd composites, padded": dict(block=(36, 10), pool=(3, 5)),
    "padded, representatives": dict(block=(48, 24), pool=(8, 4), representatives=3),
    "alpha and scale": dict(alpha=-2.0, scale=0.1),
    "scale 0": dict(scale=0.0),
    "softcap and window": dict(softcap=3.0, window=(50, -1)),
    "softcap and window, representatives": dict(softcap=3.0, window=(50, 20), causal=False, **BOTH),
    "top-k": dict(top_k=2),
    "threshold": dict(threshold=0.3),
}


def selected(case, modify):
    """What the oracle selects if that is what modifies the estimate; of all sequences."""
    o, masks = case.options, []
    for s in case.sequences():
        m = checks.oracle_masses(dataclasses.replace(case, modify=modify), s)
        shares = O.head_shares(o.p, *case.heads, o.share)
        masks.append(np.stack([O.select(m[h], s.lq, s.lk, *o.block, float(shares[h]), o.causal, **o.rule()) for h in range(len(m))]))
    return masks


def told_apart(suite, case):
    """Another place, head or batch, or no modification at all, leads to selections that are not valid."""
    modify, (cq, ck) = case.modify, case.options.pool
    wrong = {
        "none": lambda b, h, s, i, t: s,
        "another head": lambda b, h, s, i, t: modify(b, h + 1, s, i, t),
        "no delta": lambda b, h, s, i, t: modify(b, h, s, i - 20, t),
    }
    if case.batches > 1:
        wrong["another batch"] = lambda b, h, s, i, t: modify(b + 1, h, s, i, t)
    if ck > 2:
        wrong["a composite's first key"] = lambda b, h, s, i, t: modify(b, h, s, i, t - (ck - 1) // 2)
        wrong["its later middle"] = lambda b, h, s, i, t: modify(b, h, s, i, t + 1)
    if cq > 2:
        wrong["a composite's first query"] = lambda b, h, s, i, t: modify(b, h, s, i - (cq - 1) // 2, t)
    for name, other in wrong.items():
        valid = not checks.selection(case, selected(case, other))[0]
        suite.expect(f"{case.name}: {name}", not valid, "a valid selection too")


def estimate(suite, name, data, options, text, modify, extra, dtype, **kw):
    case = Case(name, *data, options, dtype=dtype, modify=modify, extra=(*extra, f"--score-mod={text}", ESTIMATE), **kw)
    suite.check(case)
    return case


def cases(suite):
    data = qkv(1, 4, 2, 70, 90, 32, batch=2)
    cu = ends([50, 0, 1, 65, 0]), ends([75, 40, 1, 65, 0])
    packed = qkv(2, 4, 2, 116, 181, 32, batch=1)
    for where, extra in (("", ()), ("page, ", PAGE)):
        for name, changes in VARIED.items():
            case = estimate(suite, f"{where}{name}", data, dataclasses.replace(SMALL, **changes), SCATTERED, scattered, extra, "F32")
            if not extra and name in ("causal", "non-causal", "representatives, non-causal", "odd composites, padded"):
                told_apart(suite, case)
        for name, changes in (("causal", {}), ("non-causal", dict(causal=False)), ("both, share=group", dict(**BOTH, share="group"))):
            estimate(suite, f"{where}packed, {name}", packed, dataclasses.replace(SMALL, **changes), SCATTERED, scattered, extra, "F32", cu=cu)
        for dtype in ("F16", "BF16"):
            estimate(suite, f"{where}{dtype}", data, SMALL, SCATTERED, scattered, extra, dtype)
            estimate(suite, f"{where}{dtype}, softcap", data, dataclasses.replace(SMALL, softcap=3.0), SCATTERED, scattered, extra, dtype)
        named = lambda batch, head, s, i, t: O.alibi(6, head)(s, i, t)
        for causal in (True, False):
            options = dataclasses.replace(SMALL, causal=causal, **BOTH)
            estimate(suite, f"{where}alibi, causal={causal}", qkv(3, 6, 3, 130, 150, 32), options, "alibi", named, extra, "F32")
        # A composite's middle may be ahead of a representative, which a query's keys are not under causality.
        data_of_many = qkv(5, 4, 2, 300, 300, 32)
        options = dataclasses.replace(SMALL, representatives=8, p=0.8)
        near = lambda batch, head, s, i, t: O.alibi(4, head)(s, i, t)
        case = estimate(suite, f"{where}alibi, keys ahead", data_of_many, options, "alibi", near, extra, "F32")
        signed = lambda batch, head, s, i, t: s + O.alibi_slopes(4)[head] * (t - i)
        valid = not checks.selection(case, selected(case, signed))[0]
        suite.expect(f"{case.name}: a distance with its sign", not valid, "a valid selection too")
        estimate(suite, f"{where}square", data, SMALL, SQUARE, square, extra, "F32")
        for agg in ("max", "sum"):
            options = dataclasses.replace(SMALL, agg=agg, causal=False)
            estimate(suite, f"{where}hidden, agg={agg}", data, options, HIDDEN, hidden, extra, "F32")
            estimate(suite, f"{where}left, agg={agg}", data, options, LEFT, left, extra, "F32")
        estimate(suite, f"{where}hidden, representatives", data, dataclasses.replace(SMALL, representatives=40), HIDDEN, hidden, extra, "F32")
    # Warp-specialised, whose steps are copies of the page's.
    wide = qkv(4, 4, 2, 300, 330, 64)
    for causal in (True, False):
        options = Options(block=(64, 64), pool=(8, 8), p=0.6, causal=causal)
        estimate(suite, f"sm_90a page, causal={causal}", wide, options, SCATTERED, scattered, (*PAGE, "--chip=sm_90a"), "BF16")


harness.main(cases, __doc__)
