# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Inputs of a run, and memory that tells who wrote where. Needs torch."""

import math

import torch

GUARD = 4096  # Bytes before and after everything; a multiple of every alignment that a kernel may ask for.
INTEGERS = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16, torch.int32: torch.int32}


class Memory:
    """Allocates outputs and workspaces full of one byte between guards of the same byte, and sees whether these stand."""

    def __init__(self):
        self.poison, self.blocks = 0xFF, []

    def allocate(self, _, sizes, dtype, device):
        """As unisparse's own: takes its place."""
        size = math.prod(sizes) * torch.empty(0, dtype=dtype).element_size()
        whole = torch.full((GUARD + -(-size // 512) * 512 + GUARD,), self.poison, dtype=torch.uint8, device=device)
        self.blocks.append((whole, size, self.poison))
        return whole[GUARD : GUARD + size].view(dtype).view(sizes)

    def overrun(self):
        """How many blocks have a byte written before or behind them; forgets all."""
        hurt = [(whole[:GUARD] != poison).any() | (whole[GUARD + size :] != poison).any() for whole, size, poison in self.blocks]
        self.blocks = []
        return int(torch.stack(hurt).sum()) if hurt else 0


def tokens(generator, batch, heads, length, dim, topics, device):
    """[B, H, L, D]: noise around topics that change every 48 tokens or so, so that attention has something to choose."""
    segments = length // 48 + 2
    kind = torch.randint(len(topics), (batch, heads, segments), generator=generator, device=device)
    shift = int(torch.randint(48, (1,), generator=generator, device=device))
    kind = kind.repeat_interleave(48, 2)[:, :, shift : shift + length]
    noise = torch.randn(batch, heads, length, dim, generator=generator, device=device)
    return 2 * dim**0.25 * topics[kind] + noise


def guarded(x, dtype, layout, device):
    """x [B, H, L, D] in memory of a layout, NaN wherever x is not -> a view, and all of the memory."""
    batch, heads, length, dim = x.shape
    columns = dim + (16 if layout == "padded" else 0)
    order = (batch, length, heads, columns) if layout == "blhd" else (batch, heads, length, columns)
    n = math.prod(order)
    whole = torch.full((n + 2 * GUARD,), math.nan, dtype=dtype, device=device)
    view = whole[GUARD : GUARD + n].view(order)
    view = (view.transpose(1, 2) if layout == "blhd" else view)[..., :dim]
    view.copy_(x)
    return view, whole


def fused(parts, dtype, device):
    """q, k and v of one projection: [B, L, Hq + 2 Hkv, D]."""
    views, whole = guarded(torch.cat(parts, 1), dtype, "blhd", device)
    return views.split([x.shape[1] for x in parts], 1), whole


def make(case, sequences, seed, dtype, device):
    """q, k, v and the memory they lie in."""
    entry = case.entry
    generator = torch.Generator(device=device).manual_seed(seed)
    lq, lk = (sum(s[n] for s in sequences) for n in (0, 1))
    topics = torch.randn(6, entry["head_dim"], generator=generator, device=device)
    topics /= topics.norm(dim=1, keepdim=True)
    q = case.gain * tokens(generator, case.batch, entry["heads"], lq, entry["head_dim"], topics, device)
    k = tokens(generator, case.batch, entry["kv_heads"], lk, entry["head_dim"], topics, device)
    v = torch.randn(case.batch, entry["kv_heads"], lk, entry["value_dim"], generator=generator, device=device)
    if case.layout == "fused" and lq == lk and entry["head_dim"] == entry["value_dim"]:
        (q, k, v), whole = fused((q, k, v), dtype, device)
        return q, k, v, [whole]
    made = [guarded(x, dtype, "contiguous" if case.layout == "fused" else case.layout, device) for x in (q, k, v)]
    return (*(view for view, _ in made), [whole for _, whole in made])


def ends(sequences, device):
    """cu_seqlens of queries and keys."""
    return tuple(
        torch.tensor([sum(s[n] for s in sequences[:e]) for e in range(len(sequences) + 1)], dtype=torch.int32, device=device)
        for n in (0, 1)
    )


def bits(x):
    """A tensor as integers, so that NaN equals NaN and -0 is not 0."""
    return x.contiguous().view(INTEGERS[x.dtype])
