# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ptxas.py FILE.mlir UNISPARSE_OPT CHIP...: every kernel assembles without spills or local memory."""
import re
import subprocess
import sys
import tempfile

source, opt, *chips = sys.argv[1:]
for chip in chips:
    pipeline = f"builtin.module(unitile-to-nvvm-pipeline{{chip={chip}}})"
    text = subprocess.run([opt, source, f"--pass-pipeline={pipeline}"], check=True, capture_output=True).stdout.decode()
    kernels = re.findall(r'assembly = "(.*?)"', text, re.S)
    assert kernels, f"{chip}: no kernel in the module"
    for kernel in kernels:
        ptx = re.sub(r"\\([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), kernel).rstrip("\0")
        with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
            file.write(ptx)
            file.flush()
            run = subprocess.run(["ptxas", "-v", f"-arch={chip}", file.name, "-o", "/dev/null"], capture_output=True, text=True)
        assert run.returncode == 0, f"{chip}: {run.stderr}"
        frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", run.stderr)
        assert frames, f"{chip}: ptxas reported no kernel: {run.stderr}"
        assert all(frame == ("0", "0", "0") for frame in frames), f"{chip}: {run.stderr}"
        print(chip, re.search(r"Used \d+ registers", run.stderr)[0], "no spill")
