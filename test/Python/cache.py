# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && %python %s %t unisparse-compile
"""The cache with the compiler and the runtime as they are: what the runtime refuses is compiled anew."""

import os
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "python"))

from unisparse import _artifacts, _runtime, prepare

COMPILER, TMP = (pathlib.Path(sys.argv.pop()) for _ in range(2))


class Cache(unittest.TestCase):
    def test_damaged_entries(self):
        os.environ.update(
            UNISPARSE_CACHE=str(TMP),
            UNISPARSE_ARTIFACTS="",
            UNISPARSE_CHIPS="sm_80",
            UNISPARSE_COMPILE=str(COMPILER),
            UNISPARSE_RT=str(COMPILER.parent.parent / "lib" / "libunisparse-rt.so"),
        )
        config = prepare.configuration(dict(heads=4, kv_heads=2, head_dim=64, dtype="f16"))
        path = _artifacts.find(config)
        _runtime.validate(path)
        whole, made = path.read_bytes(), path.stat().st_ino
        self.assertEqual(_artifacts.find(config).stat().st_ino, made)
        for what, damaged in (
            ("empty", b""),
            ("cut off", whole[: len(whole) // 2]),
            ("one bit", whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]),
            ("another version", whole[:8] + b"\1\0\0\0" + whole[12:]),
            ("more", whole + b"\0"),
        ):
            with self.subTest(what):
                path.write_bytes(damaged)
                self.assertEqual(_artifacts.find(config), path)
                self.assertEqual(path.read_bytes(), whole)


if __name__ == "__main__":
    unittest.main()
