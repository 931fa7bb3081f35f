# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares every place that says the project's version: the roots of checkout and build, and what the tools said."""

import pathlib
import re
import sys

import unisparse

source, build, said = map(pathlib.Path, sys.argv[1:])
SAYS = {
    said / "tools": (4, r"^UniSparse version (\S+)$"),
    said / "artifact": (1, r"written by UniSparse (\S+) with LLVM"),
    build / "cmake/UniSparseConfigVersion.cmake": (1, r'^set\(PACKAGE_VERSION "(.*)"\)'),
    source / "CITATION.cff": (1, r"^version: (\S+)$"),
}
wrong = []
for path, (times, pattern) in SAYS.items():
    got = re.findall(pattern, path.read_text(), re.M)
    if got != [unisparse.__version__] * times:
        wrong.append(f"{path.name}: expected {unisparse.__version__} {times} times, got {got}")
newest = re.findall(r"^## (\S+)$", (source / "CHANGELOG.md").read_text(), re.M)[0]
if newest != unisparse.__version__:
    wrong.append(f"CHANGELOG.md: expected {unisparse.__version__} first, got {newest}")
sys.exit("\n".join(wrong) or 0)
