# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Any function of a logit and its place (M5), as programs have it: on the CPU's loops and as pages of tile code."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import checks
import harness
import numpy as np
from harness import Case, Options, ends, qkv
from pages import PAGE

PROGRAM = """
func.func @attend(%q: {q}, %k: {k}, %v: {k}{more}) -> ({q}, tensor<?x4x?xf32>) {{
  {setup}
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v {operands} block <32x32> {options} return_lse {modification} modify {{
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32{arguments}):
{body}
    unisparse.yield %y : f32
  }} : ({q}, {k}, {k}{types}) -> ({q}, tensor<?x4x?xf32>)
  return %o, %lse : {q}, tensor<?x4x?xf32>
}}
"""

# Minus the distance times a slope of the head, and a hundredth of the batch.
ALIBI = """
    %minus = arith.constant -1.0 : f32
    %hundredth = arith.constant 0.01 : f32
    %hf = arith.sitofp %h : i32 to f32
    %e = arith.mulf %hf, %minus : f32
    %slope = math.exp2 %e : f32
    %d = arith.subi %t, %i : i32
    %df = arith.sitofp %d : i32 to f32
    %bias = arith.mulf %df, %slope : f32
    %bf = arith.sitofp %b : i32 to f32
    %by = arith.mulf %bf, %hundredth : f32
    %z = arith.addf %x, %bias : f32
    %y = arith.addf %z, %by : f32"""


def alibi(batch, head, s, i, t):
    return s + (t - i) * 2.0**-head + 0.01 * batch


# A table by head and distance, of which there are fewer entries than distances.
TABLE = np.random.default_rng(0).normal(size=(4, 40)).astype(np.float32)
BIAS = """
    %d = arith.subi %i, %t : i32
    %head = arith.index_cast %h : i32 to index
    %distance = arith.index_cast %d : i32 to index
    %entry = tensor.extract %entries[%head, %distance] : tensor<4x40xf32>
    %y = arith.addf %x, %entry : f32"""


def bias(batch, head, s, i, t):
    return s + TABLE[head][np.clip(i - t, 0, 39)]


# What is no line of the logit: its logarithm's and exponential's tanh, where a whole number is odd.
ODD = """
    %one = arith.constant 1 : i32
    %zero = arith.constant 0 : i32
    %two = arith.constant 2.0 : f32
    %square = arith.mulf %x, %x : f32
    %more = arith.addf %square, %two : f32
    %log = math.log %more : f32
    %half = math.tanh %x : f32
    %exp = math.exp %half : f32
    %root = math.sqrt %more : f32
    %sum = arith.addf %log, %exp : f32
    %all = arith.addf %sum, %root : f32
    %bit = arith.andi %t, %one : i32
    %odd = arith.cmpi ne, %bit, %zero : i32
    %y = arith.select %odd, %all, %x : f32"""


def odd(batch, head, s, i, t):
    return np.where(t % 2, np.log(s * s + 2) + np.exp(np.tanh(s)) + np.sqrt(s * s + 2), s)


def program(suite, name, dtype, body, options="causal", modification="", cu=False):
    """A file with the program."""
    q, k = (f"tensor<?x{heads}x?x32x{dtype.lower()}>" for heads in (4, 2))
    operands, types, more, setup, arguments = "", "", "", "", ""
    if cu:
        more, operands, types = ", %cq: tensor<?xi32>, %ck: tensor<?xi32>", "cu_seqlens(%cq, %ck)", ", tensor<?xi32>, tensor<?xi32>"
    if "%entries" in body:
        # A constant of the program's own.
        rows = ", ".join("[" + ", ".join(f"{x:.9e}" for x in row.tolist()) + "]" for row in TABLE)
        setup = f"%table = arith.constant dense<[{rows}]> : tensor<4x40xf32>"
        operands, types, arguments = operands + " tables(%table)", types + ", tensor<4x40xf32>", ", %entries: tensor<4x40xf32>"
    text = PROGRAM.format(q=q, k=k, more=more, setup=setup, operands=operands, options=options, modification=modification,
                          arguments=arguments, body=body, types=types)
    path = os.path.join(suite.tmp, "".join(c if c.isalnum() else "-" for c in name) + ".mlir")
    with open(path, "w") as file:
        file.write(text)
    return path


