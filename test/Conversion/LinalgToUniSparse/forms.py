# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --opt=%unisparse_opt --runner=%mlir_runner --omp=%libomp --tmp=%t
"""Attention as front ends export it (Inputs/) and as lib/spell.py spells it: what is raised computes what the original
does, on the CPU, and what is not says why.

Inputs: torch_* and jax_* are linalg from torch-mlir and from StableHLO, tm_tensor_*, aten_* and stablehlo_* keep the op."""
import argparse
import bisect
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
from spell import Spelling, function  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__)
for option in ("opt", "runner", "omp", "tmp"):
    parser.add_argument(f"--{option}", required=True)
args = parser.parse_args()
os.makedirs(args.tmp, exist_ok=True)

UNKNOWN_ADD = "expected a causal mask to be added to the logits, got a tensor of unknown contents"
UNKNOWN = "expected a causal mask that compares positions, got one of unknown contents"
UNKNOWN_NAMED = "expected a causal mask, got a tensor of unknown contents"
TOP_LEFT = "[I7] expected a causal mask whose last query sees every key"
REFUSED = {
    "torch_eager_gqa_mask": UNKNOWN_ADD, "torch_eager_gqa_mask_bf16": UNKNOWN_ADD, "torch_sdpa_mask_add": UNKNOWN_ADD,
    "torch_sdpa_mask_bool": UNKNOWN, "torch_sdpa_causal_chunk": TOP_LEFT, "jax_dpa_bias": UNKNOWN_ADD,
    "jax_dpa_mask": UNKNOWN, "tm_tensor_sdpa_mask_add": UNKNOWN_NAMED, "tm_tensor_sdpa_mask_bool": UNKNOWN,
    "tm_tensor_sdpa_causal_chunk": TOP_LEFT, "aten_sdpa_mask_add": "expected no attn_mask, got a tensor",
    "aten_sdpa_mask_bool": "expected no attn_mask, got a tensor",
    "aten_sdpa_causal_chunk": "[I7] expected as many queries as keys of is_causal",
}
SPELLED = [
    Spelling("plain"),
    Spelling("swapped", swap=True, mask="select"),
    Spelling("divided", scale="divide", mask="add"),
    Spelling("scaled_q", scale="q", mask="hide-first"),
    Spelling("scaled_both", scale="both", mask="low", lq=40, lk=40),
    Spelling("unscaled", scale="none"),
    Spelling("wide", d=128, dv=96, mask="select"),
    Spelling("wider", d=256, dv=256, hkv=1, g=2),
    Spelling("one_kv_head", hkv=1, g=4, mask="select"),
    Spelling("alone", hkv=4, g=1, b=2),
    Spelling("chunk", lq=24, lk=40, mask="offset"),
    Spelling("cross", lq=24, lk=40),
    Spelling("jax_layout", b=2, q="bihgd", k="bjhd", v="bjhe", o="bihge", mask="select"),
    Spelling("transposed", q="bhgdi", k="bhdj", v="bhej", o="bhgei", mask="select"),
    Spelling("length_first", b=2, q="ibhgd", k="jbhd", v="jbhe", o="ibhge", mask="add", swap=True),
    Spelling("halves", element="f16", mask="select"),
    Spelling("brains", element="bf16", mask="select"),
    Spelling("prepared", prepare="math.tanh"),
    Spelling("one_query", lq=1),
    Spelling("in_a_loop", around="for", mask="select"),
    Spelling("two_layers", around="again", mask="shared"),
    Spelling("under_a_branch", around="if", scale="both"),
]
SPELLED_REFUSED = [
    (Spelling("leaks", leak=True), "expected no use of logits or probabilities but the product with v"),
    (Spelling("between", between="arith.mulf %y, %y"), "expected nothing between softmax and the product with v"),
    (Spelling("top_left", lq=24, lk=40, mask="select"), TOP_LEFT),
    (Spelling("data_mask", mask="data"), UNKNOWN_ADD),
    (Spelling("weak_mask", mask="weak"), "expected a mask to set logits to -inf or a number below -30000"),
    (Spelling("strict", mask="strict"), TOP_LEFT),
]
failures = []
checks = 0


