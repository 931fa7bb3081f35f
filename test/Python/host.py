# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && env %host_programs %python %s %t
"""Programs for the CPU in this process: no copies, no processes, no end of the process."""

import concurrent.futures
import contextlib
import os
import pathlib
import subprocess
import sys
import threading
import unittest
import zlib
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "python"))

import numpy as np

import unisparse
from unisparse import Status, _artifacts, _attention, _config, _host, _library, _plan, prepare
from unisparse._runtime import ELEMENTS, Tensor, check

TMP = pathlib.Path(sys.argv.pop())
RNG = np.random.default_rng(3)
BLOCK = dict(block=(32, 32))
LEVELS = ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16"]


def tensors(lq=90, lk=90, batch=1, dtype=np.float32):
    return tuple(RNG.normal(size=(batch, h, n, 16)).astype(dtype) for h, n in ((4, lq), (2, lk), (2, lk)))


def ends(*lengths):
    return np.cumsum([0, *lengths], dtype=np.int32)


def narrowed(x):
    """The bits of bf16, to nearest, ties to even."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def widened(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def place(x):
    return x.__array_interface__["data"][0]


@contextlib.contextmanager
def fresh():
    """As if no program had been called yet."""
    with mock.patch.dict(_host._programs, clear=True):
        _plan.forget()
        yield
    _plan.forget()


@contextlib.contextmanager
def spied(spy):
    """Programs that tell `spy` the addresses of inputs and outputs before they run."""
    made = _library.Library.__init__

    def init(self, path):
        made(self, path)
        run = self.run

        def told(handle, inputs, i, outputs, o, threads):
            spy([x.data for x in (*(Tensor * i).from_address(inputs), *(Tensor * o).from_address(outputs))])
            return run(handle, inputs, i, outputs, o, threads)

        self.run = told

    with fresh(), mock.patch.object(_library.Library, "__init__", init):
        yield


class Host(unittest.TestCase):
    def refused(self, message, status, *arguments, **options):
        call = unisparse.block_sparse_attention if len(arguments) > 3 else unisparse.attention
        with self.assertRaises(unisparse.Error) as caught:
            call(*arguments, **{**BLOCK, **options})
        self.assertEqual((str(caught.exception), caught.exception.status), (message, status))

    def test_memory_is_the_callers(self):
        """What programs read and write is where the caller has it, in either layout."""
        seen = []
        for dtype in (np.float32, np.float16):
            q, k, v = tensors(dtype=dtype)
            tokens = [x.swapaxes(1, 2).copy() for x in (q, k, v)]
            out = np.empty_like(q)
            with spied(seen.append):
                wanted, lse = unisparse.attention(q, k, v, **BLOCK, out=out, return_lse=True)
                self.assertEqual(seen.pop(), [*map(place, (q, k, v, out, lse))])
                found = unisparse.attention(*tokens, **BLOCK, layout="bshd")
                self.assertEqual(seen.pop(), [*map(place, (*tokens, found))])
                # A part of a larger tensor, and heads that share memory.
                parts = unisparse.attention(q[:, :, 7:], k[:, :, 7:], np.broadcast_to(v[:, :1, 7:], k[:, :, 7:].shape), **BLOCK)
                self.assertEqual(seen.pop(), [place(x[:, :, 7:]) for x in (q, k, v)] + [place(parts)])
                # o with the caller's strides, between other things; and contiguous in the layout that is asked for.
                self.assertTrue(found.flags.c_contiguous)
                around = np.full((1, 95, 4, 3, 16), 7, dtype)
                apart = around[:, 5:, :, 1].swapaxes(1, 2)
                self.assertIs(unisparse.attention(q, k, v, **BLOCK, out=apart), apart)
                self.assertEqual(seen.pop()[3], place(apart))
                self.assertTrue(np.array_equal(apart, wanted) and (around == 7).sum() >= around.size - apart.size)
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

    def test_calls_like_earlier_ones(self):
        """They find a plan: nothing is checked, named or prepared again."""
        q, k, v = tensors()
        counts = np.array([[[1, 2, 3]] * 2], np.int32)
        indices = np.broadcast_to(np.arange(3, dtype=np.int32), (1, 2, 3, 3)).copy()
        cu, out = ends(20, 70), np.empty_like(q)
        calls = (
            lambda: unisparse.attention(q, k, v, **BLOCK, return_lse=True),
            lambda: unisparse.attention(q, k, v, **BLOCK, return_lse=True, out=out),
            lambda: unisparse.attention(q, k, v, **BLOCK, cu_seqlens=cu, return_lse=True),
            lambda: unisparse.attention(*(x.swapaxes(1, 2) for x in (q, k, v)), **BLOCK, return_lse=True, layout="bshd"),
            lambda: unisparse.attention(q, k, v, **BLOCK, return_lse=True, sinks=np.zeros(4, np.float32)),
            lambda: unisparse.block_sparse_attention(q, k, v, counts, indices, **BLOCK, return_lse=True),
        )
        for n, call in enumerate(calls):
            with self.subTest(n):
                wanted = [x.copy() for x in call()]
                again = AssertionError("once more")
                with mock.patch.object(_attention, "check_tensors", side_effect=again), mock.patch.object(
                    _config, "make", side_effect=again
                ), mock.patch.object(_library.Library, "prepare", side_effect=again):
                    for x, y in zip(call(), wanted):
                        self.assertTrue(np.array_equal(x, y))
        # What tensors hold is looked at in every call.
        counts[0, 1, 2] = 4
        self.refused("counts: expected [L6] a count in [0, 3] in batch 0, head 1, row 2, got 4", Status.BAD_SHAPE, q, k, v, counts, indices)
        cu[1] = 95
        message = "cu_seqlens_q: expected [I8] no entry below the one before, got 90 behind 95"
        self.refused(message, Status.BAD_SHAPE, q, k, v, cu_seqlens=cu)

    def test_calls_that_differ(self):
        """Strides, types, alignment and options have a plan each."""
        q, k, v = tensors()
        o = unisparse.attention(q, k, v, **BLOCK)
        tokens = [x.swapaxes(1, 2).copy().swapaxes(1, 2) for x in (q, k, v)]
        odd = np.frombuffer(b"." + q.tobytes(), np.uint8)[1:].view(np.float32).reshape(q.shape)
        self.assertFalse(odd.flags.aligned)
        swapped = q.astype(">f4")
        for changed in ((odd, k, v), (swapped, k, v), tokens, (q[..., ::-1].copy()[..., ::-1], k, v)):
            before = len(_plan._plans)
            for _ in range(2):
                self.assertTrue(np.array_equal(unisparse.attention(*changed, **BLOCK), o))
            self.assertEqual(len(_plan._plans), before + 1)
        halves = [x.astype(np.float16) for x in (q, k, v)]
        self.assertEqual(unisparse.attention(*halves, **BLOCK).dtype, np.float16)
        self.assertFalse(np.array_equal(unisparse.attention(q, k, v, **BLOCK, scale=1.0), o))
        self.assertFalse(np.array_equal(unisparse.attention(q, k, v, **BLOCK, causal=False), o))
        self.assertTrue(np.array_equal(unisparse.attention(q, k, v, **BLOCK), o))
        # A mask is no part of a type; there may be one next time.
        masked = np.ma.masked_array(q)
        self.assertTrue(np.array_equal(unisparse.attention(masked, k, v, **BLOCK), o))
        masked[0, 0, 0, 0] = np.ma.masked
        message = "q: expected an array without masked elements (x.filled(value) makes one), got 1 of them"
        self.refused(message, Status.BAD_ARGUMENT, masked, k, v)

    def test_plans_go_with_their_programs(self):
        q, k, v = tensors()
        wanted = unisparse.attention(q, k, v, **BLOCK)
        with fresh():
            unisparse.attention(q, k, v, **BLOCK)
            unisparse.attention(q, k, v, **BLOCK, scale=0.5)
            first, second = _host._programs.values()
            _plan.forget(first)
            self.assertEqual([plan.loaded for plan in _plan._plans.values()], [second])
            _host.unload()
            self.assertEqual((_plan._plans, _host._programs, second.handle), ({}, {}, None))
            self.assertTrue(np.array_equal(unisparse.attention(q, k, v, **BLOCK), wanted))

    def test_two_threads_in_one_plan(self):
        """Each has structures of its own, also where both are between the first address and the last result."""
        two, seen, meeting = [tensors(), tensors()], [], threading.Barrier(2, timeout=60)
        wanted = [unisparse.attention(*x, **BLOCK) for x in two]

        def spy(addresses):
            seen.append(addresses)
            if len(seen) > 2:
                meeting.wait()

        with spied(spy), concurrent.futures.ThreadPoolExecutor(2) as pool:
            for x in two:
                unisparse.attention(*x, **BLOCK)
            self.assertEqual(len(_plan._plans), 1)
            found = list(pool.map(lambda x: unisparse.attention(*x, **BLOCK), two))
        for x, y in zip(found, wanted):
            self.assertTrue(np.array_equal(x, y))
        self.assertEqual(sorted(x[0] for x in seen[2:]), sorted(place(x[0]) for x in two))

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
                ("another version", whole[:-16] + b"\3" + whole[-15:], "expected version 2 of libraries for the CPU, got 3", Status.BAD_VERSION),
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
        levels = LEVELS[: LEVELS.index(_library.level())] if _library.level() in LEVELS else []
        q, k, v = tensors(dtype=np.float16)
        wanted = unisparse.attention(q, k, v, **BLOCK)
        for level in levels:
            with self.subTest(level), fresh(), mock.patch.object(_library, "level", lambda: level):
                found = unisparse.attention(q, k, v, **BLOCK)
                self.assertEqual([pathlib.Path(x.path).parent.parent.name for x in _host._programs.values()], [level])
                np.testing.assert_allclose(found.astype(np.float32), wanted.astype(np.float32), atol=4e-3)

    def test_bf16(self):
        """At every level that this CPU has, with and without dot products of pairs: odd blocks, sizes and ends, caps, groups."""
        levels = LEVELS[: LEVELS.index(_library.level()) + 1] if _library.level() in LEVELS else [_library.level()]
        for value_dim in (12, 33, 65):  # In vectors of up to 64, and what is left.
            self.expect_bf16(levels, value_dim)

    def expect_bf16(self, levels, value_dim):
        q, k, v = (narrowed(RNG.normal(size=(1, h, n, d))) for h, n, d in ((4, 37, 20), (2, 53, 20), (2, 53, value_dim)))
        keys, values = (np.repeat(widened(x), 2, axis=1) for x in (k, v))
        logits = 5 * np.tanh(np.einsum("bhid,bhjd->bhij", widened(q), keys) * 0.5 / 5)
        logits[:, :, np.arange(37)[:, None] + 16 < np.arange(53)] = -np.inf
        weights = np.exp(logits)
        wanted = np.einsum("bhij,bhjd->bhid", weights / weights.sum(-1, keepdims=True), values)
        entry = dict(heads=4, kv_heads=2, head_dim=20, value_dim=value_dim, dtype="bf16", block=[24, 21], pooling=[8, 7, 1], p=1.0, scale=0.5, softcap=5.0)
        for level in levels:
            with self.subTest(level, value_dim=value_dim):
                program = _library.Library(_artifacts.find(prepare.configuration(entry), _artifacts.cpu(level)))
                strides = [[x.strides[d] // 2 for d in range(4)] for x in (q, k, v)]
                inputs = (Tensor * 3)(*(Tensor(place(x), ELEMENTS.index("bf16"), 4, x.shape, tuple(s)) for x, s in zip((q, k, v), strides)))
                outputs, o = program.prepare(inputs), np.zeros(wanted.shape, np.uint16)
                outputs[0].data = place(o)
                check(program.run(program.handle, inputs, 3, outputs, len(outputs), 2))
                program.close()
                # A3: the rounding of P and of o, beside values of up to 4.
                np.testing.assert_allclose(widened(o), wanted, atol=0.03)

    def test_prepared(self):
        """Without a compiler, files that were compiled before."""
        q, k, v = tensors(dtype=np.float16)
        wanted = unisparse.attention(q, k, v, **BLOCK, alpha=0.5)
        entry = dict(heads=4, kv_heads=2, head_dim=16, dtype="f16", block=[32, 32], alpha=0.5)
        self.assertEqual(prepare.prepare([prepare.configuration(entry)], TMP / "ahead", [], report=lambda line: None, cpu=_library.level()), {})
        with fresh(), mock.patch.dict(
            os.environ, UNISPARSE_ARTIFACTS=str(TMP / "ahead"), UNISPARSE_CACHE=str(TMP / "none"), UNISPARSE_COMPILE="", PATH=""
        ):
            self.assertTrue(np.array_equal(unisparse.attention(q, k, v, **BLOCK, alpha=0.5), wanted))
            with self.assertRaisesRegex(unisparse.Error, r"^artifact: expected attention-.*\.so in .*ahead.*--target=cpu.*makes it"):
                unisparse.attention(q, k, v, **BLOCK, alpha=0.75)


if __name__ == "__main__":
    unittest.main()
