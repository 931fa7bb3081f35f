# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && mkdir %t && env %host_programs %python %s %t
"""score_mod (M5) on NumPy arrays, against the oracle: ALiBi by its name, regions as text, and what is wrong with one, in one
line."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("Execution/lib", "Oracle", "../python"):
    sys.path.insert(0, os.path.join(HERE, "..", folder))

import numpy as np
import oracle as O
from case import ends, qkv

import unisparse
from unisparse import _config, prepare

# What ALiBi adds, by another text.
DISTANCE = """
    %quarter = arith.constant 0.25 : f32
    %d = arith.subi %k, %q : i32
    %far = math.absi %d : i32
    %x = arith.sitofp %far : i32 to f32
    %h = arith.sitofp %head : i32 to f32
    %bias = arith.mulf %x, %quarter : f32
    %more = arith.addf %bias, %h : f32
    %y = arith.subf %logit, %more : f32
    unisparse.yield %y : f32
"""


def every(lq, lk, heads, block=(32, 32)):
    rows, columns = -(-lq // block[0]), -(-lk // block[1])
    counts = np.full((1, heads, rows), columns, np.int32)
    return counts, np.broadcast_to(np.arange(columns, dtype=np.int32), (1, heads, rows, columns)).copy()


class ScoreMod(unittest.TestCase):
    def compare(self, heads, kv_heads, score_mod, modify, causal=True, tables=None, **options):
        q, k, v = (x.astype(np.float32) for x in qkv(heads, heads, kv_heads, 60, 70, 32, batch=1))
        counts, indices = every(60, 70, heads)
        o, lse = unisparse.block_sparse_attention(
            q, k, v, counts, indices, block=(32, 32), causal=causal, return_lse=True, score_mod=score_mod, score_tables=tables, **options
        )
        mask = np.ones((2, 3), bool)
        for h in range(heads):
            g = h // (heads // kv_heads)
            want = O.attend(*(x.astype(np.float64) for x in (q[0, h], k[0, g], v[0, g])), mask, 32, 32, 32**-0.5, causal, modify=modify(h), **options)
            self.assertTrue(np.allclose(o[0, h], want[0], atol=2e-5) and np.allclose(lse[0, h], want[1], atol=2e-5), h)

    def test_alibi(self):
        for heads, kv_heads, causal in ((4, 2, True), (4, 4, False), (6, 2, True), (1, 1, False)):
            self.compare(heads, kv_heads, "alibi", lambda h: O.alibi(heads, h), causal)
        self.compare(4, 2, "alibi", lambda h: O.alibi(4, h), softcap=5.0, window=(20, -1))

    def test_slopes_are_the_papers(self):
        self.assertEqual(O.alibi_slopes(8).tolist(), [2.0**-n for n in range(1, 9)])
        # As the authors' code has them for 12 heads: those of 8, then every second of 16.
        self.assertTrue(np.allclose(O.alibi_slopes(12)[8:], [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]))

    def test_text(self):
        self.compare(4, 2, DISTANCE, lambda h: lambda s, i, t: s - (np.abs(t - i) * 0.25 + h), causal=False)

    def test_packed_and_selected(self):
        cu = ends([30, 40]), ends([50, 64])
        q, k, v = (x.astype(np.float32) for x in qkv(0, 4, 2, 70, 114, 32, batch=1))
        o = unisparse.attention(q, k, v, p=1.0, block=(32, 32), cu_seqlens=cu, score_mod="alibi")
        for (a, b), (c, d) in (((0, 30), (0, 50)), ((30, 70), (50, 114))):
            for h in range(4):
                x, y, z = (w.astype(np.float64) for w in (q[0, h, a:b], k[0, h // 2, c:d], v[0, h // 2, c:d]))
                mask = np.ones((-(-(b - a) // 32), -(-(d - c) // 32)), bool)
                want = O.attend(x, y, z, mask, 32, 32, 32**-0.5, modify=O.alibi(4, h))[0]
                self.assertTrue(np.allclose(o[0, h, a:b], want, atol=2e-5))

    def test_estimate(self):
        """M6: the selection is one of modified masses, and not of others."""
        q, k, v = (x.astype(np.float32) for x in qkv(3, 4, 2, 150, 190, 32, batch=1))
        plain = dict(p=0.7, relax=0, block=(32, 32), representatives=0, spread=0, last=0, return_selection=True)
        modify = lambda h: lambda s, i, t: s - (np.abs(t - i) * 0.25 + h)

        def valid(masses, **options):
            _, counts, indices = unisparse.attention(q, k, v, score_mod=DISTANCE, **plain, **options)
            for h in range(4):
                mask = np.zeros((5, 6), bool)
                for r in range(5):
                    mask[r, indices[0, h, r, : counts[0, h, r]]] = True
                if O.selection_valid(mask, masses[h], 150, 190, 32, 32, 0.7, eps=1e-4):
                    return False
            return True

        given = (*(x[0].astype(np.float64) for x in (q, k)), 8, 8, 1, 32, 32, 32**-0.5)
        with_region, without = O.masses(*given, modify=modify), O.masses(*given)
        self.assertTrue(valid(with_region, estimate_with_region=True))
        self.assertFalse(valid(without, estimate_with_region=True))
        self.assertTrue(valid(without))
        options = dict(p=0.7, block=(32, 32), score_mod=DISTANCE, estimate_with_region=True)
        o = unisparse.sdpa(q, k, v, is_causal=False, enable_gqa=True, **options)
        want = unisparse.attention(q, k, v, causal=False, **options)
        self.assertTrue((o == want).all())

    def test_tables(self):
        """By head, by head and distance, and of numbers; of any sizes by one program, and wherever they lie."""
        text = """
            %h = arith.index_cast %head : i32 to index
            %ki = arith.index_cast %k : i32 to index
            %d = arith.subi %q, %k : i32
            %at = arith.index_cast %d : i32 to index
            %s = tensor.extract %slopes[%h] : tensor<?xf32>
            %b = tensor.extract %bias[%h, %at] : tensor<?x?xf16>
            %n = tensor.extract %parts[%ki] : tensor<?xi32>
            %x = arith.extf %b : f16 to f32
            %f = arith.sitofp %n : i32 to f32
            %more = arith.mulf %f, %s : f32
            %sum = arith.addf %logit, %x : f32
            %y = arith.addf %sum, %more : f32
            unisparse.yield %y : f32
        """
        rng = np.random.default_rng(5)
        for n in (20, 33):
            slopes, parts = rng.normal(size=4).astype(np.float32), rng.integers(0, 5, 70).astype(np.int32)
            bias = np.asfortranarray(rng.normal(size=(4, n)).astype(np.float16))
            modify = lambda h: lambda s, i, t: s + bias[h][np.clip(i - t, 0, n - 1)].astype(float) + parts[t] * slopes[h].astype(float)
            tables = {"slopes": slopes, "bias": bias, "parts": parts}
            self.compare(4, 2, text, modify, tables=tables)
            self.compare(4, 2, text, modify, tables=dict(reversed(tables.items())), causal=False)
        q, k, v = (x.astype(np.float32) for x in qkv(6, 4, 2, 60, 70, 32, batch=1))
        options = dict(block=(32, 32), p=0.5, score_mod=text, score_tables=tables, estimate_with_region=True)
        o = unisparse.attention(q, k, v, **options)
        swapped = lambda x: np.ascontiguousarray(x.swapaxes(1, 2))
        other = unisparse.attention(*map(swapped, (q, k, v)), layout="bshd", **options)
        self.assertTrue((o == swapped(other)).all())
        # Two names for two others are another call.
        self.assertFalse((o == unisparse.attention(q, k, v, **{**options, "score_tables": {**tables, "slopes": -slopes}})).all())

    def test_tables_prepared(self):
        """Types in the place of arrays, in any order, name the program that calls look for."""
        entry = dict(heads=4, kv_heads=2, head_dim=32, dtype="f32", score_mod=DISTANCE)
        one, other = ({**entry, "score_tables": tables} for tables in ({"b": "?xf32", "a": "?x?xi32"}, {"a": "?x?xi32", "b": "?xf32"}))
        self.assertEqual(prepare.configuration(one), prepare.configuration(other))
        self.assertIn("--score-tables=a:?x?xi32,b:?xf32", prepare.configuration(one).options())
        self.assertNotEqual(prepare.configuration(one).file_name(), prepare.configuration(entry).file_name())
        with self.assertRaises(unisparse.Error) as caught:
            prepare.configuration({**entry, "score_tables": {"b": "f64"}})
        self.assertEqual("score_tables['b']: expected [M5] 1 to 4 sizes and an element type, as '?x?xf32', got 'f64'", str(caught.exception))

    def test_table_errors(self):
        q, x = np.zeros((1, 2, 32, 32), np.float32), np.zeros(2, np.float32)
        text = "%h = arith.index_cast %head : i32 to index\n%b = tensor.extract %bias[%h] : tensor<?xf32>\nunisparse.yield %b : f32"
        names = "names of letters, digits and _, not among q, k, v, composites, cu_seqlens_q, cu_seqlens_k, counts, indices, sink_logits, logit, batch, head"
        for score_mod, tables, said in (
            (text, [x], "score_tables: expected [M5] arrays by the names that score_mod has for them, {name: array}, got list"),
            (text, {"bias": [0.0]}, "score_tables['bias']: expected a torch tensor or a NumPy array, got list"),
            (text, {"bias": x.astype(np.float64)}, "score_tables['bias']: expected [M5] float32, float16, bfloat16 or int32, got float64"),
            (text, {"bias": x[:0]}, "score_tables['bias']: expected [M5] 1 to 4 dimensions with entries, got [0]"),
            (text, {"bias": np.zeros((), np.float32)}, "score_tables['bias']: expected [M5] 1 to 4 dimensions with entries, got []"),
            (text, {"head": x}, f"score_tables: expected [M5] {names}, got 'head'"),
            (text, {"b-2": x}, f"score_tables: expected [M5] {names}, got 'b-2'"),
            (None, {"bias": x}, "score_tables: expected [M5] the text of a region as score_mod beside it, got none"),
            ("alibi", {"bias": x}, "score_tables: expected [M5] the text of a region as score_mod beside it, got alibi"),
            (text, {"bias": x.reshape(1, 2)}, "score_mod:2:21: [M5] expected a value of type tensor<?xf32>, got %bias of type tensor<?x?xf32>"),
            (text, {"bias": x, "biases": x}, "score_tables: [M5] expected tables that the text reads, got 'biases', which it does not"),
            (text, {}, "score_mod:2:21: [M5] expected the name of a value or of a table, got '%bias'"),
        ):
            with self.assertRaises(unisparse.Error) as caught:
                unisparse.attention(q, q, q, score_mod=score_mod, score_tables=tables)
            self.assertIn(said, str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))

    def test_options_of_the_compiler(self):
        """What the compiler alone knows is said of the argument, not of its option and a file."""
        q = np.zeros((1, 2, 32, 32), np.float32)
        for options, said in (
            (dict(scale=1e39), "scale: [S1] expected a number that is finite in f32, got 1e+39"),
            (dict(scale=1e20, alpha=1e20), "alpha times scale: [S1] expected a number that is finite in f32, got 1e+40"),
            (dict(block=(8192, 128)), "block: expected sizes of at most 4096, got 8192x128"),
        ):
            with self.assertRaises(unisparse.Error) as caught:
                unisparse.attention(q, q, q, **options)
            self.assertEqual(said, str(caught.exception))

    def test_one_text_is_one_program(self):
        """However it is indented."""
        flat = "\n".join(line.strip() for line in DISTANCE.strip().splitlines())
        self.assertEqual(_config.modification(DISTANCE), _config.modification(flat))
        names = {_config.Config(4, 2, 32, 32, "f32", selections=4, score_mod=text).file_name() for text in (None, "alibi", flat)}
        self.assertEqual(len(names), 3)

    def test_errors(self):
        q = np.zeros((1, 2, 32, 32), np.float32)
        for options, said in (
            (dict(), "estimate_with_region: expected [M6] score_mod beside it, got none"),
            (dict(score_mod="alibi", pooling=(8, 8, 2)), "pooling: expected [M6] composites of one head beside estimate_with_region, got 2"),
        ):
            with self.assertRaises(unisparse.Error) as caught:
                unisparse.attention(q, q, q, estimate_with_region=True, **options)
            self.assertEqual(said, str(caught.exception))
        with self.assertRaises(unisparse.Error) as caught:
            unisparse.attention(q, q, q, score_mod="alibi", estimate_with_region="yes")
        self.assertIn("estimate_with_region: expected", str(caught.exception))
        for value, said in (
            ("alibbi", "score_mod: expected [M5] 'alibi', or an MLIR region's body that ends with unisparse.yield, got 'alibbi'"),
            (3, "score_mod: expected [M5] 'alibi', or an MLIR region's body that ends with unisparse.yield, got 3"),
            ("unisparse.yield %x : f32", "score_mod:1:17: [M5] expected the name of a value or of a table, got '%x'"),
            ("%y = math.sin %logit : f32\nunisparse.yield %y : f32", "score_mod:1:6: [M5] expected scalars of arith"),
            ("unisparse.yield %q : f32", "score_mod:1:17: [M5] expected a value of type f32, got %q of type i32"),
            (" \n  // 1\n  ^a:\n  unisparse.yield %logit : f32", "score_mod:2:1: [M5] expected a body of one block, got '^a'"),
            ("// 1\n2 \0\nunisparse.yield %logit : f32", "score_mod:2:3: expected [M5] characters of a text, got '\\x00'"),
            ("// \ud800\nunisparse.yield %logit : f32", "score_mod:1:4: expected [M5] characters of a text, got '\\ud800'"),
            ("//" + " " * 100_000 + "\nunisparse.yield %logit : f32", "score_mod: expected [M5] a text of at most 100000 bytes, got 100031"),
        ):
            with self.assertRaises(unisparse.Error) as caught:
                unisparse.attention(q, q, q, score_mod=value)
            self.assertTrue(str(caught.exception).startswith(said), str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
