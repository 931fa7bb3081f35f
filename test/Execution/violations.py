# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""Rules that only the tensors settle are checked by compiled code, before it computes: one line, status 1, no output."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import numpy as np
from harness import Case, Options, ends, qkv

Q, K, CU = "tensor<1x2x?x32xf32>", "tensor<1x1x?x32xf32>", "tensor<?xi32>"
# The first attention, by which the tool knows the program, is not causal; the one behind it is.
CAUSAL = f"""func.func @two(%q: {Q}, %k: {K}, %v: {K}) -> {Q} {{
  %o = unisparse.block_sparse_attention %q, %k, %v block <32x32> : ({Q}, {K}, {K}) -> {Q}
  %p = unisparse.block_sparse_attention %o, %k, %v block <32x32> causal : ({Q}, {K}, {K}) -> {Q}
  return %p : {Q}
}}
"""
ESTIMATE = f"""func.func @two(%q: {Q}, %k: {K}, %v: {K}) -> {Q} {{
  %o = unisparse.block_sparse_attention %q, %k, %v block <32x32> : ({Q}, {K}, {K}) -> {Q}
  %p, %c, %i, %d = unisparse.attention %o, %k, %v block <32x32> pooling <8x8> rule <top_p = 0.5> causal
    : ({Q}, {K}, {K}) -> ({Q}, tensor<1x2x?xi32>, tensor<1x2x?x?xi32>, tensor<1x2xf32>)
  return %p : {Q}
}}
"""
PACKED = f"""func.func @two(%q: {Q}, %k: {K}, %v: {K}, %a: {CU}, %b: {CU}) -> {Q} {{
  %o = unisparse.block_sparse_attention %q, %k, %v cu_seqlens(%a, %b) block <32x32> : ({Q}, {K}, {K}, {CU}, {CU}) -> {Q}
  %p = unisparse.block_sparse_attention %o, %k, %v cu_seqlens(%a, %b) block <32x32> causal : ({Q}, {K}, {K}, {CU}, {CU}) -> {Q}
  return %p : {Q}
}}
"""
# The table is what a hundred keys leave of k.
TABLE = f"""func.func @table(%q: {Q}, %k: {K}, %v: {K}) -> {Q} {{
  %c2 = arith.constant 2 : index
  %hundred = arith.constant 100 : index
  %n = tensor.dim %k, %c2 : {K}
  %more = arith.subi %n, %hundred : index
  %t = tensor.extract_slice %k[0, 0, 0, 0] [1, 1, %more, 1] [1, 1, 1, 1] : {K} to tensor<?xf32>
  %o, %c, %i, %d = unisparse.attention %q, %k, %v tables(%t) block <32x32> pooling <8x8> rule <top_p = 0.5> estimate_with_region modify {{
  ^bb0(%x: f32, %b: i32, %h: i32, %at: i32, %of: i32, %table: tensor<?xf32>):
    %place = arith.index_cast %of : i32 to index
    %y = tensor.extract %table[%place] : tensor<?xf32>
    unisparse.yield %y : f32
  }} : ({Q}, {K}, {K}, tensor<?xf32>) -> ({Q}, tensor<1x2x?xi32>, tensor<1x2x?x?xi32>, tensor<1x2xf32>)
  return %o : {Q}
}}
"""
LENGTHS = "[I7] expected the length of q <= the length of k, got 150 and 100"


def refused(suite, name, program, lengths, want, cu=None):
    path = os.path.join(suite.tmp, "program.mlir")
    with open(path, "w") as file:
        file.write(program)
    case = Case(name, *qkv(1, 2, 1, *lengths, 32, batch=1), Options(), extra=(f"--program={path}",), cu=cu)
    try:
        tensors, _ = suite.run(case)
        said = f"ran, o is {tensors['o'].data.shape}"
        suite.rows += tensors["o"].data.shape[2]
    except harness.Failure as failure:
        said = str(failure)
    want = f"exit status 1: unisparse-run: --program: {want}" if want else f"ran, o is (1, 2, {lengths[0]}, 32)"
    suite.expect(name, said == want, f"expected '{want}', got '{said}'")


def cases(suite):
    refused(suite, "causal", CAUSAL, (150, 100), LENGTHS)
    refused(suite, "causal, estimated", ESTIMATE, (150, 100), LENGTHS)
    cu = ends([30, 50, 20]), ends([40, 45, 25])
    refused(suite, "packed", PACKED, (100, 110), "[I7] expected the queries of a sequence <= its keys, got 50 and 45", cu)
    refused(suite, "a table without entries", TABLE, (50, 100), "[M5] expected 1 <= table 0.size(0), got 1 and 0")
    refused(suite, "a table of one entry", TABLE, (50, 101), None)
    refused(suite, "as many", CAUSAL, (100, 100), None)
    refused(suite, "fewer, estimated", ESTIMATE, (70, 100), None)
    refused(suite, "packed, as many", PACKED, (100, 100), None, (cu[0], cu[0]))


harness.main(cases, __doc__)
