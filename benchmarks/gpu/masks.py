# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The block masks that speeds are taken on. Needs torch."""

import math

import numpy
import torch


def block_rows(n, rho, heads, causal=True, block=128, seed=0):
    """[head][query block] -> ascending key blocks. Causal: 0 and the diagonal, the rest random, ceil(rho * (i + 1)) in all;
    else ceil(rho * n / block) of all."""
    generator = torch.Generator().manual_seed(seed)
    result, blocks = [], n // block
    for _ in range(heads):
        rows = []
        for i in range(blocks):
            if causal:
                count = max(min(i + 1, 2), math.ceil(rho * (i + 1)))
                extra = torch.randperm(max(i - 1, 0), generator=generator)[: max(count - 2, 0)] + 1
                rows.append(sorted({0, i, *extra.tolist()}))
            else:
                rows.append(sorted(torch.randperm(blocks, generator=generator)[: math.ceil(rho * blocks)].tolist()))
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


def not_later(b, h, q, k):
    return q >= k


def flex_window(rows, n, left, block=128, device="cuda"):
    """A causal mask under a window of so many tokens to the left: of each row the blocks that all of its queries see, as full
    ones, and those that some see."""
    from torch.nn.attention.flex_attention import BlockMask

    def within(b, h, q, k):
        return (q >= k) & (q - k <= left)

    def split(i, row):
        last, first = i * block + block - 1, i * block
        seen = [j for j in row if j * block + block - 1 >= first - left]
        full = [j for j in seen if j < i and j * block >= last - left]
        return full, [j for j in seen if j not in full]

    full, partial = ([[split(i, row)[which] for i, row in enumerate(head)] for head in rows] for which in (0, 1))
    (full_counts, full), (counts, indices) = ([x[None].to(device) for x in selection(some)] for some in (full, partial))
    return BlockMask.from_kv_blocks(counts, indices, full_counts, full, BLOCK_SIZE=block, mask_mod=within, seq_lengths=(n, n))


def flex_mask(rows, n, causal=True, block=128, device="cuda"):
    """The same mask for FlexAttention. Causal: the diagonal block, a row's last, partial, the others full; else all full."""
    from torch.nn.attention.flex_attention import BlockMask

    heads, blocks = len(rows), n // block
    full_counts, full = (x[None].to(device) for x in selection([[row[:-1] if causal else row for row in head] for head in rows]))
    partial_counts = torch.full((1, heads, blocks), int(causal), dtype=torch.int32, device=device)
    partial = torch.zeros(1, heads, blocks, blocks, dtype=torch.int32, device=device)
    if causal:
        partial[..., 0] = torch.arange(blocks, dtype=torch.int32, device=device)
    return BlockMask.from_kv_blocks(
        partial_counts, partial, full_counts, full, BLOCK_SIZE=block, mask_mod=not_later if causal else None, seq_lengths=(n, n)
    )
