# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What gpu_speed.py times. Needs torch and a GPU. Every figure goes into the report as soon as it is known."""

import json
import pathlib
import statistics
import time
import traceback
import types

import torch

import compare
import device
import inputs
import masks
import programs as P
import unisparse
from unisparse import _program
from unisparse import prepare as ahead

DEVICE = "cuda"
BLOCK_FLOPS = 4 * P.BLOCK * P.BLOCK * P.DIM
REST_SECONDS = 0.5


class Report:
    """Figures by name, printed and written as they come: a later failure costs none of them."""

    def __init__(self, path, chip):
        self.path, self.data = path, dict(chip=chip, device=device.facts(), figures=[], failures=[])
        print(json.dumps(self.data["device"]), flush=True)

    def add(self, name, n, times, **more):
        """times: {"rested": ms, "queued": ms}; a rate's numerator in `flops` or `bytes` becomes a rate for each."""
        figure = dict(name=name, n=n, **{f"{mode}_ms": round(ms, 5) for mode, ms in times.items()})
        for unit, rate, scale in (("flops", "tflops", 1e9), ("bytes", "gb_per_s", 1e6)):
            if unit in more:
                amount = more.pop(unit)
                figure.update({f"{mode}_{rate}": round(amount / ms / scale, 1) for mode, ms in times.items()})
        figure.update(more)
        self.data["figures"].append(figure)
        print(json.dumps(figure), flush=True)
        self.write()
        return figure

    def attempt(self, what, function, *arguments):
        try:
            function(*arguments)
        except Exception as error:  # Whatever it is: the other figures are still wanted.
            self.fail(what, f"{type(error).__name__}: {error}", trace=traceback.format_exc()[-1500:])
        torch.cuda.empty_cache()

    def fail(self, what, error, **more):
        self.data["failures"].append(dict(what=what, error=error[:1000], **more))
        print(f"FAIL  {what}: {error[:500]}", flush=True)
        self.write()

    def write(self):
        if self.path:
            pathlib.Path(self.path).write_text(json.dumps(self.data, indent=1))


def between_events(call, times=1, ahead_cycles=0):
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    if ahead_cycles:
        torch.cuda._sleep(ahead_cycles)
    begin.record()
    for _ in range(times):
        call()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / times


def measure(call):
    """{"rested": ms, "queued": ms} of a call."""
    torch.cuda.synchronize()
    time.sleep(REST_SECONDS)
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    rested = statistics.median(between_events(call) for _ in range(12))
    times = max(1, min(50, int(4 / rested)))
    # The device sleeps for longer than the host takes to enqueue: about 50 us a call at 2 GHz, and some.
    queued = statistics.median(between_events(call, times, 2000 * (100 * times + 200)) for _ in range(7))
    return dict(rested=rested, queued=queued)


def random_tokens(n, seed=0):
    generator = torch.Generator(device=DEVICE).manual_seed(seed)
    return [
        torch.randn(1, heads, n, P.DIM, generator=generator, device=DEVICE, dtype=torch.bfloat16)
        for heads in (P.HEADS, P.KV_HEADS, P.KV_HEADS)
    ]


def topical_tokens(n, seed=0):
    """q and k with topics that last, as a text's do, so that p = 0.9 leaves much out."""
    generator = torch.Generator(device=DEVICE).manual_seed(seed)
    topics = torch.randn(64, P.DIM, generator=generator, device=DEVICE)
    topics /= topics.norm(dim=1, keepdim=True)
    made = []
    for heads in (P.HEADS, P.KV_HEADS):
        # A head at a time: 128K tokens of all of them in float32 are large.
        parts = [inputs.tokens(generator, 1, 1, n, P.DIM, topics, DEVICE).to(torch.bfloat16) for _ in range(heads)]
        made.append(torch.cat(parts, 1))
    return [*made, torch.randn(1, P.KV_HEADS, n, P.DIM, generator=generator, device=DEVICE, dtype=torch.bfloat16)]


def copy_bandwidth(report, lengths):
    """What the memory gives: a copy, bytes read and written."""
    for n in lengths:
        source = torch.empty(1, P.HEADS, n, P.DIM, device=DEVICE, dtype=torch.bfloat16).normal_()
        target = torch.empty_like(source)
        report.add("copy", n, measure(lambda: target.copy_(source)), bytes=2 * source.numel() * 2)


