# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %unisparse_opt %t
"""The attend kernels of all cases of benchmarks/gpu_attend.py lower to PTX, and assemble without spills where there is a ptxas."""
import pathlib
import re
import shutil
import subprocess
import sys

opt, folder = sys.argv[1], pathlib.Path(sys.argv[2])
script = pathlib.Path(__file__).resolve().parents[3] / "benchmarks" / "gpu_attend.py"
ptxas = shutil.which("ptxas")
for chip in ("sm_80", "sm_90"):
    subprocess.run([sys.executable, script, "compile", folder / chip, f"--opt={opt}", f"--chip={chip}"], check=True)
    kernels = sorted((folder / chip).glob("*.ptx"))
    assert kernels, "no kernel"
    for kernel in kernels:
        assert f".target {chip}" in kernel.read_text(), kernel
        if not ptxas:
            continue
        run = subprocess.run([ptxas, "-v", f"-arch={chip}", kernel, "-o", "/dev/null"], capture_output=True, text=True)
        assert run.returncode == 0, f"{kernel}: {run.stderr}"
        frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", run.stderr)
        assert frames and all(f == ("0", "0", "0") for f in frames), f"{kernel}: {run.stderr}"
        print(kernel.name, chip, re.search(r"Used \d+ registers", run.stderr)[0], "no spill")
if not ptxas:
    print("skipped: no ptxas in PATH, nothing was assembled")
