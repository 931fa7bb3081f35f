# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Soft cap, window and sinks (M1 to M3): each, in pairs, and all, against the oracle."""

import dataclasses
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import modifications
import numpy as np
from harness import qkv


def edges(suite):
    """A sink that is far above or below all logits, or none; a cap that is far from bending; a window that is no limit."""
    data = qkv(90, 4, 2, 70, 90, 32)
    # Heads with a high sink have small outputs, and small errors: a low one beside them keeps A3's yardstick.
    for low, high in ((-200.0, -100.0), (0.0, 14.0)):
        case = modifications.modified(f"sinks of {low} to {high}", data, dict(block=(32, 32)))
        suite.check(dataclasses.replace(case, sinks=np.linspace(low, high, 4)))
    plain = modifications.modified("plain", data, dict(block=(32, 32)))
    suite.same("no sink", suite.check(plain), suite.check(dataclasses.replace(plain, name="sinks of -inf", sinks=np.full(4, -np.inf))))
    wide = modifications.modified("a wide window", data, dict(block=(32, 32), window=(90, -1)))
    suite.same("no window", suite.check(plain), suite.check(wide))
    for left, right in ((0, 0), (0, -1)):
        suite.check(modifications.modified(f"window {left}, {right}", data, dict(block=(32, 32), window=(left, right))))
    # Rows that see nothing have their sink alone.
    case = modifications.modified("no selected block", data, dict(block=(32, 32)), sinks=True)
    got = suite.check(modifications.given(case, 91, density=0.0))
    if got:
        want = np.broadcast_to(case.sinks.astype(np.float32)[:, None], got["lse"].data.shape)
        suite.expect("no selected block: lse", np.allclose(got["lse"].data, want), "expected the sinks")


def cases(suite):
    modifications.cases(suite)
    edges(suite)


harness.main(cases, __doc__)
