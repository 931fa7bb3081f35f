# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What gpu_speed.py times. Needs torch and a GPU. Every figure goes into the report as soon as it is known. Ours and a
peer's on the same data stand next to each other, each behind a rest."""

import json
import pathlib
import statistics
import time
import traceback

import torch

import device
import inputs
import masks
import peers
import programs as P
import spot
import unisparse
from unisparse import _program

DEVICE = "cuda"
MODES = ("rested", "queued")
REST_SECONDS = 0.5


class Report:
    """Figures by name, printed and written as they come: a later failure costs none of them."""

    def __init__(self, path, chip):
        self.path, self.data = path, dict(chip=chip, device=device.facts(), figures=[], failures=[])
        self.product = None  # The figure of matrix_product.
        print(json.dumps(self.data["device"]), flush=True)

    def add(self, name, n, times, **more):
        """times: {"rested": ms, "queued": ms}; a rate's numerator in `flops` or `bytes` becomes a rate for each."""
        figure = dict(name=name, n=n, **{f"{mode}_ms": round(ms, 5) for mode, ms in times.items()})
        for unit, rate, scale in (("flops", "tflops", 1e9), ("bytes", "gb_per_s", 1e6)):
            if unit in more:
                amount = more.pop(unit)
                figure.update({f"{mode}_{rate}": round(amount / ms / scale, 1) for mode, ms in times.items()})
        figure.update(more)
        if self.product and "rested_tflops" in figure:
            figure["share_of_matmul"] = ratio(figure, self.product, "tflops")
        self.data["figures"].append(figure)
        print(json.dumps(figure), flush=True)
        self.write()
        return figure

    def relate(self, name, figure, other, rate="tflops"):
        """Adds a figure's rate as a multiple of another's, where both are known."""
        if figure and other:
            figure[name] = ratio(figure, other, rate)
            print(json.dumps({"name": figure["name"], "n": figure["n"], name: figure[name]}), flush=True)
            self.write()

    def attempt(self, what, function, *arguments):
        """-> the function's result, None where it failed."""
        result = None
        try:
            result = function(*arguments)
        except Exception as error:  # Whatever it is: the other figures are still wanted.
            self.fail(what, f"{type(error).__name__}: {error}", trace=traceback.format_exc()[-1500:])
        torch.cuda.empty_cache()
        return result

    def fail(self, what, error, **more):
        self.data["failures"].append(dict(what=what, error=error[:1000], **more))
        print(f"FAIL  {what}: {error[:500]}", flush=True)
        self.write()

    def write(self):
        if self.path:
            pathlib.Path(self.path).write_text(json.dumps(self.data, indent=1))


def ratio(figure, other, rate):
    return {mode: round(figure[f"{mode}_{rate}"] / other[f"{mode}_{rate}"], 3) for mode in MODES}


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


def random_tokens(n, dim=P.DIM, seed=0):
    generator = torch.Generator(device=DEVICE).manual_seed(seed)
    return [
        torch.randn(1, heads, n, dim, generator=generator, device=DEVICE, dtype=torch.bfloat16)
        for heads in (P.HEADS, P.KV_HEADS, P.KV_HEADS)
    ]


