# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Head counts (GQA) and head sizes, with Dv of its own."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
from harness import Case, Options, qkv

HEADS = [(1, 1), (3, 3), (4, 1), (8, 2), (6, 2)]
SIZES = [(32, 32), (64, 64), (80, 80), (128, 128), (256, 256), (64, 128), (128, 64), (80, 32), (192, 128)]


def cases(suite):
    for number, (hq, hkv) in enumerate(HEADS):
        for batch in (None, 2):
            data = qkv(number, hq, hkv, 300, 300, 64, batch=batch)
            suite.check(Case(f"{hq}:{hkv} heads, B={batch}", *data, Options(block=(64, 64), p=0.7)))
    for number, (d, dv) in enumerate(SIZES):
        data = qkv(100 + number, 8, 2, 257, 257, d, dv)
        suite.check(Case(f"D={d} Dv={dv}", *data, Options(block=(64, 64), p=0.7)))
    for number, (d, dv) in enumerate([(80, 80), (128, 32)]):
        data = qkv(200 + number, 4, 1, 130, 400, d, dv, batch=1)
        suite.check(Case(f"D={d} Dv={dv} causal=False", *data, Options(causal=False, p=0.5)))


harness.main(cases, __doc__)
