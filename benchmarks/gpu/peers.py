# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""torch's own attention on the data and masks that UniSparse is timed on. Needs torch and a GPU."""

import torch

import masks
import programs as P

# Each side rounds its exponentials and its result to bf16: about .4% in the norm. One block more or less in a row is far more.
LARGEST_DIFFERENCE = 0.02


def compiled_flex():
    """FlexAttention for the calls of one form and length: Dynamo compiles a function for few shapes only, hence anew."""
    from torch import _dynamo
    from torch.nn.attention.flex_attention import flex_attention

    _dynamo.reset()
    return torch.compile(flex_attention, dynamic=False)


def flex(compiled, q, k, v, rows, causal, o):
    """FlexAttention on a mask of all query heads, called once and compared with our o -> a call of it."""
    mask = masks.flex_mask(rows, q.shape[2], causal, P.BLOCK)

    def call():
        return compiled(q, k, v, block_mask=mask, enable_gqa=True)

    expect_close(call(), o)
    return call


def expect_close(theirs, o):
    """FlexAttention's o against ours."""
    # A head at a time: 128K tokens of all of them in float32 are large.
    norm = torch.linalg.vector_norm
    off = torch.stack([norm(x.float() - y.float()) / norm(y.float()) for x, y in zip(theirs[0], o[0])]).max().item()
    if not off <= LARGEST_DIFFERENCE:
        raise ValueError(f"FlexAttention's o: expected ours, off by at most {LARGEST_DIFFERENCE} of its norm, got {off:.3g}")


def dense(report, measure, q, k, v):
    """torch's dense attention, causal -> {name: figure}; flops of the causal half."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    n, found = q.shape[2], {}
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    for name, backend in (("torch cudnn dense", SDPBackend.CUDNN_ATTENTION), ("torch flash dense", SDPBackend.FLASH_ATTENTION)):

        def one(name=name, backend=backend):
            with sdpa_kernel(backend):
                times = measure(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True))
            return report.add(name, n, times, flops=2 * n * n * P.DIM * P.HEADS)

        found[name] = report.attempt(f"{name} {n}", one)
    return found
