# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Policies: which attention a model gets, in words of one line.

    dense                           torch's attention
    t=16,s=1,p=.7,last=1            unisparse.attention with these options
    xattention:stride=8,tau=.9      XAttention's selection, given to unisparse.block_sparse_attention
    flexprefill:gamma=.95           FlexPrefill's
    reference:t=16,s=1,p=.7,last=1  ours as language/reference.py has it in torch

Ours takes every option of unisparse.attention that decides on blocks by its name, and in short: t is representatives, s
spread, c pooling (4 or 4x16), k top_k, a threshold. Needs no torch where nothing is attended to.
"""

import dataclasses
import functools
from typing import Any, Dict

SHORT = dict(t="representatives", s="spread", c="pooling", k="top_k", a="threshold")
PLAIN = dict(representatives=0, spread=0, last=0)  # A name says all of a policy, whatever a call without options gets.
TEXTS = ("agg", "share")
REFERENCE = ("p", "relax", "pooling", "representatives", "spread", "sink", "local", "last")
RIVALS = dict(xattention=dict(stride=8, tau=0.9), flexprefill=dict(gamma=0.95, tau=0.1, min_budget=1024))
DEFAULT = (
    "dense p=.9 p=.95 c=4,p=.9 t=16,s=1,p=.6,last=1 t=16,s=1,p=.7,last=1 t=16,s=1,p=.75,last=1 t=16,s=1,p=.8,last=1 "
    "t=16,s=4,p=.7,last=1 t=16,s=4,p=.75,last=1 t=8,s=1,p=.75,last=1 t=8,s=4,p=.8,last=1 t=16,s=1,p=.7 "
    "xattention:tau=.9 xattention:tau=.95 flexprefill:gamma=.9 flexprefill:gamma=.95"
)
GEMMA = (
    "dense p=.9 p=.95 t=16,p=.8,last=1 t=16,s=1,p=.7,last=1 t=16,s=1,p=.75,last=1 t=16,s=1,p=.8,last=1 t=16,s=1,p=.9,last=1 "
    "t=16,s=4,p=.75,last=1 t=8,s=4,p=.8,last=1 reference:t=16,s=1,p=.7,last=1 xattention:tau=.9 xattention:tau=.95 "
    "flexprefill:gamma=.9 flexprefill:gamma=.95"
)


def value_of(name, text):
    if name in TEXTS:
        return text
    if name == "pooling":
        sizes = [int(x) for x in text.split("x")]
        return tuple(sizes * 2 if len(sizes) == 1 else sizes)
    try:
        return int(text)
    except ValueError:
        return float(text)


@dataclasses.dataclass(frozen=True)
class Policy:
    name: str
    kind: str  # "dense", "unisparse", "reference" or a rival.
    options: Dict[str, Any]

    def entry(self, model):
        """What unisparse.prepare compiles for a model's heads, or None."""
        if self.kind == "dense":
            return None
        if self.kind == "unisparse":
            return dict(model, return_selection=True, **self.options)
        return dict(model, selection_heads=model["heads"])

    def select(self, q, k, scale):
        """Counts and indices, where torch selects."""
        import reference
        import rivals

        rule = reference.mask if self.kind == "reference" else getattr(rivals, self.kind)
        return rivals.selection(rule(q, k, scale or q.shape[-1] ** -0.5, **self.options))

    def attend(self, q, k, v, scale):
        """-> o, and counts where blocks were selected."""
        import torch
        import unisparse

        if self.kind == "dense":
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True), None
        if self.kind == "unisparse":
            return unisparse.attention(q, k, v, scale=scale, return_selection=True, **self.options)[:2]
        counts, indices = self.select(q, k, scale)
        return unisparse.block_sparse_attention(q, k, v, counts, indices, scale=scale), counts


def parse(text):
    """One policy; SystemExit in one line for what is none."""
    kind, _, rest = text.partition(":") if ":" in text or "=" not in text else ("unisparse", "", text)
    if kind not in ("dense", "unisparse", "reference", *RIVALS):
        raise SystemExit(f"--policies: expected dense, options of unisparse.attention, reference, {' or '.join(RIVALS)}, got {text}")
    known = ours() if kind == "unisparse" else REFERENCE if kind == "reference" else RIVALS.get(kind, {})
    options = dict(RIVALS.get(kind, PLAIN if kind == "unisparse" else {}))
    for item in filter(None, rest.split(",")):
        name, _, value = item.partition("=")
        name = SHORT.get(name, name) if kind not in RIVALS else name
        if name not in known:
            raise SystemExit(f"--policies: expected one of {', '.join(known) or 'no option'} in {text}, got {name}")
        try:
            options[name] = value_of(name, value)
        except ValueError:
            raise SystemExit(f"--policies: expected a number for {name} in {text}, got {value or 'none'}") from None
    return Policy(text, kind, options)


@functools.lru_cache(None)
def ours():
    """The options of unisparse.attention that a policy may name."""
    import unisparse

    others = ("block", "causal", "scale", "layout", "out", "cu_seqlens", "return_lse", "return_selection")
    return [name for name in unisparse.attention.__kwdefaults__ if name not in others]


def parse_all(texts):
    """Each policy once; dense first, as the others are held against it."""
    names = dict.fromkeys(["dense", *texts])
    return [parse(name) for name in names]
