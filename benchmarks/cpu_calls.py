#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Calls of the Python package on this machine's CPU, beside torch's scaled_dot_product_attention.

    benchmarks/cpu_calls.py [--lengths 256,8192] [--threads 1,2] [--dtypes float32] [--repeat 5]

8 query and 2 KV heads of 128, causal, torch's tensors and torch's number of threads for both. A round calls every
function once, one after the other; figures are medians over rounds, after one that is not counted. `dense` is p = 1,
which selects nothing; `sparse` is p = .9 with the other options as they are, on Gaussian noise: what selecting costs,
not what it saves. `around` is what a dense call takes beside the compiled code: finding its plan, memory for o, and letting go of the o before.
Last the same of tiny calls of both functions, torch's tensors and NumPy's: medians over 3000 of what a call takes beside
`unisparse_cpu_run`, in Python, and, where the package has its part in C, with that, as the whole call is shorter by then.
"""

import argparse
import os
import statistics
import sys
import time
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import torch

import unisparse
from unisparse import _attention, _host, _library, _numpy

HEADS, KV_HEADS, DIM = 8, 2, 128


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Inside:
    """Seconds inside the runtime's unisparse_cpu_run, of the last call."""

    def __init__(self):
        self.seconds, self.made = 0.0, _library.Library.__init__

        def init(library, path):
            self.made(library, path)
            run = library.run

            def measured(*arguments):
                start = time.perf_counter()
                status = run(*arguments)
                self.seconds = time.perf_counter() - start
                return status

            library.run = measured

        _library.Library.__init__ = init

    def stop(self):
        """Programs that are loaded from now on run unseen."""
        _library.Library.__init__ = self.made
        _host.unload()


def around(call, inside):
    """Median seconds of tiny calls beside the compiled code."""
    return statistics.median([timed(call) - inside.seconds for _ in range(3000)][100:])


def shorter(call):
    """Median seconds by which tiny calls are shorter in C."""
    names = ("_attention_again", "_block_sparse_attention_again")
    whole = lambda: statistics.median([timed(call) for _ in range(3000)][100:])
    in_c = whole()
    with mock.patch.multiple(_attention, **{name: lambda *_: None for name in names}), mock.patch.object(_attention._again.Calls, "remember", lambda *_: None):
        return whole() - in_c


def tiny(inside):
    """Of both functions, planned before: 2:1 heads of 16, 32 tokens, one thread."""
    torch.set_num_threads(1)
    _numpy.threads = lambda torch: 1  # A second one of OpenMP's would spin beside Python.
    tensors = [torch.randn(1, h, 32, 16) for h in (2, 1, 1)] + [torch.ones(1, 2, 1, dtype=torch.int32), torch.zeros(1, 2, 1, 1, dtype=torch.int32)]
    calls = {}
    for kind, x in (("torch", tensors), ("NumPy", [t.numpy() for t in tensors])):
        calls[f"attention of {kind}"] = lambda x=x: unisparse.attention(*x[:3], block=(32, 32))
        calls[f"block_sparse_attention of {kind}"] = lambda x=x: unisparse.block_sparse_attention(*x, block=(32, 32))
    found = {name: around(call, inside) * 1e6 for name, call in calls.items()}
    inside.stop()
    for name, call in calls.items():
        in_c = f", {found[name] - shorter(call) * 1e6:.1f} with its part in C" if "torch" in name and _attention._IN_C else ""
        print(f"around {name}: {found[name]:.1f} us{in_c}", flush=True)


def measure(length, threads, dtype, repeat, inside):
    torch.set_num_threads(threads)
    q = torch.randn(1, HEADS, length, DIM, dtype=dtype)
    k, v = (torch.randn(1, KV_HEADS, length, DIM, dtype=dtype) for _ in range(2))
    tokens = [x.transpose(1, 2).contiguous() for x in (q, k, v)]
    sdpa = torch.nn.functional.scaled_dot_product_attention
    calls = {
        "torch": lambda: sdpa(q, k, v, is_causal=True, enable_gqa=True),
        "dense": lambda: unisparse.attention(q, k, v, p=1.0),
        "bshd": lambda: unisparse.attention(*tokens, p=1.0, layout="bshd"),
        "sparse": lambda: unisparse.attention(q, k, v, p=0.9),
    }
    error = (calls["dense"]() - calls["torch"]()).abs().max().item()
    found = {name: [] for name in (*calls, "around")}
    for number in range(repeat + 1):
        for name, call in calls.items():
            seconds = timed(call)
            if number:
                found[name].append(seconds)
                if name == "dense":
                    found["around"].append(seconds - inside.seconds)
    return {name: statistics.median(times) for name, times in found.items()}, error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="256,8192")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--dtypes", default="float32")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    numbers = lambda text: [int(word) for word in text.split(",") if word]
    inside, names = Inside(), ("torch", "dense", "bshd", "sparse", "around")
    print(f"torch {torch.__version__}, {_library.level()}; {HEADS}:{KV_HEADS} heads of {DIM}, causal; ms, medians of {arguments.repeat}")
    print("  tokens  threads  type     " + "".join(f"{name:>10}" for name in names) + "   off torch's by")
    with torch.no_grad():
        for dtype in arguments.dtypes.split(","):
            for length in numbers(arguments.lengths):
                for threads in numbers(arguments.threads):
                    repeat = arguments.repeat if length > 1024 else 20 * arguments.repeat
                    medians, error = measure(length, threads, getattr(torch, dtype), repeat, inside)
                    cells = "".join(f"{medians[name] * 1e3:10.3f}" for name in names)
                    print(f"{length:8}{threads:9}  {dtype:9}{cells}   {error:.1e}", flush=True)
        tiny(inside)


if __name__ == "__main__":
    main()
