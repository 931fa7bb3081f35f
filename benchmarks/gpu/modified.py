# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What modified logits cost: attend with each of programs.MODIFIED on one mask, and FlexAttention with the same function
of the logits, call by call in turns. Needs torch and a GPU."""

import torch

import masks
import peers
import programs as P
import timing
import turns
from unisparse import _program


def flex_functions():
    """{name: score_mod of FlexAttention}, for what it can have."""
    slopes = torch.tensor(P.alibi_slopes(P.HEADS), device=timing.DEVICE)

    def capped(score, b, h, q, k):
        return P.SOFTCAP * torch.tanh(score / P.SOFTCAP)

    def alibi(score, b, h, q, k):
        return score + slopes[h] * (k - q)

    return {"none": None, "softcap": capped, "alibi": alibi, **{name: None for name in P.MODIFIED if name.startswith("window")}}


def flex_call(compiled, name, q, k, v, rows, o):
    """A call of FlexAttention, compared with our o."""
    left = P.MODIFIED[name].get("window", (None,))[0]
    mask = masks.flex_mask(rows, q.shape[2]) if left is None else masks.flex_window(rows, q.shape[2], left)
    score_mod = flex_functions()[name]

    def call():
        return compiled(q, k, v, score_mod=score_mod, block_mask=mask, enable_gqa=True)

    peers.expect_close(call(), o)
    return call


def run(report, n, rho, with_peers, only):
    q, k, v = timing.random_tokens(n)
    rows = masks.block_rows(n, rho, P.HEADS)
    counts, indices = (x[None].to(timing.DEVICE) for x in masks.selection(rows))
    sinks = torch.linspace(-2, 7, P.HEADS, device=timing.DEVICE)
    calls, flex = {}, {}
    for name in P.MODIFIED:
        if name == "none" or only in name:
            program = _program.program_for(P.configuration(P.modified(name)))
            calls[name] = program.bind(q, k, v, counts, indices, *([sinks] if "sinks" in P.MODIFIED[name] else []))
    compiled = peers.compiled_flex() if with_peers else None
    for name in calls if with_peers else ():
        if name in flex_functions():
            o = calls[name]()[0]
            found = report.attempt(f"flex {name} {n}", flex_call, compiled, name, q, k, v, rows, o)
            if found:
                flex[name] = found
    times = turns.in_turns([*calls.values(), *flex.values()])
    blocks = int(counts.sum())
    work = dict(rho=rho, flops=P.ATTEND.block_flops * blocks)
    mine = {name: report.add(f"attend {name}", n, ms, **work) for name, ms in zip(calls, times)}
    theirs = {name: report.add(f"torch flexattention {name}", n, ms, **work) for name, ms in zip(flex, times[len(calls) :])}
    for name, figure in mine.items():
        report.relate("times_unmodified", figure, mine["none"], "ms")
        report.relate("ratio_to_flex", figure, theirs.get(name))
