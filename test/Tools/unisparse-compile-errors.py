# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && mkdir %t && %python %s --tool=unisparse-compile --tmp=%t
"""What unisparse-compile refuses: one line on stderr, status 2 for a wrong command line and 1 for bad input, no file."""

import argparse
import pathlib
import platform
import subprocess

parser = argparse.ArgumentParser()
parser.add_argument("--tool", required=True)
parser.add_argument("--tmp", type=pathlib.Path, required=True)
args = parser.parse_args()
tmp = args.tmp

PROGRAM = """
func.func @main(%q: tensor<1x4x?x64xf16>) -> tensor<1x4x?x64xf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (tensor<1x4x?x64xf16>, tensor<1x4x?x64xf16>, tensor<1x4x?x64xf16>) -> tensor<1x4x?x64xf16>
  return %o : tensor<1x4x?x64xf16>
}
"""
HOST = """module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0">]
  func.func @main(%n: memref<?xf32>) { return }
}
"""
for name, text in {
    "p.mlir": PROGRAM,
    "host.mlir": HOST,
    "broken.mlir": "func.func",
    "copies.mlir": PROGRAM.replace("return %o", "return %q"),
    "text.usp": "no artifact but long enough to be one",
    "outside.mlir": "func.func private @elsewhere()\nfunc.func @main(%x: tensor<2xf32>) -> tensor<2xf32> { return %x : tensor<2xf32> }",
    "f64.mlir": "func.func @main(%x: tensor<2xf64>) -> tensor<2xf64> { %y = arith.addf %x, %x : tensor<2xf64> return %y : tensor<2xf64> }",
    "damaged.so": "\0" * 16 + "\2\0\0\0" + "\0" * 4 + "UNISPCPU",
    "later.so": "\0" * 16 + "\3\0\0\0" + "\0" * 4 + "UNISPCPU",
}.items():
    (tmp / name).write_text(text)
(tmp / "folder").mkdir()

OUT = f"-o={tmp}/x.usp"
OPTIONS = ["--stage=block_sparse_attention", "--heads=4", "--head-dim=64", OUT]
CHIP = "--chip=sm_80"
P = f"{tmp}/p.mlir"
LEVELS = "x86-64, x86-64-v2, x86-64-v3, x86-64-v4, x86-64-v4-bf16" if platform.machine() == "x86_64" else "generic"
LEVEL = LEVELS.split(", ")[0]

