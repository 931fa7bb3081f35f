#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times attention of a sequence that several devices hold parts of, beside one device on the whole.

    torchrun --nproc-per-node=4 benchmarks/gpu_many.py --json OUT [--lengths 131072,1048576] [--modes heads,rows]
        [--parts contiguous,zigzag] [--heads 32] [--kv-heads 8] [--head-dim 128] [--p P] [--chapters 1] [--gain 2]
        [--repeat 5] [--without-one] [--check]

NCCL and bfloat16 where there are GPUs, else gloo and float32 on the CPU. Who gives no p gets the measured policy. q and k have
topics that last, as a text's do; a chapter has topics of its own, so that with several, rows select near blocks alone. gain: how
much more a token attends to its topic than to noise. Seconds are medians, of the slowest rank; efficiency is one device's time over that of all ranks together.
--without-one times none; --check says how far o is from one device's. Of bytes and memory it is the largest of any rank's; of blocks, what share of the others' K and V came.
"""

import argparse
import itertools
import json
import math
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python"))
sys.dont_write_bytecode = True
os.environ.setdefault("NCCL_NVLS_ENABLE", "0")

import torch
import torch.distributed as dist

import unisparse.distributed
from unisparse._shares import segments


def part(x, rank, size, parts):
    """What a rank has of the whole."""
    mine = sorted((s for s in segments([x.shape[2] * (r + 1) // size - x.shape[2] * r // size for r in range(size)], parts) if s.rank == rank), key=lambda s: s.place)
    return torch.cat([x[:, :, s.begin : s.end] for s in mine], 2)


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


def tokens(generator, length, dim, topics, chapters, gain, device):
    """[1, 1, L, D] of one head: noise around topics that change every 48 tokens or so, those of a chapter its own."""
    segments = length // 48 + 1
    each = len(topics) // chapters
    kind = torch.randint(each, (segments,), generator=generator, device=device) + torch.arange(segments, device=device) * chapters // segments * each
    noise = torch.randn(length, dim, generator=generator, device=device)
    return (2 * gain * dim**0.25 * topics[kind].repeat_interleave(48, 0)[:length] + noise)[None, None]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="131072")
    parser.add_argument("--modes", default="heads,rows")
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=8)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--p", type=float)
    parser.add_argument("--parts", default="contiguous")
    parser.add_argument("--chapters", type=int, default=1)
    parser.add_argument("--gain", type=float, default=2.0)
    parser.add_argument("--without-one", action="store_true")
    parser.add_argument("--check", action="store_true")
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
        dtype = torch.bfloat16 if on_gpu else torch.float32
        # A head at a time: many tokens of all of them in float32 are large.
        whole = [
            torch.cat([tokens(generator, length, arguments.head_dim, topics, arguments.chapters, gain, device).to(dtype) for _ in range(n)], 1)
            for n, gain in ((arguments.heads, arguments.gain), (arguments.kv_heads, 1), (arguments.kv_heads, 1))
        ]
        one = math.nan
        if not arguments.without_one:
            one = seconds((lambda: unisparse.attention(*whole, p=arguments.p)) if rank == 0 else (lambda: None), device, arguments.repeat)
        given = {parts: [part(x, rank, size, parts) for x in whole] for parts in arguments.parts.split(",")}
        wanted = unisparse.attention(*whole, p=arguments.p) if arguments.check else None
        wanted = {parts: part(wanted, rank, size, parts) if arguments.check else None for parts in given}
        del whole
        for parts, mode in itertools.product(given, arguments.modes.split(",")):
            q, k, v = given[parts]
            if on_gpu:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
            many = seconds(lambda: unisparse.distributed.attention(q, k, v, p=arguments.p, mode=mode, parts=parts), device, arguments.repeat)
            report = unisparse.distributed.report()
            peak = torch.cuda.max_memory_allocated(device) if on_gpu else 0
            share = report.came_blocks / max(report.other_blocks, 1)
            most = torch.tensor([sum(report.sent.values()), peak, share], dtype=torch.float64, device=device)
            dist.all_reduce(most, dist.ReduceOp.MAX)
            sent, peak, share = most.tolist()
            row = dict(tokens=length, parts=parts, mode=mode, ranks=size, one_device_s=one, s=many, speedup=one / many, efficiency=one / many / size)
            row.update(sent_bytes=int(sent), sent_by_rank_0=report.sent, peak_bytes=int(peak))
            if report.mode == "rows":
                blocks = -(-length // 128)
                row.update(came_share=share, density=report.selected_blocks / (arguments.heads * blocks * (blocks + 1) / 2))
            if arguments.check:
                o = unisparse.distributed.attention(q, k, v, p=arguments.p, mode=mode, parts=parts)
                off = torch.tensor([(o.float() - wanted[parts].float()).abs().max(), not torch.equal(o, wanted[parts])], device=device)
                dist.all_reduce(off, dist.ReduceOp.MAX)
                row.update(off=off[0].item(), same_bits=not off[1].item())
            if mode == "auto":
                row["chosen"] = unisparse.distributed.chosen()
            results.append(row)
            if rank == 0:
                print(row, flush=True)
    if rank == 0:
        name = torch.cuda.get_device_name(device) if on_gpu else "CPU"
        settings = {x: getattr(arguments, x) for x in ("heads", "kv_heads", "head_dim", "p", "chapters", "gain", "repeat")}
        arguments.json.write_text(json.dumps(dict(device=name, torch=torch.__version__, **settings, results=results), indent=1) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