def expect(good, what):
    global checks
    checks += 1
    if not good:
        failures.append(what)


def path(name):
    return os.path.join(args.tmp, name)


def opt(texts, *options):
    """Of each text what it becomes, and the remarks on it: one process for all."""
    split = "// -----\n"
    done = subprocess.run([args.opt, "--allow-unregistered-dialect", "--split-input-file", *options],
                          input=f"\n{split}".join(texts), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"unisparse-opt {options}: {done.stderr[:3000]}")
    results, remarks, ends, line = done.stdout.split(split), [[] for _ in texts], [], 0
    assert len(results) == len(texts), (len(results), len(texts))
    for text in texts:
        line += text.count("\n") + 2
        ends.append(line)
    for line in done.stderr.splitlines():
        if "remark: " in line:
            remarks[bisect.bisect_left(ends, int(re.match(r"[^:]*:(\d+):", line)[1]))].append(line)
    return list(zip(results, remarks))


def raised(texts):
    return opt(texts, "--unisparse-from-linalg")


def functions(texts, name):
    """The functions of modules with the public one renamed; names of maps are spelled out by the generic form."""
    bodies = []
    for text, (done, _) in zip(texts, opt(texts, "--mlir-print-op-generic", "--mlir-print-local-scope")):
        body = re.search(r'^"builtin.module".*?\(\{\n(.*)^\}\)', done, re.S | re.M).group(1)
        bodies.append(body.replace(f'sym_name = "{signature(text)[0]}"', f'sym_name = "{name}"'))
    return bodies


def prefixed(text, prefix):
    """Private helpers of different modules may have one name."""
    for symbol in set(re.findall(r'sym_name = "([^"]+)"', text)):
        text = re.sub(rf'sym_name = "{re.escape(symbol)}"', f'sym_name = "{prefix}{symbol}"', text)
        text = re.sub(rf'@"?{re.escape(symbol)}"?(?![\w.])', f'@"{prefix}{symbol}"', text)
    return text


def signature(text):
    found = re.search(r"func\.func (?:public )?@([\w.]+)\((.*?)\) -> \(?(tensor<[^>]*>)", text)
    return found.group(1), re.findall(r"tensor<[^>]*>", found.group(2)), found.group(3)


def fill(name, kind, seed):
    sizes, element = re.match(r"tensor<(.*)x(\w+)>", kind).groups()
    rank = len(sizes.split("x"))
    dims = ", ".join(f"d{i}" for i in range(rank))
    ops = [f"%h0 = arith.constant {seed * 7919} : i64"]
    for i in range(rank):
        ops += [f"%i{i} = linalg.index {i} : index", f"%c{i} = arith.index_cast %i{i} : index to i64",
                f"%f{i} = arith.constant {(10007, 1009, 131, 37, 17)[i]} : i64", f"%p{i} = arith.muli %c{i}, %f{i} : i64",
                f"%h{i + 1} = arith.addi %h{i}, %p{i} : i64"]
    ops += [f"%sq = arith.muli %h{rank}, %h{rank} : i64", "%m = arith.constant 2039 : i64", "%r = arith.remsi %sq, %m : i64",
            "%x = arith.sitofp %r : i64 to f32", "%n = arith.constant 680.0 : f32", "%one = arith.constant 1.5 : f32",
            "%y = arith.divf %x, %n : f32", "%z = arith.subf %y, %one : f32"]
    ops += [f"%t = arith.truncf %z : f32 to {element}"] if element != "f32" else ["%zero = arith.constant 0.0 : f32", "%t = arith.addf %z, %zero : f32"]
    body = "\n      ".join(ops)
    kinds = ", ".join(['"parallel"'] * rank)
    return (f"    {name}e = tensor.empty() : {kind}\n    {name} = linalg.generic {{indexing_maps = [affine_map<({dims}) -> ({dims})>], "
            f"iterator_types = [{kinds}]}} outs({name}e : {kind}) {{\n    ^bb0(%o: {element}):\n      {body}\n      linalg.yield %t : {element}\n    }} -> {kind}\n")


