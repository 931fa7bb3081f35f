# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && mkdir %t && %python %s %unisparse_run %fake_driver %t
"""What a program's own ops promise of dynamic sizes is checked before they read: one line on the CPU, as pages and in the launch
plan of a GPU, which names the op and the arguments."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "..", "Oracle")]
import numpy as np  # noqa: E402
import safetensors  # noqa: E402
from safetensors import Tensor  # noqa: E402

tool, driver, folder = sys.argv[1:]
TARGETS = {"cpu": {}, "tile-cpu": {}, "cuda": {"UNISPARSE_LIBCUDA": driver, "FAKE_CAPABILITY": "90"}}
T, S = "tensor<1x1x?x32xf32>", "tensor<1x1x64x32xf32>"
checks = failures = 0


def expect(name, target, lengths, want):
    """Queries, keys and values of these lengths; what the tool says, empty for success."""
    global checks, failures
    file = os.path.join(folder, "in.safetensors")
    tensors = {n: Tensor("F32", np.ones((1, length, 32), np.float32)) for n, length in zip("qkv", lengths)}
    safetensors.write(file, tensors)
    words = [tool, file, f"--program={os.path.join(folder, name)}.mlir", f"--target={target}"] + ["--opt-level=0"] * (target != "cuda")
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, env={**os.environ, **TARGETS[target]})
    rule, words = want or (None, None)
    if target == "cuda":
        want = rule and f"unisparse-run: --target=cuda: {rule}: expected {words}\n"
    else:
        want = rule and f"unisparse-run: --program: [{rule}] expected {words}\n"
    want = want or ""
    checks += 1
    if done.stderr != want or done.returncode != bool(want):
        failures += 1
        print(f"FAIL  {name}, {target}, {lengths}: expected {want!r}, got {done.returncode} and {done.stderr!r}")


def program(name, body, *runs, targets=TARGETS):
    with open(os.path.join(folder, f"{name}.mlir"), "w") as file:
        file.write(f"""#all = affine_map<(b, h, i, d) -> (b, h, i, d)>
func.func @f(%q: {T}, %k: {T} loc("keys"), %v: {T}) -> {T} {{
  %c2 = arith.constant 2 : index
  %n = tensor.dim %q, %c2 : {T}
  %e = tensor.empty(%n) : {T}
{body}
  %o = unisparse.block_sparse_attention %r, %r, %r block <32x32> : ({T}, {T}, {T}) -> {T}
  return %o : {T}
}}
""")
    for target in targets:
        for lengths, want in runs:
            expect(name, target, lengths, want)


program("generic", f"""  %r = linalg.generic {{indexing_maps = [#all, #all, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}}
      ins(%q, %k : {T}, {T}) outs(%e : {T}) {{
  ^bb0(%x: f32, %y: f32, %u: f32):
    %z = arith.addf %x, %y : f32
    linalg.yield %z : f32
  }} -> {T}""", ((70, 50, 50), ("linalg.generic", "keys.size(2) == q.size(2), got 50 and 70")), ((50, 50, 50), None))
program("cast", f"""  %kept = tensor.cast %k : {T} to {S}
  %w = arith.mulf %kept, %kept : {S}
  %r = tensor.cast %w : {S} to {T}""", ((70, 80, 80), ("tensor.cast", "keys.size(2) == 64, got 80 and 64")))
# A launch plan has no slices.
program("slice", f"""  %c10 = arith.constant 10 : index
  %less = arith.subi %n, %c10 : index
  %r = tensor.extract_slice %k[0, 0, 20, 0] [1, 1, %less, 32] [1, 1, 1, 1] : {T} to {T}""",
        ((70, 60, 60), ("tensor.extract_slice", "offset 2 + size 2 <= keys.size(2), got 80 and 60")),
        ((9, 60, 60), ("tensor.extract_slice", "0 <= size 2, got 0 and -1")), targets=["cpu"])

print(f"{checks - failures} of {checks} checks passed")
sys.exit(failures != 0)
