# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: env %host_programs %python %s
"""Layouts of NumPy arrays, and memory for o that the caller has."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))

import numpy as np

import unisparse
from unisparse import Status

RNG = np.random.default_rng(5)
Q, K, V = (RNG.normal(size=(2, h, 70, d)).astype(np.float32) for h, d in ((4, 16), (2, 16), (2, 8)))
OPTIONS = dict(p=0.5, block=(32, 32))


def swapped(*arrays):
    return [x.swapaxes(1, 2).copy() for x in arrays]


class Layout(unittest.TestCase):
    def test_bshd(self):
        wanted = unisparse.attention(Q, K, V, **OPTIONS, return_lse=True, return_selection=True)
        found = unisparse.attention(*swapped(Q, K, V), **OPTIONS, layout="bshd", return_lse=True, return_selection=True)
        self.assertTrue(np.array_equal(found[0], wanted[0].swapaxes(1, 2)))
        for x, y in zip(found[1:], wanted[1:]):
            self.assertTrue(np.array_equal(x, y))  # The others are by heads in every layout.
        o = unisparse.block_sparse_attention(*swapped(Q, K, V), *wanted[2:], block=(32, 32), layout="bshd")
        self.assertTrue(np.array_equal(o, found[0]))

    def test_tokens(self):
        """[tokens, heads, head_dim], as serving engines keep packed batches."""
        cu = np.array([0, 30, 70], np.int32)
        q, k, v = (x[0] for x in swapped(Q, K, V))
        wanted = unisparse.attention(Q[:1], K[:1], V[:1], **OPTIONS, cu_seqlens=cu)
        self.assertTrue(np.array_equal(unisparse.attention(q, k, v, **OPTIONS, cu_seqlens=cu, layout="bshd"), wanted[0].swapaxes(0, 1)))
        out = np.full((70, 4, 8), np.nan, np.float32)
        o, lse = unisparse.attention(q, k, v, **OPTIONS, cu_seqlens=(cu, cu), layout="bshd", out=out, return_lse=True)
        self.assertIs(o, out)
        self.assertEqual(lse.shape, (1, 4, 70))
        self.assertTrue(np.array_equal(out, wanted[0].swapaxes(0, 1)))

    def test_out(self):
        wanted = unisparse.attention(Q, K, V, **OPTIONS)
        around = np.full((2, 80, 4, 3, 8), np.nan, np.float32)
        for out in (np.empty_like(wanted), around[:, 5:75, :, 1].swapaxes(1, 2), np.empty((8, 70, 4, 2), np.float32).T[:, :, ::-1]):
            self.assertIs(unisparse.attention(Q, K, V, **OPTIONS, out=out), out)
            self.assertTrue(np.array_equal(out, wanted))
        self.assertEqual(np.isnan(around).sum(), around.size - wanted.size)
        q = Q.copy()  # Inputs are read before.
        self.assertTrue(np.array_equal(unisparse.attention(q, K, V[..., :1].repeat(16, 3), out=q), unisparse.attention(Q, K, V[..., :1].repeat(16, 3))))

    def test_empty(self):
        for shape in ((0, 70, 4, 16), (2, 0, 4, 16)):
            x = np.zeros(shape, np.float32)
            self.assertEqual(unisparse.attention(x, x, x, layout="bshd", **OPTIONS).shape, shape)
            heads = x.transpose(0, 2, 1, 3)
            out = np.empty(heads.shape, np.float32)
            self.assertIs(unisparse.attention(heads, heads, heads, out=out, **OPTIONS), out)

    def test_refused(self):
        read_only = np.zeros((2, 4, 70, 8), np.float32)
        read_only.flags.writeable = False
        q, k, v = swapped(Q, K, V)
        for arguments, options, message, status in (
            ((Q, K, V), dict(layout="BSHD"), "layout: expected 'bhsd' or 'bshd', got 'BSHD'", Status.BAD_ARGUMENT),
            ((q, k, v[0]), dict(layout="bshd"), "v: expected 4 dimensions, [batch, length, heads, head_dim], got 3: [70, 2, 8]", Status.BAD_SHAPE),
            ((q[0], k, v), dict(layout="bshd", cu_seqlens=np.array([0, 70], np.int32)),
             "k: expected 3 dimensions, as q, [tokens, heads, head_dim], got 4: [2, 70, 2, 16]", Status.BAD_SHAPE),
            ((q, [k], v), dict(layout="bshd"), "k: expected a torch tensor or a NumPy array, got list", Status.BAD_ARGUMENT),
            ((Q, K, V), dict(out=[]), "out: expected a torch tensor or a NumPy array, got list", Status.BAD_ARGUMENT),
            ((Q, K, V), dict(out=np.zeros((2, 4, 70, 16), np.float32)),
             "out: expected the sizes of o as [B, H, L, D], [2, 4, 70, 8], got [2, 4, 70, 16]", Status.BAD_SHAPE),
            ((Q, K, V), dict(out=np.zeros((2, 4, 70, 8))), "out: expected q's type float32, got float64", Status.BAD_SHAPE),
            ((Q, K, V), dict(out=read_only), "out: expected an array that may be written, got a read-only one", Status.BAD_ARGUMENT),
            ((Q, K, V), dict(out=np.lib.stride_tricks.as_strided(np.zeros(560, np.float32), (2, 4, 70, 8), (0, 2240, 32, 4))),
             "out: expected memory of its own for every element, got strides [0, 2240, 32, 4]", Status.OVERLAP),
        ):  # fmt: skip
            with self.subTest(message):
                with self.assertRaises(unisparse.Error) as caught:
                    unisparse.attention(*arguments, **options)
                self.assertEqual((str(caught.exception), caught.exception.status), (message, status))


if __name__ == "__main__":
    unittest.main()
