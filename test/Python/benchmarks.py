# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s
"""The parts of the GPU benchmarks that need neither torch nor a GPU: the matrix is sound, and a case that kills its process
or hangs costs nothing but itself."""

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

    def test_help(self):
        for script in ("gpu_matrix.py", "gpu_speed.py"):
            done = subprocess.run([sys.executable, str(ROOT / "benchmarks" / script), "--help"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
