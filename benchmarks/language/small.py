# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A small language model (RoPE, GQA, QK norm, SwiGLU) from a folder with lm-*.npz, whose attention is the caller's."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width, heads, kv_heads, head_dim, inner):
        super().__init__()
        self.head_dim = head_dim
        for name, ins, outs in (
            ("wq", width, heads * head_dim), ("wk", width, kv_heads * head_dim), ("wv", width, kv_heads * head_dim),
            ("wo", heads * head_dim, width), ("w1", width, inner), ("w3", width, inner), ("w2", inner, width),
        ):  # fmt: skip
            setattr(self, name, nn.Linear(ins, outs, bias=False))
        self.qg, self.kg = (nn.Parameter(torch.ones(head_dim)) for _ in range(2))

    def qkv(self, x, cos, sin):
        h = F.rms_norm(x, (x.shape[-1],))
        q, k, v = (w(h).unflatten(-1, (-1, self.head_dim)) for w in (self.wq, self.wk, self.wv))
        turned = [rotated(F.rms_norm(y, (self.head_dim,)) * gain, cos, sin) for y, gain in ((q, self.qg), (k, self.kg))]
        return [y.transpose(1, 2).contiguous() for y in (*turned, v)]

    def after(self, x, o):
        x = x + self.wo(o.transpose(1, 2).flatten(2))
        h = F.rms_norm(x, (x.shape[-1],))
        return x + self.w2(F.silu(self.w1(h)) * self.w3(h))


def rotated(x, cos, sin):
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class SmallModel(nn.Module):
    """attend(q [B, Hq, N, D], k and v [B, Hkv, N, D], layer, scale) -> o [B, Hq, N, D]."""

    scale = None  # D ** -0.5

    def __init__(self, weights, rope_base=500000.0):
        super().__init__()
        (vocabulary, width), block = weights["emb.weight"].shape, "blocks.0."
        self.head_dim, self.rope_base = weights[block + "qg"].shape[0], rope_base
        self.heads, self.kv_heads = (weights[f"{block}{name}.weight"].shape[0] // self.head_dim for name in ("wq", "wk"))
        self.layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
        self.emb = nn.Embedding(vocabulary, width)
        shape = width, self.heads, self.kv_heads, self.head_dim, weights[block + "w1.weight"].shape[0]
        self.blocks = nn.ModuleList(Block(*shape) for _ in range(self.layers))
        self.og = nn.Parameter(torch.ones(width))
        self.load_state_dict(weights)

    def hidden(self, tokens, attend):
        x, half = self.emb(tokens), self.head_dim // 2
        frequencies = self.rope_base ** (-torch.arange(half, device=x.device).float() / half)
        angles = torch.outer(torch.arange(tokens.shape[1], device=x.device).float(), frequencies)[:, None]
        cos, sin = angles.cos(), angles.sin()
        for layer, block in enumerate(self.blocks):
            x = block.after(x, attend(*block.qkv(x, cos, sin), layer, None))
        return F.rms_norm(x, (x.shape[-1],)) * self.og

    def logits(self, hidden):
        return hidden @ self.emb.weight.t()


def weights_of(folder):
    """Weights by name; rows of int8 have their factors beside them as NAME|s."""
    result = {}
    for path in sorted(folder.glob("lm-*.npz")):
        arrays = np.load(path)
        for name in arrays.files:
            if not name.endswith("|s"):
                x = torch.from_numpy(arrays[name]).float()
                result[name] = x * torch.from_numpy(arrays[name + "|s"]).float()[:, None] if name + "|s" in arrays.files else x
    if not result:
        raise SystemExit(f"{folder}: expected a model's lm-*.npz, got none")
    return result


def load(folder, device):
    """bfloat16 on CUDA, float32 on the CPU."""
    return SmallModel(weights_of(folder)).to(device, torch.float32 if device == "cpu" else torch.bfloat16).eval()