# Bodies of regions, and what is said of them, with line and column: nothing of what is around them, or of MLIR's own options.
OPS = "[M5] expected an op of arith or math, or tensor.extract of a table, got"
ADD = "%y = arith.addf %logit, %logit : f32\n"
YIELD = "\nunisparse.yield %y : f32"
BODIES = [
    ("slopes", f"1:1: {OPS} 'slopes'"),
    ("lambda s: s + 1", f"1:1: {OPS} 'lambda'"),
    ("%y = foo.bar %logit : f32" + YIELD, f"1:6: {OPS} 'foo.bar'"),
    ('%y = "foo.bar"(%logit) : (f32) -> f32' + YIELD, f"1:15: {OPS} 'foo.bar'"),
    ("%y = arith.bar %logit : f32" + YIELD, f"1:6: {OPS} 'arith.bar'"),
    ('%y = "arith.bar"(%logit) : (f32) -> f32' + YIELD, f"1:6: {OPS} 'arith.bar'"),
    (ADD + "func.return", f"2:1: {OPS} 'func.return'"),
    ("#map = affine_map<(d0) -> (d0)>" + YIELD, f"1:1: {OPS} '#map'"),
    (ADD + "  !t = f32" + YIELD, f"2:3: {OPS} '!t'"),
    ("{" + YIELD, f"1:1: {OPS} '{{'"),
    ("%y = math.sin %logit : f32" + YIELD, "1:6: [M5] expected scalars of arith, but no remf or rounding mode, the ops of math that every target has, on f32, and tensor.extract of a table, got 'math.sin'"),
    ('%y = math.sin %logit : f32 loc("a.py":7:3)' + YIELD, "1:6: [M5] expected scalars of arith"),
    ("%d = arith.divsi %q, %k : i32\nunisparse.yield %logit : f32", "1:6: [M5] expected a constant divisor other than 0 and -1, got 'arith.divsi'"),
    ("%y = arith.truncf %logit : f32 to f8E4M3FN\nunisparse.yield %logit : f32", "1:6: [M5] expected integers of at most 64 bits, f16, bf16, f32 or f64, got 'f8E4M3FN'"),
    (ADD, "1:37: [M5] expected unisparse.yield as the last op, got the text's end"),
    ("// unisparse.yield", "1:19: [M5] expected unisparse.yield as the last op, got the text's end"),
    ("unisparse.yield %logit : f32\n" * 2, "1:1: [M5] expected unisparse.yield as the last op, got ops behind it"),
    ("unisparse.yield", "1:16: [M5] expected a value, as %logit, got the text's end"),
    ("unisparse.yield %q : i32", "1:22: [M5] expected f32, got 'i32'"),
    ("%y = arith.extf %logit : f32 to f64\nunisparse.yield %y : f64", "2:1: [M5] expected unisparse.yield's operand #0 to be 32-bit float, got 'f64'"),
    ("\nunisparse.yield %x : f32", "1:17: [M5] expected the name of a value or of a table, got '%x'"),
    ("unisparse.yield %q : f32", "1:17: [M5] expected a value of type f32, got %q of type i32"),
    ("%logit = arith.constant 1.0 : f32", "1:1: [M5] expected a name that no other value has, got '%logit'"),
    ("%y = arith.addf %x, %x : f32\n%x = arith.constant 1.0 : f32" + YIELD, "1:6: [M5] expected values from above the op, got operand #0 from below"),
    (ADD + "cf.br ^a\n^a:" + YIELD, "2:7: [M5] expected a body of one block, got '^a'"),
    ("^bb0(%a: f32):\nunisparse.yield %a : f32", "1:1: [M5] expected a body of one block, got '^bb0'"),
    (ADD + "// }\n} : () }" + YIELD, "3:1: [M5] expected ops up to the text's end, got '}'"),
    ("%y = arith.addf %logit, %logit" + YIELD, "2:1: [M5] expected ':', got 'unisparse.yield'"),
    ("%y = arith.addf %logit, %logit : foo" + YIELD, "1:34: [M5] expected a type, got 'foo'"),
    ("%y = arith.constant 1 : f32" + YIELD, "1:21: [M5] expected a number with a point, as 1.0, got '1'"),
    ("%y = arith.addf %logit, %logit \u20ac" + YIELD, "1:32: [M5] expected MLIR's characters, got '\u20ac'"),
    ('%y = "arith.addf' + YIELD, "1:17: [M5] expected a string that ends with \", got the line's end"),
    ("%y = arith.addf %logit, %logit {a = #foo.bar} : f32" + YIELD, "1:42: [M5] expected an attribute of MLIR's own, got"),
    ("%y = arith.addf %logit, %logit fastmath<odd> : f32" + YIELD, "1:41: [M5] expected one of: none, reassoc, nnan, ninf, nsz, arcp, contract, afn, fast, got 'odd'"),
    ("%y = arith.cmpf odd, %logit, %logit : f32" + YIELD, "1:17: [M5] expected one of [false, oeq,"),
    ("%y:2 = arith.addf %logit, %logit : f32" + YIELD, "1:1: [M5] expected valid MLIR, got '%y' (operation defines 1 results but was provided 2 to bind)"),
]

