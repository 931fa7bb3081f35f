# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %unisparse_run %t
"""unisparse-run --program: a program gives what the command line gives, and results that cannot be are refused."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "Execution", "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "Oracle"))
import numpy as np  # noqa: E402
import oracle  # noqa: E402
import safetensors  # noqa: E402

tool, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
SAMPLE = os.path.join(HERE, "..", "..", "examples", "sample.safetensors")
EXAMPLES = os.path.join(HERE, "..", "..", "examples")
Q, KV, O = "tensor<1x8x2560x128xf16>", "tensor<1x2x2560x128xf16>", "tensor<1x8x2560x128xf16>"
ATTEND = f"%o = unisparse.block_sparse_attention %q, %k, %v block <128x128> causal : ({Q}, {KV}, {KV}) -> {O}"
checks = failures = 0


def expect(good, what):
    global checks, failures
    checks, failures = checks + 1, failures + (not good)
    if not good:
        print("FAIL ", what)


def path(name):
    return os.path.join(folder, name)


def run(*words):
    return subprocess.run([tool, SAMPLE, *words], capture_output=True, text=True)


def output(*words):
    done = run(*words, f"--output={path('out.safetensors')}")
    expect(done.returncode == 0, f"{words}: {done.stderr}")
    return safetensors.read(path("out.safetensors")) if done.returncode == 0 else {}


def program(name, results, body):
    types = ", ".join(t for _, t in results)
    with open(path(name), "w") as file:
        file.write(f"func.func @f(%q: {Q}, %k: {KV}, %v: {KV}) -> ({types}) {{\n{body}\n"
                   f"  return {', '.join(n for n, _ in results)} : {types}\n}}\n")
    return f"--program={path(name)}"


def same(a, b):
    return bool(a) and set(a) & set(b) and all(a[n].data.tobytes() == b[n].data.tobytes() for n in set(a) & set(b))


reference = output()
expect(same(output(f"--program={EXAMPLES}/attention.mlir"), reference), "attention.mlir equals the command line")
dense = output("--dense")
expect(same(output(f"--program={EXAMPLES}/dense.mlir"), dense), "dense.mlir equals --dense")
for name, words in (("representatives", ("--p=0.7", "--representatives=16", "--spread=1", "--last=1")),
                    ("threshold", ("--pool=8x128", "--representatives=0", "--spread=0", "--threshold=0.1", "--sink=2", "--local=4", "--last=8"))):
    expect(same(output(f"--program={EXAMPLES}/{name}.mlir"), output(*words)), f"{name}.mlir equals {words}")

# Sums of antidiagonals, as the products of longer rows that they are.
sample = safetensors.read(SAMPLE)
q, k = (sample[n].data.astype(np.float64) for n in "qk")
antidiagonal = output(f"--program={EXAMPLES}/antidiagonal.mlir")
for h in range(8) if antidiagonal else ():
    long = q[h].reshape(320, 8, 128)[:, ::-1].reshape(320, 1024), k[h // 4].reshape(320, 1024)
    mass, mask = oracle.block_mass(*long, 1, 1, 16, 16, 128**-0.5 / 8, agg="sum"), np.zeros((20, 20), bool)
    for r, (n, row) in enumerate(zip(antidiagonal["counts"].data[h], antidiagonal["indices"].data[h])):
        mask[r, row[:n]] = True
    wrong = oracle.selection_valid(mask, mass, 2560, 2560, 128, 128, 0.9, eps=0.001)
    expect(not wrong, f"antidiagonal.mlir, head {h}: {wrong}")

# One value twice: freed once.
twice = run(program("twice.mlir", [("%o", O), ("%o", O)], ATTEND))
expect(twice.returncode == 0, f"a value returned twice: {twice.returncode} {twice.stderr}")

# Repetition does not change the inputs that a program overwrites.
DOUBLE = f"""  %z = linalg.generic {{indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}}
    outs(%q : {Q}) {{
  ^bb0(%x: f16):
    %y = arith.addf %x, %x : f16
    linalg.yield %y : f16
  }} -> {Q}"""
doubled = program("double.mlir", [("%z", Q)], DOUBLE)
expect(same(output(doubled), output(doubled, "--repeat=3")), "a program that writes in place, once and three times")

# Slices and products of a program's own: strided copies, dynamic sizes.
SLICE = f"""  {ATTEND}
  %s = tensor.extract_slice %o[0, 0, 0, 64] [1, 8, 2560, 64] [1, 1, 1, 1] : {O} to tensor<1x8x2560x64xf16>
  %r = tensor.insert_slice %s into %o[0, 0, 0, 0] [1, 8, 2560, 64] [1, 1, 1, 1] : tensor<1x8x2560x64xf16> into {O}"""
sliced = output(program("slice.mlir", [("%r", O)], SLICE))
expect(bool(sliced) and (sliced["o"].data[..., :64].tobytes() == dense["o"].data[..., 64:].tobytes()), "a strided slice of the result")

# o may be of another float type than q, k and v.
small = {n: safetensors.Tensor("F32", [[[[1.0] * 8] * 64] * 2]) for n in "qkv"}
safetensors.write(path("f32.safetensors"), small)
with open(path("narrow.mlir"), "w") as file:
    file.write("""!t = tensor<1x2x64x8xf32>
