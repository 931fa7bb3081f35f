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

from unisparse._blocks import EVERY, MASSES, Job, Layout, Overlap, Row, Rows, Run, Share, View, balanced, jobs, overlaps
from unisparse._shares import Heads, Rates, Segment, Timed, Work, choose, head_shares, rounds, segments, traffic, untold


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

    def test_blocks(self):
        """Everything once, whole blocks, of whoever has the first token; a call sees what the whole sequence sees."""
        rng = random.Random(3)
        for _ in range(60):
            block, composite = (rng.choice((16, 32)), rng.choice((16, 32))), rng.choice((1, 4, 8))
            ranks, parts, last = rng.randint(1, 5), rng.choice(("contiguous", "zigzag")), rng.choice((0, 0, 1, 3))
            view = View(rng.random() < 0.7, rng.choice(((-1, -1), (40, 0), (40, 24), (-1, 24))))
            sequences, query, key = [], 0, 0
            for _ in range(rng.randint(1, 4)):
                lq = rng.choice((0, 1, 40, 100, 300))
                lk = lq + rng.choice((0, 0, 3, 57))
                sequences.append((query, query + lq, key, key + lk))
                query, key = query + lq, key + lk
            queries, keys = (segments([x * (r + 1) // ranks - x * r // ranks for r in range(ranks)], parts) for x in (query, key))
            layout = Layout(ranks, sequences, queries, keys, block, composite, view, False, last, 60, (4, 2))
            for segs, every, size, place in ((queries, layout.query_runs, block[0], 0), (keys, layout.key_runs, block[1], 2)):
                tokens = [(n, rank) for rank, one in enumerate(every) for run in one for n in range(run.begin, run.end)]
                self.assertEqual(sorted(n for n, _ in tokens), list(range((query, key)[place // 2])))
                owner = {n: s.rank for s in segs for n in range(s.begin, s.end)}
                for rank, one in enumerate(every):
                    for run in one:
                        first, end = sequences[run.sequence][place : place + 2]
                        self.assertEqual(((run.begin - first) % size, (run.end - first) % size * (end - run.end)), (0, 0))
                        self.assertEqual({owner[n] for n in range(run.begin, run.end, size)}, {rank})
            self.assertEqual(sorted(b for one in layout.owned for begin, end in one for b in range(begin, end)), list(range(layout.blocks)))
            alone = [n for run in layout.split for n in range(run.begin, run.end)]
            self.assertEqual(sorted([n for rows in layout.rows for row in rows for n in range(row.begin, row.end)] + alone), list(range(query)))
            for rank, rows in enumerate(layout.rows):
                for row in rows:
                    span = layout.spans[row.sequence]
                    count, spare = view.call(span, Run(row.sequence, row.begin, row.end), composite)
                    self.assertTrue(0 <= spare <= span.query_end - row.end and count <= span.keys)
                    self.assertTrue(count == span.keys or count % composite == 0)
                    # Aligned at the bottom right as the whole is.
                    if view.positions:
                        self.assertEqual(count - (row.end - row.begin + spare), span.shift + row.begin - span.query)
                    positions = range(row.begin - span.query + span.shift, row.end - span.query + span.shift)
                    seen = [t for t in range(span.keys) if any(self.sees(view, i, t) for i in positions)]
                    first, end = view.candidates(span, row.begin, row.end, block[1])
                    self.assertEqual(sorted({t // block[1] for t in seen}), list(range(first, end)))
                    self.assertTrue(not seen or max(seen) < count)
                    for run in (run for one in layout.key_runs for run in one if run.sequence == row.sequence):
                        self.assertTrue(layout.sees(rank, run) or row.kind != MASSES or run.begin - span.key >= count)

    @staticmethod
    def sees(view, i, t):
        left, right = view.window
        return (not view.causal or t <= i) and (left < 0 or t >= i - left) and (right < 0 or t <= i + right)

    def test_few_queries_go_to_the_keys(self):
        """Of 8192 tokens the last block's 128 queries do; of 256 they would be more than the keys are."""
        for length, split in ((8192, [Run(0, 8192 - 128, 8192)]), (256, [])):
            whole = segments([length // 4] * 4, "contiguous")
            layout = Layout(4, [(0, length, 0, length)], whole, whole, (128, 128), 8, View(True, (-1, -1)), False, 1, 0, (32, 8))
            self.assertEqual((layout.split, layout.splitters), (split, [[0, 1, 2, 3]] * len(split)))
            self.assertEqual([len(rows) for rows in layout.rows], [16, 16, 16, 15] if split else [1, 0, 1, 0])

    def test_last_rows_stay_beside_their_keys(self):
        """Of three sequences the one that two ranks have parts of sends its last rows to the keys."""
        whole = segments([3072, 3072], "contiguous")
        ends = [0, 2048, 4096, 6144]
        layout = Layout(2, [(*one, *one) for one in zip(ends, ends[1:])], whole, whole, (128, 128), 8, View(True, (-1, -1)), False, 1, 0, (32, 8))
        self.assertEqual((layout.split, layout.splitters), ([Run(1, 4096 - 128, 4096)], [[0, 1]]))
        self.assertEqual([[row.sequence for row in rows if row.kind == EVERY] for rows in layout.rows], [[0], [2]])

    def test_rows_are_even(self):
        """Whoever has too many blocks gives rows away; where it is even, none moves."""
        rng = random.Random(5)
        for costs in (
            [[1] * 100, [2] * 100, [3] * 100, [4] * 100],
            [[5] * 100, [], [5] * 3],
            [[rng.randint(1, 40) for _ in range(rng.randint(50, 100))] for _ in range(5)],
        ):
            shares = balanced(costs)
            rows = [(share.source, row) for one in shares for share in one for row in range(share.begin, share.end)]
            self.assertEqual(sorted(rows), [(source, row) for source, one in enumerate(costs) for row in range(len(one))])
            loads = [sum(costs[share.source][row] for share in one for row in range(share.begin, share.end)) for one in shares]
            self.assertLess(max(loads) / (sum(loads) / len(loads)), 1.05)
        self.assertEqual(balanced([[2, 2], [2, 2]]), [[Share(0, 0, 2)], [Share(1, 0, 2)]])

    def test_jobs(self):
        rows = [Rows([Row(0, 10 * n, 10 * n + 10, MASSES) for n in range(6)]), Rows([Row(1, 60 + 10 * n, 70 + 10 * n, MASSES) for n in range(3)])]
        work = list(jobs([Share(0, 0, 6), Share(1, 1, 3)], rows))
        self.assertEqual(work, [Job(0, 0, 6, Run(0, 0, 60)), Job(1, 1, 2, Run(1, 70, 90))])

    def test_overlaps(self):
        wanted = [Run(0, 0, 5), Run(0, 5, 9)]
        own = [Segment(1, 0, 3, 7), Segment(1, 4, 8, 12)]
        self.assertEqual(overlaps(wanted, own), [Overlap(0, 3, 0, 2), Overlap(1, 0, 2, 2), Overlap(1, 3, 4, 1)])

    def test_rounds(self):
        """Equal ones, of whole KV groups where there are several: many where much moves, one where little does."""
        some = 100 << 20
        for mine, group, unit, moved, wanted in (
            (Heads(16, 32, 4, 8), 4, 1, 0, [(16, 32, 4, 8)]),
            (Heads(16, 32, 4, 8), 4, 1, 2 * some, [(16, 24, 4, 6), (24, 32, 6, 8)]),
            (Heads(16, 32, 4, 8), 4, 1, 8 * some, [(16 + 4 * n, 20 + 4 * n, 4 + n, 5 + n) for n in range(4)]),
            (Heads(16, 32, 4, 8), 4, 8, 80 * some, [(16, 24, 4, 6), (24, 32, 6, 8)]),  # Two groups choose together.
            (Heads(4, 8, 1, 2), 4, 1, 80 * some, [(n, n + 1, 1, 2) for n in range(4, 8)]),  # One KV head.
            (Heads(4, 8, 1, 2), 4, 4, 80 * some, [(4, 8, 1, 2)]),
            (Heads(2, 4, 0, 1), 4, 2, 80 * some, [(2, 4, 0, 1)]),
            (Heads(0, 0, 0, 0), 4, 1, 80 * some, []),
        ):
            self.assertEqual([tuple(x) for x in rounds(mine, group, unit, moved)], wanted)

    def test_traffic(self):
        """8 query heads of 2 KV heads, 100 tokens on each of two ranks, q, k and v of 8, 4 and 2 bytes."""
        shares = head_shares(8, 2, 1, 2)
        self.assertEqual(traffic(shares, [100, 100], [100, 100], (8, 4, 2)), [(4 * 100 * 8 + 100 * 6, 4 * 100 * 2)] * 2)

    def test_choice(self):
        """The same heads and tokens."""
        work = Work(8, 2, 1, 1, [100, 100], [100, 100], (8, 4, 2), 0.125, 1000, 0.5, 1.0)
        # By heads 3200 bytes of q, 600 of k and v and 800 of o; by rows 100 of composites and 1200 of blocks, all of which are waited for.
        found = choose(work, Rates(1e-6, 1e-6, 1e-5))
        said = "by heads 0.04 ms of steps, 4.6 ms of transfers and 0.25 ms of attention, by rows 0.14 ms of steps, 1.3 ms of transfers and 0.25 ms of attention, where 0.50 of the blocks are selected and 1.00 of others' come"
        self.assertEqual(found, ("rows", said))
        # What calls took is worth more than what they should take.
        timed = choose(work._replace(timed=Timed(heads=1e-3, attend=2e-3)), Rates(1e-6, 1e-6, 1e-5))
        self.assertEqual(timed, ("heads", "by heads 1 ms as calls took, by rows 0.14 ms of steps, 1.3 ms of transfers and 1 ms of attention, where 1.00 of others' come"))
        self.assertEqual(untold(work._replace(timed=Timed(heads=3e-3, rows=2e-3))), ("rows", "calls by heads took 3 ms, by rows 2 ms"))
        # Few queries of many heads move less than keys.
        few = Work(8, 8, 1, 1, [10, 10], [1000, 1000], (8, 8, 8), 0.125, 1000, 0.5, 1.0)
        self.assertEqual(choose(few, Rates(1e-6, 1e-9, 0)).mode, "heads")
        self.assertEqual(choose(few._replace(came=0.05, composite=0.01), Rates(1e-6, 1e-9, 0)).mode, "rows")
        # Of 8 query heads that choose by fours, one of four ranks has two times its share.
        uneven = Work(8, 2, 4, 1, [10] * 4, [10] * 4, (8, 4, 2), 0.125, 1000, 0.5, 1.0)
        self.assertEqual(choose(uneven, Rates(1e-12, 1e-6, 0)).mode, "rows")

    def test_choice_on_fast_links(self):
        """32:8 heads of 128 in bf16 on two ranks, 3.4e11 bytes a second and .6 ms a step: rows never gain. On slow links they do."""
        for length, blocks, one in ((8192, 32 * 64 * 65 // 2, 0.58e-3), (33001, 32 * 258 * 259 // 2, 2.33e-3), (131072, 32 * 1024 * 1025 // 2, 27.2e-3),
                                    (1 << 20, 16 * 32 * 512 * 513 // 2, 1.04)):  # fmt: skip
            parts = [(length + 1) // 2, length // 2]
            for came in (0.5, 1.0):
                work = Work(32, 8, 1, 1, parts, parts, (256, 256, 256), 0.15, blocks, 0.25, came)
                found = choose(work, Rates(1 / 3.4e11, one / (0.25 * blocks), 0.6e-3))
                self.assertEqual(found.mode, "heads", found.reason)
            self.assertEqual(choose(work._replace(came=0.05), Rates(1e-9, one / (0.25 * blocks), 1e-4)).mode, "rows")

    def test_transfers_beside_attention(self):
        """Of the bytes that come and go in four rounds a fourth is waited for; what attention does not cover is, too."""
        work = Work(32, 8, 1, 1, [65536] * 2, [65536] * 2, (256, 256, 256), 0.15, 1000, 1.0, 1.0)
        moved = 65536 * 256 * (16 + 8 + 16)
        for byte, rest in ((1e-12, 16e-3 / 2), (1e-9, moved * 0.75e-9)):
            found = choose(work, Rates(byte, 16e-6, 0.0))
            self.assertIn(f"by heads 0 ms of steps, {moved * 0.25e3 * byte:.3g} ms of transfers and {rest * 1e3:.3g} ms of attention", found.reason)

    def test_untold(self):
        """Until a call has told what it takes, heads are taken where they divide; nothing is measured for that."""
        work = Work(32, 8, 1, 1, [64] * 2, [64] * 2, (8, 8, 8), 0.125, 1000, 0.25, 1.0)
        said = "each rank takes 16 of 32 heads, and no call by heads has been timed"
        self.assertEqual(untold(work), ("heads", said))
        self.assertIsNone(untold(work._replace(timed=Timed(heads=1e-3))))
        self.assertIsNone(untold(work._replace(queries=[64] * 3)))


if __name__ == "__main__":
    unittest.main()
