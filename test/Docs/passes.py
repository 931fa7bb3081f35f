# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %unisparse_opt %src_root/docs/Architecture.md
"""docs/Architecture.md counts and names the passes of the CPU pipeline as they are: all of them, level by level, in order."""
import re
import subprocess
import sys

opt, page = sys.argv[1:]


def passes(*options):
    """The names of the pipeline's passes, in order."""
    pipeline = f"--unisparse-to-cpu-pipeline={' '.join(options)}"
    done = subprocess.run([opt, pipeline, "--dump-pass-pipeline", "-"], input="", capture_output=True, text=True, check=True)
    text = done.stderr[done.stderr.index("builtin.module("):]
    while "{" in text:  # Options, which may hold options.
        text = re.sub(r"\{[^{}]*\}", "", text)
    return [name for name, nest in re.findall(r"([\w.-]+)\s*(\(?)", text) if not nest]


complaints = []


def expect(what, expected, got):
    if expected != got:
        complaints.append(f"{what}: expected {expected}, got {got}")


section = re.search(r"^## The passes\n(.*?)^(?:##|###) ", open(page).read(), re.DOTALL | re.MULTILINE)[1]
actual, counted = passes(), 0
total, instrumented = map(int, re.search(r"^(\d+) passes; (\d+) with `instrument-stages`", section, re.MULTILINE).groups())
expect("all passes", len(actual), total)
expect("all passes with instrument-stages", len(passes("instrument-stages")), instrumented)
expect("the pass with bf16-dot", ["unisparse-vectorize-contractions", "unisparse-vectorize-pairs"],
       [name for name in passes("bf16-dot") if "vectorize" in name])  # fmt: skip
for level, count, table in re.findall(r"^\*\*([^*]*?) \((\d+)\)\.\*\*\n(.*?)(?=^\*\*|\Z)", section, re.DOTALL | re.MULTILINE):
    here = actual[counted:counted + int(count)]
    named = 0
    for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE)[1:]:
        several = re.fullmatch(r"upstream's .* \((\d+)\)", cell)  # Upstream's to list.
        if several:
            named += int(several[1])
            continue
        for name in re.sub(r" \([^)]*\)", "", cell).split(", "):
            expect(f"{level}, pass {named}", here[named] if named < len(here) else "none", name)
            named += 1
    expect(f"passes listed of {level}", int(count), named)
    counted += int(count)
expect("passes of all levels", len(actual), counted)

for complaint in complaints:
    print(f"{page}: {complaint}", file=sys.stderr)
sys.exit(bool(complaints) or not counted)