func.func @f(%q: !t, %k: !t, %v: !t) -> tensor<1x2x64x8xf16> {
  %o = unisparse.block_sparse_attention %q, %k, %v block <64x64> : (!t, !t, !t) -> !t
  %e = tensor.empty() : tensor<1x2x64x8xf16>
  %h = linalg.map { arith.truncf } ins(%o : !t) outs(%e : tensor<1x2x64x8xf16>)
  return %h : tensor<1x2x64x8xf16>
}""")
narrow = subprocess.run([tool, path("f32.safetensors"), f"--program={path('narrow.mlir')}", f"--output={path('narrow')}"], capture_output=True, text=True)
expect(narrow.returncode == 0 and not narrow.stderr, f"o in f16 of f32 inputs: {narrow.stderr}")
expect(narrow.returncode == 0 and safetensors.read(path("narrow"))["o"].dtype == "F16", "the type of o is the program's")

# Names that the process, the C library or OpenMP has too, and names that are none of C's: on the sample's first tokens.
whole = SAMPLE, Q, KV, O, ATTEND
SAMPLE, Q, KV, O, ATTEND = path("short.safetensors"), *(x.replace("2560", "256") for x in (Q, KV, O, ATTEND))
safetensors.write(SAMPLE, {n: sample[n]._replace(data=sample[n].data[:, :256]) for n in "qkv"})
dense = output("--dense", "--opt-level=0")
BODY = f"""(%q: {Q}, %k: {KV}, %v: {KV}) -> {O} {{
  {ATTEND}
  return %o : {O}
}}"""
for name in ("malloc", "free", "memcpy", "main", "omp_get_thread_num", "__kmpc_fork_call", '"\\00"', '"a b\\FF"', "_mlir_ciface_unisparse_stage_begin"):
    with open(path("name.mlir"), "w") as file:
        file.write(f"func.func private @helper(%x: f32) -> f32 {{\n  return %x : f32\n}}\nfunc.func @{name}{BODY}\n")
    expect(same(output(f"--program={path('name.mlir')}", "--opt-level=0"), {"o": dense["o"]}), f"a program @{name}")
with open(path("helper.mlir"), "w") as file:
    file.write(f"func.func private @malloc(%x: {Q}) -> {Q} {{\n  return %x : {Q}\n}}\nfunc.func @f(%p: {Q}, %k: {KV}, %v: {KV}) -> {O} {{\n"
               f"  %q = func.call @malloc(%p) : ({Q}) -> {Q}\n  {ATTEND}\n  return %o : {O}\n}}\n")
expect(same(output(f"--program={path('helper.mlir')}", "--opt-level=0"), {"o": dense["o"]}), "a private function @malloc that is called")
# An assertion of the program's own.
with open(path("assert.mlir"), "w") as file:
    file.write(f"""func.func @f(%q: {Q}, %k: {KV}, %v: {KV}) -> {O} {{
  %z = arith.constant dense<0> : tensor<1xindex>
  %i = arith.constant 0 : index
  %a = tensor.extract %q[%i, %i, %i, %i] : {Q}
  %b = arith.cmpf une, %a, %a : f16
  cf.assert %b, "expected a NaN, got a number"
  {ATTEND}
  return %o : {O}
}}""")
asserts = run(f"--program={path('assert.mlir')}", "--opt-level=0")
SAMPLE, Q, KV, O, ATTEND = whole
expect(asserts.returncode == 1 and asserts.stderr == "unisparse-run: expected a NaN, got a number\n" and not asserts.stdout,
       f"an assertion: {asserts.returncode} {asserts.stderr}")

# What cannot be a result.
SMALL = """  %n = arith.constant 1 : index
  %c = tensor.empty(%n) : tensor<1x8x?xi32>
  %i = tensor.empty(%n, %n) : tensor<1x8x?x?xi32>"""
for what, name, results, body in (
        ("counts alone", "alone.mlir", [("%o", O), ("%c", "tensor<1x8x20xi32>")], f"  {ATTEND}\n  %c = tensor.empty() : tensor<1x8x20xi32>"),
        ("results smaller than promised", "small.mlir", [("%c", "tensor<1x8x?xi32>"), ("%i", "tensor<1x8x?x?xi32>")], SMALL),
        ("density alone for --output", "density.mlir", [("%c", "tensor<1x8xf32>")], "  %c = tensor.empty() : tensor<1x8xf32>"),
        ("o in f64", "f64.mlir", [("%c", "tensor<1x8x2560x128xf64>")], "  %c = tensor.empty() : tensor<1x8x2560x128xf64>"),
        ("a function without a body", "body.mlir", [("%o", O)], f"  {ATTEND}\n  return %o : {O}\n}}\nllvm.func @system(!llvm.ptr) -> i32\nfunc.func private @g(%q: {Q}, %k: {KV}, %v: {KV}) -> {O} {{\n  {ATTEND}"),
        ("a result of no meaning", "odd.mlir", [("%c", "tensor<4xi32>")], "  %c = tensor.empty() : tensor<4xi32>")):
    done = run(program(name, results, body), f"--output={path('never')}")
    expect(done.returncode == 1 and done.stderr.count("\n") == 1 and "expected" in done.stderr and "got" in done.stderr
           and not os.path.exists(path("never")), f"{what}: {done.returncode} {done.stderr}")

print(f"{checks} checks, {failures} failed")
sys.exit(1 if failures or checks < 10 else 0)
