# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %unisparse_opt
"""The polynomial of unitile-short-tanh, evaluated as it stands in the IR: a relative error below 2^-12 up to its bound, of
every scale that it takes; odd, so that a logit and its negative have one size."""

import re
import subprocess
import sys

import numpy as np

PROGRAM = """
gpu.module @m {{
  gpu.func @f(%s: !unitile.fragment<128x64xf32>, %o: !llvm.ptr<1>, %row: i32, %stride: i64)
      kernel attributes {{known_block_size = array<i32: 384, 1, 1>}} {{
    unitile.partitions producer {{
    }} consumers {{
      %scale = arith.constant {scale:.9e} : f32
      %m = unitile.map ins(%s : !unitile.fragment<128x64xf32>) -> !unitile.fragment<128x64xf32> {{
      ^bb0(%e: f32):
        %x = arith.mulf %e, %scale : f32
        %y = math.tanh %x fastmath<afn> : f32
        unitile.yield %y : f32
      }}
      unitile.store %m to %o row %row limit %row stride %stride : !unitile.fragment<128x64xf32>
    }}
    gpu.return
  }}
}}
"""


def rewritten(scale):
    """Constants by name, and the lines of the first of the two maps behind the branch."""
    passes = "--pass-pipeline=builtin.module(gpu.module(unitile-short-tanh),canonicalize)"
    text = subprocess.run([sys.argv[1], passes, "-"], input=PROGRAM.format(scale=scale), capture_output=True, text=True, check=True).stdout
    found = re.findall(r"(%\w+) = arith.constant (\S+) : f32", text)
    constants = {name: np.array([int(x, 16)], np.uint32).view(np.float32)[0] if x.startswith("0x") else np.float32(x) for name, x in found}
    bound = constants[re.search(r"all_below %\w+, (%\w+)", text)[1]]
    body = re.search(r"scf\.if.*?, (%\w+): f32\):\n(.*?)arith\.select %\w+, (%\w+),", text, re.DOTALL)
    return constants, bound, body[1], body[2].splitlines(), body[3]


def evaluate(x, constants, argument, lines, result):
    """In float32; a multiply-add rounds once, as the product of two float32 is exact in float64."""
    values = {**constants, argument: x}
    for line in lines:
        if not (words := re.match(r"\s*(%\w+) = (arith.mulf|math.fma) (.*) : f32", line)):
            continue
        of = [np.float64(values[name]) for name in words[3].split(", ")]
        values[words[1]] = np.float32(of[0] * of[1] + (of[2] if len(of) == 3 else 0))
    return values[result]


for scale in (0.1767767, 2e-3, -2e-3, 2.0**-15, 2.0**15):
    constants, bound, *body = rewritten(scale)
    assert abs(abs(scale) * bound - 0.75) < 1e-5, (scale, bound)
    x = np.linspace(1e-6, 0.999999, 200001).astype(np.float32) * bound
    got = evaluate(x, constants, *body)
    want = np.tanh(np.float64(np.float32(scale)) * x)
    error = np.abs(got / want - 1).max()
    assert 1e-4 < error < 2.0**-12, (scale, error)
    assert (evaluate(-x, constants, *body) == -got).all(), scale
