#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a call of the Python package costs on a device, beside the bound call of the same program: B = 1, 32 query and 8 KV
heads, bf16, blocks of 128x128, lse returned.

    gpu_calls.py prepare DIR [--chips sm_90a] [--runtime build/lib/libunisparse-rt.so] [--zip]
        needs unisparse-compile (PATH or UNISPARSE_COMPILE), no GPU; takes _native.abi3.so along, which lies beside the runtime
    gpu_calls.py run DIR [--lengths 8192] [--rho 0.1,0.25]
        needs torch and a GPU, this checkout, and DIR (or DIR.zip)

First whether the current stream is torch's in C, on a side stream too, and whether calls in C and in Python give the same bits.

host: until the call returns, the median of 200, each behind a synchronisation, and the fastest. rested, queued: as
gpu_speed.py has them. "in Python" is the call as it is without the package's part in C, in the same process.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parent.parent
for folder in ("python", "benchmarks/gpu"):
    sys.path.insert(0, str(ROOT / folder))
sys.dont_write_bytecode = True

import parcel


def prepare(arguments):
    import programs
    from unisparse import prepare as ahead

    failed = 0
    parcel.begin(arguments.folder, arguments.runtime)
    for chip in arguments.chips.split(","):
        configs = map(programs.configuration, [programs.ATTEND.entry, programs.WHOLE])
        failed += len(ahead.prepare(configs, arguments.folder / chip, [chip], arguments.jobs))
    parcel.finish(arguments.folder, arguments.zip)
    sys.exit(1 if failed else 0)


def host(torch, call):
    """(median, fastest) microseconds until the call returns."""
    times = []
    for _ in range(220):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e6)
    torch.cuda.synchronize()
    return statistics.median(times[20:]), min(times[20:])


def sound(torch, native, in_python, call):
    """What has to be so before any time means something."""
    agree = []
    for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            agree.append(native.stream(2, torch.cuda.current_device()) == stream.cuda_stream)
            results = [call() for _ in range(3)]
            with in_python:
                results.append(call())
        torch.cuda.synchronize()
    same = all(torch.equal(x, y) for result in results for x, y in zip(result, results[0]))
    return dict(same_stream=agree, same_bits=same)


def run(arguments):
    with parcel.opened(arguments.folder) as folder:
        # In front of what imports the package, which looks for its part in C then.
        os.environ.update(parcel.environment(folder, parcel.chips(folder, arguments.chips)[0]))
        import masks
        import programs
        import timing
        import torch
        import unisparse
        from unisparse import _again, _attention, _program

        there = _again.native is not None and _again.connected(torch)
        print(json.dumps(dict(device=torch.cuda.get_device_name(), torch=torch.__version__, python=sys.version.split()[0], in_c=there)))
        in_python = mock.patch.multiple(
            _attention, _block_sparse_attention_again=lambda *_: None, _attention_again=lambda *_: None
        )  # Neither asked nor told.
        silent = mock.patch.object(_again.Calls, "remember", lambda *_: None)
        for n in map(int, arguments.lengths.split(",")):
            q, k, v = timing.random_tokens(n)
            whole = lambda: unisparse.attention(q, k, v, return_selection=True)
            forms = {"torch.empty of o": lambda: torch.empty(q.shape, dtype=q.dtype, device=q.device)}
            for rho in map(float, arguments.rho.split(",")):
                counts, indices = (x[None].to(q.device) for x in masks.selection(masks.block_rows(n, rho, programs.HEADS)))
                given = lambda counts=counts, indices=indices: unisparse.block_sparse_attention(q, k, v, counts, indices, return_lse=True)
                if there:
                    print(json.dumps(sound(torch, _again.native, in_python, given)))
                forms[f"block_sparse_attention, rho {rho}"] = given
                forms[f"block_sparse_attention, rho {rho}, in Python"] = given
                forms[f"bound, rho {rho}"] = _program.program_for(programs.configuration(programs.ATTEND.entry)).bind(q, k, v, counts, indices)
            forms.update({"attention with its selection": whole, "attention with its selection, in Python": whole})
            for name, call in forms.items():
                if name.endswith("in Python"):
                    with in_python, silent:
                        took, times = host(torch, call), timing.measure(call)
                else:
                    took, times = host(torch, call), timing.measure(call)
                figure = dict(name=name, n=n, host_us=round(took[0], 1), host_best_us=round(took[1], 1))
                print(json.dumps({**figure, **{f"{mode}_ms": round(ms, 4) for mode, ms in times.items()}}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["prepare", "run"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--chips", default="sm_90a", help="prepare: all of them; run: the first that is there")
    parser.add_argument("--lengths", default="8192")
    parser.add_argument("--rho", default="0.1,0.25")
    parcel.options(parser)
    arguments = parser.parse_args()
    {"prepare": prepare, "run": run}[arguments.action](arguments)


if __name__ == "__main__":
    main()
