# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Lengths around a block and its multiples, chunks of a longer prefill (Lq < Lk), and more queries than keys."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
from harness import Case, Options, qkv

EQUAL = [1, 7, 127, 128, 129, 1000]
CHUNKS = [(1, 7), (1, 129), (7, 128), (127, 1000), (128, 1000), (129, 1000), (1000, 1127)]
MORE_QUERIES = [(129, 1), (300, 127)]


def cases(suite):
    for number, length in enumerate(EQUAL):
        for causal in (True, False):
            data = qkv(number, 4, 2, length, length, 64, batch=2)
            options = Options(causal=causal, p=0.9 if causal else 0.6)
            suite.check(Case(f"L={length} causal={causal}", *data, options))
    for number, (lq, lk) in enumerate(CHUNKS):
        for causal in (True, False):
            data = qkv(100 + number, 4, 2, lq, lk, 64)
            suite.check(Case(f"Lq={lq} Lk={lk} causal={causal}", *data, Options(causal=causal, p=0.6)))
    for number, (lq, lk) in enumerate(MORE_QUERIES):
        data = qkv(200 + number, 4, 2, lq, lk, 64)
        suite.check(Case(f"Lq={lq} Lk={lk} causal=False", *data, Options(causal=False)))
    suite.check(Case("L=4096", *qkv(300, 2, 1, 4096, 4096, 64)))
    suite.check(Case("L=4096 causal=False", *qkv(301, 1, 1, 4096, 4096, 64), Options(causal=False, p=0.5)))
    suite.check(Case("Lq=1000 Lk=4096", *qkv(302, 2, 1, 1000, 4096, 64)))
    suite.check(Case("Lq=1 Lk=4096", *qkv(303, 4, 2, 1, 4096, 64)))


harness.main(cases, __doc__)
