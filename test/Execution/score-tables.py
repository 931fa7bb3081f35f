# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Tables that the text of a modification reads (M5), of every type and number of dimensions, by attention and by its estimate
(M6), on the CPU's loops and as pages of tile code."""

import dataclasses
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import numpy as np
from harness import Case, Options, ends, qkv
from pages import PAGE
from safetensors import round_to

ESTIMATE = "--estimate-with-region"
rng = np.random.default_rng(0)

# A slope of each head, from an input of its own.
SLOPES = np.array([0.5, 0.01, -0.2, 0.07], np.float32)
SLOPE = """%h = arith.index_cast %head : i32 to index
%slope = tensor.extract %slopes[%h] : tensor<?xf32>
%d = arith.subi %k, %q : i32
%x = arith.sitofp %d : i32 to f32
%bias = arith.mulf %x, %slope : f32
%y = arith.addf %logit, %bias : f32
unisparse.yield %y : f32"""


def slope(batch, head, s, i, t):
    return s + (t - i) * SLOPES[head]


# A learned bias by head and distance, of fewer distances than there are; keys ahead have the first one's.
BIASES = round_to(2 * rng.normal(size=(4, 40)), "F16").astype(np.float32)
BIAS = """%h = arith.index_cast %head : i32 to index
%d = arith.subi %q, %k : i32
%at = arith.index_cast %d : i32 to index
%b = tensor.extract %biases[%h, %at] : tensor<4x?xf16>
%bias = arith.extf %b : f16 to f32
%y = arith.addf %logit, %bias : f32
unisparse.yield %y : f32"""


def bias(batch, head, s, i, t):
    return s + BIASES[head][np.clip(i - t, 0, 39)]


# Documents of a batch, of which a key is hidden to queries of others; and what a pair of them adds.
DOCUMENTS = np.sort(rng.integers(0, 3, (2, 90)), 1).astype(np.int32)
PAIRS = rng.normal(size=(2, 4, 3, 3)).astype(np.float32)
DOCUMENT = """%none = arith.constant 0xFF800000 : f32
%b = arith.index_cast %batch : i32 to index
%h = arith.index_cast %head : i32 to index
%qi = arith.index_cast %q : i32 to index
%ki = arith.index_cast %k : i32 to index
%qd = tensor.extract %documents[%b, %qi] : tensor<?x?xi32>
%kd = tensor.extract %documents[%b, %ki] : tensor<?x?xi32>
%m = arith.index_cast %qd : i32 to index
%n = arith.index_cast %kd : i32 to index
%more = tensor.extract %pairs[%b, %h, %m, %n] : tensor<?x?x3x3xf32>
%sum = arith.addf %logit, %more : f32
%seen = arith.cmpi sge, %qd, %kd : i32
%y = arith.select %seen, %sum, %none : f32
unisparse.yield %y : f32"""


def document(batch, head, s, i, t):
    i, t = np.clip(i, 0, 89), np.clip(t, 0, 89)
    m, n = DOCUMENTS[batch][i], DOCUMENTS[batch][t]
    return np.where(m >= n, s + PAIRS[batch, head][m, n], -np.inf)


def run(suite, name, data, options, kind, extra, dtype, **kw):
    text, modify, types, tables = kind
    words = (f"--score-mod={text}", "--score-tables=" + ",".join(f"{n}:{t}" for n, t in types.items()))
    suite.check(Case(name, *data, options, dtype=dtype, modify=modify, tables=tables, extra=(*extra, *words), **kw))


KINDS = {
    "slopes": (SLOPE, slope, {"slopes": "?xf32"}, {"slopes": ("F32", SLOPES)}),
    "biases": (BIAS, bias, {"biases": "4x?xf16"}, {"biases": ("F16", BIASES)}),
    "documents": (DOCUMENT, document, {"pairs": "?x?x3x3xf32", "documents": "?x?xi32"}, {"documents": ("I32", DOCUMENTS), "pairs": ("F32", PAIRS)}),
}


def cases(suite):
    data = qkv(1, 4, 2, 70, 90, 32, batch=2)
    small = Options(block=(32, 32), pool=(8, 8), p=0.6)
    cu = ends([50, 0, 1, 65, 0]), ends([75, 40, 1, 65, 0])
    packed = qkv(2, 4, 2, 116, 181, 32, batch=1)
    for where, extra in (("", ()), ("page, ", PAGE), ("sm_90a page, ", (*PAGE, "--chip=sm_90a"))):
        dtypes = ("F32", "F16") if not extra else ("BF16", "F16")
        for name, kind in KINDS.items():
            run(suite, f"{where}{name}", data, small, kind, extra, dtypes[0])
            options = dataclasses.replace(small, causal=False, representatives=6, spread=4)
            run(suite, f"{where}{name}, non-causal, estimated with", data, options, kind, (*extra, ESTIMATE), dtypes[1])
            run(suite, f"{where}{name}, estimated with", data, small, kind, (*extra, ESTIMATE), "F32")
        run(suite, f"{where}packed", packed, small, KINDS["biases"], (*extra, ESTIMATE), dtypes[0], cu=cu)
    run(suite, "dense beside it", data, small, KINDS["biases"], ("--compare=dense",), "F32")
    run(suite, "NaN around tables", data, small, KINDS["biases"], ("--poison",), "F32")


harness.main(cases, __doc__)
