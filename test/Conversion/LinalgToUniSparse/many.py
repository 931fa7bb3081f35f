# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --opt=%unisparse_opt --tmp=%t
"""Many attentions in one module, raised and refused in turns: what one attempt makes and gives up must not be taken for
what a later one makes, whose ops may lie at the same addresses. Half-made ops that stay crash what comes after."""
import argparse
import os
import re
import subprocess

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--opt", required=True)
parser.add_argument("--tmp", required=True)
args = parser.parse_args()
os.makedirs(args.tmp, exist_ok=True)


def composite(name, q, k, result, attributes=""):
    return (f"""func.func @{name}(%q: tensor<{q}>, %k: tensor<{k}>) -> tensor<{result}> {{
  %0 = "stablehlo.composite"(%q, %k, %k) <{{{attributes}decomposition = @dense, name = "unisparse.attention"}}>
    : (tensor<{q}>, tensor<{k}>, tensor<{k}>) -> tensor<{result}>
  return %0 : tensor<{result}>
}}
""")


COPIES = 60
text = "func.func private @dense(tensor<2x256x8x64xf16>)\n"
for n in range(COPIES):
    text += composite(f"heads_{n}", "2x256x8x64xf16", "2x256x3x64xf16", "2x256x8x64xf16")
    text += composite(f"double_{n}", "2x256x8x64xf64", "2x256x8x64xf64", "2x256x8x64xf64")
    text += composite(f"raised_{n}", "2x256x8x64xf16", "2x256x8x64xf16", "2x256x8x64xf16")
    text += composite(f"narrow_{n}", "2x256x8x64xf16", "2x256x8x64xf16", "2x256x8x32xf16")
    text += composite(f"scale_{n}", "2x256x8x64xf16", "2x256x8x64xf16", "2x256x8x64xf16",
                      "composite_attributes = {scale = 0x7FF0000000000000 : f64}, ")
program = os.path.join(args.tmp, "many.mlir")
with open(program, "w") as file:
    file.write(text)
run = subprocess.run([args.opt, program, "--unisparse-raise-attention", "--allow-unregistered-dialect"],
                     capture_output=True, text=True)
assert run.returncode == 0, (run.returncode, run.stderr[-2000:])
assert run.stderr.count("attention stays as it is: ") == 4 * COPIES, run.stderr[-2000:]
# Each raised one is the op between the two transposes that its layout asks for; nothing else is left behind.
assert run.stdout.count("unisparse.block_sparse_attention ") == COPIES, run.stdout[:2000]
assert run.stdout.count("stablehlo.composite") == 4 * COPIES
for function in run.stdout.split("func.func")[2:]:
    if "@raised_" not in function:
        assert len(re.findall(r"(?m)^ *%\d+ = ", function)) == 1, function
print(f"{COPIES} raised, {4 * COPIES} refused, nothing left behind")