def turned(x, base=500000.0):
    """Rotary positions on x [L, D], as a text's q and k have them."""
    half = x.shape[-1] // 2
    angles = torch.outer(torch.arange(x.shape[0], device=x.device).float(), base ** (-torch.arange(half, device=x.device).float() / half))
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def text_tokens(n, heads=(P.HEADS, P.KV_HEADS), seed=0):
    """q, k and v with the statistics of a text's in a trained model: norms of 18, as behind QK norm; a direction that all
    tokens have, which rotary positions make near keys of; and one of 16 topics, that change every 48 tokens, in the dims
    that turn slowly. Logits have a deviation of 3.1 and a row's largest is 15 (a model's with 31M parameters: 3.0 to 4.0
    and 13 to 20), and p = .8, t = 16, s = 4, last = 1 selects .36, .24 and .17 of the blocks at 4K, 8K and 16K (.38, .25 and .19)."""
    near, topic, topics, every, norm = 0.1, 0.35, 16, 48, 18.0
    generator = torch.Generator(device=DEVICE).manual_seed(seed)
    draw = lambda *sizes: torch.randn(*sizes, generator=generator, device=DEVICE)
    unit = lambda x: x / x.norm(dim=-1, keepdim=True)
    half = P.DIM // 2
    slow = (torch.arange(P.DIM, device=DEVICE) % half >= half // 2).float()
    kind = torch.randint(topics, (n // every + 1,), generator=generator, device=DEVICE).repeat_interleave(every)[:n]
    q, k = [], []
    for _ in range(heads[1]):
        all_have, of_topic = unit(draw(P.DIM) * (1 - slow)), unit(draw(topics, P.DIM) * slow)

        def side(near):
            # A head at a time: 128K tokens of all of them in float32 are large.
            own = unit(draw(n, P.DIM))
            return turned(norm * unit(near**0.5 * all_have + topic**0.5 * of_topic[kind] + (1 - near - topic) ** 0.5 * own)).bfloat16()

        # The query heads of a KV head look near by more or less.
        group = heads[0] // heads[1]
        q += [side(near * (0.4 + 1.2 * h / group)) for h in range(group)]
        k.append(side(near))
    v = torch.randn(1, heads[1], n, P.DIM, generator=generator, device=DEVICE, dtype=torch.bfloat16)
    return [torch.stack(q)[None], torch.stack(k)[None], v]


def copy_bandwidth(report, lengths):
    """What the memory gives: a copy, bytes read and written."""
    for n in lengths:
        source = torch.empty(1, P.HEADS, n, P.DIM, device=DEVICE, dtype=torch.bfloat16).normal_()
        target = torch.empty_like(source)
        report.add("copy", n, measure(lambda: target.copy_(source)), bytes=2 * source.numel() * 2)


def matrix_product(report, n=8192):
    """What the tensor cores give: torch's product of two square matrices."""
    a, b = (torch.randn(n, n, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(a)
    report.product = report.add("matmul", n, measure(lambda: torch.matmul(a, b, out=out)), flops=2 * n**3)


def spot_check(report, what, causal, q, k, v, counts, indices, o, lse=None):
    """Some rows against float64 -> what is wrong."""
    places = spot.picked(q.shape[1], counts.shape[2])
    wrong = spot.check(places, q, k, v, counts, indices, P.BLOCK, causal, o, lse).verdict()
    if wrong:
        report.fail(what, "; ".join(wrong))
    return wrong


def attend(report, form, n, densities, with_peers):
    """A form of attend on drawn masks, and FlexAttention on each."""
    q, k, v = random_tokens(n, form.dim)
    program = _program.program_for(P.configuration(form.entry))
    flex = report.attempt("torch.compile", peers.compiled_flex) if with_peers else None
    for rho in densities:
        rows = masks.block_rows(n, rho, form.selections, form.causal)
        counts, indices = (x[None].to(DEVICE) for x in masks.selection(rows))
        shared, call = P.HEADS // form.selections, program.bind(q, k, v, counts, indices)
        blocks, (o, lse) = int(counts.sum()) * shared, call()
        work = dict(rho=rho, blocks=blocks, flops=form.block_flops * blocks)
        wrong = spot_check(report, f"{form.name} {n} rho {rho}", form.causal, q, k, v, counts, indices, o, lse)
        peer, name = None, form.name.replace("attend", "torch flexattention", 1)
        if flex:
            # Compiled before ours is timed, so that both are timed behind the same rest.
            each_head = [rows[h // shared] for h in range(P.HEADS)]
            peer = report.attempt(f"{name} {n} rho {rho}", peers.flex, flex, q, k, v, each_head, form.causal, o)
        mine = report.add(form.name, n, measure(call), loaded_for=program.loaded(0).chip, wrong=wrong, **work)
        if form is P.ATTEND:
            public = lambda: unisparse.block_sparse_attention(q, k, v, counts, indices, return_lse=True)
            report.add(f"{form.name}, the public call", n, measure(public), **work)
        if peer:
            theirs = report.attempt(f"{name} {n} rho {rho}", lambda: report.add(name, n, measure(peer), **work))
            report.relate("ratio_to_flex", mine, theirs)


def dense(report, n, folder, with_peers):
    """Every block up to the diagonal, and torch's dense attention."""
    q, k, v = random_tokens(n)
    program = unisparse.Program(folder / f"dense-{n}.usp")
    call, rows = program.bind(q, k, v), n // P.BLOCK
    (o,) = call()
    everything = torch.arange(rows, device=DEVICE)
    counts, indices = (everything + 1).expand(1, P.HEADS, rows), everything.expand(1, P.HEADS, rows, rows)
    wrong = spot_check(report, f"dense {n}", True, q, k, v, counts, indices, o)
    flops = 2 * n * n * P.DIM * P.HEADS
    mine = report.add("dense", n, measure(call), flops=flops, loaded_for=program.loaded(0).chip, wrong=wrong)
    if with_peers:
        theirs = peers.dense(report, measure, q, k, v)
        for name in ("cudnn", "flash"):
            report.relate(f"ratio_to_{name}", mine, theirs[f"torch {name} dense"])


def stages(report, n, folder, with_peers):
    """pool, score and select on one another's results, then attend on these, then the whole. Where a stage fails, the next
    ones run on something of the same form."""
    q, k, v = text_tokens(n)
    last = {}

    def time_stage(stage, *tensors, **more):
        call = unisparse.Program(folder / f"{stage}-{n}.usp").bind(*tensors)
        last[stage] = call()
        report.add(stage, n, measure(call), **more)

    def time_program(name, entry, *tensors):
        call = _program.program_for(P.configuration(entry)).bind(*tensors)
        chosen = [x for x in (*tensors, *call()) if x.dtype == torch.int32 and x.dim() == 3]
        blocks, candidates = int(chosen[0].sum()), P.HEADS * (n // P.BLOCK) * (n // P.BLOCK + 1) // 2
        report.add(name, n, measure(call), density=round(blocks / candidates, 4), flops=P.ATTEND.block_flops * blocks)

    for stage, x in (("pool_q", q), ("pool_k", k)):
        last[stage] = [x[:, :, :: P.FACTOR].contiguous()]
        report.attempt(f"{stage} {n}", lambda: time_stage(stage, x, bytes=(x.numel() + x.numel() // P.FACTOR) * 2))
    for stage, x in (("pool_q t16 s4", q), ("pool_k t16 s4", k)):
        report.attempt(f"{stage} {n}", time_stage, stage, x)
    for name in P.ESTIMATES:
        report.attempt(f"{name} {n}", time_stage, name, q, k)
    composites, rows = n // P.FACTOR, n // P.BLOCK
    last["score"] = [torch.rand(1, P.HEADS, rows, rows, device=DEVICE)]
    # The causal half of the products.
    report.attempt(
        f"score {n}", lambda: time_stage("score", *last["pool_q"], *last["pool_k"], flops=P.HEADS * P.DIM * composites * composites)
    )
    (mass,) = last["score"]
    last["select"] = [x[None].to(DEVICE) for x in masks.selection(masks.block_rows(n, 0.25, P.HEADS))]
    report.attempt(f"select {n}", lambda: time_stage("select", mass, bytes=mass.numel() * 4))
    report.attempt(f"attend selected {n}", time_program, "attend selected", P.ATTEND.entry, q, k, v, *last["select"][:2])
    report.attempt(f"whole {n}", time_program, "whole", P.WHOLE, q, k, v)
    report.attempt(f"whole, the public call {n}", public_call, report, n, q, k, v)
    if with_peers:
        peers.dense(report, measure, q, k, v)
    shares(report, n)


def public_call(report, n, q, k, v):
    """What a user calls, its host time in it."""
    report.add("unisparse.attention", n, measure(lambda: unisparse.attention(q, k, v, return_selection=True)))


def million(report, folder):
    """Estimates of a long prompt on few heads, and attention to what they select."""
    q, k, v = text_tokens(P.MILLION, P.MILLION_HEADS)
    for name in P.ESTIMATES:

        def one(name=name):
            call = unisparse.Program(folder / f"{name}-{P.MILLION}.usp").bind(q, k)
            density = float(call()[2].mean())
            report.add(name, P.MILLION, measure(call), heads=P.MILLION_HEADS, density=round(density, 4))

        report.attempt(f"{name} {P.MILLION}", one)


def shares(report, n):
    """Pool's bandwidth as a share of a copy's."""
    by_name = {f["name"]: f for f in report.data["figures"] if f["n"] == n}
    for stage in ("pool_q", "pool_k"):
        report.relate("share_of_copy", by_name.get(stage), by_name.get("copy"), "gb_per_s")
