# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && mkdir %t && %python %s %unisparse_run %t
"""Nothing to compute: no batch, no query, no key. Results are as empty; a query without a key gets o = 0, lse = -inf (A2)."""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import harness
import numpy as np
import safetensors
from safetensors import Tensor

tool, folder = sys.argv[1:]
source, out = os.path.join(folder, "in"), os.path.join(folder, "out")
DENSE, FEW, OPEN = ["--dense", "--compare=dense"], ["--top-k=2", "--pool=4x4", "--share=group"], ["--no-causal"]


def run(q, k, v, *words, **more):
    """o, lse, counts and indices of ones of these shapes."""
    tensors = {name: Tensor("F32", np.ones(shape)) for name, shape in (("q", q), ("k", k), ("v", v))}
    safetensors.write(source, {**tensors, **{name: Tensor("I32", x) for name, x in more.items()}})
    done = subprocess.run([tool, source, harness.opt_level(), f"--output={out}", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, (q, k, words, done)
    return [safetensors.read(out)[name].data for name in ("o", "lse", "counts", "indices")]


for words in ([], DENSE, FEW):
    for batch, lq, lk in ((0, 5, 5), (1, 0, 5), (2, 0, 0), (0, 0, 0)):
        rows, blocks = -(-lq // 128), -(-lk // 128)
        results = run((batch, 4, lq, 16), (batch, 2, lk, 16), (batch, 2, lk, 8), *words)
        want = (batch, 4, lq, 8), (batch, 4, lq), (batch, 4, rows), (batch, 4, rows, blocks)
        assert tuple(x.shape for x in results) == want, (words, batch, lq, lk, results)
    o, lse, counts, indices = run((1, 4, 5, 16), (1, 2, 0, 16), (1, 2, 0, 8), *words, *OPEN)
    assert o.shape == (1, 4, 5, 8) and np.all(o == 0) and np.all(lse == -np.inf) and np.all(counts == 0), (words, o, lse)
    for ends in (np.zeros(1), np.zeros(4)):
        results = run((1, 4, 0, 16), (1, 2, 0, 16), (1, 2, 0, 8), *words, cu_seqlens_q=ends, cu_seqlens_k=ends)
        assert [x.size for x in results] == [0] * 4, results
    assert run((4, 0, 16), (2, 5, 16), (2, 5, 8), *words)[0].shape == (4, 0, 8), "without a batch"

# A given selection of nothing.
sel = os.path.join(folder, "sel")
safetensors.write(sel, {"counts": Tensor("I32", np.zeros((1, 4, 1))), "indices": Tensor("I32", np.zeros((1, 4, 1, 0)))})
for k in (0, 200):
    o, lse, counts, _ = run((1, 4, 5, 16), (1, 2, k, 16), (1, 2, k, 8), f"--selection={sel}", *OPEN)
    assert np.all(o == 0) and np.all(lse == -np.inf) and np.all(counts == 0), (k, o, lse)
