# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Stands for unisparse-compile: writes the command line it got, and the inputs and outputs of the program it asks for, as
the stub runtime reads them, lse among them where FAKE_COMPILE_LSE says so. Refuses --head-dim=7. Its version is $FAKE_COMPILE_VERSION."""

import os
import sys
import time

if sys.argv[1:] == ["--version"]:
    print("unisparse-compile", os.environ.get("FAKE_COMPILE_VERSION", "1"))
    sys.exit()
options, output = {}, None
words = iter(sys.argv[1:])
for word in words:
    if word == "-o":
        output = next(words)
    else:
        name, _, value = word.partition("=")
        options.setdefault(name, []).append(value)
with open(os.environ["FAKE_COMPILE_LOG"], "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\n")
if options["--head-dim"] == ["7"]:
    sys.exit("unisparse-compile: --head-dim: expected a multiple of 8, got 7")
if os.environ.get("FAKE_COMPILE_KILL"):  # The caller, by number: as one would while a compiler is at work.
    os.kill(os.getppid(), 9)
    time.sleep(float(os.environ["FAKE_COMPILE_KILL"]))
kind = options["--dtype"][0]
lines = [f"in {name} {kind} 4" for name in "qkv"]
if options["--stage"] == ["block_sparse_attention"]:
    lines += ["in counts i32 3", "in indices i32 4"]
if "--packed" in options:
    lines[3:3] = ["in cu_seqlens_q i32 1", "in cu_seqlens_k i32 1"]
lines.append(f"out o {kind} 4")
if "--return-lse" in options or os.environ.get("FAKE_COMPILE_LSE"):
    lines.append("out lse f32 3")
if "--return-selection" in options:
    lines += ["out counts i32 3", "out indices i32 4"]
with open(output, "w") as file:
    file.write("\n".join(lines) + "\n")