def comparison(number, left, right, types, result, tolerance):
    """Adds bit `number` to %bad where the functions differ, or all is zero."""
    static = [t.replace("?", "40") for t in types]
    out = result.replace("?", "40")
    element = re.match(r".*x(\w+)>", out).group(1)
    rank = out.count("x")
    n = f"%n{number}_"
    text = "".join(fill(f"{n}a{i}", t, number * 5 + i) for i, t in enumerate(static))
    operands = []
    for i, (have, want) in enumerate(zip(static, types)):
        operands.append(f"{n}a{i}")
        if have != want:
            text += f"    {n}d{i} = tensor.cast {n}a{i} : {have} to {want}\n"
            operands[-1] = f"{n}d{i}"
    for side, function_name in (("l", left), ("r", right)):
        text += f'    {n}{side} = func.call @"{function_name}"({", ".join(operands)}) : ({", ".join(types)}) -> {result}\n'
    dims = ", ".join(f"d{i}" for i in range(rank))
    kinds = ", ".join(['"reduction"'] * rank)
    extend = "".join(f"      %{s}f = arith.extf %{s} : {element} to f32\n" for s in "xy") if element != "f32" else ""
    x, y = ("%xf", "%yf") if extend else ("%x", "%y")
    text += (f"    {n}z = arith.constant dense<0.0> : tensor<f32>\n"
             f"    {n}m:2 = linalg.generic {{indexing_maps = [affine_map<({dims}) -> ({dims})>, affine_map<({dims}) -> ({dims})>, affine_map<({dims}) -> ()>, affine_map<({dims}) -> ()>], iterator_types = [{kinds}]}}\n"
             f"      ins({n}l, {n}r : {result}, {result}) outs({n}z, {n}z : tensor<f32>, tensor<f32>) {{\n    ^bb0(%x: {element}, %y: {element}, %d: f32, %s: f32):\n{extend}"
             f"      %q = arith.subf {x}, {y} : f32\n      %a = math.absf %q : f32\n      %b = arith.maximumf %a, %d : f32\n"
             f"      %c = math.absf {x} : f32\n      %e = arith.maximumf %c, %s : f32\n      linalg.yield %b, %e : f32, f32\n    }} -> (tensor<f32>, tensor<f32>)\n"
             f"    {n}diff = tensor.extract {n}m#0[] : tensor<f32>\n    {n}size = tensor.extract {n}m#1[] : tensor<f32>\n"
             f"    {n}tol = arith.constant {tolerance} : f32\n    {n}low = arith.constant 0.05 : f32\n"
             f"    {n}c0 = arith.cmpf olt, {n}diff, {n}tol : f32\n    {n}c1 = arith.cmpf ogt, {n}size, {n}low : f32\n"
             f"    {n}ok = arith.andi {n}c0, {n}c1 : i1\n    {n}bit = arith.constant {1 << number} : i32\n    {n}none = arith.constant 0 : i32\n"
             f"    {n}bad = arith.select {n}ok, {n}none, {n}bit : i32\n")
    return text, f"{n}bad"


def run(pairs):
    """Compiles (name, original, raised) and compares what they compute."""
    text, main, bits = "", "", []
    bodies = functions([text for _, *both in pairs for text in both], "it")
    for number, (name, original, _) in enumerate(pairs):
        _, types, result = signature(original)
        text += prefixed(bodies[2 * number], f"o{number}_") + prefixed(bodies[2 * number + 1], f"r{number}_")
        element = re.match(r".*x(\w+)>", result).group(1)
        more, bit = comparison(number, f"o{number}_it", f"r{number}_it", types, result, {"f32": "2.0e-5", "f16": "4.0e-3", "bf16": "3.0e-2"}[element])
        main += more
        bits.append(bit)
    main = "  func.func @main() -> i32 attributes {llvm.emit_c_interface} {\n    %bad0 = arith.constant 0 : i32\n" + main
    for number, bit in enumerate(bits):
        main += f"    %bad{number + 1} = arith.ori %bad{number}, {bit} : i32\n"
    main += f"    return %bad{len(bits)} : i32\n  }}\n"
    with open(path("pairs.mlir"), "w") as file:
        file.write("module {\n" + text + main + "}\n")
    (lowered, _), = opt([open(path("pairs.mlir")).read()], "--unisparse-to-cpu-pipeline")
    with open(path("lowered.mlir"), "w") as file:
        file.write(lowered)
    done = subprocess.run([args.runner, path("lowered.mlir"), "-e", "main", "-entry-point-result=i32", f"--shared-libs={args.omp}"],
                          capture_output=True, text=True)
    expect(done.returncode == 0, f"mlir-runner: {done.stderr[:2000]}")
    bad = int(done.stdout) if done.returncode == 0 else 0
    for number, (name, _, _) in enumerate(pairs):
        expect(not bad >> number & 1, f"{name}: what was raised computes something else")


