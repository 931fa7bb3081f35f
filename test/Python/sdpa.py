# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: env %host_programs %python %s
"""torch's signature of attention: its alignment, its defaults, and what is refused."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))

import numpy as np

import unisparse


def tensors(hq=4, hkv=4, lq=40, lk=70, d=16, dv=8):
    rng = np.random.default_rng(3)
    return [rng.normal(size=(2, h, n, x)).astype(np.float32) for h, n, x in ((hq, lq, d), (hkv, lk, d), (hkv, lk, dv))]


def reference(q, k, v, causal, scale):
    """As torch documents it: L x S, the lower triangle from the top left."""
    group = q.shape[1] // k.shape[1]
    k, v = (x.repeat(group, 1).astype(np.float64) for x in (k, v))
    logits = np.einsum("bhid,bhjd->bhij", q, k) * (q.shape[3] ** -0.5 if scale is None else scale)
    if causal:
        logits[..., ~np.tril(np.ones(logits.shape[2:], bool))] = -np.inf
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


class Sdpa(unittest.TestCase):
    def test_means_what_torch_s_means(self):
        for shape, options in (
            (dict(), dict()),
            (dict(lq=70), dict(is_causal=True)),
            (dict(), dict(is_causal=True)),  # Fewer queries than keys: from the top left, not the bottom right.
            (dict(lq=90), dict(scale=0.3)),
            (dict(hkv=2), dict(enable_gqa=True, is_causal=True)),
        ):
            with self.subTest(**shape, **options):
                q, k, v = tensors(**shape)
                o = unisparse.sdpa(q, k, v, **options, p=1.0, block=(32, 32))
                np.testing.assert_allclose(o, reference(q, k, v, options.get("is_causal", False), options.get("scale")), atol=1e-5)

    def test_selects(self):
        q, k, v = tensors(lq=70)
        sparse = unisparse.sdpa(q, k, v, None, 0.0, True, top_k=1, block=(16, 16))
        self.assertTrue(np.array_equal(sparse, unisparse.attention(q, k, v, top_k=1, block=(16, 16))))
        self.assertFalse(np.allclose(sparse, unisparse.sdpa(q, k, v, is_causal=True, p=1.0)))

    def test_refused(self):
        q, k, v = tensors()
        for arguments, options, message in (
            ((q, k, v, np.ones((40, 70), bool)), {}, "attn_mask: expected None, as only causal masks are compiled"),
            ((q, k, v), dict(dropout_p=0.1), "dropout_p: expected 0, as there is no dropout, got 0.1"),
            ((k, q, tensors(lk=40)[2]), dict(is_causal=True), "query: expected no more queries than the 40 keys under is_causal, got 70"),
            ((q, k[:, :2], v[:, :2]), {}, "key: expected query's 4 heads, or enable_gqa=True, got 2"),
            ((q[0], k[0], v[0]), {}, "query: expected 4 dimensions: [batch, heads, length, head_dim], got [4, 40, 16]"),
            ((q, k, None), {}, "value: expected a torch tensor or a NumPy array, got NoneType"),
            ((q.astype(float), k, v), {}, "query: expected [I1] float32, float16 or bfloat16, got float64"),
            ((q, k.astype(np.float16), v), {}, "key: expected [I1] q's type float32, got float16"),
            ((q, k, v[:1]), {}, "value: expected [I2] q's batch of 2, got 1"),
            ((q, k, v), dict(is_causal=1), "is_causal: expected True or False, got 1"),
            ((q, k, v), dict(causal=True), "causal: expected an option among block, p, relax, top_k, threshold,"),
            ((q, k, v), dict(return_lse=True), "return_lse: expected an option among"),
        ):
            with self.subTest(message):
                with self.assertRaises(unisparse.Error) as caught:
                    unisparse.sdpa(*arguments, **options)
                self.assertIn(message, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
