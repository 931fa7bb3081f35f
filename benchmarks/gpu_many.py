#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times attention of a sequence that several devices hold parts of, beside one device on the whole.

    torchrun --nproc-per-node=4 benchmarks/gpu_many.py --json OUT [--lengths 131072] [--modes heads,rows] [--heads 32]
        [--kv-heads 8] [--head-dim 128] [--p 0.9] [--repeat 5]

NCCL and bfloat16 where there are GPUs, else gloo and float32 on the CPU. q and k have topics that last, as a text's do, so that p
leaves much out. Seconds are medians, of the slowest rank; efficiency is one device's time over that of all ranks together.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
for folder in ("python", "benchmarks/gpu"):
    sys.path.insert(0, str(ROOT / folder))
sys.dont_write_bytecode = True
os.environ.setdefault("NCCL_NVLS_ENABLE", "0")

import inputs
import torch
import torch.distributed as dist

import unisparse.distributed
from unisparse import _ranks


def seconds(call, device, repeat):
    """The median of the slowest rank, behind a call that compiles."""
    times = []
    for _ in range(repeat + 1):
        dist.barrier()
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took = torch.tensor(time.perf_counter() - start, device=device)
        dist.all_reduce(took, dist.ReduceOp.MAX)
        times.append(took.item())
    return statistics.median(times[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="131072")
    parser.add_argument("--modes", default="heads,rows")
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=8)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--p", type=float, default=0.9)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    on_gpu = torch.cuda.is_available()
    dist.init_process_group("nccl" if on_gpu else "gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank))) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    results = []
    for length in map(int, arguments.lengths.split(",")):
        generator = torch.Generator(device=device).manual_seed(0)
        topics = torch.randn(64, arguments.head_dim, generator=generator, device=device)
        topics /= topics.norm(dim=1, keepdim=True)
        heads = (arguments.heads, arguments.kv_heads, arguments.kv_heads)
        dtype = torch.bfloat16 if on_gpu else torch.float32
        # A head at a time: many tokens of all of them in float32 are large.
        whole = [torch.cat([inputs.tokens(generator, 1, 1, length, arguments.head_dim, topics, device).to(dtype) for _ in range(n)], 1) for n in heads]
        begin, end = rank * length // size, (rank + 1) * length // size
        q, k, v = (x[:, :, begin:end].contiguous() for x in whole)
        one = seconds((lambda: unisparse.attention(*whole, p=arguments.p)) if rank == 0 else (lambda: None), device, arguments.repeat)
        del whole
        for mode in arguments.modes.split(","):
            if on_gpu:
                torch.cuda.reset_peak_memory_stats(device)
            before = _ranks.sent_bytes[0]
            many = seconds(lambda: unisparse.distributed.attention(q, k, v, p=arguments.p, mode=mode), device, arguments.repeat)
            sent = torch.tensor((_ranks.sent_bytes[0] - before) // (arguments.repeat + 1), device=device)
            dist.all_reduce(sent, dist.ReduceOp.MAX)
            row = dict(tokens=length, mode=mode, ranks=size, one_device_s=one, s=many, speedup=one / many, efficiency=one / many / size, sent_bytes=sent.item())
            if on_gpu:
                row["peak_bytes"] = torch.cuda.max_memory_allocated(device)
            if mode == "auto":
                row["chosen"] = unisparse.distributed.chosen()
            results.append(row)
            if rank == 0:
                print(row, flush=True)
    if rank == 0:
        name = torch.cuda.get_device_name(device) if on_gpu else "CPU"
        settings = {x: getattr(arguments, x) for x in ("heads", "kv_heads", "head_dim", "p", "repeat")}
        arguments.json.write_text(json.dumps(dict(device=name, torch=torch.__version__, **settings, results=results), indent=1) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