# (options, exit status, what the line has)
CASES = [
    ([], 2, "-o: expected a path, got ''"),
    ([P, P, OUT], 2, "input: expected one PROGRAM.mlir at most"),
    ([OUT], 2, "--heads: expected a number where no PROGRAM.mlir is given"),
    ([OUT, "--heads=4"], 2, "--head-dim: expected a number where no PROGRAM.mlir is given"),
    ([OUT, "--heads=four", "--head-dim=64"], 2, "--heads: expected a whole number, got 'four'"),
    ([*OPTIONS, "--score-mod="], 2, "--score-mod: expected [M5] alibi or the body of a region, got ''"),
    *(([*OPTIONS, CHIP, f"--score-mod={text}"], 1, f"--score-mod:{said}") for text, said in BODIES),
    ([*OPTIONS, CHIP, "--estimate-with-region"], 1, "--estimate-with-region: [M6] expected --score-mod beside it, got none"),
    ([*OPTIONS, CHIP, "--estimate-with-region", "--score-mod=alibi", "--head-pool=2"], 1, "--head-pool: [M6] expected 1 beside --estimate-with-region, got 2"),
    ([P, OUT, CHIP, "--estimate-with-region"], 2, "--estimate-with-region: expected no option about the computation beside"),
    ([*OPTIONS, CHIP, "--score-mod-heads=4,8"], 1, "--score-mod-heads: [M5] expected --score-mod beside it, got none"),
    ([*OPTIONS, CHIP, "--score-mod=alibi", "--score-mod-heads=5,8"], 1, "--score-mod-heads: [M5] expected 4 heads from the first on, got 5 of 8"),
    *(([*OPTIONS, CHIP, "--score-mod=alibi", f"--score-mod-heads={text}"], 2, f"--score-mod-heads: expected [M5] a head from 0 on and a number of heads, like 8,32, got '{text}'")
    for text in ("", "4", "-1,8", "0,0", "a,b")),
    ([P, OUT, CHIP, "--score-mod-heads=4,8"], 2, "--score-mod-heads: expected no option about the computation beside"),
    ([*OPTIONS, CHIP, "--score-tables=b:?xf32"], 1, "--score-tables: [M5] expected the text of a region in --score-mod beside it, got none"),
    ([*OPTIONS, CHIP, "--score-tables=b:?xf32", "--score-mod=alibi"], 1, "--score-tables: [M5] expected the text of a region in --score-mod beside it, got alibi"),
    ([P, OUT, CHIP, "--score-tables=b:?xf32"], 2, "--score-tables: expected no option about the computation beside"),
    *(([*OPTIONS, CHIP, f"--score-tables={text}"], 2, f"--score-tables: {said}")
    for text, said in (
        ("", "expected [M5] NAME:TYPE like bias:4x?xf32, got ''"), ("4b:?xf32", "expected [M5] NAME:TYPE like bias:4x?xf32, got '4b:?xf32'"),
        ("head:?xf32", "expected [M5] a name that no other value has, not one of q, k, v,"), ("b:?xf32,b:?xi32", "expected [M5] every name once, got 'b'"),
        ("b:f32", "expected [M5] 1 to 4 sizes and f32, f16, bf16 or i32, as in 4x?xf32, for b, got 'f32'"), ("b", "expected [M5] 1 to 4 sizes and f32, f16, bf16 or i32, as in 4x?xf32, for b, got ''"),
        ("b:?x?x?x?x?xf32", "expected [M5] 1 to 4 sizes"), ("b:?xf64", "expected [M5] 1 to 4 sizes"), ("b:0xf32", "expected [M5] sizes above 0, or ?, for b, got '0'"),
    )),
    ([*OPTIONS, CHIP, "--score-mod=unisparse.yield %b : f32", "--score-tables=b:?xf32"], 1, "--score-mod:1:17: [M5] expected a value of type f32, got %b of type tensor<?xf32>"),
    ([*OPTIONS, CHIP, "--score-mod=unisparse.yield %logit : f32", "--score-tables=b:?xf32"], 1, "--score-tables: [M5] expected tables that the text reads, got 'b', which it does not"),
    ([P, OUT, CHIP, "--score-mod=alibi"], 2, "--score-mod: expected no option about the computation beside"),
    ([*OPTIONS, "--kv-heads="], 2, "--kv-heads: expected a whole number, got ''"),
    ([*OPTIONS, "--value-dim=x"], 2, "--value-dim: expected a whole number, got 'x'"),
    ([*OPTIONS, "--entry=main"], 2, "--entry: expected a PROGRAM.mlir beside it, got 'main'"),
    ([*OPTIONS, "--format=ptx"], 2, "--format: expected isa or bin, got 'ptx'"),
    ([*OPTIONS, "--stage=score"], 2, "--stage: expected attention, block_sparse_attention, pool or select, got 'score'"),
    ([*OPTIONS, "--dtype=f64"], 2, "--dtype: expected f16, bf16 or f32, got 'f64'"),
    ([*OPTIONS, "--block=64"], 2, "--block: expected two sizes like 128x128, got '64'"),
    ([*OPTIONS, "--agg=mean"], 2, "--agg: expected max or sum, got 'mean'"),
    ([*OPTIONS, "--dump-ir="], 2, "--dump-ir: expected a path, got ''"),
    ([*OPTIONS, "--colour=red"], 2, "Unknown command line argument '--colour=red'"),
    *(([P, OUT, CHIP, option], 2, f"{option.split('=')[0]}: expected no option about the computation beside PROGRAM.mlir")
    for option in ("--block=64x64", "--heads=4", "--stage=attention", "--packed", "--return-lse", "--dtype=f16", "--p=0.5")),
    ([*OPTIONS, "--target=gpu"], 2, "--target: expected cuda or cpu, got 'gpu'"),
    ([*OPTIONS, "--target=cpu", CHIP], 2, "--chip: expected none beside --target=cpu, got one"),
    ([*OPTIONS, "--target=cpu", "--format=bin"], 2, "--format: expected none beside --target=cpu, got one"),
    ([*OPTIONS, CHIP, f"--cpu={LEVEL}"], 2, "--cpu: expected none beside --target=cuda, got one"),
    ([*OPTIONS, CHIP, "--opt-level=0"], 2, "--opt-level: expected none beside --target=cuda, got one"),
    ([*OPTIONS, "--target=cpu", "--opt-level=4", OUT], 1, "--opt-level: expected 0 to 3, got 4"),
    ([*OPTIONS, CHIP, "--linker=ld"], 2, "--linker: expected none beside --target=cuda, got one"),
    ([*OPTIONS, "--target=cpu", "--cpu=i486"], 2, f"--cpu: expected {LEVELS}, got 'i486'"),
    ([*OPTIONS, "--target=cpu", "--linker="], 2, "--linker: expected a program, got ''"),
    (["--show="], 2, "--show: expected a path, got ''"),
    ([f"--show={tmp}/text.usp", OUT], 2, "--show: expected no program and no -o beside it"),
    ([f"--show={tmp}/text.usp", P], 2, "--show: expected no program and no -o beside it"),
    ([f"--show={tmp}/none.usp"], 1, "none.usp: cannot open, expected a readable file, got"),
    ([f"--show={tmp}/text.usp"], 1, "text.usp: expected an artifact that starts with UNISPARS, got another kind of file"),
    ([*OPTIONS], 1, "--chip: expected at least one, got none"),
    ([*OPTIONS, "--chip=sm_70"], 1, "--chip: expected one of sm_80, sm_86, sm_89, sm_90, sm_90a, sm_100a, sm_120, got sm_70"),
    ([*OPTIONS, CHIP, CHIP], 1, "--chip: expected every chip once, got sm_80 twice"),
    ([*OPTIONS, CHIP, "--heads=0"], 1, "--heads: expected at least 1, got 0"),
    ([*OPTIONS, CHIP, "--kv-heads=0"], 1, "--kv-heads: expected at least 1, got 0"),
    ([*OPTIONS, CHIP, "--kv-heads=3"], 1, "--kv-heads: [I3] expected a number that divides --heads 4, got 3"),
    (["--heads=4", "--head-dim=64", OUT, CHIP, "--pool=3x8"], 1, "--pool: [I5] expected a query factor that divides the query block 128, got 3"),
    (["--heads=4", "--head-dim=64", OUT, CHIP, "--spread=5"], 1, "--spread: [P6] expected a number that divides --head-dim 64, got 5"),
    (["--heads=4", "--head-dim=64", OUT, CHIP, "--representatives=4", "--agg=sum"], 1, "--agg: [P5] expected max beside --representatives, got sum"),
    ([*OPTIONS, CHIP, "--return-selection"], 1, "--return-selection: expected --stage=attention"),
    *(([*OPTIONS, CHIP, "--stage=select", option], 1, f"{option.split('=')[0]}: expected a stage that attends, got pool or select")
    for option in ("--return-lse", "--return-selection", "--sink-logits", "--score-mod=alibi")),
    ([*OPTIONS, CHIP, "--stage=pool", "--p=1"], 1, "--stage: expected a rule that reads masses beside pool, got one that takes blocks without"),
    ([*OPTIONS, CHIP, "--stage=select", "--head-pool=3"], 1, "[I6] expected"),
    # The tile level has no kernel for it, and says so.
    ([*OPTIONS, CHIP, "--head-dim=36"], 1, "expected a head_dim that is a multiple of 8 up to 256 at the tile level, got 36"),
    ([P, "--target=cpu", "--linker=no-such-linker"], 2, "-o: expected a path, got ''"),
    ([P, OUT, "--target=cpu", "--linker=no-such-linker"], 1, "--linker: expected a program that links, got 'no-such-linker'"),
    ([P, OUT, "--target=cpu", "--linker=false"], 1, "/false to link the library, got: exit status 1"),
    ([P, OUT, "--target=cpu", "--entry=other"], 1, "expected a function @other, got none"),
    ([f"{tmp}/outside.mlir", OUT, "--target=cpu"], 1, "expected no function without a body, got @elsewhere"),
    ([f"{tmp}/f64.mlir", OUT, "--target=cpu"], 1, "expected argument 0 to be a buffer of f32, f16, bf16 or i32 of at most 4 dimensions, got 'memref<2xf64>'"),
    ([f"--show={tmp}/damaged.so"], 1, "damaged.so: expected a library that matches its checksum, got a damaged one"),
    ([f"--show={tmp}/later.so"], 1, "later.so: expected a library for the CPU of version 2, got 3"),
    ([P, CHIP, f"-o={tmp}/folder"], 1, "-o: expected a file, got the folder"),
    ([P, CHIP, f"-o={tmp}/none/x.usp"], 1, "-o: expected a folder to write"),
    ([f"{tmp}/none.mlir", CHIP, OUT], 1, "none.mlir"),
    ([f"{tmp}/broken.mlir", CHIP, OUT], 1, "broken.mlir:1:"),
    ([P, CHIP, OUT, "--entry=other"], 1, "expected a function @other, got none"),
    # What is compiled is for one chip.
    ([f"{tmp}/host.mlir", CHIP, OUT], 1, "--chip: expected none beside a program that is compiled, got sm_80"),
    # A result that is an argument would have to be copied by the host.
    ([f"{tmp}/copies.mlir", CHIP, OUT], 1, "copies.mlir:"),
]

for options, status, part in CASES:
    run = subprocess.run([args.tool, *options], capture_output=True, text=True, timeout=60)
    line = run.stderr
    assert run.returncode == status, (options, run.returncode, line)
    assert line.startswith("unisparse-compile: ") and line.count("\n") == 1, (options, line)
    assert part in line, (options, line)
    assert not run.stdout and not (tmp / "x.usp").exists(), options
print(len(CASES), "cases")
