# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Builds the stub of the runtime, and writes the program that stands for unisparse-compile."""

import pathlib
import shutil
import stat
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent


def runtime(folder):
    """-> the library."""
    compiler = next(filter(None, map(shutil.which, ("clang-22", "clang", "cc", "gcc"))))
    library = folder / "libunisparse-rt.so"
    source = [f"-I{ROOT}/runtime/include", str(HERE / "stub-runtime.c")]
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", *source, "-o", str(library)], check=True)
    return library


def compiler(path):
    """-> the program."""
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE}/fake-compile.py "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
