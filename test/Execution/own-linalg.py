# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && mkdir %t && %python %s %unisparse_run unisparse-compile %fake_driver %t
"""A program's own linalg around the stages: what it computes on the CPU, and as the pages that GPUs get, is NumPy's; on a GPU
its kernels are launched between those of the stages."""
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "..", "Oracle")]
import numpy as np  # noqa: E402
import oracle  # noqa: E402
import safetensors  # noqa: E402
from safetensors import Tensor  # noqa: E402

tool, compiler, driver, folder = sys.argv[1:]
EXAMPLES = os.path.join(HERE, "..", "..", "examples")
SAMPLE = os.path.join(EXAMPLES, "sample.safetensors")
checks = failures = 0


def expect(good, what):
    global checks, failures
    checks, failures = checks + 1, failures + (not good)
    if not good:
        print("FAIL ", what)


def path(name):
    return os.path.join(folder, name)


def run(*words, **environment):
    return subprocess.run([tool, *words], capture_output=True, text=True, timeout=300, env={**os.environ, **environment})


def output(*words):
    done = run(*words, f"--output={path('out.safetensors')}")
    expect(done.returncode == 0, f"{words}: {done.stderr}")
    return safetensors.read(path("out.safetensors")) if done.returncode == 0 else {}


def mask(got, h):
    n = got["counts"].data.shape[-1]
    result = np.zeros((n, n), bool)
    for r, (n, row) in enumerate(zip(got["counts"].data[h], got["indices"].data[h])):
        result[r, row[:n]] = True
    return result


