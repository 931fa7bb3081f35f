# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %unisparse_run %t
"""unisparse-run --program: what stands around attention (loops, branches, arithmetic, softmax) is compiled and right."""
import os
import subprocess
import sys

import numpy

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Execution", "lib"))
import safetensors  # noqa: E402

tool, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
random = numpy.random.default_rng(0)
Q, K, V = (random.normal(size=shape).astype(numpy.float32) for shape in ((1, 4, 100, 16), (1, 2, 150, 16), (1, 2, 150, 16)))
TYPES = "!q = tensor<1x4x100x16xf32>\n!k = tensor<1x2x150x16xf32>\n"
failures = 0


def attend(q, *options):
    """Attention of q over K and V, by the tool."""
    files = [os.path.join(folder, name) for name in ("in.safetensors", "out.safetensors")]
    safetensors.write(files[0], {n: safetensors.Tensor("F32", x) for n, x in (("q", q), ("k", K), ("v", V))})
    done = subprocess.run([tool, files[0], "--opt-level=0", f"--output={files[1]}", *options], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return safetensors.read(files[1])["o"].data


def program(name, body, want):
    """The program, whose `attend` is attention over k and v, gives what is wanted."""
    global failures
    path = os.path.join(folder, name + ".mlir")
    with open(path, "w") as file:
        file.write(f"""{TYPES}func.func private @attend(%q: !q, %k: !k, %v: !k) -> !q {{
  %o = unisparse.block_sparse_attention %q, %k, %v block <32x32> : (!q, !k, !k) -> !q
  return %o : !q
}}
func.func @main(%q: !q, %k: !k, %v: !k) -> !q {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
{body}
  return %r : !q
}}
""")
    try:
        distance = numpy.abs(attend(Q, f"--program={path}") - want).max()
    except RuntimeError as error:
        distance = error
    if not (isinstance(distance, numpy.floating) and distance < 1e-5):
        failures += 1
        print(f"FAIL  {name}: {distance}")


def dense(q):
    return attend(q, "--dense", "--block=32x32", "--no-causal")


def stage(of):
    return f"unisparse.block_sparse_attention {of}, %k, %v block <32x32> : (!q, !k, !k) -> !q"


once, twice = dense(Q), dense(dense(Q))
program("call", "  %r = call @attend(%q, %k, %v) : (!q, !k, !k) -> !q", once)
program("for", f"""  %r = scf.for %i = %c0 to %c2 step %c1 iter_args(%x = %q) -> (!q) {{
    %o = {stage("%x")}
    scf.yield %o : !q
  }}""", twice)
program("for_call", """  %r = scf.for %i = %c0 to %c2 step %c1 iter_args(%x = %q) -> (!q) {
    %o = func.call @attend(%x, %k, %v) : (!q, !k, !k) -> !q
    scf.yield %o : !q
  }""", twice)
# Neither carries the stage's own buffer out: the loop's argument goes on being read.
program("for_residual", f"""  %r = scf.for %i = %c0 to %c2 step %c1 iter_args(%x = %q) -> (!q) {{
    %o = {stage("%x")}
    %y = arith.addf %o, %x : !q
    scf.yield %y : !q
  }}""", dense(once + Q) + once + Q)
program("while", f"""  %r, %n = scf.while (%x = %q, %i = %c0) : (!q, index) -> (!q, index) {{
    %more = arith.cmpi slt, %i, %c2 : index
    scf.condition(%more) %x, %i : !q, index
  }} do {{
  ^bb0(%x: !q, %i: index):
    %o = {stage("%x")}
    %j = arith.addi %i, %c1 : index
    scf.yield %o, %j : !q, index
  }}""", twice)
program("if", f"""  %x = arith.constant 0.0 : f32
  %e = tensor.extract %q[%c0, %c0, %c0, %c0] : !q
  %c = arith.cmpf one, %e, %x : f32
  %r = scf.if %c -> (!q) {{
    %o = {stage("%q")}
    scf.yield %o : !q
  }} else {{
    scf.yield %q : !q
  }}""", once)
program("arith", f"""  %o = {stage("%q")}
  %s = arith.mulf %o, %q : !q
  %r = math.exp %s : !q""", numpy.exp(once * Q))
exponentials = numpy.exp(once - once.max(-1, keepdims=True))
program("softmax", f"""  %o = {stage("%q")}
  %e = tensor.empty() : !q
  %r = linalg.softmax dimension(3) ins(%o : !q) outs(%e : !q) -> !q""", exponentials / exponentials.sum(-1, keepdims=True))
sys.exit(failures != 0)
