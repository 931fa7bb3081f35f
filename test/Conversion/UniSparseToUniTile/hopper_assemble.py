# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %unisparse_opt %t
"""The Hopper kernels of all cases of benchmarks/gpu_attend_hopper.py have the chip's own instructions, and where there is
a ptxas they assemble without a spill, and without a word that products were serialised or registers did not move."""
import pathlib
import re
import shutil
import subprocess
import sys

# The largest score so far takes registers that P leaves too late: it may spill one, outside the loop over plain blocks.
SPILLS = {"running": 8}

opt, folder = sys.argv[1], pathlib.Path(sys.argv[2])
script = pathlib.Path(__file__).resolve().parents[3] / "benchmarks" / "gpu_attend_hopper.py"
ptxas = shutil.which("ptxas")
subprocess.run([sys.executable, script, "compile", folder, f"--opt={opt}"], check=True)
kernels = sorted(folder.glob("*.ptx"))
assert kernels, "no kernel"
for kernel in kernels:
    text = kernel.read_text()
    for instruction in (".target sm_90a", "wgmma.mma_async", "cp.async.bulk.tensor", "mbarrier.try_wait", "setmaxnreg.inc", "setmaxnreg.dec"):
        assert instruction in text, f"{kernel}: no {instruction}"
    for other in ("mma.sync", "cp.async.cg", "__nv_", "st.local"):
        assert other not in text, f"{kernel}: {other}"
    if not ptxas:
        continue
    run = subprocess.run([ptxas, "-v", "-arch=sm_90a", kernel, "-o", "/dev/null"], capture_output=True, text=True)
    assert run.returncode == 0, f"{kernel}: {run.stderr}"
    assert not re.search(r"C75\d\d|warning", run.stderr), f"{kernel}: {run.stderr}"
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores", run.stderr)
    assert frames and all(int(bytes) <= SPILLS.get(kernel.stem, 0) for frame in frames for bytes in frame), f"{kernel}: {run.stderr}"
    print(kernel.name, re.search(r"Used \d+ registers", run.stderr)[0])
if not ptxas:
    print("skipped: no ptxas in PATH, nothing was assembled")
