# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && mkdir %t && env %host_programs %python %s %t
"""The Python package on NumPy arrays, against the oracle."""

import os
import sys
import tempfile
import unittest
from unittest import mock

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("Execution/lib", "Oracle", "../python"):
    sys.path.insert(0, os.path.join(HERE, "..", folder))

import numpy as np
import oracle as O
from case import ends, qkv

import unisparse

TOLERANCE = {np.float32: 1e-5, np.float16: 5e-3}

PLAIN = dict(p=0.9, representatives=0, spread=0, last=0)


def slots(cu, bq):
    """Where the rows of each packed sequence stand."""
    return [range(b // bq + s, b // bq + s + -(-(e - b) // bq)) for s, (b, e) in enumerate(zip(cu.tolist(), cu.tolist()[1:]))]


class Cpu(unittest.TestCase):
    def compare(self, q, k, v, cu=None, block=(32, 32), **options):
        """Selects, attends, gives the selection back, attends again; all against the oracle, sequence by sequence."""
        q, k, v = (x.copy() for x in (q, k, v))
        options = {**PLAIN, **options}
        found = unisparse.attention(q, k, v, block=block, cu_seqlens=cu, return_lse=True, return_selection=True, **options)
        o, lse, counts, indices = found
        self.assertEqual((o.dtype, lse.dtype, counts.dtype, indices.dtype), (q.dtype, np.float32, np.int32, np.int32))
        again = (
            unisparse.block_sparse_attention(
                q,
                k,
                v,
                counts,
                indices,
                block=block,
                cu_seqlens=cu,
                return_lse=True,
                causal=options.get("causal", True),
                scale=options.get("scale"),
                **{name: options[name] for name in ("softcap", "window", "sinks") if name in options},
            )
            if counts.shape[1] in (q.shape[1], k.shape[1])
            else found
        )
        self.assertTrue(np.array_equal(again[0], o) and np.array_equal(again[1], lse))
        pooling = (*options.pop("pooling", (8, 8)), 1)[:3]
        if "window" in options:
            options["window"] = tuple(-1 if side is None else side for side in options["window"])
        renamed = (("sink", "n_sink"), ("local", "n_local"), ("last", "n_last"), ("representatives", "reps"))
        rule = {new: options.pop(old) for old, new in renamed if old in options}
        heads, distinct = q.shape[1], counts.shape[1]
        cuq, cuk = cu if cu is not None else ([0, q.shape[2]], [0, k.shape[2]])
        places = slots(np.asarray(cuq), block[0]) if cu is not None else [range(counts.shape[2])]
        spare = set(range(counts.shape[2]))
        for b in range(len(q)):
            for s, rows in enumerate(places):
                spare -= set(rows)
                tokens, keys = slice(cuq[s], cuq[s + 1]), slice(cuk[s], cuk[s + 1])
                if tokens.start == tokens.stop:
                    continue
                eo, el, mask = O.attention(q[b, :, tokens], k[b, :, keys], v[b, :, keys], *pooling, *block, **options, **rule)
                for h in range(heads):
                    for n, r in enumerate(rows):
                        head = h * distinct // heads
                        taken = indices[b, head, r, : counts[b, head, r]]
                        self.assertEqual(taken.tolist(), np.flatnonzero(mask[h, n]).tolist())
                np.testing.assert_allclose(o[b, :, tokens], eo, atol=TOLERANCE[q.dtype.type] * max(1, abs(eo).max()))
                np.testing.assert_allclose(lse[b, :, tokens], el, atol=1e-4)
        self.assertFalse(counts[:, :, sorted(spare)].any())

    def test_options(self):
        for options in (
            dict(),
            dict(p=0.5, causal=False),
            dict(p=1),
            dict(top_k=2),
            dict(p=[0.1, 0.4, 0.7, 1.0]),
            dict(share="group", p=[0.3, 0.9], agg="sum"),
            dict(pooling=(4, 16, 2)),
            dict(sink=2, local=2, p=0.2),
            dict(p=0.1, min_blocks=3),
            dict(p=0.99, max_blocks=1),
            dict(scale=0.2, alpha=0.5),
            dict(dense_below=200, p=0.1),
            dict(p=0.5, representatives=4, spread=4, last=1),
            dict(p=0.5, representatives=4, pooling=(8, 8, 2)),
            dict(threshold=0.3),
            dict(softcap=3.0, p=0.5),
            dict(window=(40, 10), causal=False, p=0.5),
            dict(softcap=2.0, window=[30, None], sinks=np.linspace(-1, 6, 4, dtype=np.float32), p=0.5),
        ):
            with self.subTest(**options):
                self.compare(*qkv(1, 4, 2, 150, 200, 32, 48, batch=2), **dict(options))

    def test_packed(self):
        lq, lk = [5, 0, 70, 33], [5, 0, 100, 40]
        data = qkv(2, 4, 2, sum(lq), sum(lk), 32, batch=1)
        for options in (dict(p=0.6), dict(p=0.6, share="group"), dict(top_k=2, causal=False)):
            with self.subTest(**options):
                self.compare(*data, cu=(ends(lq), ends(lk)), **dict(options))
        q, k, v = qkv(3, 2, 2, 90, 90, 32, batch=1)
        one, pair = (
            unisparse.attention(q, k, v, cu_seqlens=cu, block=(32, 32)) for cu in (ends([50, 40]), (ends([50, 40]), ends([50, 40])))
        )
        self.assertTrue(np.array_equal(one, pair))

    def test_strides_and_half(self):
        q, k, v = (x.astype(np.float16).transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3) for x in qkv(4, 2, 1, 100, 100, 64, batch=1))
        self.assertFalse(q.flags.c_contiguous)
        o, lse = unisparse.attention(q, k, v, p=1.0, return_lse=True)
        eo, el, _ = O.attention(q[0], k[0], v[0], p=1.0)
        self.assertEqual(o.dtype, np.float16)
        np.testing.assert_allclose(o[0], eo, atol=5e-3)
        np.testing.assert_allclose(lse[0], el, atol=1e-3)

    def test_byte_orders_and_layouts(self):
        """What an array means counts, not how it lies."""
        q, k, v = (x.astype(np.float16) for x in qkv(8, 4, 2, 90, 90, 32, batch=1))
        cu = ends([50, 40])
        options = dict(block=(32, 32), p=0.5)
        results = unisparse.attention(q, k, v, cu_seqlens=cu, return_lse=True, return_selection=True, **options)
        swapped = [x.astype(x.dtype.newbyteorder()) for x in (q, k, v, cu)]
        self.assertFalse(any(x.dtype.isnative for x in swapped))
        broadcast = np.broadcast_to(v[:, :1], v.shape)
        for changed, wanted in (
            (swapped, results),
            ([swapped[0], k, v, cu], results),
            ([*map(np.asfortranarray, (q, k, v, cu))], results),
            ([q[..., ::-1].copy()[..., ::-1], *(np.ma.masked_array(x) for x in (k, v, cu))], results),
            ([q, k, broadcast, cu], unisparse.attention(q, k, broadcast.copy(), cu_seqlens=cu, return_lse=True, return_selection=True, **options)),
        ):
            got = unisparse.attention(*changed[:3], cu_seqlens=changed[3], return_lse=True, return_selection=True, **options)
            for x, y in zip(got, wanted):
                self.assertTrue(x.dtype.isnative)
                self.assertTrue(np.array_equal(x, y))
        selection = [x.astype(">i4") for x in results[2:]]
        again = unisparse.block_sparse_attention(q, k, v, *map(np.asfortranarray, selection), cu_seqlens=swapped[3], block=(32, 32))
        self.assertTrue(np.array_equal(again, results[0]))

    def test_nothing_to_do(self):
        """Steps without tokens have results of their sizes, as compiled programs give them; and take them back."""
        nothing = np.zeros(3, np.int32)
        group, free = dict(share="group"), dict(causal=False)
        for batch, lq, lk, cu, rows, options in (
            (1, 0, 40, None, 0, free),
            (0, 5, 40, None, 1, group),
            (1, 0, 0, None, 0, {}),
            (1, 0, 0, nothing, 2, group),
            (1, 0, 40, (nothing, np.array([0, 10, 40], np.int32)), 2, {}),
        ):
            with self.subTest(batch=batch, lq=lq, lk=lk, packed=cu is not None, **options):
                q, k, v = (np.zeros((batch, h, n, d), np.float32) for h, n, d in ((4, lq, 16), (2, lk, 16), (2, lk, 8)))
                wanted = dict(block=(32, 32), cu_seqlens=cu, causal=options.get("causal", True))
                o, lse, counts, indices = unisparse.attention(q, k, v, return_lse=True, return_selection=True, **{**wanted, **options})
                heads = 2 if "share" in options else 4
                self.assertEqual(
                    [x.shape for x in (o, lse, counts, indices)],
                    [(batch, 4, lq, 8), (batch, 4, lq), (batch, heads, rows), (batch, heads, rows, -(-lk // 32))],
                )
                self.assertFalse(counts.any())
                again = unisparse.block_sparse_attention(q, k, v, counts, indices, **wanted)
                self.assertEqual(again.shape, o.shape)

    def test_no_keys(self):
        """A2: rows that may see nothing."""
        q, k, v = (np.ones((1, 2, n, 16), np.float32) for n in (5, 0, 0))
        o, lse = unisparse.attention(q, k, v, causal=False, return_lse=True)
        self.assertFalse(o.any())
        self.assertTrue((lse == -np.inf).all())

    def test_blocks_that_nothing_pools(self):
        """I5 is a rule of pooling: a given selection has blocks of any size."""
        q, k, v = qkv(10, 2, 2, 200, 200, 16, batch=1)
        counts, indices = np.full((1, 2, 2), 2, np.int32), np.broadcast_to(np.arange(2, dtype=np.int32), (1, 2, 2, 2))
        counts[:, :, 0] = 1
        for block, c, i in (((100, 100), counts, indices), ((200, 7), np.full((1, 2, 1), 29, np.int32), np.arange(29, dtype=np.int32))):
            o = unisparse.block_sparse_attention(q, k, v, c, np.broadcast_to(i, (*c.shape, i.shape[-1])), block=block)
            np.testing.assert_allclose(o[0], O.attention(q[0], k[0], v[0], p=1.0)[0], atol=1e-5)

    def test_rows_of_a_packed_selection(self):
        q, k, v = qkv(9, 2, 2, 90, 90, 32, batch=1)
        counts, indices = np.zeros((1, 2, 3), np.int32), np.zeros((1, 2, 3, 3), np.int32)
        with self.assertRaises(unisparse.Error) as caught:
            unisparse.block_sparse_attention(q, k, v, counts, indices, block=(32, 32), cu_seqlens=ends([50, 40]))
        self.assertEqual(str(caught.exception), "counts: expected [A4] 4 rows (slots of a packed batch), got 3")

    @unittest.skipUnless(
        "ml_dtypes" in sys.modules or __import__("importlib.util").util.find_spec("ml_dtypes"), "ml_dtypes is not installed"
    )
    def test_bfloat16(self):
        import ml_dtypes

        q, k, v = (x.astype(ml_dtypes.bfloat16) for x in qkv(5, 2, 1, 100, 100, 64, batch=1))
        o = unisparse.attention(q, k, v, p=1.0)
        self.assertEqual(o.dtype, q.dtype)
        swapped = unisparse.attention(q.astype(q.dtype.newbyteorder()), k, v, p=1.0)
        self.assertEqual((swapped.dtype, swapped.tobytes()), (o.dtype, o.tobytes()))
        eo, _, _ = O.attention(q[0], k[0], v[0], p=1.0)
        np.testing.assert_allclose(o[0].astype(np.float64), eo, atol=5e-2)

    def test_results(self):
        """Only what is asked for, in the order that is promised."""
        q, k, v = qkv(6, 2, 1, 40, 40, 32, batch=1)
        alone = unisparse.attention(q, k, v)
        self.assertIsInstance(alone, np.ndarray)
        whole = unisparse.attention(q, k, v, return_lse=True, return_selection=True)
        self.assertEqual([x.shape for x in whole], [(1, 2, 40, 32), (1, 2, 40), (1, 2, 1), (1, 2, 1, 1)])
        self.assertEqual(len(unisparse.attention(q, k, v, return_selection=True)), 3)
        self.assertTrue(np.array_equal(alone, whole[0]))

    def test_errors_of_the_program(self):
        q, k, v = qkv(7, 2, 1, 60, 40, 32, batch=1)
        with self.assertRaises(unisparse.Error) as caught:
            unisparse.attention(q, k, v)
        self.assertIn("[I7]", str(caught.exception))
        with mock.patch.dict(os.environ, TMPDIR="/proc/none", UNISPARSE_CACHE=tempfile.mkdtemp(dir=sys.argv[1])):
            with self.assertRaisesRegex(unisparse.Error, r"\.so: unisparse-compile: temporary files: expected room for a library, got No such file"):
                unisparse.attention(k, k, v, scale=0.4)
        with self.assertRaises(unisparse.Error) as caught:
            unisparse.attention(k, k, v, cu_seqlens=np.array([0, 30], np.int32))
        self.assertIn("[I8]", str(caught.exception))
        with self.assertRaises(unisparse.Error) as caught:
            unisparse.block_sparse_attention(k, k, v, np.full((1, 1, 1), 2, np.int32), np.zeros((1, 1, 1, 1), np.int32))
        self.assertIn("counts", str(caught.exception))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
