# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s
"""The parts of the GPU benchmarks that need neither torch nor a GPU: the matrix is sound, and a case that kills its process
or hangs costs nothing but itself."""

import itertools
import os
import pathlib
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
for folder in ("python", "benchmarks/gpu"):
    sys.path.insert(0, str(ROOT / folder))

import cases
import numpy
import patterns
import programs
import supervise

# Does as its cases' names say.
CHILD = """
import json, os, sys, time
def say(**event): print(json.dumps(event), flush=True)
names = json.loads(sys.stdin.read())
if "never starts" in names: sys.exit("no GPU here")
say(event="device", device="fake")
print("something that a library prints")
for name in names:
    say(event="start", case=name)
    if name == "dies": sys.stderr.write("illegal address\\n"); sys.stderr.flush(); os._exit(9)
    if name == "hangs": time.sleep(60)
    say(event="done", case=name, result=dict(runs=1, rows=5, failures=["wrong"] if name == "wrong" else []))
    if name == "last words": sys.exit(3)
"""


class Benchmarks(unittest.TestCase):
    def supervised(self, *names, seconds=100):
        return supervise.run([sys.executable, "-c", CHILD], list(names), dict(os.environ), time.monotonic() + seconds, silence=6)

    def test_goes_on(self):
        result = self.supervised("a", "dies", "b", "hangs", "wrong", "last words", "c")
        found = {name: (c["runs"], c["failures"]) for name, c in result["cases"].items()}
        for good in ("a", "b", "last words", "c"):
            self.assertEqual(found[good], (1, []))
        self.assertEqual(found["wrong"], (1, ["wrong"]))
        self.assertIn("exit status 9: illegal address", found["dies"][1][0])
        self.assertIn("nothing heard for 6 s", found["hangs"][1][0])
        self.assertEqual(result["starts"], 4)
        self.assertEqual(result["device"], "fake")

    def test_gives_up(self):
        result = self.supervised("a", "never starts")
        self.assertEqual(result["starts"], 1)
        self.assertEqual(set(result["cases"]), {"a", "never starts"})
        self.assertTrue(all("no GPU here" in c["failures"][0] for c in result["cases"].values()))

    def test_out_of_time(self):
        result = self.supervised("a", "hangs", "b", seconds=3)
        self.assertEqual(result["cases"]["a"]["failures"], [])
        for name in ("hangs", "b"):
            self.assertIn("out of time", result["cases"][name]["failures"][0])

    def test_matrix(self):
        """Every entry is a configuration, every length set is one that its case may have."""
        some = cases.matrix() + cases.sanitize() + cases.long()
        self.assertGreater(len(some), 150)
        for case in some:
            with self.subTest(case.name):
                config = programs.configuration(case.entry)
                self.assertTrue(case.shapes)
                self.assertEqual(config.packed, case.packed)
                for lengths in case.shapes:
                    self.assertTrue(case.packed or len(lengths) == 1)
                    self.assertFalse(case.causal and any(lq > lk for lq, lk in lengths))
                self.assertTrue(not case.packed or case.batch == 1)

    def test_names(self):
        for some in (cases.matrix(), cases.sanitize(), cases.long()):
            self.assertEqual(len({c.name for c in some}), len(some))

    def test_dense(self):
        """A dense entry is a program of its own, compiled with --dense and without a selection."""
        (case,) = (c for c in cases.sanitize() if c.dense)
        dense, plain = (programs.configuration({**case.entry, "dense": on}) for on in (True, False))
        self.assertIn("--dense", dense.options())
        self.assertIn("--return-lse", dense.options())
        self.assertNotIn("--dense", plain.options())
        self.assertNotIn(plain.file_name(), dense.file_name())
        # As unisparse.prepare asks for it.
        self.assertTrue(dense.file_name(".so").startswith("dense-") and dense.file_name(".so").endswith(".so"))
        self.assertNotEqual(dense.digest(), plain.digest())

    def test_forms(self):
        """What is timed: each form is another program, and pairs of heads that share a selection are one of them."""
        configs = [programs.configuration(form.entry) for form in programs.ATTENDS]
        self.assertEqual(len({c.file_name() for c in configs}), len(configs))
        self.assertEqual({c.selections for c in configs}, {programs.HEADS, programs.KV_HEADS})
        self.assertEqual({(c.head_dim, c.causal) for c in configs}, {(128, True), (64, True), (128, False), (64, False), (256, True)})

    def test_patterns(self):
        def draw(name, lengths, block=(64, 32), head=0, heads=4, seed=1):
            return patterns.draw(name, numpy.random.default_rng(seed), lengths, block, head, heads)

        for name, (lq, lk) in itertools.product(patterns.PATTERNS, ((1, 1), (0, 0), (5, 0), (0, 7), (65, 300), (640, 640), (640, 96))):
            with self.subTest(name, lengths=(lq, lk)):
                mask = draw(name, (lq, lk))
                self.assertEqual((mask.shape, mask.dtype), ((-(-lq // 64), -(-lk // 32)), bool))
                self.assertTrue((mask == draw(name, (lq, lk))).all())
                if name.endswith(" block"):
                    self.assertTrue((mask.sum(1) == 1).all() or not mask.size)

        # 640 queries behind 320 keys: row r, of 64 queries, sees up to key 320 + 64 * r + 63.
        lengths, last = (640, 960), 11 + 2 * numpy.arange(10)
        self.assertEqual(draw("diagonal block", lengths).argmax(1).tolist(), last.tolist())
        self.assertEqual([numpy.flatnonzero(row).tolist() for row in draw("diagonal", lengths)], [[x - 1, x] for x in last])
        behind = draw("behind", lengths)
        self.assertEqual(behind.sum(1).tolist(), (29 - last).tolist())
        self.assertTrue(all(row[x + 1 :].all() for row, x in zip(behind, last)))
        self.assertTrue(draw("first block", lengths)[:, 0].all())
        self.assertTrue(draw("last block", lengths)[:, -1].all())
        self.assertEqual((draw("none", lengths).sum(), draw("all", lengths).sum()), (0, 300))
        self.assertEqual([draw("one head", lengths, head=h).all() for h in range(4)], [False, True, False, False])
        self.assertTrue(draw("one head", lengths, heads=1).all())
        self.assertEqual([draw("every second head", lengths, head=h).any() for h in range(4)], [True, False, True, False])

        counts = draw("uneven", (64 * 200, 64 * 200)).sum(1)
        self.assertEqual(counts[:3].tolist(), [400, 0, 1])
        self.assertGreater((counts == 0).sum(), 40)
        self.assertGreater((counts == 1).sum(), 20)
        self.assertGreater((counts > 40).sum(), 2)
        full = draw("runs", (64 * 80, 64 * 80)).sum(1)
        self.assertEqual(numpy.flatnonzero(full).tolist(), [36, 73, 79])
        self.assertEqual(set(full[full > 0]), {160})

    def test_help(self):
        for script in ("gpu_matrix.py", "gpu_speed.py"):
            done = subprocess.run([sys.executable, str(ROOT / "benchmarks" / script), "--help"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
