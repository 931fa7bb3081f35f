# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Block shapes and pooling factors: cq != ck, composites of one token, blocks that no register or cache line divides."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
from harness import Case, Options, qkv

BLOCKS = [(64, 64), (128, 128), (128, 64), (64, 128)]
POOLS = [(1, 1), (4, 4), (8, 8), (16, 16), (16, 4), (1, 8), (8, 1)]
ODD = [
    ((96, 40), (8, 4)),
    ((48, 80), (16, 16)),
    ((256, 32), (32, 8)),
    ((33, 7), (11, 7)),
    ((5, 3), (5, 1)),
    ((1, 1), (1, 1)),
    ((128, 128), (128, 128)),
]


def cases(suite):
    for number, pool in enumerate(POOLS):
        block = BLOCKS[number % len(BLOCKS)]
        data = qkv(number, 4, 2, 600, 600, 64)
        suite.check(Case(f"block {block} pool {pool}", *data, Options(block=block, pool=pool, p=0.7)))
    for number, block in enumerate(BLOCKS):
        for causal in (True, False):
            data = qkv(100 + number, 4, 2, 333, 555, 64)
            suite.check(Case(f"block {block} causal={causal}", *data, Options(block=block, causal=causal, p=0.7), opt_level=3))
    for number, (block, pool) in enumerate(ODD):
        length = 400 if block[0] > 32 else 60
        data = qkv(200 + number, 2, 1, length, length + 23, 64)
        suite.check(Case(f"block {block} pool {pool}", *data, Options(block=block, pool=pool, p=0.7)))


harness.main(cases, __doc__)
