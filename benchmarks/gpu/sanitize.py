# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A few runs for compute-sanitizer: inputs made by NumPy and copied, results copied back and compared there, so that the
kernels that run are UniSparse's. No memory is set beforehand: initcheck then sees what is read unwritten."""

import dataclasses
import time

import checks as execution  # of test/Execution/lib
import numpy
import torch
from case import Case, Options, ends, qkv, random_selection
from safetensors import bf16_bits, bf16_values

import programs
import unisparse
import unisparse._cuda
import unisparse._torch


def to_device(x, dtype):
    if dtype == "bf16":
        return torch.from_numpy(bf16_bits(x).view(numpy.int16)).cuda().view(torch.bfloat16)
    return torch.from_numpy(numpy.ascontiguousarray(x, {"f16": numpy.float16, "f32": numpy.float32}[dtype])).cuda()


def to_host(x):
    x = x.contiguous() if not x.is_contiguous() else x
    if x.dtype == torch.bfloat16:
        return bf16_values(x.view(torch.int16).cpu().numpy().view(numpy.uint16))
    return x.cpu().numpy()


def make(case, lengths):
    """A case of the matrix -> one of the execution tests, whose comparisons need NumPy alone."""
    e = case.entry
    pooling = (*case.option("pooling", (8, 8)), 1)[:3]
    names = [f.name for f in dataclasses.fields(Options) if f.name not in ("block", "pool", "head_pool", "dense")]
    options = Options(block=case.block, pool=pooling[:2], head_pool=pooling[2], **{n: e[n] for n in names if n in e})
    lq, lk = (sum(s[n] for s in lengths) for n in (0, 1))
    cu = tuple(ends([s[n] for s in lengths]) for n in (0, 1)) if case.packed else None
    result = Case(
        case.name, *qkv(7, e["heads"], e["kv_heads"], lq, lk, e["head_dim"], e["value_dim"], batch=1), options, e["dtype"].upper(), cu
    )
    if case.option("sinks", False):
        result.sinks = numpy.linspace(-2, 7, e["heads"], dtype=numpy.float32)
    if case.option("score_mod", None) == "alibi":
        result.modify = lambda batch, head, s, i, t: execution.O.alibi(e["heads"], head)(s, i, t)
        if case.option("estimate_with_region", False):
            result.extra = ("--estimate-with-region",)
    if case.given:
        amount = dict(density=1.0, empty_rows=0.0) if case.dense else {}
        result.selection = random_selection(numpy.random.default_rng(3), result, **amount)
    return result


def call(case, made):
    """-> NumPy arrays: o, lse, counts and indices with the rows that unisparse-run's files have."""
    e = case.entry
    tensors = [to_device(x, e["dtype"]) for x in (made.q, made.k, made.v)]
    options = {n: x for n, x in e.items() if n not in ("heads", "kv_heads", "head_dim", "value_dim", "dtype", "packed", "selection_heads")}
    if made.sinks is not None:
        options["sinks"] = torch.from_numpy(made.sinks).cuda()
    if made.cu is not None:
        options["cu_seqlens"] = tuple(torch.from_numpy(x).cuda() for x in made.cu)
    if case.dense:
        return [to_host(x) for x in unisparse._cuda.run(programs.configuration(e), dict(zip("qkv", tensors))).values()] + list(
            made.selection
        )
    if case.given:
        selection = [torch.from_numpy(x).cuda() for x in made.selection]
        return [to_host(x) for x in unisparse.block_sparse_attention(*tensors, *selection, **options)] + list(made.selection)
    o, lse, counts, indices = map(to_host, unisparse.attention(*tensors, **options))
    if made.cu is not None:
        rows = [
            int(b) // case.block[0] + s + r
            for s, (b, end) in enumerate(zip(made.cu[0], made.cu[0][1:]))
            for r in range(-(-int(end - b) // case.block[0]))
        ]
        counts, indices = counts[:, :, rows], indices[:, :, rows]
    repeat = e["heads"] // counts.shape[1]
    return o, lse, numpy.repeat(counts, repeat, 1), numpy.repeat(indices, repeat, 1)


def clear_outputs():
    """initcheck does not see what TMA writes: attention's o would count as never written. That it is written,
    the matrix shows, whose outputs hold NaN before."""

    def cleared(torch, sizes, dtype, device):
        is_output = dtype != torch.uint8
        return torch.zeros(sizes, dtype=dtype, device=device) if is_output else torch.empty(sizes, dtype=dtype, device=device)

    unisparse._torch.allocate = cleared


def run(some, copy_engine=False):
    """Exit status: 1 where a number is wrong. What the sanitizer finds is its own to say."""
    failed = done = 0
    if copy_engine:
        clear_outputs()
    for case in some:
        for lengths in case.shapes:
            begin = time.monotonic()
            try:
                made = make(case, lengths)
                o, lse, counts, indices = call(case, made)
                columns = made.selection_shape()[1]
                wrong, masks = execution.masks(made, counts, indices[..., :columns])
                wrong = wrong or (execution.selection(made, masks)[0] if not case.given else []) + execution.outputs(made, masks, o, lse)[0]
            except unisparse.Error as error:
                if not case.required and "artifact: expected" in str(error):
                    print(f"left out  {case.name}: no such program")
                    continue
                wrong = [str(error)]
            done, failed = done + 1, failed + bool(wrong)
            print(
                f"{'FAIL' if wrong else 'ok  '}  {case.name} {lengths}  {time.monotonic() - begin:.1f} s",
                *wrong[:3],
                sep="\n      " if wrong else "",
                flush=True,
            )
    print(f"{done} runs, {failed} failed")
    return 1 if failed or not done else 0
