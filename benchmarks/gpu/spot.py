# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A1 to A3 on some rows of blocks of one sequence, at sizes at which offsets outgrow 32 bits and nothing else is compared.
Needs torch."""

import types

import torch

import compare


def picked(heads, rows, more=6, seed=1):
    """[(head, row)]: the first, the very last, and some at random."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [[int(torch.randint(n, (1,), generator=generator)) for n in (heads, rows)] for _ in range(more)]
    return [(0, 0), (heads - 1, rows - 1), *map(tuple, drawn)]


def check(places, q, k, v, counts, indices, block, causal, o, lse=None):
    """q, k, v: [1, H, L, D], bf16, L a multiple of the block -> compare.Outputs of the rows of blocks in `places`."""
    outputs, heads = compare.Outputs("bf16"), q.shape[1]
    for h, r in places:
        kv, chosen = h * k.shape[1] // heads, h * counts.shape[1] // heads
        blocks = indices[0, chosen, r, : int(counts[0, chosen, r])].long()
        keys = (blocks[:, None] * block + torch.arange(block, device=q.device)).flatten()
        queries = torch.arange(r * block, (r + 1) * block, device=q.device)
        keep = keys[None] <= queries[:, None] if causal else torch.ones(block, len(keys), dtype=torch.bool, device=q.device)
        one = [x[0, head][None, at].double() for x, head, at in ((q, h, queries), (k, kv, keys), (v, kv, keys))]
        where = types.SimpleNamespace(name=f"head {h}, row {r}", lq=block)
        lse_rows = None if lse is None else lse[0, h][None, queries]
        outputs.add(where, *one, keep[None], q.shape[3] ** -0.5, o[0, h][None, queries], lse_rows)
    return outputs
