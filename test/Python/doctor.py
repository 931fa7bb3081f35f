# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && %python %s %t unisparse-compile %fake_driver
"""What `python -m unisparse doctor` finds: on a bare machine, on one with everything but torch, and where things are broken."""

import os
import pathlib
import subprocess
import sys
import unittest

DRIVER, COMPILER, TMP = (pathlib.Path(sys.argv.pop()) for _ in range(3))
PACKAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "python"


def doctor(*words, **environment):
    bare = dict(PYTHONPATH=str(PACKAGE), PYTHONDONTWRITEBYTECODE="1", PATH="", HOME=str(TMP), UNISPARSE_LIBCUDA=str(TMP / "libcuda.so"))
    done = subprocess.run(
        [sys.executable, "-m", "unisparse", *(words or ("doctor",))], capture_output=True, text=True, env={**bare, **environment}
    )
    lines = [line.split(None, 2) for line in done.stdout.splitlines() if line.startswith("  ")]
    return done, {name.rstrip(":"): (state, text) for state, name, text in lines}


class Doctor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        TMP.mkdir(parents=True)

    def test_bare(self):
        done, found = doctor()
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        for name, way_out in (
            ("runtime", "UNISPARSE_RT names the file"),
            ("driver", "install NVIDIA's driver"),
            ("GPU", "install NVIDIA's driver"),
            ("compiler", "build it as README.md says"),
            ("artifacts", "python -m unisparse prepare makes one"),
            ("OpenMP", "UNISPARSE_RT"),
            ("calls", "pip install . builds it"),
        ):
            self.assertEqual(found[name][0], "missing")
            self.assertIn(way_out, found[name][1])
        self.assertEqual(found["cache"], ("ok", f"{TMP}/.cache/unisparse, made when first needed; for sm_80, sm_90a"))
        self.assertRegex(done.stdout, r"\nCUDA: not ready, lacks (torch, )?runtime, driver, GPU, compiler or artifacts\n")
        self.assertIn("CPU: not ready, lacks runtime, OpenMP, compiler or artifacts\n", done.stdout)

    def test_complete(self):
        (TMP / "ahead").mkdir(mode=0o755)
        (TMP / "ahead" / "a.usp").write_text("")
        done, found = doctor(
            UNISPARSE_LIBCUDA=str(DRIVER),
            UNISPARSE_COMPILE=str(COMPILER),
            UNISPARSE_RT=str(COMPILER.parent.parent / "lib" / "libunisparse-rt.so"),
            UNISPARSE_ARTIFACTS=str(TMP / "ahead"),
            UNISPARSE_CHIPS="sm_90a, sm_100a",
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual({name for name, (state, _) in found.items() if state != "ok"} - {"torch", "ml_dtypes", "calls"}, set())
        native = COMPILER.parent.parent / "lib" / "_native.abi3.so"
        self.assertIn(f"in C by {native}" if native.exists() else "calls take Python's path", found["calls"][1])
        self.assertRegex(found["driver"][1], r"^CUDA \d+\.\d$")
        self.assertRegex(found["GPU"][1], r"^0: .*, sm_90, runs what is compiled for sm_90a$")
        self.assertRegex(found["compiler"][1], rf"^{COMPILER}, .*, id [0-9a-f]{{16}}$")
        self.assertEqual(found["artifacts"][1], f"{TMP / 'ahead'}, 1 programs, 0.0 MiB")
        self.assertIn("CPU: ready\n", done.stdout)

    def test_broken(self):
        (TMP / "open").mkdir()
        (TMP / "open").chmod(0o777)
        (TMP / "junk").write_text("")
        done, found = doctor(
            UNISPARSE_CACHE=str(TMP / "open"),
            UNISPARSE_COMPILE=str(TMP / "none"),
            UNISPARSE_RT=str(TMP / "junk"),
            UNISPARSE_LIBCUDA=str(DRIVER),
            UNISPARSE_CHIPS="sm_100a",
        )
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        for name, text in (
            ("cache", "expected a folder that others cannot write"),
            ("compiler", "expected a program that starts, got No such file or directory"),
            ("runtime", "file too short"),
            ("OpenMP", "file too short"),
            ("GPU", "nothing of UNISPARSE_CHIPS runs on it"),
        ):
            self.assertEqual(found[name][0], "missing")
            self.assertIn(text, found[name][1])

    def test_words(self):
        for words, message in ((("doc",), "unisparse: expected doctor or prepare, got doc"), (("doctor", "x"), "got doctor x")):
            done, _ = doctor(*words)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1))
            self.assertIn(message, done.stderr)
        done, _ = doctor("prepare", "--list", str(TMP / "none.json"), "--out", str(TMP / "out"))
        self.assertEqual(done.stderr, f"prepare: {TMP / 'none.json'}: expected a file that can be read, got No such file or directory\n")


if __name__ == "__main__":
    unittest.main()
