# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && env %host_programs %python %s %t
"""Programs for the CPU in this process: no copies, no processes, no end of the process."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import unittest
import zlib
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "python"))

import numpy as np

import unisparse
from unisparse import Status, _artifacts, _host, _library, prepare

TMP = pathlib.Path(sys.argv.pop())
RNG = np.random.default_rng(3)
BLOCK = dict(block=(32, 32))


def tensors(lq=90, lk=90, batch=1, dtype=np.float32):
    return tuple(RNG.normal(size=(batch, h, n, 16)).astype(dtype) for h, n in ((4, lq), (2, lk), (2, lk)))


def ends(*lengths):
    return np.cumsum([0, *lengths], dtype=np.int32)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Host(unittest.TestCase):
    def refused(self, message, status, *arguments, **options):
        call = unisparse.block_sparse_attention if len(arguments) > 3 else unisparse.attention
        with self.assertRaises(unisparse.Error) as caught:
            call(*arguments, **{**BLOCK, **options})
        self.assertEqual((str(caught.exception), caught.exception.status), (message, status))

    def test_memory_is_the_callers(self):
        """What programs read and write is where the caller has it, in either layout."""
        seen = []
        run = _library.Library.run

        def spy(self, inputs, outputs, threads):
            seen.append([x.data for x in (*inputs, *outputs)])
            run(self, inputs, outputs, threads)

        place = lambda x: x.__array_interface__["data"][0]
        for dtype in (np.float32, np.float16):
            q, k, v = tensors(dtype=dtype)
            tokens = [x.swapaxes(1, 2).copy() for x in (q, k, v)]
            out = np.empty_like(q)
            with mock.patch.object(_library.Library, "run", spy):
                wanted, lse = unisparse.attention(q, k, v, **BLOCK, out=out, return_lse=True)
                self.assertEqual(seen.pop(), [*map(place, (q, k, v, out, lse))])
                found = unisparse.attention(*tokens, **BLOCK, layout="bshd")
                self.assertEqual(seen.pop(), [*map(place, (*tokens, found))])
                # A part of a larger tensor, and heads that share memory.
                parts = unisparse.attention(q[:, :, 7:], k[:, :, 7:], np.broadcast_to(v[:, :1, 7:], k[:, :, 7:].shape), **BLOCK)
                self.assertEqual(seen.pop(), [place(x[:, :, 7:]) for x in (q, k, v)] + [place(parts)])
                # o in the place of q is written when all is read.
                same = q.copy()
                unisparse.attention(same, k, v, **BLOCK, out=same)
                self.assertNotEqual(seen.pop()[3], place(same))
            self.assertIs(wanted, out)
            self.assertTrue(np.array_equal(found.swapaxes(1, 2), wanted) and np.array_equal(same, wanted))

    def test_no_process(self):
        q, k, v = tensors()
        first = unisparse.attention(q, k, v, **BLOCK)
        with mock.patch.object(subprocess, "Popen", side_effect=AssertionError("a process")):
            self.assertTrue(np.array_equal(unisparse.attention(q, k, v, **BLOCK), first))

    def test_threads(self):
        q, k, v = tensors(300, 300, 2)
        wanted = unisparse.attention(q, k, v, **BLOCK)
        for threads in (1, 3):
            with mock.patch("unisparse._numpy.threads", lambda q: threads):
                self.assertTrue(np.array_equal(unisparse.attention(q, k, v, **BLOCK), wanted))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:  # Python's own.
            for found in pool.map(lambda _: unisparse.attention(q, k, v, **BLOCK), range(16)):
                self.assertTrue(np.array_equal(found, wanted))

    def test_violations(self):
        """What only the code sees is an error like others; the process goes on, and keeps nothing."""
        q, k, v = tensors(70, 90)
        message = "[I7] expected the queries of a sequence <= its keys, got 40 and 30"
        cu = ends(30, 40), ends(60, 30)
        self.refused(message, Status.BAD_SHAPE, q, k, v, cu_seqlens=cu)
        self.assertEqual(unisparse.attention(q, k, v, **BLOCK, cu_seqlens=cu, causal=False).shape, q.shape)
        many = RNG.normal(size=(1, 2, 4000, 512)).astype(np.float32)
        odd = dict(cu_seqlens=(ends(1000, 3000), ends(2000, 2000)), block=(128, 128), pooling=(1, 1))
        error = "[I7] expected the queries of a sequence <= its keys, got 3000 and 2000"
        self.refused(error, Status.BAD_SHAPE, many, many, many, **odd)
        before = resident()
        for _ in range(20):  # 31 MiB of composites each.
            self.refused(error, Status.BAD_SHAPE, many, many, many, **odd)
        self.assertLess(resident() - before, 100 << 20)

    def test_selections(self):
        """L6, before code goes where a selection sends it."""
        q, k, v = tensors()
        counts = np.array([[[1, 2, 3]] * 2], np.int32)
        indices = np.broadcast_to(np.arange(3, dtype=np.int32), (1, 2, 3, 3)).copy()
        self.assertEqual(unisparse.block_sparse_attention(q, k, v, counts, indices, **BLOCK).shape, q.shape)

        def changed(x, place, value):
            x = x.copy()
            x[place] = value
            return x

        for c, i, message in (
            (changed(counts, (0, 1, 2), 4), indices, "counts: expected [L6] a count in [0, 3] in batch 0, head 1, row 2, got 4"),
            (changed(counts, (0, 0, 0), -1), indices, "counts: expected [L6] a count in [0, 3] in batch 0, head 0, row 0, got -1"),
            (counts, indices[..., :2], "counts: expected [L6] a count in [0, 2] in batch 0, head 0, row 2, got 3"),
            (counts, changed(indices, (0, 0, 2, 2), 3), "indices: expected [L6] key blocks in [0, 3) in batch 0, head 0, row 2, got 3"),
            (counts, changed(indices, (0, 0, 1, 0), -1), "indices: expected [L6] key blocks in [0, 3) in batch 0, head 0, row 1, got -1"),
            (counts, changed(indices, (0, 1, 1, 1), 0), "indices: expected [L6] ascending key blocks in batch 0, head 1, row 1, got 0 behind 0"),
        ):
            self.refused(message, Status.BAD_SHAPE, q, k, v, c, i)
        # In a packed batch a row has its sequence's blocks; spare rows have nobody's.
        counts, indices = np.full((1, 2, 4), 2, np.int32), np.broadcast_to(np.arange(2, dtype=np.int32), (1, 2, 4, 2)).copy()
        cu = ends(20, 70)
        message = "counts: expected [L6] a count in [0, 1] in batch 0, head 0, row 0, got 2"
        self.refused(message, Status.BAD_SHAPE, q, k, v, counts, indices, cu_seqlens=cu, causal=False)
        counts[:, :, 0], indices[:, :, 1] = 1, [0, 2]
        o = unisparse.block_sparse_attention(q, k, v, counts, indices, **BLOCK, cu_seqlens=cu, causal=False)
        self.assertTrue(np.isfinite(o).all())

    def test_damaged_files(self):
        """They are found out before anything of them is loaded."""
        config = prepare.configuration(dict(heads=4, kv_heads=2, head_dim=8, dtype="f16"))
        with mock.patch.dict(os.environ, UNISPARSE_CACHE=str(TMP)):
            path = _artifacts.find(config, _artifacts.cpu())
            self.assertEqual(path.parent.parent.name, _library.level())
            whole, made = path.read_bytes(), path.stat().st_ino
            self.assertEqual(_artifacts.find(config, _artifacts.cpu()).stat().st_ino, made)

            def sealed(content):
                return content[:-12] + zlib.crc32(content[:-12]).to_bytes(4, "little") + content[-8:]

            self.assertEqual(sealed(whole), whole)
            level = _library.level().encode() + b"\0"
            for what, content, message, status in (
                ("empty", b"", "its mark at the end", Status.BAD_ARTIFACT),
                ("cut off", whole[:9000], "its mark at the end", Status.BAD_ARTIFACT),
                ("one bit", whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], "the bytes of its checksum", Status.BAD_ARTIFACT),
                ("another version", whole[:-16] + b"\2" + whole[-15:], "expected version 1 of libraries for the CPU, got 2", Status.BAD_VERSION),
                ("more", whole + b"\0", "its mark at the end", Status.BAD_ARTIFACT),
                ("no library", sealed(b"\0" * (len(whole) - 2000) + whole[-2000:]), "a library that can be loaded", Status.BAD_FILE),
                ("another CPU's", sealed(whole.replace(level, level[:-2] + b"!\0")),
                 f"expected a CPU of {_library.level()[:-1]}!, for which it was compiled, got one of {_library.level()}", Status.BAD_CHIP),
            ):  # fmt: skip
                with self.subTest(what):
                    path.unlink()
                    path.write_bytes(content)
                    with self.assertRaises(unisparse.Error) as caught:
                        _library.validate(path)
                    self.assertIn(message, str(caught.exception))
                    self.assertEqual((caught.exception.status, str(caught.exception).count("\n")), (status, 0))
                    self.assertEqual(_artifacts.find(config, _artifacts.cpu()), path)
                    self.assertEqual(path.read_bytes(), whole)

    def test_levels(self):
        """What is compiled for less than this CPU has runs on it, f16 without instructions for it too."""
        levels = ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"]
        levels = levels[: levels.index(_library.level())] if _library.level() in levels else []
        q, k, v = tensors(dtype=np.float16)
        wanted = unisparse.attention(q, k, v, **BLOCK)
        for level in levels:
            with self.subTest(level), mock.patch.dict(_host._programs, clear=True), mock.patch.object(_library, "level", lambda: level):
                found = unisparse.attention(q, k, v, **BLOCK)
                self.assertEqual([pathlib.Path(x.path).parent.parent.name for x in _host._programs.values()], [level])
                np.testing.assert_allclose(found.astype(np.float32), wanted.astype(np.float32), atol=4e-3)

    def test_prepared(self):
        """Without a compiler, files that were compiled before."""
        q, k, v = tensors(dtype=np.float16)
        wanted = unisparse.attention(q, k, v, **BLOCK, alpha=0.5)
        entry = dict(heads=4, kv_heads=2, head_dim=16, dtype="f16", block=[32, 32], alpha=0.5)
        self.assertEqual(prepare.prepare([prepare.configuration(entry)], TMP / "ahead", [], report=lambda line: None, cpu=_library.level()), {})
        with mock.patch.dict(_host._programs, clear=True), mock.patch.dict(
            os.environ, UNISPARSE_ARTIFACTS=str(TMP / "ahead"), UNISPARSE_CACHE=str(TMP / "none"), UNISPARSE_COMPILE="", PATH=""
        ):
            self.assertTrue(np.array_equal(unisparse.attention(q, k, v, **BLOCK, alpha=0.5), wanted))
            with self.assertRaisesRegex(unisparse.Error, r"^artifact: expected attention-.*\.so in .*ahead.*--target=cpu.*makes it"):
                unisparse.attention(q, k, v, **BLOCK, alpha=0.75)


if __name__ == "__main__":
    unittest.main()
