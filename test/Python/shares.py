# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s
"""Who computes what of a sequence in parts: everything once, evenly, and nothing torn apart that belongs together."""

import os
import random
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))

from unisparse._shares import Choice, Crossing, Piece, Segment, choose, crossings, head_shares, row_shares, segments


class Shares(unittest.TestCase):
    def test_segments(self):
        self.assertEqual(segments([3, 0, 2], "contiguous"), [Segment(0, 0, 0, 3), Segment(1, 0, 3, 3), Segment(2, 0, 3, 5)])
        self.assertEqual(
            segments([3, 2], "zigzag"), [Segment(0, 0, 0, 2), Segment(1, 0, 2, 3), Segment(1, 1, 3, 4), Segment(0, 2, 4, 5)]
        )

    def test_heads(self):
        for heads, kv_heads, unit, ranks, shares in (
            (8, 4, 1, 2, [(0, 4, 0, 2), (4, 8, 2, 4)]),
            (8, 4, 1, 3, [(0, 2, 0, 1), (2, 4, 1, 2), (4, 8, 2, 4)]),
            (8, 2, 1, 4, [(0, 2, 0, 1), (2, 4, 0, 1), (4, 6, 1, 2), (6, 8, 1, 2)]),  # A KV head for two ranks.
            (8, 2, 4, 4, [(0, 0, 0, 0), (0, 4, 0, 1), (4, 4, 1, 1), (4, 8, 1, 2)]),  # A group chooses together.
            (8, 4, 4, 2, [(0, 4, 0, 2), (4, 8, 2, 4)]),  # Two groups are pooled.
            (4, 4, 1, 6, None),
        ):
            found = head_shares(heads, kv_heads, unit, ranks)
            if shares:
                self.assertEqual([tuple(x) for x in found], shares)
            self.assertEqual([h for x in found for h in range(x.query, x.query_end)], list(range(heads)))
            for x in found:
                self.assertEqual((x.queries % unit, x.keys * (heads // kv_heads) >= x.queries), (0, True))
                for h in range(x.query, x.query_end):
                    self.assertTrue(x.key <= h // (heads // kv_heads) < x.key_end)

    def test_rows(self):
        rng = random.Random(3)
        for _ in range(200):
            dense = rng.choice((0, 0, 1, 3))
            block, composite, causal, ranks = (rng.choice((16, 32)), rng.choice((16, 32))), rng.choice((1, 4, 8)), rng.random() < 0.7, rng.randint(1, 5)
            sequences, query, key = [], 0, 0
            for _ in range(rng.randint(1, 4)):
                lq = rng.choice((0, 1, 40, 100, 300))
                lk = lq + rng.choice((0, 0, 3, 57))
                sequences.append((query, query + lq, key, key + lk))
                query, key = query + lq, key + lk
            shares = row_shares(sequences, block, composite, causal, dense, ranks)
            pieces = [piece for one in shares for piece in one]
            self.assertEqual([n for x in pieces for n in range(x.query, x.query_end)], list(range(query)))
            for x in pieces:
                begin, end, first, last = next(s for s in sequences if s[0] <= x.query < s[1])
                self.assertEqual(((x.query - begin) % block[0], x.key, x.keys), (0, first, last - first))
                self.assertTrue(x.query_end == end or (x.query_end - begin) % block[0] == 0)
                rows = range((x.query - begin) // block[0], -(-(x.query_end - begin) // block[0]))
                self.assertEqual({row >= -(-(end - begin) // block[0]) - dense for row in rows}, {x.last})
                # Aligned at the bottom right as the whole is, and no composite is torn.
                delta = (last - first) - (end - begin)
                self.assertEqual(x.key_end - first, (x.query_end - begin + delta + x.spare) if causal else last - first)
                self.assertTrue(x.key_end == last or (x.key_end - first) % composite == 0)
                self.assertTrue(0 <= x.spare < composite and x.key_end <= last)

    def test_rows_are_even(self):
        shares = row_shares([(0, 128 * 512, 0, 128 * 512)], (128, 128), 8, True, 0, 4)
        costs = [sum(1 + r for x in one for r in range(x.query // 128 + 1, x.query_end // 128 + 1)) for one in shares]
        self.assertLess(max(costs) / (sum(costs) / 4), 1.02)

    def test_crossings(self):
        pieces = [Piece(0, 5, 0, 5, 9, 0, False), Piece(5, 9, 0, 9, 9, 0, True)]
        own = [Segment(1, 0, 3, 7), Segment(1, 4, 8, 12)]
        self.assertEqual(crossings(pieces, own), [Crossing(0, 3, 0, 2), Crossing(1, 0, 2, 2), Crossing(1, 3, 4, 1)])

    def test_choice(self):
        """8 query heads of 2 KV heads, 100 tokens on each of two ranks."""
        even = [100, 100]
        self.assertEqual(choose(8, 2, 1, even, even, 60), Choice("rows", "2000 tokens of a head move by heads, 1760 by rows"))
        self.assertEqual(choose(8, 2, 1, even, even, 80).mode, "heads")
        self.assertEqual(choose(8, 2, 4, [10] * 4, [10] * 4, 0), Choice("rows", "of 8 query heads on 4 ranks one has 2.00 times its share"))


if __name__ == "__main__":
    unittest.main()
