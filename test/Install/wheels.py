# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# REQUIRES: wheels
# RUN: rm -rf %t && %cmake --build %obj_root --target unisparse-compile-static && %python %s %t %obj_root
"""Both wheels, built and installed where nothing of the project was: attention on NumPy's arrays in three lines, and where
this Python has torch on its tensors, on the CPU and, with a GPU, there. `make check-wheels` is this test with what it needs."""

import importlib.util
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
"""
SEEN = """
assert o.shape == q.shape and numpy.isfinite(o).all() and numpy.allclose(o[:, :, 0], q[:, :, 0], atol=1e-6)
print(unisparse.__file__)
print(*{line.split()[-1] for line in open("/proc/self/maps") if "libomp" in line})
"""
WITH_TORCH = """
import torch, unisparse
q = torch.randn(1, 4, 300, 128, dtype=torch.bfloat16, device={device!r})
o = unisparse.attention(q, q, q, p=1.0)
"""
SEEN_WITH_TORCH = """
wanted = torch.nn.functional.scaled_dot_product_attention(q.float(), q.float(), q.float(), is_causal=True)
torch.testing.assert_close(o.float(), wanted, atol=0.02, rtol=0.02)
assert torch.equal(unisparse.attention(q, q, q, p=1.0), o)
from unisparse import _again
assert _again.native and _again.native.__spec__.origin.startswith({venv!r})
assert _again.connected(torch) == hasattr(torch.Tensor, "__dlpack_c_exchange_api__")
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
        self.assertTrue({"unisparse/py.typed", "unisparse/lib/libunisparse-rt.so", "unisparse/_native.abi3.so"} <= set(names))
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
        cache = dict(UNISPARSE_CACHE=str(TMP / "cache"))
        status, said, errors = run(python, "-c", THREE_LINES + SEEN, **cache)
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual([str(TMP / "venv") in line for line in said.splitlines()], [True] * 2)
        self.assertEqual(said.count("libomp"), 1)
        self.assertEqual(len([*(TMP / "cache").rglob("*.so")]), 1)
        # The compiler has what GPUs need, too.
        (TMP / "list.json").write_text('[{"heads": 4, "kv_heads": 4, "head_dim": 128, "dtype": "bf16", "p": 1.0}]')
        status, said, errors = run(python, "-m", "unisparse", "prepare", "--list", TMP / "list.json", "--out", TMP / "ahead", **cache)
        self.assertEqual((status, errors, len([*(TMP / "ahead").glob("*.usp")])), (0, "", 1), said)
        if (torch := importlib.util.find_spec("torch")) is None:
            return
        (packages / "torch.pth").write_text(str(pathlib.Path(torch.origin).parent.parent) + "\n")
        gpu = run(python, "-c", "import torch; print(torch.cuda.is_available())")[1] == "True\n"
        for device in ("cpu", "cuda") if gpu else ("cpu",):
            lines = WITH_TORCH.format(device=device) + SEEN_WITH_TORCH.format(venv=str(TMP / "venv"))
            status, said, errors = run(python, "-W", "ignore", "-c", lines, **cache)
            self.assertEqual((status, said), (0, ""), errors)

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
        """pip wheel of the compiler's project takes what the build tree has, or says in a line, where it is no checkout, what to do."""
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "python"
            shutil.copytree(ROOT / "python", copy, ignore=shutil.ignore_patterns("__pycache__"))
            words = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, copy / "compiler")
            status, said, errors = run(sys.executable, *words)
            self.assertNotEqual(status, 0)
            wanted = "UNISPARSE_STATIC_COMPILER: expected unisparse-compile without LLVM's libraries, got none, nor a checkout and MLIR_DIR to "
            wanted += "make it of; `cmake --preset release && cmake --build build --target unisparse-compile-static` makes it"
            self.assertIn(wanted, said + errors)


if __name__ == "__main__":
    unittest.main()
