# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# REQUIRES: mypy
# RUN: rm -rf %t && %python %s %t
"""The package passes mypy --strict, and gives its callers types."""

import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TMP = pathlib.Path(sys.argv.pop())

USE = """
import unisparse

class Array: ...

a = Array()
o: Array = unisparse.attention(a, a, a, p=0.5, cu_seqlens=(a, a))
o, lse = unisparse.attention(a, a, a, return_lse=True)
o, counts, indices = unisparse.attention(a, a, a, return_selection=True)
o = unisparse.block_sparse_attention(a, a, a, a, a, block=(64, 64))
o, lse = unisparse.block_sparse_attention(a, a, a, a, a, return_lse=True)
o = unisparse.attention(a, a, a, layout="bshd", out=a)
o = unisparse.sdpa(a, a, a, is_causal=True, top_k=3)
status: int = unisparse.Error("").status
"""
MISUSE = {
    "unisparse.attention(a, a, a, top_k='3')": "top_k",
    "unisparse.attention(a, a, a, blocks=(1, 1))": "blocks",
    "unisparse.block_sparse_attention(a, a, a, a)": "block_sparse_attention",
    "unisparse.attention(a, a, a, layout='sbhd')": "layout",
    "x: int = unisparse.sdpa(a, a, a)": "int",
}


class Typed(unittest.TestCase):
    def mypy(self, *words):
        command = [sys.executable, "-m", "mypy", f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={TMP}", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MYPYPATH": str(ROOT / "python")})
        return done.returncode, done.stdout + done.stderr

    def test_strict(self):
        self.assertTrue((ROOT / "python" / "unisparse" / "py.typed").exists())
        self.assertEqual(self.mypy(ROOT / "python" / "unisparse")[0], 0, self.mypy(ROOT / "python" / "unisparse")[1])

    def test_callers(self):
        TMP.mkdir(parents=True, exist_ok=True)
        (TMP / "use.py").write_text(USE)
        status, text = self.mypy(TMP / "use.py")
        self.assertEqual(status, 0, text)
        for line, word in MISUSE.items():
            (TMP / "misuse.py").write_text(USE + line + "\n")
            status, text = self.mypy(TMP / "misuse.py")
            self.assertEqual((status, word in text), (1, True), text)


if __name__ == "__main__":
    unittest.main()
