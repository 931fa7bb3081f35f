#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times attention of a sequence that several devices hold parts of, beside one device on the whole.

    torchrun --nproc-per-node=2 benchmarks/gpu_many.py --json OUT [--phases] [--check]
        [--lengths 8192,32768,131072] [--modes heads,rows,auto] [--long 1048576] [--parts contiguous,zigzag]
        [--heads 32] [--kv-heads 8] [--head-dim 128] [--p P] [--chapters 1] [--gain 2] [--repeat 3] [--queued 4] [--without-one]

NCCL for GPUs beside gloo for words, and bfloat16, where there are GPUs; else gloo and float32 on the CPU. Who gives no p gets the
measured policy. q and k have topics that last, as a text's do; a chapter has topics of its own, so that with several, rows select
near blocks alone. gain: how much more a token attends to its topic than to noise. --long: lengths that are attended to by heads
alone; 0 for none.

Seconds are medians, of the slowest rank, behind one call that warms up; queued_s is of a call among several that no one waits
for. efficiency is one device's time over that of all ranks together. --without-one times none; --check says how far o is from one
device's. Of bytes and memory it is the largest of any rank's; of blocks, what share of the others' K and V came. --phases adds,
for one call more of each, when rank 0's host and device began and ended what, in ms: transfers from when their data was ready.
--words nccl: words go by NCCL, too. OUT is written anew after each line.
"""

import argparse
import itertools
import json
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
from unisparse import _phases
from unisparse._shares import segments


def part(x, rank, size, parts):
    """What a rank has of the whole."""
    mine = sorted((s for s in segments([x.shape[2] * (r + 1) // size - x.shape[2] * r // size for r in range(size)], parts) if s.rank == rank), key=lambda s: s.place)
    return torch.cat([x[:, :, s.begin : s.end] for s in mine], 2)


def slowest(took, device):
    took = torch.tensor(took, dtype=torch.float64, device=device)
    dist.all_reduce(took, dist.ReduceOp.MAX)
    return took.item()


def seconds(call, device, repeat, queued=1):
    """The median of the slowest rank, of a call among `queued`."""
    times = []
    for _ in range(repeat):
        dist.barrier()
        start = time.perf_counter()
        for _ in range(queued):
            call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(slowest((time.perf_counter() - start) / queued, device))
    return statistics.median(times)


def phases(call, device):
    """Of one call: when this rank's host and device began and ended what, and the device's (on the CPU the host's) sums."""
    dist.barrier()
    with _phases.recorded(device) as recorder:
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    spans, sums = recorder.told(), {}
    clock = "device" if device.type == "cuda" else "host"
    for one in spans:
        sums[one["phase"]] = round(sums.get(one["phase"], 0) + one["end"][clock] - one["begin"][clock], 4)
    return dict(sums_ms=sums, spans_ms=spans)


def tokens(generator, length, dim, topics, chapters, gain, device):
    """[1, 1, L, D] of one head: noise around topics that change every 48 tokens or so, those of a chapter its own."""
    segments = length // 48 + 1
    each = len(topics) // chapters
    kind = torch.randint(each, (segments,), generator=generator, device=device) + torch.arange(segments, device=device) * chapters // segments * each
    noise = torch.randn(length, dim, generator=generator, device=device)
    return (2 * gain * dim**0.25 * topics[kind].repeat_interleave(48, 0)[:length] + noise)[None, None]


def whole_of(arguments, length, device):
    """q, k and v, the same on every rank."""
    generator = torch.Generator(device=device).manual_seed(0)
    topics = torch.randn(64, arguments.head_dim, generator=generator, device=device)
    topics /= topics.norm(dim=1, keepdim=True)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    # A head at a time: many tokens of all of them in float32 are large.
    return [
        torch.cat([tokens(generator, length, arguments.head_dim, topics, arguments.chapters, gain, device).to(dtype) for _ in range(n)], 1)
        for n, gain in ((arguments.heads, arguments.gain), (arguments.kv_heads, 1), (arguments.kv_heads, 1))
    ]


def rows(arguments, length, modes, rank, size, device):
    """A line for each mode and kind of parts."""
    if not modes:
        return
    whole, p, one = whole_of(arguments, length, device), arguments.p, {}
    if not arguments.without_one:
        call = (lambda: unisparse.attention(*whole, p=p)) if rank == 0 else (lambda: None)
        call()
        one = dict(one_device_s=seconds(call, device, arguments.repeat), one_device_queued_s=seconds(call, device, arguments.repeat, arguments.queued))
    given = {parts: [part(x, rank, size, parts) for x in whole] for parts in arguments.parts.split(",")}
    wanted = unisparse.attention(*whole, p=p) if arguments.check else None
    wanted = {parts: part(wanted, rank, size, parts) if arguments.check else None for parts in given}
    del whole
    for parts, mode in itertools.product(given, modes):
        call = lambda: unisparse.distributed.attention(*given[parts], p=p, mode=mode, parts=parts)
        call()
        if mode == "auto":
            for _ in range(4):  # What it decides by, it learns from calls.
                call()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        many = seconds(call, device, arguments.repeat)
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        queued = seconds(call, device, arguments.repeat, arguments.queued)
        report = unisparse.distributed.report()
        most = torch.tensor([sum(report.sent.values()), peak, report.came_blocks / max(report.other_blocks, 1)], dtype=torch.float64, device=device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        sent, peak, share = most.tolist()
        row = dict(tokens=length, parts=parts, mode=mode, ranks=size, **one, s=many, queued_s=queued)
        if one:
            row.update(speedup=one["one_device_s"] / many, queued_speedup=one["one_device_queued_s"] / queued, efficiency=one["one_device_s"] / many / size)
        row.update(sent_bytes=int(sent), sent_by_rank_0=report.sent, peak_bytes=int(peak))
        if report.mode == "rows":
            blocks = -(-length // 128)
            row.update(came_share=share, density=report.selected_blocks / (arguments.heads * blocks * (blocks + 1) / 2))
        if arguments.check:
            o = call()
            off = torch.tensor([(o.float() - wanted[parts].float()).abs().max(), not torch.equal(o, wanted[parts])], device=device)
            dist.all_reduce(off, dist.ReduceOp.MAX)
            row.update(off=off[0].item(), same_bits=not off[1].item())
        if mode == "auto":
            row["chosen"] = unisparse.distributed.chosen()
        if arguments.phases:
            row["phases"] = phases(call, device)
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="8192,32768,131072")
    parser.add_argument("--modes", default="heads,rows,auto")
    parser.add_argument("--long", default="1048576" if torch.cuda.is_available() else "0")
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=8)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--p", type=float)
    parser.add_argument("--parts", default="contiguous")
    parser.add_argument("--chapters", type=int, default=1)
    parser.add_argument("--gain", type=float, default=2.0)
    parser.add_argument("--without-one", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--queued", type=int, default=4)
    parser.add_argument("--phases", action="store_true")
    parser.add_argument("--words", default="gloo", choices=["gloo", "nccl"])
    parser.add_argument("--json", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    on_gpu = torch.cuda.is_available()
    dist.init_process_group(("cpu:gloo,cuda:nccl" if arguments.words == "gloo" else "nccl") if on_gpu else "gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank))) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    name = torch.cuda.get_device_name(device) if on_gpu else "CPU"
    settings = {x: getattr(arguments, x) for x in ("heads", "kv_heads", "head_dim", "p", "chapters", "gain", "repeat", "queued", "words")}
    report = dict(device=name, torch=torch.__version__, ranks=size, **settings, results=[])
    plan = [(int(x), arguments.modes) for x in arguments.lengths.split(",")] + [(int(x), "heads") for x in arguments.long.split(",")]
    for length, modes in plan:
        for row in rows(arguments, length, modes.split(",") if length else [], rank, size, device):
            report["results"].append(row)
            if rank == 0:
                print({key: x for key, x in row.items() if key != "phases"}, flush=True)
                arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
