# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# REQUIRES: torch
# RUN: rm -rf %t && env %host_programs %python %s %t
# RUN: rm -rf %t && env %host_programs UNISPARSE_NATIVE= %python %s %t -k again -k plans -k earlier -k layout
"""The package with torch as it is, on the CPU: its tensors, their odd states, the operators, SDPA. What has a path of its own
in C is done without it, too."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import unittest
import warnings
import weakref
from unittest import mock

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent  # Out of the path: a test there is called cuda, as a module that torch imports.
sys.path[:1] = [str(HERE / "Inputs"), str(HERE.parent.parent / "python")]
TMP = pathlib.Path(sys.argv.pop(1))

import torch

import stubs
import unisparse
from unisparse import Status, _again, _attention, _plan, _runtime, _torch

OPS = torch.ops.unisparse


def qkv(hq=4, hkv=2, length=70, dtype=torch.float32, batch=1):
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(batch, h, length, d, generator=generator).to(dtype) for h, d in ((hq, 16), (hkv, 16), (hkv, 8))]


class WithTorch(unittest.TestCase):
    def refused(self, message, status, call, *arguments, **options):
        with self.assertRaises(unisparse.Error) as caught:
            call(*arguments, **options)
        self.assertIn(message, str(caught.exception))
        self.assertEqual(caught.exception.status, status)

    def test_cpu_tensors(self):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            q, k, v = qkv(dtype=dtype)
            o, lse, counts, indices = unisparse.attention(q, k, v, block=(32, 32), return_lse=True, return_selection=True)
            self.assertEqual([x.dtype for x in (o, lse, counts, indices)], [dtype, torch.float32, torch.int32, torch.int32])
            again, lse_again = unisparse.block_sparse_attention(q, k, v, counts, indices, block=(32, 32), return_lse=True)
            self.assertTrue(torch.equal(o, again) and torch.equal(lse, lse_again))
        q, k, v = qkv()
        arrays = unisparse.attention(q.numpy(), k.numpy(), v.numpy(), p=0.5)
        self.assertTrue(torch.equal(unisparse.attention(q, k, v, p=0.5), torch.from_numpy(arrays)))
        strided = q.transpose(1, 2).contiguous().transpose(1, 2)
        self.assertTrue(torch.equal(unisparse.attention(strided, k, v, p=0.5), torch.from_numpy(arrays)))
        cu = torch.tensor([0, 30, 70], dtype=torch.int32)
        packed = unisparse.attention(q, k, v, p=1.0, cu_seqlens=cu)
        alone = unisparse.attention(q[:, :, 30:], k[:, :, 30:], v[:, :, 30:], p=1.0)
        torch.testing.assert_close(packed[:, :, 30:], alone)
        self.refused("[I8] to end with the length 70, got 69", Status.BAD_SHAPE, unisparse.attention, q, k, v,
                     cu_seqlens=torch.tensor([0, 69], dtype=torch.int32))  # fmt: skip

    def test_calls_like_earlier_ones(self):
        """Tensors of the CPU find plans too, which look at what no plan can know."""
        q, k, v = qkv()
        call = lambda *x, **options: unisparse.attention(*x, block=(32, 32), return_lse=True, **options)
        wanted = call(q, k, v)
        with mock.patch.object(_attention, "check_tensors", side_effect=AssertionError("once more")):
            again = call(q, k, v)
            self.assertTrue(all(map(torch.equal, again, wanted)))
            self.assertEqual(again[0].device.type, "cpu")
            with torch.device("meta"):  # New memory is where the inputs are.
                self.assertTrue(torch.equal(call(q, k, v)[0], wanted[0]))
            self.refused("k: expected a tensor without gradient", Status.BAD_ARGUMENT, call, q, k.clone().requires_grad_(), v)
            with torch.no_grad():
                self.assertTrue(torch.equal(call(q, k.clone().requires_grad_(), v)[0], wanted[0]))
        bits = [x.to(torch.bfloat16) for x in (q, k, v)]
        self.assertEqual([call(*bits)[0].dtype for _ in range(2)], [torch.bfloat16] * 2)
        strided = q.transpose(1, 2).contiguous().transpose(1, 2)
        self.assertTrue(torch.equal(call(strided, k, v)[0], wanted[0]))

    def served(self, call, by_c=True):
        """The result of a call that comes to Python's path or does not, where there is C."""
        with mock.patch.object(_plan, "key", wraps=_plan.key) as key:
            result = call()
        if _again.native:
            self.assertEqual(not key.called, by_c)
        return result

    def test_again(self):
        """By C, where it is there, the second of two calls: the same results, as tensors of torch's own allocator."""
        q, k, v = qkv()
        turned, flat = [x.transpose(1, 2).contiguous() for x in (q, k, v)], [x[0].transpose(0, 1).contiguous() for x in (q, k, v)]
        cu, sinks = torch.tensor([0, 30, 70], dtype=torch.int32), torch.linspace(-1, 1, 4)
        block = dict(block=(32, 32))
        counts, indices = unisparse.attention(q, k, v, **block, return_selection=True)[1:]
        attention, given = unisparse.attention, unisparse.block_sparse_attention
        for call, tensors, options in (
            (attention, (q, k, v), dict(p=[0.5] * 4, sinks=sinks, window=[40, 0], softcap=3.0)),
            (attention, (q, k, v), dict(return_lse=True, return_selection=True)),
            (attention, turned, dict(layout="bshd", return_lse=True)),
            (attention, flat, dict(layout="bshd", cu_seqlens=cu)),
            (attention, (q.transpose(1, 2).contiguous().transpose(1, 2), k, v), dict(cu_seqlens=(cu, cu), scale=0.1)),
            (given, (q, k, v, counts, indices), dict(return_lse=True)),
            (given, (*turned, counts, indices), dict(layout="bshd", out=torch.empty(1, 70, 4, 8))),
            (unisparse.sdpa, (q, k[:, :, :70], v), dict(is_causal=True, enable_gqa=True)),
        ):
            with self.subTest(options=options):
                first = call(*tensors, **block, **options)
                second = self.served(lambda: call(*tensors, **block, **options))
                self.assertEqual(type(first), type(second))
                for x, y in zip(*((r if isinstance(r, tuple) else (r,)) for r in (first, second))):
                    self.assertTrue(torch.equal(x, y))
                    self.assertEqual((x.stride(), x.dtype, x is y), (y.stride(), y.dtype, x is options.get("out")))
                    self.assertTrue(y.untyped_storage().resizable())
        # What values tell is said all the same, and what a selection says is looked at.
        self.refused("[I8] to end with the length 70, got 69", Status.BAD_SHAPE, attention, *flat, layout="bshd", cu_seqlens=cu - 1 + (cu == 0), **block)
        self.refused("[L6] ", Status.BAD_SHAPE, given, q, k, v, counts, indices + 100, return_lse=True, **block)

    def test_again_odd_states(self):
        """What a plan of C does not look at is Python's to refuse, or to do."""
        q, k, v = qkv()
        call = lambda *x, **options: unisparse.attention(*x, block=(32, 32), top_k=2, **options)
        wanted = call(q, k, v)
        parameter = torch.nn.Parameter(q.clone())
        self.refused("q: expected a tensor without gradient, or torch.no_grad()", Status.BAD_ARGUMENT, call, parameter, k, v)
        self.refused("v: expected a tensor without gradient, or torch.no_grad()", Status.BAD_ARGUMENT, call, q, k, v * v.clone().requires_grad_())
        out = torch.empty_like(wanted)
        call(q, k, v, out=out)
        self.refused("out: expected a tensor without gradient", Status.BAD_ARGUMENT, call, q, k, v, out=out.clone().requires_grad_())
        frozen = torch.nn.Parameter(q.clone(), requires_grad=False)
        self.assertTrue(torch.equal(self.served(lambda: call(frozen, k, v)), wanted))
        with torch.no_grad():
            self.assertTrue(torch.equal(self.served(lambda: call(parameter, k, v)), wanted))
        with torch.inference_mode():
            self.assertTrue(self.served(lambda: call(q.clone(), k, v)).is_inference())
        self.assertFalse(self.served(lambda: call(q, k, v)).is_inference())
        with torch.device("meta"):
            self.assertTrue(torch.equal(self.served(lambda: call(q, k, v)), wanted))
        negative = torch.complex(torch.zeros_like(v), v).conj().imag
        call(q, k, torch.complex(torch.zeros_like(v), v).imag)  # Of its strides.
        self.refused("v: expected a tensor without pending negation", Status.BAD_ARGUMENT, call, q, k, negative)

        class Other(torch.Tensor):
            pass

        self.assertTrue(torch.equal(self.served(lambda: call(q.as_subclass(Other), k, v), by_c=False), wanted))
        from torch.utils._python_dispatch import TorchDispatchMode

        class Mode(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                seen.append(str(function))
                return function(*args, **(kwargs or {}))

        seen = []
        with Mode():
            self.assertTrue(torch.equal(self.served(lambda: call(q, k, v), by_c=False), wanted))
        self.assertIn("aten.empty.memory_format", seen)
        with self.assertRaises(Exception):
            torch.func.vmap(lambda x: call(x, k, v))(q[None])
        self.refused("q: expected the address of", Status.BAD_ARGUMENT, call, torch._to_functional_tensor(q), k, v)
        with mock.patch.object(_torch, "allocate", wraps=_torch.allocate):  # A tool's.
            self.assertFalse(_again.connected(torch))

    def test_again_keeps_nothing(self):
        """Neither tensors nor results stay alive, whatever becomes of a call."""
        q, k, v = qkv(length=64)
        call = lambda *x, **options: unisparse.attention(*x, block=(32, 32), return_lse=True, **options)
        ends = torch.tensor([0, 64], dtype=torch.int32)
        for options, wrong in ((dict(), dict(p=2.0)), (dict(cu_seqlens=ends), dict(cu_seqlens=ends - 1))):
            for _ in range(2):
                call(q, k, v, **options)
            before = [sys.getrefcount(x) for x in (q, k, v, None, ends)]
            for _ in range(200):
                o, lse = call(q, k, v, **options)
                with self.assertRaises(unisparse.Error):
                    call(q, k, v, **wrong)
            self.assertEqual((sys.getrefcount(o), sys.getrefcount(lse)), (2, 2))
            after = [sys.getrefcount(x) for x in (q, k, v, None, ends)]
            self.assertLess(max(abs(x - y) for x, y in zip(before, after)), 50)
        gone = weakref.ref(o)
        del o
        self.assertIsNone(gone())

    def test_again_in_threads(self):
        """Calls of many threads, in plans of many lengths that take one another's places."""
        tensors = {length: qkv(length=length) for length in range(33, 65)}
        wanted = {length: unisparse.attention(*x, block=(32, 32)) for length, x in tensors.items()}

        def several(seed):
            for n in range(60):
                length = 33 + (seed * 7 + n * 5) % 32
                if not torch.equal(unisparse.attention(*tensors[length], block=(32, 32)), wanted[length]):
                    return False
                if n % 20 == seed:
                    _plan.forget()
            return True

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            self.assertEqual(list(pool.map(several, range(4))), [True] * 4)

    def test_layout(self):
        """Views and memory of torch's; under torch.compile too."""
        q, k, v = qkv()
        wanted = unisparse.attention(q, k, v, p=0.5)
        turned = [x.transpose(1, 2).contiguous() for x in (q, k, v)]
        found = unisparse.attention(*turned, p=0.5, layout="bshd")
        self.assertTrue(torch.equal(found, wanted.transpose(1, 2)) and found.is_contiguous())
        around = torch.full((1, 4, 70, 3, 8), torch.nan)
        with mock.patch.object(torch.Tensor, "copy_", side_effect=AssertionError("a copy")):
            self.assertTrue(torch.equal(unisparse.attention(q, k, v, p=0.5, out=around[:, :, :, 1]), wanted))
        self.assertEqual(int(around.isnan().sum()), around.numel() - wanted.numel())
        out = torch.full((1, 70, 4, 8), torch.nan)
        self.assertIs(unisparse.attention(*turned, p=0.5, layout="bshd", out=out), out)
        self.assertTrue(torch.equal(out, wanted.transpose(1, 2)))
        compiled = torch.compile(lambda q, k, v, out: unisparse.attention(q, k, v, p=0.5, layout="bshd", out=out) + 1, backend="aot_eager", fullgraph=True)
        again = torch.zeros_like(out)
        self.assertTrue(torch.equal(compiled(*turned, again), wanted.transpose(1, 2) + 1))
        self.assertTrue(torch.equal(again, out))
        # By operators that write there: no other memory for o, and no copy.
        graphs = []

        def looked_at(graph, inputs):
            graphs.append([str(node.target) for node in graph.graph.nodes if node.op == "call_function"])
            return graph

        given = unisparse.attention(q, k, v, p=0.5, return_selection=True)[1:]
        both = lambda q, k, v, out: (
            unisparse.attention(q, k, v, p=0.5, layout="bshd", out=out, return_lse=True)[1],
            unisparse.block_sparse_attention(q, k, v, *given, layout="bshd", out=out).sum(),
        )
        again.zero_()
        lse, total = torch.compile(both, backend=looked_at, fullgraph=True)(*turned, again)
        self.assertTrue(torch.equal(again, out) and torch.equal(total, out.sum()))
        self.assertTrue(torch.equal(lse, unisparse.attention(q, k, v, p=0.5, return_lse=True)[1]))
        self.assertEqual([x for x in graphs[0] if "unisparse" in x or "copy" in x], ["unisparse.attention_out", "unisparse.block_sparse_attention_out"])
        self.refused("out: expected a tensor on cpu, got one on meta", Status.WRONG_DEVICE, unisparse.attention, q, k, v, out=wanted.to("meta"))
        self.refused("out: expected a Tensor, as q is, got ndarray", Status.BAD_ARGUMENT, unisparse.attention, q, k, v, out=wanted.numpy())
        self.refused("out: expected a tensor without gradient", Status.BAD_ARGUMENT, unisparse.attention, q, k, v,
                     out=torch.zeros_like(wanted).requires_grad_())  # fmt: skip

    def test_odd_states(self):
        q, k, v = qkv()
        negative = torch.complex(torch.zeros_like(v), v).conj().imag
        self.assertTrue(negative.is_neg())
        self.refused("v: expected a tensor without pending negation (x.resolve_neg()", Status.BAD_ARGUMENT, unisparse.attention, q, k, negative)
        self.assertTrue(torch.equal(unisparse.attention(q, k, negative.resolve_neg()), unisparse.attention(q, k, -v)))
        self.refused("k: expected a strided tensor", Status.BAD_SHAPE, unisparse.attention, q, k.to_sparse(), v)
        self.refused("k: expected a tensor on cpu, got one on meta", Status.WRONG_DEVICE, unisparse.attention, q, k.to("meta"), v)
        self.refused("q: expected a tensor on CUDA, got one on meta", Status.WRONG_DEVICE, unisparse.attention, q.to("meta"), k, v)
        self.refused("q: expected [I1] float32, float16 or bfloat16, got torch.complex64", Status.BAD_SHAPE, unisparse.attention,
                     *(x.to(torch.complex64) for x in (q, k, v)))  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantized = torch.quantize_per_tensor(v, 0.1, 0, torch.qint8)
        self.refused("v: expected [I1] q's type torch.float32, got torch.qint8", Status.BAD_SHAPE, unisparse.attention, q, k, quantized)
        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            fake = mode.from_tensor(q)
        self.refused("q: expected a tensor with memory of its own", Status.BAD_ARGUMENT, unisparse.attention, fake, k, v)
        self.refused("q: expected a tensor without gradient", Status.BAD_ARGUMENT, unisparse.attention, q.clone().requires_grad_(), k, v)
        with torch.no_grad():
            unisparse.attention(torch.nn.Parameter(q), k, v)

    def test_sdpa(self):
        q, k, v = qkv(length=70)
        for options in (dict(enable_gqa=True), dict(enable_gqa=True, is_causal=True), dict(enable_gqa=True, scale=0.1)):
            for queries in (q, q[:, :, :40]):
                wanted = torch.nn.functional.scaled_dot_product_attention(queries, k, v, **options)
                torch.testing.assert_close(unisparse.sdpa(queries, k, v, **options, p=1.0), wanted, atol=1e-5, rtol=1e-5)

    def test_operators(self):
        q, k, v = qkv()
        for options in (dict(), dict(top_k=1), dict(p=[0.2, 0.4, 0.6, 0.8]), dict(share="group", pooling=[4, 4], agg="sum", causal=False)):
            with self.subTest(**options):
                options.update(block=[32, 32], return_lse=True, return_selection=True)
                results = OPS.attention(q, k, v, **options)
                for x, y in zip(results, unisparse.attention(q, k, v, **options)):
                    self.assertTrue(torch.equal(x, y))
                again = OPS.block_sparse_attention(q, k, v, *results[2:], block=[32, 32], causal=options.get("causal", True), return_lse=True)
                self.assertTrue(torch.equal(again[0], results[0]) and torch.equal(again[1], results[1]))
        o, lse, counts, indices = OPS.attention(q, k, v)
        self.assertEqual([x.shape for x in (lse, counts, indices)], [(0,)] * 3)
        self.assertEqual([x.dtype for x in (lse, counts, indices)], [torch.float32, torch.int32, torch.int32])
        self.assertTrue(torch.equal(o, unisparse.attention(q, k, v)))

    def test_opcheck(self):
        q, k, v = qkv()
        cu = torch.tensor([0, 30, 70], dtype=torch.int32)
        every = dict(block=[32, 32], return_lse=True, return_selection=True)
        for options in (
            {},
            every,
            dict(**every, p=[0.2, 0.4, 0.6, 0.8], pooling=[8, 8, 2]),
            dict(**every, share="group", cu_seqlens_q=cu, cu_seqlens_k=cu.clone()),
        ):
            with self.subTest(**options):
                torch.library.opcheck(OPS.attention.default, (q, k, v), options)
        selection = OPS.attention(q, k, v, **every)[2:]
        torch.library.opcheck(OPS.block_sparse_attention.default, (q, k, v, *selection), dict(block=[32, 32]))
        torch.library.opcheck(OPS.block_sparse_attention.default, (q, k, v, *selection), dict(block=[32, 32], return_lse=True))
        out = torch.empty(1, 70, 4, 8).transpose(1, 2)
        torch.library.opcheck(OPS.attention_out.default, (q, k, v), dict(**every, memory=out))
        torch.library.opcheck(OPS.block_sparse_attention_out.default, (q, k, v, *selection), dict(block=[32, 32], memory=out))

    def test_compiled(self):
        """torch.compile keeps the operator whole, with lengths that change."""
        q, k, v = qkv()
        compiled = torch.compile(lambda q, k, v: OPS.attention(q * 2, k, v, block=[32, 32])[0] + 1, backend="aot_eager", fullgraph=True, dynamic=True)
        for length in (70, 50):
            part = [x[:, :, :length].contiguous() for x in (q, k, v)]
            wanted = unisparse.attention(part[0] * 2, *part[1:], block=(32, 32)) + 1
            self.assertTrue(torch.equal(compiled(*part), wanted))

    def test_functions_compiled(self):
        """Where torch.compile and torch.export look on, the functions are their operators."""
        q, k, v = qkv()
        cu = torch.tensor([0, 30, 70], dtype=torch.int32)

        def whole(q, k, v):
            o, lse, counts, indices = unisparse.attention(q, k, v, p=0.5, block=(32, 32), return_lse=True, return_selection=True)
            again = unisparse.block_sparse_attention(q, k, v, counts, indices, block=(32, 32), window=(40, None))
            packed = unisparse.attention(q, k, v, p=(0.2, 0.4, 0.6, 0.8), cu_seqlens=cu)
            return o * 2, lse, counts, again, packed, unisparse.sdpa(q, k, v, is_causal=True, enable_gqa=True, top_k=1)

        class Module(torch.nn.Module):
            forward = staticmethod(whole)

        compiled = torch.compile(whole, backend="aot_eager", fullgraph=True)
        exported = torch.export.export(Module(), (q, k, v)).module()
        for x, y, z in zip(whole(q, k, v), compiled(q, k, v), exported(q, k, v)):
            self.assertTrue(torch.equal(x, y) and torch.equal(x, z))

    def test_tables(self):
        """What a region reads (M5), by the functions, traced, and by the operators, which have names apart."""
        q, k, v = qkv()
        slopes, bias = torch.linspace(-1, 1, 4), torch.randn(2, 90)[:, 3:].to(torch.bfloat16)
        text = """
            %h = arith.index_cast %head : i32 to index
            %d = arith.index_cast %k : i32 to index
            %a = tensor.extract %slopes[%h] : tensor<?xf32>
            %c = tensor.extract %bias[%h, %d] : tensor<?x?xbf16>
            %b = arith.extf %c : bf16 to f32
            %x = arith.mulf %a, %b : f32
            %y = arith.addf %logit, %x : f32
            unisparse.yield %y : f32"""

        def whole(q, k, v, slopes, bias):
            tables = {"slopes": slopes, "bias": bias}
            o, counts, indices = unisparse.attention(q, k, v, p=0.5, block=(32, 32), score_mod=text, score_tables=tables,
                                                     estimate_with_region=True, return_selection=True)  # fmt: skip
            return o, unisparse.block_sparse_attention(q, k, v, counts, indices, block=(32, 32), score_mod=text, score_tables=tables)

        class Module(torch.nn.Module):
            forward = staticmethod(whole)

        given = (q, k, v, slopes, bias)
        wanted = whole(*given)
        self.assertTrue(torch.equal(*wanted))
        self.assertFalse(torch.equal(wanted[0], whole(q, k, v, slopes + 1, bias)[0]))
        for other in (torch.compile(whole, backend="aot_eager", fullgraph=True), torch.export.export(Module(), given).module()):
            self.assertTrue(all(map(torch.equal, wanted, other(*given))))
        named = dict(score_mod=text, score_tables=[bias, slopes], score_table_names=["bias", "slopes"], p=[0.5], block=[32, 32])
        self.assertTrue(torch.equal(OPS.attention(q, k, v, estimate_with_region=True, **named)[0], wanted[0]))
        torch.library.opcheck(OPS.attention.default, (q, k, v), named)
        self.refused("score_table_names: expected [M5] a name of its own for each of the 2 score_tables, got bias", Status.BAD_ARGUMENT,
                     OPS.attention, q, k, v, **{**named, "score_table_names": ["bias"]})  # fmt: skip
        self.refused("score_tables[1]: expected a tensor without gradient", Status.BAD_ARGUMENT, OPS.attention, q, k, v,
                     **{**named, "score_tables": [bias, slopes.clone().requires_grad_()]})  # fmt: skip
        self.refused("score_tables['slopes']: expected a tensor on cpu", Status.WRONG_DEVICE, unisparse.attention, q, k, v, score_mod=text,
                     score_tables={"slopes": slopes.to("meta"), "bias": bias})  # fmt: skip

    def test_operators_refuse(self):
        q, k, v = qkv()
        cu = torch.tensor([0, 70], dtype=torch.int32)
        self.refused("cu_seqlens_k: expected [I8] a tensor, as cu_seqlens_q is one, got None", Status.BAD_ARGUMENT, OPS.attention, q, k, v,
                     cu_seqlens_q=cu)  # fmt: skip
        self.refused("p: expected [L3] shares in [0, 1], got 2.0", Status.BAD_ARGUMENT, OPS.attention, q, k, v, p=[2.0])
        wanting = q.clone().requires_grad_()
        no_backward = "q: expected a tensor without gradient, or torch.no_grad(): there is no backward pass, got requires_grad=True"
        self.refused(no_backward, Status.BAD_ARGUMENT, OPS.attention, wanting, k, v)
        counts = torch.zeros(1, 4, 1, dtype=torch.int32)
        # torch would ask the fake, whose results hold nothing.
        self.refused("k: expected a tensor on cpu, as q, got one on meta", Status.WRONG_DEVICE, OPS.attention, q, k.to("meta"), v)
        self.refused("indices: expected a tensor on cpu, as q, got one on meta", Status.WRONG_DEVICE, OPS.block_sparse_attention, q, k, v,
                     counts, counts[..., None].to("meta"))  # fmt: skip
        self.refused(no_backward, Status.BAD_ARGUMENT, OPS.block_sparse_attention, wanting, k, v, counts, counts[..., None])
        with torch.no_grad():
            self.assertTrue(torch.equal(OPS.attention(wanting, k, v)[0], unisparse.attention(q, k, v)))
        with self.assertRaisesRegex(Exception, "there is no backward pass"):
            torch.compile(OPS.attention, backend="aot_eager")(wanting, k, v)

    def test_registered_when_asked(self):
        """Where torch comes behind unisparse, importing unisparse.ops registers the operators."""
        script = "import unisparse, torch; before = hasattr(torch.ops.unisparse, 'attention'); import unisparse.ops; print(before, torch.ops.unisparse.attention)"
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent / "python")}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
        self.assertEqual(done.stdout, "False unisparse.attention\n", done.stderr)

    def test_plans(self):
        """torch's own tensors as keys of plans; those of the CPU stand for CUDA's, a stub for the runtime."""
        TMP.mkdir(parents=True)
        stubbed = mock.patch.dict(
            os.environ,
            UNISPARSE_RT=str(stubs.runtime(TMP)),
            UNISPARSE_COMPILE=str(stubs.compiler(TMP / "unisparse-compile")),
            UNISPARSE_CACHE=str(TMP / "cache"),
            UNISPARSE_ARTIFACTS="",
            FAKE_COMPILE_LOG=str(TMP / "compile.log"),
            STUB_LOG=str(TMP / "stub.log"),
        )
        stubbed.start()
        _runtime.library.cache_clear()
        self.addCleanup(_runtime.library.cache_clear)
        self.addCleanup(stubbed.stop)
        device, stream, _torch.DEVICE_TYPE, _torch.stream_of = _torch.DEVICE_TYPE, _torch.stream_of, "cpu", lambda torch, device: 5
        try:
            q, k, v = qkv(dtype=torch.bfloat16)
            for _ in range(2):
                o = unisparse.attention(q, k, v)
            log = (TMP / "stub.log").read_text().splitlines()
            self.assertEqual(len([line for line in log if line.startswith("prepare")]), 3)
            self.assertEqual([line for line in log if line.startswith("stream")], ["stream 0x5"] * 2)
            self.assertIn(f"output {hex(o.data_ptr())} 2 [1/2240 4/560 70/8 8/1]", log)
            # Memory of the caller's is written by the program as it lies; in q's, or in rows of no pieces, by a copy.
            out = torch.empty(o.shape, dtype=o.dtype)
            turned = torch.empty(1, 70, 4, 8, dtype=o.dtype)
            before = len(log)
            for _ in range(2):
                self.assertIs(unisparse.attention(q, k, v, out=out), out)
                again = unisparse.attention(*(x.transpose(1, 2) for x in (q, k, v)), layout="bshd", out=turned)
                self.assertIs(again, turned)
            shared = q.clone()
            narrow = torch.empty(1, 70, 4, 12, dtype=o.dtype)[..., :8].transpose(1, 2)
            for given, place in ((shared, shared[..., 8:]), (q, narrow)):
                self.assertIs(unisparse.attention(given, k, v, out=place), place)
            log = (TMP / "stub.log").read_text().splitlines()[before:]
            self.assertEqual([line for line in log if line.startswith("prepare")], [])  # The views have the strides of before.
            self.assertEqual(len([line for line in log if line.startswith(f"output {hex(out.data_ptr())} ")]), 2)
            self.assertEqual([line for line in log if line.startswith(f"output {hex(turned.data_ptr())} ")],
                             [f"output {hex(turned.data_ptr())} 2 [1/{turned.stride(0)} 4/8 70/32 8/1]"] * 2)  # fmt: skip
            for copied in (shared[..., 8:], narrow):
                self.assertEqual([line for line in log if line.startswith(f"output {hex(copied.data_ptr())} ")], [])
            self.refused("out: expected q's type torch.bfloat16, got torch.float32", Status.BAD_SHAPE, unisparse.attention, q, k, v, out=out.float())
            # What is like it in sizes and no more has a plan of its own, or is refused.
            self.assertIsNone(_plan.known(_plan.key("attention", (q.transpose(1, 2).contiguous().transpose(1, 2), k, v), ())))
            negative = torch.complex(torch.zeros_like(v.float()), v.float()).conj().imag
            q, k = q.float(), k.float()
            unisparse.attention(q, k, v.float())
            self.refused("v: expected a tensor without pending negation", Status.BAD_ARGUMENT, unisparse.attention, q, k, negative)
            self.refused("p: expected a finite number", Status.BAD_ARGUMENT, unisparse.attention, q, k, v.float(), p=torch.tensor([0.1, float("nan")]))
            p = torch.tensor(0.5)
            unisparse.attention(q, k, v.float(), p=p)
            p.fill_(2)
            self.refused("p: expected [L3] shares", Status.BAD_ARGUMENT, unisparse.attention, q, k, v.float(), p=p)
        finally:
            _torch.DEVICE_TYPE, _torch.stream_of = device, stream
            _plan.forget()


if __name__ == "__main__":
    unittest.main()
