# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The selection rules of XAttention (arXiv 2503.16428) and FlexPrefill (arXiv 2502.20766), in torch and after the papers and
their published code, as counts and indices for unisparse.block_sparse_attention. Causal, as many queries as keys."""

import torch
from torch.nn import functional as F


def candidates(rows, device):
    """[R, R]: the key blocks that a row of query blocks may see (L1)."""
    return torch.ones(rows, rows, dtype=torch.bool, device=device).tril()


def selection(mask):
    """[..., R, J] -> counts and indices (L6)."""
    blocks = mask.shape[-1]
    counts, every = mask.sum(-1), torch.arange(blocks, device=mask.device)
    indices = torch.where(mask, every, blocks).sort(-1).values
    return counts.int(), torch.where(every < counts[..., None], indices, 0).int()


def padded(x, multiple):
    """Zeros behind the rows of x [..., N, D]."""
    return F.pad(x, (0, 0, 0, -x.shape[-2] % multiple))


def covering(mass, forced, share):
    """In each row `forced`, and of the others the heaviest until the mass taken is `share` of all."""
    others = mass.masked_fill(forced, -1).sort(dim=-1, descending=True, stable=True)
    weights = others.values.clamp(min=0)
    before = (mass * forced).sum(-1, keepdim=True) + weights.cumsum(-1) - weights
    taken = (before < share * mass.sum(-1, keepdim=True)) & (others.values >= 0)
    return torch.zeros_like(forced.expand_as(mass)).scatter(-1, others.indices, taken) | forced


def xattention(q, k, scale, block=128, stride=8, tau=0.9):
    """Sums over antidiagonals of stride x stride tokens; their softmax's mass in each block; sink and diagonal forced."""
    group = q.shape[1] // k.shape[1]
    q, k = padded(q, block), padded(k, block).repeat_interleave(group, 1)
    # Token stride - 1 - i of a query group meets token i of a key group.
    folded_q = q.unflatten(2, (-1, stride)).flip(3).flatten(3)
    folded_k = k.unflatten(2, (-1, stride)).flatten(3)
    logits = (folded_q @ folded_k.transpose(2, 3)).float() * (scale / stride)
    groups, rows = logits.shape[-1], q.shape[2] // block
    logits.masked_fill_(~candidates(groups, q.device), -torch.inf)
    mass = logits.softmax(-1).unflatten(2, (rows, -1)).unflatten(4, (rows, -1)).sum((3, 5))
    seen, forced = candidates(rows, q.device), torch.eye(rows, dtype=torch.bool, device=q.device)
    forced[:, 0] = True
    return covering(mass, forced, tau) & seen


def diagonal_sums(x):
    """[..., I, N] -> [..., N]: element j is the sum of the diagonal that ends in column j of the last row."""
    rows, columns = x.shape[-2:]
    flat = F.pad(F.pad(x, (rows - 1, 0)).flatten(-2), (0, rows))
    # Read in rows longer by one, diagonals are columns.
    return flat.unflatten(-1, (rows, columns + rows))[..., :columns].sum(-2)


def block_sums(x, block):
    return F.pad(x, (0, -x.shape[-1] % block)).unflatten(-1, (-1, block)).sum(-1)


def tokens_covering(x, share):
    """How many of the largest reach the share."""
    return (x.sort(-1, descending=True).values.cumsum(-1) <= share).sum(-1) + 1


def divergence(p, q):
    """The root of the Jensen-Shannon divergence."""
    middle = (p + q) / 2
    half = lambda x: (torch.xlogy(x, x) - torch.xlogy(x, middle)).sum(-1)
    return (0.5 * half(p) + 0.5 * half(q)).clamp(min=0).sqrt()


def largest(x, counts):
    """x [..., N], counts [...] -> the mask of so many largest."""
    order = x.argsort(dim=-1, descending=True, stable=True)
    chosen = torch.arange(x.shape[-1], device=x.device) < counts[..., None]
    return torch.zeros_like(x, dtype=torch.bool).scatter(-1, order, chosen.expand_as(order))


def flexprefill(q, k, scale, block=128, gamma=0.95, tau=0.1, min_budget=1024):
    """Columns and diagonals that the last query block needs; heads whose pooled estimate agrees with what that block sees
    (divergence below tau) take the heaviest blocks of the whole pooled map besides."""
    heads, length = q.shape[1], q.shape[2]
    rows, seen = -(-length // block), candidates(-(-length // block), q.device)
    least = -(-min_budget // block)
    if length <= max(2 * block, least * block):
        return seen.expand(*q.shape[:2], -1, -1)
    k = k.repeat_interleave(heads // k.shape[1], 1)
    last = q[:, :, -block:] * scale
    logits = last @ k.transpose(2, 3)
    future = torch.ones(block, block, dtype=torch.bool, device=q.device).triu(1)
    logits[..., -block:].masked_fill_(future, -torch.inf)
    weights = logits.softmax(-1, dtype=torch.float32)
    column, diagonal = weights.mean(2), diagonal_sums(weights) / block
    budgets = [(tokens_covering(x, gamma) // 128 + 1).clamp(least, max(least, rows)) for x in (column, diagonal)]
    column, diagonal = block_sums(column, block), block_sums(diagonal, block)

    # Means over what is there.
    size = torch.full((rows, 1), block, device=q.device)
    size[-1] = length - block * (rows - 1)
    mean_q, mean_k = ((padded(x, block).unflatten(2, (rows, block)).float().sum(3) / size).to(q.dtype) for x in (q, k))
    estimate = (last.mean(2, keepdim=True) @ mean_k.transpose(2, 3))[:, :, 0].softmax(-1, dtype=torch.float32)
    aware = divergence(estimate, column) < tau
    budgets = [x.masked_fill(aware, least) for x in budgets]
    column[..., 0], diagonal[..., -1] = torch.inf, torch.inf
    columns, diagonals = (largest(x, budget) for x, budget in zip((column, diagonal), budgets))
    back = torch.arange(rows, device=q.device)[:, None] - torch.arange(rows, device=q.device)  # 0: the diagonal.
    mask = columns[:, :, None] | diagonals[..., (rows - 1 - back).clamp(max=rows - 1)]

    pooled = (mean_q * scale @ mean_k.transpose(2, 3)).masked_fill(~seen, -torch.inf).softmax(-1, dtype=torch.float32)
    order = pooled.flatten(2).sort(dim=-1, descending=True, stable=True)
    heavy = torch.zeros_like(order.indices, dtype=torch.bool).scatter(-1, order.indices, order.values.cumsum(-1) <= gamma * rows)
    return (mask | (heavy.unflatten(2, (rows, rows)) & aware[..., None, None])) & seen
