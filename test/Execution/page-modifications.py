# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""The pages of tile code that GPUs get for modified attention, run on the CPU: soft cap, window and sinks (M1 to M3)."""

import itertools
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import modifications
from harness import qkv
from pages import PAGE, both


def specialised(suite):
    """Pages for a warp-specialised kernel, in both orders."""
    extra = (*PAGE, "--chip=sm_90a")
    options, sinks = modifications.named("softcap", "window", "sinks")
    for seed, (causal, dtype) in enumerate(itertools.product((True, False), ("F16", "BF16"))):
        case = modifications.modified(f"sm_90a, causal={causal}, {dtype}", qkv(seed, 4, 2, 200, 230, 64),
                                      dict(block=(64, 48), causal=causal, **options), sinks, dtype=dtype, extra=extra)
        both(suite, modifications.given(case, seed, density=0.8), settled=dtype == "BF16")


def cases(suite):
    modifications.cases(suite, PAGE, dtypes=("F16", "BF16", "F32"))
    specialised(suite)


harness.main(cases, __doc__)