def main():
    pairs, texts, changed = [], {}, {}
    for file in sorted(os.listdir(os.path.join(HERE, "Inputs"))):
        texts[file[:-len(".mlir")]] = open(os.path.join(HERE, "Inputs", file)).read()
    for name, (changed[name], remarks) in zip(texts, raised(list(texts.values()))):
        ops = changed[name].count("unisparse.block_sparse_attention")
        if name in REFUSED:
            expect(ops == 0 and len(remarks) == 1 and REFUSED[name] in remarks[0], f"{name}: expected one remark '{REFUSED[name]}', got {remarks} and {ops} ops")
            continue
        expect(ops == 1 and not remarks, f"{name}: expected one attention op, got {ops}, {remarks}")
        if name.startswith(("torch_", "jax_")) and ops == 1:
            pairs.append((name, texts[name], changed[name]))
    for name in changed:
        if name.startswith("tm_tensor_") and name not in REFUSED:
            pairs.append((name, texts[name.replace("tm_tensor_", "torch_")], changed[name]))
    (composite, _), = raised([texts["stablehlo_composite"].replace("bf16", "f32")])
    # The function alone: what it was decomposed into is StableHLO's.
    (composite, _), = opt([composite], "--symbol-privatize=exclude=main", "--symbol-dce")
    pairs.append(("stablehlo_composite", texts["jax_dpa_causal_gqa"], composite))
    run(pairs)
    pairs = []
    spelled = ["module {\n" + function(spelling) + "}\n" for spelling in SPELLED]
    for spelling, text, (result, remarks) in zip(SPELLED, spelled, raised(spelled)):
        ops = result.count("unisparse.block_sparse_attention")
        wanted = 2 if spelling.around == "again" else 1
        expect(ops == wanted and not remarks, f"{spelling.name}: expected {wanted} attention ops, got {ops}, {remarks}")
        if ops == wanted:
            pairs.append((spelling.name, text, result))
    # A function that is called twice, of which one is attention; and two attentions of one function.
    text = "module {\n" + function(Spelling("plain")).replace("func.func @plain", "func.func private @plain")
    t = Spelling("plain").type("bhgid")
    text += (f"  func.func @twice(%q: {t}, %k: {Spelling('k').type('bhjd')}, %v: {Spelling('v').type('bhje')}) -> {t} {{\n"
             + "".join(f"    %{new} = func.call @plain(%{old}, %k, %v) : ({t}, {Spelling('k').type('bhjd')}, {Spelling('v').type('bhje')}) -> {t}\n" for old, new in ("qa", "ab"))
             + f"    return %b : {t}\n  }}\n}}\n")
    (result, remarks), = raised([text])
    expect(result.count("unisparse.block_sparse_attention") == 1 and not remarks, f"twice: {remarks}")
    pairs.append(("twice", text, result))
    run(pairs)
    refused = raised(["module {\n" + function(spelling) + "}\n" for spelling, _ in SPELLED_REFUSED])
    for (spelling, why), (result, remarks) in zip(SPELLED_REFUSED, refused):
        expect("unisparse." not in result and len(remarks) == 1 and why in remarks[0], f"{spelling.name}: expected a remark '{why}', got {remarks}")


main()
for failure in failures:
    print("FAIL ", failure)
print(f"{checks} checks, {len(failures)} failed")
sys.exit(bool(failures))
