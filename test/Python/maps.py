# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && env %host_programs %python %s %t
"""Pictures of selections."""

import os
import pathlib
import struct
import sys
import unittest
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))
TMP = pathlib.Path(sys.argv.pop())

import numpy as np

import unisparse
from unisparse import maps


def read(path):
    """-> pixels [height, width, 3], and the texts."""
    data, at, chunks, texts = path.read_bytes(), 8, b"", {}
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(data):
        (size,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", body)
        elif kind == b"IDAT":
            chunks += body
        elif kind == b"tEXt":
            texts.update([body.decode().split("\0")])
        at += 12 + size
    lines = np.frombuffer(zlib.decompress(chunks), np.uint8).reshape(height, 1 + 3 * width)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, 3), texts


class Maps(unittest.TestCase):
    def setUp(self):
        TMP.mkdir(parents=True, exist_ok=True)

    def test_blocks(self):
        """Two heads of 3 x 4 blocks, bottom right: row r has r + 2 candidates."""
        counts = np.array([[[1, 2, 0], [2, 3, 4]]], np.int32)
        indices = np.array([[[[1, 9, 9, 9], [0, 2, 9, 9], [9] * 4], [[0, 1, 9, 9], [0, 1, 2, 9], [0, 1, 2, 3]]]], np.int32)
        maps.draw(TMP / "a.png", counts, indices, queries=90, keys=120, block=(32, 32))
        pixels, texts = read(TMP / "a.png")
        self.assertEqual(texts, {"density": f"{3 / 9:.4f} 1.0000"})
        height, width = 3 * 85, 4 * 64
        self.assertEqual(pixels.shape, (2 * maps.GAP + height, 3 * maps.GAP + 2 * width, 3))
        for head in range(2):
            for row in range(3):
                for block in range(4):
                    chosen = block in indices[0, head, row, : counts[0, head, row]]
                    wanted = maps.SHADES[2 if chosen else 1 if block <= row + 1 else 0]
                    y, x = maps.GAP + row * 85 + 40, maps.GAP + head * (width + maps.GAP) + block * 64 + 32
                    self.assertEqual(tuple(pixels[y, x]), wanted, (head, row, block))

    def test_many_blocks(self):
        """Blocks smaller than a pixel share one, and are darker than their share."""
        rows = 2000
        counts, indices = np.ones((1, 1, rows), np.int32), np.full((1, 1, rows, 1), 7, np.int32)
        maps.draw(TMP / "b.png", counts, indices, queries=rows * 16, keys=rows * 16, block=(16, 16), causal=False)
        pixels, texts = read(TMP / "b.png")
        self.assertEqual((pixels.shape[0], texts["density"]), (512 + 2 * maps.GAP, "0.0005"))
        line = pixels[maps.GAP + 100, maps.GAP : -maps.GAP, 0]
        self.assertEqual(np.flatnonzero(line != maps.SHADES[1][0]).tolist(), [2])  # Of blocks 7 to 10.
        self.assertLess(line[2], 204 - 0.3 * (204 - 18))

    def test_of_attention(self):
        rng = np.random.default_rng(1)
        q, k, v = (rng.normal(size=(1, 2, 100, 16)).astype(np.float32) for _ in range(3))
        _, counts, indices = unisparse.attention(q, k, v, p=0.5, block=(32, 32), return_selection=True)
        maps.draw(TMP / "c.png", counts, indices, queries=100, keys=100, block=(32, 32))
        wanted = " ".join(f"{x:.4f}" for x in counts[0].sum(1) / 10)
        self.assertEqual(read(TMP / "c.png")[1], {"density": wanted})

    def test_refused(self):
        counts, indices = np.ones((1, 1, 2), np.int32), np.zeros((1, 1, 2, 2), np.int32)
        for path, c, i, options, message in (
            ("x", counts, indices, dict(queries=300), r"^counts: expected \[L6\] 3 rows, of 300 queries in blocks of 128, got 2$"),
            ("x", counts[0], indices, {}, "^counts: expected 3 dimensions, got 2"),
            ("x", counts * 3, indices, {}, r"^indices: expected \[L6\] blocks below 2 in the columns that counts names, got others$"),
            ("x", counts, indices + 2, {}, r"^indices: expected \[L6\] blocks below 2"),
            ("x", counts, indices[:, :, :1], {}, r"^indices: expected \[A4\] sizes that start with those of counts"),
            ("x", counts, indices, dict(keys=0), "^keys: expected an integer of at least 1, got 0$"),
            ("none/x", counts, indices, {}, "none/x: expected a place to write to, got No such file or directory$"),
        ):
            with self.assertRaisesRegex(unisparse.Error, message):
                maps.draw(TMP / path, c, i, **{**dict(queries=200, keys=200), **options})
        self.assertFalse((TMP / "x").exists())
        self.assertEqual([path.name for path in TMP.iterdir() if path.name.startswith(".")], [])


if __name__ == "__main__":
    unittest.main()
