# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %src_root/lib/Target/Nvidia.cpp
"""Every chip of the table of chips has an assemble-CHIP.test."""
import pathlib
import re
import sys

here = pathlib.Path(__file__).parent
chips = re.findall(r'^\s*\{"(sm_\w+)"', pathlib.Path(sys.argv[1]).read_text(), re.M)
tests = {path.stem.removeprefix("assemble-") for path in here.glob("assemble-*.test")}
assert set(chips) == tests and chips, f"expected an assemble-CHIP.test for each of {chips}, got {sorted(tests)}"
for chip in tests:
    assert f"assemble.py %unisparse_opt {chip} " in (here / f"assemble-{chip}.test").read_text(), chip
