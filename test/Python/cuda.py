# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && env UNISPARSE_NATIVE= %python %s %t
# RUN: %if native %{ rm -rf %t && env UNISPARSE_NATIVE=%native %python %s %t %}
"""What reaches the C interface from torch's tensors: addresses, sizes, strides, stream, device, errors. torch is a fake
one, the runtime a stub that is compiled against the real header, the compiler a script. Calls like earlier ones are made
in Python, and in C, of which the fake tensors speak the exchange API."""

import concurrent.futures
import contextlib
import copy
import gc
import os
import pathlib
import pickle
import re
import subprocess
import sys
import unittest
from unittest import mock

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE / "Inputs"), str(ROOT / "python")]

import stubs
import unisparse
from unisparse import Status, _again, _plan, _program, _runtime

TMP = pathlib.Path(sys.argv.pop(1))
LOG = TMP / "stub.log"


def setUpModule():
    TMP.mkdir(parents=True)
    library, script = stubs.runtime(TMP), stubs.compiler(TMP / "unisparse-compile")
    os.environ.update(
        UNISPARSE_RT=str(library),
        UNISPARSE_COMPILE=str(script),
        UNISPARSE_CACHE=str(TMP / "cache"),
        UNISPARSE_ARTIFACTS="",
        FAKE_COMPILE_LOG=str(TMP / "compile.log"),
        STUB_LOG=str(LOG),
        STUB_FAIL="",
    )
    assert "torch" not in sys.modules
    global faketorch, torch
    import faketorch
    from faketorch import torch

    if _again.native:
        import exchange

        exchange.install()


def tensor(*shape, dtype=None, index=0, **more):
    return faketorch.Tensor(shape, dtype or torch.bfloat16, faketorch.Device("cuda", index), **more)


def qkv(lq=300, lk=300, index=0):
    return tensor(2, 8, lq, 128, index=index), tensor(2, 2, lk, 128, index=index), tensor(2, 2, lk, 64, index=index)


def shown(kind, x, element):
    """A tensor as the stub notes it."""
    return f"{kind} {hex(x.data_ptr())} {element} [{' '.join(f'{n}/{s}' for n, s in zip(x.shape, x.stride()))}]"


