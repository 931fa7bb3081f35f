# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""The page of tile code that GPUs get for attention, run on the CPU: types, head_dims, blocks, tiles and schedules (A3)."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import checks
import harness
import numpy as np
from harness import Case, Options, ends, qkv
from pages import PAGE, both, page, results

PROGRAM = """
func.func @attend(%q: tensor<1x2x?x32xf16>, %k: tensor<1x1x?x32xf16>, %v: tensor<1x1x?x48xf16>)
    -> (tensor<1x2x?x48xf16>, tensor<1x2x?xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v block <128x128> causal return_lse {unitile.schedule = {}}
    : (tensor<1x2x?x32xf16>, tensor<1x1x?x32xf16>, tensor<1x1x?x48xf16>) -> (tensor<1x2x?x48xf16>, tensor<1x2x?xf32>)
  return %o, %lse : tensor<1x2x?x48xf16>, tensor<1x2x?xf32>
}
"""


def shapes(suite):
    for seed, (dtype, d, dv) in enumerate([("F16", 16, 16), ("F16", 64, 128), ("BF16", 128, 128), ("BF16", 40, 24), ("F16", 256, 256), ("BF16", 256, 64), ("F32", 16, 16), ("F32", 36, 20), ("F32", 128, 64)]):
        suite.check(page(f"{dtype}, D={d} Dv={dv}", 40 + seed, qkv(40 + seed, 2, 1, 70, 90, d, dv), dtype=dtype, opt_level=(3, 0, 0)[seed % 3]))
    # The largest that f32 has; its tiles are parts of a block.
    suite.check(page("F32, D=256 Dv=128", 51, qkv(51, 2, 1, 150, 160, 256, 128), Options()))
    # Blocks that tiles do not divide: 16 divides neither 100 nor 24.
    for seed, dtype in enumerate(("F32", "F16")):
        both(suite, page(f"block 100x24, {dtype}", 52 + seed, qkv(52 + seed, 2, 1, 230, 230, 32), Options(block=(100, 24), pool=(10, 8)), dtype=dtype))
    both(suite, page("a negative scale", 54, qkv(54, 4, 2, 100, 100, 32), Options(block=(32, 32), scale=-0.1)))
    suite.check(page("a scale of 0", 55, qkv(55, 4, 2, 100, 100, 32), Options(block=(32, 32), scale=0.0)))
    # A chip with less shared memory has tiles of a part of a block.
    suite.check(page("parts of a block", 56, qkv(56, 2, 1, 200, 300, 256, 128), Options(block=(64, 256)), dtype="F16", extra=("--chip=sm_89",)))


def schedules(suite):
    """Pages for a warp-specialised kernel: the same words, other tiles."""
    on = ("--chip=sm_90a",)
    for seed, dtype in enumerate(("F16", "BF16")):
        both(suite, page(f"sm_90a, {dtype}", 60 + seed, qkv(60 + seed, 4, 2, 200, 230, 64), Options(block=(64, 48)), dtype=dtype, extra=on))
    suite.check(page("sm_90a, causal=False", 62, qkv(62, 2, 2, 150, 150, 64), Options(block=(64, 32), causal=False), dtype="BF16", extra=on))
    suite.check(page("sm_90a, parts of a block", 63, qkv(63, 2, 1, 200, 300, 64), Options(block=(128, 256)), dtype="F16", extra=on))
    cu = ends([50, 0, 1, 65, 0]), ends([75, 40, 1, 65, 0])
    suite.check(page("sm_90a, packed", 64, qkv(64, 4, 2, 116, 181, 64, batch=1), Options(block=(64, 48)), cu=cu, dtype="BF16", extra=on))


def given_schedules(suite):
    """Schedules that a program asks for, on dynamic lengths."""
    for schedule in ("#unitile.tiles<rows = 16, keys = 16>", "#unitile.tiles<rows = 48, keys = 32>", "#unitile.schedule<keys = 32>"):
        name = f"program with {schedule}"
        path = os.path.join(suite.tmp, "program.mlir")
        with open(path, "w") as file:
            file.write(PROGRAM.replace("{}", schedule))
        case = Case(name, *qkv(80, 2, 1, 150, 170, 32, 48), dtype="F16", extra=(*PAGE, "--chip=sm_90a", f"--program={path}"))
        tensors = results(suite, case)
        if tensors:
            every = [checks.O.every_candidate(s.lq, s.lk, *case.options.block, True) for s in case.sequences()]
            masks = [np.broadcast_to(m, (2, *m.shape)) for m in every]
            wrong, rows = checks.outputs(case, masks, tensors["o"].data, tensors["lse"].data)
            suite.rows += rows
            suite.expect(name, rows and not wrong, "; ".join(wrong) or "nothing was compared")


def cases(suite):
    shapes(suite)
    schedules(suite)
    given_schedules(suite)


harness.main(cases, __doc__)