def spot_check(q, k, v, counts, indices, o, lse=None):
    """A1 to A3 on some rows of blocks, the first and the very last among them: sizes at which offsets outgrow 32 bits are
    in no other check. -> what is wrong."""
    generator, (heads, rows) = torch.Generator().manual_seed(1), counts.shape[1:]
    picked = [(0, 0), (heads - 1, rows - 1)] + [
        (int(torch.randint(heads, (1,), generator=generator)), int(torch.randint(rows, (1,), generator=generator))) for _ in range(6)
    ]
    outputs = compare.Outputs("bf16")
    for h, r in picked:
        blocks = indices[0, h, r, : int(counts[0, h, r])].long()
        keys = (blocks[:, None] * P.BLOCK + torch.arange(P.BLOCK, device=q.device)).flatten()
        queries = torch.arange(r * P.BLOCK, (r + 1) * P.BLOCK, device=q.device)
        keep = (keys[None] <= queries[:, None])[None]
        one = [
            x[0, head][None, at].double()
            for x, head, at in ((q, h, queries), (k, h * P.KV_HEADS // P.HEADS, keys), (v, h * P.KV_HEADS // P.HEADS, keys))
        ]
        where = types.SimpleNamespace(name=f"head {h}, row {r}", lq=P.BLOCK)
        outputs.add(where, *one, keep, P.DIM**-0.5, o[0, h][None, queries], None if lse is None else lse[0, h][None, queries])
    return outputs.verdict()


def attend(report, n, densities):
    q, k, v = random_tokens(n)
    program = _program.program_for(ahead.configuration(P.ATTEND))
    for rho in densities:
        counts, indices = (x[None].to(DEVICE) for x in masks.selection(masks.block_rows(n, rho, P.HEADS)))
        blocks, call = int(counts.sum()), program.bind(q, k, v, counts, indices)
        wrong = spot_check(q, k, v, counts, indices, *call())
        report.add(
            "attend", n, measure(call), rho=rho, blocks=blocks, flops=BLOCK_FLOPS * blocks, loaded_for=program.loaded(0).chip, wrong=wrong
        )
        if wrong:
            report.fail(f"attend {n} rho {rho}", "; ".join(wrong))


def stages(report, n, folder):
    """pool, score and select on one another's results, then attend on these, then the whole. Where a stage fails, the next
    ones run on something of the same form."""
    q, k, v = topical_tokens(n)
    last = {}

    def time_stage(stage, *tensors, **more):
        call = unisparse.Program(folder / f"{stage}-{n}.usp").bind(*tensors)
        last[stage] = call()
        report.add(stage, n, measure(call), **more)

    def time_program(name, entry, *tensors):
        call = _program.program_for(ahead.configuration(entry)).bind(*tensors)
        chosen = [x for x in (*tensors, *call()) if x.dtype == torch.int32 and x.dim() == 3]
        blocks, candidates = int(chosen[0].sum()), P.HEADS * (n // P.BLOCK) * (n // P.BLOCK + 1) // 2
        report.add(name, n, measure(call), density=round(blocks / candidates, 4), flops=BLOCK_FLOPS * blocks)

    for stage, x in (("pool_q", q), ("pool_k", k)):
        last[stage] = [x[:, :, :: P.FACTOR].contiguous()]
        report.attempt(f"{stage} {n}", lambda: time_stage(stage, x, bytes=(x.numel() + x.numel() // P.FACTOR) * 2))
    composites, rows = n // P.FACTOR, n // P.BLOCK
    last["score"] = [torch.rand(1, P.HEADS, rows, rows, device=DEVICE)]
    # The causal half of the products.
    report.attempt(
        f"score {n}", lambda: time_stage("score", *last["pool_q"], *last["pool_k"], flops=P.HEADS * P.DIM * composites * composites)
    )
    (mass,) = last["score"]
    last["select"] = [x[None].to(DEVICE) for x in masks.selection(masks.block_rows(n, 0.25, P.HEADS))]
    report.attempt(f"select {n}", lambda: time_stage("select", mass, bytes=mass.numel() * 4))
    report.attempt(f"attend selected {n}", time_program, "attend selected", P.ATTEND, q, k, v, *last["select"][:2])
    report.attempt(f"whole {n}", time_program, "whole p=0.9", P.WHOLE, q, k, v)
    report.attempt(f"dense {n}", lambda: time_stage("dense", q, k, v, flops=2 * n * n * P.DIM * P.HEADS))
    if "dense" in last:
        everything = torch.arange(rows, device=DEVICE)
        counts, indices = (everything + 1).expand(1, P.HEADS, rows), everything.expand(1, P.HEADS, rows, rows)
        if wrong := spot_check(q, k, v, counts, indices, *last["dense"]):
            report.fail(f"dense {n}", "; ".join(wrong))
    shares(report, n)


def shares(report, n):
    """Pool's bandwidth as a share of a copy's."""
    by_name = {f["name"]: f for f in report.data["figures"] if f["n"] == n}
    for stage in ("pool_q", "pool_k"):
        if stage in by_name and "copy" in by_name:
            share = {
                mode: round(by_name[stage][f"{mode}_gb_per_s"] / by_name["copy"][f"{mode}_gb_per_s"], 3) for mode in ("rested", "queued")
            }
            by_name[stage]["share_of_copy"] = share
            print(json.dumps(dict(name=stage, n=n, share_of_copy=share)), flush=True)
    report.write()


def dense_peers(report, n):
    """torch's dense attention; flops of the causal half."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q, k, v = random_tokens(n)
    k, v = (x.repeat_interleave(P.HEADS // P.KV_HEADS, 1) for x in (k, v))
    for name, backend in (("torch flash dense", SDPBackend.FLASH_ATTENTION), ("torch cudnn dense", SDPBackend.CUDNN_ATTENTION)):

        def one(name=name, backend=backend):
            with sdpa_kernel(backend):
                times = measure(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True))
            report.add(name, n, times, flops=2 * n * n * P.DIM * P.HEADS)

        report.attempt(f"{name} {n}", one)


_compiled = []


def flex(report, n, densities):
    """FlexAttention on the masks of `attend`."""
    from torch.nn.attention.flex_attention import flex_attention

    if not _compiled:
        _compiled.append(torch.compile(flex_attention, dynamic=False))
    q, k, v = random_tokens(n)
    for rho in densities:
        rows = masks.block_rows(n, rho, P.HEADS)
        mask, blocks = masks.flex_mask(rows, n), sum(len(row) for head in rows for row in head)
        times = measure(lambda: _compiled[0](q, k, v, block_mask=mask, enable_gqa=True))
        report.add("torch flexattention", n, times, rho=rho, blocks=blocks, flops=BLOCK_FLOPS * blocks)