def check(suite, name, data, body, modify, dtype="F32", extra=(), options=(), words="causal", modification="", cu=None):
    if suite.only not in name:
        return
    path = program(suite, name, dtype, body, words, modification, cu is not None)
    case = Case(name, *data, Options(block=(32, 32), **dict(options)), dtype=dtype, cu=cu, modify=modify, extra=extra)
    plain = Case(name, *data, dtype=dtype, cu=cu, extra=(*extra, f"--program={path}"))
    try:
        tensors = suite.run(plain)[0]
    except harness.Failure as failure:
        suite.expect(name, False, str(failure))
        return
    every = [checks.O.every_candidate(s.lq, s.lk, 32, 32, case.options.causal, case.options.window) for s in case.sequences()]
    wrong, rows = checks.outputs(case, [np.broadcast_to(m, (4, *m.shape)) for m in every], tensors["o"].data, tensors["lse"].data)
    suite.rows += rows
    suite.expect(name, rows and not wrong, "; ".join(wrong) or "nothing was compared")


BIAS_OF_KEY = """
%half = arith.constant 0.5 : f32
%tenth = arith.constant 0.1 : f32
%less = arith.mulf %logit, %half : f32
%at = arith.sitofp %k : i32 to f32
%bias = arith.mulf %at, %tenth : f32
%y = arith.addf %less, %bias : f32
unisparse.yield %y : f32"""


HEAD = """%part = arith.constant 0.05 : f32
%n = arith.sitofp %head : i32 to f32
%at = arith.sitofp %k : i32 to f32
%slope = arith.mulf %n, %part : f32
%bias = arith.mulf %at, %slope : f32
%y = arith.addf %logit, %bias : f32
unisparse.yield %y : f32"""


def named(suite, name, data, text, modify, dtype, extra):
    """By the option, beside an estimate that knows nothing of it."""
    options = Options(block=(32, 32), p=0.6)
    suite.check(Case(name, *data, options, dtype=dtype, modify=modify, extra=(*extra, f"--score-mod={text}")))


def cases(suite):
    cu = ends([50, 0, 1, 65, 0]), ends([75, 40, 1, 65, 0])
    for where, extra in (("", ()), ("page, ", PAGE), ("sm_90a page, ", (*PAGE, "--chip=sm_90a"))):
        dtypes = ("F32", "F16") if not extra else ("BF16", "F16")
        data = qkv(1, 4, 2, 70, 90, 32, batch=2)
        check(suite, f"{where}alibi", data, ALIBI, alibi, dtypes[0], extra)
        check(suite, f"{where}alibi, causal=False", data, ALIBI, alibi, dtypes[1], extra, dict(causal=False), "")
        check(suite, f"{where}alibi, packed", qkv(2, 4, 2, 116, 181, 32, batch=1), ALIBI, alibi, dtypes[0], extra, cu=cu)
        named(suite, f"{where}by name", data, "alibi", lambda batch, head, s, i, t: checks.O.alibi(4, head)(s, i, t), dtypes[0], extra)
        # Four of six heads.
        part = (*extra, "--score-mod-heads=2,6")
        named(suite, f"{where}by name, some heads", data, "alibi", lambda batch, head, s, i, t: checks.O.alibi(6, head + 2)(s, i, t), dtypes[0], part)
        named(suite, f"{where}by text, some heads", data, HEAD, lambda batch, head, s, i, t: s + 0.05 * (head + 2) * t, dtypes[0], part)
        text = BIAS_OF_KEY.strip()
        named(suite, f"{where}by text", data, text, lambda batch, head, s, i, t: 0.5 * s + 0.1 * t, dtypes[1], extra)
        check(suite, f"{where}table", data, BIAS, bias, dtypes[0], extra)
        check(suite, f"{where}odd", data, ODD, odd, dtypes[1], extra)
        together = dict(softcap=3.0, window=(40, -1))
        check(suite, f"{where}with softcap and window", data, ALIBI, alibi, dtypes[0], extra, together, "causal",
              "softcap 3.0 window <left = 40>")


harness.main(cases, __doc__)
