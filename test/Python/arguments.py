# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: env %host_programs PATH= UNISPARSE_ARTIFACTS= UNISPARSE_CACHE=%t UNISPARSE_COMPILE= %python %s
"""Bad arguments are told before any work: no program of UniSparse is in reach here. (The path of %python is absolute.)"""

import os
import sys
import unittest
from decimal import Decimal
from fractions import Fraction

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))

import numpy as np

import unisparse
from unisparse import Status
from unisparse.integrations._common import check_options


def tensors(hq=4, hkv=2, lq=8, lk=8, d=16, dv=16, dtype=np.float32, batch=1):
    return [np.zeros((batch, h, length, dim), dtype) for h, length, dim in ((hq, lq, d), (hkv, lk, d), (hkv, lk, dv))]


# Options of attention, and what the message has to say.
OPTIONS = [
    (dict(p=1.2), "p: expected [L3] shares in [0, 1], got 1.2"),
    (dict(p=float("nan")), "p: expected a finite number, got nan"),
    (dict(p="0.9"), "p: expected a finite number, got '0.9'"),
    (dict(p={0.5: 1}), "p: expected a finite number, got {0.5: 1}"),
    (dict(p={0.5}), "p: expected a finite number, got {0.5}"),
    (dict(p=b"0.5"), "p: expected a finite number, got b'0.5'"),
    (dict(p=np.array("0.5")), "p: expected a finite number, got array('0.5'"),
    (dict(p=np.array(True)), "p: expected a finite number, got array(True)"),
    (dict(p=np.complex64(0.5 + 1j)), "p: expected a finite number, got"),
    (dict(scale=bytearray(b"0.5")), "scale: expected a finite number, got bytearray(b'0.5')"),
    (dict(softcap=memoryview(b"0.5")), "softcap: expected a finite number, got <memory"),
    (dict(p=[0.1, 0.2]), "p: expected [L5] one number or one for each of the 4 query heads, got 2 of them"),
    (dict(p=[0.1] * 4, share="group"), "p: expected [L5] one number or one for each of the 2 KV heads, got 4 of them"),
    (dict(top_k=0), "top_k: expected an integer of at least 1, got 0"),
    (dict(top_k=2**70), "top_k: expected an integer below 2 ** 63, got 1180591620717411303424"),
    (dict(top_k=2.0), "top_k: expected an integer of at least 1, got 2.0"),
    (dict(threshold=1.5), "threshold: expected [L9] a share in [0, 1], got 1.5"),
    (dict(random=float("nan")), "random: expected a finite number, got nan"),
    (dict(random=-0.5), "random: expected [L10] a share in [0, 1], got -0.5"),
    (dict(random=0.5, seed=2**32), "seed: expected [L10] a number below 2 ** 32, got 4294967296"),
    (dict(seed=1), "seed: expected [L10] random beside it, got 1"),
    (dict(top_k=2, threshold=0.1), "threshold: expected one rule, and top_k is one, got 0.1"),
    (dict(threshold=0.1, min_blocks=2), "min_blocks: expected [L9] none beside threshold, got 2"),
    (dict(threshold=0.1, max_blocks=2), "max_blocks: expected [L9] none beside threshold, got 2"),
    (dict(random=0.1, min_blocks=2), "min_blocks: expected [L10] none beside random, got 2"),
    (dict(representatives=-1), "representatives: expected an integer of at least 0, got -1"),
    (dict(representatives=4, agg="sum"), "agg: expected [P5] 'max' beside representatives, got 'sum'"),
    (dict(spread=5), "spread: expected [P6] a number that divides head_dim 16, got 5"),
    (dict(last=-1), "last: expected an integer of at least 0, got -1"),
    (dict(block=128), "block: expected (queries, keys), got 128"),
    (dict(block=(64, 0)), "block: expected an integer of at least 1, got 0"),
    (dict(block="88"), "block: expected (queries, keys), got '88'"),
    (dict(block={64: 1, 32: 1}), "block: expected (queries, keys), got {64: 1, 32: 1}"),
    (dict(pooling=b"\x08\x08"), "pooling: expected (queries, keys) or (queries, keys, heads), got b'\\x08\\x08'"),
    (dict(pooling=(8,)), "pooling: expected (queries, keys) or (queries, keys, heads), got (8,)"),
    (dict(pooling=(3, 8)), "pooling: expected [I5] a query factor that divides the query block 128, got 3"),
    (dict(pooling=(8, 3)), "pooling: expected [I5] a key factor that divides the key block 128, got 3"),
    (dict(pooling=(8, 8, 3)), "pooling: expected [I6] pooled heads that divide the 4 query heads"),
    (dict(agg="mean"), "agg: expected 'max' or 'sum', got 'mean'"),
    (dict(share="all"), "share: expected None or 'none' or 'group', got 'all'"),
    (dict(top_k=np.True_), "top_k: expected an integer of at least 1, got"),
    (dict(alpha=np.True_), "alpha: expected a finite number, got"),
    (dict(alpha=10**400), "alpha: expected a finite number, got"),
    (dict(scale=b"1"), "scale: expected a finite number, got b'1'"),
    (dict(p=[[0.5]] * 4), "p: expected a finite number, got [0.5]"),
    (dict(p=((0.5, [1]),)), "p: expected a finite number, got (0.5, [1])"),
    (dict(agg=np.str_("mean")), "agg: expected 'max' or 'sum', got"),
    (dict(causal=np.int64(1)), "causal: expected True or False, got"),
    (dict(causal=1), "causal: expected True or False, got 1"),
    (dict(scale="x"), "scale: expected a finite number, got 'x'"),
    (dict(softcap=0), "softcap: expected [M1] a number above 0 that float32 has, with its inverse, or None for no cap, got 0"),
    (dict(softcap=-3.0), "softcap: expected [M1] a number above 0 that float32 has, with its inverse, or None for no cap, got -3.0"),
    (dict(softcap=float("inf")), "softcap: expected a finite number, got inf"),
    (dict(softcap="30"), "softcap: expected a finite number, got '30'"),
    (dict(window=5), "window: expected [M2] (left, right) in tokens, -1 or None for no limit, got 5"),
    (dict(window=(5,)), "window: expected [M2] (left, right) in tokens, -1 or None for no limit, got (5,)"),
    (dict(window="12"), "window: expected [M2] (left, right) in tokens, -1 or None for no limit, got '12'"),
    (dict(window=b"12"), "window: expected [M2] (left, right) in tokens, -1 or None for no limit, got b'12'"),
    (dict(window={1: 2, 3: 4}), "window: expected [M2] (left, right) in tokens, -1 or None for no limit, got {1: 2, 3: 4}"),
    (dict(window={7, 9}), "window: expected [M2] (left, right) in tokens, -1 or None for no limit, got {"),
    (dict(window=iter((1, 2))), "window: expected [M2] (left, right) in tokens, -1 or None for no limit, got <tuple_iterator"),
    (dict(window=np.zeros((3, 2), int)), "window: expected [M2] (left, right) in tokens, -1 or None for no limit, got array([[0, 0], [0, 0], [0, 0]])"),
    (dict(window=(True, None)), "window: expected an integer of at least -1, got True"),
    (dict(window=(5, -2)), "window: expected an integer of at least -1, got -2"),
    (dict(window=(2**31, 0)), "window: expected [M2] sides of at most 1073741824 tokens, got (2147483648, 0)"),
    (dict(sinks=[1.0] * 4), "sinks: expected a torch tensor or a NumPy array, got list"),
    (dict(sinks=np.zeros(2, np.float32)), "sinks: expected [M3] one for each of the 4 query heads, got 2"),
    (dict(sinks=np.zeros((1, 4), np.float32)), "sinks: expected 1 dimensions, got 2: [1, 4]"),
    (dict(sinks=np.zeros(4)), "sinks: expected [M3] float32, got float64"),
    (dict(alpha=float("inf")), "alpha: expected a finite number, got inf"),
    (dict(sink=-1), "sink: expected an integer of at least 0, got -1"),
    (dict(local=True), "local: expected an integer of at least 0, got True"),
    (dict(min_blocks=None), "min_blocks: expected an integer of at least 0, got None"),
    (dict(max_blocks=-2), "max_blocks: expected an integer of at least 0, got -2"),
    (dict(dense_below="8"), "dense_below: expected an integer of at least 0, got '8'"),
    (dict(return_lse="no"), "return_lse: expected True or False, got 'no'"),
    (dict(return_selection=None), "return_selection: expected True or False, got None"),
    (dict(cu_seqlens=[0, 3, 8]), "cu_seqlens: expected [I8] one array or a pair (of queries, of keys), got 3 of them"),
    (dict(cu_seqlens=np.array([0, 8])), "cu_seqlens_q: expected int32, got int64"),
    (dict(cu_seqlens=np.zeros((1, 2), np.int32)), "cu_seqlens_q: expected 1 dimensions, got 2: [1, 2]"),
]


