# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --root=%src_root --opt=%unisparse_opt
"""docs/AttendPage.md shows the page that the compiler writes for the program above it, but for names and comments."""
import argparse
import difflib
import re
import subprocess
import sys
from pathlib import Path

PAGE = ["--unisparse-select-schedule=chip=sm_90", "--convert-unisparse-to-unitile", "--canonicalize", "--cse"]


def printed(opt, text, *passes):
    """The kernels of a module, as unisparse-opt prints them."""
    done = subprocess.run([opt, *passes], input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"FAIL  {done.stderr}")
    found = re.search(r"^  gpu\.module .*?^  }$", done.stdout, re.MULTILINE | re.DOTALL)
    return found[0].splitlines() if found else sys.exit(f"FAIL  no gpu.module in {done.stdout[:500]!r}")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--root", required=True, type=Path)
parser.add_argument("--opt", required=True)
args = parser.parse_args()
blocks = re.findall(r"^```mlir\n(.*?)^```$", (args.root / "docs/AttendPage.md").read_text(), re.MULTILINE | re.DOTALL)
if len(blocks) != 2:
    sys.exit(f"FAIL  expected a program and its page, got {len(blocks)} blocks of IR")
want, got = printed(args.opt, blocks[0], *PAGE), printed(args.opt, blocks[1])
difference = list(difflib.unified_diff(got, want, "docs/AttendPage.md", "what the compiler writes", lineterm=""))
if difference:
    sys.exit("\n".join(["FAIL", *difference]))
print(f"{len(want)} lines are the compiler's")
