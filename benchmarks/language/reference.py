# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Our own selection in torch (P1, P5, P6, S1 to S5, L1 to L3, L8 of docs/SPEC.md; causal, as many queries as keys, whole
blocks), as counts and indices for unisparse.block_sparse_attention: what a policy would find where no kernel has it yet, and
a second opinion where one has."""

import torch
from rivals import candidates, covering


def composites(q, factor, block, representatives):
    """-> [B, H, R, composites of a block, D] in float32, and the last row of each [B, H, R, composites]."""
    rows = q.unflatten(2, (-1, block))
    means = q.unflatten(2, (-1, factor)).float().mean(3).to(q.dtype).float().unflatten(2, (rows.shape[2], -1))
    ends = torch.arange(factor - 1, block, factor, device=q.device).expand(*means.shape[:-1])
    if representatives:
        there = rows.float()
        far = (there - there.mean(3, keepdim=True)).square().sum(-1)
        chosen = far.argsort(dim=-1, descending=True, stable=True)[..., :representatives]
        means = torch.cat([means, there.gather(3, chosen[..., None].expand(*chosen.shape, q.shape[-1]))], 3)
        ends = torch.cat([ends, chosen], 3)
    return means, ends + block * torch.arange(rows.shape[2], device=q.device)[:, None]


def with_spread(q, k, factor, spread, scale):
    """The columns of S1: q's composites and k's, so that their product times the scale is the logit."""
    groups = k.unflatten(2, (-1, factor)).float()
    means = groups.mean(3).to(k.dtype).float()
    if not spread:
        return q, means
    variance = groups.var(3, correction=0).unflatten(-1, (-1, spread)).mean(-1).to(k.dtype).float()
    squares = q.square().unflatten(-1, (-1, spread)).sum(-1)
    return torch.cat([q, 0.5 * scale * squares], -1), torch.cat([means, variance], -1)


def mask(q, k, scale, p=0.9, relax=0.0, pooling=(8, 8), representatives=0, spread=0, sink=1, local=1, last=0, block=128):
    """[B, H, R, J]: the selected blocks."""
    if q.shape[2] % block:
        raise ValueError(f"reference: expected whole blocks of {block} tokens, got {q.shape[2]}")
    made, ends = composites(q, pooling[0], block, representatives)
    left, right = with_spread(made, k, pooling[1], spread, scale)
    right = right.repeat_interleave(q.shape[1] // k.shape[1], 1)
    rows, each = made.shape[2:4]
    logits = (left.flatten(2, 3) @ right.transpose(2, 3)).mul_(scale).unflatten(2, (rows, each))
    logits.masked_fill_(torch.arange(right.shape[2], device=q.device) * pooling[1] > ends[..., None], -torch.inf)
    mass = logits.softmax(-1).unflatten(-1, (rows, -1)).sum(-1).amax(3)
    seen, blocks = candidates(rows, q.device), torch.arange(rows, device=q.device)
    forced = seen & ((blocks[:, None] - blocks < local) | (blocks < sink))
    keys = block * (blocks + 1.0)  # Of a row's candidates (L11).
    share = 1 - (1 - p) * (1 + relax * ((keys - 4096) / 12288).clamp(0, 1)[:, None])
    chosen = (covering(mass, forced, share.clamp(min=0)) & seen) if p < 1 else seen.expand_as(mass).clone()
    if last:
        chosen[:, :, -last:] = seen[-last:]
    return chosen
