#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Microseconds of host time that a call of the Python package takes before it returns: what Python and torch do, without
the runtime and the driver. Needs torch, on no GPU: tensors of the CPU stand for CUDA's, a stub for the runtime.

    benchmarks/calls.py [--calls 500] [--rounds 40]

With the package's part in C where UNISPARSE_NATIVE names it or build/ has it; with UNISPARSE_NATIVE= without.
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "test" / "Python" / "Inputs")]


def forms(torch, unisparse):
    """{what: call}. Few tokens: large memory of the CPU comes from the system each time, that of CUDA from torch's cache."""
    q = torch.zeros(1, 8, 64, 16, dtype=torch.bfloat16)
    k, v = (torch.zeros(1, 2, 64, 16, dtype=torch.bfloat16) for _ in range(2))
    counts, indices = torch.zeros(1, 8, 1, dtype=torch.int32), torch.zeros(1, 8, 1, 1, dtype=torch.int32)
    cu = torch.zeros(5, dtype=torch.int32)
    tokens = [x.transpose(1, 2).contiguous() for x in (q, k, v)]
    out = torch.zeros_like(tokens[0])
    path = pathlib.Path(os.environ["UNISPARSE_CACHE"]) / "own.usp"
    path.write_text("in q bf16 4\nin k bf16 4\nin v bf16 4\nout o bf16 4\n")
    program = unisparse.Program(path)
    bound = program.bind(q, k, v)
    return {
        "attention": lambda: unisparse.attention(q, k, v),
        "attention, p for each head, packed": lambda: unisparse.attention(q, k, v, p=[0.9] * 8, cu_seqlens=cu),
        "attention, lse and selection": lambda: unisparse.attention(q, k, v, return_lse=True, return_selection=True),
        "block_sparse_attention": lambda: unisparse.block_sparse_attention(q, k, v, counts, indices),
        "sdpa, causal": lambda: unisparse.sdpa(q, k, v, is_causal=True, enable_gqa=True),
        "bshd, into memory of the caller's": lambda: unisparse.attention(*tokens, layout="bshd", out=out),
        "Program": lambda: program(q, k, v),
        "bound call": bound,
        "torch.empty of o and workspace alone": lambda: (torch.empty(q.shape, dtype=q.dtype), torch.empty((1000,), dtype=torch.uint8)),
    }


def measure(call, calls):
    """The thread's own time, as calls wait for nothing: what else runs on the machine is left out."""
    start = time.thread_time()
    for _ in range(calls):
        call()
    return (time.thread_time() - start) / calls * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("calls: expected torch, got none")
    import stubs

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.environ.update(
            UNISPARSE_RT=str(stubs.runtime(folder)),
            UNISPARSE_COMPILE=str(stubs.compiler(folder / "unisparse-compile")),
            UNISPARSE_CACHE=name,
            UNISPARSE_ARTIFACTS="",
            FAKE_COMPILE_LOG=os.devnull,
        )
        os.environ.pop("STUB_LOG", None)
        if (built := ROOT / "build" / "lib" / "_native.abi3.so").exists():
            os.environ.setdefault("UNISPARSE_NATIVE", str(built))
        import unisparse
        from unisparse import _again, _torch

        _torch.DEVICE_TYPE = "cpu"
        in_c = "calls in C" if _again.native is not None and _again.connected(torch) else "calls in Python"
        print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, {in_c}")
        wanted = forms(torch, unisparse)
        rounds = [[measure(call, arguments.calls) for call in wanted.values()] for _ in range(arguments.rounds + 1)]
        for what, times in zip(wanted, zip(*rounds[1:])):
            print(f"{min(times):8.1f} us at best, {statistics.median(times):6.1f} us in the median  {what}")


if __name__ == "__main__":
    main()
