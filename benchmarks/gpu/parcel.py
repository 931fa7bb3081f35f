# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What goes from the machine with the compiler to the one with the GPU: a folder with the runtime and a folder of artifacts
for each chip, or a .zip of it. Needs no torch."""

import contextlib
import os
import pathlib
import shutil
import sys
import tempfile

LIBRARY = "libunisparse-rt.so"
NATIVE = "_native.abi3.so"  # The package's part in C, where it is built.


def options(parser):
    """Those of both scripts."""
    parser.add_argument("--runtime", default=os.environ.get("UNISPARSE_RT"), help=f"{LIBRARY}, for prepare")
    parser.add_argument("--jobs", type=int, default=2, help="compilers at a time, for prepare")
    parser.add_argument("--zip", action="store_true", help="prepare also writes DIR.zip")
    parser.add_argument("--json", help="where run writes its report")


def begin(folder, runtime):
    folder.mkdir(parents=True, exist_ok=True)
    if not runtime or not pathlib.Path(runtime).exists():
        sys.exit(f"--runtime: expected {LIBRARY} (or UNISPARSE_RT that names it), got {runtime or 'none'}")
    shutil.copy(runtime, folder / LIBRARY)
    if (native := pathlib.Path(runtime).with_name(NATIVE)).exists():
        shutil.copy(native, folder / NATIVE)


def finish(folder, zipped):
    if zipped:
        shutil.make_archive(str(folder), "zip", folder)


@contextlib.contextmanager
def opened(folder):
    """The folder itself, or of a .zip one that is there for so long."""
    with tempfile.TemporaryDirectory() as unpacked:
        if folder.suffix == ".zip":
            shutil.unpack_archive(folder, unpacked)
        yield pathlib.Path(unpacked) if folder.suffix == ".zip" else folder.resolve()


def chips(folder, wanted):
    """Those of the wanted chips that the folder has."""
    found = [chip for chip in wanted.split(",") if (folder / chip).is_dir()]
    if not found:
        sys.exit(f"{folder}: expected folders {wanted}, got none of them")
    return found


def environment(folder, chip):
    """What points the Python package to the prepared files, and to nothing else."""
    return dict(
        os.environ,
        UNISPARSE_ARTIFACTS=str(folder / chip),
        UNISPARSE_RT=str(folder / LIBRARY),
        UNISPARSE_CACHE=str(folder / "no-cache"),
        UNISPARSE_COMPILE="",
        PYTHONDONTWRITEBYTECODE="1",
    )
