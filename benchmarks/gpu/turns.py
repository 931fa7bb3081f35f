# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Two prepared folders against one another on one device: attend, dense and the whole of an old and a new compiler (or of
one with other options), on the same data, call by call in turns, so that clocks and neighbours are the same for both.
Needs torch and a GPU."""

import random
import statistics

import torch

import masks
import programs as P
import timing
import unisparse

ROUNDS = 15


def in_turns(calls):
    """[{"rested": ms, "queued": ms}] of each call: medians over rounds in which every call has its turn, in an order drawn
    anew: behind one that heats the chip up more, a call has lower clocks."""
    drawn = random.Random(0)
    times = [dict(rested=[], queued=[]) for _ in calls]
    for call in calls:
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    once = statistics.median(timing.between_events(calls[0]) for _ in range(5))
    many = max(1, min(50, int(4 / once)))
    for _ in range(ROUNDS):
        for call, found in drawn.sample(list(zip(calls, times)), len(calls)):
            found["rested"].append(statistics.median(timing.between_events(call) for _ in range(3)))
            found["queued"].append(timing.between_events(call, many, 2000 * (100 * many + 200)))
    return [{mode: statistics.median(all_of) for mode, all_of in found.items()} for found in times]


def pair(report, name, n, old, new, tensors, flops, **more):
    """Times both and compares what they give. flops: a number, or a function of the results."""
    calls = [unisparse.Program(path).bind(*tensors) for path in (old, new)]
    results = [[x.clone() for x in call()] for call in calls]
    flops = flops(results[0]) if callable(flops) else flops
    apart = max((a.float() - b.float()).abs().nan_to_num(0).max().item() for a, b in zip(*results))
    before, after = (report.add(f"{name} {which}", n, ms, flops=flops, **more) for which, ms in zip(("old", "new"), in_turns(calls)))
    after["apart"] = apart
    report.relate("ratio_to_old", after, before)


def run(report, folders, lengths, densities, only):
    """folders: those of the old and the new compiler, for one chip."""
    for form in P.ATTENDS:
        for n in lengths:
            if only not in f"{form.name} {n}" or (form.lengths and n not in form.lengths):
                continue
            tensors, paths = timing.random_tokens(n, form.dim), [x / P.configuration(form.entry).file_name() for x in folders]
            for rho in densities:
                counts, indices = (x[None].to(timing.DEVICE) for x in masks.selection(masks.block_rows(n, rho, form.selections, form.causal)))
                flops = form.block_flops * int(counts.sum()) * (P.HEADS // form.selections)
                report.attempt(f"{form.name} {n} rho {rho}", lambda: pair(report, form.name, n, *paths, (*tensors, counts, indices), flops, rho=rho))
    for n in lengths:
        if only in f"dense {n}":
            tensors = timing.random_tokens(n)
            report.attempt(f"dense {n}", lambda: pair(report, "dense", n, *(x / f"dense-{n}.usp" for x in folders), tensors, 2 * n * n * P.DIM * P.HEADS))
        if only in f"whole {n}":
            tensors = timing.text_tokens(n)
            # Counts are the selection's first result, whatever comes before it.
            work = lambda results: P.ATTEND.block_flops * int(next(x for x in results if x.dtype == torch.int32 and x.dim() == 3).sum())
            paths = [x / P.configuration(P.WHOLE).file_name() for x in folders]
            report.attempt(f"whole {n}", lambda: pair(report, "whole", n, *paths, tensors, work))