class Cuda(unittest.TestCase):
    def setUp(self):
        while _program._loaded:
            _program._loaded.popitem()[1].close()
        _program._programs.clear()
        _plan.forget()
        LOG.write_text("")
        torch.allocated.clear()
        torch.copied.clear()
        torch.streams.clear()
        torch.grad = False
        torch.modes = 0
        os.environ["STUB_FAIL"] = ""

    def log(self, *kinds):
        return [line for line in LOG.read_text().splitlines() if line.startswith(kinds)]

    def refused(self, message, status, call, *arguments, **options):
        with self.assertRaises(unisparse.Error) as caught:
            call(*arguments, **options)
        self.assertIn(message, str(caught.exception))
        self.assertEqual(caught.exception.status, status)

    def test_statuses_are_the_header_s(self):
        header = (ROOT / "runtime/include/unisparse-rt/unisparse.h").read_text()
        found = {name: int(value) for name, value in re.findall(r"UNISPARSE_(\w+) = (\d+)", header.split("} unisparse_status;")[0])}
        self.assertEqual(found, {s.name: s.value for s in Status})
        elements = re.findall(r"UNISPARSE_(\w+) = \d+", header.split("typedef enum unisparse_element")[1].split("}")[0])
        self.assertEqual(tuple(e.lower() for e in elements), _runtime.ELEMENTS)

    def test_attention(self):
        q, k, v = qkv(300, 400)
        o, lse, counts, indices = unisparse.attention(q, k, v, return_lse=True, return_selection=True)
        self.assertEqual([x.shape for x in (o, lse, counts, indices)], [(2, 8, 300, 64), (2, 8, 300), (2, 8, 3), (2, 8, 3, 4)])
        self.assertEqual(
            [str(x.dtype) for x in (o, lse, counts, indices)], ["torch.bfloat16", "torch.float32", "torch.int32", "torch.int32"]
        )
        self.assertEqual(self.log("input"), [shown("input", x, 2) for x in (q, k, v)])
        self.assertEqual(self.log("output"), [shown("output", x, e) for x, e in zip((o, lse, counts, indices), (2, 0, 3, 3))])
        workspace = torch.allocated[-1]
        self.assertEqual((workspace.shape, workspace.dtype.name), ((1000,), "uint8"))
        self.assertEqual(self.log("workspace"), [f"workspace {hex(workspace.data_ptr())} 1000"])
        self.assertEqual(len(torch.allocated), 5)

    def test_kernels(self):
        path = TMP / "kernels.usp"
        path.write_text("in q bf16 4\nout o bf16 4\n")
        program = unisparse.Program(str(path))
        self.assertEqual(program.kernels(), [("select", ""), ("attend", "#unitile.schedule<stages = 3>")])
        self.assertEqual(program.loaded().chip, "sm_90a")
        self.assertEqual(self.log("load"), ["load on 0"])

    def test_strides_pass_through(self):
        q, k, v = qkv()
        q = tensor(2, 8, 300, 128, strides=(300 * 1024, 128, 1024, 1), address=0x4000)
        o = unisparse.attention(q, k, v)
        self.assertEqual(self.log("input")[0], "input 0x4000 2 [2/307200 8/128 300/1024 128/1]")
        self.assertEqual(o.stride(), (8 * 300 * 64, 300 * 64, 64, 1))

    def test_results_lie_where_the_caller_has_them(self):
        """With strides, without a copy; where kernels cannot write, or an input lies, a copy follows."""
        turned = [x.transpose(1, 2) for x in qkv()]
        of_tokens = [tensor(*x.shape) for x in turned]
        o = unisparse.attention(*of_tokens, layout="bshd")
        self.assertIs(o, torch.allocated[0])
        self.assertEqual((o.shape, o.is_contiguous()), ((2, 300, 8, 64), True))
        self.assertEqual(self.log("output"), [shown("output", o.transpose(1, 2), 2)])
        q, k, v = qkv()
        apart = tensor(2, 8, 300, 64, strides=(2 * 300 * 512, 64, 2 * 512, 1), address=0x40000)
        for _ in range(2):  # By a plan that is known, too.
            LOG.write_text("")
            self.assertIs(unisparse.attention(q, k, v, out=apart), apart)
            self.assertEqual(self.log("output"), [shown("output", apart, 2)])
        self.assertEqual(torch.copied, [])
        within = tensor(2, 8, 300, 64, strides=apart.stride(), address=q.address + 2 * 64)
        gaps = tensor(2, 8, 300, 64, strides=(2 * 8 * 300 * 64, 2 * 300 * 64, 128, 2), address=0x40000)
        odd = tensor(2, 8, 300, 64, strides=(8 * 300 * 68, 300 * 68, 68, 1), address=0x40000)
        moved = tensor(2, 8, 300, 64, strides=apart.stride(), address=0x40008)
        for out in (within, gaps, odd, moved):
            LOG.write_text("")
            self.assertIs(unisparse.attention(q, k, v, out=out), out)
            (to, made), torch.copied[:] = torch.copied[0], []
            self.assertIs(to, out)
            self.assertEqual(self.log("output"), [shown("output", made, 2)])

    def test_stream_and_device(self):
        torch.streams[3] = 0x55
        unisparse.attention(*qkv(index=3))
        self.assertEqual(self.log("load", "stream"), ["load on 3", "stream 0x7055"])
        self.assertTrue(all(x.device.index == 3 for x in torch.allocated))
        unisparse.attention(*qkv(index=1))
        torch.streams[3] = 0x66
        unisparse.attention(*qkv(index=3))
        self.assertEqual(self.log("load", "stream")[2:], ["load on 1", "stream 0x7001", "stream 0x7066"])
        self.assertEqual(len(self.log("load on")), 2)

    def test_given_selection(self):
        q, k, v = qkv()
        counts, indices = tensor(2, 2, 3, dtype=torch.int32), tensor(2, 2, 3, 3, dtype=torch.int32)
        result = unisparse.block_sparse_attention(q, k, v, counts, indices, return_lse=True)
        self.assertEqual(len(result), 2)
        self.assertEqual(self.log("input"), [shown("input", x, e) for x, e in zip((q, k, v, counts, indices), (2, 2, 2, 3, 3))])
        for wrong, message, status in (
            (tensor(2, 2, 3, dtype=torch.int64), "counts: expected int32, got torch.int64", Status.BAD_SHAPE),
            (
                tensor(2, 2, 3, dtype=torch.int32, index=1),
                "counts: expected a tensor on cuda:0, as q, got one on cuda:1",
                Status.WRONG_DEVICE,
            ),
        ):
            self.refused(message, status, unisparse.block_sparse_attention, q, k, v, wrong, indices)

    def test_packed(self):
        q, k, v = tensor(1, 8, 300, 128), tensor(1, 2, 300, 128), tensor(1, 2, 300, 128)
        ends, others = tensor(4, dtype=torch.int32), tensor(4, dtype=torch.int32)
        for given, wanted in ((ends, (ends, ends)), ((ends, others), (ends, others))):
            LOG.write_text("")
            unisparse.attention(q, k, v, cu_seqlens=given)
            self.assertEqual(self.log("input"), [shown("input", x, e) for x, e in zip((q, k, v, *wanted), (2, 2, 2, 3, 3))])
        self.refused(
            "cu_seqlens_k: expected a tensor on cuda:0",
            Status.WRONG_DEVICE,
            unisparse.attention,
            q,
            k,
            v,
            cu_seqlens=(ends, tensor(4, dtype=torch.int32, index=1)),
        )

    def test_empty(self):
        q, k, v = qkv(0, 0)
        o = unisparse.attention(q, k, v)
        self.assertEqual(o.shape, (2, 8, 0, 64))
        self.assertTrue(all("(nil)" in line for line in self.log("input", "output")))

    def test_refused_before_work(self):
        q, k, v = qkv()
        cpu = faketorch.Tensor((2, 2, 300, 128), torch.bfloat16, faketorch.Device("cpu"))
        wanting = tensor(2, 2, 300, 64)
        wanting.requires_grad = True
        import numpy

        like = dict(dtype=torch.bfloat16, device=q.device)
        odd = faketorch.Tensor((2, 2, 300, 64), **like, layout="torch.sparse_coo")
        negative = faketorch.Tensor((2, 2, 300, 64), **like, negative=True)

        class Wrapper(faketorch.Tensor):
            __torch_dispatch__ = object()

        for arguments, message, status in (
            ((q, cpu, v), "k: expected a tensor on CUDA, got one on cpu", Status.WRONG_DEVICE),
            ((q, k, odd), "v: expected a strided tensor (x.to_dense() makes one), got one of layout torch.sparse_coo", Status.BAD_SHAPE),
            (
                (q, k, negative),
                "v: expected a tensor without pending negation (x.resolve_neg() carries it out), got one with the negative bit",
                Status.BAD_ARGUMENT,
            ),
            ((q, k, Wrapper((2, 2, 300, 64), **like)), "v: expected a tensor with memory of its own", Status.BAD_ARGUMENT),
            ((q, tensor(2, 2, 300, 128, index=1), v), "k: expected a tensor on cuda:0, as q, got one on cuda:1", Status.WRONG_DEVICE),
            (
                (q, k, tensor(2, 2, 300, 64, dtype=torch.float16)),
                "v: expected [I1] q's type torch.bfloat16, got torch.float16",
                Status.BAD_SHAPE,
            ),
            ((q, k, numpy.zeros((2, 2, 300, 64), "f2")), "v: expected a Tensor, as q is, got ndarray", Status.BAD_ARGUMENT),
        ):
            with self.subTest(message):
                self.refused(message, status, unisparse.attention, *arguments)
        torch.grad = True
        self.refused(
            "v: expected a tensor without gradient, or torch.no_grad(): there is no backward pass, got requires_grad=True",
            Status.BAD_ARGUMENT,
            unisparse.attention,
            q,
            k,
            wanting,
        )
        self.assertEqual(LOG.read_text(), "")
        torch.grad = False
        unisparse.attention(q, k, wanting)

    def test_a_plan_forgets_no_check(self):
        """What an earlier call of the same sizes was allowed, a later one may not be."""
        q, k, v = qkv()
        unisparse.attention(q, k, v)
        self.assertEqual(len(self.log("prepare")), 3)
        LOG.write_text("")
        unisparse.attention(*qkv())
        self.assertEqual(self.log("prepare", "open"), [])
        torch.grad, q.requires_grad = True, True
        self.refused("q: expected a tensor without gradient", Status.BAD_ARGUMENT, unisparse.attention, q, k, v)
        torch.grad = False
        v.negative = True
        self.refused("v: expected a tensor without pending negation", Status.BAD_ARGUMENT, unisparse.attention, q, k, v)
        v.negative = False
        for options, message in (
            (dict(causal=1), "causal: expected True or False, got 1"),
            (dict(sink=True), "sink: expected an integer of at least 0, got True"),
            (dict(block=(128.0, 128)), "block: expected an integer of at least 1, got 128.0"),
            (dict(cu_seqlens=()), "cu_seqlens: expected [I8] one array or a pair (of queries, of keys), got 0 of them"),
        ):
            self.refused(message, Status.BAD_ARGUMENT, unisparse.attention, q, k, v, **options)

    @contextlib.contextmanager
    def in_c(self, served=True):
        """No call in here comes to Python's path, or each does."""
        with mock.patch.object(_plan, "key", wraps=_plan.key) as key:
            yield
        if _again.native:
            self.assertEqual(not key.called, served)

    def test_again(self):
        """A call like an earlier one, in whatever layout: by C, where it is there, and the same either way."""
        q, k, v = qkv()
        turned = [tensor(*x.transpose(1, 2).shape) for x in (q, k, v)]
        flat = [tensor(300, n, d) for n, d in ((8, 128), (2, 128), (2, 64))]
        ends = tensor(4, dtype=torch.int32)
        o, of_tokens = tensor(2, 8, 300, 64), tensor(2, 300, 8, 64)
        for tensors, options in (
            ((q, k, v), dict(p=0.5)),
            ((q, k, v), dict(p=[0.5] * 8, return_lse=True, return_selection=True)),
            ((q, k, v), dict(scale=0.5, window=(64, 0), out=o)),
            (turned, dict(layout="bshd")),
            (turned, dict(layout="bshd", out=of_tokens, return_selection=True)),
            (flat, dict(layout="bshd", cu_seqlens=ends)),
            ([tensor(1, *x.shape).transpose(1, 2) for x in flat], dict(cu_seqlens=(ends, ends))),
        ):
            with self.subTest(options=options):
                first = unisparse.attention(*tensors, **options)
                before = [line for line in self.log("input", "output", "workspace", "stream") if not line.startswith(("output", "workspace"))]
                LOG.write_text("")
                with self.in_c():
                    second = unisparse.attention(*tensors, **options)
                log = self.log("input", "output", "workspace", "stream")
                self.assertEqual([line for line in log if not line.startswith(("output", "workspace"))], before)
                self.assertEqual(type(second), type(first))
                for x, y in zip(*((r if isinstance(r, tuple) else (r,)) for r in (first, second))):
                    self.assertEqual((x.shape, x.stride(), x.dtype, x.device), (y.shape, y.stride(), y.dtype, y.device))
                    self.assertEqual(x is y, x is options.get("out"))
                    self.assertTrue(any(line.startswith(f"output {hex(y.data_ptr())} ") for line in log))
                LOG.write_text("")
        if _again.native:
            self.assertEqual(sys.modules["exchange"].alive, {})

    def test_outputs_that_nobody_asked_for(self):
        """A program's lse that is no result has memory of its own all the same, apart from the workspace."""
        with mock.patch.dict(os.environ, FAKE_COMPILE_LSE="1"):
            tensors = [tensor(1, 4, 300, 128), *(tensor(1, 4, 300, 128) for _ in range(2))]
            for _ in range(2):
                LOG.write_text("")
                torch.allocated.clear()
                o = unisparse.attention(*tensors)
                (first, lse), (workspace,) = self.log("output"), self.log("workspace")
                self.assertEqual(first, shown("output", o, 2))
                self.assertEqual(lse.split(None, 2)[2], "0 [1/1200 4/300 300/1]")
                lse, workspace = (int(line.split()[1], 16) for line in (lse, workspace))
                self.assertEqual((lse % 512, workspace % 512), (0, 0))
                self.assertTrue(lse + 4 * 1200 <= workspace or workspace + 1000 <= lse)
        self.assertEqual(len(torch.allocated), 2 if _again.native else 3)

    def test_not_by_c(self):
        """What C cannot know: modes, subclasses, memory that o shares, options that are no plain ones."""
        import numpy

        q, k, v = qkv()
        out = tensor(2, 8, 300, 64)
        for change, options in (
            (lambda: setattr(torch, "modes", 1), {}),
            (lambda: setattr(k, "__class__", type("Other", (faketorch.Tensor,), {})), {}),
            (lambda: setattr(out, "address", v.address + 8), dict(out=out)),
            (lambda: None, dict(p=numpy.float64(0.5))),
        ):
            for _ in range(2):
                unisparse.attention(q, k, v, **options)
            change()
            with self.in_c(False):
                unisparse.attention(q, k, v, **options)
            torch.modes, k.__class__ = 0, faketorch.Tensor

    def test_plans_are_few(self):
        most, _plan.MOST_PLANS = _plan.MOST_PLANS, 4
        try:
            for length in range(100, 120):
                unisparse.attention(*qkv(length, 200))
            self.assertLessEqual(len(_plan._plans), 4)
        finally:
            _plan.MOST_PLANS = most

    def test_each_option_has_its_plan(self):
        """Calls that differ in one thing, one after another on one process's plans, reach programs of their own."""
        tensors = qkv()
        for options in ({}, dict(p=0.5), dict(p=[0.5] * 8), dict(p=(0.25,) * 8), dict(block=[64, 128]), dict(scale=0.1), dict(causal=False)):
            for _ in range(2):
                unisparse.attention(*tensors, **options)
        self.assertEqual(len(self.log("load on")), 7)
        self.assertEqual(len(self.log("stream")), 14)

    def test_failures_of_the_runtime(self):
        for function in ("open", "load", "prepare", "launch"):
            with self.subTest(function):
                self.setUp()
                unisparse.attention(*qkv())
                os.environ["STUB_FAIL"] = function
                if function != "launch":
                    self.setUp()
                    os.environ["STUB_FAIL"] = function
                self.refused(
                    "q: expected an address that is a multiple of 16, got 8 more", Status.BAD_ALIGNMENT, unisparse.attention, *qkv()
                )
        os.environ["STUB_FAIL"] = ""
        unisparse.attention(*qkv())

    def test_nothing_is_freed_behind_a_launch(self):
        """A launch outlives its call: what a temporary loaded stays, and the next one finds it."""
        path = TMP / "temporary.usp"
        path.write_text("in x bf16 4\nin y bf16 4\nin z bf16 4\nout o f32 4\n")
        for _ in range(3):
            unisparse.Program(path)(*qkv())
        _program._programs.clear()
        gc.collect()
        self.assertEqual(self.log("load", "program free", "artifact free"), ["load on 0"])
        # Another file under its name is another program.
        (TMP / "other.usp").write_text("in x bf16 4\nin y bf16 4\nin z bf16 4\nout o bf16 4\n")
        os.replace(TMP / "other.usp", path)
        (o,) = unisparse.Program(path)(*qkv())
        self.assertEqual(str(o.dtype), "torch.bfloat16")
        self.assertEqual(len(self.log("load")), 2)

    def test_unload(self):
        path = TMP / "unloaded.usp"
        path.write_text("in x bf16 4\nin y bf16 4\nin z bf16 4\nout o f32 4\n")
        program = unisparse.Program(path)
        call = program.bind(*qkv())
        call()
        program.unload()
        self.assertEqual(self.log("load", "program free", "artifact free"), ["load on 0", "program free", "artifact free"])
        self.refused("program: expected one, got a null pointer", Status.BAD_ARGUMENT, call)
        program(*qkv())
        self.assertEqual(self.log("load"), ["load on 0"] * 2)

    @unittest.skipUnless(_again.native, "of calls in C")
    def test_plans_of_the_runtime(self):
        """A call in C launches a plan of the runtime's, made once for calls alike: at their addresses, into `out`, on any stream."""
        for options in ({}, dict(out=tensor(2, 8, 300, 64)), dict(out=tensor(2, 300, 8, 64).transpose(1, 2)), dict(return_lse=True)):
            with self.subTest(options=options):
                LOG.write_text("")
                unisparse.attention(*qkv(), **options)
                for number in (0, 1, 0, 1):
                    torch.streams[0], tensors = number, qkv()
                    results = unisparse.attention(*tensors, **options)
                    results = results if isinstance(results, tuple) else (results,)
                    self.assertEqual(self.log("input")[-3:], [shown("input", x, 2) for x in tensors])
                    self.assertEqual(self.log("output")[-len(results) :], [shown("output", x, e) for x, e in zip(results, (2, 0))])
                    self.assertEqual(self.log("stream")[-1], f"stream {hex(0x7000 + number)}")
                self.assertEqual(self.log("plan"), ["plan make"] + ["plan launch"] * 4)
        os.environ["STUB_FAIL"] = "launch"
        self.refused("q: expected an address", Status.BAD_ALIGNMENT, unisparse.attention, *qkv())
        os.environ["STUB_FAIL"] = "plan"
        self.refused("q: expected an address", Status.BAD_ALIGNMENT, unisparse.attention, *qkv(310, 310))

    @unittest.skipUnless(_again.native, "of calls in C")
    def test_no_plan_holds_what_is_unloaded(self):
        """Plans that no call is in end at once, those of a call with it: then the program is gone."""
        path = TMP / "held.usp"
        path.write_text("in x bf16 4\nin y bf16 4\nin z bf16 4\nout o f32 4\n")
        program = unisparse.Program(path)
        bound = program.bind(*qkv())
        for call in (lambda: program(*qkv()), bound):
            for _ in range(2):
                call()
        self.assertEqual(self.log("plan"), ["plan make", "plan launch"] * 2)
        program.unload()
        self.assertEqual(self.log("plan free", "program free"), ["plan free"] * 2 + ["program free"])
        del bound
        LOG.write_text("")
        # A thread's, say, while this one is in a call.
        program(*qkv())
        unloading = lambda device: (program.unload() if _program._loaded else None) or faketorch.Stream(device)
        with mock.patch.object(torch.cuda, "current_stream", unloading):
            program(*qkv())
        self.assertEqual(self.log("plan", "program free"), ["plan make", "plan launch", "plan free", "program free"])
        LOG.write_text("")
        for _ in range(2):
            program(*qkv())
        self.assertEqual(self.log("load", "plan"), ["load on 0", "plan make", "plan launch"])

    def test_bound_calls_on_other_streams(self):
        """The allocator knows the stream that memory was allocated on; of others it has to be told, once."""
        path = TMP / "bound.usp"
        path.write_text("in x bf16 4\nin y bf16 4\nin z bf16 4\nout o f32 4\n")
        tensors = qkv()
        call = unisparse.Program(path).bind(*tensors)
        call()
        memory = [*tensors, *torch.allocated]
        self.assertEqual([x.recorded for x in memory], [[]] * 5)
        for stream in (5, 0, 5, 6):
            torch.streams[0] = stream
            call()
        self.assertEqual([x.recorded for x in memory], [[0x7005, 0x7006]] * 5)
        self.assertEqual(self.log("stream"), [f"stream 0x700{n}" for n in (0, 5, 0, 5, 6)])
        # Known streams take turns in one plan of the runtime's.
        LOG.write_text("")
        for stream in (5, 0, 6):
            torch.streams[0] = stream
            call()
        self.assertEqual(self.log("plan"), ["plan launch"] * 3 if _again.native else [])

    def test_threads_load_once(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: unisparse.attention(*qkv()), range(32)))
        self.assertEqual(len(self.log("load")), 1)
        self.assertEqual(len(self.log("stream")), 32)

    def test_threads_mix_no_addresses(self):
        """One plan, many threads: each launch has the tensors of one call."""
        calls = [qkv() for _ in range(64)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda tensors: unisparse.attention(*tensors), calls))
        self.assertEqual(len({x.data_ptr() for x in results}), 64)
        self.assertEqual(sorted(self.log("input")), sorted(shown("input", x, 2) for tensors in calls for x in tensors))
        self.assertEqual(sorted(self.log("output")), sorted(shown("output", x, 2) for x in results))

    def test_program(self):
        path = TMP / "own.usp"
        path.write_text("in x bf16 4\nin y bf16 4\nin z bf16 4\nout o f32 4\n")
        for program in (unisparse.Program(path), pickle.loads(pickle.dumps(unisparse.Program(path))), copy.deepcopy(unisparse.Program(path))):
            call = program.bind(*qkv())
        self.assertEqual(len(self.log("load on")), 1)
        call()
        torch.streams[0] = 9
        (o,) = call()
        self.assertEqual(str(o.dtype), "torch.float32")
        self.assertEqual(self.log("stream"), ["stream 0x7000", "stream 0x7009"])
        self.assertEqual(len(self.log("prepare")), 3)
        self.refused("inputs: expected at least one tensor, got 0", Status.BAD_ARGUMENT, unisparse.Program(path))
        self.refused(
            "x: expected elements of float32, float16, bfloat16, int32, got torch.float64",
            Status.BAD_SHAPE,
            unisparse.Program(path).bind,
            tensor(1, dtype=torch.float64),
        )

    def test_no_library(self):
        command = [sys.executable, "-c", "import unisparse._runtime as r\ntry: r.library()\nexcept r.Error as e: print(e.status.name, e)"]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "python"), "PYTHONDONTWRITEBYTECODE": "1", "UNISPARSE_RT": str(TMP / "none.so")},
        )
        # Beside the compiler of a build or a prefix there is one.
        prefix = TMP / "prefix"
        (prefix / "bin").mkdir(parents=True)
        (prefix / "lib").mkdir()
        (prefix / "lib" / "libunisparse-rt.so").write_text("")
        places = "import unisparse._runtime as r; print(r._places())"
        environment = dict(PYTHONPATH=str(ROOT / "python"), PYTHONDONTWRITEBYTECODE="1", PATH="", UNISPARSE_COMPILE=str(prefix / "bin" / "unisparse-compile"))
        found = subprocess.run([sys.executable, "-c", places], capture_output=True, text=True, env=environment)
        self.assertIn(str(prefix.resolve() / "lib" / "libunisparse-rt.so"), found.stdout)
        self.assertIn(
            "BAD_FILE libunisparse-rt.so: expected the runtime in UNISPARSE_RT, beside the package or the compiler, or on the loader's path, got",
            done.stdout,
        )


if __name__ == "__main__":
    unittest.main()