# The examples, on the CPU and as pages.
sample = safetensors.read(SAMPLE)
q, k = (sample[n].data.astype(np.float64) for n in "qk")
# Pages are slow on a CPU: they get the first tokens.
LONG, SHORT = 2560, 640
safetensors.write(path("short.safetensors"), {n: sample[n]._replace(data=sample[n].data[:, :SHORT]) for n in "qkv"})
with open(f"{EXAMPLES}/mean-rule.mlir") as long, open(path("short.mlir"), "w") as short:
    text = re.sub(r"(?<=x)20(?=x)", str(SHORT // 128), long.read().replace(str(LONG), str(SHORT)))
    short.write(text.replace(f"x{LONG // 8}x", f"x{SHORT // 8}x"))
f16 = lambda x: x.astype(np.float16).astype(np.float64)  # noqa: E731
for target, tokens, words in (("cpu", LONG, (SAMPLE, f"--program={EXAMPLES}/mean-rule.mlir")),
                              ("tile-cpu", SHORT, (path("short.safetensors"), f"--program={path('short.mlir')}"))):
    got, rows = output(*words, f"--target={target}"), tokens // 128
    candidates = np.tril(np.ones((rows, rows), bool))
    for h in range(8) if got else ():
        mass = oracle.block_mass(q[h, :tokens], k[h // 4, :tokens], 8, 8, 128, 128, 128**-0.5, store=f16)
        mean = mass.sum(1, keepdims=True) / candidates.sum(1, keepdims=True)
        clear = np.abs(mass - mean) > 1e-4
        want = (mass >= mean) & candidates
        want[:, 0] = want[np.arange(rows), np.arange(rows)] = True
        expect(np.array_equal(want & clear, mask(got, h) & clear), f"mean-rule.mlir, {target}, head {h}")
got = output(SAMPLE, f"--program={EXAMPLES}/weighted-composites.mlir")
weights = np.array([0.05, 0.1, 0.15, 0.2, 0.2, 0.15, 0.1, 0.05])
for h in range(8) if got else ():
    composites = [f16(np.einsum("atd,t->ad", x.reshape(320, 8, 128), weights)) for x in (q[h], k[h // 4])]
    wrong = oracle.selection_valid(mask(got, h), oracle.block_mass(*composites, 1, 1, 16, 16, 128**-0.5), 2560, 2560, 128, 128, 0.9, eps=0.001)
    expect(not wrong, f"weighted-composites.mlir, head {h}: {wrong}")
# Rows of 1024, side by side in memory: the same blocks.
FEW = 384
safetensors.write(path("few.safetensors"), {n: sample[n]._replace(data=sample[n].data[:, :FEW]) for n in "qkv"})
with open(f"{EXAMPLES}/antidiagonal.mlir") as long, open(path("sums.mlir"), "w") as short:
    text = long.read().replace(str(LONG), str(FEW)).replace(str(LONG // 8), str(FEW // 8))
    short.write(re.sub(r"(?<=x)20(?=x)", str(FEW // 128), text).replace("top_p = 0.9", "top_p = 0.4"))
sums = [output(path("few.safetensors"), f"--program={path('sums.mlir')}", f"--target={target}", "--opt-level=0") for target in ("cpu", "tile-cpu")]
if all(sums):
    expect(sums[0]["counts"].data.sum() < 8 * 6, "antidiagonal.mlir selects")
    for name in ("counts", "indices"):
        expect(np.array_equal(*(got[name].data for got in sums)), f"antidiagonal.mlir: {name} differ")
done = subprocess.run([compiler, f"{EXAMPLES}/antidiagonal.mlir", "-o", path("x.usp"), "--chip=sm_90a"], capture_output=True, text=True)
expect(done.returncode == 0, f"antidiagonal.mlir: {done.stderr}")

# Forms of linalg, on 2 sequences of 4 heads of 32 tokens of 32.
rng = np.random.default_rng(0)
data = {name: rng.uniform(0.1, 1.5, (2, 4, 32, 32)) for name in "qkv"}
T, R, MAPS = "tensor<2x4x32x32xf32>", "tensor<2x4x32xf32>", """#all = affine_map<(b, h, i, d) -> (b, h, i, d)>
#rows = affine_map<(b, h, i, d) -> (b, h, i)>
#turned = affine_map<(b, h, i, d) -> (b, h, d, i)>
#d = affine_map<(b, h, i, d) -> (d)>
"""
PARALLEL, REDUCED = '["parallel", "parallel", "parallel", "parallel"]', '["parallel", "parallel", "parallel", "reduction"]'


def elementwise(body, operands="%q", maps="#all", result="#all"):
    """One linalg.generic over the operands, named %x0, %x1, ... in its body."""
    names = operands.split(", ")
    arguments = "".join(f"%x{i}: f32, " for i in range(len(names)))
    return f"""  %e = tensor.empty() : {T}
  %r = linalg.generic {{indexing_maps = [{', '.join([*(maps.split(', ') * len(names))[:len(names)], result])}], iterator_types = {PARALLEL}}}
      ins({operands} : {', '.join([T] * len(names))}) outs(%e : {T}) {{
  ^bb0({arguments}%u: f32):
{body}
  }} -> {T}
  return %r : {T}"""


def program(name, types, result, body, element="F32", tolerance=1e-5, want=None):
    arguments = ", ".join(f"%{n}: {t}" for n, t in zip("qkv", types))
    with open(path(f"{name}.mlir"), "w") as file:
        file.write(f"{MAPS}func.func @f({arguments}) -> {result} {{\n{body}\n}}\n")
    file = path(f"{element}.safetensors")
    numpy = {"F32": np.float32, "F16": np.float16}[element]
    safetensors.write(file, {n: Tensor(element, x.astype(numpy)) for n, x in data.items()})
    wanted = want(*(x.astype(numpy).astype(np.float64) for x in data.values()))
    for target in ("cpu", "tile-cpu"):
        got = output(file, f"--program={path(name)}.mlir", f"--target={target}")
        if got:
            value = (got["o"] if "o" in got else got["lse"]).data.astype(np.float64)
            error = np.max(np.abs(value - wanted) / np.maximum(1, np.abs(wanted)))
            expect(value.shape == wanted.shape and error <= tolerance, f"{name}, {target}: off by {error}")
    # PTX has all of it.
    done = subprocess.run([compiler, f"{path(name)}.mlir", "-o", path("x.usp"), "--chip=sm_80"], capture_output=True, text=True)
    expect(done.returncode == 0, f"{name}: {done.stderr}")
    return done


def whole(name, body, want, **more):
    return program(name, [T] * 3, T, body, want=want, **more)


for function, numpy in (("exp", np.exp), ("log", np.log), ("tanh", np.tanh), ("sin", np.sin), ("sqrt", np.sqrt), ("exp2", np.exp2),
                        ("log2", np.log2), ("floor", np.floor), ("rsqrt", lambda x: x**-0.5)):
    whole(function, elementwise(f"    %y = math.{function} %x0 : f32\n    linalg.yield %y : f32"), lambda q, k, v: numpy(q))
whole("powf", elementwise("    %y = math.powf %x0, %x1 : f32\n    linalg.yield %y : f32", "%q, %k"), lambda q, k, v: q**k)
whole("turned", elementwise("    %y = arith.addf %x0, %x1 : f32\n    linalg.yield %y : f32", "%q, %k", "#all, #turned", "#turned"),
      lambda q, k, v: np.swapaxes(q, 2, 3) + k)
whole("index", elementwise("""    %i = linalg.index 2 : index
    %n = arith.index_cast %i : index to i32
    %f = arith.sitofp %n : i32 to f32
    %y = arith.mulf %x0, %f : f32
    linalg.yield %y : f32"""), lambda q, k, v: q * np.arange(32)[:, None])
whole("gather", elementwise("""    %b = linalg.index 0 : index
    %h = linalg.index 1 : index
    %i = linalg.index 2 : index
    %d = linalg.index 3 : index
    %last = arith.constant 31 : index
    %j = arith.subi %last, %i : index
    %t = tensor.extract %k[%b, %h, %j, %d] : tensor<2x4x32x32xf32>
    %y = arith.subf %x0, %t : f32
    linalg.yield %y : f32"""), lambda q, k, v: q - k[:, :, ::-1])
# What is reduced keeps its dim, as front ends have it.
whole("kept", f"""  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x4x32x1xf32>
  %n = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4x32x1xf32>) -> tensor<2x4x32x1xf32>
  %s = linalg.generic {{indexing_maps = [#all, affine_map<(b, h, i, d) -> (b, h, i, 0)>], iterator_types = {REDUCED}}}
      ins(%q : {T}) outs(%n : tensor<2x4x32x1xf32>) {{
  ^bb0(%x: f32, %a: f32):
    %y = arith.addf %a, %x : f32
    linalg.yield %y : f32
  }} -> tensor<2x4x32x1xf32>
  %o = tensor.empty() : {T}
  %r = linalg.generic {{indexing_maps = [#all, affine_map<(b, h, i, d) -> (b, h, i, 0)>, #all], iterator_types = {PARALLEL}}}
      ins(%q, %s : {T}, tensor<2x4x32x1xf32>) outs(%o : {T}) {{
  ^bb0(%x: f32, %a: f32, %u: f32):
    %y = arith.subf %x, %a : f32
    linalg.yield %y : f32
  }} -> {T}
  return %r : {T}""", lambda q, k, v: q - q.sum(-1, keepdims=True))
# Named ops, softmax, arithmetic on tensors, constants of one number and of many: all of it one program.
TABLE = ", ".join(f"{x:.3f}" for x in np.arange(32) / 8)
whole("named", f"""  %table = arith.constant dense<[{TABLE}]> : tensor<32xf32>
  %two = arith.constant dense<2.0> : {T}
  %e = tensor.empty() : {T}
  %wide = linalg.broadcast ins(%table : tensor<32xf32>) outs(%e : {T}) dimensions = [0, 1, 2]
  %sum = arith.addf %q, %wide : {T}
  %product = arith.mulf %sum, %two : {T}
  %soft = linalg.softmax dimension(3) ins(%product : {T}) outs(%e : {T}) -> {T}
  %kt = linalg.transpose ins(%k : {T}) outs(%e : {T}) permutation = [0, 1, 3, 2]
  %zero = arith.constant 0.0 : f32
  %none = linalg.fill ins(%zero : f32) outs(%e : {T}) -> {T}
  %r = linalg.generic {{indexing_maps = [affine_map<(b, h, i, j, d) -> (b, h, i, d)>, affine_map<(b, h, i, j, d) -> (b, h, d, j)>,
                                        affine_map<(b, h, i, j, d) -> (b, h, i, j)>],
                       iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}}
      ins(%soft, %kt : {T}, {T}) outs(%none : {T}) {{
  ^bb0(%x: f32, %y: f32, %s: f32):
    %p = arith.mulf %x, %y : f32
    %t = arith.addf %s, %p : f32
    linalg.yield %t : f32
  }} -> {T}
  return %r : {T}""",
      lambda q, k, v: (lambda e: np.einsum("bhid,bhjd->bhij", e / e.sum(-1, keepdims=True), k))(
          np.exp(2 * (q + np.arange(32) / 8) - (2 * (q + np.arange(32) / 8)).max(-1, keepdims=True))))
# Two results of one reduction, of which one counts; initial values that somebody computed; dynamic sizes.
D = "tensor<?x4x?x32xf32>"
program("rows", [D] * 3, "tensor<?x4x?xf32>", f"""  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %b = tensor.dim %q, %c0 : {D}
  %l = tensor.dim %q, %c2 : {D}
  %zero = arith.constant 0.0 : f32
  %none = arith.constant 0 : i32
  %e = tensor.empty(%b, %l) : tensor<?x4x?xf32>
  %n = tensor.empty(%b, %l) : tensor<?x4x?xi32>
  %start = linalg.generic {{indexing_maps = [affine_map<(b, h, i) -> (b, h, i)>], iterator_types = ["parallel", "parallel", "parallel"]}}
      outs(%e : tensor<?x4x?xf32>) {{
  ^bb0(%u: f32):
    %i = linalg.index 2 : index
    %j = arith.index_cast %i : index to i32
    %f = arith.sitofp %j : i32 to f32
    linalg.yield %f : f32
  }} -> tensor<?x4x?xf32>
  %empty = linalg.fill ins(%none : i32) outs(%n : tensor<?x4x?xi32>) -> tensor<?x4x?xi32>
  %sums:2 = linalg.generic {{indexing_maps = [#all, #rows, #rows], iterator_types = {REDUCED}}}
      ins(%q : {D}) outs(%start, %empty : tensor<?x4x?xf32>, tensor<?x4x?xi32>) {{
  ^bb0(%x: f32, %s: f32, %m: i32):
    %one = arith.constant 1 : i32
    %half = arith.constant 0.5 : f32
    %t = arith.addf %s, %x : f32
    %large = arith.cmpf ogt, %x, %half : f32
    %next = arith.addi %m, %one : i32
    %count = arith.select %large, %next, %m : i32
    linalg.yield %t, %count : f32, i32
  }} -> (tensor<?x4x?xf32>, tensor<?x4x?xi32>)
  %r = linalg.generic {{indexing_maps = [affine_map<(b, h, i) -> (b, h, i)>, affine_map<(b, h, i) -> (b, h, i)>, affine_map<(b, h, i) -> (b, h, i)>],
                       iterator_types = ["parallel", "parallel", "parallel"]}}
      ins(%sums#0, %sums#1 : tensor<?x4x?xf32>, tensor<?x4x?xi32>) outs(%e : tensor<?x4x?xf32>) {{
  ^bb0(%x: f32, %m: i32, %u: f32):
    %f = arith.sitofp %m : i32 to f32
    %y = arith.addf %x, %f : f32
    linalg.yield %y : f32
  }} -> tensor<?x4x?xf32>
  return %r : tensor<?x4x?xf32>""", want=lambda q, k, v: q.sum(-1) + np.arange(32) + (q > 0.5).sum(-1))
# A strided product with a table of weights, as another compression is.
program("weights", [T] * 3, R, """  %w = arith.constant dense<[0.1, 0.2, 0.3, 0.4, 0.3, 0.2, 0.1, 0.05]> : tensor<8xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x4x32xf32>
  %n = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4x32xf32>) -> tensor<2x4x32xf32>
  %shape = tensor.empty() : tensor<4xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(b, h, a, t, d) -> (b, h, a * 8 + t, d)>, affine_map<(b, h, a, t, d) -> (t)>,
                                        affine_map<(b, h, a, t, d) -> (a)>, affine_map<(b, h, a, t, d) -> (b, h, d)>],
                       iterator_types = ["parallel", "parallel", "reduction", "reduction", "parallel"]}
      ins(%q, %w, %shape : tensor<2x4x32x32xf32>, tensor<8xf32>, tensor<4xf32>) outs(%n : tensor<2x4x32xf32>) {
  ^bb0(%x: f32, %y: f32, %u: f32, %s: f32):
    %p = arith.mulf %x, %y : f32
    %t = arith.addf %s, %p : f32
    linalg.yield %t : f32
  } -> tensor<2x4x32xf32>
  return %r : tensor<2x4x32xf32>""",
        want=lambda q, k, v: np.einsum("bhatd,t->bhd", q.reshape(2, 4, 4, 8, 32), [0.1, 0.2, 0.3, 0.4, 0.3, 0.2, 0.1, 0.05]))
# Narrow elements, of which functions are taken in f32.
H = T.replace("f32", "f16")
program("narrow", [H] * 3, H, elementwise("    %y = math.exp %x0 : f16\n    linalg.yield %y : f16").replace("f32", "f16"), "F16", 2e-3,
        lambda q, k, v: np.exp(q))

# Between the stages' kernels, in order.
log = path("log")
done = run(SAMPLE, "--target=cuda", f"--program={EXAMPLES}/custom-selection.mlir", UNISPARSE_LIBCUDA=driver, FAKE_CAPABILITY="90", FAKE_LOG=log)
expect(done.returncode == 0, f"custom-selection.mlir on a driver: {done.stderr}")
if not done.returncode:
    launches = [line.split()[1] for line in open(log) if line.startswith("launch")]
    expect(launches == ["pool", "pool_0", "score", "linalg", "select", "density", "attend"], f"launches: {launches}")

# What a GPU cannot have is refused by name.
for name, body, result, message in (
    ("all", f"""  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<f32>
  %n = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %s = linalg.generic {{indexing_maps = [#all, affine_map<(b, h, i, d) -> ()>], iterator_types = ["reduction", "reduction", "reduction", "reduction"]}}
      ins(%q : {T}) outs(%n : tensor<f32>) {{
  ^bb0(%x: f32, %a: f32):
    %y = arith.addf %x, %a : f32
    linalg.yield %y : f32
  }} -> tensor<f32>
  %o = tensor.empty() : {T}
  %r = linalg.broadcast ins(%s : tensor<f32>) outs(%o : {T}) dimensions = [0, 1, 2, 3]
  return %r : {T}""", T, "expected results of rank 1 or more with an element for each point of the parallel loops, got the map"),
    ("bits", f"""  %e = tensor.empty() : tensor<2x4x32x32xi1>
  %b = linalg.generic {{indexing_maps = [#all, #all], iterator_types = {PARALLEL}}} ins(%q : {T}) outs(%e : tensor<2x4x32x32xi1>) {{
  ^bb0(%x: f32, %u: i1):
    %y = arith.cmpf ogt, %x, %x : f32
    linalg.yield %y : i1
  }} -> tensor<2x4x32x32xi1>
  %o = tensor.empty() : {T}
  %r = linalg.generic {{indexing_maps = [#turned, #all], iterator_types = {REDUCED.replace("reduction", "parallel")}}}
      ins(%b : tensor<2x4x32x32xi1>) outs(%o : {T}) {{
  ^bb0(%x: i1, %u: f32):
    %one = arith.constant 1.0 : f32
    %zero = arith.constant 0.0 : f32
    %y = arith.select %x, %one, %zero : f32
    linalg.yield %y : f32
  }} -> {T}
  %s = linalg.generic {{indexing_maps = [#all, #all, #all], iterator_types = {PARALLEL}}} ins(%r, %b : {T}, tensor<2x4x32x32xi1>) outs(%o : {T}) {{
  ^bb0(%x: f32, %c: i1, %u: f32):
    %y = arith.select %c, %x, %u : f32
    linalg.yield %y : f32
  }} -> {T}
  return %s : {T}""", T, "expected elements of whole bytes on a GPU, got 'i1'"),
    ("wide", elementwise("    %y = math.atan2 %x0, %x0 : f64\n    linalg.yield %y : f64").replace("f32", "f64"), T.replace("f32", "f64"), "'math.atan2'"),
):
    types = T if result == T else result
    with open(path(f"{name}.mlir"), "w") as file:
        file.write(f"{MAPS}func.func @f(%q: {types}, %k: {types}, %v: {types}) -> {result} {{\n{body}\n}}\n")
    done = subprocess.run([compiler, f"{path(name)}.mlir", "-o", path("x.usp"), "--chip=sm_80"], capture_output=True, text=True)
    expect(done.returncode == 1 and done.stderr.count("\n") == 1 and message in done.stderr, f"{name}: {done}")

print(f"{checks - failures} of {checks} checks passed")
sys.exit(failures != 0)
