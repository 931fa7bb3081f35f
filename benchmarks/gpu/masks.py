# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The block masks that speeds are taken on. Needs torch."""

import math

import numpy
import torch


def block_rows(n, rho, heads, block=128, seed=0):
    """[head][query block] -> ascending key blocks: 0 and the diagonal, the rest random, ceil(rho * (i + 1)) in all."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for _ in range(heads):
        rows = []
        for i in range(n // block):
            count = max(min(i + 1, 2), math.ceil(rho * (i + 1)))
            extra = torch.randperm(max(i - 1, 0), generator=generator)[: max(count - 2, 0)] + 1
            rows.append(sorted({0, i, *extra.tolist()}))
        result.append(rows)
    return result


def selection(rows):
    """-> counts [H, R] and indices [H, R, J], int32 on the CPU, 0 behind the counts."""
    heads, blocks = len(rows), len(rows[0])
    counts, indices = numpy.zeros((heads, blocks), numpy.int32), numpy.zeros((heads, blocks, blocks), numpy.int32)
    for h, r in numpy.ndindex(heads, blocks):
        counts[h, r] = len(rows[h][r])
        indices[h, r, : counts[h, r]] = rows[h][r]
    return torch.from_numpy(counts), torch.from_numpy(indices)


def flex_mask(rows, n, block=128, device="cuda"):
    """The same mask for FlexAttention: the diagonal block partial, the others full."""
    from torch.nn.attention.flex_attention import BlockMask

    heads, blocks = len(rows), n // block
    full_counts, full = (x[None].to(device) for x in selection([[row[:-1] for row in head] for head in rows]))
    partial = torch.zeros(1, heads, blocks, blocks, dtype=torch.int32, device=device)
    partial[..., 0] = torch.arange(blocks, dtype=torch.int32, device=device)
    ones = torch.ones(1, heads, blocks, dtype=torch.int32, device=device)
    return BlockMask.from_kv_blocks(
        ones, partial, full_counts, full, BLOCK_SIZE=block, mask_mod=lambda b, h, q, k: q >= k, seq_lengths=(n, n)
    )
