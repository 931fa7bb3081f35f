# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Modifications of logits (M5) of the matrix: the texts that are compiled, and the same in torch."""

import programs

# A bias by the distance's logarithm; half of a logit at every second distance, and a hundredth a batch; what is no line of
# the logit.
LOG = """
%one = arith.constant 1.0 : f32
%d = arith.subi %k, %q : i32
%a = math.absi %d : i32
%f = arith.sitofp %a : i32 to f32
%g = arith.addf %f, %one : f32
%b = math.log2 %g : f32
%y = arith.subf %logit, %b : f32
unisparse.yield %y : f32"""
EVEN = """
%one = arith.constant 1 : i32
%zero = arith.constant 0 : i32
%half = arith.constant 0.5 : f32
%few = arith.constant 0.01 : f32
%d = arith.subi %k, %q : i32
%bit = arith.andi %d, %one : i32
%even = arith.cmpi eq, %bit, %zero : i32
%less = arith.mulf %logit, %half : f32
%x = arith.select %even, %logit, %less : f32
%n = arith.sitofp %batch : i32 to f32
%b = arith.mulf %n, %few : f32
%y = arith.addf %x, %b : f32
unisparse.yield %y : f32"""
SQUARE = """
%few = arith.constant 0.1 : f32
%s = arith.mulf %logit, %logit : f32
%t = arith.mulf %s, %few : f32
%y = arith.addf %logit, %t : f32
unisparse.yield %y : f32"""


def alibi(x, batch, q, k, table):
    """x [H, Lq, Lk], q [Lq, 1], k [Lk]: positions."""
    slopes = x.new_tensor(programs.alibi_slopes(len(x)))
    return x - slopes[:, None, None] * (k - q).abs().to(x.dtype)


def log(x, batch, q, k, table):
    return x - (1 + (k - q).abs().to(x.dtype)).log2()


def even(x, batch, q, k, table):
    return x * (1 - 0.5 * ((k - q) % 2).to(x.dtype)) + 0.01 * batch


def square(x, batch, q, k, table):
    return x + 0.1 * x * x


def entry_of(x, batch, q, k, table):
    """programs.Table's: the nearest entry."""
    return x + table[:, (q - k).clamp(0, table.shape[1] - 1)].to(x.dtype)


FUNCTIONS = {"alibi": alibi, LOG.strip(): log, EVEN.strip(): even, SQUARE.strip(): square}


def of(case, batch, lq, lk, table):
    """What a case does to logits, or none."""
    text = case.option("score_mod", None)
    if text is None and table is None:
        return None
    function = FUNCTIONS[text.strip()] if table is None else entry_of

    def modify(x):
        import torch

        q, k = (torch.arange(n, device=x.device) for n in (lq, lk))
        return function(x, batch, (q + lk - lq)[:, None], k, table)

    return modify


def of_estimate(case, batch):
    """What a case does to the estimate's logits (M6), or none: of logits, positions of queries and of keys."""
    if not case.option("estimate_with_region", False):
        return None
    function = FUNCTIONS[case.option("score_mod", None).strip()]
    return lambda x, q, k: function(x, batch, q, k, None)
