# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# REQUIRES: wheels
# RUN: rm -rf %t && %cmake --build %obj_root --target unisparse-compile-static && %python %s %t %obj_root
"""Both wheels, built and installed where nothing of the project was: attention on CPU tensors in three lines."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

import numpy

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD, TMP = (pathlib.Path(sys.argv.pop()).resolve() for _ in range(2))

THREE_LINES = """
import numpy, unisparse
q = numpy.random.default_rng(0).normal(size=(1, 4, 300, 16)).astype(numpy.float32)
o = unisparse.attention(q, q, q, p=1.0)
assert o.shape == q.shape and numpy.isfinite(o).all() and numpy.allclose(o[:, :, 0], q[:, :, 0], atol=1e-6)
print(unisparse.__file__)
print(*{line.split()[-1] for line in open("/proc/self/maps") if "libomp" in line})
"""


def run(*command, **environment):
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("UNISPARSE", "PYTHON"))}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env={**bare, **environment}, cwd=TMP)
    return done.returncode, done.stdout, done.stderr


class Wheels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        TMP.mkdir(parents=True)

    def test_wheels(self):
        script = ROOT / "scripts" / "wheels.py"
        status, said, errors = run(sys.executable, script, "--out", TMP / "dist", "--compiler", BUILD / "static" / "unisparse-compile")
        self.assertEqual((status, errors), (0, ""), said + errors)
        wheels = sorted((TMP / "dist").glob("*.whl"))
        self.assertEqual([re.sub(r"-\d.*-py3-none-manylinux_2_\d+_\w+\.whl$", "", x.name) for x in wheels], ["unisparse", "unisparse_compiler"])
        names = zipfile.ZipFile(wheels[0]).namelist()
        self.assertTrue({"unisparse/py.typed", "unisparse/lib/libunisparse-rt.so"} <= set(names))
        self.assertFalse([name for name in names if name.endswith((".h", ".a", ".cmake"))])
        # LLVM's OpenMP runtime is in it, and the texts of all that is in either.
        self.assertIn("unisparse/lib/libomp.so.5", names)
        for wheel, wanted in zip(wheels, (("LICENSE", "LICENSE.OpenMP.txt"), ("LICENSE", "LICENSE.LLVM.txt", "LICENSE.zlib.txt", "LICENSE.zstd.txt"))):
            files = zipfile.ZipFile(wheel)
            texts = {pathlib.PurePath(x).name: files.read(x).decode() for x in files.namelist() if ".dist-info/licenses/" in x}
            self.assertEqual(sorted(texts), sorted(wanted))
            for name, says in (("LLVM", "Apache"), ("zlib", "Gailly"), ("zstd", "Redistribution"), ("OpenMP", "University of Illinois")):
                if f"LICENSE.{name}.txt" in texts:
                    self.assertIn(says, texts[f"LICENSE.{name}.txt"])
        # With the NumPy that is here, and nothing from the network.
        python = TMP / "venv" / "bin" / "python"
        for command in (
            (sys.executable, "-m", "venv", "--without-pip", python.parent.parent),
            (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", *wheels),
        ):
            self.assertEqual(run(*command)[0], 0, command)
        (packages,) = (TMP / "venv" / "lib").glob("python*/site-packages")
        (packages / "numpy.pth").write_text(str(pathlib.Path(numpy.__file__).parent.parent) + "\n")
        status, said, errors = run(python, "-c", THREE_LINES, UNISPARSE_CACHE=str(TMP / "cache"))
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual([str(TMP / "venv") in line for line in said.splitlines()], [True] * 2)
        self.assertEqual(said.count("libomp"), 1)
        self.assertEqual(len([*(TMP / "cache").rglob("*.so")]), 1)

    def test_refused(self):
        status, _, errors = run(sys.executable, ROOT / "scripts" / "wheels.py", "--out", "/dev/null", "--compiler", "/none")
        self.assertEqual((status, errors.count("\n")), (1, 1))
        self.assertIn("--compiler: expected what `cmake --build build --target unisparse-compile-static` makes, got no /none", errors)
        here = BUILD / "static" / "unisparse-compile"
        for words, message in (
            (("--license", "zlib=/none"), "wheels: expected the licence text of zlib, which is in the wheel, got none; --license zlib=FILE names it"),
            (("--license", "gzip=/none"), "--license: expected LLVM, zlib, zstd, OpenMP, got gzip"),
            (("--openmp", "/none"), "--openmp: expected LLVM's libomp.so.5, got no file /none"),
        ):
            status, _, errors = run(sys.executable, ROOT / "scripts" / "wheels.py", "--out", TMP / "none", "--compiler", here, *words)
            self.assertEqual((status, errors), (1, message + "\n"))

    def test_compiler_alone(self):
        """pip wheel of the compiler's project takes what the build tree has, or says in a line what to do."""
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "python"
            shutil.copytree(ROOT / "python", copy, ignore=shutil.ignore_patterns("__pycache__"))
            words = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, copy / "compiler")
            status, said, errors = run(sys.executable, *words)
            self.assertNotEqual(status, 0)
            wanted = "UNISPARSE_STATIC_COMPILER: expected unisparse-compile without LLVM's libraries, got none; "
            wanted += "`cmake --preset release && cmake --build build --target unisparse-compile-static` makes it"
            self.assertIn(wanted, said + errors)


if __name__ == "__main__":
    unittest.main()
