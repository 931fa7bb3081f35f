# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Element types: f32, f16, bf16, their extremes, and files laid out in other ways."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import numpy as np
from harness import Case, Options, qkv
from safetensors import Tensor

DTYPES = ("F32", "F16", "BF16")


class ForeignFile(Case):
    """A file that other tensors share, in front of and behind ours."""

    def tensors(self):
        odd = Tensor("U8", np.arange(3))
        return {"before": odd, **super().tensors(), "behind": Tensor("I64", np.arange(2))}


def cases(suite):
    small = Options(block=(64, 64), p=0.7)
    for seed, dtype in enumerate(DTYPES):
        suite.check(Case(f"{dtype} default", *qkv(seed, 4, 2, 500, 500, 64), dtype=dtype, opt_level=3))
        suite.check(Case(f"{dtype} B=2", *qkv(10 + seed, 4, 2, 257, 257, 128, batch=2), small, dtype=dtype, opt_level=3))
        suite.check(Case(f"{dtype} D=80 Dv=32", *qkv(20 + seed, 4, 1, 200, 333, 80, 32), small, dtype=dtype, opt_level=3))
        wide = Options(block=(64, 64), causal=False, p=0.5)
        suite.check(Case(f"{dtype} causal=False", *qkv(30 + seed, 2, 2, 300, 200, 64), wide, dtype=dtype))
        pooled = Options(block=(64, 64), pool=(16, 4), head_pool=2, agg="sum", p=0.7)
        suite.check(Case(f"{dtype} pooled heads", *qkv(40 + seed, 4, 2, 300, 300, 64), pooled, dtype=dtype))
        suite.check(Case(f"{dtype} dense", *qkv(50 + seed, 4, 2, 300, 300, 64), Options(dense=True), dtype=dtype))

        # Logits around 100: exp overflows float32 where the maximum is not taken off first.
        q, k, v = qkv(60 + seed, 2, 1, 200, 200, 64)
        suite.check(Case(f"{dtype} large logits", 4 * q, 4 * k, v, small, dtype=dtype))
        q, k, v = qkv(70 + seed, 2, 1, 200, 200, 64)
        suite.check(Case(f"{dtype} all logits far below 0", np.abs(q) * 4, -np.abs(k) * 4, v, small, dtype=dtype))
        suite.check(Case(f"{dtype} equal logits", 0 * q, k, v, small, dtype=dtype))
        # Three of these values sum to more than f16 holds.
        suite.check(Case(f"{dtype} large values", q, k, 30000 + 0 * v, small, dtype=dtype))

        suite.check(ForeignFile(f"{dtype} among others", *qkv(80 + seed, 2, 1, 100, 100, 64), small, dtype=dtype, file=dict(align=1, metadata={"format": "np"})))


harness.main(cases, __doc__)