class Arguments(unittest.TestCase):
    def refused(self, message, call, *arguments, **options):
        with self.assertRaises(unisparse.Error) as caught:
            call(*arguments, **options)
        self.assertIn(message, str(caught.exception))
        return caught.exception.status

    def test_options(self):
        for options, message in OPTIONS:
            with self.subTest(**options):
                self.refused(message, unisparse.attention, *tensors(), **options)

    def test_options_of_integrations(self):
        """Before there are heads, arrays are what lists are."""
        for options in (dict(p=np.array([0.1] * 4)), dict(p=[0.1] * 4), dict(p=np.float32(0.1), pooling=np.array([8, 8, 2]))):
            with self.subTest(**options):
                self.assertEqual(set(check_options(options)), set(options))
        self.refused("p: expected a finite number, got {0.1: 1}", check_options, dict(p={0.1: 1}))

    def test_a_message_is_one_short_line(self):
        with self.assertRaises(unisparse.Error) as caught:
            unisparse.attention(*tensors(), block=[[1, 2]] * 1000)
        self.assertEqual(len(str(caught.exception).splitlines()), 1)
        self.assertLess(len(str(caught.exception)), 160)

    def test_good_options_get_further(self):
        for options in (
            dict(p=0),
            dict(p=np.float32(1)),
            dict(p=[0.1] * 4),
            dict(p=np.array([0.1, 0.2]), share="group"),
            dict(block=[64, 64]),
            dict(top_k=np.int64(3)),
            dict(pooling=(8, 8, 4)),
            dict(p=Fraction(1, 3), scale=Decimal("0.5"), softcap=np.longdouble(30)),
            dict(window=(3, None)),
            dict(window=[None, 0]),
            dict(window=np.array([3, 0]), block=range(64, 66), pooling=(8, 5)),
            dict(causal=np.bool_(False), return_lse=np.True_, agg=np.str_("sum"), share=np.str_("group")),
            dict(block=np.array([64, 64]), sink=np.uint8(1), scale=np.float16(0.5), alpha=np.int32(1), top_k=np.array(3)),
        ):
            with self.subTest(**options):
                self.refused("or unisparse-compile in PATH, got neither", unisparse.attention, *tensors(), **options)

    def test_tensors(self):
        q, k, v = tensors()
        for arguments, message, status in (
            ((q[0], k, v), "q: expected 4 dimensions, got 3: [4, 8, 16]", Status.BAD_SHAPE),
            ((q, k, v.tolist()), "v: expected a torch tensor or a NumPy array, got list", Status.BAD_ARGUMENT),
            ((q, k, v.astype(np.float16)), "v: expected [I1] q's type float32, got float16", Status.BAD_SHAPE),
            (tensors(dtype=np.float64), "q: expected [I1] float32, float16 or bfloat16, got float64", Status.BAD_SHAPE),
            ((q, k[..., :8], v), "k: expected [I2] q's head_dim of 16, got 8", Status.BAD_SHAPE),
            ((q, k, np.concatenate([v, v])), "v: expected [I2] q's batch of 1, got 2", Status.BAD_SHAPE),
            ((q, k, v[:, :1]), "v: expected [I4] k's number of heads 2, got 1", Status.BAD_SHAPE),
            ((q, k, v[:, :, :5]), "v: expected [I4] k's length 8, got 5", Status.BAD_SHAPE),
            (tensors(lq=9), "q: expected [I7] no more queries than the 8 keys under causal, got 9", Status.BAD_SHAPE),
            ((q, None, v), "k: expected a torch tensor or a NumPy array, got NoneType", Status.BAD_ARGUMENT),
            ((q, k.astype(np.int32), v), "k: expected [I1] q's type float32, got int32", Status.BAD_SHAPE),
            (tensors(dtype=np.int64), "q: expected [I1] float32, float16 or bfloat16, got int64", Status.BAD_SHAPE),
            (tensors(dtype=bool), "q: expected [I1] float32, float16 or bfloat16, got bool", Status.BAD_SHAPE),
            ((np.concatenate([q, q]), k, v), "k: expected [I2] q's batch of 2, got 1", Status.BAD_SHAPE),
            (tensors(hq=3), "k: expected [I3] heads that divide the 3 of q, got 2", Status.BAD_SHAPE),
            (tensors(hkv=0), "k: expected [I3] heads that divide the 4 of q, got 0", Status.BAD_SHAPE),
            (tensors(dv=0), "v: expected a head_dim of at least 1, got 0", Status.BAD_SHAPE),
        ):
            with self.subTest(message):
                self.assertEqual(self.refused(message, unisparse.attention, *arguments), status)

    def test_arrays_that_are_not_what_lies_there(self):
        q, k, v = tensors()
        masked = np.ma.masked_less(np.arange(v.size, dtype=np.float32).reshape(v.shape), 3)
        for wrong, message in (
            (masked, "v: expected an array without masked elements (x.filled(value) makes one), got 3 of them"),
            (v.astype(object), "v: expected [I1] q's type float32, got object"),
            (np.zeros(v.shape, [("x", np.float32)]), "v: expected [I1] q's type float32, got [('x', '<f4')]"),
            (np.array(1, np.float32), "v: expected 4 dimensions, got 0: []"),
            (np.float32(1), "v: expected a torch tensor or a NumPy array"),
        ):
            with self.subTest(message):
                self.refused(message, unisparse.attention, q, k, wrong)
        self.refused("q: expected [I1] float32, float16 or bfloat16, got object", unisparse.attention, *tensors(dtype=object))
        self.refused("cu_seqlens_q: expected an array without masked", unisparse.attention, q, k, v,
                     cu_seqlens=np.ma.masked_equal(np.array([0, 8], np.int32), 8))  # fmt: skip

    def test_ends(self):
        """I8 first, before anything is made of the ends: huge ones cost nothing."""
        counts, indices = np.zeros((1, 2, 5), np.int32), np.zeros((1, 2, 5, 1), np.int32)
        for ends, message in (
            ([0, 2**31 - 1], "cu_seqlens_q: expected [I8] to end with the length 8, got 2147483647"),
            ([-10000, 3, 8], "cu_seqlens_q: expected [I8] to start with 0, got -10000"),
            ([0, 5, 3, 8], "cu_seqlens_q: expected [I8] no entry below the one before, got 3 behind 5"),
            ([0, 2**31 - 1, -(2**31), 8], "cu_seqlens_q: expected [I8] no entry below the one before, got -2147483648 behind 2147483647"),
            ([0, 3], "cu_seqlens_q: expected [I8] to end with the length 8, got 3"),
            ([], "cu_seqlens_q: expected [I8] S + 1 ends of S sequences, got none"),
        ):
            for order in "<>":
                cu = np.array(ends, order + "i4")
                with self.subTest(message, order=order):
                    self.refused(message, unisparse.attention, *tensors(), cu_seqlens=cu)
                    self.refused(message, unisparse.block_sparse_attention, *tensors(), counts, indices, cu_seqlens=cu)
        good = np.array([0, 8], np.int32)
        self.refused("cu_seqlens_k: expected [I8] to end with", unisparse.attention, *tensors(), cu_seqlens=(good, good // 2))
        self.refused(
            "cu_seqlens_k: expected [I8] as many entries as cu_seqlens_q, 2, got 3",
            unisparse.attention,
            *tensors(),
            cu_seqlens=(good, np.array([0, 4, 8], np.int32)),
        )
        self.refused("q: expected [I8] batch 1 beside cu_seqlens, got 2", unisparse.attention, *tensors(batch=2), cu_seqlens=good)

    def test_selection(self):
        q, k, v = tensors(hq=8)
        counts, indices = np.zeros((1, 8, 1), np.int32), np.zeros((1, 8, 1, 1), np.int32)
        for c, i, message in (
            (counts.astype(np.int64), indices, "counts: expected int32, got int64"),
            (counts[0], indices, "counts: expected 3 dimensions, got 2: [8, 1]"),
            (counts, counts, "indices: expected 4 dimensions, got 3: [1, 8, 1]"),
            (
                counts[:, :4],
                indices[:, :4],
                "counts: expected [A4] as many heads as q, 8, or as k, 2 (repeat those that are shared), got 4",
            ),
            (counts, indices[:, :2], "indices: expected [A4] sizes that start with those of counts, [1, 8, 1], got [1, 2, 1, 1]"),
            (counts.repeat(2, 0), indices.repeat(2, 0), "counts: expected [A4] q's batch of 1, got 2"),
            (counts.repeat(2, 2), indices.repeat(2, 2), "counts: expected [A4] 1 rows, of 8 queries in blocks of 128, got 2"),
            (None, indices, "counts: expected a NumPy array, as q is, got NoneType"),
            (counts, indices.tolist(), "indices: expected a NumPy array, as q is, got list"),
        ):
            with self.subTest(message):
                self.refused(message, unisparse.block_sparse_attention, q, k, v, c, i)

    def test_programs(self):
        for path in (3, None, [b"x"]):
            self.refused("path: expected the path of an artifact, got", unisparse.Program, path)
        self.refused("inputs: expected at least one tensor, got 0", unisparse.Program("none.usp"))
        self.refused("input 0: expected a torch tensor, as input 0 is, got str", unisparse.Program("none.usp"), "q")

    def test_torch_is_not_imported(self):
        self.assertNotIn("torch", sys.modules)


if __name__ == "__main__":
    unittest.main()
